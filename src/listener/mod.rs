//! The listener: accepts connections, hands each to the least loaded worker thread, speaks HTTP/1.1 and HTTP/2 on them, with
//! or without TLS, and keeps their bounds. What a request means is the walk's business.

mod admission;
mod certificate;
mod door;
mod during;
mod frames;
mod guard;
mod handshakes;
pub mod health;
mod last;
mod proxied;
mod serve;
mod stream;
mod taking;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use admission::Words;
pub use admission::{Admission, Rules};
pub use door::{Door, Doors, TurnedAway};
pub use worker::{Plan, Worker};

use crate::drain::{Drain, Phase};
use crate::exchange::Hop;
use crate::identify::Connection;
use crate::meter::Counter;

/// Connections that wait to be accepted, in the kernel.
const BACKLOG: i32 = 1024;

/// How long accepting rests after an error such as running out of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// The worker threads together, and how many connections they hold.
pub struct Workers {
    workers: Vec<Worker>,
    connections: Arc<AtomicUsize>,
    accepted: Counter,
    admission: Arc<Admission>,
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
    pub fn start(plans: Vec<Plan>, admission: Arc<Admission>) -> io::Result<Self> {
        let connections = Arc::new(AtomicUsize::new(0));
        let open = watch::Sender::new(0);
        let start = |(number, plan)| Worker::start(number, plan, &connections, open.subscribe());
        let workers = plans.into_iter().enumerate().map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { workers, connections, accepted: Counter::default(), admission, open })
    }

    /// Takes new rules for who is let in.
    pub fn reconfigure(&self, rules: Rules) {
        self.admission.reconfigure(rules);
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
        self.accepted.increment();
        let words = if door.tls { Words::None } else { Words::Http };
        let Some(inside) = self.admission.admit((&stream, words), connection.peer, self.connections()) else { return };
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.connections()) else { return };
        let peer = connection.peer;
        if let Err(error) = worker.take(stream, connection, (door, inside)) {
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

    /// How many client connections the system has let in, those that were refused then included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.get()
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
