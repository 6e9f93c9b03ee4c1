//! The session station: which session a request belongs to, and what a backend's answer means for it. Owns the
//! sealed ids, the sessions that this instance knows, and the catalogue. It never talks to a backend and never chooses one.

mod catalogue;
mod counts;
mod look;
mod moving;
mod opened;
mod rounds;
mod settle;
mod token;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::{DashMap, Entry};
use hashbrown::DefaultHashBuilder;
use http::HeaderValue;

pub use catalogue::Catalogue;
pub use counts::{Counts, Ending};
pub use look::Met;
pub use moving::Turn;
pub use token::Claim;
pub use upkeep::Abandoned;

use crate::clock::Clock;
use crate::config::{SealingKey as ConfiguredKey, SessionSettings};
use crate::exchange::{Exchange, Moored, carries_credentials};
use crate::fleet::Fleet;
use crate::names::{CallerDigest, SessionId};
use crate::reject::Cause;
use crate::seal::{NoRandomness, OpenError, Ring, digest, random};
use crate::store::{Berth, KeyRing, Lookup, Record, SealingKey, Sessions as Store, StoreError};

/// The session station.
pub struct Sessions {
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    clock: Clock,
    settings: ArcSwap<SessionSettings>,
    timeout: Duration,
    ring: ArcSwap<Ring>,
    /// Sharded; a shard is locked for one lookup. Bounded by `session.max`.
    known: DashMap<SessionId, Arc<Moored>, DefaultHashBuilder>,
    /// How many of them each authenticated caller has.
    owned: DashMap<CallerDigest, usize>,
    catalogue: Catalogue,
    /// Berths that this instance made and that did not stand, until the next upkeep or notice. Guards a short list; taken when
    /// a session moves.
    left_behind: std::sync::Mutex<Vec<Abandoned>>,
    /// Rounds of upkeep so far.
    rounds: AtomicU64,
    /// Held by whoever asks for the ring because of an id under a key that is not known here.
    ring_asked: tokio::sync::Mutex<()>,
    watcher: Box<dyn Fn(&Event) + Send + Sync>,
    counts: Counts,
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
    /// A session moved.
    Moved {
        /// Its name.
        session: SessionId,
        /// The backend that it lay at.
        from: Box<str>,
        /// The backend where it lies now.
        to: Box<str>,
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
        let offer = new_key(&parts.clock)?;
        let ring = match &parts.key {
            Some(key) => {
                let secret = *key.bytes();
                let id = u32::from_be_bytes(digest(&[b"sealing key", &secret]));
                parts.store.add_key(SealingKey { id, secret, made: parts.clock.unix() }).await?
            }
            // A key of its own is the last resort: what is sealed under it nobody else can open until the rings are joined.
            None => match parts.store.agreed_keys(offer.clone()).await {
                Err(StoreError::Unavailable { .. }) => parts.store.keys(offer).await?,
                agreed => agreed?,
            },
        };
        let sessions = Self {
            store: parts.store,
            fleet: parts.fleet,
            clock: parts.clock,
            settings: ArcSwap::from_pointee(parts.settings),
            timeout: parts.timeout,
            ring: ArcSwap::from_pointee(unlock(&ring)),
            known: DashMap::default(),
            owned: DashMap::new(),
            catalogue: Catalogue::default(),
            left_behind: std::sync::Mutex::default(),
            rounds: AtomicU64::new(0),
            ring_asked: tokio::sync::Mutex::default(),
            watcher: parts.watcher,
            counts: Counts::default(),
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

    /// How many sessions began and ended.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many sessions this instance knows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Finds the session that a request belongs to, or none where it needs none; opens the retry of an `input_required` result.
    ///
    /// # Errors
    /// [`Cause::SessionRequired`] and [`Cause::SessionUnknown`], as the names say; [`Cause::StoreAway`] where only the store
    /// could tell.
    pub async fn find(&self, exchange: &mut Exchange) -> Result<Option<Arc<Moored>>, Cause> {
        exchange.facts = exchange.tool().and_then(|name| self.catalogue.tool(exchange.pool.id, name));
        if exchange.opens_session() {
            exchange.openly = !carries_credentials(&exchange.headers);
            if exchange.pool.keeps_sessions() {
                self.has_room(exchange.caller.digest())?;
            }
        }
        if !exchange.wants_session() {
            rounds::open(exchange, &self.ring.load());
            return Ok(None);
        }
        let Some(id) = &exchange.claim else {
            return if exchange.pool.keeps_sessions() { Err(Cause::SessionRequired) } else { Ok(None) };
        };
        let claim = self.open(id).await?;
        let now = self.clock.unix();
        if !self.holds(&claim, exchange, now) {
            return Err(Cause::SessionUnknown);
        }
        let session = match self.known.get(&claim.session) {
            Some(known) => Arc::clone(&known),
            None => Box::pin(self.look_up(&claim)).await?,
        };
        if self.has_rested(session.last_used(now), now) {
            Box::pin(self.wake(&session, now)).await?;
        }
        session.touch(now);
        session.is_called(|| exchange.caller.label().into());
        Ok(Some(session))
    }

    /// Opens a session id.
    async fn open(&self, id: &HeaderValue) -> Result<Arc<Claim>, Cause> {
        let text = id.to_str().map_err(|_| Cause::SessionUnknown)?;
        match opened::open(text, &self.ring.load()) {
            Ok(claim) => Ok(claim),
            Err(OpenError::UnknownKey) => Box::pin(self.open_anew(text)).await,
            Err(_) => Err(Cause::SessionUnknown),
        }
    }

    fn has_rested(&self, last_used: u64, now: u64) -> bool {
        now.saturating_sub(last_used) > self.settings.load().idle.as_secs()
    }

    /// A session that was not used here for long: it may have been used through another instance.
    async fn wake(&self, session: &Arc<Moored>, now: u64) -> Result<(), Cause> {
        if self.store.is_shared() {
            match self.ask_store(session.id).await {
                // Whoever cannot see what others did ends nothing.
                Err(_) => return Ok(()),
                Ok(Lookup::Live(record)) if !self.has_rested(record.last_seen, now) => {
                    self.learn(session, &record.berth);
                    return Ok(());
                }
                Ok(_) => {}
            }
        }
        self.end(session, Ending::Expired).await;
        Err(Cause::SessionUnknown)
    }

    async fn ask_store(&self, id: SessionId) -> Result<Lookup, StoreError> {
        let away = |_| StoreError::Unavailable { source: Arc::new(Overdue) };
        // The store bounds itself; this is only against one that does not.
        tokio::time::timeout(self.timeout * 4, self.store.load(id)).await.map_err(away)?
    }

    fn holds(&self, claim: &Claim, exchange: &Exchange, now: u64) -> bool {
        claim.pool == exchange.pool.id
            && claim.caller == exchange.caller.digest()
            && now.saturating_sub(claim.issued) <= self.settings.load().lifetime.as_secs()
    }

    /// A session that this instance has not seen yet: the store knows, or the id itself tells.
    async fn look_up(&self, claim: &Claim) -> Result<Arc<Moored>, Cause> {
        match self.ask_store(claim.session).await {
            Ok(Lookup::Live(record)) => Ok(self.know(claim.session, &record)),
            Ok(Lookup::Ended) => Err(Cause::SessionUnknown),
            Ok(Lookup::Unknown) | Err(_) => {
                // The store has lost it, or is away: what the id says is enough to go on.
                let gone = if self.store.is_away() { Cause::StoreAway } else { Cause::SessionUnknown };
                let berth = claim.berth().ok_or(gone)?;
                let times = (claim.issued, self.clock.unix());
                let moored = Moored::new(claim.session, claim.pool, claim.caller, times, Arc::new(berth));
                Ok(self.remember(Arc::new(moored)))
            }
        }
    }

    fn know(&self, id: SessionId, record: &Record) -> Arc<Moored> {
        let times = (record.created, record.last_seen);
        let berth = Arc::new(record.berth.clone());
        let moored = Moored::new(id, record.pool, record.journal.caller, times, berth);
        moored.was_opened(record.journal.open);
        moored.is_spoken(&record.journal.initialize);
        self.remember(Arc::new(moored))
    }

    fn remember(&self, moored: Arc<Moored>) -> Arc<Moored> {
        let entry = self.known.entry(moored.id).or_insert_with(|| {
            if let Some(pool) = self.fleet.pool(moored.pool) {
                pool.learn_that_it_keeps_sessions();
            }
            if let Some(backend) = self.backend_of(&moored, &moored.berth()) {
                backend.moor();
            }
            self.count_in(moored.caller);
            moored
        });
        Arc::clone(&entry)
    }

    fn backend_of(&self, moored: &Moored, berth: &Berth) -> Option<Arc<crate::fleet::Backend>> {
        self.fleet.pool(moored.pool)?.backend(berth.backend)
    }

    fn name_of(&self, moored: &Moored, berth: &Berth) -> Box<str> {
        self.backend_of(moored, berth).map_or_else(|| berth.backend.to_string().into(), |backend| backend.name.clone())
    }

    /// Whether there may be one more session, here and of this caller.
    fn has_room(&self, caller: CallerDigest) -> Result<(), Cause> {
        let settings = self.settings.load();
        if self.count() >= settings.max {
            return Err(Cause::Full("sessions"));
        }
        let own = self.owned.get(&caller).map_or(0, |count| *count);
        if own >= settings.per_caller { Err(Cause::ManySessions(settings.per_caller)) } else { Ok(()) }
    }

    /// Counts a session to its caller, if that is somebody.
    fn count_in(&self, caller: CallerDigest) {
        if caller != CallerDigest::ANYBODY {
            *self.owned.entry(caller).or_default() += 1;
        }
    }

    fn count_out(&self, caller: CallerDigest) {
        if let Entry::Occupied(mut owned) = self.owned.entry(caller) {
            *owned.get_mut() -= 1;
            if *owned.get() == 0 {
                owned.remove();
            }
        }
    }

    /// Ends a session everywhere that this instance reaches. A tombstone keeps it ended.
    pub async fn end(&self, moored: &Moored, why: Ending) {
        if let Err(error) = self.try_end(moored, why).await {
            tracing::warn!(session = %moored.id, %error, "the end of a session could not be stored");
        }
    }

    /// The same; here it has ended in any case.
    ///
    /// # Errors
    /// [`StoreError`] where other instances, and this one after a restart, may not know of it.
    pub async fn try_end(&self, moored: &Moored, why: Ending) -> Result<(), StoreError> {
        let until = moored.issued.saturating_add(self.settings.load().lifetime.as_secs());
        let ended = self.store.end(moored.id, until).await;
        self.forget(moored, why);
        ended.map(drop)
    }

    fn forget(&self, moored: &Moored, why: Ending) {
        moored.end();
        if self.known.remove(&moored.id).is_none() {
            return;
        }
        self.counts.ended.of((moored.pool, why)).increment();
        self.count_out(moored.caller);
        let berth = moored.berth();
        if let Some(backend) = self.backend_of(moored, &berth) {
            backend.cast_off();
        }
        (self.watcher)(&Event::Ended { session: moored.id, backend: self.name_of(moored, &berth) });
    }
}

/// The store took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the store did not answer in time")]
struct Overdue;

fn new_key(clock: &Clock) -> Result<SealingKey, NoRandomness> {
    Ok(SealingKey { id: u32::from_be_bytes(random()?), secret: random()?, made: clock.unix() })
}

fn unlock(ring: &KeyRing) -> Ring {
    Ring::new(&ring.as_slice().iter().map(|key| (key.id, key.secret)).collect::<Vec<_>>())
}
