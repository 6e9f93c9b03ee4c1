//! The wire: HTTP/1.1 and HTTP/2 to backends. Owns connections, framing and the pool of one worker thread, and says
//! of each failure how far it got. Refuses to choose a backend, to read a body, or to send a request twice unless
//! it provably was not executed or its sender says that it may be.
//!
//! HTTP/1.1 is our own ([`h1`](self), [`chunked`](self)): the caller's future does the reading and writing itself,
//! and everything decoded from one read is one frame. HTTP/2 is hyper's, TLS rustls's.
//!
//! **Reused connections.** Before use, an idle connection is checked for an end or stray bytes. What remains is the
//! backend closing it at the very moment we send: then the request may have been executed (RFC 9110 §9.2.2), so it
//! is repeated only if it is `replayable`, or if not one byte of it could be written. Idle times shorter than the
//! servers' keep that rare.

mod body;
mod chunked;
mod error;
mod h1;
mod h2;
mod head;
mod headers;
mod pool;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::DefaultHashBuilder;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

pub use self::body::WireBody;
pub use self::error::{ConnectFailure, Fault, Phase, WireError};
pub use self::headers::{is_hop_by_hop, strip_hop_by_hop};
use self::pool::{Lane, Permit};
use crate::clock::Clock;
use crate::names::BackendId;
use crate::tls::Client;

/// How a worker treats its backends.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a response's head, counted from the request's first byte; none: the caller sees to it.
    pub head_timeout: Option<Duration>,
    /// Longest wait for another request to end when `max_in_flight_per_backend` are under way.
    pub busy_wait: Duration,
    /// Most idle connections to one backend, per worker.
    pub max_idle_per_backend: usize,
    /// Longest time a connection is kept idle, even where the server's `Keep-Alive: timeout=` allows more.
    pub idle_timeout: Duration,
    /// Longest time a connection is kept idle where the server does not say; common servers close after 5 s.
    pub idle_unstated: Duration,
    /// Most requests in flight to one backend, per worker, open streams included. Over HTTP/1.1 each has its own
    /// connection.
    pub max_in_flight_per_backend: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            head_timeout: Some(Duration::from_secs(300)),
            busy_wait: Duration::from_secs(1),
            max_idle_per_backend: 64,
            idle_timeout: Duration::from_secs(55),
            idle_unstated: Duration::from_secs(4),
            max_in_flight_per_backend: 1024,
        }
    }
}

/// The version of HTTP that a backend is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: with prior knowledge, or agreed upon over TLS.
    Http2,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The backend; its connections are pooled under this name.
    pub backend: BackendId,
    /// Its address, resolved.
    pub addr: SocketAddr,
    /// What it is to be called: the `Host` field, or `:authority`. Without user information.
    pub authority: Authority,
    /// The version it speaks.
    pub version: HttpVersion,
    /// How it is met over TLS; none without.
    pub secure: Option<Secure>,
}

/// How a backend is met over TLS.
#[derive(Clone, Debug)]
pub struct Secure {
    /// What speaks TLS with it; nothing is sent where that is not set up.
    pub client: Option<Arc<Client>>,
    /// Its own host, whatever it is to be called, and a port that does not matter: its certificate bears this name
    /// where the client insists on no other.
    pub host: Authority,
}

/// A request to a backend, complete in memory.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The method; `CONNECT` is not supported.
    pub method: Method,
    /// The request's target.
    pub path_and_query: PathAndQuery,
    /// End-to-end fields. `Host`, `Content-Length`, `Expect` and hop-by-hop fields in here are passed over: the
    /// wire says those itself.
    pub headers: HeaderMap,
    /// The body; may be empty.
    pub body: Bytes,
    /// Whether it may be executed twice (RFC 9110 §9.2.2): then it is sent once more, on a fresh connection, if a
    /// reused connection ends without an answer.
    pub replayable: bool,
}

impl Outgoing {
    /// What `Content-Length` says; nothing where no body is expected (RFC 9110 §8.6).
    fn content_length(&self) -> Option<usize> {
        let expected = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        (expected || !self.body.is_empty()).then_some(self.body.len())
    }
}

/// A response from a backend.
#[derive(Debug)]
pub struct Incoming {
    /// Its status; never an interim one.
    pub status: StatusCode,
    /// The version it came in.
    pub version: Version,
    /// Its end-to-end fields; hop-by-hop ones are gone.
    pub headers: HeaderMap,
    /// Its body.
    pub body: WireBody,
}

