//! Fixed and sliding windows as pure arithmetic: no clock, no locks. Windows are aligned to 1970.
//!
//! A sliding window knows two numbers: what was spent in the window that runs, and in the one before, which is weighed by
//! how much of it still lies within the last window's length (as if it had been spent evenly). It slides in a thousand
//! steps, so that no product exceeds 2^53 and whoever computes in doubles (Lua) finds the same.

use super::account::Room;
use super::{Micros, micros};
use crate::config::Rate;

/// In how many steps a sliding window slides. With the largest number a window holds, 4·10^12, the sums stay below 2^53.
const STEPS: u64 = 1000;
/// The most that a window holds. A rate has at most 2.592·10^12 (a million a second for thirty days); a correction may
/// lead beyond.
pub(in crate::store) const MOST: u64 = 4_000_000_000_000;

/// A budget's window.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Window {
    count: u64,
    per: Micros,
}

/// What was spent in the window that ran when it was last spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Fixed {
    /// How many windows after 1970.
    pub index: u64,
    /// What was spent in it.
    pub used: u64,
}

/// The same, and what was spent in the window before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Sliding {
    /// How many windows after 1970.
    pub index: u64,
    /// What was spent in it.
    pub used: u64,
    /// What was spent in the one before.
    pub previous: u64,
}

impl Window {
    /// The window of this rate.
    pub fn new(rate: Rate) -> Self {
        Self { count: rate.count.get().min(MOST), per: micros(rate.per).max(STEPS) }
    }

    fn index(self, now: Micros) -> u64 {
        now / self.per
    }

    fn start(self, index: u64) -> Micros {
        index.saturating_mul(self.per)
    }

    /// What is left beside `used` and `cost`; none if that is too much already.
    fn beside(self, used: u64, cost: u64) -> Option<u64> {
        self.count.checked_sub(used.saturating_add(cost))
    }
}

impl Fixed {
    /// The state once `cost` is spent too; none if there is not so much.
    pub fn spend(self, window: Window, cost: u64, now: Micros) -> Option<Self> {
        let rolled = self.rolled(window, now);
        window.beside(rolled.used, cost).map(|_| Self { used: rolled.used + cost, ..rolled })
    }

    /// How it stands for such a cost.
    pub fn room(self, window: Window, cost: u64, now: Micros) -> Room {
        let rolled = self.rolled(window, now);
        let reset = rolled.full_at(window).saturating_sub(now);
        let retry_after = if window.beside(rolled.used, cost).is_some() { 0 } else { reset };
        Room { remaining: window.count.saturating_sub(rolled.used), reset, retry_after }
    }

    /// The state as if `actual` had been charged at `at` instead of `charged`, if that window still runs.
    pub fn settle(self, window: Window, (charged, actual): (u64, u64), at: Micros, now: Micros) -> Self {
        let rolled = self.rolled(window, now);
        if window.index(at) != rolled.index {
            return rolled;
        }
        Self { used: settled(rolled.used, charged, actual), ..rolled }
    }

    /// When it is full again.
    pub fn full_at(self, window: Window) -> Micros {
        if self.used == 0 { 0 } else { window.start(self.index + 1) }
    }

    /// A state of another window, or of a rate that has been replaced since, says nothing of this one.
    fn rolled(self, window: Window, now: Micros) -> Self {
        let index = window.index(now);
        if self.index == index { self } else { Self { index, used: 0 } }
    }
}

impl Sliding {
    /// The state once `cost` is spent too; none if there is not so much.
    pub fn spend(self, window: Window, cost: u64, now: Micros) -> Option<Self> {
        let rolled = self.rolled(window, now);
        let left = window.beside(rolled.used, cost)?;
        (rolled.still_counts(window, now) <= left * STEPS).then(|| Self { used: rolled.used + cost, ..rolled })
    }

    /// How it stands for such a cost.
    pub fn room(self, window: Window, cost: u64, now: Micros) -> Room {
        let rolled = self.rolled(window, now);
        let left = window.count.saturating_sub(rolled.used) * STEPS;
        let remaining = left.saturating_sub(rolled.still_counts(window, now)) / STEPS;
        let reset = rolled.full_at(window).saturating_sub(now);
        let retry_after = if cost > window.count { reset } else { rolled.admits_at(window, cost).saturating_sub(now) };
        Room { remaining, reset, retry_after }
    }

    /// The state as if `actual` had been charged at `at` instead of `charged`, if that window still counts.
    pub fn settle(self, window: Window, (charged, actual): (u64, u64), at: Micros, now: Micros) -> Self {
        let rolled = self.rolled(window, now);
        match rolled.index.checked_sub(window.index(at)) {
            Some(0) => Self { used: settled(rolled.used, charged, actual), ..rolled },
            Some(1) => Self { previous: settled(rolled.previous, charged, actual), ..rolled },
            _ => rolled,
        }
    }

