//! The session station: which session a request belongs to, and what a backend's answer means for it. Owns the
//! sealed ids, the sessions that this instance knows, and the catalogue. It never talks to a backend and never chooses one.

mod catalogue;
mod rounds;
mod settle;
mod token;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;

pub use catalogue::{Catalogue, ToolFacts};
pub use token::Claim;

use crate::clock::Clock;
use crate::config::{SealingKey as ConfiguredKey, SessionSettings};
use crate::exchange::{Exchange, Moored};
use crate::fleet::Fleet;
use crate::names::{BackendId, PoolId, SessionId};
use crate::reject::Cause;
use crate::seal::{NoRandomness, Ring, digest, random};
use crate::store::{Berth, KeyRing, Lookup, Record, SealingKey, Seen, Sessions as Store, StoreError, Sweep};

/// How many sessions one round of expiry ends at most; the next round takes the rest.
const EXPIRE_AT_ONCE: usize = 1000;

/// The session station.
pub struct Sessions {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    clock: Clock,
    settings: ArcSwap<SessionSettings>,
    timeout: Duration,
    ring: ArcSwap<Ring>,
    /// Sharded; a shard is locked for one lookup. Bounded by `session.max`.
    known: DashMap<SessionId, Arc<Moored>>,
    catalogue: Catalogue,
    watcher: Box<dyn Fn(&Event) + Send + Sync>,
}

/// Something that happened to a session, for whoever watches (the demo, later the dashboard).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session began.
    Opened {
        /// Its name.
        session: SessionId,
        /// The backend that it lies at.
        backend: Box<str>,
        /// What its client calls itself.
        client: Box<str>,
    },
    /// A session ended.
    Ended {
        /// Its name.
        session: SessionId,
        /// The backend that it lay at.
        backend: Box<str>,
    },
}

/// What the session station is made of.
pub struct Parts {
    /// Where sessions are kept.
    pub store: Arc<dyn Store>,
    /// The backends that they lie at.
    pub fleet: Arc<Fleet>,
    /// The time.
    pub clock: Clock,
    /// How long sessions live, and how many there may be.
    pub settings: SessionSettings,
    /// How long a look-up in the store may take before the request goes on with what its session id says.
    pub timeout: Duration,
    /// The sealing key from the configuration; else the store's.
    pub key: Option<ConfiguredKey>,
    /// Is told of each event. Called on the request's own path: must be quick.
    pub watcher: Box<dyn Fn(&Event) + Send + Sync>,
}

/// Why the session station could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The system gives no randomness for keys and ids.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The store could not be asked for the sealing keys.
    #[error("the store could not be asked for the sealing keys")]
    Store(#[from] StoreError),
}