/// The connections of one worker thread. Cheap to clone; must be used on a tokio runtime with I/O and time.
#[derive(Clone, Debug)]
pub struct Wire {
    settings: Arc<Settings>,
    clock: Clock,
    /// Held for one look-up and never across an await; each worker has its own, so there is no contention.
    lanes: Arc<Mutex<HashMap<BackendId, Arc<Lane>, DefaultHashBuilder>>>,
}

impl Wire {
    /// A wire without connections.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self { settings: Arc::new(settings), clock, lanes: Arc::default() }
    }

    /// Sends a request and waits for the response's head. Dropping the future closes the connection (HTTP/2: resets
    /// the stream).
    ///
    /// # Errors
    /// [`WireError`] says how far it got and whether the backend can have executed the request.
    pub async fn send(&self, target: &Target, request: &Outgoing) -> Result<Incoming, WireError> {
        let lane = self.lane(target.backend);
        let permit = lane.admit().await?;
        if target.version == HttpVersion::Http2 {
            // Boxed, like all that is rare here: futures are moved, and the usual one shall be small.
            return Box::pin(self.in_time(h2::exchange(&lane, target, request, permit))).await;
        }
        let (mut lease, mut reused) = match lane.take(target, permit) {
            Ok(lease) => (lease, true),
            Err(Permit(permit)) => (Box::pin(lane.open(target, permit)).await?, false),
        };
        loop {
            match self.in_time(h1::exchange(lease, target, request)).await {
                Err(error) if reused && may_repeat(&error, request) => {
                    let permit = lane.admit().await?;
                    lease = Box::pin(lane.open(target, permit)).await?;
                    reused = false;
                }
                result => return result,
            }
        }
    }

    /// Makes a connection, the handshake included, and closes it again: whether the backend can be reached at all.
    ///
    /// # Errors
    /// [`WireError::Connect`] says why not.
    pub async fn reach(&self, target: &Target) -> Result<(), WireError> {
        let mut stream = pool::connect(target, self.settings.connect_timeout).await?;
        // It was reached; whether it also takes a goodbye does not matter.
        drop(timeout(self.settings.connect_timeout, stream.shutdown()).await);
        Ok(())
    }

    /// Closes the idle connections to a backend that was removed; requests in flight end as they would have.
    pub fn forget(&self, backend: BackendId) {
        let lane = self.lanes().remove(&backend);
        if let Some(lane) = lane {
            lane.forget();
        }
    }

    /// Closes connections that were idle for too long or that their backend closed. To be called about once a
    /// second by the worker; without it they are only closed when they are next looked at.
    pub fn sweep(&self) {
        let lanes: Vec<Arc<Lane>> = self.lanes().values().cloned().collect();
        lanes.iter().for_each(|lane| lane.sweep());
        drop(lanes);
        // Backends come and go: a lane that nothing uses goes with them.
        let used = |lane: &Arc<Lane>| {
            Arc::strong_count(lane) > 1 || lane.idle_connections() > 0 || lane.in_flight() > 0 || lane.http2.count() > 0
        };
        self.lanes().retain(|_, lane| used(lane));
    }

    /// Idle HTTP/1.1 connections, to all backends.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.lanes().values().map(|lane| lane.idle_connections()).sum()
    }

    /// Requests in flight to a backend from this worker, open streams included.
    #[must_use]
    pub fn in_flight(&self, backend: BackendId) -> usize {
        self.lanes().get(&backend).map_or(0, |lane| lane.in_flight())
    }

    /// Open HTTP/2 connections, to all backends.
    #[must_use]
    pub fn http2_connections(&self) -> usize {
        self.lanes().values().map(|lane| lane.http2.count()).sum()
    }

    async fn in_time<T>(&self, exchange: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
        let Some(after) = self.settings.head_timeout else { return exchange.await };
        timeout(after, exchange).await.unwrap_or(Err(WireError::HeadTimeout { after }))
    }

    fn lane(&self, backend: BackendId) -> Arc<Lane> {
        let new = || Arc::new(Lane::new(self.settings.clone(), self.clock.clone()));
        self.lanes().entry(backend).or_insert_with(new).clone()
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<BackendId, Arc<Lane>, DefaultHashBuilder>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request that failed on a reused connection may be sent once more.
fn may_repeat(error: &WireError, request: &Outgoing) -> bool {
    match error {
        WireError::Send { sent_any, .. } => !sent_any || request.replayable,
        WireError::NoAnswer { .. } => request.replayable,
        _ => false,
    }
}
