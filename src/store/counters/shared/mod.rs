//! Counters that several instances share, and what applies while their store is away: each instance enforces its share in
//! its own memory, or refuses, or admits. Owns the breaker's use, the number of instances, and the way back: what was
//! admitted meanwhile is charged to the store without a question. Speaks no store's language.

mod keeper;
mod ledger;
mod shares;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use smallvec::SmallVec;

use self::ledger::Ledger;
use self::shares::Shares;
use super::{Charge, Correction, Counters, Measure, Micros, SlotId, Soon, Taken};
use crate::clock::Clock;
use crate::config::LimitsAway;
use crate::store::far::{Away, Far};
use crate::store::{Answer, BoxFuture, StoreError};
use crate::tasks::{self, Task};

/// What happens while the store is away.
const MEANWHILE: &str = "limits apply as `limits.when_away` says";
/// What a store says of the time and of those who use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Its own clock.
    pub at: Micros,
    /// How many instances have said of late that they are there, this one included.
    pub instances: u32,
}

/// Counters in a store that several instances share, with what an instance needs that could not ask it for a while. Every
/// call bounds itself in time.
pub trait Distant: Counters {
    /// Says that this instance is there.
    fn beat(&self) -> Answer<'_, Beat>;

    /// Makes charges of rates that were admitted elsewhere, whatever the counters say. Which were certainly not made.
    fn owe<'a>(&'a self, debts: &'a [Charge]) -> BoxFuture<'a, Vec<usize>>;

    /// Takes a slot that is held already, soon and without a question, until [`Correction::Slot`] gives it back.
    fn keep(&self, charge: &Charge, slot: SlotId);
}

/// What the breaker goes by, and how often the store is looked after.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// While the store is away it is asked so often whether it is back.
    probe: Duration,
    /// So often it is told that this instance is there.
    beat: Duration,
}

const PACE: Pace = Pace { probe: Duration::from_millis(250), beat: Duration::from_secs(2) };

/// Shared counters, and this instance's own for when they are away.
pub struct Shared {
    desk: Arc<Desk>,
    _keeper: Task,
}

/// All but the task.
struct Desk {
    far: Far<dyn Distant>,
    near: Arc<dyn Counters>,
    when_away: ArcSwap<LimitsAway>,
    clock: Clock,
    /// How many instances there were when that was known last; at least 1.
    instances: AtomicU32,
    /// By how many microseconds the store's clock is before this instance's.
    ahead: AtomicI64,
    shares: Shares,
    ledger: Ledger,
    pace: Pace,
}

impl Shared {
    /// Stands before `far`; `near` counts by `clock` while `far` is away. `timeout` is the store's.
    /// Needs a runtime, on which its one task lives until this is dropped.
    #[must_use]
    pub fn start(
        far: Arc<dyn Distant>,
        near: Arc<dyn Counters>,
        (timeout, when_away): (Duration, LimitsAway),
        clock: Clock,
    ) -> Self {
        Self::start_at(PACE, (far, near), (timeout, when_away), clock)
    }

    fn start_at(
        pace: Pace,
        (far, near): (Arc<dyn Distant>, Arc<dyn Counters>),
        (timeout, when_away): (Duration, LimitsAway),
        clock: Clock,
    ) -> Self {
        let desk = Arc::new(Desk {
            far: Far::new(far, timeout, clock.clone(), MEANWHILE),
            near,
            when_away: ArcSwap::from_pointee(when_away),
            clock,
            instances: AtomicU32::new(1),
            ahead: AtomicI64::new(0),
            shares: Shares::default(),
            ledger: Ledger::default(),
            pace,
        });
        let keeper = tasks::spawn("limits keeper", keeper::keep(Arc::clone(&desk)));
        Self { desk, _keeper: keeper }
    }

    /// Takes another answer to what applies while the store is away.
    pub fn reconfigure(&self, when_away: LimitsAway) {
        self.desk.when_away.store(Arc::new(when_away));
    }

    /// Whether the store is taken to be away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.desk.far.is_open()
    }
}

impl Desk {
    fn store(&self) -> &dyn Distant {
        self.far.store()
    }

