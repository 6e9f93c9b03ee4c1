//! A histogram of durations that is classic and native at once. To observe one is to find its bucket in a table and to add to two
//! numbers of the thread's own copy, relaxed: nobody waits, no float is added. What it costs stands in the module above.
//! It refuses to be anything but a sum and counts: no quantiles are made here.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::scale::{self, BUCKETS, LONGER};
use super::sharded::Sharded;

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    cells: Sharded<Cells>,
}

/// One thread's copy: 1.9 KiB.
#[derive(Debug)]
struct Cells {
    buckets: [AtomicU64; BUCKETS],
    /// Whole microseconds.
    sum: AtomicU64,
}

/// An observation that can be looked up elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The id of its trace (W3C Trace Context).
    pub trace: u128,
    /// How long it took.
    pub took: Duration,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// What a histogram holds at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Observations in each bucket.
    pub buckets: [u64; BUCKETS],
    /// All durations together, in seconds.
    pub sum: f64,
    /// The latest traced observation in each power of two, where any was kept.
    pub exemplars: Vec<(usize, Exemplar)>,
}

impl Histogram {
    /// Counts a duration, to the microsecond.
    pub fn observe(&self, took: Duration) {
        let micros = micros(took);
        let cells = self.cells.mine();
        cells.buckets[scale::bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
        cells.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it holds now. Whoever observes meanwhile may be counted already and not yet be in the sum.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut buckets = [0; BUCKETS];
        let mut micros = 0_u64;
        for cells in self.cells.all() {
            for (all, one) in buckets.iter_mut().zip(&cells.buckets) {
                *all += one.load(Ordering::Relaxed);
            }
            micros = micros.wrapping_add(cells.sum.load(Ordering::Relaxed));
        }
        Snapshot { buckets, sum: micros as f64 / 1e6, exemplars: Vec::new() }
    }
}

impl Snapshot {
    /// All observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many lasted at most 2^`exponent` s.
    #[must_use]
    pub fn within(&self, exponent: i32) -> u64 {
        self.buckets[..scale::buckets_within(exponent)].iter().sum()
    }

    /// The exponential buckets that hold something: number and count. What is longer than the highest bound counts as one step longer.
    pub fn exponential(&self) -> impl Iterator<Item = (i32, u64)> {
        let filled = self.buckets[1..=LONGER].iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(at, count)| (scale::number_of(at + 1), *count))
    }
}

impl Default for Cells {
    fn default() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// To the nearest, so that sums of short durations are right.
fn micros(took: Duration) -> u64 {
    let rounded = (took.as_nanos() + 500) / 1000;
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_observe_and_nothing_is_lost() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for thread in 0..20_u64 {
                let histogram = &histogram;
                scope.spawn(move || {
                    (1..=500).for_each(|number| histogram.observe(Duration::from_micros(number * (thread + 1))));
                });
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 10_000);
        let sum: u64 = (1..=20).flat_map(|thread| (1..=500).map(move |number| number * thread)).sum();
        assert!((snapshot.sum - sum as f64 / 1e6).abs() < 1e-9, "{}", snapshot.sum);
    }

    #[test]
    fn classic_and_native_buckets_say_the_same() {
        let histogram = Histogram::default();
        for micros in [0, 3, 8, 100, 999, 1000, 31_250, 31_251, 5_000_000, u64::MAX / 1_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.within(-17), snapshot.within(-5), snapshot.within(3), snapshot.count()), (2, 7, 9, 10));
        let native = |exponent: i32| -> u64 {
            let within = snapshot.exponential().filter(|(number, _)| *number <= exponent * 8);
            within.map(|(_, count)| count).sum()
        };
        for exponent in -16..=12 {
            assert_eq!(snapshot.within(exponent), snapshot.buckets[0] + native(exponent), "2^{exponent} s");
        }
        assert_eq!(snapshot.exponential().last(), Some((97, 1)));
    }
}
