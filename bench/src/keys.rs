//! Which call comes next where answers may be kept: always the same one, one of a thousand by Zipf's law, or one that nobody has
//! made before. Numbers only; always the same ones in the same order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ranks that are drawn from: the n-th comes up as often as 1/n.
const RANKS: u32 = 1000;

/// Which part of what is drawn shall have been there before.
const KNOWN: f64 = 0.9;

/// Calls have numbers of eight digits; those of the ranks begin here.
const FIRST_RANK: u32 = 10_000_000;

/// Those that were never there before begin here.
const FIRST_NEW: u32 = 20_000_000;

/// How calls are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Always the same.
    One,
    /// By Zipf's law: the most frequent ranks, nine in ten of what is drawn, are always the same call; each of the others is a new one.
    Zipf,
    /// Always a new one.
    New,
}

/// Draws calls for one connection.
#[derive(Clone, Debug)]
pub struct Keys {
    draw: Draw,
    /// All connections take new ones from here.
    new: Arc<AtomicU32>,
    /// What share of all draws falls on each rank and those before it.
    ladder: Arc<[f64]>,
    known: usize,
    seed: u64,
}

impl Keys {
    /// For all connections: each takes its own by [`Keys::of`].
    pub fn new(draw: Draw) -> Self {
        let whole: f64 = (1..=RANKS).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut sum = 0.0;
        let steps = (1..=RANKS).map(|rank| {
            sum += 1.0 / f64::from(rank) / whole;
            sum
        });
        let ladder: Arc<[f64]> = steps.collect();
        let known = ladder.partition_point(|share| *share < KNOWN) + 1;
        Self { draw, new: Arc::new(AtomicU32::new(FIRST_NEW)), ladder, known, seed: 0 }
    }

    /// For one connection.
    pub fn of(&self, connection: usize) -> Self {
        Self { seed: (connection as u64) << 40, ..self.clone() }
    }

    /// The calls that come again and again, so that they can be made before anything is measured.
    pub fn known(&self) -> Vec<u32> {
        match self.draw {
            Draw::One => vec![FIRST_RANK],
            Draw::Zipf => (FIRST_RANK..).take(self.known).collect(),
            Draw::New => Vec::new(),
        }
    }

    /// The next one's number.
    pub fn next(&mut self) -> u32 {
        match self.draw {
            Draw::One => FIRST_RANK,
            Draw::New => self.one_more(),
            Draw::Zipf => {
                let share = self.chance();
                let rank = self.ladder.partition_point(|up_to| *up_to < share);
                if rank < self.known { FIRST_RANK + u32::try_from(rank).unwrap_or_default() } else { self.one_more() }
            }
        }
    }

    fn one_more(&self) -> u32 {
        self.new.fetch_add(1, Ordering::Relaxed)
    }

    /// Evenly from 0 to 1 (SplitMix64).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    const fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.seed;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_in_ten_were_there_before() {
        let all = Keys::new(Draw::Zipf);
        let (mut one, mut other) = (all.of(1), all.of(2));
        let drawn: Vec<u32> = (0..50_000).flat_map(|_| [one.next(), other.next()]).collect();
        let known = all.known();
        let hits = drawn.iter().filter(|key| known.contains(key)).count();
        assert!((89_000..91_000).contains(&hits), "{hits}");
        let mut new: Vec<_> = drawn.iter().filter(|key| **key >= FIRST_NEW).collect();
        let count = new.len();
        new.sort_unstable();
        new.dedup();
        assert_eq!((new.len(), count + hits), (count, drawn.len()), "no new one comes twice");
        let of = |rank: u32| drawn.iter().filter(|key| **key == FIRST_RANK + rank).count();
        assert!(of(0) > of(1) && of(1) > of(9), "the first come most often");
    }

    #[test]
    fn the_others_draw_as_they_say() {
        let mut one = Keys::new(Draw::One);
        assert_eq!((one.next(), one.next(), one.known()), (FIRST_RANK, FIRST_RANK, vec![FIRST_RANK]));
        let mut new = Keys::new(Draw::New);
        assert_eq!((new.next(), new.next(), new.known()), (FIRST_NEW, FIRST_NEW + 1, Vec::new()));
    }
}
