//! What one connection may make us wait for: the end of its header fields, its next request, its taking of an answer.
//! Deadlines hang on the worker's sweep: no timer per request. It knows sockets and times, no HTTP but one refusal.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::stream::Stream;
use super::taking::{Taking, Takings};
use crate::config::Bounds;
use crate::observe::metrics::Metrics;
use crate::sweep::{Sweep, Swept, ticks};

/// Written when header fields do not come to their end in time; no request is known yet that it could answer.
const SLOW_HEADERS: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: 156\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":408,\"message\":\"the header fields did not arrive in time; send them again\",\"data\":{\"reason\":\"slow_headers\"}}}     ";

/// What a connection waits for, seen from the sweep. Ticks; 0 means that it does not wait.
#[derive(Debug)]
pub struct Guard {
    waker: AtomicWaker,
    exchanges: AtomicU32,
    idle_since: AtomicU32,
    head_since: AtomicU32,
    stuck_since: AtomicU32,
    expired: AtomicBool,
    is_h2: AtomicBool,
    requests: AtomicU32,
    /// Told once, when the connection has had its last request.
    spent: Notify,
    takings: Takings,
    limits: Limits,
    metrics: Arc<Metrics>,
    sweep: Arc<Sweep<Guard>>,
}

/// The deadlines, in ticks, and how many requests there may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    idle: u32,
    head: u32,
    write: u32,
    requests: u32,
}

impl Guard {
    /// A guard for a connection that has just been accepted: its first header fields are due.
    pub fn new(sweep: &Arc<Sweep<Self>>, bounds: &Bounds, metrics: &Arc<Metrics>) -> Arc<Self> {
        let limits = Limits {
            idle: ticks(bounds.idle_timeout),
            head: ticks(bounds.header_timeout),
            write: ticks(bounds.write_timeout),
            requests: bounds.max_requests_per_connection,
        };
        let guard = Arc::new(Self {
            waker: AtomicWaker::new(),
            exchanges: AtomicU32::new(0),
            idle_since: AtomicU32::new(0),
            head_since: AtomicU32::new(sweep.tick()),
            stuck_since: AtomicU32::new(0),
            expired: AtomicBool::new(false),
            is_h2: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            spent: Notify::new(),
            takings: Takings::default(),
            limits,
            metrics: Arc::clone(metrics),
            sweep: Arc::clone(sweep),
        });
        sweep.enter(&guard);
        guard
    }

    /// A request has been read to the end of its header fields. It is under way until the guard that is returned is dropped.
    pub fn exchange(self: &Arc<Self>) -> InExchange {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        self.idle_since.store(0, Ordering::Relaxed);
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        if before.saturating_add(1) == self.limits.requests {
            self.spent.notify_one();
        }
        InExchange(Arc::clone(self))
    }

    /// Waits until the connection has had its last request.
    pub async fn spent(&self) {
        self.spent.notified().await;
    }

    /// The current tick of the sweep.
    pub fn tick(&self) -> u32 {
        self.sweep.tick()
    }

    /// The first byte has come: the header fields are due from now on.
    pub fn begins(&self) {
        self.head_since.store(self.sweep.tick(), Ordering::Relaxed);
    }

    /// It speaks HTTP/2: no header fields that dribble on for ever (hyper bounds them), and frames that are no requests.
    pub fn speaks_h2(&self) {
        self.is_h2.store(true, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        self.idle_since.store(self.sweep.tick(), Ordering::Relaxed);
    }

    fn heard(&self) {
        if !self.is_h2.load(Ordering::Relaxed) && self.idle_since.swap(0, Ordering::Relaxed) != 0 {
            self.head_since.store(self.sweep.tick(), Ordering::Relaxed);
        }
    }

    fn due(&self, tick: u32) -> bool {
        let over = |since: &AtomicU32, limit: u32| match since.load(Ordering::Relaxed) {
            0 => false,
            since => tick.wrapping_sub(since) > limit,
        };
        over(&self.idle_since, self.limits.idle)
            || over(&self.head_since, self.limits.head)
            || over(&self.stuck_since, self.limits.write)
            || self.is_h2.load(Ordering::Relaxed) && self.takings.is_stuck(tick, self.limits.write)
    }

    /// Why it is due, in the words of the metrics; none where it merely had nothing to do.
    fn reason(&self) -> Option<&'static str> {
        let since = |since: &AtomicU32| since.load(Ordering::Relaxed) != 0;
        match self {
            _ if since(&self.head_since) => Some("slow_headers"),
            _ if since(&self.idle_since) => None,
            _ => Some("slow_reader"),
        }
    }
}

