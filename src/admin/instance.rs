//! What an instance is and how it is doing: this one, and all that share its store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::Admin;
use crate::drain::Phase;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/instance", get(this)).route("/api/v1/instances", get(all))
}

/// What does not change while an instance runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Tells instances apart, and the same one before a restart from itself after it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it started, in milliseconds since 1970.
    pub started_at: u64,
    /// What kind of store it keeps things in.
    pub store: &'static str,
}

#[derive(Serialize)]
pub struct Instance<'a> {
    id: &'a str,
    name: &'a str,
    version: &'static str,
    started_at: u64,
    phase: &'static str,
    store: Store,
    sessions: usize,
    connections: usize,
    turned_away: TurnedAway,
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
struct Instances<'a> {
    instances: Vec<Card<'a>>,
}

/// What is known of one instance, and for how long.
#[derive(Serialize)]
struct Card<'a> {
    #[serde(flatten)]
    instance: Instance<'a>,
    own: bool,
    age_ms: u64,
}

async fn this(State(admin): State<Arc<Admin>>) -> Json<serde_json::Value> {
    Json(serde_json::json!(instance(&admin)))
}

/// While nobody tells of the others, this one is all that is known.
async fn all(State(admin): State<Arc<Admin>>) -> Json<serde_json::Value> {
    let own = Card { instance: instance(&admin), own: true, age_ms: 0 };
    Json(serde_json::json!(Instances { instances: vec![own] }))
}

/// This one.
pub fn instance(admin: &Admin) -> Instance<'_> {
    let turned_away = admin.doors.turned_away();
    Instance {
        id: &admin.identity.id,
        name: &admin.identity.name,
        version: env!("CARGO_PKG_VERSION"),
        started_at: admin.identity.started_at,
        phase: match admin.drain.phase() {
            Phase::Serving => "serving",
            Phase::Noticed => "noticed",
            Phase::Closing => "closing",
            Phase::Parting | Phase::Over => "parting",
        },
        store: Store {
            kind: admin.identity.store,
            shared: admin.sessions.are_shared(),
            away: admin.sessions.store_is_away(),
        },
        sessions: admin.sessions.count(),
        connections: admin.workers.connections(),
        turned_away: TurnedAway {
            tls_handshake: turned_away.handshakes.load(Ordering::Relaxed),
            proxy_header: turned_away.proxied.load(Ordering::Relaxed),
        },
    }
}
