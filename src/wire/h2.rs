//! HTTP/2 with prior knowledge (h2c) or over TLS, by hyper. Owns which connection a request goes over and when another one is
//! opened. Refuses to know about frames.
//!
//! The connections' list is guarded by a mutex that is held for a few instructions, by one worker only, and never
//! across an await.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{interval, timeout};

use super::body::WireBody;
use super::error::{ConnectFailure, Phase, WireError};
use super::headers::{is_hop_by_hop, strip_hop_by_hop};
use super::pool::{Lane, connect};
use super::{Incoming, Outgoing, Target};
use crate::tasks::{Executor, Task, spawn};
use crate::tls::Client;

/// Most streams on one connection, whatever more the peer allows.
const MAX_STREAMS: usize = 100;
/// What one unread stream may hold back, in bytes. The connection's window is as large as all of its streams'
/// together, so that clients that do not read cannot stall those that do.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 100;
const MAX_HEADER_LIST: u32 = 64 * 1024;
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether the peer's settings have come.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Most bytes of one stream's frames that are merged into one.
const MERGE: usize = 32 * 1024;
/// How often a request that provably was not executed is sent again.
const RETRIES: u8 = 2;

type Sender = http2::SendRequest<Full<Bytes>>;

/// The open connections to one backend.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<Vec<Arc<Connection>>>,
    /// One opens while the others wait for it: else a burst would open one connection per request.
    opening: Semaphore,
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    addr: SocketAddr,
    /// Who made it, over TLS.
    by: Option<Arc<Client>>,
    streams: AtomicUsize,
    /// How many streams the peer allows.
    allowed: watch::Receiver<usize>,
    /// Drives the connection; ends with the last stream's place and the list's.
    _driver: Task,
}

/// One stream's place on a connection.
#[derive(Debug)]
struct Slot(Arc<Connection>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Whether it was made as one to this target would be made now.
    fn is_for(&self, target: &Target) -> bool {
        let client = target.secure.as_ref().and_then(|secure| secure.client.as_ref());
        self.addr == target.addr
            && match (&self.by, client) {
                (None, None) => target.secure.is_none(),
                (Some(by), Some(client)) => Arc::ptr_eq(by, client),
                _ => false,
            }
    }
}

impl Connections {
    pub(super) const fn new() -> Self {
        Self { open: Mutex::new(Vec::new()), opening: Semaphore::const_new(1) }
    }

    pub(super) fn forget(&self) {
        self.open().clear();
    }

    /// Closes dead connections, and all idle ones but one.
    pub(super) fn sweep(&self) {
        let mut idle = 0;
        self.open().retain(|connection| {
            idle += usize::from(connection.streams.load(Ordering::Relaxed) == 0);
            !connection.sender.is_closed() && (idle <= 1 || connection.streams.load(Ordering::Relaxed) > 0)
        });
    }

    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    /// A place on an open connection that has room.
    fn place(&self, target: &Target) -> Option<Slot> {
        let mut open = self.open();
        open.retain(|connection| connection.is_for(target) && !connection.sender.is_closed());
        let free = open.iter().find(|connection| {
            let allowed = (*connection.allowed.borrow()).min(MAX_STREAMS);
            connection.streams.load(Ordering::Relaxed) < allowed
        })?;
        free.streams.fetch_add(1, Ordering::Relaxed);
        Some(Slot(free.clone()))
    }

