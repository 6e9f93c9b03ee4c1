//! `subscriptions/listen`, joined: one upstream stream per backend for all clients that ask for the same and may share it,
//! so that every client hears changes from every replica. Streams are shared only within one authorization context.

mod joined;
mod listener;
mod upstream;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};

pub use listener::Listener;

use super::body::RelayBody;
use super::signal::Watch;
use super::{Ear, Open, Settings};
use crate::clock::Clock;
use crate::exchange::{self, Act, Answer, Ask, Call, Exchange, Introduce};
use crate::mcp::listen::Filter;
use crate::mcp::version::{MCP_SESSION_ID, X_ACCEL_BUFFERING};
use crate::names::PoolId;
use crate::reject::Cause;
use crate::wire::{Outgoing, Wire};
use joined::{Joined, Opening};

/// What must be equal for two clients to share a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pool: PoolId,
    /// Digest of the credentials and of what else may change what a server tells.
    context: [u8; 16],
    filter: Filter,
}

/// All joined streams of one worker thread.
pub struct Hub {
    /// Taken by this worker alone, never across an await. Bounded by the number of listening clients.
    joined: Mutex<HashMap<Key, Weak<Joined>>>,
    clock: Clock,
    ear: Ear,
}

impl Hub {
    pub(super) fn new(clock: Clock, ear: Ear) -> Self {
        Self { joined: Mutex::default(), clock, ear }
    }

    pub(super) async fn listen(
        &self,
        (exchange, outgoing, introduce): (&Exchange, &Outgoing, Introduce),
        (wire, open): (&Wire, Open),
        settings: &Settings,
        watch: &Watch,
    ) -> Result<Response<RelayBody>, Cause> {
        let Ask::Call(Call { id, act: Act::Listen(filter), .. }) = &exchange.ask else {
            return Err(Cause::BadMessage("not a subscriptions/listen request".into()));
        };
        let filter = Filter::parse(filter).unwrap_or_default();
        let key = Key { pool: exchange.pool.id, context: context_of(exchange, &outgoing.headers), filter };
        let joined = self.join(key, (exchange, outgoing, introduce), wire, settings)?;
        match joined.opened().await {
            Opening::Open(honoured) => {
                let listener = Listener::new(&joined, id, &honoured, open);
                let listener = listener.watched(watch);
                Ok(stream(RelayBody::Listen(Box::new(listener))))
            }
            Opening::Refused(answer) => Ok(refusal(&answer, id)),
            Opening::Nobody => Err(Cause::NoBackend),
        }
    }

    fn join(
        &self,
        key: Key,
        (exchange, outgoing, introduce): (&Exchange, &Outgoing, Introduce),
        wire: &Wire,
        settings: &Settings,
    ) -> Result<Arc<Joined>, Cause> {
        let mut all = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(joined) = all.get(&key).and_then(Weak::upgrade).filter(|joined| joined.is_alive()) {
            return Ok(joined);
        }
        all.retain(|_, joined| joined.strong_count() > 0);
        if all.len() >= settings.max_listen_streams {
            return Err(Cause::Full("listening streams"));
        }
        let source = upstream::Source {
            pool: Arc::clone(&exchange.pool),
            wire: wire.clone(),
            request: outgoing.clone(),
            introduce: Some(introduce),
            query: exchange.uri.query().map(Box::from),
            host: exchange.host.clone(),
            filter: key.filter.clone(),
            clock: self.clock.clone(),
            max_event: settings.inspect,
            ear: Arc::clone(&self.ear),
        };
        let joined = Joined::start(source);
        all.insert(key, Arc::downgrade(&joined));
        Ok(joined)
    }
}

/// Digest of everything by which a server could tell one client from another.
fn context_of(exchange: &Exchange, headers: &HeaderMap) -> [u8; 16] {
    let known = exchange::known_of(&exchange.caller);
    exchange::context_of(headers, &[&known, exchange.uri.query().unwrap_or_default().as_bytes()])
}

fn stream(body: RelayBody) -> Response<RelayBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The backend's refusal, under the id of the client that is told.
fn refusal(answer: &Answer, id: &str) -> Response<RelayBody> {
    let body = answer.whole.clone().unwrap_or_default();
    let mut response = Response::new(RelayBody::whole(with_id(&body, id).unwrap_or(body)));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers.clone();
    response.headers_mut().remove(http::header::CONTENT_LENGTH);
    response.headers_mut().remove(MCP_SESSION_ID);
    response
}

fn with_id(body: &[u8], id: &str) -> Option<Bytes> {
    let mut message: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    message.insert("id".into(), serde_json::from_str(id).ok()?);
    serde_json::to_vec(&message).ok().map(Bytes::from)
}