impl Swept for Guard {
    fn sweep(&self, tick: u32) {
        if self.due(tick) {
            self.expired.store(true, Ordering::Relaxed);
            self.waker.wake();
        }
    }
}

/// A request is under way on a connection.
#[derive(Debug)]
pub struct InExchange(Arc<Guard>);

impl InExchange {
    /// Keeps an eye on whether an HTTP/2 client takes its answer; an HTTP/1 client's socket says so by itself.
    pub fn taking(&self) -> Option<Arc<Taking>> {
        let guard = &self.0;
        guard.is_h2.load(Ordering::Relaxed).then(|| guard.takings.begin(guard.tick()))
    }

    /// The current tick of the sweep.
    pub fn tick(&self) -> u32 {
        self.0.tick()
    }

    /// Whether an HTTP/1 connection takes no request after this one.
    pub fn is_last(&self) -> bool {
        let guard = &self.0;
        !guard.is_h2.load(Ordering::Relaxed) && guard.requests.load(Ordering::Relaxed) >= guard.limits.requests
    }
}

impl Drop for InExchange {
    fn drop(&mut self) {
        if self.0.exchanges.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle_since.store(self.0.sweep.tick(), Ordering::Relaxed);
        }
    }
}

/// A client's socket under guard.
#[derive(Debug)]
pub struct Guarded {
    stream: Stream,
    guard: Arc<Guard>,
    peer: SocketAddr,
}

impl Guarded {
    /// Puts a socket under guard.
    pub const fn new(stream: Stream, guard: Arc<Guard>, peer: SocketAddr) -> Self {
        Self { stream, guard, peer }
    }

    fn check(&mut self, context: &Context<'_>) -> io::Result<()> {
        self.guard.waker.register(context.waker());
        // Judged again: something may have come since the sweep looked.
        if !self.guard.expired.load(Ordering::Relaxed) || !self.guard.due(self.guard.sweep.tick()) {
            self.guard.expired.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let reason = self.guard.reason();
        if let Some(reason) = reason {
            tracing::info!(peer = %self.peer, reason, "connection refused");
            self.guard.metrics.connections.count(reason);
        }
        if reason == Some("slow_headers") {
            self.stream.write_now(SLOW_HEADERS);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Notes whether the client takes what is written. What waits in the stream itself has been taken by nobody yet.
    fn wrote<T>(&self, result: Poll<T>, flushed: Flushed) -> Poll<T> {
        let stuck = &self.guard.stuck_since;
        match &result {
            Poll::Ready(_) if self.stream.buffers() && flushed == Flushed::No => {}
            Poll::Ready(_) => stuck.store(0, Ordering::Relaxed),
            Poll::Pending if stuck.load(Ordering::Relaxed) == 0 => {
                stuck.store(self.guard.sweep.tick(), Ordering::Relaxed);
            }
            Poll::Pending => {}
        }
        result
    }
}

/// Whether a write went through to the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flushed {
    Yes,
    No,
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        match &polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => this.guard.heard(),
            Poll::Ready(_) => {}
            Poll::Pending => this.check(context)?,
        }
        polled
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, buffer);
        if polled.is_pending() {
            this.check(context)?;
        }
        this.wrote(polled, Flushed::No)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, buffers);
        if polled.is_pending() {
            this.check(context)?;
        }
        this.wrote(polled, Flushed::No)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.stream.buffers() {
            return Pin::new(&mut this.stream).poll_flush(context);
        }
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        if polled.is_pending() {
            this.check(context)?;
        }
        this.wrote(polled, Flushed::Yes)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        if polled.is_pending() {
            this.check(context)?;
        }
        this.wrote(polled, Flushed::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_refusal_says_its_own_length() {
        let text = std::str::from_utf8(SLOW_HEADERS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "body has {} bytes", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
