//! The backends as this instance sees them, and the order to take nobody new.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::asked::{LONGEST_TEXT, Named, Params, within};
use super::backend_view::{Detail, detail};
use super::problem::Problem;
use crate::fleet::{Backend, Pool};

pub fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/api/v1/backends", get(all))
        .route("/api/v1/backends/{id}", get(one))
        .route("/api/v1/backends/{id}/drain", post(drain))
        .route("/api/v1/backends/{id}/undrain", post(undrain))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    pool: Option<String>,
}

#[derive(Serialize)]
struct Pools {
    pools: Vec<PoolView>,
}

#[derive(Serialize)]
pub struct PoolView {
    pub name: String,
    path: String,
    pub backends: Vec<BackendView>,
}

#[derive(Serialize)]
pub struct BackendView {
    pub id: String,
    name: String,
    url: String,
    pub state: &'static str,
    pub draining: bool,
    pub sessions: u32,
    pub in_flight: u32,
    pub latency_ms: f64,
    pub weight: u32,
}

/// One backend, and where it lies.
#[derive(Serialize)]
struct Placed {
    pool: String,
    #[serde(flatten)]
    backend: BackendView,
}

/// One backend that is asked for alone.
#[derive(Serialize)]
struct Looked {
    #[serde(flatten)]
    placed: Placed,
    #[serde(flatten)]
    detail: Detail,
}

async fn all(State(admin): State<Arc<Admin>>, Params(which): Params<Which>) -> Result<Json<Pools>, Problem> {
    within(LONGEST_TEXT, ("pool", which.pool.as_deref()))?;
    let now = admin.clock.now();
    let pools = admin.fleet.pools();
    let wanted = |pool: &&Arc<Pool>| which.pool.as_ref().is_none_or(|name| pool.settings().name == *name);
    let pools: Vec<_> = pools.iter().filter(wanted).map(|pool| pool_view(pool, now)).collect();
    match which.pool {
        Some(_) if pools.is_empty() => Err(unknown_pool()),
        _ => Ok(Json(Pools { pools })),
    }
}

async fn one(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Looked>, Problem> {
    let (pool, backend) = find(&admin, &id)?;
    let placed = placed(&pool, &backend, admin.clock.now());
    Ok(Json(Looked { placed, detail: detail(&admin, &pool, &backend) }))
}

async fn drain(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Placed>, Problem> {
    set(&admin, &id, true)
}

async fn undrain(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Placed>, Problem> {
    set(&admin, &id, false)
}

/// The order holds on this instance, and until the next start.
fn set(admin: &Admin, id: &str, on: bool) -> Result<Json<Placed>, Problem> {
    let (pool, backend) = find(admin, id)?;
    admin.fleet.drain(pool.id, backend.id, on);
    tracing::info!(backend = %backend.name, on, "an operator drains a backend");
    Ok(Json(placed(&pool, &backend, admin.clock.now())))
}

/// The backend of this id, and its pool.
pub fn find(admin: &Admin, id: &str) -> Result<(Arc<Pool>, Arc<Backend>), Problem> {
    let pools = admin.fleet.pools();
    let found = pools.iter().find_map(|pool| {
        let backend = pool.backends().iter().find(|backend| backend.id.to_string() == id).cloned()?;
        Some((Arc::clone(pool), backend))
    });
    found.ok_or_else(|| Problem::unknown("unknown_backend", "no backend has this id; see /api/v1/backends"))
}

/// No pool has the name that was asked for.
pub fn unknown_pool() -> Problem {
    Problem::unknown("unknown_pool", "no pool has this name; see /api/v1/backends")
}

/// One pool with its backends.
pub fn pool_view(pool: &Pool, now: Instant) -> PoolView {
    let settings = pool.settings();
    let backends = pool.backends().iter().map(|backend| view(backend, now)).collect();
    PoolView { name: settings.name.clone(), path: settings.path.clone(), backends }
}

fn placed(pool: &Pool, backend: &Backend, now: Instant) -> Placed {
    Placed { pool: pool.settings().name.clone(), backend: view(backend, now) }
}

fn view(backend: &Backend, now: Instant) -> BackendView {
    let load = backend.load(now);
    let scheme = if backend.is_secure() { "https" } else { "http" };
    BackendView {
        id: backend.id.to_string(),
        name: backend.name.to_string(),
        url: format!("{scheme}://{}", backend.name),
        state: state(backend),
        draining: backend.drains(),
        sessions: load.sessions,
        in_flight: load.in_flight,
        latency_ms: (load.latency * 1_000_000.0).round() / 1000.0,
        weight: load.weight,
    }
}

/// In one word. Who is out of use is so first of all, wherever else it stands.
fn state(backend: &Backend) -> &'static str {
    if backend.is_recovering() {
        "ejected"
    } else if backend.is_down() {
        "down"
    } else if backend.drains() {
        "draining"
    } else if backend.is_parting() {
        "parting"
    } else {
        "up"
    }
}
