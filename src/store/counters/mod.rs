//! Counters: what has been spent of each budget, by whom. Owns the trait and its vocabulary. A counter is one budget's
//! account for one subject (a caller, an address, a tool, …). Knows no protocol and no configuration file.
//!
//! Time is in whole microseconds since 1970. What a cost means in time is exact to the fraction (`gcra`), windows slide in
//! steps (`window`): the same integer arithmetic everywhere, so that memory and Redis agree to the last call.

pub(super) mod account;
pub(super) mod block;
#[cfg(test)]
pub(super) mod contract;
pub(super) mod gcra;
pub mod memory;
mod share;
pub mod shared;
pub(super) mod window;

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;

use super::{BoxFuture, StoreError};
use crate::config::Rate;

/// Microseconds since 1970, or so many of them.
pub type Micros = u64;

pub(super) fn micros(lasts: Duration) -> Micros {
    Micros::try_from(lasts.as_micros()).unwrap_or(Micros::MAX)
}

/// Names one budget: the first eight bytes of the SHA-256 of its name, so that every instance agrees on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetId(pub u64);

/// Whom a counter is kept for: an address as it is, everything else as 16 bytes of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(pub u128);

/// Names one taking of slots. Unique among all instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u64);

/// By which rule a budget is spent and refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The generic cell rate algorithm (ITU-T I.371): refills evenly, up to `burst`.
    Gcra {
        /// How fast it refills.
        rate: Rate,
        /// How much can be spent at once; at least 1.
        burst: u64,
    },
    /// So much in each window; windows are aligned to 1970.
    FixedWindow(Rate),
    /// So much in the last window's length, the window before weighted by how much of it still counts.
    SlidingWindow(Rate),
    /// So many at the same time. A slot is given back by whoever took it, or falls when that instance is gone.
    Slots(u64),
}

impl Measure {
    /// The most that can be spent at once.
    #[must_use]
    pub const fn most(&self) -> u64 {
        match self {
            Self::Gcra { burst, .. } => *burst,
            Self::FixedWindow(rate) | Self::SlidingWindow(rate) => rate.count.get(),
            Self::Slots(most) => *most,
        }
    }
}

/// For how long a subject is refused once it has exceeded a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first time.
    pub first: Duration,
    /// At most: each further block that begins before the last one has been over for its own length is twice as long.
    pub most: Duration,
}

/// What each subject may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its name, as an id.
    pub id: BudgetId,
    /// Its name: letters, digits, `-`, `_` and `.`, at most 64.
    pub name: Box<str>,
    /// By which rule.
    pub measure: Measure,
    /// What happens beyond being refused. None where slots are counted.
    pub block: Option<Block>,
}

/// What one request would spend of one counter.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Of which budget.
    pub budget: Arc<Budget>,
    /// For whom.
    pub subject: Subject,
    /// How much; of slots always 1.
    pub cost: u64,
}

/// How a counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How much could be spent at once now. Nothing while the subject is blocked.
    pub remaining: u64,
    /// After what time all of it will be there again, if nothing more is spent: not before the end of the block where there
    /// is one. Zero for slots otherwise.
    pub reset: Duration,
    /// After what time the charge would be admitted, if nothing more is spent: not before the end of the block where there
    /// is one. Zero if it would be now; for slots zero otherwise, since nobody knows; [`Self::reset`] if it is more than can
    /// be spent at once.
    pub retry_after: Duration,
    /// Whether the subject is blocked.
    pub blocked: bool,
}

/// The answer to [`Counters::take`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Taken {
    /// The first charge that was refused, by rate before by slots; none if all were made.
    pub refused: Option<usize>,
    /// How each counter stands, after the charges if they were made. Empty where nobody could be asked and the
    /// request is admitted all the same.
    pub standings: SmallVec<[Standing; 8]>,
    /// When, by the store's own clock.
    pub at: Micros,
}

/// Something to put right about a charge that was made.
#[derive(Clone, Debug)]
pub enum Correction {
    /// It cost something else than was charged: settles an estimate, or gives back what was not used.
    Cost {
        /// The charge as it was made.
        charge: Charge,
        /// When, as [`Taken::at`] said. A window that is over is not corrected any more. What is given back can be spent
        /// again from now on, up to the burst.
        at: Micros,
        /// What it turned out to be.
        actual: u64,
    },
    /// A slot is given back.
    Slot {
        /// The charge as it was made.
        charge: Charge,
        /// By whom.
        slot: SlotId,
    },
}

/// Where counters are kept. Each method is one atomic step.
pub trait Counters: Send + Sync + Debug {
    /// Makes all charges, or none. At most 64. The same counter must not occur twice.
    ///
    /// A refusal begins a block where the refusing budget has one; nothing else changes then. `slot` names the slots that
    /// are taken, until [`Correction::Slot`] gives them back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether the charges were made is not known, and what was taken of slots falls by itself.
    fn take<'a>(&'a self, charges: &'a [Charge], slot: SlotId) -> Soon<'a, Result<Taken, StoreError>>;

    /// Puts charges right, never refused, soon: nobody waits for it. What an outage swallows stays as it was charged, and
    /// slots fall by themselves.
    fn correct(&self, corrections: Vec<Correction>);

    /// Refuses a subject for at least so long from now, for everybody.
    fn hold<'a>(&'a self, charge: &'a Charge, lasts: Duration) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Lifts a block or hold, and forgets earlier ones. Whether there was one.
    fn lift<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// How many instances share the counters, as far as is known.
    fn instances(&self) -> NonZeroU32 {
        NonZeroU32::MIN
    }

    /// How counters stand for such charges. Changes nothing.
    fn look<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Result<Taken, StoreError>>;
}

/// An answer that may be there already, without an allocation.
pub enum Soon<'a, T> {
    /// It is there; taken out when it is polled.
    Now(Option<T>),
    /// It is still to come.
    Later(BoxFuture<'a, T>),
}

impl<T: Unpin> Future for Soon<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Now(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(answer) => answer.as_mut().poll(context),
        }
    }
}
