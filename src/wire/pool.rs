//! The lanes: per backend, which connections are idle and how many requests are in flight. Owns when a connection
//! may be used again. Refuses to know what goes over it.
//!
//! A lane belongs to one worker, so its mutex (guarding the idle list, held for a few instructions, never across
//! an await) is not contended.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::{ConnectFailure, WireError};
use super::head::Keep;
use super::stream::{Stream, shake_hands};
use super::{Settings, Target, h2};
use crate::clock::Clock;

/// Taken off what a server says it keeps an idle connection for, so that our use does not cross with its close.
const MARGIN: Duration = Duration::from_secs(1);
/// How soon, and then how often, the kernel asks after a silent peer, so that a stream to a machine that vanished ends.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Everything held about one backend.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) settings: Arc<Settings>,
    clock: Clock,
    in_flight: Arc<Semaphore>,
    idle: Mutex<Idle>,
    pub(super) http2: h2::Connections,
}

#[derive(Debug, Default)]
struct Idle {
    /// The backend is gone: what comes back is closed.
    forgotten: bool,
    /// Oldest first.
    parked: VecDeque<Parked>,
}

#[derive(Debug)]
struct Parked {
    stream: Stream,
    addr: SocketAddr,
    until: Instant,
}

/// A connection on loan to one exchange. Dropped, it is closed at once; [`Lease::release`] gives it back.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) stream: Stream,
    /// Whether it has served an exchange before.
    pub(super) reused: bool,
    addr: SocketAddr,
    lane: Arc<Lane>,
    /// Held for its drop alone.
    _permit: OwnedSemaphorePermit,
}

impl Lane {
    pub(super) fn new(settings: Arc<Settings>, clock: Clock) -> Self {
        let in_flight = Arc::new(Semaphore::new(settings.max_in_flight_per_backend));
        Self { settings, clock, in_flight, idle: Mutex::default(), http2: h2::Connections::new() }
    }

    /// Waits, for a bounded time, until one more request may be in flight.
    pub(super) async fn admit(&self) -> Result<OwnedSemaphorePermit, WireError> {
        if let Ok(permit) = self.in_flight.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let busy = WireError::Busy { limit: self.settings.max_in_flight_per_backend };
        match timeout(self.settings.busy_wait, self.in_flight.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(busy),
        }
    }

    /// The most recently used idle connection that is still good, closing those that are not.
    pub(super) fn take(self: &Arc<Self>, target: &Target, permit: OwnedSemaphorePermit) -> Result<Lease, Permit> {
        let addr = target.addr;
        let now = self.clock.now();
        let mut idle = self.idle();
        while let Some(mut parked) = idle.parked.pop_back() {
            let fits = parked.addr == addr && parked.stream.is_for(target);
            if fits && now < parked.until && parked.stream.is_quiet() {
                drop(idle);
                return Ok(Lease { stream: parked.stream, reused: true, addr, lane: self.clone(), _permit: permit });
            }
        }
        Err(Permit(permit))
    }

    /// Opens a connection for one exchange.
    pub(super) async fn open(
        self: &Arc<Self>,
        target: &Target,
        permit: OwnedSemaphorePermit,
    ) -> Result<Lease, WireError> {
        let stream = connect(target, self.settings.connect_timeout).await?;
        Ok(Lease { stream, reused: false, addr: target.addr, lane: self.clone(), _permit: permit })
    }

    /// Closes the idle connections now and those on loan when they come back.
    pub(super) fn forget(&self) {
        let mut idle = self.idle();
        idle.forgotten = true;
        idle.parked.clear();
        drop(idle);
        self.http2.forget();
    }

    /// Closes what has been idle for too long or was closed by the backend.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        self.idle().parked.retain_mut(|parked| now < parked.until && parked.stream.is_quiet());
        self.http2.sweep();
    }

    pub(super) fn idle_connections(&self) -> usize {
        self.idle().parked.len()
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.settings.max_in_flight_per_backend.saturating_sub(self.in_flight.available_permits())
    }

    fn park(&self, stream: Stream, addr: SocketAddr, keep: Keep) {
        let Some(time) = self.time_to_park(keep) else { return };
        let until = self.clock.now() + time;
        let mut idle = self.idle();
        if idle.forgotten {
            return;
        }
        if idle.parked.len() >= self.settings.max_idle_per_backend {
            idle.parked.pop_front();
        }
        idle.parked.push_back(Parked { stream, addr, until });
    }

    fn time_to_park(&self, keep: Keep) -> Option<Duration> {
        let time = match keep {
            Keep::Close => return None,
            Keep::Unstated => self.settings.idle_unstated,
            Keep::For(stated) => stated.saturating_sub(MARGIN),
        };
        (self.settings.max_idle_per_backend > 0 && !time.is_zero()).then_some(time.min(self.settings.idle_timeout))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit handed back by [`Lane::take`] when there is no idle connection.
#[derive(Debug)]
pub(super) struct Permit(pub(super) OwnedSemaphorePermit);

impl Lease {
    /// The exchange has ended cleanly: the connection may serve another one.
    pub(super) fn release(self, keep: Keep) {
        self.lane.park(self.stream, self.addr, keep);
    }
}

/// Opens a connection, and shakes hands where it is to speak TLS, all of it in time.
pub(super) async fn connect(target: &Target, within: Duration) -> Result<Stream, WireError> {
    let made = async {
        let stream = TcpStream::connect(target.addr).await.map_err(WireError::connect)?;
        configure(&stream).map_err(WireError::connect)?;
        match &target.secure {
            None => Ok(Stream::Plain(stream)),
            Some(secure) => shake_hands(stream, secure, target).await,
        }
    };
    let late = || WireError::Connect { why: ConnectFailure::Timeout, source: None };
    timeout(within, made).await.unwrap_or_else(|_| Err(late()))
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}
