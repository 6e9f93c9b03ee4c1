//! One connection: how it comes in, which HTTP it speaks, and the way from its requests to the walk.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::admission::Admission;
use super::door::{Door, Doors, Entered, Refused};
use super::during::During;
use super::frames::{Flood, Frames};
use super::guard::{Guard, Guarded};
use super::health;
use super::stream::Stream;
use crate::config::Bounds;
use crate::drain::{Drain, Phase};
use crate::fleet::Fleet;
use crate::identify::Connection;
use crate::observe::Observed;
use crate::relay::RelayBody;
use crate::tasks::Executor;
use crate::walk::Walk;

/// How an HTTP/2 connection begins (RFC 9113 §3.4); no HTTP/1 method is `PRI`.
const PREFACE: &[u8] = b"PRI";

/// Room for header fields over our own bound, so that the refusal can say what was wrong.
const SLACK: usize = 32 * 1024;

/// Quiet HTTP/2 connections are asked for a sign of life this often.
const H2_PING: Duration = Duration::from_secs(30);

/// What all connections of one worker thread share.
pub struct Server {
    walk: Arc<Walk>,
    fleet: Arc<Fleet>,
    drain: Drain,
    bounds: Bounds,
    doors: Arc<Doors>,
    admission: Arc<Admission>,
}

/// While this instance goes, a new connection's first request is waited for so long.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// How serving a connection ended.
type Served = Result<(), Box<dyn std::error::Error + Send + Sync>>;

type Answer = Response<During<Observed<RelayBody>>>;

impl Server {
    pub fn new(
        walk: Arc<Walk>,
        fleet: Arc<Fleet>,
        drain: Drain,
        (bounds, doors, admission): (Bounds, Arc<Doors>, Arc<Admission>),
    ) -> Self {
        Self { walk, fleet, drain, bounds, doors, admission }
    }

    /// Serves a connection to its end.
    pub async fn serve(&self, stream: std::net::TcpStream, (connection, door): (Connection, Door), guard: Arc<Guard>) {
        let peer = connection.peer;
        let served = if door.is_plain() {
            self.try_serve(stream, connection, guard).await
        } else {
            // Boxed, for plain connections shall stay small.
            Box::pin(self.let_in(stream, (connection, door), guard)).await
        };
        match served {
            Ok(()) => {}
            Err(error) => match fault_of(&*error) {
                // hyper has answered by itself; the walk never heard of it.
                Some(reason) => {
                    self.walk.observe.metrics().connections.count(reason);
                    tracing::info!(%peer, %error, reason, "connection refused");
                }
                None => tracing::trace!(%peer, %error, "connection ended"),
            },
        }
    }

    /// Lets a connection in, and serves it to its end.
    async fn let_in(
        &self,
        stream: std::net::TcpStream,
        (mut connection, door): (Connection, Door),
        guard: Arc<Guard>,
    ) -> Served {
        let peer = connection.peer;
        let stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        let limit = self.bounds.header_timeout;
        let entered = tokio::select! {
            entered = tokio::time::timeout(limit, self.doors.enter(stream, door, &mut connection)) => entered,
            () = self.no_request_came() => return Ok(()),
        };
        let Entered { stream, agreed_h2 } = match entered.unwrap_or(Err(Refused::Late)) {
            Ok(entered) => entered,
            Err(why) => {
                if let Some(reason) = self.doors.turn_away(&connection, door, &why) {
                    self.walk.observe.metrics().connections.count(reason);
                }
                return Ok(());
            }
        };
        // Who came through a trusted proxy was let in as one of the proxy's, which are not counted.
        let inside = (connection.peer != peer).then(|| self.admission.admit_for(connection.peer));
        if matches!(inside, Some(None)) {
            return Ok(());
        }
        match (stream, agreed_h2) {
            (Stream::Plain(stream), None) => self.speak(stream, connection, guard).await,
            (stream, agreed_h2) => self.converse(stream, agreed_h2 == Some(true), (connection, guard)).await,
        }
    }

    async fn try_serve(&self, stream: std::net::TcpStream, connection: Connection, guard: Arc<Guard>) -> Served {
        let stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        self.speak(stream, connection, guard).await
    }

    /// Finds out which HTTP is spoken, and speaks it.
    async fn speak(&self, stream: TcpStream, connection: Connection, guard: Arc<Guard>) -> Served {
        let first = tokio::select! {
            first = self.first_bytes(&stream, &guard) => first,
            () = self.no_request_came() => return Ok(()),
        };
        let Some(speaks_h2) = first else { return Ok(()) };
        self.converse(Stream::Plain(stream), speaks_h2?, (connection, guard)).await
    }

    async fn converse(&self, stream: Stream, h2: bool, (connection, guard): (Connection, Arc<Guard>)) -> Served {
        let io = TokioIo::new(Guarded::new(stream, Arc::clone(&guard), connection.peer));
        if h2 {
            guard.speaks_h2();
            return Ok(self.serve_h2(io, connection, guard).await?);
        }
        Ok(self.serve_h1(io, connection, guard).await?)
    }

