//! The sessions: those that this instance knows, and any by its name; an operator can end one, or have it moved. What clients and
//! servers have said in them is not shown, and no credential ever.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::asked::{LONGEST_TEXT, Named, Params, Told, unless_null, within};
use super::backends::unknown_pool;
use super::bounded::in_time;
use super::problem::Problem;
use super::session_view::{Detail, Summary, detail, summary};
use crate::auth::Principal;
use crate::exchange::Moored;
use crate::fleet::Pool;
use crate::names::{BackendId, SessionId};
use crate::rehome::{Immovable, Parted};
use crate::session::Met;
use crate::store::Lookup;

/// Sessions in one answer unless others are asked for, and at most.
const SHOWN: usize = 100;
const MOST_SHOWN: usize = 500;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/api/v1/sessions", get(some))
        .route("/api/v1/sessions/{id}", get(one).delete(end))
        .route("/api/v1/sessions/{id}/move", post(relocate))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    backend: Option<String>,
    caller: Option<String>,
    pool: Option<String>,
    after: Option<String>,
    most: Option<usize>,
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<Summary>,
    /// After whom the next ones come, where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// How many this instance knows in all.
    known: usize,
}

#[derive(Serialize)]
struct Ended {
    id: String,
    backend: &'static str,
}

/// Where to; to the best other backend where it is not said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    #[serde(default, deserialize_with = "unless_null")]
    backend: Option<String>,
}

#[derive(Serialize)]
struct Moved {
    id: String,
    from: super::session_view::Place,
    to: super::session_view::Place,
    epoch: u32,
    took_ms: u64,
}

async fn some(State(admin): State<Arc<Admin>>, Params(which): Params<Which>) -> Result<Json<Sessions>, Problem> {
    let most = which.most.unwrap_or(SHOWN);
    if !(1..=MOST_SHOWN).contains(&most) {
        return Err(Problem::malformed(format!("most is 1 to {MOST_SHOWN}")));
    }
    let after = which.after.as_deref().map(session_id).transpose()?;
    let backend = which.backend.as_deref().map(backend_id).transpose()?;
    let pool = which.pool.as_deref().map(|name| pool_named(&admin, name)).transpose()?;
    let caller = which.caller.as_deref();
    within(LONGEST_TEXT, ("caller", caller))?;
    let digest = caller.and_then(Principal::labelled);
    let is_caller = |moored: &Moored| match caller {
        None => true,
        Some(label) => digest == Some(moored.caller) || moored.called() == Some(label),
    };
    let fits = |moored: &Moored| {
        backend.is_none_or(|backend| moored.berth().backend == backend)
            && pool.as_ref().is_none_or(|pool| moored.pool == pool.id)
            && is_caller(moored)
    };
    // One more than is shown says whether there are more.
    let mut found = admin.sessions.some(after, most + 1, fits);
    let next = (found.len() > most).then(|| found.truncate(most)).and_then(|()| found.last());
    let next = next.map(|last| last.id.to_string());
    let sessions = found.iter().map(|moored| summary(&admin, moored)).collect();
    Ok(Json(Sessions { sessions, next, known: admin.sessions.count() }))
}

