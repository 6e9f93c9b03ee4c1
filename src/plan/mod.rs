//! `moorline plan`: from what is to be carried to a tier with its numbers, and the files for it. Arithmetic alone: it measures nothing and asks
//! nobody. Each step is shown with its formula, each constant ([costs]) with where it comes from.

pub mod advice;
pub mod cache;
pub mod costs;
pub mod document;
pub mod files;
pub mod front;
pub mod instances;
pub mod limits;
pub mod queue;
pub mod reported;
pub mod servers;
pub mod step;
pub mod store;
pub mod target;
pub mod text;
pub mod tier;
pub mod words;

use cache::CachePlan;
use front::Front;
use instances::Instances;
use limits::Limits;
use servers::Servers;
use step::{Quantity, Steps};
use store::Store;
use target::{Target, TargetError};
use tier::{Need, Tier, tier};

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it carries.
    pub target: Target,
    /// Which tier.
    pub tier: Tier,
    /// Why that one.
    pub why: String,
    /// MCP servers.
    pub servers: Servers,
    /// Moorline's instances.
    pub instances: Instances,
    /// Redis; none where the store is a file.
    pub store: Option<Store>,
    /// The proxy; none where Moorline ends TLS itself.
    pub front: Option<Front>,
    /// What limits would do.
    pub limits: Limits,
    /// What the cache would do; none where nothing may be kept.
    pub cache: Option<CachePlan>,
    /// The arithmetic.
    pub steps: Steps,
    /// What is to be known before it is done.
    pub warnings: Vec<advice::Warning>,
}

impl Plan {
    /// The plan for a target.
    ///
    /// # Errors
    /// [`TargetError`]: the target cannot be.
    pub fn of(target: Target) -> Result<Self, TargetError> {
        target.check()?;
        let mut steps = Steps::default();
        load_steps(&target, &mut steps);
        let charges = limits::charges(&target);
        let carrying = instances::carrying(&target, charges);
        let need = Need {
            servers: servers::carrying(&target, target.rate()),
            instances: carrying,
            stores: store::needed(&target, charges, carrying),
        };
        let (tier, why) = tier(target.users, need, target.least_tier);
        let servers = servers::planned(&target, tier, &mut steps);
        // A store in a file charges in memory.
        let instances = instances::planned(&target, tier, if tier.has_redis() { charges } else { 0 }, &mut steps);
        let store = tier.has_redis().then(|| store::planned(&target, charges, instances.count, &mut steps));
        let front = (tier != Tier::Single).then(|| front::planned(&target, &mut steps));
        let limits = limits::planned(&target, servers.count.saturating_mul(servers.slots), instances.count, &mut steps);
        let cache = cache::planned(&target, &mut steps);
        let mut plan =
            Self { target, tier, why, servers, instances, store, front, limits, cache, steps, warnings: Vec::new() };
        plan.warnings = advice::warnings(&plan);
        Ok(plan)
    }
}

fn load_steps(target: &Target, steps: &mut Steps) {
    let rate = steps.add(
        "rate",
        "calls a second",
        format!("{} / 60", words::number(target.calls_per_minute)),
        Quantity::per_second(target.rate()),
    );
    steps.add(
        "in-flight",
        "calls in flight (Little)",
        format!("{}/s × {}", words::number(rate), words::seconds(target.service())),
        Quantity::count(target.in_flight()),
    );
    steps.add(
        "streams",
        "open streams",
        format!("{} × {}", words::number(f64::from(target.users)), words::share(target.streams)),
        Quantity::count(target.open_streams()),
    );
    if target.session_calls > 0 {
        steps.add(
            "sessions-begun",
            "sessions that begin",
            format!("{}/s / {} calls", words::number(rate), target.session_calls),
            Quantity::per_second(target.sessions_begun()),
        );
    }
}
