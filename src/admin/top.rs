//! Who keeps this instance busy: the tools that are called most, and the callers who call most.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::asked::Params;
use super::problem::Problem;
use crate::observe::tally::Who;
use crate::observe::top::Share;

/// How many are shown unless others are asked for, and at most.
const SHOWN: usize = 20;
const MOST_SHOWN: usize = 200;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/tools", get(tools)).route("/api/v1/callers", get(callers))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    most: Option<usize>,
}

#[derive(Serialize)]
struct Tools {
    since_ms: u64,
    tools: Vec<Tool>,
}

#[derive(Serialize)]
struct Tool {
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    name: String,
    #[serde(flatten)]
    share: ShareView,
}

#[derive(Serialize)]
struct Callers {
    since_ms: u64,
    callers: Vec<Caller>,
}

#[derive(Serialize)]
struct Caller {
    caller: String,
    known: bool,
    #[serde(flatten)]
    share: ShareView,
}

/// Sums over all calls; times in milliseconds.
#[derive(Serialize)]
struct ShareView {
    calls: u64,
    errors: u64,
    refused: u64,
    own_ms: f64,
    backend_ms: f64,
}

async fn tools(State(admin): State<Arc<Admin>>, Params(many): Params<Many>) -> Result<Json<Tools>, Problem> {
    let busiest = admin.tallies.busiest(most(&many)?, admin.clock.now());
    let pool_name = |id| admin.fleet.pool(id).map(|pool| pool.settings().name.clone());
    let tool = |(pool, name, share): (_, Box<str>, Share)| Tool {
        pool: pool_name(pool),
        name: name.into(),
        share: view(&share),
    };
    let tools = busiest.tools.into_iter().map(tool).collect();
    Ok(Json(Tools { since_ms: millis(busiest.since), tools }))
}

async fn callers(State(admin): State<Arc<Admin>>, Params(many): Params<Many>) -> Result<Json<Callers>, Problem> {
    let busiest = admin.tallies.busiest(most(&many)?, admin.clock.now());
    let caller = |(who, name, share): (Who, Box<str>, Share)| Caller {
        caller: name.into(),
        known: matches!(who, Who::Known(_)),
        share: view(&share),
    };
    let callers = busiest.callers.into_iter().map(caller).collect();
    Ok(Json(Callers { since_ms: millis(busiest.since), callers }))
}

fn most(many: &Many) -> Result<usize, Problem> {
    let most = many.most.unwrap_or(SHOWN);
    let within = (1..=MOST_SHOWN).contains(&most);
    if within { Ok(most) } else { Err(Problem::malformed(format!("most is 1 to {MOST_SHOWN}"))) }
}

fn view(share: &Share) -> ShareView {
    let millis = |micros: u64| micros as f64 / 1000.0;
    ShareView {
        calls: share.calls,
        errors: share.errors,
        refused: share.refused,
        own_ms: millis(share.own_us),
        backend_ms: millis(share.backend_us),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
