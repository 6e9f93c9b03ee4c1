//! What an operator asks of the limits: how they stand, who spends most, how one account stands, and that a block be lifted.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::query::{has_parameter, parameter};
use super::{Admin, json, text};
use crate::limit::{AccountView, LimitView, Spender, UnknownLimit};

/// Spenders of one limit that are shown unless more are asked for, and at most.
const SHOWN: usize = 10;
const MOST_SHOWN: usize = 64;

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

impl Admin {
    /// `GET /limits`, with `subject` for one account, or `top` for how many.
    pub(super) async fn limits(&self, query: &str) -> Response<Full<Bytes>> {
        let subject = parameter(query, "subject");
        if subject.is_none() && has_parameter(query, "subject") {
            return text(StatusCode::BAD_REQUEST, "subject is not well escaped\n".into());
        }
        let most = parameter(query, "top").and_then(|top| top.parse().ok()).unwrap_or(SHOWN).min(MOST_SHOWN);
        let (views, asked) = match &subject {
            Some(subject) => (self.limit.account(subject).await, false),
            None => (self.limit.overview(most).await, true),
        };
        match views {
            Ok(views) => json(&Limits { limits: views.into_iter().map(|view| limit(view, asked)).collect() }),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "limits cannot be shown");
                text(StatusCode::SERVICE_UNAVAILABLE, "the counters cannot be asked now; try again\n".into())
            }
        }
    }

    /// `POST /limits/NAME/lift?subject=…`.
    pub(super) async fn lift(&self, name: &str, query: &str) -> Response<Full<Bytes>> {
        let subject = parameter(query, "subject").unwrap_or_default();
        match self.limit.lift(name, &subject).await {
            Ok(lifted) => {
                tracing::info!(limit = name, lifted, "an operator lifts a block");
                text(StatusCode::OK, if lifted { "lifted\n" } else { "there was no block\n" }.into())
            }
            Err(error @ UnknownLimit::Name) => text(StatusCode::NOT_FOUND, format!("{error}; see /limits\n")),
            Err(error @ UnknownLimit::Subject(_)) => {
                text(StatusCode::BAD_REQUEST, format!("{error}; say whose block with ?subject=\n"))
            }
            Err(error @ UnknownLimit::Store(_)) => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}; try again\n"))
            }
        }
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
