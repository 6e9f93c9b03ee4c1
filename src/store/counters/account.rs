//! One counter's state, and all that may happen to it, as pure functions of state, budget, cost and time. Knows neither
//! where states are kept nor the others of the same decision.

use std::time::Duration;

use super::block::Blocked;
use super::gcra::{Bucket, Due};
use super::window::{Fixed, Sliding, Window};
use super::{Budget, Charge, Measure, Micros, Standing};

/// What one subject has spent of one budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Account {
    /// What has been spent, by the budget's rule. Of another rule than that where the budget was replaced since: then it
    /// counts as nothing.
    pub spent: Spent,
    /// Whether the subject is refused anyhow.
    pub blocked: Blocked,
}

/// What has been spent, as each rule remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Spent {
    /// [`Measure::Gcra`].
    Gcra(Due),
    /// [`Measure::FixedWindow`].
    Fixed(Fixed),
    /// [`Measure::SlidingWindow`].
    Sliding(Sliding),
    /// [`Measure::Slots`]: so many are taken.
    Slots(u64),
}

/// Why a charge was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Refusal {
    /// There is not so much left.
    Spent,
    /// The subject is blocked.
    Blocked,
}

/// How much room there is for a cost, blocks aside. Times are from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Room {
    /// The largest cost that would be admitted now.
    pub remaining: u64,
    /// After what time all of it is there again.
    pub reset: Micros,
    /// After what time the cost is admitted; [`Self::reset`] if it never is.
    pub retry_after: Micros,
}

impl Account {
    /// The account of whom nothing is known.
    pub fn fresh(budget: &Budget) -> Self {
        Self { spent: Spent::nothing(budget.measure), blocked: Blocked::default() }
    }

    /// The account once the charge is made too, or why it is not.
    pub fn take(self, charge: &Charge, now: Micros) -> Result<Self, Refusal> {
        if self.blocked.left(now) > 0 {
            return Err(Refusal::Blocked);
        }
        let spent = self.spent.spend(charge.budget.measure, charge.cost, now).ok_or(Refusal::Spent)?;
        Ok(Self { spent, ..self })
    }

    /// The account after it has refused, when it was not blocked.
    pub fn refuse(self, budget: &Budget, now: Micros) -> Self {
        let blocked = budget.block.map_or(self.blocked, |block| self.blocked.begin(block, now));
        Self { blocked, ..self }
    }

    /// How it stands for such a charge.
    pub fn standing(self, charge: &Charge, now: Micros) -> Standing {
        let room = self.spent.room(charge.budget.measure, charge.cost, now);
        let left = self.blocked.left(now);
        let blocked = left > 0;
        Standing {
            remaining: if blocked { 0 } else { room.remaining },
            reset: Duration::from_micros(room.reset.max(left)),
            retry_after: Duration::from_micros(room.retry_after.max(left)),
            blocked,
        }
    }

    /// The account as if the charge had cost `actual`.
    pub fn settle(self, charge: &Charge, actual: u64, at: Micros, now: Micros) -> Self {
        Self { spent: self.spent.settle(charge.budget.measure, (charge.cost, actual), at, now), ..self }
    }

    /// The account of a charge that is known of only because it is settled: what else there was is forgotten.
    pub fn remembered(charge: &Charge, at: Micros) -> Self {
        let fresh = Self::fresh(&charge.budget);
        match fresh.take(charge, at) {
            Ok(account) if !account.holds_slots() => account,
            _ => fresh,
        }
    }

    /// The account with one slot less.
    pub fn give_back(self) -> Self {
        match self.spent {
            Spent::Slots(taken) => Self { spent: Spent::Slots(taken.saturating_sub(1)), ..self },
            _ => self,
        }
    }

    /// From when on it says no more than a fresh one; the end of time where slots are taken.
    pub fn forgotten_at(self, budget: &Budget) -> Micros {
        self.spent.full_at(budget.measure).max(self.blocked.forgotten_at(budget.block))
    }

