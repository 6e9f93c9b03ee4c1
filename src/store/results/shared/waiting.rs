//! Who waits for another instance's call, and how they are woken. Owns nothing else; bounded by the calls under way.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::store::results::Key;

/// Those who wait, by what for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// A shard is held for one insertion, removal or look, by those who wait and the one who wakes them.
    keys: DashMap<Key, Place>,
}

#[derive(Debug, Default)]
struct Place {
    bell: Arc<Notify>,
    waiters: usize,
}

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    among: &'a Waiting,
    key: Key,
    bell: Arc<Notify>,
}

impl Waiting {
    /// Enters one who waits, until that is dropped.
    pub fn enter(&self, key: Key) -> Waiter<'_> {
        let mut place = self.keys.entry(key).or_default();
        place.waiters += 1;
        Waiter { among: self, key, bell: Arc::clone(&place.bell) }
    }

    /// Wakes those who wait for this.
    pub fn wake(&self, key: &Key) {
        if let Some(place) = self.keys.get(key) {
            place.bell.notify_waiters();
        }
    }

    /// Wakes all.
    pub fn wake_all(&self) {
        self.keys.iter().for_each(|place| place.bell.notify_waiters());
    }
}

impl Waiter<'_> {
    /// Until it is woken.
    pub fn changed(&self) -> Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.among.keys.remove_if_mut(&self.key, |_, place| {
            place.waiters -= 1;
            place.waiters == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn those_who_wait_are_woken_and_nobody_else_and_nothing_is_left_of_them() {
        let waiting = Waiting::default();
        let waiters = [1, 1, 2].map(|n| waiting.enter(Key([n; 32])));
        let mut changed = waiters.each_ref().map(|waiter| Box::pin(waiter.changed()));
        changed.iter_mut().for_each(|changed| assert!(!changed.as_mut().enable()));
        waiting.wake(&Key([1; 32]));
        waiting.wake(&Key([3; 32]));
        assert_eq!(changed.map(|changed| changed.now_or_never().is_some()), [true, true, false]);
        let last = waiters[2].changed();
        let mut last = Box::pin(last);
        last.as_mut().enable();
        waiting.wake_all();
        assert!(last.now_or_never().is_some());
        drop(waiters);
        assert!(waiting.keys.is_empty());
    }
}
