//! The log as an operator asks for it: its recent lines, and from which level on they are written.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::asked::{Params, Told};
use super::problem::Problem;
use crate::config::LogLevel;
use crate::log::{Event, MOST_KEPT};

/// The largest number that every reader of JSON tells from its neighbours (RFC 8259 §6).
const LARGEST: u64 = (1 << 53) - 1;

/// Lines in one answer unless others are asked for.
const SHOWN: usize = 100;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/events", get(events)).route("/api/v1/log", get(level).put(set_level))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    after: Option<u64>,
    most: Option<usize>,
}

#[derive(Serialize)]
struct Events {
    events: Vec<Event>,
    /// The number of the last line that there is.
    newest: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Level {
    level: LogLevel,
}

async fn events(State(admin): State<Arc<Admin>>, Params(which): Params<Which>) -> Result<Json<Events>, Problem> {
    let most = which.most.unwrap_or(SHOWN);
    if !(1..=MOST_KEPT).contains(&most) {
        return Err(Problem::malformed(format!("most is 1 to {MOST_KEPT}")));
    }
    if which.after.is_some_and(|after| after > LARGEST) {
        return Err(Problem::malformed(format!("after is {LARGEST} at most")));
    }
    let kept = admin.log.events();
    let newest = *kept.newest().borrow();
    let events = kept.after(which.after.unwrap_or(0), most);
    // A line may have come between.
    let newest = events.last().map_or(newest, |last| last.number);
    Ok(Json(Events { events: events.iter().map(|event| Event::clone(event)).collect(), newest }))
}

async fn level(State(admin): State<Arc<Admin>>) -> Json<Level> {
    Json(Level { level: admin.log.level() })
}

/// The level holds until the next start, or until another one is configured.
async fn set_level(State(admin): State<Arc<Admin>>, Told(wanted): Told<Level>) -> Json<Level> {
    admin.log.set_level(wanted.level);
    tracing::info!(level = wanted.level.name(), "an operator sets the log level");
    level(State(admin)).await
}