    /// Whether slots are taken.
    pub const fn holds_slots(self) -> bool {
        matches!(self.spent, Spent::Slots(1..))
    }

    /// Whether it must not be forgotten for others' sake: it is blocked, or slots are taken.
    pub const fn is_pinned(self, now: Micros) -> bool {
        self.blocked.left(now) > 0 || self.holds_slots()
    }
}

impl Spent {
    fn nothing(measure: Measure) -> Self {
        match measure {
            Measure::Gcra { .. } => Self::Gcra(Due::default()),
            Measure::FixedWindow(_) => Self::Fixed(Fixed::default()),
            Measure::SlidingWindow(_) => Self::Sliding(Sliding::default()),
            Measure::Slots(_) => Self::Slots(0),
        }
    }

    fn spend(self, measure: Measure, cost: u64, now: Micros) -> Option<Self> {
        match (measure, self) {
            (Measure::Gcra { rate, burst }, Self::Gcra(due)) => {
                Bucket::new(rate, burst).spend(due, cost, now).map(Self::Gcra)
            }
            (Measure::FixedWindow(rate), Self::Fixed(fixed)) => {
                fixed.spend(Window::new(rate), cost, now).map(Self::Fixed)
            }
            (Measure::SlidingWindow(rate), Self::Sliding(sliding)) => {
                sliding.spend(Window::new(rate), cost, now).map(Self::Sliding)
            }
            (Measure::Slots(most), Self::Slots(taken)) => (taken < most).then_some(Self::Slots(taken + 1)),
            _ => Self::nothing(measure).spend(measure, cost, now),
        }
    }

    fn room(self, measure: Measure, cost: u64, now: Micros) -> Room {
        match (measure, self) {
            (Measure::Gcra { rate, burst }, Self::Gcra(due)) => Bucket::new(rate, burst).room(due, cost, now),
            (Measure::FixedWindow(rate), Self::Fixed(fixed)) => fixed.room(Window::new(rate), cost, now),
            (Measure::SlidingWindow(rate), Self::Sliding(sliding)) => sliding.room(Window::new(rate), cost, now),
            (Measure::Slots(most), Self::Slots(taken)) => {
                Room { remaining: most.saturating_sub(taken), reset: 0, retry_after: 0 }
            }
            _ => Self::nothing(measure).room(measure, cost, now),
        }
    }

    fn settle(self, measure: Measure, costs: (u64, u64), at: Micros, now: Micros) -> Self {
        match (measure, self) {
            (Measure::Gcra { rate, burst }, Self::Gcra(due)) => {
                Self::Gcra(Bucket::new(rate, burst).settle(due, costs, now))
            }
            (Measure::FixedWindow(rate), Self::Fixed(fixed)) => {
                Self::Fixed(fixed.settle(Window::new(rate), costs, at, now))
            }
            (Measure::SlidingWindow(rate), Self::Sliding(sliding)) => {
                Self::Sliding(sliding.settle(Window::new(rate), costs, at, now))
            }
            _ => self,
        }
    }

