//! What is done for sessions beside requests: telling the store which were used, hearing what other instances did, ending
//! what has rested too long, and keeping the ring of sealing keys.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Claim, Ending, Event, Sessions, new_key, unlock};
use crate::config::SessionSettings;
use crate::exchange::{Moored, Opened};
use crate::names::{BackendId, PoolId, SessionId};
use crate::reject::Cause;
use crate::seal::NoRandomness;
use crate::store::{Berth, Lookup, Notice, Record, SealingKey, Seen, StoreError, Sweep};

/// How many sessions one round of expiry ends at most; the next round takes the rest.
const EXPIRE_AT_ONCE: usize = 1000;

/// Sessions known by their id alone whose records one round fetches at most.
const FETCH_AT_ONCE: usize = 500;

/// A store that is shared has to look through all its shards for what has expired: once a minute will do.
const EXPIRE_EVERY: u64 = 12;

/// Of a store that is shared, each round confirms this part of the sessions that were not used: each within the lease of 30 s.
const CONFIRM_EVERY: u64 = 5;

/// The ring is asked for again after so many rounds.
const RING_EVERY: u64 = 6;

/// How long the ring may take to come, with all that wait for it before.
const RING_LIMIT: Duration = Duration::from_secs(2);

/// An id under an unknown key makes the ring be asked for, once in this time at most.
const RING_REST: Duration = Duration::from_millis(100);

/// A session that a backend still holds, and that nobody will use there any more.
#[derive(Clone, Debug)]
pub struct Abandoned {
    /// The session.
    pub id: SessionId,
    /// Its pool.
    pub pool: PoolId,
    /// Where it lay.
    pub berth: Berth,
    /// Whether it was opened without credentials, so that it can be ended without any.
    pub openly: bool,
}

impl Abandoned {
    fn of(id: SessionId, record: &Record) -> Self {
        Self { id, pool: record.pool, berth: record.berth.clone(), openly: record.journal.open }
    }
}

impl Sessions {
    /// Upkeep, to be called every few seconds: tells the store which sessions were used, learns which have moved or ended
    /// elsewhere, and ends those that were not used. What their backends still hold of these.
    pub async fn upkeep(&self) -> Vec<Abandoned> {
        let now = self.clock.unix();
        let settings = **self.settings.load();
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        match self.store.touch(&self.seen(now, round)).await {
            Ok(news) => news.into_iter().for_each(|(id, lookup)| self.take_news(id, &lookup)),
            Err(error) => tracing::debug!(%error, "the store did not take which sessions were used"),
        }
        self.fetch_records().await;
        let expired = self.expire(now, round, &settings).await;
        expired.iter().for_each(|(id, _)| self.let_go(*id, Ending::Expired));
        self.forget_expired(now, &settings);
        self.recount();
        if self.store.is_shared() && round.is_multiple_of(RING_EVERY) {
            self.refresh_ring().await;
        }
        let expired = expired.iter().map(|(id, record)| Abandoned::of(*id, record));
        expired.chain(self.take_left_behind()).collect()
    }

    /// Berths that this instance made and that did not stand.
    fn take_left_behind(&self) -> Vec<Abandoned> {
        std::mem::take(&mut *self.left_behind.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sessions that are known by their id alone (the store did not answer when they were met): without a record nobody can
    /// move them while the store is away.
    async fn fetch_records(&self) {
        if !self.store.is_shared() || self.store.is_away() {
            return;
        }
        let unseen = |moored: &Arc<Moored>| moored.opened() == Opened::Unknown;
        let unseen: Vec<_> = self.all().into_iter().filter(unseen).take(FETCH_AT_ONCE).collect();
        for moored in unseen {
            match self.ask_store(moored.id).await {
                Ok(Lookup::Live(record)) => {
                    moored.was_opened(record.journal.open);
                    self.learn(&moored, &record.berth);
                }
                Ok(Lookup::Ended) => self.let_go(moored.id, Ending::Elsewhere),
                Ok(Lookup::Unknown) => {}
                Err(_) => return,
            }
        }
    }

    async fn expire(&self, now: u64, round: u64, settings: &SessionSettings) -> Vec<(SessionId, Arc<Record>)> {
        if self.store.is_shared() && round % EXPIRE_EVERY != EXPIRE_EVERY - 1 {
            return Vec::new();
        }
        let sweep = Sweep { now, idle: settings.idle, lifetime: settings.lifetime, limit: EXPIRE_AT_ONCE };
        self.store.expire(sweep).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the store did not say which sessions have expired");
            Vec::new()
        })
    }

    fn seen(&self, now: u64, round: u64) -> Vec<Seen> {
        let shared = self.store.is_shared();
        let turn = u128::from(round % CONFIRM_EVERY);
        // Used since about the last round, or its turn to be confirmed.
        let due =
            |moored: &Moored, at: u64| !shared || at + 10 >= now || moored.id.0 % u128::from(CONFIRM_EVERY) == turn;
        let seen = |moored: &Moored| {
            let at = moored.keep_up(now);
            due(moored, at).then(|| Seen { id: moored.id, at, epoch: moored.berth().epoch })
        };
        self.known.iter().filter_map(|moored| seen(&moored)).collect()
    }

    fn take_news(&self, id: SessionId, lookup: &Lookup) {
        match lookup {
            Lookup::Live(record) => self.moved_elsewhere(id, &record.berth),
            Lookup::Ended => self.let_go(id, Ending::Elsewhere),
            // What its id tells is enough to go on.
            Lookup::Unknown => {}
        }
    }

