//! The one task behind shared counters: says that this instance is there, finds out whether the store is back, and tells it
//! what was admitted meanwhile. Answers nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ledger::Debt;
use super::{Desk, difference};
use crate::store::StoreError;
use crate::store::counters::{Charge, Correction, SlotId};
use crate::store::far::Away;

/// So many debts are told at once.
const AT_ONCE: usize = 64;
/// After so long, requests go to a store that is back though not all was told yet.
const TELL_FIRST: Duration = Duration::from_secs(5);

/// Keeps the two sides together, for ever.
pub(super) async fn keep(desk: Arc<Desk>) {
    loop {
        // What fails here is counted by the breaker, and done again.
        let _ = desk.tend().await;
        if desk.far.is_open() || !desk.ledger.is_even() {
            tokio::time::sleep(desk.pace.probe).await;
        } else {
            drop(tokio::time::timeout(desk.pace.beat, desk.far.opened()).await);
        }
    }
}

impl Desk {
    async fn tend(&self) -> Result<(), StoreError> {
        self.beat().await?;
        self.tell().await?;
        if let Some(away) = self.far.close() {
            tracing::info!(away_ms = away.as_millis(), "store is back, and was told what was admitted meanwhile");
            // Those that were decided here while the last of it was told.
            self.tell().await?;
        }
        let forgotten = self.ledger.forgotten();
        if forgotten > 0 {
            tracing::warn!(forgotten, "too many counters to tell the store all that was admitted meanwhile");
        }
        Ok(())
    }

    async fn beat(&self) -> Result<(), StoreError> {
        let beat = self.far.try_anyway(self.store().beat()).await?;
        self.ahead.store(difference(self.clock.micros(), beat.at), Ordering::Relaxed);
        let instances = beat.instances.max(1);
        let before = self.instances.swap(instances, Ordering::Relaxed);
        if before != instances {
            tracing::debug!(before, instances, "another number of instances shares the limits");
        }
        Ok(())
    }

    /// Tells the store what it does not know.
    ///
    /// # Errors
    /// When the store does not answer; what it was certainly not told stays in the ledger.
    async fn tell(&self) -> Result<(), StoreError> {
        let started = self.clock.now();
        while self.clock.now().saturating_duration_since(started) < TELL_FIRST {
            let debts = self.ledger.some(AT_ONCE);
            if debts.is_empty() {
                break;
            }
            self.settle(debts).await?;
        }
        self.ledger.hand_over(|charge, slot| self.hand_over(charge, slot));
        Ok(())
    }

    async fn settle(&self, debts: Vec<Debt>) -> Result<(), StoreError> {
        let mine: Vec<Charge> = debts.iter().map(|debt| self.my(&debt.charge)).collect();
        let looked = self.near.look(&mine).await?;
        let (mut owed, mut back) = (Vec::new(), Vec::new());
        for ((debt, mine), standing) in debts.into_iter().zip(&mine).zip(&looked.standings) {
            if standing.blocked {
                let held = self.far.try_anyway(self.store().hold(&debt.charge, standing.retry_after)).await;
                if held.is_err() {
                    self.ledger.add(&debt.charge, 0);
                }
            }
            // What has been refilled since is owed no more.
            let open = mine.budget.most().saturating_sub(standing.remaining);
            let Debt { charge, spent } = debt;
            match u64::try_from(spent) {
                Ok(spent) => owed.push(Charge { cost: spent.min(open), ..charge }),
                Err(_) => back.push(Charge { cost: spent.unsigned_abs(), ..charge }),
            }
        }
        owed.retain(|charge| charge.cost > 0);
        let given_back = |charge| Correction::Cost { charge, at: self.there(self.clock.micros()), actual: 0 };
        self.store().correct(back.into_iter().map(given_back).collect());
        self.owe(owed).await
    }

    async fn owe(&self, debts: Vec<Charge>) -> Result<(), StoreError> {
        if debts.is_empty() {
            return Ok(());
        }
        let undone = self.far.try_anyway(async { Ok(self.store().owe(&debts).await) }).await?;
        for &which in &undone {
            let cost = debts[which].cost;
            self.ledger.add(&debts[which], i64::try_from(cost).unwrap_or(i64::MAX));
        }
        if undone.is_empty() { Ok(()) } else { Err(Away::Slow.into()) }
    }

    fn hand_over(&self, charge: &Charge, slot: SlotId) {
        self.store().keep(charge, slot);
        self.near.correct(vec![Correction::Slot { charge: self.my(charge), slot }]);
    }
}
