//! Whether a client takes the answers that it has asked for on an HTTP/2 connection. Its socket may be writable all the time
//! while it opens no window for a stream, and each answer would then be kept for ever (CVE-2019-9517). It looks only at who
//! waits for whom.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Since which tick a piece of one answer has waited for its client; 0 where the client waits for us.
#[derive(Debug)]
pub struct Taking(AtomicU32);

impl Taking {
    /// The answer waits for its client from now on.
    pub fn waits(&self, tick: u32) {
        self.0.store(tick, Ordering::Relaxed);
    }

    /// The client waits for the answer.
    pub fn is_awaited(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The answers of one connection.
#[derive(Debug, Default)]
pub struct Takings {
    /// Used by the connection's own thread alone, so there is no contention. What has ended is struck off at the next tick.
    all: Mutex<Vec<Weak<Taking>>>,
}

impl Takings {
    /// An answer that begins.
    pub fn begin(&self, tick: u32) -> Arc<Taking> {
        let taking = Arc::new(Taking(AtomicU32::new(tick)));
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&taking));
        taking
    }

    /// Whether an answer has waited for longer than `limit` ticks.
    pub fn is_stuck(&self, tick: u32, limit: u32) -> bool {
        let mut stuck = false;
        self.all.lock().unwrap_or_else(PoisonError::into_inner).retain(|taking| {
            let since = taking.upgrade().map(|taking| taking.0.load(Ordering::Relaxed));
            stuck |= since.is_some_and(|since| since != 0 && tick.wrapping_sub(since) > limit);
            since.is_some()
        });
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_waits_for_its_client_is_stuck() {
        let takings = Takings::default();
        let (one, other) = (takings.begin(1), takings.begin(1));
        other.is_awaited();
        assert!(!takings.is_stuck(5, 4) && takings.is_stuck(6, 4));
        one.waits(6);
        assert!(!takings.is_stuck(6, 4));
        drop(one);
        assert!(!takings.is_stuck(100, 4));
        other.waits(100);
        assert!(takings.is_stuck(200, 4));
    }
}
