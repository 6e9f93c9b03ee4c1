//! What an operator asks of the cache: how much it holds, and that something be forgotten, everywhere.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::asked::{LONGEST_TEXT, Told, within};
use super::backends::unknown_pool;
use super::bounded::in_time;
use super::problem::Problem;
use super::sessions::session_id;
use crate::cache::Purge;
use crate::names::PoolId;

/// What one order may name of each kind at most.
const MOST_NAMED: usize = 256;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/cache", get(usage)).route("/api/v1/cache/purge", post(purge))
}

#[derive(Serialize)]
struct Usage {
    entries: usize,
    bytes: u64,
    most: u64,
    under_way: usize,
    waiting: usize,
}

/// What is to be forgotten: all that any of these is about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct What {
    tools: Vec<Box<str>>,
    tags: Vec<Box<str>>,
    callers: Vec<Box<str>>,
    sessions: Vec<String>,
    pools: Vec<String>,
    all: bool,
}

async fn usage(State(admin): State<Arc<Admin>>) -> Json<Usage> {
    let usage = admin.cache.usage();
    let (under_way, waiting) = admin.cache.under_way();
    Json(Usage { entries: usage.entries, bytes: usage.bytes, most: usage.most, under_way, waiting })
}

async fn purge(State(admin): State<Arc<Admin>>, Told(what): Told<What>) -> Result<StatusCode, Problem> {
    let purge = read(&admin, what)?;
    let pools: Vec<_> = admin.fleet.pools().iter().map(|pool| pool.id).collect();
    let tags = admin.cache.tags_of(&purge, &pools);
    let tags = tags.map_err(|error| Problem::unknown("unknown_pattern", error.to_string()))?;
    tracing::info!(?purge, "an operator has results forgotten");
    match in_time(admin.cache.purge(&tags)).await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        late => {
            if let Ok(Err(error)) = late {
                tracing::warn!(error = &error as &dyn std::error::Error, "not every instance has heard of it yet");
            }
            let words = "forgotten on this instance; the others will as soon as the store can be reached";
            Err(Problem::away("store_away", words))
        }
    }
}

fn read(admin: &Admin, what: What) -> Result<Purge, Problem> {
    let lists = [what.tools.len(), what.tags.len(), what.callers.len(), what.sessions.len(), what.pools.len()];
    if lists.iter().any(|named| *named > MOST_NAMED) {
        return Err(Problem::malformed(format!("more than {MOST_NAMED} names of one kind")));
    }
    if !what.all && lists == [0; 5] {
        return Err(Problem::malformed(
            "say what: tools, tags, callers, sessions, pools (lists of names), or all: true",
        ));
    }
    let texts = what.tools.iter().chain(&what.tags).chain(&what.callers).map(|name| &**name);
    for name in texts.chain(what.pools.iter().map(String::as_str)) {
        if name.is_empty() {
            return Err(Problem::malformed("a name is empty"));
        }
        within(LONGEST_TEXT, ("a name", Some(name)))?;
    }
    Ok(Purge {
        all: what.all,
        pools: what.pools.iter().map(|name| pool(admin, name)).collect::<Result<_, _>>()?,
        sessions: what.sessions.iter().map(|id| session_id(id)).collect::<Result<_, _>>()?,
        tools: what.tools,
        callers: what.callers,
        tags: what.tags,
    })
}

fn pool(admin: &Admin, name: &str) -> Result<PoolId, Problem> {
    let pools = admin.fleet.pools();
    let found = pools.iter().find(|pool| pool.settings().name == name);
    found.map(|pool| pool.id).ok_or_else(unknown_pool)
}
