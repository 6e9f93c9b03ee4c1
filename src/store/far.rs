//! The way to a far store, and the breaker in it: every call has a bound, and a store that has not answered a few times
//! in a row is not asked any more until whoever keeps it has found it back. Knows nothing of what is asked.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::StoreError;
use crate::clock::Clock;

/// So many calls in a row must fail before the store is taken to be away.
const FAILURES: u32 = 3;
/// Work that no request waits for may take so many times the bound of one call.
const AT_LENGTH: u32 = 20;

/// Why the far store has not answered, where that is our own word.
#[derive(Debug, thiserror::Error)]
pub(super) enum Away {
    #[error("the store is away")]
    Open,
    #[error("the store did not answer in time")]
    Slow,
    #[error("the store has just come back, and other instances may still be writing to it")]
    Settling,
}

impl From<Away> for StoreError {
    fn from(away: Away) -> Self {
        Self::Unavailable { source: Arc::new(away) }
    }
}

/// A far store behind its breaker.
#[derive(Debug)]
pub(super) struct Far<S: ?Sized> {
    store: Arc<S>,
    /// The bound of one call.
    timeout: Duration,
    clock: Clock,
    /// What happens while it is away, for the log.
    meanwhile: &'static str,
    /// Calls that failed since one was answered.
    failures: AtomicU32,
    /// Whether calls have failed and others were answered after them: what the store was told before may be lost.
    stumbled: AtomicBool,
    /// Whether the breaker is open. Watched by calls under way, which then wait no longer.
    open: watch::Sender<bool>,
    /// Since when it is open. Guards nothing else; taken when it opens and closes.
    since: Mutex<Option<Instant>>,
}

impl<S: ?Sized> Far<S> {
    pub fn new(store: Arc<S>, timeout: Duration, clock: Clock, meanwhile: &'static str) -> Self {
        let open = watch::Sender::new(false);
        let (failures, stumbled) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { store, timeout, clock, meanwhile, failures, stumbled, open, since: Mutex::new(None) }
    }

    /// The store itself, for work that is then given to one of the methods below.
    pub fn store(&self) -> &S {
        &self.store
    }

    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Until the breaker is open.
    pub async fn opened(&self) {
        // The sender lives as long as this call.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Does what a caller asks for, within the bound of one call; not at all while the breaker is open.
    pub async fn ask<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.ask_bounded(within(self.timeout, work)).await
    }

    /// The same for work that bounds itself.
    pub async fn ask_bounded<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let before = self.failures.load(Ordering::Relaxed);
        let mut opens = self.open.subscribe();
        if *opens.borrow_and_update() {
            return Err(Away::Open.into());
        }
        let answer = tokio::select! {
            biased;
            answer = work => answer,
            // The sender lives as long as this call: that it is gone cannot be the reason.
            _ = opens.wait_for(|open| *open) => return Err(Away::Open.into()),
        };
        self.count(before, answer)
    }

    /// The same as [`Self::ask`] for work that no request waits for.
    pub async fn ask_at_length<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.ask_bounded(within(self.timeout * AT_LENGTH, work)).await
    }

    /// Its keeper's way: past the breaker, and within the bound that work has which no request waits for.
    pub async fn try_anyway<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let before = self.failures.load(Ordering::Relaxed);
        self.count(before, within(self.timeout * AT_LENGTH, work).await)
    }

    fn count<T>(&self, before: u32, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Unavailable { source }) = &answer {
            if self.fails_again(before) {
                self.open(source.as_ref());
            }
        } else if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.stumbled.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Counts a failure. Calls that were under way at the same time and fail together are one stall, on this machine as
    /// likely as on the store's, and count once: `before` is what was counted when the call began.
    fn fails_again(&self, before: u32) -> bool {
        let counted = self.failures.compare_exchange(before, before + 1, Ordering::Relaxed, Ordering::Relaxed);
        counted.is_ok() && before + 1 >= FAILURES
    }

    /// Whether the store has failed and answered again since this was asked last.
    pub fn has_stumbled(&self) -> bool {
        self.stumbled.swap(false, Ordering::Relaxed)
    }

    fn open(&self, reason: &(dyn std::error::Error + Send + Sync)) {
        let opened = self.open.send_if_modified(|open| !std::mem::replace(open, true));
        if opened {
            *self.since() = Some(self.clock.now());
            tracing::warn!(reason = %reason, "store is away: {}", self.meanwhile);
        }
    }

    /// Lets calls through again. For how long they were not, if they were not.
    pub fn close(&self) -> Option<Duration> {
        self.failures.store(0, Ordering::Relaxed);
        let closed = self.open.send_if_modified(|open| std::mem::replace(open, false));
        let since = self.since().take().filter(|_| closed)?;
        Some(self.clock.now().saturating_duration_since(since))
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing that holds the lock leaves its value half changed.
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn within<T>(bound: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(bound, work).await.unwrap_or_else(|_| Err(Away::Slow.into()))
}