    fn full_at(self, measure: Measure) -> Micros {
        match (measure, self) {
            (_, Self::Slots(1..)) => Micros::MAX,
            (_, Self::Gcra(due)) => due.full_at(),
            (Measure::FixedWindow(rate), Self::Fixed(fixed)) => fixed.full_at(Window::new(rate)),
            (Measure::SlidingWindow(rate), Self::Sliding(sliding)) => sliding.full_at(Window::new(rate)),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::Arc;

    use super::*;
    use crate::config::Rate;
    use crate::store::counters::{Block, BudgetId, Subject};

    const START: Micros = 1_800_000_000_000_000;
    const SECOND: Micros = 1_000_000;

    fn per_minute(count: u64) -> Rate {
        Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(60) }
    }

    fn charge(measure: Measure, block: Option<u64>, cost: u64) -> Charge {
        let block = block.map(|first| Block { first: Duration::from_secs(first), most: Duration::from_secs(100) });
        let budget = Budget { id: BudgetId(1), name: "calls".into(), measure, block };
        Charge { budget: Arc::new(budget), subject: Subject(1), cost }
    }

    fn measures() -> [Measure; 4] {
        let rate = per_minute(2);
        [Measure::Gcra { rate, burst: 2 }, Measure::FixedWindow(rate), Measure::SlidingWindow(rate), Measure::Slots(2)]
    }

    #[test]
    fn a_block_refuses_what_the_rate_would_admit_again() {
        let charge = charge(Measure::Gcra { rate: per_minute(60), burst: 1 }, Some(50), 1);
        let account = Account::fresh(&charge.budget).take(&charge, START).unwrap();
        assert_eq!(account.take(&charge, START), Err(Refusal::Spent));
        let account = account.refuse(&charge.budget, START);
        let later = START + 20 * SECOND;
        assert_eq!(account.take(&charge, later), Err(Refusal::Blocked));
        let standing = account.standing(&charge, later);
        let rest = Duration::from_secs(30);
        assert_eq!(standing, Standing { remaining: 0, reset: rest, retry_after: rest, blocked: true });
        assert!(account.take(&charge, START + 50 * SECOND).is_ok());
    }

    #[test]
    fn the_time_to_retry_is_honest_where_the_rate_refuses_longer_than_the_block() {
        let charge = charge(Measure::FixedWindow(per_minute(1)), Some(1), 1);
        let account = Account::fresh(&charge.budget).take(&charge, START).unwrap().refuse(&charge.budget, START);
        assert_eq!(account.standing(&charge, START).retry_after, Duration::from_secs(60));
    }

    #[test]
    fn without_a_block_a_refusal_changes_nothing() {
        for measure in measures() {
            let charge = charge(measure, None, 1);
            let account = Account::fresh(&charge.budget).take(&charge, START).unwrap();
            assert_eq!(account.refuse(&charge.budget, START), account);
        }
    }

    #[test]
    fn slots_come_back_and_never_more_than_were_taken() {
        let charge = charge(Measure::Slots(2), None, 1);
        let account = Account::fresh(&charge.budget);
        let full = account.take(&charge, START).unwrap().take(&charge, START).unwrap();
        assert_eq!(full.take(&charge, START), Err(Refusal::Spent));
        let standing = full.standing(&charge, START);
        assert_eq!((standing.remaining, standing.retry_after), (0, Duration::ZERO));
        assert!(full.is_pinned(START) && full.forgotten_at(&charge.budget) == Micros::MAX);
        let back = full.give_back().give_back().give_back();
        assert_eq!(back, account);
        assert!(!back.is_pinned(START) && back.forgotten_at(&charge.budget) == 0);
    }

    #[test]
    fn what_another_rule_remembers_counts_as_nothing() {
        for old in measures() {
            let spent = Account::fresh(&charge(old, None, 1).budget).take(&charge(old, None, 1), START).unwrap();
            for new in measures().into_iter().filter(|new| *new != old) {
                let charge = charge(new, None, 1);
                assert_eq!(spent.standing(&charge, START), Account::fresh(&charge.budget).standing(&charge, START));
                let two = spent.take(&charge, START).unwrap().take(&charge, START).unwrap();
                assert_eq!(two.take(&charge, START), Err(Refusal::Spent), "{old:?} {new:?}");
            }
        }
    }

    #[test]
    fn a_forgotten_account_that_is_settled_remembers_that_charge() {
        let charge = charge(Measure::Gcra { rate: per_minute(60), burst: 100 }, None, 1);
        let account = Account::remembered(&charge, START).settle(&charge, 50, START, START + 10 * SECOND);
        assert_eq!(account.standing(&charge, START + 10 * SECOND).remaining, 60);
    }
}
