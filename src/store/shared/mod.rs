//! What stands between the stations and a store that several instances share: an outage of that store becomes harmless.
//! Owns the near copy of what this instance knows, the breaker, and the writing back. Speaks no store's language: the far
//! store is whatever keeps the contract.
//!
//! While the far store answers, it is the truth, asked once per call. When it fails a few times in a row nobody waits for it
//! any more: the near copy answers, and what changes there is marked. When it is back, empty or as another primary, it is
//! told what is known here, and where it knows better, this instance's listener is told.

mod keeper;
mod near;
mod notices;
mod pair;
mod repair;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::far::Away;
use super::{
    Answer, Berth, BoxFuture, Claimed, Created, JournalEdit, KeyRing, Lease, Lookup, Moved, MoverId, Notice, Record,
    SealingKey, Seen, Sessions, StoreError, Sweep,
};
use crate::clock::Clock;
use crate::config::WhenAway;
use crate::names::{Epoch, SessionId};
use crate::tasks::{self, Task};
use pair::Pair;

/// What the near copy and the breaker go by.
#[derive(Clone, Copy, Debug)]
pub struct SharedSettings {
    /// The most live sessions, and the most tombstones, that are held near.
    pub limit: usize,
    /// How long a session lives at most: so long the near copy remembers that it has ended.
    pub lifetime: Duration,
    /// How long the far store is waited for in one call.
    pub timeout: Duration,
    /// What happens to new sessions while the far store is away.
    pub when_away: WhenAway,
}

/// How often the keeper looks, and how long it gives the others.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// While the far store is away it is asked so often whether it is back.
    probe: Duration,
    /// So often keys are merged, and what was moved or ended of late is compared.
    round: Duration,
    /// For so long after the far store is back or was found empty, other instances may still be writing to it.
    settle: Duration,
}

const PACE: Pace = Pace {
    probe: Duration::from_millis(250),
    round: Duration::from_secs(30),
    // Three times what the upkeep of sessions takes to come round.
    settle: Duration::from_secs(15),
};

/// A store that others share, with what this instance knows of it.
pub struct Shared {
    pair: Arc<Pair>,
    _keeper: Task,
}

impl Shared {
    /// Stands before `far`. Needs a runtime, on which its one task lives until this is dropped.
    #[must_use]
    pub fn start(far: Arc<dyn Sessions>, settings: SharedSettings, clock: Clock) -> Arc<Self> {
        Self::start_at(PACE, far, &settings, clock)
    }

    fn start_at(pace: Pace, far: Arc<dyn Sessions>, settings: &SharedSettings, clock: Clock) -> Arc<Self> {
        let pair = Arc::new(Pair::new(far, settings, clock, pace));
        let keeper = tasks::spawn("store keeper", keeper::keep(Arc::clone(&pair)));
        Arc::new(Self { pair, _keeper: keeper })
    }
}

impl Sessions for Shared {
    fn keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(self.pair.keys(offer))
    }

    fn agreed_keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(self.pair.agreed_keys(offer))
    }

    fn add_key(&self, key: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(self.pair.add_key(key))
    }

    fn create(&self, id: SessionId, record: Record) -> Answer<'_, Created> {
        Box::pin(self.pair.create(id, record))
    }

    fn load(&self, id: SessionId) -> Answer<'_, Lookup> {
        Box::pin(self.pair.load(id))
    }

    fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Answer<'_, Moved> {
        Box::pin(self.pair.moor(id, expected, berth))
    }

    fn note(&self, id: SessionId, edit: JournalEdit) -> Answer<'_, bool> {
        Box::pin(self.pair.note(id, edit))
    }

    fn touch<'a>(&'a self, seen: &'a [Seen]) -> Answer<'a, Vec<(SessionId, Lookup)>> {
        Box::pin(self.pair.touch(seen))
    }

    fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Answer<'_, Claimed> {
        Box::pin(self.pair.claim(id, expected, lease))
    }

    fn release(&self, id: SessionId, mover: MoverId) -> Answer<'_, ()> {
        Box::pin(self.pair.release(id, mover))
    }

    fn end(&self, id: SessionId, until: u64) -> Answer<'_, Option<Arc<Record>>> {
        Box::pin(self.pair.end(id, until))
    }

    fn expire(&self, sweep: Sweep) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(self.pair.expire(sweep))
    }

    /// What the far store names; while it is away, what is known here.
    fn census(&self) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(async {
            match self.pair.far.ask_at_length(self.pair.store().census()).await {
                Err(StoreError::Unavailable { .. }) => Ok(self.pair.near.map().census()),
                answer => answer,
            }
        })
    }

    /// How many the far store counts; while it is away, how many are held here.
    fn count(&self) -> Answer<'_, usize> {
        Box::pin(async {
            match self.pair.far.ask_at_length(self.pair.store().count()).await {
                Err(StoreError::Unavailable { .. }) => Ok(self.pair.near.map().count()),
                answer => answer,
            }
        })
    }

    /// What other instances did, and what this one has found out by writing back and comparing.
    fn hear(&self) -> BoxFuture<'_, Notice> {
        Box::pin(self.pair.hear())
    }

    fn is_shared(&self) -> bool {
        self.pair.store().is_shared()
    }

    fn is_away(&self) -> bool {
        self.pair.far.is_open() || self.pair.store().is_away()
    }

    /// Answers when the far store holds all that was acknowledged here.
    fn flush(&self) -> Answer<'_, ()> {
        Box::pin(async {
            if self.pair.far.is_open() {
                return Err(Away::Open.into());
            }
            self.pair.write_back().await?;
            self.pair.far.ask_at_length(self.pair.store().flush()).await
        })
    }

    fn adopt(&self, id: SessionId, record: Record) -> Answer<'_, Lookup> {
        Box::pin(self.pair.adopt(id, record))
    }
}
