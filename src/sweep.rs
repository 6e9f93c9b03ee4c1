//! The sweep: one coarse timer per worker thread that looks after everything that waits, instead of one timer
//! for each. It knows nothing of what it looks after; it only calls it at every tick.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The time between two ticks. Deadlines that hang on the sweep are late by at most this.
pub const TICK: Duration = Duration::from_millis(250);

/// Something that waits and wants to be looked after.
pub trait Swept: Send + Sync {
    /// Called once per tick, on the worker's own thread. Must be short.
    fn sweep(&self, tick: u32);
}

/// All that waits on one worker thread.
#[derive(Debug)]
pub struct Sweep<T> {
    tick: AtomicU32,
    /// Guards the list; taken by its own thread alone (to enter, and once per tick), so there is no contention.
    /// What has gone is struck off at the next tick, so the list is bounded by what lives plus one tick's arrivals.
    entries: Mutex<Vec<Weak<T>>>,
}

impl<T> Default for Sweep<T> {
    fn default() -> Self {
        Self { tick: AtomicU32::new(1), entries: Mutex::default() }
    }
}

impl<T: Swept> Sweep<T> {
    /// The current tick.
    pub fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// From now on `entry` is looked after, until it is dropped.
    pub fn enter(&self, entry: &Arc<T>) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(entry));
    }

    /// How many entries lived at the last tick.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is looked after.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One tick: strikes off what has gone and calls all others.
    pub fn turn(&self) {
        let tick = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut living = Vec::new();
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).retain(|entry| match entry.upgrade() {
            Some(entry) => {
                living.push(entry);
                true
            }
            None => false,
        });
        for entry in living {
            entry.sweep(tick);
        }
    }
}

/// A duration in ticks, rounded up.
#[must_use]
pub fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(AtomicU32);
    impl Swept for Counter {
        fn sweep(&self, _: u32) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_lives_is_called_and_what_has_gone_is_struck_off() {
        let sweep = Sweep::default();
        let stays = Arc::new(Counter(AtomicU32::new(0)));
        let goes = Arc::new(Counter(AtomicU32::new(0)));
        sweep.enter(&stays);
        sweep.enter(&goes);
        sweep.turn();
        drop(goes);
        sweep.turn();
        assert_eq!(stays.0.load(Ordering::Relaxed), 2);
        assert_eq!(sweep.len(), 1);
    }

    #[test]
    fn ticks_round_up() {
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_secs(1)), 4);
    }
}
