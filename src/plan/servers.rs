//! How many MCP servers, and how calls wait at them.

use super::costs;
use super::queue::{Wait, servers, wait};
use super::step::{Quantity, Steps};
use super::target::Target;
use super::tier::Tier;
use super::words::{number, real, seconds, share};

/// Calls that one server runs at the same time, at most: what the configuration takes, and what a queue is computed for.
pub const MOST_SLOTS: u32 = 10_000;

/// The servers of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Servers {
    /// How many.
    pub count: u32,
    /// How many carry the calls.
    pub carrying: u32,
    /// Calls that each runs at the same time.
    pub slots: u32,
    /// How busy they are.
    pub busy: f64,
    /// The same with one of them lost; none where there is no other.
    pub busy_without_one: Option<f64>,
    /// How calls wait.
    pub wait: Option<Wait>,
    /// The same with one lost.
    pub wait_without_one: Option<Wait>,
}

/// Calls that one server runs at the same time.
#[must_use]
pub fn slots(target: &Target) -> u32 {
    target.server_concurrency.unwrap_or_else(|| super::words::up(costs::SERVER_SLOTS.get())).clamp(1, MOST_SLOTS)
}

/// Servers that carry a number of calls a second.
#[must_use]
pub fn carrying(target: &Target, rate: f64) -> u32 {
    servers(slots(target), (rate, target.service()), target.most_busy(), costs::MOST_WAIT.get())
}

/// The servers of a tier for a target.
pub fn planned(target: &Target, tier: Tier, steps: &mut Steps) -> Servers {
    let (slots, in_flight) = (slots(target), target.in_flight());
    let carrying = carrying(target, target.rate());
    let count = (carrying + tier.spare_servers()).max(tier.least_servers());
    steps.add(
        "server-slots-needed",
        "slots at servers",
        format!("{} in flight / {} busy at most", number(in_flight), share(target.most_busy())),
        Quantity::count(in_flight / target.most_busy()),
    );
    steps.add(
        "servers-carrying",
        "servers that carry it",
        format!(
            "as many of {slots} slots, and a mean wait of at most {} × {}",
            share(costs::MOST_WAIT.get()),
            seconds(target.service())
        ),
        Quantity::count(real(carrying)),
    );
    steps.by(&[&costs::MOST_WAIT]);
    if target.server_concurrency.is_none() {
        steps.by(&[&costs::SERVER_SLOTS]);
    }
    steps.add(
        "servers",
        "servers",
        format!("{carrying} + {} that may be lost, at least {}", tier.spare_servers(), tier.least_servers()),
        Quantity::count(real(count)),
    );
    let busy = busy(in_flight, count, slots, ("servers-busy", "servers are busy", steps));
    let wait = waits(target, (count, slots), ("calls-wait", "calls wait for a slot", "calls-wait-p99", steps));
    let mut planned = Servers { count, carrying, slots, busy, busy_without_one: None, wait, wait_without_one: None };
    if count > 1 {
        let names = ("servers-busy-without-one", "the same with one lost", &mut *steps);
        planned.busy_without_one = Some(self::busy(in_flight, count - 1, slots, names));
        let names = ("calls-wait-without-one", "calls wait with one lost", "calls-wait-p99-without-one", steps);
        planned.wait_without_one = waits(target, (count - 1, slots), names);
    }
    planned
}

fn busy(in_flight: f64, count: u32, slots: u32, (id, what, steps): (&'static str, &'static str, &mut Steps)) -> f64 {
    let busy = in_flight / real(count) / real(slots);
    steps.add(id, what, format!("{} / ({count} × {slots})", number(in_flight)), Quantity::share(busy))
}

type Names<'a> = (&'static str, &'static str, &'static str, &'a mut Steps);

fn waits(target: &Target, (count, slots): (u32, u32), (id, what, id_of_p99, steps): Names<'_>) -> Option<Wait> {
    let rate = target.rate() / real(count);
    let wait = wait(slots, rate, target.service())?;
    let offered = rate * target.service();
    steps.add(
        id,
        what,
        format!(
            "Erlang C({slots}, {0}) = {1} wait; {1} × {2} / ({slots} - {0})",
            number(offered),
            share(wait.share),
            seconds(target.service())
        ),
        Quantity::seconds(wait.mean),
    );
    steps.add(
        id_of_p99,
        "of a hundred calls 99 wait less than",
        format!("ln({} / 1 %) / ({slots} - {}) × {}", share(wait.share), number(offered), seconds(target.service())),
        Quantity::seconds(wait.p99),
    );
    Some(wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::tests::company;
    use super::*;

    proptest! {
        #[test]
        fn without_one_server_the_rest_still_carry_it(
            calls in 1.0..200_000.0_f64, millis in 1..5000_u64, slots in 1..100_u32, headroom in 0.0..0.8_f64
        ) {
            let target = Target {
                calls_per_minute: calls, tool_latency: std::time::Duration::from_millis(millis),
                server_concurrency: Some(slots), headroom, ..company()
            };
            for tier in [Tier::Sticky, Tier::Shared, Tier::Scaled] {
                let servers = planned(&target, tier, &mut Steps::default());
                let busy = servers.busy_without_one.unwrap();
                prop_assert!(busy <= target.most_busy() + 1e-6, "{busy}");
                let wait = servers.wait_without_one.unwrap();
                prop_assert!(wait.mean <= 0.25 * target.service() + 1e-9);
                prop_assert!(servers.wait.unwrap().mean <= wait.mean + 1e-12);
            }
        }

        #[test]
        fn more_calls_never_need_fewer_servers(calls in 1.0..100_000.0_f64, more in 1.0..3.0_f64) {
            let of = |calls| planned(&Target { calls_per_minute: calls, ..company() }, Tier::Shared, &mut Steps::default());
            prop_assert!(of(calls * more).count >= of(calls).count);
        }
    }
}
