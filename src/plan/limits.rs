//! What limits would do: to a session that runs wild, to those that do not, and to upstreams with a quota.

use super::costs;
use super::queue;
use super::step::{Quantity, Steps};
use super::target::{Quota, Target};
use super::words::{number, real, share, up, whole};

/// Rates a minute that a session's limit is taken from.
const LADDER: [u32; 7] = [120, 300, 600, 1200, 3000, 6000, 12_000];

/// How seldom one who behaves may meet the limit, in a minute.
const SELDOM: f64 = 1e-6;

/// Slots that an upstream may have at most (`docs/configuration.md`).
const MOST_SLOTS: u32 = 100_000;

/// The limits of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Calls a minute that a session may make.
    pub session: u32,
    /// Calls a minute of a user on average.
    pub user: f64,
    /// How often a user who behaves meets the limit, in a minute.
    pub refused: f64,
    /// How many sessions may run wild before the servers have no slot left.
    pub wild: f64,
    /// Upstreams.
    pub quotas: Vec<QuotaPlan>,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaPlan {
    /// As it was asked for.
    pub quota: Quota,
    /// Calls a minute that go to it.
    pub wanted: f64,
    /// Which part of them is refused.
    pub refused: f64,
    /// Calls that it runs at the same time.
    pub slots: u32,
    /// What each instance admits while Redis is away, a minute.
    pub alone: f64,
}

/// The probability of more than `most` events where `mean` are expected (Poisson).
#[must_use]
pub fn more_than(most: u32, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    let first = most.saturating_add(1);
    if mean > real(first) {
        let up_to: f64 = (0..=most).map(|events| exactly(events, mean)).sum();
        return (1.0 - up_to).clamp(0.0, 1.0);
    }
    // Behind the mean each term is smaller than the one before: its mean / n-th part.
    let (mut sum, mut term, mut at) = (0.0, exactly(first, mean), real(first));
    while term > sum * 1e-17 {
        sum += term;
        at += 1.0;
        term *= mean / at;
    }
    sum.min(1.0)
}

/// The probability of exactly so many. By logarithms, for powers and factorials may not fit a number.
fn exactly(events: u32, mean: f64) -> f64 {
    let factorial: f64 = (1..=events).map(|n| real(n).ln()).sum();
    (real(events) * mean.ln() - mean - factorial).exp()
}

/// Calls a minute that a session may make: two a second at least, twenty times what a user calls, and so many that one who behaves hardly ever makes more.
#[must_use]
pub fn of_a_session(user: f64) -> u32 {
    let is_enough =
        |rate: &&u32| real(**rate) >= user * costs::SESSION_LIMIT.get() && more_than(**rate, user) <= SELDOM;
    LADDER.iter().find(is_enough).copied().unwrap_or_else(|| up(user * costs::SESSION_LIMIT.get()))
}

/// The charges of a call: its session's limit, and each upstream at the most.
#[must_use]
pub fn charges(target: &Target) -> u32 {
    1 + u32::try_from(target.quotas.len()).unwrap_or(u32::MAX - 1)
}

/// The limits for a target. `slots` are those of all servers.
pub fn planned(target: &Target, slots: u32, instances: u32, steps: &mut Steps) -> Limits {
    let user = steps.add(
        "user-calls",
        "calls a minute of a user",
        format!("{} / {}", number(target.calls_per_minute), number(real(target.users))),
        Quantity::count(target.calls_per_minute / real(target.users)),
    );
    let session = of_a_session(user);
    steps.add(
        "session-limit",
        "calls a minute that a session may make",
        format!(
            "at least {} × {}, and a user makes more once in a million minutes at most",
            costs::SESSION_LIMIT.value,
            number(user)
        ),
        Quantity::count(real(session)),
    );
    steps.by(&[&costs::SESSION_LIMIT]);
    let free = real(slots) - target.in_flight();
    let wild = steps.add(
        "wild-sessions",
        "sessions that may run wild at once",
        format!(
            "({} slots - {}) / ({session} / 60 × {})",
            number(real(slots)),
            number(target.in_flight()),
            Quantity::seconds(target.service())
        ),
        Quantity::count((free / (real(session) / 60.0 * target.service())).max(0.0)),
    );
    let quotas = target.quotas.iter().map(|quota| of_an_upstream(target, quota, instances, steps)).collect();
    Limits { session, user, refused: more_than(session, user), wild, quotas }
}

