//! How fast a backend is: an average that peaks count in at once and that forgets. Records and reads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How fast the average forgets: after this time an old peak has lost 63 % of its weight.
const DECAY: Duration = Duration::from_secs(10);

/// The time to an answer's head, in nanoseconds; 0 while nothing is known.
#[derive(Debug, Default)]
pub(super) struct Latency {
    average_nanos: AtomicU64,
    stamp_nanos: AtomicU64,
}

impl Latency {
    /// Peak EWMA (as in Finagle): a slower answer counts at once and in full, a faster one by and by. Two
    /// threads that record at the same moment may lose one sample; the average does not mind.
    pub fn record(&self, sample: u64, now: u64) {
        let average = self.average_nanos.load(Ordering::Relaxed);
        let since = now.saturating_sub(self.stamp_nanos.swap(now, Ordering::Relaxed));
        let next = if sample >= average {
            sample
        } else {
            let keep = decay(since);
            sample + part_of(average - sample, keep)
        };
        self.average_nanos.store(next, Ordering::Relaxed);
    }

    /// The average now: without news it sinks, so that a backend that was slow once is tried again.
    pub fn read(&self, now: u64) -> f64 {
        let since = now.saturating_sub(self.stamp_nanos.load(Ordering::Relaxed));
        self.average_nanos.load(Ordering::Relaxed) as f64 * decay(since)
    }
}

/// `whole` times a factor between 0 and 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and `whole`")]
fn part_of(whole: u64, factor: f64) -> u64 {
    (whole as f64 * factor) as u64
}

fn decay(since_nanos: u64) -> f64 {
    (-(since_nanos as f64) / DECAY.as_nanos() as f64).exp()
}