    fn instances(&self) -> NonZeroU32 {
        NonZeroU32::new(self.instances.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    async fn take(&self, charges: &[Charge], slot: SlotId) -> Result<Taken, StoreError> {
        if self.far.is_open() {
            return self.take_near(charges, slot).await;
        }
        match self.far.ask_bounded(self.store().take(charges, slot)).await {
            Err(StoreError::Unavailable { .. }) => self.take_near(charges, slot).await,
            answer => answer,
        }
    }

    /// Decides here.
    async fn take_near(&self, charges: &[Charge], slot: SlotId) -> Result<Taken, StoreError> {
        match **self.when_away.load() {
            LimitsAway::Refuse => return Err(Away::Open.into()),
            LimitsAway::Admit => {
                return Ok(Taken { refused: None, standings: SmallVec::new(), at: self.there(self.clock.micros()) });
            }
            LimitsAway::Share => {}
        }
        let mine = self.mine(charges);
        let taken = self.near.take(&mine, slot).await?;
        match taken.refused {
            None => self.ledger.enter(charges, slot),
            // A block has begun, perhaps: the others shall know.
            Some(which) if taken.standings.get(which).is_some_and(|standing| standing.blocked) => {
                self.ledger.add(&charges[which], 0);
            }
            Some(_) => {}
        }
        Ok(Taken { at: self.there(taken.at), ..taken })
    }

    fn correct(&self, corrections: Vec<Correction>) {
        let is_open = self.far.is_open();
        if !is_open && !self.ledger.has_slots() {
            return self.store().correct(corrections);
        }
        let (mut far, mut near) = (Vec::new(), Vec::new());
        for correction in corrections {
            match correction {
                Correction::Slot { charge, slot } => {
                    if self.ledger.give_back(&charge, slot) {
                        near.push(Correction::Slot { charge: self.my(&charge), slot });
                    }
                    // It may have been taken there before, or without our hearing of it.
                    far.push(Correction::Slot { charge, slot });
                }
                Correction::Cost { charge, at, actual } if is_open => {
                    if **self.when_away.load() == LimitsAway::Share {
                        self.ledger.add(&charge, difference(charge.cost, actual));
                        near.push(Correction::Cost { charge: self.my(&charge), at: self.here(at), actual });
                    }
                }
                cost => far.push(cost),
            }
        }
        self.near.correct(near);
        self.store().correct(far);
    }

    async fn hold(&self, charge: &Charge, lasts: Duration) -> Result<(), StoreError> {
        // Here too, for when the store goes away meanwhile.
        self.near.hold(&self.my(charge), lasts).await?;
        match self.far.ask(self.store().hold(charge, lasts)).await {
            Err(StoreError::Unavailable { .. }) => {
                self.ledger.add(charge, 0);
                Ok(())
            }
            answer => answer,
        }
    }

    async fn lift(&self, charge: &Charge) -> Result<bool, StoreError> {
        let here = self.near.lift(&self.my(charge)).await?;
        Ok(self.far.ask(self.store().lift(charge)).await? || here)
    }

    async fn look(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let answer = self.far.ask(self.store().look(charges)).await;
        if matches!(answer, Err(StoreError::Unavailable { .. })) && **self.when_away.load() == LimitsAway::Share {
            let taken = self.near.look(&self.mine(charges)).await?;
            return Ok(Taken { at: self.there(taken.at), ..taken });
        }
        answer
    }

    /// The charge to this instance's share.
    fn my(&self, charge: &Charge) -> Charge {
        Charge { budget: self.shares.of(&charge.budget, self.instances()), ..*charge }
    }

    fn mine(&self, charges: &[Charge]) -> SmallVec<[Charge; 8]> {
        charges.iter().map(|charge| self.my(charge)).collect()
    }

    /// A moment of this instance's clock by the store's.
    fn there(&self, at: Micros) -> Micros {
        at.saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    /// A moment of the store's clock by this instance's.
    fn here(&self, at: Micros) -> Micros {
        at.saturating_add_signed(self.ahead.load(Ordering::Relaxed).saturating_neg())
    }
}

/// By how much more `actual` is.
fn difference(charged: u64, actual: u64) -> i64 {
    let signed = |cost: u64| i64::try_from(cost).unwrap_or(i64::MAX);
    signed(actual).saturating_sub(signed(charged))
}

fn is_slots(charge: &Charge) -> bool {
    matches!(charge.budget.measure, Measure::Slots(_))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("instances", &self.instances())
            .field("away", &self.is_away())
            .finish_non_exhaustive()
    }
}

impl Counters for Shared {
    fn take<'a>(&'a self, charges: &'a [Charge], slot: SlotId) -> Soon<'a, Result<Taken, StoreError>> {
        Soon::Later(Box::pin(self.desk.take(charges, slot)))
    }

    fn correct(&self, corrections: Vec<Correction>) {
        self.desk.correct(corrections);
    }

    fn hold<'a>(&'a self, charge: &'a Charge, lasts: Duration) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.desk.hold(charge, lasts))
    }

    fn lift<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.desk.lift(charge))
    }

    fn look<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Result<Taken, StoreError>> {
        Box::pin(self.desk.look(charges))
    }

    fn instances(&self) -> NonZeroU32 {
        self.desk.instances()
    }
}
