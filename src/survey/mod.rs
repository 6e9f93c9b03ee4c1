//! What Prometheus is told: at each scrape all parts are asked for what they have counted, and a page is made of it, in the form that is
//! wanted. Owns the names, the labels and their bounds, and what the documentation says of each. It counts nothing itself but
//! reloads, and changes nothing. Nothing that a client can choose freely becomes a label.

mod backends;
mod cache;
mod connections;
mod document;
mod instance;
mod limits;
mod process;
mod sessions;
mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

pub use document::{CHAPTERS, Chapter, document};

use crate::auth::Gates;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::fleet::Fleet;
use crate::limit::Limit;
use crate::listener::Workers;
use crate::meter::Counter;
use crate::observe::Observe;
use crate::observe::metrics::{Collect, Page};
use crate::observe::requests::Requests;
use crate::observe::spread::Spread;
use crate::rehome;
use crate::relay::Streams;
use crate::session::Sessions;
use crate::store::measured::Pulse;

/// Whoever can tell what was counted.
pub struct Survey {
    /// The requests.
    pub observe: Arc<Observe>,
    /// The backends.
    pub fleet: Arc<Fleet>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The moves of sessions.
    pub rehomes: Arc<rehome::Counts>,
    /// The limits.
    pub limit: Arc<Limit>,
    /// The cache.
    pub cache: Arc<Cache>,
    /// The client connections.
    pub workers: Arc<Workers>,
    /// The notification streams.
    pub streams: Streams,
    /// Who may call.
    pub gates: Arc<Gates>,
    /// What is kept elsewhere.
    pub stores: StoreParts,
    /// What was read of files.
    pub readings: Arc<Readings>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// The time.
    pub clock: Clock,
}

/// Where things are kept, and how that goes.
#[derive(Clone)]
pub struct StoreParts {
    /// What kind of store it is: `memory`, `disk` or `redis`.
    pub kind: &'static str,
    /// Its parts, where it is more than memory.
    pub parts: Vec<StorePart>,
    /// News of other instances that was lost because too much waited.
    pub lost: Arc<Counter>,
}

/// One part of the store.
#[derive(Clone)]
pub struct StorePart {
    /// What is kept in it.
    pub name: &'static str,
    /// Its operations.
    pub pulse: Arc<Pulse>,
    /// Whether it is taken to be away.
    pub away: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What was read of files, and how that went.
#[derive(Debug, Default)]
pub struct Readings {
    /// Configurations that were taken over, after the first.
    pub taken: Counter,
    /// Configurations that were refused.
    pub refused: Counter,
    /// When the one in use was taken over, in seconds since 1970.
    pub since: AtomicU64,
    /// The certificates in use, each by its file, with the end of its time in seconds since 1970.
    pub certificates: ArcSwap<Vec<(String, u64)>>,
}

impl StoreParts {
    /// A store of that kind.
    #[must_use]
    pub fn of(kind: &'static str) -> Self {
        Self { kind, parts: Vec::new(), lost: Arc::default() }
    }

    /// How long all operations took so far.
    #[must_use]
    pub fn took(&self) -> Spread {
        let mut all = Spread::default();
        for (_, operation) in self.parts.iter().flat_map(|part| part.pulse.operations()) {
            all.join(&Spread::from(&operation.took.snapshot()));
        }
        all
    }

    /// The same with one more part.
    #[must_use]
    pub fn with(mut self, part: StorePart) -> Self {
        self.parts.push(part);
        self
    }
}

impl Readings {
    /// A configuration is in use from now on.
    pub fn begins(&self, clock: &Clock) {
        self.since.store(clock.unix(), Ordering::Relaxed);
    }
}

impl Survey {
    /// All that there is to tell.
    #[must_use]
    pub fn page(&self) -> Page {
        let mut page = Page::default();
        instance::collect(self, &mut page);
        let (tallies, fleet) = (Arc::clone(self.observe.tallies()), Arc::clone(&self.fleet));
        Requests { tallies, fleet }.collect(&mut page);
        self.observe.metrics().collect(&mut page);
        connections::collect(self, &mut page);
        backends::collect(self, &mut page);
        sessions::collect(self, &mut page);
        limits::collect(self, &mut page);
        cache::collect(self, &mut page);
        stores::collect(self, &mut page);
        process::collect(&mut page);
        page
    }

    /// What a pool is called; its id where it is no longer there.
    fn pool(&self, id: crate::names::PoolId) -> String {
        self.fleet.pool(id).map_or_else(|| id.to_string(), |pool| pool.settings().name.clone())
    }
}
