//! What a store of results must be able to do so that several instances can share it, and the words for that. Does nothing
//! itself.
//!
//! Stamps are two numbers in one here: the newest order that the store has numbered, and how many were given on this instance
//! since. So an order counts where it is given before the store knows of it, and never counts for more than one that the store
//! numbers later. Results go to the store with the first number alone: the second means nothing elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::store::results::{Entry, Key, RightId, Stamp, Tag};
use crate::store::{Answer, BoxFuture};

/// How many bits of a stamp count orders that the store has not numbered yet: four million.
const OWN_BITS: u32 = 22;
/// The right to lead falls after so long without a renewal.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// For how long it is remembered that a call had a result that cannot be kept.
pub(crate) const VOID: Duration = Duration::from_secs(1);

/// The number of an order to forget, as the store counts: milliseconds since 1970, or one more than the order before it,
/// whichever is more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u64);

impl Order {
    /// The order of that number. `None` if no store can have come so far.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number < 1 << (u64::BITS - OWN_BITS) { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The stamp of what knows this order, and none that was given since.
    #[must_use]
    pub const fn stamp(self) -> Stamp {
        Stamp(self.0 << OWN_BITS)
    }

    /// The newest order that whatever has this stamp knows.
    #[must_use]
    pub const fn of(stamp: Stamp) -> Self {
        Self(stamp.0 >> OWN_BITS)
    }
}

/// Asks for the right to make a call.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Names the right, should it be given.
    pub right: RightId,
    /// When the right falls unless it is renewed.
    pub lasts: Duration,
    /// Milliseconds since 1970, by which a result is fresh or not.
    pub now: u64,
    /// Results that know no order after this one are not wanted.
    pub unwanted: Option<Order>,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A fresh result. Nothing was given.
    Here(Entry),
    /// The right is given, and there was a stale result perhaps.
    Yours(Option<Entry>),
    /// Somebody else has the right.
    Theirs(Option<Entry>),
    /// The call had a result just now that cannot be kept.
    Void,
    /// The right can be neither given nor refused at the moment.
    Unsaid,
}

/// Something to be done for one key. Nobody waits for it.
#[derive(Clone, Debug)]
pub enum Work {
    /// Keeps a result, and gives the right back if it is still held.
    Keep(Arc<Entry>, Option<RightId>),
    /// Gives the right back.
    Release(RightId),
    /// Gives the right back, and says for [`VOID`] that there will be no result.
    Void(RightId),
    /// Holds the right for longer.
    Renew(RightId),
}

/// An order to forget as the store has entered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The order before it.
    pub before: Order,
    /// Its own number.
    pub order: Order,
    /// All that does not know this order is forgotten.
    pub floor: Order,
}

/// What was forgotten, as far as somebody does not know it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// The newest order.
    pub last: Order,
    /// All that does not know this order is forgotten.
    pub floor: Order,
    /// The tags, each with the newest order to forget it, in the order of those.
    pub tags: Vec<(Tag, Order)>,
}

/// What somebody has done, this instance included. Told soon but not for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// There is a result, or nobody has the right any more, or there will be no result.
    Changed(Key),
    /// Tags were forgotten.
    Forgotten(Told, Vec<Tag>),
    /// News may have been lost.
    Gap,
}

/// A store of results that several instances share. Every call bounds itself in time.
pub trait Distant: Send + Sync + fmt::Debug {
    /// Looks for a result, fresh or stale. What cannot be read is as good as not there.
    fn look<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>>;

    /// Looks for a result, and asks for the right to make the call if there is no fresh one. One step. What cannot be read is
    /// as good as not there.
    fn claim<'a>(&'a self, key: &'a Key, asking: Asking) -> Answer<'a, Found>;

    /// Does several things at `now` (milliseconds since 1970). An error if one of them, or all, may not have been done.
    fn work<'a>(&'a self, works: &'a [(Key, Work)], now: u64) -> Answer<'a, ()>;

    /// Enters an order to forget tags, or all there is. `known` is the newest order that the caller knows: should the store
    /// have lost that, it forgets all there is.
    fn forget<'a>(&'a self, tags: Option<&'a [Tag]>, known: Order) -> Answer<'a, Told>;

    /// The orders after one.
    fn orders(&self, since: Order) -> Answer<'_, Orders>;

    /// The next news. For one listener.
    fn hear(&self) -> BoxFuture<'_, News>;
}
