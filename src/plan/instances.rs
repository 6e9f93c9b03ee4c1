//! How many Moorline instances, and what each of them takes: CPU time, memory, descriptors and connections.

use super::costs;
use super::step::{Quantity, Steps};
use super::target::Target;
use super::tier::Tier;
use super::words::{number, real, seconds, share, small, up, up_to};

const MEBIBYTE: u64 = 1 << 20;

/// Bytes that each instance keeps of results (`results.memory` of the tiers' files).
pub const RESULTS: f64 = 256.0 * 1_048_576.0;

/// Bounds as they are unless they are set (`docs/configuration.md`).
const LISTEN_STREAMS: u64 = 10_000;
const LISTEN_STREAMS_OF_A_CALLER: u64 = 1000;

/// The instances of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Instances {
    /// How many.
    pub count: u32,
    /// How many carry the load.
    pub carrying: u32,
    /// Cores of each.
    pub cores: u32,
    /// CPU cores that all take together.
    pub cpu: f64,
    /// Streams of each, those that may be lost left out.
    pub streams: f64,
    /// Memory that each takes, in bytes.
    pub memory: f64,
    /// What each is given.
    pub memory_given: u64,
    /// Descriptors of each.
    pub descriptors: f64,
    /// Bounds that must be higher than they are by default.
    pub bounds: Option<Bounds>,
}

/// `[bounds]` of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `max_connections` and `max_listen_streams`.
    pub streams: u64,
    /// `max_listen_streams_per_caller`.
    pub streams_of_a_caller: u64,
}

/// CPU cores for the calls and sessions of a target; `charges`: limits that each call is charged to in Redis.
#[must_use]
pub fn cpu(target: &Target, charges: u32) -> f64 {
    let call = costs::CALL_CPU.get() + real(charges) * costs::CHARGE_CPU.get();
    target.rate() * call + target.sessions_begun() * costs::SESSION_CPU.get()
}

/// Connections that one instance may have to what is in front of it, and descriptors allow.
#[must_use]
fn most_connections(target: &Target) -> f64 {
    let by_descriptors = costs::NOFILE.get() / costs::DESCRIPTORS.get();
    by_descriptors.min(costs::PORTS.get()) * target.most_busy()
}

/// Instances that carry the load.
#[must_use]
pub fn carrying(target: &Target, charges: u32) -> u32 {
    let by_cpu =
        up(cpu(target, charges) / (real(target.instance_cores) * target.most_busy() - costs::IDLE_CPU.get()).max(0.01));
    by_cpu.max(by_connections(target)).max(1)
}

fn by_connections(target: &Target) -> u32 {
    up((target.open_streams() + target.in_flight()) / most_connections(target))
}

/// What an instance takes of memory that serves so many streams and calls, and knows so many sessions.
#[must_use]
pub fn memory(sessions: f64, streams: f64, in_flight: f64) -> f64 {
    costs::BASE_MEMORY.get()
        + sessions * costs::SESSION_MEMORY.get()
        + streams * costs::STREAM_MEMORY.get()
        + in_flight * costs::CONNECTION_MEMORY.get()
}

/// The instances of a tier for a target.
pub fn planned(target: &Target, tier: Tier, charges: u32, steps: &mut Steps) -> Instances {
    let carrying = carrying(target, charges);
    let count = (carrying + tier.spare_instances()).max(tier.least_instances());
    let cpu = cpu_steps(target, charges, steps);
    count_steps(target, tier, (carrying, count), steps);
    // Those that may be lost or restart are: the others have it all.
    let serving = count.saturating_sub(tier.spare_instances()).max(1);
    let streams = target.open_streams() / real(serving);
    let in_flight = target.in_flight() / real(serving);
    let memory = memory_steps(target, serving, steps);
    let descriptors = steps.add(
        "descriptors",
        "descriptors of each instance",
        format!(
            "{} × ({} streams + {} calls), of {}",
            costs::DESCRIPTORS.value,
            number(streams),
            number(in_flight),
            costs::NOFILE.value
        ),
        Quantity::count(costs::DESCRIPTORS.get() * (streams + in_flight)),
    );
    steps.by(&[&costs::DESCRIPTORS, &costs::NOFILE]);
    Instances {
        count,
        carrying,
        cores: target.instance_cores,
        cpu,
        streams,
        memory,
        memory_given: up_to(memory / target.most_busy(), 64 * MEBIBYTE),
        descriptors,
        bounds: bounds(target, streams + in_flight),
    }
}

/// What each takes of memory, where so many serve.
fn memory_steps(target: &Target, serving: u32, steps: &mut Steps) -> f64 {
    let streams = target.open_streams() / real(serving);
    let in_flight = target.in_flight() / real(serving);
    let rests = target.sessions_begun() * costs::IDLE.get();
    let results = if target.cache.cacheable > 0.0 { RESULTS } else { 0.0 };
    let users = real(target.users);
    steps.add(
        "streams-each",
        "streams of each instance",
        format!("{} × {} / {serving}", number(users), share(target.streams)),
        Quantity::count(streams),
    );
    let taken = memory(users + rests, streams, in_flight) + results;
    let all = steps.add(
        "instance-memory",
        "memory of each instance",
        format!(
            "{} + ({} + {} sessions) × {} + {} streams × {} + {} calls × {} + {} results",
            costs::BASE_MEMORY.value,
            number(users),
            number(rests.round()),
            costs::SESSION_MEMORY.value,
            number(streams),
            costs::STREAM_MEMORY.value,
            number(in_flight),
            costs::CONNECTION_MEMORY.value,
            Quantity::bytes(results)
        ),
        Quantity::bytes(taken),
    );
    steps.by(&[
        &costs::BASE_MEMORY,
        &costs::SESSION_MEMORY,
        &costs::STREAM_MEMORY,
        &costs::CONNECTION_MEMORY,
        &costs::IDLE,
    ]);
    all
}