    /// Hears what another instance did. Where two that could not see each other have both moved a session, the berths that
    /// this instance made and that did not stand.
    pub async fn hear(&self, notice: Notice) -> Vec<Abandoned> {
        match notice {
            Notice::Ended(id) => self.let_go(id, Ending::Elsewhere),
            Notice::Moved(id, berth) => self.moved_elsewhere(id, &berth),
            Notice::Keys => self.refresh_ring().await,
            // About backends, and not for this station.
            Notice::Orders => {}
        }
        self.take_left_behind()
    }

    fn moved_elsewhere(&self, id: SessionId, berth: &Berth) {
        let moored = self.known.get(&id).map(|moored| Arc::clone(&moored));
        if let Some(moored) = moored {
            self.learn(&moored, berth);
        }
    }

    /// Takes the news of another berth.
    pub(super) fn learn(&self, moored: &Moored, berth: &Berth) {
        let Some(was) = moored.moor(&Arc::new(berth.clone())) else { return };
        self.leave_behind(moored, &was);
        if let Some(left) = self.backend_of(moored, &was) {
            left.cast_off();
        }
        if let Some(reached) = self.backend_of(moored, berth) {
            reached.moor();
        }
        let (from, to) = (self.name_of(moored, &was), self.name_of(moored, berth));
        tracing::debug!(session = %moored.id, %from, %to, epoch = berth.epoch.0, "session moved");
        (self.watcher)(&Event::Moved { session: moored.id, from, to });
    }

    /// The store may not hold all that this instance knows: what it was told by an id alone ends here.
    fn forget_expired(&self, now: u64, settings: &SessionSettings) {
        let expired = |moored: &Moored| {
            now.saturating_sub(moored.last_used(now)) > settings.idle.as_secs()
                || now.saturating_sub(moored.issued) > settings.lifetime.as_secs()
        };
        let gone: Vec<_> =
            self.known.iter().filter(|moored| expired(moored)).map(|moored| Arc::clone(&moored)).collect();
        gone.iter().for_each(|moored| self.forget(moored, Ending::Expired));
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

    /// A berth that this instance made may be known to nobody else: it sees to its end.
    fn leave_behind(&self, moored: &Moored, berth: &Berth) {
        if moored.has_made(berth.mark()) {
            let openly = moored.opened() == Opened::Openly;
            let abandoned = Abandoned { id: moored.id, pool: moored.pool, berth: berth.clone(), openly };
            self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).push(abandoned);
        }
    }

    fn let_go(&self, id: SessionId, why: Ending) {
        let moored = self.known.get(&id).map(|moored| Arc::clone(&moored));
        if let Some(moored) = moored {
            self.leave_behind(&moored, &moored.berth());
            self.forget(&moored, why);
        }
    }

    /// Asks for the ring of sealing keys.
    async fn refresh_ring(&self) {
        // Where the store was emptied, it gets a key that is in use already; the layer above it brings the others.
        let Ok(offer) = new_key(&self.clock) else { return };
        match self.store.keys(offer).await {
            Ok(ring) => self.ring.store(Arc::new(unlock(&ring))),
            Err(error) => tracing::debug!(%error, "the store was not asked for the sealing keys"),
        }
    }

    /// An id under a key that is not known here: another instance may have made it a moment ago.
    pub(super) async fn open_anew(&self, text: &str) -> Result<Arc<Claim>, Cause> {
        if !self.store.is_shared() {
            return Err(Cause::SessionUnknown);
        }
        // One at a time, each after a rest: ids under keys that never were shall not cost the store much.
        let asking = async {
            let _turn = self.ring_asked.lock().await;
            tokio::time::sleep(RING_REST).await;
            if Claim::open(text, &self.ring.load()).is_ok() {
                return true;
            }
            let Ok(offer) = new_key(&self.clock) else { return false };
            let agreed = self.store.agreed_keys(offer).await;
            agreed.map(|ring| self.ring.store(Arc::new(unlock(&ring)))).is_ok()
        };
        // Who was not told by the store itself cannot say that the key is nobody's.
        let is_told = tokio::time::timeout(RING_LIMIT, asking).await.unwrap_or(false);
        let gone = if is_told { Cause::SessionUnknown } else { Cause::StoreAway };
        Claim::open(text, &self.ring.load()).map(Arc::new).map_err(|_| gone)
    }

    /// Makes a new sealing key; ids under the old ones stay valid for their lifetime.
    ///
    /// # Errors
    /// [`RotateError`]: nothing has changed then, as far as is known.
    pub async fn rotate_key(&self) -> Result<(), RotateError> {
        let key: SealingKey = new_key(&self.clock)?;
        let ring = self.store.add_key(key).await?;
        self.ring.store(Arc::new(unlock(&ring)));
        Ok(())
    }

    /// Every session that this instance knows, for whoever moves them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Moored>> {
        self.known.iter().map(|moored| Arc::clone(&moored)).collect()
    }

    /// Waits for the next thing that another instance did.
    pub async fn notice(&self) -> Notice {
        self.store.hear().await
    }

    /// Whether the store cannot be reached at the moment.
    #[must_use]
    pub fn store_is_away(&self) -> bool {
        self.store.is_away()
    }

    /// Whether other instances share the store: what is opened here is served there.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        self.store.is_shared()
    }
}

/// Why no new sealing key was made.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The store did not take it.
    #[error("the store did not take the key")]
    Store(#[from] StoreError),
}
