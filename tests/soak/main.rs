//! Mixed honest and hostile load on one instance for as long as it is told to: `make soak`, 20 minutes. Its memory must not grow by
//! more than a twentieth once it is warm, and when all is over it has the tasks and the descriptors that it had before.
//! Warming up ends in a rush, several times the load of what follows: what an allocator keeps of the highest tide it has seen is no
//! growth, and shall be there before anything is compared.
//! Sessions live for two minutes here: of each that has ended, its tombstone is kept until its lifetime is over, and shall not be taken
//! for a leak.
//!
//!     cargo test --test soak -- SECONDS [DIRECTORY]
//!
//! The samples are written to DIRECTORY/soak.tsv. It is no test of speed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../hostile/bodies.rs"]
mod bodies;
#[path = "../hostile/frames.rs"]
mod frames;
#[path = "../hostile/http1.rs"]
mod http1;
#[path = "../hostile/http2.rs"]
mod http2;
#[path = "../hostile/responses.rs"]
mod responses;
#[path = "../hostile/scene.rs"]
mod scene;
#[path = "../hostile/slow.rs"]
mod slow;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scene::{Case, Scene, honest};
use support::session::modern_call;
use support::{Session, now};

/// The time between two samples, at most.
const EVERY: Duration = Duration::from_secs(10);

/// Growth that is no leak, in percent of what it was when warm.
const GROWTH: f64 = 5.0;

/// How many more honest clients the rush has.
const RUSH: usize = 8;

/// What the threads share.
struct Load {
    scene: Scene,
    begun: Instant,
    lasts: Duration,
    over: AtomicBool,
    honest: AtomicUsize,
    hostile: AtomicUsize,
    failed: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    second: u64,
    memory: u64,
    descriptors: usize,
    tasks: usize,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Whether the rush goes on: from an eighth of the time to a fifth of it. What is compared begins at a quarter.
    fn is_rushed(&self) -> bool {
        self.goes_on() && self.begun.elapsed() < self.lasts / 5
    }

    /// Whether it went as it should; what did not is printed.
    fn counted(&self, count: &AtomicUsize, run: impl FnOnce()) {
        count.fetch_add(1, Ordering::Relaxed);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections that are kept for a while, new ones, both eras, sessions with their streams.
    fn honest(&self, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) {
            self.counted(&self.honest, || {
                let mut kept = self.scene.connect();
                for _ in 0..20 {
                    kept.send(&honest());
                    assert_eq!(kept.answer().status, 200);
                }
                assert_eq!(self.scene.gateway.ask(&modern_call("1", "name")).status, 200);
                let session = Session::open_at(self.scene.gateway.addr, "/legacy");
                let mut stream = self.scene.connect();
                stream.send(&support::http::get("/legacy", &["Accept: text/event-stream", &session.header()]));
                assert_eq!(stream.head().status, 200);
                assert_eq!(session.call("name").status, 200);
                assert_eq!(session.end().status / 100, 2);
            });
        }
    }

    fn rush(&self) {
        std::thread::sleep(self.lasts / 8);
        self.honest(Self::is_rushed);
    }

    fn hostile(&self, cases: &[Case]) {
        for case in cases.iter().cycle().take_while(|_| self.goes_on()) {
            self.counted(&self.hostile, || (case.run)(&self.scene));
        }
    }

    /// They take seconds each, and so run at the same time.
    fn slow(&self) {
        let cases = slow::cases();
        while self.goes_on() {
            std::thread::scope(|scope| {
                for case in &cases {
                    scope.spawn(|| self.counted(&self.hostile, || (case.run)(&self.scene)));
                }
            });
        }
    }

    fn sample(&self, second: u64) -> Sample {
        let gateway = &self.scene.gateway;
        let metrics = gateway.admin("/metrics").text();
        let tasks = metrics.lines().find_map(|line| line.strip_prefix("moorline_tasks ")?.parse().ok());
        Sample { second, memory: gateway.memory(), descriptors: gateway.descriptors(), tasks: tasks.unwrap() }
    }

