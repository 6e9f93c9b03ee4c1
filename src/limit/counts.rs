//! What is counted of each limit. It outlives the configuration: a limit that keeps its name goes on where it was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::queue::Turned;
use super::rules::Unit;
use crate::clock::Clock;
use crate::meter::{Counter, Gauge, Histogram};

/// Names that are remembered at most, over all configurations that there were.
const MOST_NAMES: usize = 1024;

/// What one limit has done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests that it applied to and that were let through.
    pub admitted: Counter,
    /// Requests that it refused, by the place of the reason in [`Reason::ALL`].
    pub refused: [Counter; Reason::ALL.len()],
    /// Requests that had to wait for their turn.
    pub waits: Waits,
    /// An upstream has said that it wants to be left alone.
    pub pauses: Counter,
}

/// Why a limit has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The rate is used up.
    Rate,
    /// The tokens are.
    Tokens,
    /// The account is blocked for having gone on.
    Blocked,
    /// The upstream wants to be left alone.
    Paused,
    /// As many run as may, and nobody waits.
    Running,
    /// As many run as may, and as many wait.
    QueueFull,
    /// None of those that run has ended in time.
    QueueLate,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Rate, Self::Tokens, Self::Blocked, Self::Paused, Self::Running, Self::QueueFull, Self::QueueLate];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Tokens => "tokens",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::QueueFull => "queue_full",
            Self::QueueLate => "queue_late",
        }
    }

    /// Why an account that counts so has refused; whether it was blocked, and could be.
    pub(super) const fn of(unit: Unit, blocked: bool, can_block: bool, turned: Option<Turned>) -> Self {
        match (unit, turned) {
            (Unit::Pause, _) => Self::Paused,
            (Unit::Calls(_) | Unit::Tokens(..), _) if blocked && can_block => Self::Blocked,
            (Unit::Calls(_) | Unit::Tokens(..), _) if blocked => Self::Paused,
            (Unit::Calls(_), _) => Self::Rate,
            (Unit::Tokens(..), _) => Self::Tokens,
            (Unit::Running(..), None) => Self::Running,
            (Unit::Running(..), Some(Turned::Full)) => Self::QueueFull,
            (Unit::Running(..), Some(Turned::Late)) => Self::QueueLate,
        }
    }
}

impl Counts {
    pub(super) fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].increment();
    }
}

/// Requests that wait for their turn.
#[derive(Debug, Default)]
pub struct Waits {
    /// How many do now.
    pub now: Gauge,
    /// How long it took, whatever came of it.
    pub took: Histogram,
}

/// One request that waits, until it is dropped.
pub(super) struct Waiting<'a> {
    waits: &'a Waits,
    clock: &'a Clock,
    since: Instant,
}

impl Waits {
    pub(super) fn begin<'a>(&'a self, clock: &'a Clock) -> Waiting<'a> {
        self.now.change(1);
        Waiting { waits: self, clock, since: clock.now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waits.now.change(-1);
        self.waits.took.observe(self.clock.now().saturating_duration_since(self.since));
    }
}

/// The counts of all limits that there were.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Guards a table of names; taken when a configuration is read.
    by_name: Mutex<HashMap<Box<str>, Arc<Counts>>>,
}

impl Ledger {
    /// The counts under this name. Beyond the bound they are the configuration's own.
    pub fn of(&self, name: &str) -> Arc<Counts> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = by_name.get(name) {
            return Arc::clone(counts);
        }
        let counts = Arc::<Counts>::default();
        if by_name.len() < MOST_NAMES {
            by_name.insert(name.into(), Arc::clone(&counts));
        }
        counts
    }
}