impl Sessions {
    /// Sets the station up: agrees with the store on the sealing keys.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn new(parts: Parts) -> Result<Self, SetupError> {
        let offer = SealingKey { id: u32::from_be_bytes(random()?), secret: random()?, made: parts.clock.unix() };
        let ring = match &parts.key {
            Some(key) => {
                let secret = *key.bytes();
                let id = u32::from_be_bytes(digest(&[b"sealing key", &secret]));
                parts.store.add_key(SealingKey { id, secret, made: parts.clock.unix() }).await?
            }
            None => parts.store.keys(offer).await?,
        };
        let sessions = Self {
            store: parts.store,
            fleet: parts.fleet,
            clock: parts.clock,
            settings: ArcSwap::from_pointee(parts.settings),
            timeout: parts.timeout,
            ring: ArcSwap::from_pointee(unlock(&ring)),
            known: DashMap::new(),
            catalogue: Catalogue::default(),
            watcher: parts.watcher,
        };
        sessions.take_stock().await?;
        Ok(sessions)
    }

    /// After a restart: which sessions lie where, so that new ones go where there is room.
    async fn take_stock(&self) -> Result<(), StoreError> {
        for (id, record) in self.store.census().await? {
            self.know(id, &record);
        }
        Ok(())
    }

    /// Takes a new configuration.
    pub fn reconfigure(&self, settings: SessionSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// The catalogue of tools.
    #[must_use]
    pub const fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// How many sessions this instance knows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Finds the session that a request belongs to, or none where it needs none; opens the retry of an `input_required` result.
    ///
    /// # Errors
    /// [`Cause::SessionRequired`] and [`Cause::SessionUnknown`], as the names say.
    pub async fn find(&self, exchange: &mut Exchange) -> Result<Option<Arc<Moored>>, Cause> {
        let facts = exchange.tool().and_then(|name| self.catalogue.tool(exchange.pool.id, name));
        exchange.repeatable = facts.is_some_and(|facts| facts.is_repeatable());
        if exchange.opens_session() && exchange.pool.keeps_sessions() && self.is_full() {
            return Err(Cause::Full("sessions"));
        }
        if !exchange.wants_session() {
            rounds::open(exchange, &self.ring.load());
            return Ok(None);
        }
        let Some(id) = &exchange.claim else {
            return if exchange.pool.keeps_sessions() { Err(Cause::SessionRequired) } else { Ok(None) };
        };
        let claim = id.to_str().ok().and_then(|id| Claim::open(id, &self.ring.load()).ok());
        let claim = claim.ok_or(Cause::SessionUnknown)?;
        let now = self.clock.unix();
        if !self.holds(&claim, exchange, now) {
            return Err(Cause::SessionUnknown);
        }
        let session = match self.known.get(&claim.session) {
            Some(known) => Arc::clone(&known),
            None => Box::pin(self.look_up(&claim)).await?,
        };
        if now.saturating_sub(session.last_used(now)) > self.settings.load().idle.as_secs() {
            Box::pin(self.end(&session)).await;
            return Err(Cause::SessionUnknown);
        }
        session.touch(now);
        Ok(Some(session))
    }

    fn holds(&self, claim: &Claim, exchange: &Exchange, now: u64) -> bool {
        claim.pool == exchange.pool.id
            && claim.caller == exchange.caller.digest()
            && now.saturating_sub(claim.issued) <= self.settings.load().lifetime.as_secs()
    }

    /// A session that this instance has not seen yet: the store knows, or the id itself tells.
    async fn look_up(&self, claim: &Claim) -> Result<Arc<Moored>, Cause> {
        match tokio::time::timeout(self.timeout, self.store.load(claim.session)).await {
            Ok(Ok(Lookup::Live(record))) => Ok(self.know(claim.session, &record)),
            Ok(Ok(Lookup::Ended)) => Err(Cause::SessionUnknown),
            Ok(Ok(Lookup::Unknown) | Err(_)) | Err(_) => {
                // The store has lost it, or is away: what the id says is enough to go on.
                let berth = claim.berth().ok_or(Cause::SessionUnknown)?;
                let times = (claim.issued, self.clock.unix());
                let moored = Moored::new(claim.session, claim.pool, claim.caller, times, Arc::new(berth));
                Ok(self.remember(Arc::new(moored)))
            }
        }
    }

    fn know(&self, id: SessionId, record: &Record) -> Arc<Moored> {
        let times = (record.created, record.last_seen);
        let berth = Arc::new(record.berth.clone());
        self.remember(Arc::new(Moored::new(id, record.pool, record.journal.caller, times, berth)))
    }

    fn remember(&self, moored: Arc<Moored>) -> Arc<Moored> {
        let entry = self.known.entry(moored.id).or_insert_with(|| {
            if let Some(pool) = self.fleet.pool(moored.pool) {
                pool.learn_that_it_keeps_sessions();
            }
            if let Some(backend) = self.backend_of(&moored, &moored.berth()) {
                backend.moor();
            }
            moored
        });
        Arc::clone(&entry)
    }

    fn backend_of(&self, moored: &Moored, berth: &Berth) -> Option<Arc<crate::fleet::Backend>> {
        self.fleet.pool(moored.pool)?.backend(berth.backend)
    }

    /// Whether this instance holds as many sessions as it may.
    fn is_full(&self) -> bool {
        self.count() >= self.settings.load().max
    }

    /// Ends a session everywhere that this instance reaches. A tombstone keeps it ended.
    pub async fn end(&self, moored: &Moored) {
        let until = moored.issued.saturating_add(self.settings.load().lifetime.as_secs());
        if let Err(error) = self.store.end(moored.id, until).await {
            tracing::warn!(session = %moored.id, %error, "the end of a session could not be stored");
        }
        self.forget(moored);
    }

    /// No backend could be named. A session whose backend has left for good ends with it.
    pub async fn unplaced(&self, moored: Option<&Arc<Moored>>, cause: Cause) -> Cause {
        if let (Some(moored), Cause::SessionLost) = (moored, &cause) {
            self.end(moored).await;
        }
        cause
    }

    /// The session's backend could not be reached. A process that refuses connections is gone, and its sessions with it: the
    /// client starts over, if there is anybody to start over with.
    pub async fn stranded(&self, exchange: &Exchange, moored: &Moored, refused: bool) -> Cause {
        let own = moored.berth().backend;
        let backends = exchange.pool.backends();
        // One that refuses too is nobody to start over with, though its probes may not have found out yet.
        let mut others = backends.iter().filter(|backend| backend.id != own && !backend.is_refusing());
        if !refused || !others.any(|backend| backend.takes_newcomers()) {
            return Cause::NoBackend;
        }
        self.end(moored).await;
        Cause::SessionLost
    }

    fn forget(&self, moored: &Moored) {
        if self.known.remove(&moored.id).is_none() {
            return;
        }
        let berth = moored.berth();
        let backend = self.backend_of(moored, &berth);
        if let Some(backend) = &backend {
            backend.cast_off();
        }
        let name = backend.map_or_else(|| berth.backend.to_string().into(), |backend| backend.name.clone());
        (self.watcher)(&Event::Ended { session: moored.id, backend: name });
    }

    /// Upkeep, to be called every few seconds: tells the store which sessions were used, and ends those that were not.
    pub async fn upkeep(&self) {
        let now = self.clock.unix();
        let settings = **self.settings.load();
        let seen = |moored: &Moored| Seen { id: moored.id, at: moored.keep_up(now), epoch: moored.berth().epoch };
        let used: Vec<_> = self.known.iter().map(|moored| seen(&moored)).collect();
        if let Err(error) = self.store.touch(&used).await {
            tracing::debug!(%error, "the store did not take which sessions were used");
        }
        let sweep = Sweep { now, idle: settings.idle, lifetime: settings.lifetime, limit: EXPIRE_AT_ONCE };
        match self.store.expire(sweep).await {
            Ok(expired) => self.let_go(expired),
            Err(error) => tracing::debug!(%error, "the store did not say which sessions have expired"),
        }
        self.forget_expired(now, &settings);
        self.recount();
    }

    /// The store may not hold all that this instance knows: what it was told by an id alone ends here.
    fn forget_expired(&self, now: u64, settings: &SessionSettings) {
        let expired = |moored: &Moored| {
            now.saturating_sub(moored.last_used(now)) > settings.idle.as_secs()
                || now.saturating_sub(moored.issued) > settings.lifetime.as_secs()
        };
        let gone: Vec<_> =
            self.known.iter().filter(|moored| expired(moored)).map(|moored| Arc::clone(&moored)).collect();
        gone.iter().for_each(|moored| self.forget(moored));
    }

    /// Counts anew how many sessions lie at each backend: backends come and go while their sessions stay.
    fn recount(&self) {
        let mut counts: HashMap<(PoolId, BackendId), u32> = HashMap::new();
        for moored in &self.known {
            *counts.entry((moored.pool, moored.berth().backend)).or_default() += 1;
        }
        for pool in self.fleet.pools().iter() {
            for backend in pool.backends().iter() {
                backend.holds(counts.get(&(pool.id, backend.id)).copied().unwrap_or(0));
            }
        }
    }

    fn let_go(&self, expired: Vec<(SessionId, Arc<Record>)>) {
        for (id, _) in expired {
            let moored = self.known.get(&id).map(|moored| Arc::clone(&moored));
            if let Some(moored) = moored {
                self.forget(&moored);
            }
        }
    }
}

fn unlock(ring: &KeyRing) -> Ring {
    Ring::new(&ring.as_slice().iter().map(|key| (key.id, key.secret)).collect::<Vec<_>>())
}
