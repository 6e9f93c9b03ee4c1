//! Opens the stores that a configuration asks for: the only place that makes any.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::clock::Clock;
use crate::config::{Config, StoreUrl};
use crate::store::Sessions;
use crate::store::counters::Counters;
use crate::store::counters::memory::Memory as MemoryCounters;
use crate::store::counters::shared::Shared as SharedCounters;
use crate::store::disk::Disk;
use crate::store::memory::Memory;
use crate::store::redis::{Redis, RedisOptions};
use crate::store::results::Results;
use crate::store::results::near::Near;
use crate::store::results::shared::Shared as SharedResults;
use crate::store::shared::{Shared, SharedSettings};

/// At the start a store that several instances share is waited for so long.
const ARRIVAL: Duration = Duration::from_secs(3);

/// Where things are kept.
pub(super) struct Stores {
    pub sessions: Arc<dyn Sessions>,
    pub counters: Arc<dyn Counters>,
    pub results: Arc<dyn Results>,
    /// The same counters, where instances share them.
    pub shared_counters: Option<Arc<SharedCounters>>,
}

pub(super) async fn open(config: &Config, clock: &Clock) -> Result<Stores, StartError> {
    let settings = &config.store;
    let near = Arc::new(MemoryCounters::new(config.limits.max_counters, clock.clone()));
    let results = Near::new(config.results.memory as u64, clock.clone());
    let alone = |sessions, results| {
        let results: Arc<dyn Results> = Arc::new(results);
        Stores { sessions, counters: near.clone(), results, shared_counters: None }
    };
    Ok(match &settings.url {
        StoreUrl::Memory => alone(Arc::new(Memory::new(config.session.max)), results),
        StoreUrl::Disk(directory) => alone(Arc::new(Disk::open(directory, config.session.max)?), results),
        StoreUrl::Redis(url) => {
            let (prefix, ca_file) = (settings.prefix.as_str(), settings.ca_file.as_deref());
            let (timeout, lifetime) = (settings.timeout, config.session.lifetime);
            let far = Redis::start(url, RedisOptions { prefix, ca_file, timeout, lifetime })?;
            // Whoever serves before it has seen the store seals with a key that the others do not know yet.
            if !far.arrived(ARRIVAL).await {
                tracing::warn!("the store is not there yet; sessions are served without it and written when it comes");
            }
            let (limit, when_away) = (config.session.max, settings.when_away);
            let away = (timeout, config.limits.when_away);
            let counters = Arc::new(SharedCounters::start(Arc::new(far.counters()), near, away, clock.clone()));
            let results: Arc<dyn Results> = if config.results.shared {
                let far = Arc::new(far.results(config.results.compress));
                Arc::new(SharedResults::start(far, results, timeout, clock.clone()))
            } else {
                Arc::new(results)
            };
            let shared = SharedSettings { limit, lifetime, timeout, when_away };
            let sessions = Shared::start(Arc::new(far), shared, clock.clone());
            Stores { sessions, counters: counters.clone(), results, shared_counters: Some(counters) }
        }
    })
}
