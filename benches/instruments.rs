//! Measures what it costs to count one thing: wall time of each observation, with one thread and with four that all count the same.
//! Prints a table; keeps nothing.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use moorline::meter::{Counter, Family, Histogram};

/// Observations of each thread in a round; of the rounds the quickest counts, for others disturb it least.
const OBSERVATIONS: u32 = 5_000_000;
const ROUNDS: usize = 5;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures from outside")]
fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds of one observation, the slowest thread's.
fn measure(threads: usize, observe: impl Fn(u32) + Sync) -> f64 {
    let round = || {
        let start = Barrier::new(threads);
        let work = || {
            start.wait();
            let begun = now();
            (0..OBSERVATIONS).for_each(&observe);
            begun.elapsed()
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let took = all.into_iter().map(|one| one.join().unwrap_or(Duration::MAX));
            took.max().unwrap_or_default()
        })
    };
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    best.as_secs_f64() * 1e9 / f64::from(OBSERVATIONS)
}

fn main() {
    let (counter, histogram) = (Counter::default(), Histogram::default());
    let family: Family<(u32, u8, u16), Counter> = Family::new(1000);
    let times: Family<(u32, u8, u16), Histogram> = Family::new(1000);
    // Between 60 µs and 65 ms, so that buckets differ from one to the next.
    let took = |number: u32| Duration::from_micros(u64::from(60 + number.wrapping_mul(2_654_435_761) % 65_000));
    let key = |number: u32| (7, 1, (number % 100) as u16);
    println!("{:34} {:>10} {:>10}", "nanoseconds an observation", "1 thread", "4 threads");
    let row = |name: &str, observe: &(dyn Fn(u32) + Sync)| {
        println!("{name:34} {:>10.1} {:>10.1}", measure(1, observe), measure(4, observe));
    };
    row("nothing but the number", &|number| {
        black_box(took(number));
    });
    row("a counter", &|_| counter.increment());
    row("a histogram", &|number| histogram.observe(took(number)));
    row("a counter of a family of 100", &|number| family.of(key(number)).increment());
    row("a histogram of a family of 100", &|number| times.of(key(number)).observe(took(number)));
}
