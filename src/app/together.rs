//! What this instance is among those that share its store: its name, and the first look at who else is there.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Shared;
use crate::config::Config;
use crate::instances::{Identity, Instances, Parts};
use crate::listener::Workers;
use crate::names::InstanceId;
use crate::store::roster::Near;

/// Where Linux says what this machine is called; in a container, what that is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Joins the others. When it returns, what was ordered before is obeyed, if the store answers.
pub(super) async fn join(
    shared: &Shared,
    (config, admin): (&Config, Option<SocketAddr>),
    (roster, id, store): (Near, InstanceId, &'static str),
    workers: &Arc<Workers>,
) -> Arc<Instances> {
    let name = config.instance.name.clone().unwrap_or_else(host_name);
    let identity = Identity { id, name: name.into(), started_at: shared.clock.unix_millis(), admin, store };
    let parts = Parts {
        roster,
        fleet: Arc::clone(&shared.fleet),
        sessions: Arc::clone(&shared.sessions),
        workers: Arc::clone(workers),
        tallies: Arc::clone(shared.observe.tallies()),
        drain: shared.drain.clone(),
        clock: shared.clock.clone(),
    };
    let instances = Arc::new(Instances::new(identity, parts));
    instances.report().await;
    instances
}

/// What this machine is called, where that can be found out.
fn host_name() -> String {
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("moorline").to_owned()
}
