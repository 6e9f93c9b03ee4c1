//! What one instance of several may spend of a budget while it cannot ask the others. Owns only the division.

use std::num::{NonZeroU32, NonZeroU64};

use super::{Budget, Measure};
use crate::config::Rate;

impl Budget {
    /// The budget of one of so many instances: together they admit no more than the whole, but each at least one at a time,
    /// and in each window where windows are counted.
    #[must_use]
    pub fn share(&self, instances: NonZeroU32) -> Self {
        let among = u64::from(instances.get());
        let part = |whole: u64| (whole / among).max(1);
        let fewer =
            |rate: Rate| Rate { count: NonZeroU64::new(part(rate.count.get())).unwrap_or(NonZeroU64::MIN), ..rate };
        let measure = match self.measure {
            // The same in a longer time loses no precision.
            Measure::Gcra { rate, burst } => {
                let rate = Rate { per: rate.per.saturating_mul(instances.get()), ..rate };
                Measure::Gcra { rate, burst: part(burst) }
            }
            Measure::FixedWindow(rate) => Measure::FixedWindow(fewer(rate)),
            Measure::SlidingWindow(rate) => Measure::SlidingWindow(fewer(rate)),
            Measure::Slots(most) => Measure::Slots(part(most)),
        };
        Self { measure, ..self.clone() }
    }

    /// The most that can be spent at once. A charge of more is never admitted.
    #[must_use]
    pub const fn most(&self) -> u64 {
        match self.measure {
            Measure::Gcra { burst, .. } => burst,
            Measure::FixedWindow(rate) | Measure::SlidingWindow(rate) => rate.count.get(),
            Measure::Slots(most) => most,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::store::counters::BudgetId;

    fn share_of(measure: Measure, instances: u32) -> Measure {
        let budget = Budget { id: BudgetId(7), name: "calls".into(), measure, block: None };
        let share = budget.share(NonZeroU32::new(instances).unwrap());
        assert_eq!((share.id, &share.name, share.block), (budget.id, &budget.name, budget.block));
        share.measure
    }

    fn rate(count: u64, seconds: u64) -> Rate {
        Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_rate_is_shared_without_rounding() {
        let gcra = Measure::Gcra { rate: rate(100, 60), burst: 100 };
        assert_eq!(share_of(gcra, 3), Measure::Gcra { rate: rate(100, 180), burst: 33 });
        assert_eq!(share_of(gcra, 1), gcra);
    }

    #[test]
    fn windows_and_slots_are_rounded_down() {
        assert_eq!(share_of(Measure::FixedWindow(rate(100, 60)), 3), Measure::FixedWindow(rate(33, 60)));
        assert_eq!(share_of(Measure::SlidingWindow(rate(100, 60)), 3), Measure::SlidingWindow(rate(33, 60)));
        assert_eq!(share_of(Measure::Slots(20), 3), Measure::Slots(6));
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_whole_at_most_or_to_one_each(most in 1_u64..1000, instances in 1_u32..2000) {
            let measures = [
                Measure::Gcra { rate: rate(most, 1), burst: most },
                Measure::FixedWindow(rate(most, 1)),
                Measure::SlidingWindow(rate(most, 1)),
                Measure::Slots(most),
            ];
            for measure in measures {
                let measure = share_of(measure, instances);
                let part = Budget { id: BudgetId(7), name: "calls".into(), measure, block: None }.most();
                prop_assert!(part == 1 || part * u64::from(instances) <= most);
                prop_assert!(part >= 1 && (part + 1) * u64::from(instances) > most);
            }
        }
    }
}
