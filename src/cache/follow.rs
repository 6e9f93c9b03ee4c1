//! Following a call that another makes: the wait for its end, and what its server says meanwhile of how far it has got. Whoever asked
//! for that hears it under its own token. Knows nothing of how a client is told.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::flight::{Boarded, Follower, Outcome};
use super::{Cache, Looked, Plan};
use crate::exchange::{Exchange, Moored};
use crate::mcp::accept::Accepts;
use crate::mcp::needle::needle;
use crate::mcp::raw;
use crate::mcp::sse::as_event;

/// The notification by which a server says how far it has got.
pub const PROGRESS: &str = "notifications/progress";

/// How one request waits.
#[derive(Debug)]
pub struct Wait {
    until: Instant,
    /// Whom it follows already.
    follower: Option<Follower>,
    /// Whether its client hears news from somebody else already.
    told: bool,
}

/// A request that follows a call of which there is news.
#[derive(Debug)]
pub struct Following {
    /// What its client is to hear meanwhile.
    pub news: News,
    /// The rest of the wait.
    pub onward: Onward,
}

/// What is left of a wait.
#[derive(Debug)]
pub struct Onward {
    plan: Plan,
    wait: Wait,
}

/// How far a call has got, as one who follows it hears it.
#[derive(Debug)]
pub struct News {
    first: Option<Arc<str>>,
    receiver: Receiver<Arc<str>>,
    token: Box<str>,
}

impl Cache {
    /// Leads the call, or follows whoever does, here or on another instance.
    pub(super) async fn join(
        self: &Arc<Self>,
        plan: Plan,
        (exchange, moored): (&Exchange, Option<&Arc<Moored>>),
        mut wait: Wait,
    ) -> Looked {
        loop {
            let left = wait.until.saturating_duration_since(self.clock.now());
            if left.is_zero() {
                return Looked::Bypass;
            }
            let follower =
                match wait.follower.take().map_or_else(|| self.flights.board(plan.keys.own), Boarded::Following) {
                    Boarded::Following(follower) => follower,
                    Boarded::Leading(leader) => {
                        // It may have landed just before.
                        if let Some(entry) = self.find(&plan).filter(|entry| entry.is_fresh(self.clock.unix_millis())) {
                            let answer = self.answer(exchange, &entry, &plan.policy);
                            leader.ends(Outcome::Landed(entry));
                            return Looked::Found(answer, None);
                        }
                        return self.lead(plan, (exchange, moored), leader, left).await;
                    }
                };
            let mut news = if wait.told { None } else { News::of(&follower, exchange) };
            let outcome = tokio::select! {
                biased;
                ended = tokio::time::timeout(left, follower.outcome()) => ended,
                () = has_come(&mut news) => Ok(Outcome::Flying),
            };
            match outcome {
                Ok(Outcome::Landed(entry)) if self.results.is_good(&entry) => {
                    self.counts.coalesced.increment();
                    return Looked::Found(self.answer(exchange, &entry, &plan.policy), None);
                }
                Ok(Outcome::Landed(_) | Outcome::Lost) => {}
                Ok(Outcome::Flying) => {
                    let Some(news) = news else { continue };
                    let wait = Wait { follower: Some(follower), told: true, ..wait };
                    return Looked::Following(Box::new(Following { news, onward: Onward { plan, wait } }));
                }
                Ok(Outcome::Alone) | Err(_) => return Looked::Bypass,
            }
        }
    }

    /// Waits on for a call of which there was news.
    pub async fn look_on(
        self: &Arc<Self>,
        onward: Onward,
        exchange: &Exchange,
        moored: Option<&Arc<Moored>>,
    ) -> Looked {
        self.join(onward.plan, (exchange, moored), onward.wait).await
    }
}

impl Wait {
    /// Until then.
    pub const fn new(until: Instant) -> Self {
        Self { until, follower: None, told: false }
    }
}

impl News {
    /// For a request that asks for them and can be told.
    fn of(follower: &Follower, exchange: &Exchange) -> Option<Self> {
        let token = token_of(exchange).filter(|_| Accepts::of(&exchange.headers).event_stream)?;
        Some(Self { first: None, receiver: follower.hear(), token })
    }

    /// The next, as an event for the client. It does not come where there is none.
    pub async fn next(&mut self) -> Bytes {
        let params = match self.first.take() {
            Some(first) => first,
            None => self.receive().await,
        };
        as_event(own(&params, &self.token).as_bytes()).into()
    }

    async fn receive(&mut self) -> Arc<str> {
        loop {
            match self.receiver.recv().await {
                Ok(params) => return params,
                // A slow client hears of the latest.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// Waits for the first of some news.
async fn has_come(news: &mut Option<News>) {
    match news {
        Some(news) => news.first = Some(news.receive().await),
        None => std::future::pending().await,
    }
}

needle!(TOKEN = b"progressToken");

/// The raw token under which a request wants to hear how far its call has got.
pub fn token_of(exchange: &Exchange) -> Option<Box<str>> {
    if !TOKEN.is_in(&exchange.body) {
        return None;
    }
    raw::at(raw::utf8(&exchange.body)?, &["params", "_meta", "progressToken"]).map(Box::from)
}

/// The notification with these params, under another token.
fn own(params: &str, token: &str) -> String {
    let members = raw::entries(params).unwrap_or_default();
    let others = members.iter().filter(|(name, _)| name != "progressToken");
    let others: String = others.map(|(name, value)| format!(",{}:{value}", raw::quote(name))).collect();
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{PROGRESS}\",\"params\":{{\"progressToken\":{token}{others}}}}}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_notification_gets_the_followers_own_token_and_nothing_else_changes() {
        for (params, token, wanted) in [
            (
                r#"{"progressToken":7,"progress":0.5,"total":1}"#,
                "\"mine\"",
                json!({ "progressToken": "mine", "progress": 0.5, "total": 1 }),
            ),
            (
                r#"{"progress":2,"message":"a \"b\"","progressToken":"x","_meta":{}}"#,
                "3",
                json!({ "progressToken": 3, "progress": 2, "message": "a \"b\"", "_meta": {} }),
            ),
        ] {
            let message: Value = serde_json::from_str(&own(params, token)).unwrap();
            assert_eq!(message, json!({ "jsonrpc": "2.0", "method": PROGRESS, "params": wanted }));
        }
    }
}
