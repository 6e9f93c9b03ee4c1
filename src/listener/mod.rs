//! The listener: accepts connections, hands each to the least loaded worker thread, speaks HTTP/1.1 and HTTP/2 on them, with
//! or without TLS, and keeps their bounds. What a request means is the walk's business.

mod certificate;
mod door;
mod guard;
pub mod health;
mod last;
mod proxied;
mod serve;
mod stream;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use door::{Door, Doors, TurnedAway};
pub use worker::{Plan, Worker};

use crate::drain::{Drain, Phase};
use crate::exchange::Hop;
use crate::identify::Connection;

/// Connections that wait to be accepted, in the kernel.
const BACKLOG: i32 = 1024;

/// How long accepting rests after an error such as running out of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// Sent to a connection that is one too many; no request is known yet that it could answer.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: 184\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":503,\"message\":\"this gateway holds as many connections as it may; try again shortly\",\"data\":{\"reason\":\"too_many_connections\",\"retryAfter\":1}}}";

/// The worker threads together, and how many connections they hold.
pub struct Workers {
    workers: Vec<Worker>,
    connections: Arc<AtomicUsize>,
    max_connections: Arc<AtomicUsize>,
    /// How many listeners are open.
    open: watch::Sender<usize>,
}

/// Opens a listening socket.
///
/// # Errors
/// What the system says, such as that the address is in use.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before it.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the system says where it gives no thread.
    pub fn start(plans: Vec<Plan>, max_connections: usize) -> io::Result<Self> {
        let connections = Arc::new(AtomicUsize::new(0));
        let open = watch::Sender::new(0);
        let start = |(number, plan)| Worker::start(number, plan, &connections, open.subscribe());
        let workers = plans.into_iter().enumerate().map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { workers, connections, max_connections: Arc::new(AtomicUsize::new(max_connections)), open })
    }

    /// Takes a new bound on connections.
    pub fn reconfigure(&self, max_connections: usize) {
        self.max_connections.store(max_connections, Ordering::Relaxed);
    }

    /// Accepts until the instance closes, and whoever the system has let in by then.
    pub async fn accept(self: Arc<Self>, listener: TcpListener, door: Door, drain: Drain) {
        let _open = Open::count(&self.open);
        let loopback = listener.local_addr().is_ok_and(|addr| addr.ip().is_loopback());
        let place = |stream, peer| {
            let hop = Arc::new(Hop::new(peer));
            self.place(stream, Connection { peer, loopback, hop, secure: false, certificate: None }, door);
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.reached(Phase::Parting) => break,
            };
            match accepted {
                Ok((stream, peer)) => place(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            }
        }
        if let Err(error) = last::arrivals(listener, place).await {
            tracing::warn!(%error, "connections that nobody has accepted yet may be cut off");
        }
    }

    fn place(&self, stream: TcpStream, connection: Connection, door: Door) {
        if self.connections.load(Ordering::Relaxed) >= self.max_connections.load(Ordering::Relaxed) {
            tracing::warn!(peer = %connection.peer, reason = "too_many_connections", "connection refused");
            if !door.tls {
                // Best effort: the connection is closed either way.
                drop(stream.try_write(TOO_MANY));
            }
            return;
        }
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.connections()) else { return };
        let peer = connection.peer;
        if let Err(error) = worker.take(stream, connection, door) {
            tracing::warn!(%peer, %error, "a connection could not be handed over");
        }
    }

    /// Waits until every thread has ended its connections, or until `deadline` has passed.
    pub async fn join(&self, deadline: Duration) {
        let done = async {
            for worker in &self.workers {
                worker.ended().await;
            }
        };
        drop(tokio::time::timeout(deadline, done).await);
    }

    /// How many client connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Counts one open listener until it is dropped.
struct Open<'w>(&'w watch::Sender<usize>);

impl<'w> Open<'w> {
    fn count(open: &'w watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_refusal_says_its_own_length() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "body has {} bytes", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