    /// What is there all the time when nobody asks for anything: a probe, or the connection of who looks, comes and goes.
    fn at_rest(&self, second: u64) -> Sample {
        let looks = (0..16).map(|_| {
            std::thread::sleep(Duration::from_millis(250));
            self.sample(second)
        });
        let fewest = |one: Sample, other: Sample| Sample {
            descriptors: one.descriptors.min(other.descriptors),
            tasks: one.tasks.min(other.tasks),
            ..other
        };
        looks.reduce(fewest).unwrap()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let seconds: u64 = arguments.next().map_or(1200, |seconds| seconds.parse().expect("SECONDS is a number"));
    let folder = arguments.next();
    let legacy = support::Backend::legacy("b");
    let mut load = Load {
        scene: Scene::lasting(&legacy),
        begun: now(),
        lasts: Duration::from_secs(seconds),
        over: AtomicBool::new(false),
        honest: AtomicUsize::new(0),
        hostile: AtomicUsize::new(0),
        failed: AtomicUsize::new(0),
    };
    load.scene.serves_normally();
    load.scene.is_at_rest();
    let before = load.at_rest(0);
    let mut table =
        [http1::cases(), bodies::cases(), http2::cases(), responses::cases()].into_iter().flatten().collect::<Vec<_>>();
    table.retain(|case| case.reaches < 100);
    let mut samples = Vec::new();
    load.begun = now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| load.honest(Load::goes_on));
        }
        for _ in 0..RUSH {
            scope.spawn(|| load.rush());
        }
        scope.spawn(|| load.hostile(&table));
        scope.spawn(|| load.slow());
        let every = EVERY.min(load.lasts / 12);
        while load.begun.elapsed() < load.lasts {
            std::thread::sleep(every);
            samples.push(load.sample(load.begun.elapsed().as_secs()));
            load.scene.backend.forget_received();
            legacy.forget_received();
        }
        load.over.store(true, Ordering::Relaxed);
    });
    load.scene.serves_normally();
    load.scene.is_at_rest();
    // Connections to backends are kept for a few seconds; whatever else is still there is not given back at all.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| load.scene.has_given_back(before.descriptors)));
    let after = load.at_rest(seconds);
    let (text, good) = verdict(&load, before, after, &samples);
    print!("{text}");
    if let Some(folder) = folder {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(format!("{folder}/soak.tsv"), &text).unwrap();
    }
    assert!(good, "the instance has not stayed as it was");
}

/// The samples and what they mean.
fn verdict(load: &Load, before: Sample, after: Sample, samples: &[Sample]) -> (String, bool) {
    let mut text = "second\tmemory_kib\tdescriptors\ttasks\n".to_owned();
    let mut line = |sample: &Sample| {
        let Sample { second, memory, descriptors, tasks } = sample;
        writeln!(text, "{second}\t{}\t{descriptors}\t{tasks}", memory / 1024).unwrap();
    };
    line(&before);
    samples.iter().for_each(&mut line);
    line(&after);
    // Warm after a quarter of the time; the middle of a few samples, for one may fall on a peak.
    let part = samples.len() / 4;
    let warm = middle(&samples[part..2 * part]);
    let end = middle(&samples[samples.len() - part..]);
    let growth = 100.0 * (end / warm - 1.0);
    let failed = load.failed.load(Ordering::Relaxed);
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    writeln!(
        text,
        "# honest rounds {}, hostile requests {}, failed {failed}",
        count(&load.honest),
        count(&load.hostile)
    )
    .unwrap();
    writeln!(
        text,
        "# memory {:.1} MiB when warm, {:.1} MiB at the end: {growth:+.1} %",
        warm / 1048576.0,
        end / 1048576.0
    )
    .unwrap();
    let (tasks, descriptors) = (after.tasks <= before.tasks, after.descriptors <= before.descriptors);
    writeln!(
        text,
        "# tasks {} before, {} after; descriptors {} before, {} after",
        before.tasks, after.tasks, before.descriptors, after.descriptors
    )
    .unwrap();
    (text, failed == 0 && growth <= GROWTH && tasks && descriptors)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn middle(samples: &[Sample]) -> f64 {
    let mut memory: Vec<u64> = samples.iter().map(|sample| sample.memory).collect();
    memory.sort_unstable();
    memory.get(memory.len() / 2).copied().unwrap_or_default() as f64
}
