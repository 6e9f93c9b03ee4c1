//! What instances that share a store know of one another: a card of each that is there, and the orders that stand for all
//! of them. Owns the trait, its bounds, and which of two orders counts. Knows nothing of what a card says, and carries no
//! order out.
//!
//! A card falls by itself when its instance does not report any more. An order stands until it is withdrawn, and a
//! withdrawal is remembered like an order: of all that were given on one matter the latest counts, in whatever order they
//! are told. So an instance that was cut off tells what it knows, and all agree.

mod book;
#[cfg(test)]
pub(crate) mod contract;
pub mod memory;
mod near;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, StoreError};
use crate::names::{BackendId, InstanceId, PoolId};

pub use self::book::Book;
pub use self::near::{Given, Near, Picture};

/// Instances whose cards are kept at most. Of more, those that have been quiet the longest are left out.
pub const MOST_INSTANCES: usize = 256;
/// Bytes of a card at most.
pub const LARGEST_CARD: usize = 32 << 10;
/// Matters on which orders are kept at most. The oldest withdrawals make room; where there are none left, an order on
/// another matter is refused.
pub const MOST_ORDERS: usize = 1024;
/// Bytes of each text in an order at most.
pub const LONGEST_TEXT: usize = 256;

/// How an instance says that it is there.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Which it is.
    pub id: InstanceId,
    /// What it says of itself.
    pub card: &'a str,
    /// For how long it counts as being there unless it reports again. At least a millisecond.
    pub lasts: Duration,
    /// Up to where it knows the orders; `None` if it wants to be told all.
    pub known: Option<Version>,
    /// The time, in milliseconds since 1970. A store with a clock of its own goes by that.
    pub now: u64,
}

/// How far a store has got with orders. Another one means that an order was given, or that the store has lost some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(pub u64);

/// An instance that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which it is.
    pub id: InstanceId,
    /// What it said of itself.
    pub card: Arc<str>,
    /// How long ago it said so.
    pub age: Duration,
}

/// The answer to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Muster {
    /// The time, in milliseconds since 1970, by whatever clock the store goes.
    pub at: u64,
    /// All that are there, the one that reports included, by their ids.
    pub present: Vec<Present>,
    /// How far the store has got with orders.
    pub version: Version,
    /// The orders, withdrawals included, by their matters; `None` if whoever reports knows them.
    pub orders: Option<Vec<Order>>,
}

/// What orders are about: whether a backend takes anybody new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Matter {
    /// The backend's pool.
    pub pool: PoolId,
    /// The backend.
    pub backend: BackendId,
}

/// What an order wants of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It takes nobody new, and its sessions move away.
    Drain,
    /// What was ordered before is withdrawn.
    Serve,
}

/// An order that stands for all instances, now and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What it is about.
    pub matter: Matter,
    /// What it wants.
    pub wish: Wish,
    /// When it was given, in milliseconds since 1970. Of two orders on one matter the later counts.
    pub at: u64,
    /// Who gave it, for people. This and the following have at most [`LONGEST_TEXT`] bytes.
    pub by: Box<str>,
    /// What the pool was called then, for people.
    pub pool: Box<str>,
    /// What the backend was called then, for people.
    pub backend: Box<str>,
}

/// Where instances report.
///
/// Each method is one atomic step. Every method may answer [`StoreError::Unavailable`]; other errors are named where they
/// can occur.
pub trait Roster: Send + Sync + fmt::Debug {
    /// Writes an instance's card, and answers with all that are there and with the orders. One round trip.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`] for a card that is too large.
    fn report<'a>(&'a self, report: Report<'a>) -> Answer<'a, Muster>;

    /// Takes an order that is given now, at `now` (milliseconds since 1970; a store with a clock of its own goes by that).
    /// It counts from now on, whatever stood before, and whatever whoever gives it knows: that was given at [`Order::at`]. The
    /// order with the time by which it counts.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`], where texts are too long or too many orders stand.
    fn order(&self, order: Order, now: u64) -> Answer<'_, Order>;

    /// Takes orders that were given before: while the store was away, or to a store that has lost them. Each counts unless
    /// a later one is known, or there is no room. `now` as for [`Self::order`].
    fn remind<'a>(&'a self, orders: &'a [Order], now: u64) -> Answer<'a, ()>;

    /// An instance goes.
    fn leave(&self, id: InstanceId) -> Answer<'_, ()>;
}

impl Order {
    /// An order that was not given yet. Texts that are too long are cut.
    #[must_use]
    pub fn new(matter: Matter, wish: Wish, by: &str, (pool, backend): (&str, &str)) -> Self {
        let cut = |text: &str| Box::from(&text[..text.floor_char_boundary(LONGEST_TEXT)]);
        Self { matter, wish, at: 0, by: cut(by), pool: cut(pool), backend: cut(backend) }
    }

    /// Whether it counts more than another one on the same matter.
    #[must_use]
    pub const fn is_later(&self, than: &Self) -> bool {
        self.at > than.at
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let longest = self.by.len().max(self.pool.len()).max(self.backend.len());
        if longest > LONGEST_TEXT {
            return Err(StoreError::BoundExceeded { what: "a text of an order", limit: LONGEST_TEXT });
        }
        Ok(())
    }
}

impl Report<'_> {
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.card.len() > LARGEST_CARD {
            return Err(StoreError::BoundExceeded { what: "a card", limit: LARGEST_CARD });
        }
        Ok(())
    }
}
