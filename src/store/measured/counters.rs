//! Counters that instances share, timed.

use std::num::NonZeroU32;

use super::Measured;
use crate::store::counters::shared::{Beat, Distant};
use crate::store::counters::{Charge, Correction, Counters, SlotId, Soon, Taken};
use crate::store::{Answer, BoxFuture, StoreError};

impl<S: Distant + ?Sized> Counters for Measured<S> {
    fn take<'a>(&'a self, charges: &'a [Charge], slot: SlotId) -> Soon<'a, Result<Taken, StoreError>> {
        Soon::Later(Box::pin(self.pulse.time("take", self.store.take(charges, slot))))
    }

    /// Nobody waits for it.
    fn correct(&self, corrections: Vec<Correction>) {
        self.store.correct(corrections);
    }

    fn hold<'a>(&'a self, charge: &'a Charge, lasts: std::time::Duration) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.pulse.time("hold", self.store.hold(charge, lasts)))
    }

    fn lift<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.pulse.time("lift", self.store.lift(charge)))
    }

    fn instances(&self) -> NonZeroU32 {
        self.store.instances()
    }

    fn look<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Result<Taken, StoreError>> {
        Box::pin(self.pulse.time("look", self.store.look(charges)))
    }
}

impl<S: Distant + ?Sized> Distant for Measured<S> {
    fn beat(&self) -> Answer<'_, Beat> {
        Box::pin(self.pulse.time("beat", self.store.beat()))
    }

    /// Never an error: what was not made is named.
    fn owe<'a>(&'a self, debts: &'a [Charge]) -> BoxFuture<'a, Vec<usize>> {
        self.store.owe(debts)
    }

    fn keep(&self, charge: &Charge, slot: SlotId) {
        self.store.keep(charge, slot);
    }
}
