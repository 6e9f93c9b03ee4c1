//! The generic cell rate algorithm (ITU-T I.371, "virtual scheduling") as pure arithmetic: no clock, no locks.
//!
//! It is exact. What one unit costs in time is hardly ever whole microseconds (seven a minute: 8,571,428 and 4/7), and
//! rounding would either refuse the seventh of seven calls or, at a million a second, miss the rate by half. So a moment
//! is told in whole microseconds and a part of one in units of 1/count. Both stay below 2^53 for any rate that the
//! configuration takes, so that whoever computes in doubles (Lua) adds them one by one, with a carry, just as exactly.

use super::account::Room;
use super::{Micros, micros};
use crate::config::Rate;

/// A burst that takes longer than that to refill is cut down to what does not: a hundred years.
const LONGEST: Micros = 100 * 365 * 86_400 * 1_000_000;
/// What a counter can owe beyond its capacity, in time: thirty days, the longest period of a rate. Only a correction
/// leads there, and a server that tells nonsense must not close an upstream for good.
const MOST_DEBT: Micros = 30 * 86_400 * 1_000_000;

/// When everything that was spent will have been refilled: the algorithm's "theoretical arrival time". In the past where
/// nothing is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Due {
    /// Whole microseconds since 1970.
    pub micros: Micros,
    /// What comes on top, in units of 1/count microseconds; less than count.
    pub part: u64,
}

impl Due {
    /// The first microsecond at which nothing is owed.
    pub fn full_at(self) -> Micros {
        self.micros.saturating_add(u64::from(self.part > 0))
    }
}

/// One budget by this rule. Its sums are in ticks of 1/count microseconds: in these a unit costs `per` and a microsecond
/// `count`, both whole. They stay below 2^117.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Bucket {
    count: u64,
    per: Micros,
    burst: u64,
}

impl Bucket {
    /// The bucket that `rate` refills up to `burst`, which is at least 1.
    pub fn new(rate: Rate, burst: u64) -> Self {
        let bucket = Self { count: rate.count.get(), per: micros(rate.per).clamp(1, LONGEST), burst: burst.max(1) };
        let most = bucket.ticks(LONGEST);
        if bucket.capacity() <= most {
            return bucket;
        }
        Self { burst: clamped(most / u128::from(bucket.per)), ..bucket }
    }

    /// The state once `cost` is spent too; none if there is not so much.
    pub fn spend(self, due: Due, cost: u64, now: Micros) -> Option<Due> {
        let spent = self.ticks_at(due).max(self.ticks(now)) + self.price(cost);
        (spent <= self.ticks(now) + self.capacity()).then(|| self.due_at(spent))
    }

    /// How it stands for such a cost.
    pub fn room(self, due: Due, cost: u64, now: Micros) -> Room {
        let owed = self.ticks_at(due).saturating_sub(self.ticks(now));
        let (capacity, price) = (self.capacity(), self.price(cost));
        let reset = self.whole_micros(owed);
        // What can never be admitted is told when there is most.
        let retry_after =
            if price > capacity { reset } else { self.whole_micros((owed + price).saturating_sub(capacity)) };
        let remaining = clamped(capacity.saturating_sub(owed) / u128::from(self.per));
        Room { remaining, reset, retry_after }
    }

    /// The state as if `actual` had been charged instead of `charged`. What is given back beyond a full bucket is lost as
    /// soon as something is spent.
    pub fn settle(self, due: Due, (charged, actual): (u64, u64), now: Micros) -> Due {
        let most = self.ticks(now) + self.capacity() + self.ticks(MOST_DEBT);
        let settled = (self.ticks_at(due) + self.price(actual)).saturating_sub(self.price(charged));
        self.due_at(settled.min(most))
    }

    /// How long it takes to refill so much, told as a moment after nothing: for whoever adds such times up himself.
    /// No longer than is beyond all bounds, even if it was begun long ago, so that sums stay below 2^53.
    pub fn lasts(self, cost: u64) -> Due {
        self.due_at(self.price(cost).min(self.ticks(LONGEST + 10 * MOST_DEBT)))
    }

    /// How long it takes to refill all of it, told in the same way.
    pub fn capacity_lasts(self) -> Due {
        self.due_at(self.capacity())
    }

    /// How long it takes to refill the most that can be owed, told in the same way.
    pub fn most_lasts(self) -> Due {
        self.due_at(self.capacity() + self.ticks(MOST_DEBT))
    }

    fn capacity(self) -> u128 {
        self.price(self.burst)
    }

    fn price(self, cost: u64) -> u128 {
        u128::from(cost) * u128::from(self.per)
    }

