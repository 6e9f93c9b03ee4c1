//! The toll: what a server asks of its client on the client's account passes the limits first, and is refused in the
//! client's name where there is nothing left. The client hears nothing of it; its server does, where it keeps sessions (else
//! there is nobody to tell: it waits for an answer that will not come).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::exchange::{Ask, Caller, Exchange, Heading, Moored};
use crate::fleet::{Backend, Pool};
use crate::limit::Limit;
use crate::mcp::frame::{Frame, peek_frame};
use crate::mcp::raw;
use crate::mcp::version::MCP_PROTOCOL_VERSION;
use crate::reject::Cause;
use crate::relay::{Fate, Relay, Weigh, credentials_of, message};
use crate::tasks;

/// What costs the client.
const SAMPLING: &str = "sampling/createMessage";

/// How long telling a server of a refusal may take.
const TELLING: Duration = Duration::from_secs(10);

/// Weighs what servers ask of clients.
pub struct Toll {
    /// By what.
    pub limit: Arc<Limit>,
    /// By whom servers are told.
    pub relay: Arc<Relay>,
}

/// Whose client is asked, and how its server is told.
struct Party {
    limit: Arc<Limit>,
    relay: Arc<Relay>,
    pool: Arc<Pool>,
    backend: Arc<Backend>,
    caller: Caller,
    /// The session, with its backend's own id and the header fields that its client sent.
    session: Option<(Arc<Moored>, HeaderValue, HeaderMap)>,
}

impl Toll {
    /// What weighs the messages of an answer; none where nothing is limited.
    #[must_use]
    pub fn of(
        &self,
        exchange: &Exchange,
        headers: &HeaderMap,
        heading: &Heading,
        moored: Option<&Arc<Moored>>,
    ) -> Option<Weigh> {
        if !self.limit.limits_sampling() || !matches!(exchange.ask, Ask::Call(_) | Ask::Stream) {
            return None;
        }
        let theirs = heading.berth.as_ref().and_then(|berth| HeaderValue::from_str(&berth.backend_session).ok());
        let party = Arc::new(Party {
            limit: Arc::clone(&self.limit),
            relay: Arc::clone(&self.relay),
            pool: Arc::clone(&exchange.pool),
            backend: Arc::clone(&heading.backend),
            caller: exchange.caller.clone(),
            session: moored.cloned().zip(theirs).map(|(moored, theirs)| (moored, theirs, headers.clone())),
        });
        Some(Arc::new(move |data| {
            let party = Arc::clone(&party);
            Box::pin(async move { party.weigh(&data).await })
        }))
    }
}

impl Party {
    async fn weigh(&self, data: &[u8]) -> Fate {
        match peek_frame(data) {
            Some(frame @ Frame::Request { id, .. }) if frame.method() == Some(SAMPLING) => match self.take(1).await {
                Ok(()) => Fate::Pass,
                Err(cause) => {
                    self.tell(&cause, id);
                    Fate::Drop
                }
            },
            // The modern era asks by a result; its retry would bring the answers.
            Some(frame @ Frame::Response { id, .. }) => match self.take(sampling_requests(frame.result())).await {
                Ok(()) => Fate::Pass,
                Err(cause) => Fate::Instead(cause.to_json(Some(id)).into_bytes()),
            },
            Some(_) => Fate::Pass,
            None => self.weigh_batch(data).await,
        }
    }

    /// Of several messages at once (2025-03-26) those that are refused are left out.
    async fn weigh_batch(&self, data: &[u8]) -> Fate {
        let messages = raw::utf8(data).and_then(raw::elements).unwrap_or_default();
        let (mut passed, all) = (Vec::with_capacity(messages.len()), messages.len());
        for message in messages {
            match peek_frame(message.as_bytes()) {
                Some(frame @ Frame::Request { id, .. }) if frame.method() == Some(SAMPLING) => match self.take(1).await
                {
                    Ok(()) => passed.push(message),
                    Err(cause) => self.tell(&cause, id),
                },
                _ => passed.push(message),
            }
        }
        match passed.len() {
            left if left == all => Fate::Pass,
            0 => Fate::Drop,
            _ => Fate::Instead(format!("[{}]", passed.join(",")).into_bytes()),
        }
    }

    async fn take(&self, count: u64) -> Result<(), Cause> {
        self.limit.sampling(&self.caller, self.session.as_ref().map(|(moored, ..)| moored.id), count).await
    }

    /// The server gets the answer that its client would have given.
    fn tell(&self, cause: &Cause, id: &str) {
        tracing::info!(backend = %self.backend.name, reason = %cause.name(), "a server's sampling request was refused");
        let Some((moored, theirs, headers)) = &self.session else { return };
        let body = Bytes::from(cause.to_json(Some(id)));
        let mut answer = message(body, &credentials_of(headers), Some(theirs), &moored.stable_id);
        answer.headers.extend(headers.get(MCP_PROTOCOL_VERSION).map(|version| (MCP_PROTOCOL_VERSION, version.clone())));
        let (relay, pool, backend) = (Arc::clone(&self.relay), Arc::clone(&self.pool), Arc::clone(&self.backend));
        tasks::detach("refusal of a sampling request", TELLING, async move {
            if let Err(error) = relay.ask(&pool, &backend, &answer, TELLING).await {
                tracing::debug!(backend = %backend.name, %error, "a server could not be told that it was refused");
            }
        });
    }
}

/// How many completions an `input_required` result asks for.
fn sampling_requests(result: Option<&str>) -> u64 {
    let asked = result.and_then(|result| raw::entries(raw::at(result, &["inputRequests"])?)).unwrap_or_default();
    let is_sampling =
        |text: &str| raw::at(text, &["method"]).and_then(raw::text).is_some_and(|method| method == SAMPLING);
    asked.iter().filter(|(_, request)| is_sampling(request)).count() as u64
}
