//! Opens the stores that a configuration asks for: the only place that makes any.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::clock::{Chance, Clock};
use crate::config::{Config, RedisUrl, StoreUrl};
use crate::names::InstanceId;
use crate::store::Sessions;
use crate::store::counters::Counters;
use crate::store::counters::memory::Memory as MemoryCounters;
use crate::store::counters::shared::Shared as SharedCounters;
use crate::store::disk::Disk;
use crate::store::measured::{Measured, Pulse};
use crate::store::memory::Memory;
use crate::store::redis::{Redis, RedisOptions};
use crate::store::results::Results;
use crate::store::results::near::Near;
use crate::store::results::shared::Shared as SharedResults;
use crate::store::roster::memory::Memory as MemoryRoster;
use crate::store::roster::{Near as Roster, Roster as FarRoster};
use crate::store::shared::{Shared, SharedSettings};
use crate::survey::{StorePart, StoreParts};

/// At the start a store that several instances share is waited for so long.
const ARRIVAL: Duration = Duration::from_secs(3);

/// An order to a lone instance waits so long for its disk.
const DISK: Duration = Duration::from_secs(5);

/// Where things are kept.
pub(super) struct Stores {
    pub sessions: Arc<dyn Sessions>,
    pub counters: Arc<dyn Counters>,
    pub results: Arc<dyn Results>,
    pub roster: Roster,
    /// Who this instance is at the store.
    pub instance: InstanceId,
    /// The same counters, where instances share them.
    pub shared_counters: Option<Arc<SharedCounters>>,
    /// How all of that goes.
    pub parts: StoreParts,
}

pub(super) async fn open(config: &Config, clock: &Clock) -> Result<Stores, StartError> {
    let near = Arc::new(MemoryCounters::new(config.limits.max_counters, clock.clone()));
    let results = Near::new(config.results.memory as u64, clock.clone());
    let alone = |sessions: Arc<dyn Sessions>, roster: Arc<dyn FarRoster>, results, parts| {
        let results: Arc<dyn Results> = Arc::new(results);
        let instance = InstanceId(Chance::system().next());
        let roster = Roster::new(roster, DISK, clock.clone());
        Stores { sessions, counters: near.clone(), results, roster, instance, shared_counters: None, parts }
    };
    Ok(match &config.store.url {
        StoreUrl::Memory => {
            let (sessions, roster) = (Arc::new(Memory::new(config.session.max)), Arc::new(MemoryRoster::default()));
            alone(sessions, roster, results, StoreParts::of("memory"))
        }
        StoreUrl::Disk(directory) => {
            let disk = Arc::new(Disk::open(directory, config.session.max)?);
            let pulse = Pulse::new(clock.clone());
            let measured = Measured::new(Arc::clone(&disk), Arc::clone(&pulse));
            let roster = Arc::clone(&disk);
            let part = part("sessions", pulse, move || disk.is_broken());
            alone(Arc::new(measured), roster, results, StoreParts::of("disk").with(part))
        }
        StoreUrl::Redis(url) => shared(config, url, (near, results), clock).await?,
    })
}

/// A store that several instances share.
async fn shared(
    config: &Config,
    url: &RedisUrl,
    (near, results): (Arc<MemoryCounters>, Near),
    clock: &Clock,
) -> Result<Stores, StartError> {
    let settings = &config.store;
    let (prefix, ca_file) = (settings.prefix.as_str(), settings.ca_file.as_deref());
    let (timeout, lifetime) = (settings.timeout, config.session.lifetime);
    let far = Redis::start(url, RedisOptions { prefix, ca_file, timeout, lifetime })?;
    // Whoever serves before it has seen the store seals with a key that the others do not know yet.
    if !far.arrived(ARRIVAL).await {
        tracing::warn!("the store is not there yet; sessions are served without it and written when it comes");
    }
    let parts = StoreParts { lost: Arc::clone(far.lost()), ..StoreParts::of("redis") };
    let pulse = || Pulse::new(clock.clone());
    let beats = (pulse(), pulse(), pulse());
    let away = (timeout, config.limits.when_away);
    let counters = Arc::new(Measured::new(Arc::new(far.counters()), Arc::clone(&beats.1)));
    let counters = Arc::new(SharedCounters::start(counters, near, away, clock.clone()));
    let looked = Arc::clone(&counters);
    let parts = parts.with(part("counters", beats.1, move || looked.is_away()));
    let (results, parts): (Arc<dyn Results>, _) = if config.results.shared {
        let far = Arc::new(Measured::new(Arc::new(far.results(config.results.compress)), Arc::clone(&beats.2)));
        let results = Arc::new(SharedResults::start(far, results, timeout, clock.clone()));
        let looked = Arc::clone(&results);
        (results, parts.with(part("results", beats.2, move || looked.is_away())))
    } else {
        (Arc::new(results), parts)
    };
    let (roster, instance) = (Arc::new(far.roster()), far.instance());
    let roster = Roster::new(roster, timeout, clock.clone());
    let (limit, when_away) = (config.session.max, settings.when_away);
    let settings = SharedSettings { limit, lifetime, timeout, when_away };
    let sessions = Shared::start(Arc::new(Measured::new(Arc::new(far), Arc::clone(&beats.0))), settings, clock.clone());
    let looked = Arc::clone(&sessions);
    let parts = parts.with(part("sessions", beats.0, move || looked.is_away()));
    Ok(Stores {
        sessions,
        counters: counters.clone(),
        results,
        roster,
        instance,
        shared_counters: Some(counters),
        parts,
    })
}

fn part(name: &'static str, pulse: Arc<Pulse>, away: impl Fn() -> bool + Send + Sync + 'static) -> StorePart {
    StorePart { name, pulse, away: Arc::new(away) }
}
