//! One backend and how it is doing: health, load and latency, all of it in atomics, since every request on every
//! thread reads and writes here. It records; what follows from it is decided by the stations.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use http::uri::{Authority, InvalidUri, PathAndQuery};

use super::Counts;
use super::latency::Latency;
use super::troubles::Troubles;
use crate::config::{HealthSettings, HttpVersion};
use crate::names::BackendId;
use crate::tls::Client;
use crate::wire::{self, Target};

/// One replica of the MCP server.
#[derive(Debug)]
pub struct Backend {
    /// The same on every instance and after every restart.
    pub id: BackendId,
    /// Authority and path, for people.
    pub name: Box<str>,
    /// What its `Host` header says.
    pub authority: Authority,
    /// The path of its MCP endpoint, with the query where it has one.
    pub path: PathAndQuery,
    /// The configured name that it was found under.
    pub origin: Box<str>,
    /// What speaks TLS with it, shared with its pool; none where it speaks none.
    secure: Option<Arc<ArcSwapOption<Client>>>,
    born: Instant,
    addr: ArcSwap<SocketAddr>,
    weight: AtomicU32,
    drains: AtomicBool,
    ordered: AtomicBool,
    left: AtomicBool,
    down: AtomicBool,
    refusing: AtomicBool,
    /// Its last probe passed.
    heard: AtomicBool,
    falls: AtomicU32,
    failures: AtomicU32,
    in_flight: AtomicU32,
    sessions: AtomicU32,
    latency: Latency,
    health: Mutex<Health>,
    /// What has happened to it.
    pub counts: Counts,
    /// What went wrong with it lately.
    pub troubles: Troubles,
}

/// How well a backend is, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Requests and probes that have failed in a row.
    pub failures: u32,
    /// How often it was taken out of use in a row.
    pub ejections: u32,
    /// Before when it is not used again.
    pub ejected_until: Option<Instant>,
    /// Whether its last probe passed.
    pub heard: bool,
}

/// What weighs on a backend at this moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Requests that wait for their answer's end. Open notification streams do not count.
    pub in_flight: u32,
    /// Sessions that lie here, as far as this instance knows.
    pub sessions: u32,
    /// Peak-sensitive average of the time to the answer's head, in seconds; zero while nothing is known.
    pub latency: f64,
    /// The configured weight.
    pub weight: u32,
}

/// Guards health's rarely changed part; taken by probes and by failures, never by a request that goes well.
#[derive(Debug, Default)]
struct Health {
    ejected_until: Option<Instant>,
    ejections: u32,
    passed: u32,
}

impl Backend {
    /// A backend that nothing bad is known of, first seen at the given time.
    #[must_use]
    pub fn new(host: &str, authority: Authority, path: PathAndQuery, (addr, born): (SocketAddr, Instant)) -> Self {
        let name = format!("{host}{path}");
        Self {
            id: super::backend_id(&name),
            name: name.into(),
            authority,
            path,
            origin: Box::default(),
            secure: None,
            born,
            addr: ArcSwap::from_pointee(addr),
            weight: AtomicU32::new(1),
            drains: AtomicBool::new(false),
            ordered: AtomicBool::new(false),
            left: AtomicBool::new(false),
            down: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            falls: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            sessions: AtomicU32::new(0),
            latency: Latency::default(),
            health: Mutex::default(),
            counts: Counts::default(),
            troubles: Troubles::default(),
        }
    }

    /// The same backend, found under the configured name `origin`.
    #[must_use]
    pub fn from_origin(self, origin: &str) -> Self {
        Self { origin: origin.into(), ..self }
    }

    /// The same backend, met over TLS by whatever `client` holds then.
    #[must_use]
    pub fn secured(self, client: &Arc<ArcSwapOption<Client>>) -> Self {
        Self { secure: Some(Arc::clone(client)), ..self }
    }

    /// Whether it is met over TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    /// How the wire reaches it. `host` is what it is to be called instead of its own authority.
    ///
    /// # Errors
    /// Where the name cannot stand in a `Host` header.
    pub fn target(&self, version: HttpVersion, host: Option<&str>) -> Result<Target, InvalidUri> {
        let version = match version {
            HttpVersion::Http1 => wire::HttpVersion::Http1,
            HttpVersion::Http2 => wire::HttpVersion::Http2,
        };
        let authority = host.map_or_else(|| Ok(self.authority.clone()), str::parse)?;
        let secure = self.secure.as_ref();
        let secure = secure.map(|tls| wire::Secure { client: tls.load_full(), host: self.authority.clone() });
        Ok(Target { backend: self.id, addr: self.addr(), authority, version, secure })
    }

