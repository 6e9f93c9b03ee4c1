//! A number that only grows, and one that also falls. Adding is one relaxed atomic; nobody waits for anybody.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::sharded::Sharded;

/// A number that only grows: each thread adds to its own copy.
#[derive(Debug, Default)]
pub struct Counter {
    shards: Sharded<AtomicU64>,
}

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.shards.mine().fetch_add(more, Ordering::Relaxed);
    }

    /// All that was added.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.shards.all().map(|shard| shard.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// A number that grows and falls, and that is changed seldom enough for all threads to share it.
#[derive(Debug, Default)]
pub struct Gauge {
    value: AtomicI64,
}

impl Gauge {
    /// Changes it by so much.
    pub fn change(&self, by: i64) {
        self.value.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets it.
    pub fn set(&self, value: i64) {
        self.value.store(value, Ordering::Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_add_is_all_there() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1000).for_each(|_| counter.increment()));
            }
        });
        counter.add(5);
        assert_eq!(counter.get(), 20_005);
    }

    #[test]
    fn a_gauge_falls_too() {
        let gauge = Gauge::default();
        gauge.change(3);
        gauge.change(-5);
        assert_eq!(gauge.get(), -2);
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
    }
}