    fn ticks(self, micros: Micros) -> u128 {
        u128::from(micros) * u128::from(self.count)
    }

    /// A part that is too large is of a rate that has been replaced since.
    fn ticks_at(self, due: Due) -> u128 {
        self.ticks(due.micros) + u128::from(due.part.min(self.count))
    }

    fn due_at(self, ticks: u128) -> Due {
        let count = u128::from(self.count);
        let micros = ticks / count;
        Due { micros: clamped(micros), part: clamped(ticks - micros * count) }
    }

    /// Rounded up: a moment before it would not do.
    fn whole_micros(self, ticks: u128) -> Micros {
        if ticks == 0 { 0 } else { clamped(ticks.div_ceil(u128::from(self.count))) }
    }
}

fn clamped(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Micros = 1_800_000_000_000_000;
    const SECOND: Micros = 1_000_000;
    const MONTH: u64 = 30 * 86_400;

    fn bucket(count: u64, seconds: u64, burst: u64) -> Bucket {
        Bucket::new(Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(seconds) }, burst)
    }

    /// A tank into which tokens drip, told in millionths of tokens times the seconds of the period: the obvious way, and
    /// in another state than the algorithm's.
    struct Tank {
        bucket: Bucket,
        level: u128,
        at: Micros,
    }

    impl Tank {
        fn full(bucket: Bucket) -> Self {
            Self { bucket, level: bucket.price(bucket.burst), at: 0 }
        }

        fn fill(&mut self, now: Micros) {
            let dripped = u128::from(now - self.at) * u128::from(self.bucket.count);
            self.level = (self.level + dripped).min(self.bucket.price(self.bucket.burst));
            self.at = now;
        }

        fn spend(&mut self, cost: u64, now: Micros) -> bool {
            self.fill(now);
            let price = self.bucket.price(cost);
            let there = self.level >= price;
            self.level -= if there { price } else { 0 };
            there
        }
    }

    fn buckets() -> impl Strategy<Value = Bucket> {
        let rates = prop_oneof![
            (1_u64..50, 1_u64..100),
            (1_u64..1_000_000, Just(1)),
            (1_u64..100_000, Just(60)),
            (1..=MONTH).prop_flat_map(|per| (1..=1_000_000 * per, Just(per))),
        ];
        let bursts = prop_oneof![1_u64..20, 1_u64..1_000_000, 1_u64..1 << 40];
        (rates, bursts).prop_map(|((count, per), burst)| bucket(count, per, burst))
    }

    /// What to charge, as a part of the burst where it is not a few, and how long to wait first: a part of the time that
    /// it takes to refill.
    fn acts() -> impl Strategy<Value = Vec<(u64, f64)>> {
        let cost = prop_oneof![4 => 0_u64..4, 1 => 0_u64..1 << 40];
        prop::collection::vec((cost, prop_oneof![3 => Just(0.0), 3 => 0.0..0.2_f64, 1 => 0.0..3.0_f64]), 1..80)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "any wait will do"
    )]
    fn wait(bucket: Bucket, part: f64) -> Micros {
        let whole = bucket.capacity() / u128::from(bucket.count);
        (whole.min(1 << 50) as f64 * part) as u64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn it_agrees_with_a_tank_that_drips(bucket in buckets(), acts in acts()) {
            let (mut due, mut tank, mut now) = (Due::default(), Tank::full(bucket), START);
            for (cost, waits) in acts {
                now += wait(bucket, waits);
                let after = bucket.spend(due, cost, now);
                prop_assert_eq!(after.is_some(), tank.spend(cost, now), "cost {} at {}", cost, now);
                due = after.unwrap_or(due);
                prop_assert!(due.part < bucket.count);
                let room = bucket.room(due, cost, now);
                prop_assert_eq!(u128::from(room.remaining), tank.level / u128::from(bucket.per));
                tank.fill(now);
                let missing = bucket.price(bucket.burst) - tank.level;
                prop_assert_eq!(u128::from(room.reset), missing.div_ceil(u128::from(bucket.count)));
            }
        }

        #[test]
        fn no_interval_admits_more_than_burst_and_rate(bucket in buckets(), acts in acts()) {
            let (mut due, mut now, mut admitted) = (Due::default(), START, Vec::new());
            for (cost, waits) in acts {
                now += wait(bucket, waits);
                if let Some(after) = bucket.spend(due, cost, now) {
                    due = after;
                    admitted.push((now, u128::from(cost)));
                }
            }
            for first in 0..admitted.len() {
                let mut spent = 0;
                for (at, cost) in &admitted[first..] {
                    spent += cost;
                    let refilled = u128::from(at - admitted[first].0) * u128::from(bucket.count);
                    prop_assert!(spent * u128::from(bucket.per) <= bucket.price(bucket.burst) + refilled);
                }
            }
        }

        #[test]
        fn what_it_tells_is_so(bucket in buckets(), acts in acts(), asked in 0_u64..1 << 40) {
            let (mut due, mut now) = (Due::default(), START);
            for (cost, waits) in acts {
                now += wait(bucket, waits);
                due = bucket.spend(due, cost, now).unwrap_or(due);
            }
            let room = bucket.room(due, asked, now);
            let admits = |cost, after: Micros| bucket.spend(due, cost, now + after).is_some();
            prop_assert!(admits(room.remaining, 0) && !admits(room.remaining + 1, 0));
            if asked <= bucket.burst {
                prop_assert!(admits(asked, room.retry_after));
                prop_assert!(room.retry_after == 0 || !admits(asked, room.retry_after - 1));
            } else {
                prop_assert_eq!(room.retry_after, room.reset);
            }
            prop_assert!(admits(bucket.burst, room.reset));
            prop_assert!(room.reset == 0 || bucket.room(due, 0, now + room.reset - 1).reset == 1);
            prop_assert_eq!(due.full_at().saturating_sub(now), room.reset);
        }

        /// In any order, and whatever was charged at first.
        #[test]
        fn settled_charges_end_exact(bucket in buckets(), calls in prop::collection::vec((0_u64..1000, 0_u64..1000), 1..20)) {
            let ample = Bucket { burst: 1_000_000, ..bucket };
            let spend = |due, cost| ample.spend(due, cost, START).unwrap();
            let exact = calls.iter().fold(Due::default(), |due, (_, actual)| spend(due, *actual));
            let charged = calls.iter().fold(Due::default(), |due, (estimate, _)| spend(due, *estimate));
            let settle = |due, (estimate, actual): &(u64, u64)| ample.settle(due, (*estimate, *actual), START);
            prop_assert_eq!(calls.iter().fold(charged, settle), exact);
            prop_assert_eq!(calls.iter().rev().fold(charged, settle), exact);
        }
    }

    #[test]
    fn a_burst_is_admitted_to_the_last_where_time_does_not_divide() {
        for (count, seconds) in [(7, 60), (3, 1), (999_983, 1), (11, MONTH)] {
            let bucket = bucket(count, seconds, 7);
            let mut due = Due::default();
            for _ in 0..7 {
                due = bucket.spend(due, 1, START).unwrap();
            }
            assert_eq!(bucket.spend(due, 1, START), None, "{count} in {seconds} s");
            assert_eq!(bucket.room(due, 1, START).remaining, 0);
        }
    }

    #[test]
    fn a_fast_rate_is_kept_over_a_long_time() {
        // Time is read in whole microseconds: with a burst of 1, what is refilled between two readings would be lost.
        let bucket = bucket(700_001, 1, 2);
        let admitted = (START..START + SECOND)
            .scan(Due::default(), |due, now| {
                let after = bucket.spend(*due, 1, now);
                *due = after.unwrap_or(*due);
                Some(u64::from(after.is_some()))
            })
            .sum::<u64>();
        assert!((700_000..=700_003).contains(&admitted), "{admitted}");
    }

    #[test]
    fn a_debt_beyond_the_capacity_is_paid_off_and_bounded() {
        let bucket = bucket(60, 60, 10);
        let due = bucket.spend(Due::default(), 1, START).unwrap();
        let due = bucket.settle(due, (1, 15), START);
        let room = bucket.room(due, 1, START);
        assert_eq!((room.remaining, room.reset, room.retry_after), (0, 15 * SECOND, 6 * SECOND));
        let due = bucket.settle(due, (0, u64::MAX), START);
        assert_eq!(bucket.room(due, 1, START).reset, MOST_DEBT + 10 * SECOND);
    }

    #[test]
    fn what_is_given_back_does_not_fill_beyond_the_burst() {
        let bucket = bucket(60, 60, 10);
        let due = bucket.spend(Due::default(), 10, START).unwrap();
        let later = START + 5 * SECOND;
        let due = bucket.settle(due, (10, 0), later);
        assert_eq!(bucket.room(due, 1, later).remaining, 10);
        let due = bucket.spend(due, 1, later).unwrap();
        assert_eq!(bucket.room(due, 1, later).remaining, 9);
    }

    #[test]
    fn a_state_of_another_rate_does_no_harm() {
        let bucket = bucket(2, 1, 5);
        for due in [Due { micros: START, part: u64::MAX }, Due { micros: u64::MAX, part: 7 }] {
            assert!(bucket.room(due, 1, START).remaining <= 5);
        }
    }
}
