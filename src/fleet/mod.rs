//! The fleet: which pools there are, which backends lie in them, and how each of them is doing. Live state
//! only; it neither chooses nor probes. A reload swaps the lists and keeps every backend that stays.

mod backend;
mod counts;
mod latency;
mod troubles;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;

pub use backend::{Backend, Condition, Flight, Load};
pub use counts::Counts;
pub use troubles::{MOST_TROUBLES, Trouble, Troubles};

use crate::config::PoolSettings;
use crate::names::{BackendId, PoolId};
use crate::seal::digest;
use crate::tls::Client;

/// How long requests in flight on a backend that has left the pool may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// All pools of this instance.
#[derive(Debug, Default)]
pub struct Fleet {
    pools: ArcSwap<Vec<Arc<Pool>>>,
    orders: Orders,
}

/// Which backends operators want drained, whether or not they are there now.
type Drained = HashSet<(PoolId, BackendId)>;

/// The orders that stand, common to all pools.
type Orders = Arc<ArcSwap<Drained>>;

/// A named set of interchangeable backends behind one endpoint path.
#[derive(Debug)]
pub struct Pool {
    /// The same on every instance and after every restart.
    pub id: PoolId,
    settings: ArcSwap<PoolSettings>,
    backends: ArcSwap<Vec<Arc<Backend>>>,
    keeps_sessions: AtomicBool,
    unresolved: AtomicBool,
    orders: Orders,
    /// Held while backends are told what was ordered, so that what was ordered before is never told last. Guards nothing else;
    /// taken when orders or backends change.
    obeying: Mutex<()>,
    /// Backends that are no longer listed, with the time when they left: what they still answer has a grace period.
    /// Guards a short list; taken when the backends change and once per look at the names, never by a request.
    departed: Mutex<Vec<(Arc<Backend>, Instant)>>,
    /// What speaks TLS with its backends; changes with the files that it was made of.
    pub tls: Arc<ArcSwapOption<Client>>,
    /// Rung when something sent to a backend has failed that is still in use: its prober looks closer.
    pub suspicion: Notify,
    /// Told when something has changed that may make backends well again: all are probed at once.
    pub hope: Notify,
    /// Held while the list of backends is made anew, so that an older view never replaces a newer one.
    pub refreshing: tokio::sync::Mutex<()>,
}

impl Fleet {
    /// A fleet of the pools that the configuration names; their backends are found by discovery.
    #[must_use]
    pub fn new(settings: &[PoolSettings]) -> Self {
        let fleet = Self::default();
        fleet.reconfigure(settings);
        fleet
    }

    /// Takes a new configuration. Pools whose path stays keep their backends and what is known of them.
    pub fn reconfigure(&self, settings: &[PoolSettings]) {
        let old = self.pools.load();
        let pools = settings.iter().map(|new| match old.iter().find(|pool| pool.id == pool_id(&new.path)) {
            Some(pool) => {
                pool.settings.store(Arc::new(new.clone()));
                Arc::clone(pool)
            }
            None => Arc::new(Pool::new(new.clone(), Arc::clone(&self.orders))),
        });
        self.pools.store(Arc::new(pools.collect()));
    }

    /// Takes the orders that stand, all of them: these backends are drained, whenever they are there, and no others. What the
    /// configuration wants drained stays so.
    pub fn obey(&self, drained: HashSet<(PoolId, BackendId)>) {
        self.orders.store(Arc::new(drained));
        self.pools.load().iter().for_each(|pool| pool.obey());
    }

    /// The pool that is served at this path.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<Arc<Pool>> {
        self.pools.load().iter().find(|pool| pool.settings.load().path == path).cloned()
    }

    /// The pool with this id.
    #[must_use]
    pub fn pool(&self, id: PoolId) -> Option<Arc<Pool>> {
        self.pools.load().iter().find(|pool| pool.id == id).cloned()
    }

    /// Whether this very pool is still in use.
    #[must_use]
    pub fn holds(&self, pool: &Arc<Pool>) -> bool {
        self.pools.load().iter().any(|held| Arc::ptr_eq(held, pool))
    }

    /// All pools.
    #[must_use]
    pub fn pools(&self) -> Arc<Vec<Arc<Pool>>> {
        self.pools.load_full()
    }
}

