//! Stores whose every operation is timed and counted: stands before a store that is worth it (on a disk, or over a network), and
//! changes nothing of what it says.

mod counters;
mod results;
mod sessions;

use std::sync::Arc;

use super::StoreError;
use crate::clock::Clock;
use crate::meter::{Counter, Family, Histogram};

/// Operations that are told apart at most.
const MOST: usize = 32;

/// What was counted of one store.
#[derive(Debug)]
pub struct Pulse {
    operations: Family<&'static str, Operation>,
    clock: Clock,
}

/// What was counted of one operation.
#[derive(Debug, Default)]
pub struct Operation {
    /// How long it took, well or badly.
    pub took: Histogram,
    /// How often it failed, or took too long for whoever waited.
    pub failed: Counter,
}

/// A store whose operations are timed.
#[derive(Debug)]
pub struct Measured<S: ?Sized> {
    store: Arc<S>,
    pulse: Arc<Pulse>,
}

impl Pulse {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { operations: Family::new(MOST), clock })
    }

    /// Each operation that was ever asked for, by its name.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, &Operation)> {
        self.operations.all().map(|(name, operation)| (name.copied().unwrap_or("other"), operation))
    }

    /// Does something, times it, and counts it as failed unless it ends well. Whoever gives up waiting drops it: that is a failure too.
    async fn time<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut beat =
            Beat { operation: self.operations.of(name), clock: &self.clock, since: self.clock.now(), well: false };
        let answer = work.await;
        // What else may go wrong is a word about what was asked.
        beat.well = !matches!(answer, Err(StoreError::Unavailable { .. } | StoreError::Corrupt { .. }));
        answer
    }
}

/// One operation under way, until it is dropped.
struct Beat<'a> {
    operation: &'a Operation,
    clock: &'a Clock,
    since: std::time::Instant,
    well: bool,
}

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        self.operation.took.observe(self.clock.now().saturating_duration_since(self.since));
        if !self.well {
            self.operation.failed.increment();
        }
    }
}

impl<S: ?Sized> Measured<S> {
    /// Stands before `store`.
    #[must_use]
    pub const fn new(store: Arc<S>, pulse: Arc<Pulse>) -> Self {
        Self { store, pulse }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_fails_and_what_is_given_up_counts_as_failed() {
        let clock = Clock::manual();
        let pulse = Pulse::new(clock.clone());
        let away = || StoreError::Unavailable { source: Arc::new(std::fmt::Error) };
        assert!(pulse.time("load", ready(Ok(1))).now_or_never().is_some());
        assert!(pulse.time("load", ready(Err::<(), _>(away()))).now_or_never().is_some());
        assert!(pulse.time("load", ready(Err::<(), _>(StoreError::Full { limit: 1 }))).now_or_never().is_some());
        let mut late = Box::pin(pulse.time("touch", pending::<Result<(), StoreError>>()));
        assert!(late.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        drop(late);
        let seen: Vec<_> = pulse
            .operations()
            .map(|(name, operation)| (name, operation.took.snapshot().count(), operation.failed.get()))
            .collect();
        assert!(seen.contains(&("load", 3, 1)) && seen.contains(&("touch", 1, 1)), "{seen:?}");
    }
}
