//! What an operator asks of the limits: how they stand, who spends most, how one account stands, and that a block be lifted.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::asked::{LONGEST_TEXT, Named, Params, Told, within};
use super::bounded::in_time;
use super::problem::Problem;
use crate::limit::{AccountView, LimitView, Spender, UnknownLimit};

/// Spenders of one limit that are shown unless more are asked for, and at most.
const SHOWN: usize = 10;
const MOST_SHOWN: usize = 64;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/limits", get(limits)).route("/api/v1/limits/{name}/lift", post(lift))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    subject: Option<String>,
    top: Option<usize>,
}

/// Whose block is to be lifted; nobody's in particular where all share one account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    #[serde(default)]
    subject: String,
}

#[derive(Serialize)]
struct Lifted {
    lifted: bool,
}

#[derive(Serialize)]
struct Limits {
    limits: Vec<LimitBody>,
}

#[derive(Serialize)]
struct LimitBody {
    name: Box<str>,
    key: String,
    rates: Vec<String>,
    accounts: Vec<SpenderBody>,
}

#[derive(Serialize)]
struct SpenderBody {
    subject: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<u64>,
    standings: Vec<StandingBody>,
}

#[derive(Serialize)]
struct StandingBody {
    what: String,
    limit: u64,
    remaining: u64,
    reset_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_ms: Option<u64>,
}

/// With `subject` one account, else the `top` heaviest spenders of each limit.
async fn limits(State(admin): State<Arc<Admin>>, Params(which): Params<Which>) -> Result<Json<Limits>, Problem> {
    let most = which.top.unwrap_or(SHOWN);
    if most > MOST_SHOWN {
        return Err(Problem::malformed(format!("top is {MOST_SHOWN} at most")));
    }
    within(LONGEST_TEXT, ("subject", which.subject.as_deref()))?;
    let (views, asked) = match &which.subject {
        Some(subject) => (in_time(admin.limit.account(subject)).await?, false),
        None => (in_time(admin.limit.overview(most)).await?, true),
    };
    let views = views.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "limits cannot be shown");
        Problem::away("store_away", "the counters cannot be asked now; try again")
    })?;
    Ok(Json(Limits { limits: views.into_iter().map(|view| limit(view, asked)).collect() }))
}

async fn lift(
    State(admin): State<Arc<Admin>>,
    Named(name): Named,
    Told(whose): Told<Whose>,
) -> Result<Json<Lifted>, Problem> {
    within(LONGEST_TEXT, ("subject", Some(&whose.subject)))?;
    match in_time(admin.limit.lift(&name, &whose.subject)).await? {
        Ok(lifted) => {
            tracing::info!(limit = name, subject = whose.subject, lifted, "an operator lifts a block");
            Ok(Json(Lifted { lifted }))
        }
        Err(error @ UnknownLimit::Name) => {
            Err(Problem::unknown("unknown_limit", format!("{error}; see /api/v1/limits")))
        }
        Err(error @ UnknownLimit::Subject(_)) => {
            let words = format!("{error}; say whose block is lifted: {{\"subject\": …}}");
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit_subject", words))
        }
        Err(error @ UnknownLimit::Store(_)) => Err(Problem::away("store_away", format!("{error}; try again"))),
    }
}

fn limit(view: LimitView, asked: bool) -> LimitBody {
    let accounts = view.top.into_iter().map(|spender| one(spender, asked)).collect();
    LimitBody { name: view.name, key: view.key, rates: view.rates, accounts }
}

fn one(spender: Spender, asked: bool) -> SpenderBody {
    let standings = spender.accounts.into_iter().map(standing).collect();
    SpenderBody { subject: spender.subject, asked: asked.then_some(spender.asked), standings }
}

fn standing(view: AccountView) -> StandingBody {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    StandingBody {
        what: view.what,
        limit: view.limit,
        remaining: view.remaining,
        reset_ms: millis(view.reset),
        blocked_ms: view.blocked.map(millis),
    }
}
