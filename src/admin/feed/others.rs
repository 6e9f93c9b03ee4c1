//! The instances that share the store, as viewers are told of them. Owns how often: all at each beat where they are few, and with each
//! sample where they are many, so that a viewer of a large installation is not told mostly of ages.

use serde::Serialize;

use crate::admin::Admin;
use crate::instances::Seen;

/// Up to so many are told of at each beat.
const FEW: usize = 32;

/// All instances, as far as it is known.
#[derive(Clone, Debug, Serialize)]
pub struct Others {
    instances: Vec<InstanceView>,
    /// Where the store does not answer: how old what is said of the others is.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances_old_ms: Option<u64>,
}

/// One instance, this one among them.
#[derive(Clone, Debug, Serialize)]
struct InstanceView {
    id: String,
    name: Box<str>,
    version: Box<str>,
    phase: Box<str>,
    started_at: u64,
    age_ms: u64,
    sessions: u64,
    connections: u64,
    in_flight: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_s: Option<f64>,
    store_away: bool,
}

impl Others {
    /// All of them.
    pub fn all(admin: &Admin) -> Self {
        let picture = admin.instances.all();
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let instances = picture.seen.into_iter().map(|Seen { id, card, age, .. }| InstanceView {
            id: id.to_string(),
            in_flight: card.pools.iter().flat_map(|pool| &pool.backends).map(|backend| backend.in_flight).sum(),
            requests_per_s: card.rates.get("requests").copied(),
            name: card.name,
            version: card.version,
            phase: card.phase,
            started_at: card.started_at,
            age_ms: millis(age),
            sessions: card.sessions,
            connections: card.connections,
            store_away: card.store.away,
        });
        Self { instances: instances.collect(), instances_old_ms: picture.old.map(millis) }
    }

    /// What a tick tells.
    pub fn told(admin: &Admin, is_sample: bool) -> Option<Self> {
        let all = Self::all(admin);
        (is_sample || all.instances.len() <= FEW).then_some(all)
    }
}