    /// When it is full again.
    pub fn full_at(self, window: Window) -> Micros {
        match (self.used, self.previous) {
            (0, 0) => 0,
            (0, _) => window.start(self.index + 1),
            _ => window.start(self.index + 2),
        }
    }

    fn rolled(self, window: Window, now: Micros) -> Self {
        let index = window.index(now);
        match index.checked_sub(self.index) {
            Some(0) => self,
            Some(1) => Self { index, used: 0, previous: self.used },
            _ => Self { index, used: 0, previous: 0 },
        }
    }

    /// How much of the window before still counts, in thousandths.
    fn still_counts(self, window: Window, now: Micros) -> u64 {
        let step = (now % window.per) / (window.per / STEPS);
        self.previous * (STEPS - step.min(STEPS))
    }

    /// From when on a cost within the count is admitted, if nothing more is spent; it may lie in the past.
    fn admits_at(self, window: Window, cost: u64) -> Micros {
        let in_this = window.beside(self.used, cost).map(|left| (self.index, self.previous, left));
        let (index, weighs, left) = in_this.unwrap_or((self.index + 1, self.used, window.count - cost));
        // The first step at which so little of the window before counts that the rest of it fits in.
        let step = if weighs <= left { 0 } else { STEPS - left * STEPS / weighs };
        if step == STEPS {
            return window.start(index + 1);
        }
        window.start(index) + step * (window.per / STEPS)
    }
}