fn cpu_steps(target: &Target, charges: u32, steps: &mut Steps) -> f64 {
    let cpu = cpu(target, charges);
    steps.add(
        "instances-cpu",
        "CPU of all instances",
        format!(
            "{}/s × ({} + {charges} × {}) + {}/s × {}",
            number(target.rate()),
            costs::CALL_CPU.value,
            seconds(costs::CHARGE_CPU.get()),
            number(target.sessions_begun()),
            costs::SESSION_CPU.value
        ),
        Quantity::cores(cpu),
    );
    steps.by(&[&costs::CALL_CPU, &costs::CHARGE_CPU, &costs::SESSION_CPU]);
    cpu
}

fn count_steps(target: &Target, tier: Tier, (carrying, count): (u32, u32), steps: &mut Steps) {
    steps.add(
        "instances-carrying",
        "instances that carry it",
        format!(
            "the larger of {} / ({} × {} - {}) and {} / {}",
            small(steps.get("instances-cpu").map_or(0.0, |step| step.result.value)),
            target.instance_cores,
            share(target.most_busy()),
            costs::IDLE_CPU.get(),
            number((target.open_streams() + target.in_flight()).round()),
            number(most_connections(target).round())
        ),
        Quantity::count(real(carrying)),
    );
    steps.by(&[&costs::IDLE_CPU, &costs::PORTS, &costs::NOFILE]);
    steps.add(
        "instances",
        "instances",
        format!("{carrying} + {} that may be away, at least {}", tier.spare_instances(), tier.least_instances()),
        Quantity::count(real(count)),
    );
}

/// Bounds where those by default leave no room.
fn bounds(target: &Target, connections: f64) -> Option<Bounds> {
    let streams = up_to(connections / target.most_busy(), 1000).max(LISTEN_STREAMS);
    let all = up_to(target.open_streams(), 1000).max(LISTEN_STREAMS_OF_A_CALLER);
    let is_more = streams > LISTEN_STREAMS || all > LISTEN_STREAMS_OF_A_CALLER;
    // Callers that are not authenticated count by address: a large office is one.
    let of_a_caller = up_to(target.open_streams() / 10.0, 1000).clamp(LISTEN_STREAMS, streams);
    is_more.then_some(Bounds { streams, streams_of_a_caller: of_a_caller })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::tests::company;
    use super::super::words::whole;
    use super::*;

    fn of(target: &Target, tier: Tier) -> Instances {
        planned(target, tier, 2, &mut Steps::default())
    }

    #[test]
    fn a_companys_instances_have_little_to_do() {
        let planned = of(&company(), Tier::Shared);
        // 90/s × (420 + 2 × 4.8) µs + 4.5/s × 1.7 ms.
        assert!((planned.cpu - 0.046_314).abs() < 1e-6, "{}", planned.cpu);
        assert_eq!((planned.carrying, planned.count), (1, 3));
        assert_eq!(planned.bounds, None);
    }

    #[test]
    fn streams_ask_for_instances_and_bounds() {
        let crowd = Target { users: 200_000, streams: 1.0, calls_per_minute: 200_000.0, ..company() };
        let planned = of(&crowd, Tier::Scaled);
        assert_eq!(planned.carrying, up((200_000.0 + crowd.in_flight()) / (28_232.0 * 0.7)));
        let bounds = planned.bounds.unwrap();
        assert!(bounds.streams > 18_000 && bounds.streams < 32_768, "{bounds:?}");
    }

    proptest! {
        #[test]
        fn more_of_anything_never_needs_less(
            users in 10..1_000_000_u32, calls in 1.0..1_000_000.0_f64, streams in 0.0..0.5_f64, more in 1.0..2.0_f64
        ) {
            let target = Target { users, calls_per_minute: calls, streams, ..company() };
            let least = of(&target, Tier::Shared);
            let larger = [
                Target { users: up(f64::from(users) * more), ..target.clone() },
                Target { calls_per_minute: calls * more, ..target.clone() },
                Target { streams: streams * more, ..target.clone() },
                Target { headroom: 0.3 * more, ..target },
            ];
            for target in larger {
                prop_assert!(of(&target, Tier::Shared).count >= least.count);
                prop_assert!(of(&target, Tier::Shared).cpu >= least.cpu - 1e-12);
            }
        }

        #[test]
        fn those_that_are_left_carry_it(users in 10..3_000_000_u32, each in 0.1..10.0_f64, streams in 0.0..=1.0_f64) {
            let target = Target { users, calls_per_minute: f64::from(users) * each, streams, ..company() };
            let planned = of(&target, Tier::Shared);
            let left = f64::from(planned.count - 1);
            prop_assert!(planned.cpu / left + 0.02 <= 2.0 * 0.7 + 1e-6);
            prop_assert!((target.open_streams() + target.in_flight()) / left <= 28_232.0 * 0.7 + 1.0);
            prop_assert!(planned.descriptors <= 65_536.0);
            if let Some(bounds) = planned.bounds {
                prop_assert!(bounds.streams >= whole(planned.streams));
            }
        }
    }
}
