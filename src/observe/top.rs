//! Who comes most: counts of many names in little room. Of those that come, the busiest are kept (after Lossy Counting: Manku and
//! Motwani, "Approximate Frequency Counts over Data Streams", VLDB 2002); one that was dropped and comes again starts anew, so
//! counts are never too high.

use std::hash::Hash;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// Names that are kept when there are too many, per thread. Twice as many make too many.
const KEPT: usize = 512;

/// For how long one generation counts. What is told comes from the last two.
const GENERATION: Duration = Duration::from_secs(150);

/// What is counted of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Requests.
    pub calls: u64,
    /// Those that were answered by an error, or whose tool said that it failed.
    pub errors: u64,
    /// Those that were refused here.
    pub refused: u64,
    /// Time spent in Moorline, in microseconds.
    pub own_us: u64,
    /// Time spent waiting for backends, in microseconds.
    pub backend_us: u64,
}

impl Share {
    /// Counts what another has counted.
    pub fn join(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.refused += other.refused;
        self.own_us += other.own_us;
        self.backend_us += other.backend_us;
    }
}

/// The busiest of the last minutes.
#[derive(Debug)]
pub struct Top<K> {
    began: Instant,
    before: HashMap<K, (Box<str>, Share)>,
    now: HashMap<K, (Box<str>, Share)>,
}

impl<K: Copy + Eq + Hash> Top<K> {
    /// Nobody yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { began: now, before: HashMap::new(), now: HashMap::new() }
    }

    /// Counts one request of whoever goes by `key`; what that is called is asked once.
    pub fn count(&mut self, key: K, name: impl FnOnce() -> Box<str>, share: &Share, now: Instant) {
        self.turn(now);
        if self.now.len() >= 2 * KEPT && !self.now.contains_key(&key) {
            self.forget_the_rare();
        }
        self.now.entry(key).or_insert_with(|| (name(), Share::default())).1.join(share);
    }

    /// Since when what [`Top::all`] tells was counted, and all of them, in no order.
    pub fn all(&mut self, now: Instant) -> (Duration, Vec<(K, Box<str>, Share)>) {
        self.turn(now);
        let both = self.before.iter().chain(&self.now);
        let mut joined: HashMap<K, (Box<str>, Share)> = HashMap::new();
        for (key, (name, share)) in both {
            joined.entry(*key).or_insert_with(|| (name.clone(), Share::default())).1.join(share);
        }
        let whole = if self.before.is_empty() { Duration::ZERO } else { GENERATION };
        let since = now.saturating_duration_since(self.began) + whole;
        (since, joined.into_iter().map(|(key, (name, share))| (key, name, share)).collect())
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if age < GENERATION {
            return;
        }
        let last = std::mem::take(&mut self.now);
        self.before = if age < 2 * GENERATION { last } else { HashMap::new() };
        self.began = now;
    }

    fn forget_the_rare(&mut self) {
        let mut calls: Vec<u64> = self.now.values().map(|(_, share)| share.calls).collect();
        let at = calls.len().saturating_sub(KEPT);
        let (_, least, _) = calls.select_nth_unstable(at);
        let least = *least;
        let mut room = KEPT.saturating_sub(calls.iter().filter(|calls| **calls > least).count());
        self.now.retain(|_, (_, share)| {
            let tied = share.calls == least && room > 0;
            room -= usize::from(tied);
            tied || share.calls > least
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn one() -> Share {
        Share { calls: 1, ..Share::default() }
    }

    #[test]
    fn the_busy_stay_whatever_number_of_others_comes() {
        let clock = Clock::manual();
        let mut top = Top::new(clock.now());
        for number in 0..100_000_u32 {
            top.count(number, || "x".into(), &one(), clock.now());
            top.count(number % 7 + 1_000_000, || "busy".into(), &one(), clock.now());
        }
        let (_, all) = top.all(clock.now());
        assert!(all.len() <= 2 * KEPT);
        let busy: Vec<_> = all.iter().filter(|(_, name, _)| &**name == "busy").collect();
        assert_eq!(busy.len(), 7);
        assert!(busy.iter().all(|(_, _, share)| share.calls >= 100_000 / 7), "{busy:?}");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let clock = Clock::manual();
        let mut top = Top::new(clock.now());
        top.count(1, || "a".into(), &one(), clock.now());
        clock.advance(GENERATION);
        top.count(1, || "a".into(), &one(), clock.now());
        let (since, all) = top.all(clock.now());
        assert_eq!((since, all[0].2.calls), (GENERATION, 2));
        clock.advance(GENERATION);
        assert_eq!(top.all(clock.now()).1[0].2.calls, 1);
        clock.advance(2 * GENERATION);
        assert!(top.all(clock.now()).1.is_empty());
    }
}