async fn one(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Detail>, Problem> {
    let id = session_id(&id)?;
    let held = in_time(admin.sessions.look_into_store(id)).await;
    let known = admin.sessions.knows(id);
    match (held, known) {
        (Ok(Ok(Lookup::Live(record))), false) => Ok(Json(super::session_view::elsewhere(&admin, id, &record))),
        (Ok(Ok(Lookup::Ended)), _) => Err(ended()),
        (Ok(Ok(Lookup::Unknown)), false) => Err(unknown()),
        (Ok(Err(_)) | Err(_), false) => Err(store_away()),
        (held, true) => {
            let record = match held {
                Ok(Ok(Lookup::Live(record))) => Some(record),
                _ => None,
            };
            match in_time(admin.sessions.meet(id)).await? {
                Ok(Met::Alive(moored)) => Ok(Json(detail(&admin, &moored, record.as_deref()))),
                _ => Err(unknown()),
            }
        }
    }
}

/// As its client's DELETE.
async fn end(State(admin): State<Arc<Admin>>, Named(id): Named) -> Result<Json<Ended>, Problem> {
    let moored = find(&admin, &id).await?;
    let pool = admin.fleet.pool(moored.pool);
    let told = in_time(admin.rehome.dismiss(pool.as_ref(), &moored)).await?.map_err(|error| {
        tracing::warn!(session = %moored.id, error = &error as &dyn std::error::Error, "an end could not be stored");
        let words = "it has ended on this instance; the store did not take it, so that others may not know";
        Problem::away("store_away", words)
    })?;
    let backend = match told {
        Parted::Told => "told",
        Parted::Left => "left",
        Parted::Away => "away",
    };
    tracing::info!(session = %moored.id, backend, "an operator ends a session");
    Ok(Json(Ended { id: moored.id.to_string(), backend }))
}

async fn relocate(
    State(admin): State<Arc<Admin>>,
    Named(id): Named,
    Told(place): Told<Where>,
) -> Result<Json<Moved>, Problem> {
    let to = place.backend.as_deref().map(backend_id).transpose()?;
    let moored = find(&admin, &id).await?;
    let pool = admin.fleet.pool(moored.pool).ok_or_else(|| {
        let words = "its pool is not configured any more: there is no other backend for it";
        Problem::new(StatusCode::CONFLICT, "nobody", words)
    })?;
    let began = admin.clock.now();
    let from = admin.rehome.order(&pool, &moored, to).await.map_err(immovable)?;
    let took = admin.clock.now().saturating_duration_since(began);
    let berth = moored.berth();
    let place = |backend| super::session_view::Place::of(Some(&pool), backend);
    let (from, to) = (place(from.backend), place(berth.backend));
    tracing::info!(session = %moored.id, from = %from.name, to = %to.name, "an operator has a session moved");
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Moved { id: moored.id.to_string(), from, to, epoch: berth.epoch.0, took_ms }))
}

async fn find(admin: &Admin, id: &str) -> Result<Arc<Moored>, Problem> {
    match in_time(admin.sessions.meet(session_id(id)?)).await? {
        Ok(Met::Alive(moored)) => Ok(moored),
        Ok(Met::Ended) => Err(ended()),
        Ok(Met::Unknown) => Err(unknown()),
        Err(_) => Err(store_away()),
    }
}

/// What programs hear of why a session stays.
pub fn reason(why: Immovable) -> &'static str {
    match why {
        Immovable::Never => "rehome_never",
        Immovable::Introduced => "caller_unsaid",
        Immovable::Credentials => "no_credentials",
        Immovable::Busy => "busy",
        Immovable::There => "there_already",
        Immovable::NoSuchBackend => "unknown_backend",
        Immovable::Unfit => "backend_unfit",
        Immovable::Nobody => "nobody",
        Immovable::Unequal => "unequal",
        Immovable::Refused(_) => "refused_there",
        Immovable::Ended => "session_ended",
        Immovable::StoreAway => "store_away",
    }
}

fn immovable(why: Immovable) -> Problem {
    let status = match why {
        Immovable::StoreAway => StatusCode::SERVICE_UNAVAILABLE,
        Immovable::NoSuchBackend | Immovable::Ended => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    };
    Problem::new(status, reason(why), why.to_string())
}

fn ended() -> Problem {
    Problem::unknown("session_ended", "the session has ended")
}

fn unknown() -> Problem {
    Problem::unknown("unknown_session", "no session has this name: it never was, or has ended long ago")
}

fn store_away() -> Problem {
    Problem::away("store_away", "this instance does not know the session, and the store cannot be asked now; try again")
}

fn pool_named(admin: &Admin, name: &str) -> Result<Arc<Pool>, Problem> {
    let pools = admin.fleet.pools();
    pools.iter().find(|pool| pool.settings().name == name).cloned().ok_or_else(unknown_pool)
}

/// Its name, as it stands in logs.
pub fn session_id(text: &str) -> Result<SessionId, Problem> {
    let id = hex(text, 32).and_then(|digits| u128::from_str_radix(digits, 16).ok());
    id.map(SessionId).ok_or_else(|| Problem::malformed("a session's name, as in logs, has 32 hex digits"))
}

fn backend_id(text: &str) -> Result<BackendId, Problem> {
    let id = hex(text, 16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    id.map(BackendId).ok_or_else(|| Problem::malformed("a backend's id has 16 hex digits; see /api/v1/backends"))
}

fn hex(text: &str, digits: usize) -> Option<&str> {
    Some(text)
        .filter(|text| text.len() == digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}
