//! The far store and the near copy of it, verb by verb: the far store is the truth while it is there, and the copy
//! stands in while it is not. What the far store has lost is mended in `repair`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use tokio::sync::Notify;

use super::near::{Change, Near};
use super::notices::Notices;
use super::repair::Told;
use super::{Pace, SharedSettings};
use crate::clock::{Chance, Clock};
use crate::config::WhenAway;
use crate::names::{Epoch, SessionId};
use crate::store::far::{Away, Far};
use crate::store::{
    Berth, Claimed, Created, JournalEdit, Lease, Lookup, Moved, MoverId, Record, Seen, Sessions, StoreError, Sweep,
};

/// What happens while the far store is away.
const MEANWHILE: &str = "sessions go on with what this instance knows";

/// So many sessions are touched in one call, which has the bound of one.
const TOUCH_AT_ONCE: usize = 512;

/// The far store and its near copy.
pub(super) struct Pair {
    pub far: Far<dyn Sessions>,
    pub near: Near,
    pub notices: Notices,
    pub clock: Clock,
    pub pace: Pace,
    /// A tombstone of nobody's, written at start: a store that does not know it has lost what it held.
    pub marker: SessionId,
    /// Whether the marker was written.
    pub is_marked: AtomicBool,
    /// Until then (unix milliseconds) other instances may still be writing back what the store has lost.
    pub settled: AtomicU64,
    /// Whether the keeper shall look into what the store may have lost.
    pub doubted: AtomicBool,
    /// Wakes the keeper.
    pub wake: Notify,
    when_away: WhenAway,
    pub lifetime: Duration,
}

impl Pair {
    pub fn new(far: Arc<dyn Sessions>, settings: &SharedSettings, clock: Clock, pace: Pace) -> Self {
        let chance = Chance::system();
        Self {
            far: Far::new(far, settings.timeout, clock.clone(), MEANWHILE),
            near: Near::new(settings.limit),
            notices: Notices::default(),
            clock,
            pace,
            marker: SessionId(u128::from(chance.next()) << 64 | u128::from(chance.next())),
            is_marked: AtomicBool::new(false),
            settled: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
            wake: Notify::new(),
            when_away: settings.when_away,
            lifetime: settings.lifetime,
        }
    }

    pub fn store(&self) -> &dyn Sessions {
        self.far.store()
    }

    pub async fn create(&self, id: SessionId, record: Record) -> Result<Created, StoreError> {
        if self.near.is_ended(id) {
            return Ok(Created::AlreadyExists);
        }
        match self.far.ask(self.store().create(id, record.clone())).await {
            Ok(Created::Done) => {
                self.near.take(id, &Arc::new(record), None);
                self.near.remember(self.clock.unix(), id, Change::Journal);
                Ok(Created::Done)
            }
            Err(StoreError::Unavailable { .. }) if self.when_away == WhenAway::Accept => {
                self.written_later(self.near.create_alone(id, record))
            }
            answer => answer,
        }
    }

