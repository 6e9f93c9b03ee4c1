//! `moorline status`: the instances, and the pools with their backends.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::ask::Instance;
use super::say::say;
use super::table::{length, printable, table};
use crate::clock::Clock;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    instance: Instance,
}

#[derive(Deserialize)]
struct Instances {
    instances: Vec<Card>,
}

#[derive(Deserialize)]
struct Card {
    name: String,
    version: String,
    phase: String,
    started_at: u64,
    sessions: u64,
    connections: u64,
    store: Store,
    own: bool,
    age_ms: u64,
}

#[derive(Deserialize)]
struct Store {
    kind: String,
    away: bool,
}

/// The pools with their backends.
#[derive(Deserialize)]
pub(super) struct Pools {
    pub pools: Vec<Pool>,
}

#[derive(Deserialize)]
pub(super) struct Pool {
    pub name: String,
    pub backends: Vec<Backend>,
}

#[derive(Deserialize)]
pub(super) struct Backend {
    pub id: String,
    pub name: String,
    pub url: String,
    state: String,
    sessions: u64,
    in_flight: u64,
    latency_ms: f64,
}

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let instance = &args.instance;
    if instance.wants_json() {
        let (mut instances, backends): (Value, Value) =
            (instance.get("/api/v1/instances")?, instance.get("/api/v1/backends")?);
        instances["pools"] = backends["pools"].clone();
        return say(&format!("{instances}\n"));
    }
    let (instances, pools): (Instances, Pools) =
        (instance.get("/api/v1/instances")?, instance.get("/api/v1/backends")?);
    let instances = instances_table(&instances, Clock::system().unix_millis());
    say(&format!("{instances}\n{}", backends_table(&pools)))
}

fn instances_table(instances: &Instances, now: u64) -> String {
    let rows = instances.instances.iter().map(|card| {
        let store = if card.store.away { format!("{} (away)", card.store.kind) } else { card.store.kind.clone() };
        let heard = if card.own { "itself".into() } else { format!("{} ago", length(card.age_ms)) };
        let up = length(now.saturating_sub(card.started_at));
        let (sessions, connections) = (card.sessions.to_string(), card.connections.to_string());
        [printable(&card.name), card.version.clone(), card.phase.clone(), store, up, sessions, connections, heard]
    });
    let heading = ["INSTANCE", "VERSION", "PHASE", "STORE", "UP FOR", "SESSIONS", "CONNECTIONS", "HEARD"];
    table(heading, &rows.collect::<Vec<_>>())
}

fn backends_table(pools: &Pools) -> String {
    let row = |pool: &Pool, backend: &Backend| {
        let (sessions, in_flight) = (backend.sessions.to_string(), backend.in_flight.to_string());
        let latency = format!("{:.1} ms", backend.latency_ms);
        let name = printable(&backend.name);
        [printable(&pool.name), name, backend.state.clone(), sessions, in_flight, latency, backend.id.clone()]
    };
    let rows = pools.pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| row(pool, backend)));
    let heading = ["POOL", "BACKEND", "STATE", "SESSIONS", "IN FLIGHT", "LATENCY", "ID"];
    table(heading, &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_instances_and_another_one_backends() {
        let card = r#"{"name":"gw-1","version":"0.1.0","phase":"serving","started_at":1000,"sessions":2,"connections":3,
            "store":{"kind":"redis","shared":true,"away":true},"own":false,"age_ms":1500}"#;
        let instances = serde_json::from_str(&format!("{{\"instances\":[{card}]}}")).unwrap();
        let shown = instances_table(&instances, 121_000);
        let row = shown.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(row, "gw-1 0.1.0 serving redis (away) 2 min 2 3 1 s ago");
        let pools = r#"{"pools":[{"name":"mcp","path":"/mcp","backends":[{"id":"00","name":"b:1/mcp","url":"http://b:1/mcp",
            "state":"up","draining":false,"sessions":4,"in_flight":1,"latency_ms":2.44,"weight":1}]}]}"#;
        let shown = backends_table(&serde_json::from_str(pools).unwrap());
        let row = shown.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(row, "mcp b:1/mcp up 4 1 2.4 ms 00");
    }
}
