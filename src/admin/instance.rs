//! What an instance is and how it is doing: this one, and all that share its store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::Admin;
use crate::config::LogLevel;
use crate::instances::{BackendCard, Seen, StoreCard};

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/instance", get(this)).route("/api/v1/instances", get(all))
}

#[derive(Serialize)]
pub struct Instance<'a> {
    id: String,
    name: &'a str,
    version: &'static str,
    started_at: u64,
    phase: &'static str,
    store: Store,
    sessions: usize,
    connections: usize,
    turned_away: TurnedAway,
    log_level: LogLevel,
}

#[derive(Serialize)]
struct Store {
    kind: &'static str,
    shared: bool,
    away: bool,
}

/// Connections that did not come in, since the start.
#[derive(Serialize)]
struct TurnedAway {
    tls_handshake: u64,
    proxy_header: u64,
}

#[derive(Serialize)]
struct Instances {
    instances: Vec<CardView>,
    /// Where the store does not answer: how old what is said of the others is.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_ms: Option<u64>,
}

/// What is known of one instance, and how old that is.
#[derive(Serialize)]
struct CardView {
    id: String,
    name: Box<str>,
    version: Box<str>,
    started_at: u64,
    phase: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<Box<str>>,
    store: StoreCard,
    sessions: u64,
    connections: u64,
    totals: BTreeMap<Box<str>, u64>,
    rates: BTreeMap<Box<str>, f64>,
    latency_us: BTreeMap<Box<str>, u64>,
    pools: Vec<PoolView>,
    /// Backends that had no room in its card.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<usize>,
    own: bool,
    age_ms: u64,
}

#[derive(Serialize)]
struct PoolView {
    id: String,
    name: Box<str>,
    backends: Vec<BackendView>,
}

/// A backend as that instance sees it.
#[derive(Serialize)]
struct BackendView {
    id: String,
    state: &'static str,
    sessions: u64,
    in_flight: u64,
    latency_us: u64,
}

async fn this(State(admin): State<Arc<Admin>>) -> Json<serde_json::Value> {
    Json(serde_json::json!(instance(&admin)))
}

async fn all(State(admin): State<Arc<Admin>>) -> Json<Instances> {
    let picture = admin.instances.all();
    let instances = picture.seen.into_iter().map(card).collect();
    Json(Instances { instances, old_ms: picture.old.map(millis) })
}

/// This one.
pub fn instance(admin: &Admin) -> Instance<'_> {
    let (identity, turned_away) = (admin.instances.identity(), admin.doors.turned_away());
    Instance {
        id: identity.id.to_string(),
        name: &identity.name,
        version: env!("CARGO_PKG_VERSION"),
        started_at: identity.started_at,
        phase: admin.drain.phase().name(),
        store: Store {
            kind: identity.store,
            shared: admin.sessions.are_shared(),
            away: admin.sessions.store_is_away(),
        },
        sessions: admin.sessions.count(),
        connections: admin.workers.connections(),
        turned_away: TurnedAway {
            tls_handshake: turned_away.handshakes.load(Ordering::Relaxed),
            proxy_header: turned_away.proxied.load(Ordering::Relaxed),
        },
        log_level: admin.log.level(),
    }
}

fn card(Seen { id, card, age, is_own }: Seen) -> CardView {
    let pools = card.pools.iter().map(|pool| PoolView {
        id: pool.id().to_string(),
        name: pool.name.clone(),
        backends: pool.backends.iter().map(backend).collect(),
    });
    CardView {
        id: id.to_string(),
        pools: pools.collect(),
        name: card.name,
        version: card.version,
        started_at: card.started_at,
        phase: card.phase,
        admin: card.admin,
        store: card.store,
        sessions: card.sessions,
        connections: card.connections,
        totals: card.totals,
        rates: card.rates,
        latency_us: card.latency_us,
        left_out: (card.left_out > 0).then_some(card.left_out),
        own: is_own,
        age_ms: millis(age),
    }
}

fn backend(card: &BackendCard) -> BackendView {
    BackendView {
        id: card.id.to_string(),
        state: card.state(),
        sessions: card.sessions,
        in_flight: card.in_flight,
        latency_us: card.latency_us,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
