//! Watches for changes of what is kept, where no client listens: one stream for each pool of which a list of a modern server is
//! kept here. Owns when that is due and how often it is tried again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::config::PoolSettings;
use crate::fleet::{Fleet, Pool};
use crate::names::PoolId;
use crate::rehome::own_credentials;
use crate::relay::Relay;
use crate::tasks::{self, Task};

/// How often it is looked whose changes are to be watched for.
const LOOK: Duration = Duration::from_secs(1);

/// How long a pool that cannot be watched is left alone; doubled up to the longest.
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Watches for changes.
pub struct Watcher {
    /// What is kept.
    pub cache: Arc<Cache>,
    /// The pools.
    pub fleet: Arc<Fleet>,
    /// Listens.
    pub relay: Arc<Relay>,
}

impl Watcher {
    /// Watches every pool that is to be watched, for ever.
    pub async fn run(self) {
        // At most one for each pool. A pool with new settings is watched anew: its credential may be another.
        let mut watches: HashMap<PoolId, (Arc<PoolSettings>, Task)> = HashMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let pools = self.fleet.pools();
            watches.retain(|id, (settings, _)| {
                let pool = pools.iter().find(|pool| pool.id == *id);
                pool.is_some_and(|pool| Arc::ptr_eq(settings, &pool.settings()) && self.is_due(pool))
            });
            for pool in pools.iter().filter(|pool| self.is_due(pool)) {
                watches.entry(pool.id).or_insert_with(|| {
                    let watch = watch(Arc::clone(&self.relay), Arc::clone(pool));
                    (Arc::clone(&pool.settings()), tasks::spawn("watch", watch))
                });
            }
        }
    }

    fn is_due(&self, pool: &Pool) -> bool {
        pool.settings().watch && self.cache.keeps_lists_of(pool.id)
    }
}

async fn watch(relay: Arc<Relay>, pool: Arc<Pool>) {
    let mut rest = SHORTEST_REST;
    loop {
        // Without a credential a server that wants none may be heard all the same.
        relay.watch(&pool, own_credentials(&pool, true).unwrap_or_default()).await;
        tokio::time::sleep(rest).await;
        rest = LONGEST_REST.min(rest * 2);
    }
}
