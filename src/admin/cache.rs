//! What an operator asks of the cache: how much it holds, and that something be forgotten, everywhere.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::{Admin, json, query, text};
use crate::cache::Purge;
use crate::names::SessionId;

/// What one order may name at most.
const MOST_NAMED: usize = 256;

const WHAT: &str = "say what: tool=, tag=, caller=, session=, pool= (each any number of times), or all=true\n";

#[derive(Serialize)]
struct Usage {
    entries: usize,
    bytes: u64,
    most: u64,
    under_way: usize,
    waiting: usize,
}

impl Admin {
    /// `GET /cache`.
    pub(super) fn cached(&self) -> Response<Full<Bytes>> {
        let usage = self.cache.usage();
        let (under_way, waiting) = self.cache.under_way();
        json(&Usage { entries: usage.entries, bytes: usage.bytes, most: usage.most, under_way, waiting })
    }

    /// `POST /cache/purge?tool=…&tag=…&caller=…&session=…&pool=…&all=true`.
    pub(super) async fn purge(&self, query: &str) -> Response<Full<Bytes>> {
        let purge = match self.read(query) {
            Ok(purge) => purge,
            Err(why) => return text(StatusCode::BAD_REQUEST, why),
        };
        let pools: Vec<_> = self.fleet.pools().iter().map(|pool| pool.id).collect();
        let tags = match self.cache.tags_of(&purge, &pools) {
            Ok(tags) => tags,
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        tracing::info!(query, "an operator has results forgotten");
        match self.cache.purge(&tags).await {
            Ok(()) => text(StatusCode::OK, "forgotten\n".into()),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "not every instance has heard of it yet");
                let why = "forgotten on this instance; the others will as soon as the store can be reached\n";
                text(StatusCode::SERVICE_UNAVAILABLE, why.into())
            }
        }
    }

    fn read(&self, asked: &str) -> Result<Purge, String> {
        let mut purge = Purge::default();
        for (number, pair) in asked.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if number >= MOST_NAMED {
                return Err(format!("more than {MOST_NAMED} at once\n"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = query::unescaped(value).ok_or_else(|| format!("{name} is not well escaped\n"))?;
            match name {
                _ if value.is_empty() => return Err(format!("{name} is empty\n")),
                "tool" => purge.tools.push(value.into()),
                "tag" => purge.tags.push(value.into()),
                "caller" => purge.callers.push(value.into()),
                "session" => purge.sessions.push(session(&value)?),
                "pool" => purge.pools.push(self.pool(&value)?),
                "all" if value == "true" => purge.all = true,
                _ => return Err(format!("{name}={value} is not understood; {WHAT}")),
            }
        }
        if purge == Purge::default() { Err(WHAT.into()) } else { Ok(purge) }
    }

    fn pool(&self, name: &str) -> Result<crate::names::PoolId, String> {
        let pools = self.fleet.pools();
        let found = pools.iter().find(|pool| pool.settings().name == name);
        found.map(|pool| pool.id).ok_or_else(|| format!("no pool has the name {name}\n"))
    }
}

fn session(text: &str) -> Result<SessionId, String> {
    let id = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    id.map(SessionId).ok_or_else(|| format!("{text} is no session; its name in logs has 32 hex digits\n"))
}
