//! One worker thread: a runtime of its own, the walk with its connections to backends, and the clients that were handed to it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::admission::{Admission, Inside};
use super::door::{Door, Doors};
use super::guard::Guard;
use super::serve::Server;
use crate::config::Bounds;
use crate::drain::{Drain, Phase};
use crate::fleet::Fleet;
use crate::identify::Connection;
use crate::sweep::{Sweep, TICK};
use crate::tasks::{self, Crew};
use crate::walk::Walk;

/// Connections that wait to be taken over by a thread at most.
const MOST_WAITING: usize = 1024;

/// The listeners have so long to close once they should; connections are handed over until then.
const LAST_ARRIVALS: Duration = Duration::from_secs(5);

/// After the last phase of the drain, connections have this long to write what is left.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What one thread runs.
pub struct Plan {
    /// The stations.
    pub walk: Walk,
    /// For the health endpoints.
    pub fleet: Arc<Fleet>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// The bounds of connections.
    pub bounds: Bounds,
    /// How connections come in.
    pub doors: Arc<Doors>,
    /// How many may.
    pub admission: Arc<Admission>,
}

/// A connection on its way to a thread, counted there already, so that a burst spreads.
type Handed = (std::net::TcpStream, Connection, Door, Counted);

/// One worker thread, seen from the acceptor.
pub struct Worker {
    hand: mpsc::Sender<Handed>,
    counts: Counts,
    ended: watch::Receiver<bool>,
}

impl Worker {
    /// Starts a thread.
    ///
    /// # Errors
    /// What the system says where it gives no thread or no poll instance.
    pub fn start(
        number: usize,
        plan: Plan,
        all: &Arc<AtomicUsize>,
        listeners: watch::Receiver<usize>,
    ) -> io::Result<Self> {
        let (hand, handed) = mpsc::channel(MOST_WAITING);
        let (end, ended) = watch::channel(false);
        let counts = Counts { own: Arc::default(), all: Arc::clone(all) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(work(plan, handed, listeners));
            end.send_replace(true);
        })?;
        Ok(Self { hand, counts, ended })
    }

    /// How many connections it holds.
    pub fn connections(&self) -> usize {
        self.counts.own.load(Ordering::Relaxed)
    }

    /// Hands a connection over.
    ///
    /// # Errors
    /// Where the thread is far behind, or has ended.
    pub fn take(&self, stream: TcpStream, connection: Connection, (door, inside): (Door, Inside)) -> io::Result<()> {
        let stream = stream.into_std()?;
        self.hand
            .try_send((stream, connection, door, self.counts.count(inside)))
            .map_err(|error| io::Error::other(error.to_string()))
    }

    /// Waits until the thread has ended.
    pub async fn ended(&self) {
        // An error means that the thread is gone, which is what is waited for.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}

/// Connections of this thread and of all.
#[derive(Clone)]
struct Counts {
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

/// Counts one connection until it is dropped.
struct Counted(Counts, #[expect(dead_code, reason = "held for its drop")] Inside);

impl Counts {
    fn count(&self, inside: Inside) -> Counted {
        self.own.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone(), inside)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.own.fetch_sub(1, Ordering::Relaxed);
        self.0.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Nobody is handed over any more: this instance goes, and its listeners are closed.
async fn parted(drain: &Drain, listeners: &mut watch::Receiver<usize>) {
    drain.reached(Phase::Parting).await;
    // Where one does not close in time, what it still lets in is cut off.
    drop(tokio::time::timeout(LAST_ARRIVALS, listeners.wait_for(|open| *open == 0)).await);
}

async fn work(plan: Plan, mut handed: mpsc::Receiver<Handed>, mut listeners: watch::Receiver<usize>) {
    let Plan { walk, fleet, drain, bounds, doors, admission } = plan;
    let relay = tasks::spawn("relay", Arc::clone(&walk.relay).keep());
    let sweep: Arc<Sweep<Guard>> = Arc::default();
    let swept = Arc::clone(&sweep);
    let keeper = tasks::spawn("connections", async move {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            swept.turn();
        }
    });
    let metrics = Arc::clone(walk.observe.metrics());
    let server = Arc::new(Server::new(Arc::new(walk), fleet, drain.clone(), (bounds, doors, admission)));
    let mut crew = Crew::default();
    let mut parted = pin!(parted(&drain, &mut listeners));
    loop {
        let next = tokio::select! {
            next = handed.recv() => next,
            // What has been handed over by now is still received.
            () = parted.as_mut(), if !handed.is_closed() => {
                handed.close();
                continue;
            }
        };
        let Some((stream, connection, door, counted)) = next else { break };
        let (server, guard) = (Arc::clone(&server), Guard::new(&sweep, &bounds, &metrics));
        crew.spawn(async move {
            server.serve(stream, (connection, door), guard).await;
            drop(counted);
        });
    }
    let over = async {
        drain.reached(Phase::Over).await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = crew.join(Duration::MAX) => {}
        () = over => {}
    }
    drop((relay, keeper));
}