/// A rate in calls a minute.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate has at most a million a second")]
pub fn a_minute(quota: &Quota) -> f64 {
    quota.rate.count.get() as f64 * 60.0 / quota.rate.per.as_secs_f64()
}

fn of_an_upstream(target: &Target, quota: &Quota, instances: u32, steps: &mut Steps) -> QuotaPlan {
    let allowed = a_minute(quota);
    let wanted = steps.add(
        "quota-wanted",
        "calls a minute to an upstream",
        format!("{}: {} × {}", quota.name, number(target.calls_per_minute), share(quota.share)),
        Quantity::count(target.calls_per_minute * quota.share),
    );
    let refused = if wanted > allowed { 1.0 - allowed / wanted } else { 0.0 };
    steps.add(
        "quota-refused",
        "of these are refused",
        format!("{}: 1 - {} / {}, where that is more than nothing", quota.name, number(allowed), number(wanted)),
        Quantity::share(refused),
    );
    let admitted = wanted.min(allowed) / 60.0;
    let offered = admitted * target.service();
    let slots = queue::slots(offered, costs::MOST_LOST.get(), MOST_SLOTS);
    steps.add(
        "quota-slots",
        "calls to it at the same time",
        format!(
            "{}: {}/s × {} = {}; the fewest of which Erlang B is at most {}",
            quota.name,
            number(admitted),
            Quantity::seconds(target.service()),
            number(offered),
            share(costs::MOST_LOST.get())
        ),
        Quantity::count(real(slots)),
    );
    steps.by(&[&costs::MOST_LOST]);
    QuotaPlan {
        quota: quota.clone(),
        wanted,
        refused,
        slots,
        alone: real(u32::try_from(whole(allowed)).unwrap_or(u32::MAX)) / real(instances),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::tests::company;
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        // P(X > 0) = 1 - 1/e for a mean of 1; P(X > 2) = 0.0803; a mean of 10: P(X > 20) = 0.00159.
        for (most, mean, expected) in [(0, 1.0, 0.632_120_6), (2, 1.0, 0.080_301_4), (20, 10.0, 0.001_588_3)] {
            assert!((more_than(most, mean) - expected).abs() < 1e-6, "{most} {mean}: {}", more_than(most, mean));
        }
        assert!((more_than(10, 1000.0) - 1.0).abs() < 1e-6);
        assert!(more_than(300, 6.0) < 1e-100);
    }

    #[test]
    fn a_quota_below_the_calls_refuses_the_rest() {
        let limits = planned(&company(), 110, 3, &mut Steps::default());
        let llm = &limits.quotas[0];
        // A fifth of 5,400 is 1,080; 500 are admitted.
        assert!((llm.wanted - 1080.0).abs() < 1e-9 && (llm.refused - (1.0 - 500.0 / 1080.0)).abs() < 1e-12);
        // 500/60 × 0.8 = 6.67 in flight.
        assert_eq!(llm.slots, queue::slots(500.0 / 60.0 * 0.8, 0.001, 1000));
        assert_eq!(llm.slots, 16);
        assert!((llm.alone - 500.0 / 3.0).abs() < 1e-9);
        assert_eq!(limits.session, 120);
    }

    proptest! {
        #[test]
        fn whoever_behaves_hardly_meets_the_limit(user in 0.01..1000.0_f64, more in 1.0..3.0_f64) {
            let limit = of_a_session(user);
            prop_assert!(f64::from(limit) >= 20.0 * user - 1.0 && more_than(limit, user) <= SELDOM);
            prop_assert!(of_a_session(user * more) >= limit);
        }

        #[test]
        fn tails_fall_with_the_border_and_grow_with_the_mean(most in 0..500_u32, mean in 0.01..400.0_f64) {
            let tail = more_than(most, mean);
            prop_assert!((0.0..=1.0).contains(&tail));
            prop_assert!(more_than(most + 1, mean) <= tail + 1e-12);
            prop_assert!(more_than(most, mean * 1.1) >= tail - 1e-9);
        }

        #[test]
        fn what_is_admitted_and_what_is_refused_is_all(rate in 1..100_000_u64, share in 0.01..=1.0_f64) {
            let quota = Quota { name: "a".into(), rate: format!("{rate}/min").parse().unwrap(), share };
            let plan = of_an_upstream(&company(), &quota, 3, &mut Steps::default());
            prop_assert!(plan.wanted * (1.0 - plan.refused) <= a_minute(&quota) + 1e-6);
            prop_assert!((0.0..1.0).contains(&plan.refused));
        }
    }
}
