//! What the far store has lost, and what this instance does not know yet: compared, given back, taken over, told. Where
//! the two differ: what has ended stays ended, the higher epoch wins, and of the same epoch the far store's berth stands.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::near::Change;
use super::pair::Pair;
use crate::names::{Epoch, SessionId};
use crate::store::map::{Slot, Took};
use crate::store::{Answer, Berth, Lookup, Notice, Record, StoreError};

/// What an answer says about where a session lies.
pub(super) enum Told {
    /// Nothing that is worth comparing.
    Nothing,
    At(Epoch),
    Gone,
}

impl Pair {
    /// Asks, and once more if the answer shows that the store has lost what is known here, after giving it back. `None` where
    /// it says that the session is gone and may have lost it.
    pub async fn mended<'a, T>(
        &'a self,
        id: SessionId,
        ask: impl Fn() -> Answer<'a, T> + Send,
        told: fn(&T) -> Told,
    ) -> Result<Option<T>, StoreError> {
        let answer = ask().await?;
        let held = self.near.live(id);
        let lost = match (told(&answer), &held) {
            (Told::At(epoch), Some(held)) => held.berth.epoch > epoch,
            (Told::Gone, Some(_)) => true,
            (Told::Gone, None) if self.is_settling() && !self.near.is_ended(id) => return Ok(None),
            (Told::Nothing, _) | (Told::At(_) | Told::Gone, None) => false,
        };
        let Some(held) = held.filter(|_| lost) else { return Ok(Some(answer)) };
        self.doubt();
        let _ = self.give_back(id, &held).await?;
        ask().await.map(Some)
    }

    /// Compares what the store has found with what is known here, and gives it what it has lost. What holds then.
    pub async fn settle(
        &self,
        id: SessionId,
        before: Option<&Arc<Record>>,
        found: Lookup,
    ) -> Result<Lookup, StoreError> {
        let slot = self.near.slot(id);
        match (slot, found) {
            (Some(Slot::Ended { .. }), Lookup::Ended) => Ok(Lookup::Ended),
            (Some(Slot::Ended { until }), _) => {
                self.end_again(id, until).await?;
                Ok(Lookup::Ended)
            }
            (Some(Slot::Live(held)), Lookup::Unknown) => {
                self.doubt();
                self.give_back(id, &held).await
            }
            (Some(Slot::Live(held)), Lookup::Live(found)) if held.berth.epoch > found.berth.epoch => {
                self.give_back(id, &held).await
            }
            (_, found) => {
                self.learn(id, before, &found);
                // What is not written yet is in the copy alone.
                Ok(self.near.live(id).map_or(found, Lookup::Live))
            }
        }
    }

    /// Writes a session to the store again, and takes over what it holds then. A failover may lose that too.
    pub async fn give_back(&self, id: SessionId, held: &Arc<Record>) -> Result<Lookup, StoreError> {
        let found = self.store().adopt(id, Record::clone(held)).await?;
        self.learn(id, Some(held), &found);
        self.near.remember(self.clock.unix(), id, Change::Berth);
        Ok(found)
    }

    /// Ends a session in the store that has ended here. A failover may lose that too.
    pub async fn end_again(&self, id: SessionId, until: u64) -> Result<(), StoreError> {
        self.store().end(id, until).await?;
        self.near.remember(self.clock.unix(), id, Change::Berth);
        Ok(())
    }

    /// Takes over what the store holds, and tells the listener where that is news.
    pub fn learn(&self, id: SessionId, before: Option<&Arc<Record>>, found: &Lookup) {
        match found {
            Lookup::Live(record) => {
                if self.near.take(id, record, before) == Took::Moved {
                    self.notices.tell(Notice::Moved(id, record.berth.clone()));
                }
            }
            Lookup::Ended => {
                if self.end_here(id) {
                    self.notices.tell(Notice::Ended(id));
                }
            }
            Lookup::Unknown => {}
        }
    }

    /// The store has ended the session: so it is ended here, if it is known here. Whether it was.
    pub fn end_here(&self, id: SessionId) -> bool {
        let until = |record: &Record| record.created.saturating_add(self.lifetime.as_secs());
        self.near.live(id).and_then(|held| self.near.end(id, until(&held))).is_some()
    }

    /// The store has named another berth than was known here.
    pub fn hear_of_berth(&self, id: SessionId, berth: &Berth) {
        if self.near.map().take_berth(id, berth) {
            self.notices.tell(Notice::Moved(id, berth.clone()));
        }
    }

    /// Whether other instances may still be writing back what the store has lost.
    pub fn is_settling(&self) -> bool {
        self.settled.load(Ordering::Relaxed) > self.clock.unix_millis()
    }

    /// The store is back, or empty: others need a while, too.
    pub fn begin_to_settle(&self) {
        let settle = u64::try_from(self.pace.settle.as_millis()).unwrap_or(u64::MAX);
        self.settled.store(self.clock.unix_millis().saturating_add(settle), Ordering::Relaxed);
    }

    /// Whether the store has lost what it held.
    pub async fn has_lost_its_marker(&self) -> Result<bool, StoreError> {
        let lost = self.is_marked.load(Ordering::Relaxed) && self.store().load(self.marker).await? == Lookup::Unknown;
        if lost {
            self.begin_to_settle();
            self.doubt();
        }
        Ok(lost)
    }

    /// The keeper shall look into what the store may have lost, at once.
    pub fn doubt(&self) {
        self.doubt_still();
        self.wake.notify_one();
    }

    /// The same, when it looks the next time.
    pub fn doubt_still(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
    }

    /// The next thing that is news: of another instance's doing, or found out here.
    pub async fn hear(&self) -> Notice {
        loop {
            let notice = tokio::select! {
                notice = self.notices.next() => return notice,
                notice = self.store().hear() => notice,
            };
            if self.is_news(&notice) {
                return notice;
            }
        }
    }

    /// Takes a notice over. Not what is known better here; and where two berths of one epoch are told of, the store is asked.
    fn is_news(&self, notice: &Notice) -> bool {
        let (id, berth) = match notice {
            Notice::Moved(id, berth) => (*id, berth),
            Notice::Ended(id) => {
                self.end_here(*id);
                return true;
            }
            Notice::Keys | Notice::Orders => return true,
        };
        let Some(held) = self.near.live(id) else { return !self.near.is_ended(id) };
        if held.berth.epoch == berth.epoch && held.berth != *berth {
            self.near.mark(id);
            self.wake.notify_one();
            return false;
        }
        self.near.map().take_berth(id, berth);
        held.berth.epoch <= berth.epoch
    }
}