    /// Waits for what a client says first; none where it says too little in time.
    async fn first_bytes(&self, stream: &TcpStream, guard: &Guard) -> Option<io::Result<bool>> {
        let refused = |reason| self.walk.observe.metrics().connections.count(reason);
        let first = tokio::time::timeout(self.bounds.first_byte_timeout, stream.peek(&mut [0])).await;
        if first.inspect_err(|_| refused("no_first_byte")).is_err() {
            return None;
        }
        guard.begins();
        tokio::time::timeout(self.bounds.header_timeout, speaks_h2(stream))
            .await
            .inspect_err(|_| refused("slow_headers"))
            .ok()
    }

    async fn serve_h1(&self, io: TokioIo<Guarded>, from: Connection, guard: Arc<Guard>) -> hyper::Result<()> {
        let service = service_fn(|request| self.answer(request, from.clone(), &guard));
        let served = http1::Builder::new()
            .max_buf_size(self.bounds.max_header_block.max(self.bounds.max_url) + SLACK)
            .serve_connection(io, service);
        let mut served = pin!(served);
        // Looked at first: a request that has come already is answered before the connection closes.
        tokio::select! {
            biased;
            result = served.as_mut() => return result,
            () = self.drain.reached(Phase::Parting) => served.as_mut().graceful_shutdown(),
        }
        served.await
    }

    /// A connection that was accepted may have its first request under way when this instance goes.
    async fn no_request_came(&self) {
        self.drain.reached(Phase::Parting).await;
        tokio::time::sleep(FIRST_REQUEST).await;
    }

    async fn serve_h2(&self, io: TokioIo<Guarded>, from: Connection, guard: Arc<Guard>) -> hyper::Result<()> {
        let metrics = Arc::clone(self.walk.observe.metrics());
        let frames = Frames::new(io.into_inner(), Arc::clone(&guard), metrics, self.bounds.max_streams_per_connection);
        let spent = Arc::clone(&guard);
        let walk = (Arc::clone(&self.walk), Arc::clone(&self.fleet), self.drain.clone());
        let service = service_fn(move |request| {
            let ((walk, fleet, drain), guard) = (walk.clone(), Arc::clone(&guard));
            let from = from.clone();
            async move { answer(&walk, &fleet, &drain, request, (from, &guard)).await }
        });
        let headers = u32::try_from(self.bounds.max_header_block).unwrap_or(u32::MAX);
        let served = http2::Builder::new(Executor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.bounds.max_streams_per_connection)
            .max_header_list_size(headers)
            .keep_alive_interval(H2_PING)
            .serve_connection(TokioIo::new(frames), service);
        let mut served = pin!(served);
        tokio::select! {
            result = served.as_mut() => return result,
            () = spent.spent() => served.as_mut().graceful_shutdown(),
            () = self.drain.reached(Phase::Parting) => served.as_mut().graceful_shutdown(),
        }
        served.await
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        from: Connection,
        guard: &Arc<Guard>,
    ) -> Result<Answer, Infallible> {
        answer(&self.walk, &self.fleet, &self.drain, request, (from, guard)).await
    }
}

async fn answer(
    walk: &Arc<Walk>,
    fleet: &Fleet,
    drain: &Drain,
    request: Request<Incoming>,
    (from, guard): (Connection, &Arc<Guard>),
) -> Result<Answer, Infallible> {
    let exchange = guard.exchange();
    let is_h1 = request.version() < Version::HTTP_2;
    let is_last = exchange.is_last();
    let response = match health::answer(request.uri().path(), fleet, drain, &walk.sessions) {
        Some(healthy) => healthy.map(|body: Bytes| Observed::unwatched(RelayBody::whole(body))),
        None => walk.walk(request, from).await?,
    };
    let mut response = response.map(|body| During::new(body, exchange));
    // Who keeps a connection to an instance that goes away would sooner or later send a request as it closes: whether that was
    // executed, nobody could tell. So each is given up with an answer, long before.
    if is_last || is_h1 && drain.phase() >= Phase::Noticed {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// What the client did wrong, in the words of the metrics; none where it did nothing wrong.
fn fault_of(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.find_map(|error| {
        let bad_http = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        let bad_http2 =
            error.downcast_ref::<h2::Error>().is_some_and(|error| error.is_library() && error.reason().is_some());
        // An error of the socket hides what it was made of from its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let flood = inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Flood>);
        [(bad_http, "bad_http"), (bad_http2, "bad_http2"), (flood, "http2_flood")]
            .into_iter()
            .find_map(|(is, name)| is.then_some(name))
    })
}

/// Looks at the first bytes without taking them.
async fn speaks_h2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        let same = PREFACE.starts_with(&first[..seen]);
        if seen == 0 || !same || seen == PREFACE.len() {
            return Ok(same && seen == PREFACE.len());
        }
        // Whoever has hung up after a part of it will not send the rest.
        if stream.ready(Interest::READABLE).await?.is_read_closed() {
            return Ok(false);
        }
        // Only a part has come, and peeking again would return at once: rare enough to wait a moment.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