    /// Where to connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        **self.addr.load()
    }

    /// Takes what configuration and discovery say of a backend that stays.
    pub fn update(&self, addr: SocketAddr, weight: u32, drains: bool) {
        if self.addr() != addr {
            self.addr.store(Arc::new(addr));
        }
        self.weight.store(weight.max(1), Ordering::Relaxed);
        self.drains.store(drains, Ordering::Relaxed);
        self.left.store(false, Ordering::Relaxed);
    }

    /// Whether it may be sent anything at all.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        !self.down.load(Ordering::Relaxed) && !self.left.load(Ordering::Relaxed)
    }

    /// Whether it is out of use.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether it is out of use, but its last probe passed: good enough where there is nobody else.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.down.load(Ordering::Relaxed) && self.heard.load(Ordering::Relaxed) && !self.left.load(Ordering::Relaxed)
    }

    /// Whether new sessions and requests without a session may go here.
    #[must_use]
    pub fn takes_newcomers(&self) -> bool {
        self.takes_requests() && !self.drains()
    }

    /// Whether the configuration or an operator wants it to take nobody new.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.drains.load(Ordering::Relaxed) || self.ordered.load(Ordering::Relaxed)
    }

    /// How often it was found dead by its probes, or after it had left the pool. A stream that sees this number change must end.
    #[must_use]
    pub fn falls(&self) -> u32 {
        self.falls.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to connect was refused: its process is gone, and with it what it kept in memory.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// It took a connection.
    pub fn connected(&self) {
        if self.is_refusing() {
            self.refusing.store(false, Ordering::Relaxed);
        }
    }

    /// It refused a connection.
    pub fn refused(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// It is no longer in the pool. What it still answers may come to its end; sessions and standing streams move.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Whether sessions shall move away from it, though it still answers: it drains, or is no longer in the pool.
    #[must_use]
    pub fn is_parting(&self) -> bool {
        self.drains() || self.left.load(Ordering::Relaxed)
    }

    /// An operator wants it drained, or no longer. The configuration may want it too.
    pub fn drain(&self, on: bool) {
        self.ordered.store(on, Ordering::Relaxed);
    }

    /// What weighs on it now.
    #[must_use]
    pub fn load(&self, now: Instant) -> Load {
        Load {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            sessions: self.sessions.load(Ordering::Relaxed),
            latency: self.latency.read(nanos(now, self.born)) / 1e9,
            weight: self.weight.load(Ordering::Relaxed),
        }
    }

    /// Records the time from sending a request to its answer's head.
    pub fn answered(&self, took: Duration, now: Instant) {
        self.latency.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), nanos(now, self.born));
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.connected();
    }

    /// Counts one request in flight until the guard is dropped.
    #[must_use]
    pub fn fly(self: &Arc<Self>) -> Flight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight { backend: Arc::clone(self) }
    }

    /// One more session lies here.
    pub fn moor(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// So many sessions lie here: a fresh count, which puts right what came and went uncounted.
    pub fn holds(&self, sessions: u32) {
        self.sessions.store(sessions, Ordering::Relaxed);
    }

    /// A session has left.
    pub fn cast_off(&self) {
        let fall = |sessions: u32| Some(sessions.saturating_sub(1));
        // The closure never refuses, so neither does the update.
        let _ = self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fall);
    }

    /// A request or probe failed. Returns whether this was the failure that ejects it: the caller asks
    /// whether the pool can spare it before it calls [`Backend::eject`].
    pub fn failed(&self, settings: &HealthSettings) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures >= settings.eject_after && !self.down.load(Ordering::Relaxed)
    }

    /// Whether something sent there has failed since the last thing went well, while it is in use.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0 && !self.down.load(Ordering::Relaxed)
    }

    /// How well it is.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        Condition {
            failures: self.failures.load(Ordering::Relaxed),
            ejections: health.ejections,
            ejected_until: health.ejected_until,
            heard: self.heard.load(Ordering::Relaxed),
        }
    }

    /// Takes it out of use; each ejection in a row lasts twice as long, up to `eject_max`. `dead` also ends its streams.
    pub fn eject(&self, now: Instant, settings: &HealthSettings, dead: bool) -> Duration {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let factor = 1_u32.checked_shl(health.ejections.min(16)).unwrap_or(u32::MAX);
        let lasts = settings.eject_for.saturating_mul(factor).min(settings.eject_max);
        health.ejections = health.ejections.saturating_add(1);
        health.ejected_until = Some(now + lasts);
        health.passed = 0;
        self.down.store(true, Ordering::Relaxed);
        self.counts.ejections.increment();
        if dead {
            self.falls.fetch_add(1, Ordering::Relaxed);
        }
        lasts
    }

    /// Its probes keep failing while it is out of use: whoever still holds a stream from it must let go.
    pub fn found_dead(&self) {
        self.falls.fetch_add(1, Ordering::Relaxed);
    }

    /// A probe passed. Returns whether this brings it back into use.
    pub fn passed(&self, now: Instant, settings: &HealthSettings) -> bool {
        self.failures.store(0, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
        self.counts.passed.increment();
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.passed = health.passed.saturating_add(1);
        if !self.down.load(Ordering::Relaxed) {
            // Steady again: a later ejection starts from the short time.
            if health.passed >= settings.recover_after.saturating_mul(10) {
                health.ejections = 0;
            }
            return false;
        }
        let served = health.ejected_until.is_none_or(|until| now >= until);
        let recovered = served && health.passed >= settings.recover_after;
        if recovered {
            health.ejected_until = None;
            health.passed = 0;
            self.down.store(false, Ordering::Relaxed);
        }
        recovered
    }

    /// A probe failed: probes that passed before it count no longer.
    pub fn stumbled(&self) {
        self.heard.store(false, Ordering::Relaxed);
        self.counts.stumbled.increment();
        self.health.lock().unwrap_or_else(PoisonError::into_inner).passed = 0;
    }
}

/// Counts one request in flight on a backend for as long as it lives.
#[derive(Debug)]
pub struct Flight {
    backend: Arc<Backend>,
}

impl Flight {
    /// The backend that it counts on.
    #[must_use]
    pub const fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn nanos(now: Instant, origin: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX)
}
