//! The backends as this instance sees them, and the order to take nobody new.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::asked::{LONGEST_TEXT, Named, Params, within};
use super::backend_view::{Detail, detail};
use super::problem::Problem;
use crate::fleet::{Backend, Pool};
use crate::instances::OrderError;
use crate::names::BackendId;
use crate::store::roster::{Matter, Order, Wish};

/// Who gives orders here; which instance takes them is added.
const BY: &str = "an operator";

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
    /// The operators' order that stands, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderView>,
}

/// An operators' order to drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderView {
    at: u64,
    by: Box<str>,
}

/// What was ordered.
#[derive(Serialize)]
struct Ordered {
    /// Whether it holds on all instances already.
    everywhere: bool,
    /// The backend, if it is there.
    #[serde(flatten)]
    placed: Option<Placed>,
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
    let pools = admin.fleet.pools();
    let orders = admin.instances.orders();
    let wanted = |pool: &&Arc<Pool>| which.pool.as_ref().is_none_or(|name| pool.settings().name == *name);
    let pools: Vec<_> = pools.iter().filter(wanted).map(|pool| pool_view(&admin, pool, &orders)).collect();
    match which.pool {
        Some(_) if pools.is_empty() => Err(unknown_pool()),
        _ => Ok(Json(Pools { pools })),
    }
}

async fn one(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Looked>, Problem> {
    let (pool, backend) = find(&admin, &id)?;
    Ok(Json(Looked { placed: placed(&admin, &pool, &backend), detail: detail(&admin, &pool, &backend) }))
}

async fn drain(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Ordered>, Problem> {
    set(&admin, &id, Wish::Drain).await
}

async fn undrain(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Ordered>, Problem> {
    set(&admin, &id, Wish::Serve).await
}

/// The order holds on all instances that share the store, and until it is withdrawn.
async fn set(admin: &Admin, id: &str, wish: Wish) -> Result<Json<Ordered>, Problem> {
    // As it is printed: sixteen digits.
    let id = u64::from_str_radix(id, 16).ok().map(BackendId).filter(|parsed| parsed.to_string() == id);
    let id = id.ok_or_else(unknown)?;
    let ordered = match wish {
        Wish::Drain => admin.instances.drain(id, BY).await,
        Wish::Serve => admin.instances.undrain(id, BY).await,
    };
    let ordered = ordered.map_err(|error| match error {
        OrderError::Unknown => unknown(),
        OrderError::Refused(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "an order was not taken");
            Problem::new(StatusCode::CONFLICT, "too_many_orders", "too many orders stand; withdraw one first")
        }
    })?;
    let placed = find(admin, &id.to_string()).ok().map(|(pool, backend)| placed(admin, &pool, &backend));
    Ok(Json(Ordered { everywhere: ordered.is_told, placed }))
}

/// The backend of this id, and its pool.
pub fn find(admin: &Admin, id: &str) -> Result<(Arc<Pool>, Arc<Backend>), Problem> {
    let pools = admin.fleet.pools();
    let found = pools.iter().find_map(|pool| {
        let backend = pool.backends().iter().find(|backend| backend.id.to_string() == id).cloned()?;
        Some((Arc::clone(pool), backend))
    });
    found.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::unknown("unknown_backend", "no backend has this id; see /api/v1/backends")
}

/// No pool has the name that was asked for.
pub fn unknown_pool() -> Problem {
    Problem::unknown("unknown_pool", "no pool has this name; see /api/v1/backends")
}

/// One pool with its backends.
pub fn pool_view(admin: &Admin, pool: &Pool, orders: &[Order]) -> PoolView {
    let (settings, now) = (pool.settings(), admin.clock.now());
    let backends = pool.backends().iter().map(|backend| view(backend, now, order(pool, backend, orders))).collect();
    PoolView { name: settings.name.clone(), path: settings.path.clone(), backends }
}

fn placed(admin: &Admin, pool: &Pool, backend: &Backend) -> Placed {
    let order = order(pool, backend, &admin.instances.orders());
    Placed { pool: pool.settings().name.clone(), backend: view(backend, admin.clock.now(), order) }
}

fn order(pool: &Pool, backend: &Backend, orders: &[Order]) -> Option<OrderView> {
    let matter = Matter { pool: pool.id, backend: backend.id };
    let order = orders.iter().find(|order| order.matter == matter)?;
    Some(OrderView { at: order.at, by: order.by.clone() })
}

fn view(backend: &Backend, now: Instant, order: Option<OrderView>) -> BackendView {
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
        order,
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