impl Pool {
    fn new(settings: PoolSettings, orders: Orders) -> Self {
        Self {
            id: pool_id(&settings.path),
            settings: ArcSwap::from_pointee(settings),
            backends: ArcSwap::default(),
            keeps_sessions: AtomicBool::new(false),
            unresolved: AtomicBool::new(false),
            orders,
            obeying: Mutex::default(),
            departed: Mutex::default(),
            tls: Arc::default(),
            suspicion: Notify::new(),
            hope: Notify::new(),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// What the configuration says of the pool now.
    #[must_use]
    pub fn settings(&self) -> arc_swap::Guard<Arc<PoolSettings>> {
        self.settings.load()
    }

    /// The backends as discovery last saw them.
    #[must_use]
    pub fn backends(&self) -> arc_swap::Guard<Arc<Vec<Arc<Backend>>>> {
        self.backends.load()
    }

    /// The backend with this id, if it is (still) in the pool.
    #[must_use]
    pub fn backend(&self, id: BackendId) -> Option<Arc<Backend>> {
        self.backends.load().iter().find(|backend| backend.id == id).cloned()
    }

    /// All backends, and those that have left not long ago.
    #[must_use]
    pub fn everybody(&self) -> Vec<Arc<Backend>> {
        let departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        let departed = departed.iter().map(|(gone, _)| Arc::clone(gone));
        self.backends.load().iter().cloned().chain(departed).collect()
    }

    /// Whether a backend has left not long ago.
    #[must_use]
    pub fn has_departed(&self) -> bool {
        !self.departed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Replaces the list of backends. Those that left are marked so that sessions and streams move; what they still have in
    /// flight when their grace is over is given up.
    pub fn set_backends(&self, backends: Vec<Arc<Backend>>, now: Instant) {
        let orders = self.orders.load();
        // Before anybody can choose them, and once more for what was ordered meanwhile.
        backends.iter().for_each(|backend| backend.drain(orders.contains(&(self.id, backend.id))));
        let old = self.backends.swap(Arc::new(backends));
        self.obey();
        let new = self.backends.load();
        let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in old.iter().filter(|old| !new.iter().any(|new| new.id == old.id)) {
            gone.leave();
            departed.push((Arc::clone(gone), now));
        }
        let over = |since: Instant| now.saturating_duration_since(since) >= GRACE;
        departed.retain(|(gone, since)| {
            let is_back = new.iter().any(|new| Arc::ptr_eq(new, gone));
            if !is_back && over(*since) {
                gone.found_dead();
            }
            !is_back && !over(*since)
        });
    }

    /// Tells the backends what operators have ordered.
    fn obey(&self) {
        let _turn = self.obeying.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = self.orders.load();
        self.everybody().iter().for_each(|backend| backend.drain(orders.contains(&(self.id, backend.id))));
    }

    /// Whether every name in the configuration was found when it was last looked up: only then is a backend that is not
    /// listed known to be gone.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        !self.unresolved.load(Ordering::Relaxed)
    }

    /// Notes whether every name was found.
    pub fn set_resolved(&self, resolved: bool) {
        self.unresolved.store(!resolved, Ordering::Relaxed);
    }

    /// Whether a backend of this pool has ever issued a session id, as far as this instance knows.
    #[must_use]
    pub fn keeps_sessions(&self) -> bool {
        self.keeps_sessions.load(Ordering::Relaxed)
    }

    /// Remembers that backends of this pool issue session ids.
    pub fn learn_that_it_keeps_sessions(&self) {
        if !self.keeps_sessions() {
            self.keeps_sessions.store(true, Ordering::Relaxed);
        }
    }

    /// A request to a backend, or its probe, has failed. Ejects it when that was once too often and the pool can spare it.
    /// `dead` also lets go of the streams that it still holds.
    pub fn failed(&self, backend: &Backend, now: Instant, dead: bool) {
        let settings = &self.settings.load().health;
        if !backend.failed(settings) || !self.can_spare_one(settings.max_ejected_percent) {
            self.suspicion.notify_one();
            return;
        }
        // On suspicion alone the last one is never ejected: a bad answer is better than none.
        if !dead && !self.backends.load().iter().any(|other| other.id != backend.id && other.takes_requests()) {
            return;
        }
        let lasts = backend.eject(now, settings, dead);
        let (pool, for_ms) = (self.settings.load(), lasts.as_millis());
        let sessions = backend.load(now).sessions;
        let why = backend.troubles.latest().into_iter().next().map(|trouble| trouble.what);
        tracing::warn!(backend = %backend.name, pool = pool.name, why, for_ms, dead, sessions, "backend ejected");
        if !self.is_up() {
            tracing::error!(pool = pool.name, "no backend of this pool takes requests any more");
        }
    }

    fn can_spare_one(&self, percent: u32) -> bool {
        let backends = self.backends.load();
        let out = backends.iter().filter(|backend| !backend.takes_requests()).count();
        (out + 1) * 100 <= backends.len() * percent as usize
    }

    /// Whether any backend can take a request now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.backends.load().iter().any(|backend| backend.takes_requests() && !backend.is_refusing())
    }
}

/// The id of the pool at this path.
#[must_use]
pub fn pool_id(path: &str) -> PoolId {
    PoolId(u32::from_be_bytes(digest(&[b"pool", path.as_bytes()])))
}

/// The id of the backend with this name (authority and path).
#[must_use]
pub fn backend_id(name: &str) -> BackendId {
    BackendId(u64::from_be_bytes(digest(&[b"backend", name.as_bytes()])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings(text: &str) -> Vec<PoolSettings> {
        let pool = |path: &str| format!("[[pool]]\npath = '{path}'\nbackends = ['http://127.0.0.1:1/']\n");
        let text: String = text.split(' ').map(pool).collect();
        Config::parse("test", &text).unwrap().pools
    }

    fn backend(port: u16, now: Instant) -> Arc<Backend> {
        let host = format!("127.0.0.1:{port}");
        let addr = host.parse().unwrap();
        Arc::new(Backend::new(&host, host.parse().unwrap(), "/mcp".parse().unwrap(), (addr, now)))
    }

    #[test]
    fn orders_hold_for_backends_and_pools_that_come_later_and_come_back() {
        let now = crate::clock::Clock::manual().now();
        let fleet = Fleet::new(&settings("/a"));
        let one = backend(1, now);
        let on = |path: &str, backend: &Backend| (pool_id(path), backend.id);
        fleet.obey(HashSet::from([on("/a", &one), on("/b", &one)]));
        let a = fleet.at("/a").unwrap();
        a.set_backends(vec![Arc::clone(&one), backend(2, now)], now);
        assert_eq!(a.backends().iter().map(|backend| backend.drains()).collect::<Vec<_>>(), [true, false]);
        fleet.reconfigure(&settings("/a /b"));
        let b = fleet.at("/b").unwrap();
        b.set_backends(vec![backend(1, now)], now);
        assert!(b.backends()[0].drains() && a.backends()[0].drains());
        a.set_backends(vec![backend(2, now)], now);
        fleet.obey(HashSet::from([on("/b", &one)]));
        assert!(!one.drains(), "it has left not long ago, and may come back");
        fleet.obey(HashSet::from([on("/a", &one)]));
        a.set_backends(vec![backend(1, now)], now);
        assert!(a.backends()[0].drains() && !b.backends()[0].drains());
        fleet.obey(HashSet::new());
        assert!(!a.backends()[0].drains());
    }
}
