//! How large the Redis is, and how busy.

use super::cache;
use super::costs;
use super::step::{Quantity, Steps};
use super::target::Target;
use super::words::{number, real, share, up_to};

/// `maxmemory` grows by so much.
const MEMORY_STEP: u64 = 64 << 20;

/// The store of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Store {
    /// What it holds, in bytes.
    pub memory: f64,
    /// What it is allowed to hold, all primaries together.
    pub maxmemory: u64,
    /// Scripts that it runs in a second.
    pub scripts: f64,
    /// How busy one Redis would be with them.
    pub busy: f64,
}

/// What a Redis holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    /// Live sessions.
    pub sessions: f64,
    /// Sessions that have ended, and whose lifetime is not over.
    pub graves: f64,
    /// Counters of limits.
    pub counters: f64,
    /// What results take, in bytes.
    pub results: f64,
}

impl Held {
    /// What it would hold for a target. Nobody says whether clients end their sessions; so each counts as both, the live
    /// one that is forgotten when it was idle for an hour, and the one that has ended.
    #[must_use]
    pub fn of(target: &Target, charges: u32) -> Self {
        let results =
            if target.cache.cacheable > 0.0 { cache::memory(target, target.cache.ttl.as_secs_f64()) } else { 0.0 };
        Self {
            sessions: real(target.users) + target.sessions_begun() * costs::IDLE.get(),
            graves: target.sessions_begun() * costs::LIFETIME.get(),
            counters: real(target.users) * real(charges),
            results,
        }
    }

    /// In bytes.
    #[must_use]
    pub fn memory(self) -> f64 {
        costs::STORE_BASE.get()
            + self.sessions * costs::SESSION_STORED.get()
            + self.graves * costs::GRAVE_STORED.get()
            + self.counters * costs::COUNTER_STORED.get()
            + self.results
    }
}

/// Scripts that Redis runs in a second: each call is charged and noted; one that may be kept is looked for, and what was fetched is kept.
#[must_use]
pub fn scripts(target: &Target, instances: u32) -> f64 {
    let calls = target.rate() * (costs::CALL_SCRIPTS.get() + 2.0 * target.cache.cacheable);
    calls + target.sessions_begun() * costs::SESSION_SCRIPTS.get() + real(instances) * costs::INSTANCE_SCRIPTS.get()
}

/// How many Redis it would take, in parts of one: by what they hold, and by what they do.
#[must_use]
pub fn needed(target: &Target, charges: u32, instances: u32) -> f64 {
    let by_memory = Held::of(target, charges).memory() * costs::STORE_ROOM.get() / costs::STORE_MOST.get();
    let by_scripts = scripts(target, instances) / costs::STORE_SPEED.get() / target.most_busy();
    by_memory.max(by_scripts)
}

/// The store for a target.
pub fn planned(target: &Target, charges: u32, instances: u32, steps: &mut Steps) -> Store {
    let held = Held::of(target, charges);
    sessions_steps(target, held, steps);
    let memory = steps.add(
        "store-memory",
        "Redis holds",
        format!(
            "{} + {} × {} + {} × {} + {} × {} counters + {} results",
            costs::STORE_BASE.value,
            number(held.sessions.round()),
            costs::SESSION_STORED.value,
            number(held.graves.round()),
            costs::GRAVE_STORED.value,
            number(held.counters),
            costs::COUNTER_STORED.value,
            Quantity::bytes(held.results)
        ),
        Quantity::bytes(held.memory()),
    );
    steps.by(&[&costs::STORE_BASE, &costs::SESSION_STORED, &costs::GRAVE_STORED, &costs::COUNTER_STORED]);
    if held.results > 0.0 {
        steps.by(&[&costs::RESULT_STORED, &costs::STALE]);
    }
    let maxmemory = up_to(memory * costs::STORE_ROOM.get(), MEMORY_STEP);
    steps.add(
        "store-maxmemory",
        "maxmemory",
        format!("{} × {}, in steps of 64 MiB", costs::STORE_ROOM.value, Quantity::bytes(memory)),
        bytes(maxmemory),
    );
    steps.by(&[&costs::STORE_ROOM]);
    let scripts = steps.add(
        "store-scripts",
        "scripts a second",
        format!(
            "{}/s × ({} + 2 × {}) + {}/s × {} + {instances} × {}",
            number(target.rate()),
            costs::CALL_SCRIPTS.value,
            share(target.cache.cacheable),
            number(target.sessions_begun()),
            costs::SESSION_SCRIPTS.value,
            costs::INSTANCE_SCRIPTS.value
        ),
        Quantity::per_second(scripts(target, instances)),
    );
    steps.by(&[&costs::CALL_SCRIPTS, &costs::SESSION_SCRIPTS, &costs::INSTANCE_SCRIPTS]);
    let busy = scripts / costs::STORE_SPEED.get();
    steps.add(
        "store-busy",
        "one Redis is busy",
        format!("{}/s / {}", number(scripts), costs::STORE_SPEED.value),
        Quantity::share(busy),
    );
    steps.by(&[&costs::STORE_SPEED]);
    Store { memory, maxmemory, scripts, busy }
}

fn sessions_steps(target: &Target, held: Held, steps: &mut Steps) {
    let begun = number(target.sessions_begun());
    steps.add(
        "sessions-live",
        "live sessions, if no client ends any",
        format!("{} + {begun}/s × {}", number(real(target.users)), costs::IDLE.value),
        Quantity::count(held.sessions),
    );
    steps.by(&[&costs::IDLE]);
    steps.add(
        "sessions-ended",
        "ended sessions that are remembered",
        format!("{begun}/s × {}", costs::LIFETIME.value),
        Quantity::count(held.graves),
    );
    steps.by(&[&costs::LIFETIME]);
}

#[expect(clippy::cast_precision_loss, reason = "a size that is shown")]
const fn bytes(size: u64) -> Quantity {
    Quantity::bytes(size as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::tests::company;
    use super::*;

    #[test]
    fn what_has_ended_takes_more_than_what_lives() {
        let held = Held::of(&company(), 2);
        assert!((held.sessions - (900.0 + 4.5 * 3600.0)).abs() < 1e-6);
        assert!((held.graves - 4.5 * 86_400.0).abs() < 1e-6);
        assert!(held.graves * 580.0 > held.sessions * 2160.0);
        let lasting = Target { session_calls: 0, ..company() };
        assert!(Held::of(&lasting, 2).graves.abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn more_of_anything_never_takes_less(users in 10..1_000_000_u32, calls in 1.0..1e6_f64, more in 1.0..3.0_f64) {
            let target = Target { users, calls_per_minute: calls, ..company() };
            let of = |target: &Target| planned(target, 2, 3, &mut Steps::default());
            let least = of(&target);
            for larger in [
                Target { users: super::super::words::up(f64::from(users) * more), ..target.clone() },
                Target { calls_per_minute: calls * more, ..target.clone() },
                Target { answer_bytes: 20_000, ..target },
            ] {
                let larger = of(&larger);
                prop_assert!(larger.memory >= least.memory && larger.maxmemory >= least.maxmemory && larger.scripts >= least.scripts);
            }
            #[expect(clippy::cast_precision_loss, reason = "a size")]
            let room = least.maxmemory as f64 / least.memory;
            prop_assert!(room >= 2.0);
        }
    }
}
