//! Who has how much of something that only so many may have, now and of late. Room is kept for callers who have less than
//! they had of late: whoever asks for one thing after the other is away for a moment between two, and a greedy caller who
//! takes each slot at that moment would have them all. Pure arithmetic.

use std::collections::HashMap;

use crate::store::counters::{Micros, Subject};

/// How soon it is forgotten what somebody had: after this time 63 % of it, in microseconds.
const MEMORY: f64 = 1_000_000.0;

/// Whoever had less than this of late had nothing.
const NOTHING: f64 = 0.02;

/// Callers that are remembered without being looked over.
const FEW: usize = 64;

/// What each caller has, and had.
#[derive(Debug, Default)]
pub struct Shares {
    of: HashMap<Subject, Share>,
    running: u32,
    /// When there are so many callers, those that had nothing of late are forgotten.
    tidy_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    running: u32,
    /// The sum of what it had, weighted by how long ago that was.
    late: f64,
    at: Micros,
    born: Micros,
}

impl Share {
    const fn new(now: Micros) -> Self {
        Self { running: 0, late: 0.0, at: now, born: now }
    }

    fn sum(self, now: Micros) -> f64 {
        let kept = kept(self.at, now);
        self.late * kept + f64::from(self.running) * (1.0 - kept)
    }

    /// The mean of what it had since it is known, what was long ago hardly counting.
    fn late(self, now: Micros) -> f64 {
        self.sum(now) / (1.0 - kept(self.born, now)).max(1e-9)
    }

    fn change(&mut self, running: u32, now: Micros) {
        *self = Self { running, late: self.sum(now), at: now, ..*self };
    }
}

/// How much of a moment's weight is left.
fn kept(at: Micros, now: Micros) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of some days at most")]
    let gone = now.saturating_sub(at) as f64;
    (-gone / MEMORY).exp()
}

impl Shares {
    /// How many a caller has now.
    #[must_use]
    pub fn runs(&self, caller: Subject) -> u32 {
        self.of.get(&caller).map_or(0, |share| share.running)
    }

    /// Whether nobody has anything, or had anything of late.
    #[must_use]
    pub fn are_forgotten(&self, now: Micros) -> bool {
        self.running == 0 && self.of.values().all(|share| share.late(now) < NOTHING)
    }

    /// Somebody begins.
    pub fn begin(&mut self, caller: Subject, now: Micros) {
        if self.of.len() >= self.tidy_at.max(FEW) {
            self.of.retain(|_, share| share.running > 0 || share.late(now) >= NOTHING);
            self.tidy_at = self.of.len() * 2;
        }
        let share = self.of.entry(caller).or_insert(Share::new(now));
        share.change(share.running + 1, now);
        self.running += 1;
    }

    /// Somebody ends.
    pub fn end(&mut self, caller: Subject, now: Micros) {
        if let Some(share) = self.of.get_mut(&caller).filter(|share| share.running > 0) {
            share.change(share.running - 1, now);
            self.running -= 1;
        }
    }

    /// Whether a caller may have one more, of `most`, without taking it from those who have less than they had of late.
    #[must_use]
    pub fn leaves_room(&self, caller: Subject, most: u32, now: Micros) -> bool {
        let own = self.runs(caller);
        if own == 0 {
            return true;
        }
        let missing = |share: &Share| (share.late(now) - f64::from(share.running)).max(0.0);
        let poorer = self.of.iter().filter(|(other, share)| **other != caller && share.running < own);
        let kept: f64 = poorer.map(|(_, share)| missing(share)).sum();
        // In whole ones: what is kept of half a slot helps nobody.
        f64::from(self.running) + 1.0 + kept.round() <= f64::from(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: Subject = Subject(0);
    const SECOND: Micros = 1_000_000;

    #[test]
    fn room_is_kept_for_those_who_come_back_at_once_and_not_for_ever() {
        let mut shares = Shares::default();
        let modest: Vec<_> = (1..=9).map(Subject).collect();
        modest.iter().for_each(|caller| shares.begin(*caller, 0));
        modest.iter().for_each(|caller| shares.end(*caller, 5 * SECOND));
        assert!(shares.leaves_room(GREEDY, 10, 5 * SECOND), "whoever has nothing may always have one");
        shares.begin(GREEDY, 5 * SECOND);
        assert!(!shares.leaves_room(GREEDY, 10, 5 * SECOND + 4000));
        assert!(shares.leaves_room(modest[0], 10, 5 * SECOND + 4000));
        assert!(shares.leaves_room(GREEDY, 10, 9 * SECOND), "they did not come back");
    }

    #[test]
    fn nothing_is_kept_for_those_who_need_little() {
        let mut shares = Shares::default();
        for second in 0..10 {
            for caller in (1..=10).map(Subject) {
                shares.begin(caller, second * SECOND);
                shares.end(caller, second * SECOND + 10_000);
            }
        }
        let now = 10 * SECOND;
        (0..9).for_each(|_| shares.begin(GREEDY, now));
        assert!(shares.leaves_room(GREEDY, 10, now), "ten callers of a hundredth each");
    }

    #[test]
    fn what_somebody_needs_is_known_from_the_first_call_on() {
        let mut shares = Shares::default();
        let modest: Vec<_> = (1..=9).map(Subject).collect();
        modest.iter().for_each(|caller| shares.begin(*caller, 0));
        shares.begin(GREEDY, 0);
        modest.iter().for_each(|caller| shares.end(*caller, SECOND / 10));
        assert!(!shares.leaves_room(GREEDY, 10, SECOND / 10 + 2000));
        assert!(shares.leaves_room(GREEDY, 10, SECOND), "they needed a tenth of a slot each");
    }

    #[test]
    fn callers_are_forgotten() {
        let mut shares = Shares::default();
        for caller in 0..100_000 {
            let now = Micros::try_from(caller).unwrap() * 1000;
            shares.begin(Subject(caller), now);
            shares.end(Subject(caller), now + 100);
        }
        assert!(shares.of.len() < 1000, "{}", shares.of.len());
        assert!(shares.are_forgotten(1_000 * SECOND));
    }
}
