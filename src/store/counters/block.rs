//! Blocks: for how long a subject is refused once it has exceeded a budget. Pure; knows no budget's state.

use std::time::Duration;

use super::{Block, Micros, micros};

/// Until when a subject is refused, and how often in a row that has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Blocked {
    /// When the block ends. In the past where there is none.
    pub until: Micros,
    /// How many blocks followed each other closely. A hold is none of them.
    pub strikes: u8,
}

impl Blocked {
    /// How long it still lasts; zero if there is none.
    pub const fn left(self, now: Micros) -> Micros {
        self.until.saturating_sub(now)
    }

    /// Begins a block: twice as long as the last one, if that has not been over yet for as long as it lasted.
    pub fn begin(self, block: Block, now: Micros) -> Self {
        let in_a_row = self.strikes > 0 && now < self.until.saturating_add(length(block, self.strikes));
        let strikes = if in_a_row { self.strikes.saturating_add(1) } else { 1 };
        Self { until: now.saturating_add(length(block, strikes)), strikes }
    }

    /// Refuses for at least so long.
    pub fn hold(self, lasts: Duration, now: Micros) -> Self {
        Self { until: self.until.max(now.saturating_add(micros(lasts))), ..self }
    }

    /// From when on nothing of it matters any more.
    pub fn forgotten_at(self, block: Option<Block>) -> Micros {
        let matters = block.filter(|block| self.strikes > 0 && block.most > block.first);
        self.until.saturating_add(matters.map_or(0, |block| length(block, self.strikes)))
    }
}

/// How long the block after so many in a row lasts, itself counted; at least 1.
fn length(block: Block, strikes: u8) -> Micros {
    let times = 1_u64.checked_shl(u32::from(strikes) - 1).unwrap_or(u64::MAX);
    let first = micros(block.first);
    first.saturating_mul(times).min(micros(block.most).max(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Micros = 1_800_000_000_000_000;
    const BLOCK: Block = Block { first: Duration::from_micros(100), most: Duration::from_micros(700) };

    #[test]
    fn each_block_in_a_row_is_twice_as_long_up_to_the_longest() {
        let (mut blocked, mut now, mut lengths) = (Blocked::default(), START, Vec::new());
        for _ in 0..300 {
            blocked = blocked.begin(BLOCK, now);
            lengths.push(blocked.left(now));
            now = blocked.until;
        }
        assert_eq!(lengths[..5], [100, 200, 400, 700, 700]);
        assert!(lengths[5..].iter().all(|length| *length == 700));
    }

    #[test]
    fn a_block_is_forgotten_when_it_has_been_over_for_as_long_as_it_lasted() {
        let second = Blocked::default().begin(BLOCK, START).begin(BLOCK, START + 100);
        assert_eq!(second.until, START + 300);
        assert_eq!(second.begin(BLOCK, START + 499).left(START + 499), 400);
        assert_eq!(second.begin(BLOCK, START + 500).left(START + 500), 100);
        assert_eq!(second.forgotten_at(Some(BLOCK)), START + 500);
    }

    #[test]
    fn without_escalation_all_are_the_same_and_soon_forgotten() {
        let block = Block { most: BLOCK.first, ..BLOCK };
        let blocked = Blocked::default().begin(block, START).begin(block, START + 100);
        assert_eq!(blocked.left(START + 100), 100);
        assert_eq!(blocked.forgotten_at(Some(block)), blocked.until);
        let shorter = Block { most: Duration::ZERO, ..BLOCK };
        assert_eq!(Blocked::default().begin(shorter, START).left(START), 100);
    }

    #[test]
    fn a_hold_shortens_nothing_and_is_no_strike() {
        let blocked = Blocked::default().begin(BLOCK, START);
        assert_eq!(blocked.hold(Duration::from_micros(50), START), blocked);
        let held = Blocked::default().hold(Duration::from_micros(50), START);
        assert_eq!((held.left(START), held.strikes), (50, 0));
        assert_eq!(held.begin(BLOCK, START + 50).left(START + 50), 100);
        assert_eq!(Blocked::default().hold(Duration::MAX, START).left(START), u64::MAX - START);
    }

    proptest! {
        /// What has been forgotten makes no difference.
        #[test]
        fn forgetting_is_not_noticed(waits in prop::collection::vec(0_u64..2000, 1..40)) {
            let (mut kept, mut forgetful, mut now) = (Blocked::default(), Blocked::default(), START);
            for wait in waits {
                now += wait;
                if forgetful.forgotten_at(Some(BLOCK)) <= now {
                    forgetful = Blocked::default();
                }
                prop_assert_eq!(kept.left(now), forgetful.left(now));
                if kept.left(now) == 0 {
                    (kept, forgetful) = (kept.begin(BLOCK, now), forgetful.begin(BLOCK, now));
                }
                prop_assert_eq!(kept.left(now), forgetful.left(now));
            }
        }
    }
}