fn settled(used: u64, charged: u64, actual: u64) -> u64 {
    used.saturating_add(actual).saturating_sub(charged).min(MOST)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Micros = 1_800_000_000_000_000;
    const SECOND: Micros = 1_000_000;

    fn window(count: u64, seconds: u64) -> Window {
        Window::new(Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(seconds) })
    }

    fn windows() -> impl Strategy<Value = Window> {
        let month = 30 * 86_400_u64;
        prop_oneof![
            (1_u64..30, 1_u64..5).prop_map(|(count, per)| window(count, per)),
            (1_u64..5000, 1..=month).prop_map(|(count, per)| window(count, per)),
            (1..=month)
                .prop_flat_map(|per| (1..=1_000_000 * per, Just(per)))
                .prop_map(|(count, per)| window(count, per)),
        ]
    }

    /// What to charge, in parts of the count where it is not a few, and how long to wait first, in thousandths of a window
    /// and microseconds.
    fn acts() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
        let cost = prop_oneof![4 => 0_u64..4, 2 => 4_u64..1000];
        let waits = prop_oneof![3 => Just(0_u64), 3 => 0_u64..100, 1 => 0_u64..3000];
        prop::collection::vec((cost, waits, 0_u64..3), 1..100)
    }

    fn cost_of(window: Window, cost: u64) -> u64 {
        if cost < 4 { cost } else { window.count / cost.min(window.count) }
    }

    /// Everything that was ever admitted, looked through each time.
    #[derive(Default)]
    struct Log(Vec<(Micros, u64)>);

    impl Log {
        fn spent(&self, window: Window, index: u64) -> u128 {
            self.0.iter().filter(|(at, _)| at / window.per == index).map(|(_, cost)| u128::from(*cost)).sum()
        }

        fn takes_fixed(&self, window: Window, cost: u64, now: Micros) -> bool {
            self.spent(window, now / window.per) + u128::from(cost) <= u128::from(window.count)
        }

        /// The window before weighed by what is left of this one, in whole thousandths rounded up.
        fn takes_sliding(&self, window: Window, cost: u64, now: Micros) -> bool {
            let index = now / window.per;
            let rest = u128::from((index + 1) * window.per - now);
            let thousandths = (rest * 1000).div_ceil(u128::from(window.per));
            let before = self.spent(window, index - 1) * thousandths;
            before + (self.spent(window, index) + u128::from(cost)) * 1000 <= u128::from(window.count) * 1000
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn fixed_windows_agree_with_the_log(window in windows(), acts in acts(), asked in 0_u64..1000) {
            let (mut fixed, mut log, mut now) = (Fixed::default(), Log::default(), START);
            for (cost, waits, micros) in acts {
                now += waits * (window.per / 1000) + micros;
                let cost = cost_of(window, cost);
                let after = fixed.spend(window, cost, now);
                prop_assert_eq!(after.is_some(), log.takes_fixed(window, cost, now));
                if let Some(after) = after {
                    fixed = after;
                    log.0.push((now, cost));
                }
            }
            let asked = cost_of(window, asked);
            let room = fixed.room(window, asked, now);
            let admits = |cost, after: Micros| log.takes_fixed(window, cost, now + after);
            prop_assert!(admits(room.remaining, 0) && !admits(room.remaining + 1, 0));
            prop_assert!(admits(asked, room.retry_after) || asked > window.count);
            prop_assert!(room.retry_after == 0 || !admits(asked, room.retry_after - 1));
            prop_assert!(admits(window.count, room.reset));
            prop_assert!(room.reset == 0 || !admits(window.count, room.reset - 1));
        }

        #[test]
        fn sliding_windows_agree_with_the_log(window in windows(), acts in acts(), asked in 0_u64..1000) {
            let (mut sliding, mut log, mut now) = (Sliding::default(), Log::default(), START);
            for (cost, waits, micros) in acts {
                now += waits * (window.per / 1000) + micros;
                let cost = cost_of(window, cost);
                let after = sliding.spend(window, cost, now);
                prop_assert_eq!(after.is_some(), log.takes_sliding(window, cost, now));
                if let Some(after) = after {
                    sliding = after;
                    log.0.push((now, cost));
                }
                prop_assert!(log.spent(window, now / window.per) <= u128::from(window.count));
            }
            let asked = cost_of(window, asked);
            let room = sliding.room(window, asked, now);
            let admits = |cost, after: Micros| log.takes_sliding(window, cost, now + after);
            prop_assert!(admits(room.remaining, 0) && !admits(room.remaining + 1, 0));
            prop_assert!(admits(asked, room.retry_after) || asked > window.count);
            prop_assert!(room.retry_after == 0 || !admits(asked, room.retry_after - 1));
            prop_assert!(admits(window.count, room.reset));
            prop_assert!(room.reset == 0 || !admits(window.count, room.reset - 1));
        }

        #[test]
        fn settled_charges_end_exact(calls in prop::collection::vec((0_u64..1000, 0_u64..1000), 1..20), later in 0_u64..3) {
            let window = window(1_000_000, 60);
            let (fixed, sliding) = (Fixed::default(), Sliding::default());
            let now = START + later * window.per;
            let spend = |states: (Fixed, Sliding), cost| {
                (states.0.spend(window, cost, START).unwrap(), states.1.spend(window, cost, START).unwrap())
            };
            let exact = calls.iter().fold((fixed, sliding), |states, (_, actual)| spend(states, *actual));
            let mut states = calls.iter().fold((fixed, sliding), |states, (estimate, _)| spend(states, *estimate));
            for call in calls.iter().rev() {
                states = (states.0.settle(window, *call, START, now), states.1.settle(window, *call, START, now));
            }
            prop_assert_eq!(states, (exact.0.rolled(window, now), exact.1.rolled(window, now)));
        }
    }

    #[test]
    fn a_window_that_is_over_is_not_corrected() {
        let window = window(10, 60);
        let fixed = Fixed::default().spend(window, 3, START).unwrap();
        let next = START + 60 * SECOND;
        let fixed = fixed.spend(window, 4, next).unwrap().settle(window, (3, 0), START, next);
        assert_eq!(fixed.used, 4);
        let sliding = Sliding::default().spend(window, 3, START).unwrap().spend(window, 4, next).unwrap();
        assert_eq!(sliding.settle(window, (3, 5), START, next).previous, 5);
        let after_next = next + 60 * SECOND;
        assert_eq!(sliding.settle(window, (3, 0), START, after_next), sliding.rolled(window, after_next));
    }

    #[test]
    fn a_correction_ends_neither_below_nothing_nor_beyond_all_bounds() {
        let window = window(10, 60);
        let sliding = Sliding::default().spend(window, 3, START).unwrap();
        assert_eq!(sliding.settle(window, (9, 1), START, START).used, 0);
        let sliding = sliding.settle(window, (0, u64::MAX), START, START);
        let next = START + 60 * SECOND;
        let room = sliding.room(window, 1, next);
        assert_eq!((room.remaining, room.reset, room.retry_after), (0, 60 * SECOND, 60 * SECOND));
    }

    #[test]
    fn no_product_of_a_sliding_window_exceeds_what_a_double_holds() {
        let count = 2_592_000_000_000_u64;
        assert!(count * STEPS + MOST * STEPS < 1 << 53);
        let window = window(count, 30 * 86_400);
        let full = Sliding { index: window.index(START), used: MOST, previous: MOST };
        assert_eq!(full.room(window, count, START).remaining, 0);
        assert!(full.room(window, count, START).retry_after > 0);
    }
}
