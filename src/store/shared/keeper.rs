//! The one task behind a shared store: finds out whether the store is back, writes back what it has not taken, and
//! compares now and then what it could have lost without anybody's noticing. Answers nobody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::near::{Change, Unmarked};
use super::pair::Pair;
use crate::names::SessionId;
use crate::store::map::Slot;
use crate::store::{JournalEdit, StoreError};

/// So many calls of the keeper are under way at the same time.
const AT_ONCE: usize = 64;
/// So many sessions are written before it is looked again which are to be.
const IN_ONE_GO: usize = 4096;
/// What has changed within so many seconds a failover may have lost.
const OF_LATE: u64 = 60;
/// After so long, calls go to a store that is back though not everything was compared yet.
const WRITE_FIRST: Duration = Duration::from_secs(5);
/// How long the marker stands, in seconds. It is written anew when half of that is over.
const MARKER_STANDS: u64 = 86_400;

/// Keeps the two sides together, for ever.
pub(super) async fn keep(pair: Arc<Pair>) {
    let mut due = pair.clock.now();
    let mut marked = 0;
    loop {
        // What fails here is counted by the breaker, and done again.
        let _ = pair.tend(&mut due, &mut marked).await;
        drop(tokio::time::timeout(pair.pace.probe, pair.wake.notified()).await);
    }
}

impl Pair {
    async fn tend(&self, due: &mut Instant, marked: &mut u64) -> Result<(), StoreError> {
        if self.far.is_open() {
            return self.come_back(marked).await;
        }
        if self.take_doubt() | self.far.has_stumbled() {
            self.look_into_it(marked).await.inspect_err(|_| self.doubt_still())?;
        }
        self.write_back().await?;
        if self.clock.now() >= *due {
            self.round(marked).await?;
            *due = self.clock.now() + self.pace.round;
        }
        Ok(())
    }

    /// The store was away. If it answers again it is told everything, and then others may ask it.
    async fn come_back(&self, marked: &mut u64) -> Result<(), StoreError> {
        self.far.try_anyway(self.has_lost_its_marker()).await?;
        self.mark(marked).await?;
        self.merge_rings_if_it_will().await?;
        let started = self.clock.now();
        self.write_back().await?;
        let mut ids = self.near.map().ids();
        let known = ids.len();
        while !ids.is_empty() && self.clock.now().saturating_duration_since(started) < WRITE_FIRST {
            let rest = ids.split_off(ids.len().min(IN_ONE_GO));
            self.compare(&ids).await?;
            ids = rest;
        }
        self.write_back().await?;
        self.begin_to_settle();
        if let Some(away) = self.far.close() {
            tracing::info!(away_ms = away.as_millis(), known, "store is back, and was told what this instance knows");
        }
        // For these there was no time, and for whatever was changed here alone while the last of it was written.
        self.to_be_written(ids);
        self.wake.notify_one();
        Ok(())
    }

    /// The store may have lost something while it seemed to be there.
    async fn look_into_it(&self, marked: &mut u64) -> Result<(), StoreError> {
        if self.far.try_anyway(self.has_lost_its_marker()).await? {
            tracing::warn!("store has lost what it held: it is told what this instance knows");
            self.to_be_written(self.near.map().ids());
            self.mark(marked).await?;
            self.take_doubt();
        } else {
            let since = self.clock.unix().saturating_sub(OF_LATE);
            self.to_be_written(self.near.changed_since(since, |_| true));
        }
        self.merge_rings_if_it_will().await
    }

    fn to_be_written(&self, ids: impl IntoIterator<Item = SessionId>) {
        ids.into_iter().for_each(|id| self.near.mark(id));
    }

    /// What nobody would notice otherwise: that the store lost everything while nobody asked, or the latest moves and ends.
    async fn round(&self, marked: &mut u64) -> Result<(), StoreError> {
        if self.far.try_anyway(self.has_lost_its_marker()).await? {
            return Ok(());
        }
        if self.clock.unix() > *marked + MARKER_STANDS / 2 {
            self.mark(marked).await?;
        }
        self.merge_rings_if_it_will().await?;
        let since = self.clock.unix().saturating_sub(OF_LATE.max(2 * self.pace.round.as_secs()));
        let moved: BTreeSet<_> = self.near.changed_since(since, |change| change == Change::Berth);
        self.compare(&moved.into_iter().collect::<Vec<_>>()).await
    }

    /// A ring that the store cannot read shall not keep all the rest from it.
    async fn merge_rings_if_it_will(&self) -> Result<(), StoreError> {
        match self.merge_rings().await {
            Err(error) if !matches!(error, StoreError::Unavailable { .. }) => {
                tracing::warn!(%error, "the sealing keys could not be merged");
                Ok(())
            }
            answer => answer,
        }
    }

    async fn mark(&self, marked: &mut u64) -> Result<(), StoreError> {
        let now = self.clock.unix();
        self.far.try_anyway(self.store().end(self.marker, now + MARKER_STANDS)).await?;
        self.is_marked.store(true, Ordering::Relaxed);
        *marked = now;
        Ok(())
    }

    /// Writes all that the store has not taken, endings first.
    ///
    /// # Errors
    /// When the store does not answer; what it has not taken stays marked.
    pub async fn write_back(&self) -> Result<(), StoreError> {
        // What is marked meanwhile waits for the next time, so that this has an end.
        let mut left = self.near.count_unwritten();
        while left > 0 {
            let mut ids = self.near.unwritten(IN_ONE_GO.min(left));
            if ids.is_empty() {
                return Ok(());
            }
            left -= ids.len();
            ids.sort_by_key(|id| !self.near.is_ended(*id));
            for some in ids.chunks(AT_ONCE) {
                let written = join_all(some.iter().map(|id| self.write(*id))).await;
                written.into_iter().collect::<Result<(), _>>()?;
            }
        }
        Ok(())
    }

    async fn write(&self, id: SessionId) -> Result<(), StoreError> {
        let Some(unmarked) = self.near.unmark(id) else { return Ok(()) };
        match self.far.try_anyway(self.write_one(id, &unmarked)).await {
            Err(error @ StoreError::Unavailable { .. }) => return Err(error),
            // The store will not have it: it lives on here, and the next change tries again.
            Err(error) => tracing::warn!(session = %id, %error, "a session could not be written back"),
            Ok(()) => {}
        }
        unmarked.settled();
        Ok(())
    }

    async fn write_one(&self, id: SessionId, unmarked: &Unmarked<'_>) -> Result<(), StoreError> {
        match self.near.slot(id) {
            None => Ok(()),
            Some(Slot::Ended { until }) => self.end_again(id, until).await,
            Some(Slot::Live(held)) => {
                for uri in unmarked.unsubscribed() {
                    self.store().note(id, JournalEdit::Unsubscribe(uri.clone())).await?;
                }
                self.give_back(id, &held).await.map(drop)
            }
        }
    }

    /// Compares sessions with what the store holds, and gives it what it has lost.
    async fn compare(&self, ids: &[SessionId]) -> Result<(), StoreError> {
        for some in ids.chunks(AT_ONCE) {
            let compared = join_all(some.iter().map(|id| self.far.try_anyway(self.compare_one(*id)))).await;
            let unavailable = |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Unavailable { .. }));
            compared.into_iter().find(unavailable).unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    async fn compare_one(&self, id: SessionId) -> Result<(), StoreError> {
        let Some(slot) = self.near.slot(id) else { return Ok(()) };
        let before = if let Slot::Live(held) = &slot { Some(held) } else { None };
        let found = self.store().load(id).await?;
        self.settle(id, before, found).await.map(drop)
    }
}