    pub async fn load(&self, id: SessionId) -> Result<Lookup, StoreError> {
        if self.near.is_ended(id) {
            return Ok(Lookup::Ended);
        }
        match self.far.ask(self.load_far(id)).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Away::Settling.into()),
            Err(error) => match self.near.map().load(id) {
                Lookup::Unknown => Err(error),
                known => Ok(known),
            },
        }
    }

    /// `None` where the store does not know the session and may have lost it.
    async fn load_far(&self, id: SessionId) -> Result<Option<Lookup>, StoreError> {
        let before = self.near.live(id);
        let found = self.store().load(id).await?;
        let settled = self.settle(id, before.as_ref(), found).await?;
        let unsure = settled == Lookup::Unknown && (self.is_settling() || self.has_lost_its_marker().await?);
        Ok((!unsure).then_some(settled))
    }

    pub async fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Result<Moved, StoreError> {
        if self.near.is_ended(id) {
            return Ok(Moved::Gone);
        }
        let told = |moved: &Moved| match moved {
            Moved::Done => Told::Nothing,
            Moved::Lost(berth) => Told::At(berth.epoch),
            Moved::Gone => Told::Gone,
        };
        let ask = || self.store().moor(id, expected, berth.clone());
        match self.far.ask(self.mended(id, ask, told)).await {
            Ok(Some(Moved::Lost(lies))) => {
                self.hear_of_berth(id, &lies);
                Ok(Moved::Lost(lies))
            }
            Ok(Some(Moved::Done)) => {
                self.near.map().take_berth(id, &berth);
                self.near.remember(self.clock.unix(), id, Change::Berth);
                Ok(Moved::Done)
            }
            Ok(Some(Moved::Gone)) => Ok(Moved::Gone),
            Ok(None) => Err(Away::Settling.into()),
            Err(error @ StoreError::Unavailable { .. }) => {
                self.written_later(self.near.moor_alone(id, expected, &berth))?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    pub async fn note(&self, id: SessionId, edit: JournalEdit) -> Result<bool, StoreError> {
        if self.near.is_ended(id) {
            return Ok(false);
        }
        let told = |noted: &bool| if *noted { Told::Nothing } else { Told::Gone };
        let ask = || self.store().note(id, edit.clone());
        match self.far.ask(self.mended(id, ask, told)).await {
            Ok(Some(noted)) => {
                if noted {
                    // That the copy has no room for it is no reason to fail what the store has taken.
                    drop(self.near.map().note(id, edit));
                    self.near.remember(self.clock.unix(), id, Change::Journal);
                }
                Ok(noted)
            }
            Ok(None) => Err(Away::Settling.into()),
            Err(error @ StoreError::Unavailable { .. }) => {
                self.written_later(self.near.note_alone(id, edit))?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    pub async fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Result<Claimed, StoreError> {
        if self.near.is_ended(id) {
            return Ok(Claimed::Gone);
        }
        let told = |claimed: &Claimed| match claimed {
            Claimed::Yours | Claimed::Theirs => Told::Nothing,
            Claimed::Moved(berth) => Told::At(berth.epoch),
            Claimed::Gone => Told::Gone,
        };
        let ask = || self.store().claim(id, expected, lease);
        match self.far.ask(self.mended(id, ask, told)).await {
            Ok(Some(claimed)) => {
                match &claimed {
                    // Held here too, should the store go away before the move is done.
                    Claimed::Yours => drop(self.near.claim_alone(id, expected, lease)),
                    Claimed::Moved(berth) => self.hear_of_berth(id, berth),
                    Claimed::Theirs | Claimed::Gone => {}
                }
                Ok(claimed)
            }
            Ok(None) => Err(Away::Settling.into()),
            // It may have been granted, to this mover or to another: whoever asks again learns which.
            Err(StoreError::Unavailable { .. }) if !self.far.is_open() => Ok(Claimed::Theirs),
            Err(error @ StoreError::Unavailable { .. }) => self.near.claim_alone(id, expected, lease).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Gives the right back here for sure; in the store it ends with its lease, should the word not arrive.
    pub async fn release(&self, id: SessionId, mover: MoverId) -> Result<(), StoreError> {
        self.near.release_alone(id, mover);
        match self.far.ask(self.store().release(id, mover)).await {
            Err(StoreError::Unavailable { .. }) => Ok(()),
            answer => answer,
        }
    }

    pub async fn end(&self, id: SessionId, until: u64) -> Result<Option<Arc<Record>>, StoreError> {
        match self.far.ask(self.store().end(id, until)).await {
            Ok(was) => {
                self.near.end(id, until);
                self.near.remember(self.clock.unix(), id, Change::Berth);
                Ok(was)
            }
            Err(StoreError::Unavailable { .. }) => self.written_later(Ok(self.near.end_alone(id, until))),
            Err(error) => Err(error),
        }
    }

    pub async fn adopt(&self, id: SessionId, record: Record) -> Result<Lookup, StoreError> {
        if self.near.is_ended(id) {
            return Ok(Lookup::Ended);
        }
        match self.far.ask(self.store().adopt(id, record.clone())).await {
            Ok(found) => {
                self.learn(id, None, &found);
                self.near.remember(self.clock.unix(), id, Change::Berth);
                Ok(found)
            }
            Err(StoreError::Unavailable { .. }) => self.written_later(self.near.adopt_alone(id, record)),
            Err(error) => Err(error),
        }
    }

    pub async fn touch(&self, seen: &[Seen]) -> Result<Vec<(SessionId, Lookup)>, StoreError> {
        let mut news = Vec::new();
        for some in seen.chunks(TOUCH_AT_ONCE) {
            self.near.map().touch(some);
            match self.far.ask(self.store().touch(some)).await {
                Ok(told) => news.extend(told.into_iter().filter_map(|(id, found)| self.touched(id, found))),
                Err(StoreError::Unavailable { .. }) => news.extend(self.near.news(some)),
                Err(error) => return Err(error),
            }
        }
        Ok(news)
    }

    /// What the caller is told of what the store has told. A session that the store has lost it gets back.
    fn touched(&self, id: SessionId, found: Lookup) -> Option<(SessionId, Lookup)> {
        match (self.near.map().load(id), found) {
            (Lookup::Ended, Lookup::Ended) => Some((id, Lookup::Ended)),
            (Lookup::Ended, _) => {
                self.near.mark(id);
                self.doubt();
                Some((id, Lookup::Ended))
            }
            (Lookup::Live(_), Lookup::Unknown) => {
                self.near.mark(id);
                self.doubt();
                None
            }
            (Lookup::Unknown, Lookup::Unknown) if self.is_settling() => None,
            (_, found) => {
                self.learn(id, None, &found);
                Some((id, found))
            }
        }
    }

    /// Ends nothing while the store is away or has just come back: what others have used may not be written yet.
    pub async fn expire(&self, sweep: Sweep) -> Result<Vec<(SessionId, Arc<Record>)>, StoreError> {
        let answer = if self.is_settling() {
            Err(Away::Settling.into())
        } else {
            self.far.ask_at_length(self.store().expire(sweep)).await
        };
        let ended = match answer {
            Err(StoreError::Unavailable { .. }) => Vec::new(),
            answer => answer?,
        };
        for (id, record) in &ended {
            let until = record.created.saturating_add(sweep.lifetime.as_secs());
            if self.near.live(*id).is_some() {
                self.near.end(*id, until);
            }
        }
        self.near.shed(&sweep);
        Ok(ended)
    }

    /// Wakes the keeper for what was changed here alone, unless it waits for the store itself.
    fn written_later<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if !self.far.is_open() {
            self.wake.notify_one();
        }
        answer
    }
}