    /// A place on a connection, opened if need be.
    async fn acquire(&self, target: &Target, within: Duration) -> Result<Slot, WireError> {
        if let Some(slot) = self.place(target) {
            return Ok(slot);
        }
        let late = || WireError::Connect { why: ConnectFailure::Timeout, source: None };
        let turn = timeout(within, self.opening.acquire()).await;
        let _turn = turn.map_err(|_| late())?.map_err(|_| late())?;
        if let Some(slot) = self.place(target) {
            return Ok(slot);
        }
        let connection = timeout(within, open(target, within)).await.map_err(|_| late())??;
        let connection = Arc::new(connection);
        self.open().push(connection.clone());
        Ok(Slot(connection))
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection and waits for the peer's settings, so that its limit on streams is known before the first one,
/// and that a peer which does not speak HTTP/2 is found out before anything was asked of it.
async fn open(target: &Target, within: Duration) -> Result<Connection, WireError> {
    let addr = target.addr;
    let stream = connect(target, within).await?;
    let by = stream.made_by();
    let failed = |source| WireError::Http2 { phase: Phase::Connect, executed: false, source };
    let (sender, mut connection) = builder().handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let (limit, mut allowed) = watch::channel(0);
    let driver = spawn("wire http/2 connection", async move {
        let mut look = interval(LOOK_EVERY);
        let end = poll_fn(|cx| {
            let poll = Pin::new(&mut connection).poll(cx);
            let now = connection.current_max_send_streams();
            limit.send_if_modified(|before| std::mem::replace(before, now) != now);
            // Hyper reads frames in a task of its own and does not tell when the settings have come.
            while poll.is_pending() && now == 0 && look.poll_tick(cx).is_ready() {}
            poll
        });
        if let Err(error) = end.await {
            tracing::debug!(%addr, %error, "http/2 connection ended");
        }
    });
    let closed = || WireError::Connect { why: ConnectFailure::Other, source: None };
    allowed.wait_for(|&limit| limit > 0).await.map_err(|_| closed())?;
    Ok(Connection { sender, addr, by, streams: AtomicUsize::new(1), allowed, _driver: driver })
}

/// Sends the request and waits for the response's head. What provably was not executed is sent again, on another
/// connection if need be.
pub(super) async fn exchange(
    lane: &Lane,
    target: &Target,
    request: &Outgoing,
    permit: OwnedSemaphorePermit,
) -> Result<Incoming, WireError> {
    let mut left = RETRIES;
    loop {
        let slot = lane.http2.acquire(target, lane.settings.connect_timeout).await?;
        match send(&slot, build(target, request)).await {
            Ok(response) => return Ok(incoming(response, slot, permit)),
            Err(error) if !error.can_have_been_executed() && left > 0 => left -= 1,
            Err(error) => return Err(error),
        }
    }
}

async fn send(slot: &Slot, request: Request<Full<Bytes>>) -> Result<hyper::Response<hyper::body::Incoming>, WireError> {
    let mut sender = slot.0.sender.clone();
    sender.try_send_request(request).await.map_err(|mut error| {
        let unsent = error.take_message().is_some();
        let source = error.into_error();
        WireError::Http2 { phase: Phase::Head, executed: !unsent && !is_unprocessed(&source), source }
    })
}

/// Whether the peer says that it did not look at the request (RFC 9113 §8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

fn build(target: &Target, request: &Outgoing) -> Request<Full<Bytes>> {
    let mut out = Request::new(Full::new(request.body.clone()));
    *out.method_mut() = request.method.clone();
    *out.version_mut() = Version::HTTP_2;
    *out.uri_mut() = uri(target, &request.path_and_query);
    let headers = out.headers_mut();
    headers.reserve(request.headers.len() + 1);
    for (name, value) in &request.headers {
        if *name != HOST && *name != CONTENT_LENGTH && *name != EXPECT && !is_hop_by_hop(name) {
            headers.append(name, value.clone());
        }
    }
    if let Some(length) = request.content_length() {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    out
}

fn uri(target: &Target, path_and_query: &PathAndQuery) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if target.secure.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(target.authority.clone());
    parts.path_and_query = Some(path_and_query.clone());
    Uri::from_parts(parts).unwrap_or_default()
}

fn incoming(response: hyper::Response<hyper::body::Incoming>, slot: Slot, permit: OwnedSemaphorePermit) -> Incoming {
    let (parts, body) = response.into_parts();
    let mut headers = parts.headers;
    strip_hop_by_hop(&mut headers);
    let body = Http2Body { body, held: VecDeque::new(), _slot: slot, _permit: permit };
    Incoming { status: parts.status, version: Version::HTTP_2, headers, body: WireBody::http2(body) }
}

fn builder() -> http2::Builder<Executor> {
    let mut builder = http2::Builder::new(Executor);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(0)
        .max_header_list_size(MAX_HEADER_LIST)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    builder
}

/// A body on an HTTP/2 stream.
#[derive(Debug)]
pub(super) struct Http2Body {
    body: hyper::body::Incoming,
    /// What came after the frames that were merged: an error, or the end.
    held: VecDeque<Option<WireError>>,
    _slot: Slot,
    _permit: OwnedSemaphorePermit,
}

impl Http2Body {
    /// All that has arrived, up to a bound, as one frame.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let mut merged = Merged::default();
        while merged.len() < MERGE && self.held.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => break,
                // Trailers are dropped, as over HTTP/1.1.
                Poll::Ready(Some(Ok(frame))) => merged.add(frame.into_data().unwrap_or_default()),
                Poll::Ready(Some(Err(source))) => {
                    self.held.push_back(Some(WireError::Http2 { phase: Phase::Body, executed: true, source }));
                }
                Poll::Ready(None) => self.held.push_back(None),
            }
        }
        if merged.len() > 0 {
            return Poll::Ready(Some(Ok(Frame::data(merged.into_bytes()))));
        }
        self.held.pop_front().map_or(Poll::Pending, |held| Poll::Ready(held.map(Err)))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Frames being merged; a single one is not copied.
#[derive(Default)]
struct Merged {
    first: Bytes,
    more: BytesMut,
}

impl Merged {
    fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    fn add(&mut self, data: Bytes) {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = data;
            return;
        }
        let first = std::mem::take(&mut self.first);
        self.more.extend_from_slice(&first);
        self.more.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.more.is_empty() { self.first } else { self.more.freeze() }
    }
}
