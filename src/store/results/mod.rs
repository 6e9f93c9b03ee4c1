//! Results that calls have had, kept so that the same call need not be made again. Owns the trait, what is kept, and how
//! it is forgotten. Knows nothing of tools, callers or JSON: a key is a digest, a tag is a digest, a result is bytes.
//!
//! Forgetting is O(1): each order to forget has a stamp, a number that only grows; a result carries the stamp that was the
//! newest one known when its call began, and its tags. It is good as long as none of its tags was forgotten after that. So
//! a result that was fetched before an order is never shown after it, whoever stores it, and whenever.

#[cfg(test)]
pub(crate) mod contract;
mod forgotten;
pub mod near;
pub mod shared;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Answer, BoxFuture};

/// Tags that a result has at most.
pub const MOST_TAGS: usize = 16;

/// Names a result: a digest of all that it depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

/// Something that results hang on and that is forgotten in one go, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u64);

/// The place of an order to forget among all orders that one instance knows: a number that only grows. What else it says is
/// the store's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub u64);

/// A result that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The result.
    pub result: Bytes,
    /// When it was fetched, in milliseconds since 1970.
    pub stored: u64,
    /// For how long it is fresh.
    pub ttl: Duration,
    /// For how long after that it may be shown while it is fetched anew, or cannot be.
    pub stale: Duration,
    /// What it hangs on.
    pub tags: SmallVec<[Tag; 6]>,
    /// The newest order to forget that was known when its call began.
    pub stamp: Stamp,
}

/// Whether a call has to be made, once the far level was asked too.
#[derive(Debug)]
#[must_use]
pub enum Claim {
    /// No: here is a fresh result.
    Here(Arc<Entry>),
    /// Yes, and by whoever holds this: no other instance makes it meanwhile.
    Lead(Lead),
    /// Another instance is making it.
    Theirs(Option<Arc<Entry>>),
    /// Yes, by everybody for himself: it had a result just now that cannot be kept.
    Alone,
}

/// The right to make a call for everybody. It is renewed while it is held, and given back when it is dropped, so that the
/// next who waits takes it over at once; should this instance die, it falls soon.
#[derive(Debug)]
pub struct Lead {
    /// A result that is fresh no more, and may be shown meanwhile.
    pub stale: Option<Arc<Entry>>,
    held: Option<Box<dyn Held>>,
}

/// What stands behind a [`Lead`] where instances share results. Dropping it gives the right back.
pub trait Held: Send + Sync + fmt::Debug {
    /// The call had a result that cannot be kept: whoever waits for it goes on by himself.
    fn is_void(self: Box<Self>);

    /// The call had a result that is about to be kept: whoever keeps it gives the right back with it.
    fn hand_over(self: Box<Self>) -> RightId;
}

/// Names one right to make a call for everybody: no two share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RightId(pub u64);

/// How much is kept on this instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Results.
    pub entries: usize,
    /// What they take, in bytes.
    pub bytes: u64,
    /// What they may take, in bytes.
    pub most: u64,
    /// Results that had to make room for others, since the start.
    pub dropped: u64,
}

/// Where results are kept: a first level on this instance, and a second one where instances share a store.
///
/// No method fails because the second level is away: the first goes on alone then.
pub trait Results: Send + Sync + fmt::Debug {
    /// Looks on this instance only, and waits for nothing. Fresh or stale, but never forgotten nor past both times.
    fn look(&self, key: &Key) -> Option<Arc<Entry>>;

    /// The newest order to forget that is known here: what a call takes along that begins now.
    fn stamp(&self) -> Stamp;

    /// Looks on the second level as well, and asks for nothing. Fresh, or not at all. One round trip at most.
    fn peek<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Option<Arc<Entry>>>;

    /// Looks on the second level, and asks for the right to make the call. One round trip at most; none where there is no
    /// second level or it is away: then it is [`Claim::Lead`].
    fn claim<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Claim>;

    /// After [`Claim::Theirs`]: waits until that call has a result, or until its right has fallen and is ours. Never
    /// [`Claim::Theirs`], unless `within` has passed.
    fn wait<'a>(&'a self, key: &'a Key, within: Duration) -> BoxFuture<'a, Claim>;

    /// Keeps a result, unless one of its tags was forgotten meanwhile. The second level is told in the background.
    fn keep(&self, key: Key, entry: Entry, lead: Option<Lead>);

    /// Forgets all that hangs on one of the tags: here at once, so that it is not shown any more when this returns; the other
    /// instances hear of it in the background, and of all that they have missed when they can be reached again.
    fn forget(&self, tags: &[Tag]);

    /// The same, and answers when the second level knows.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError): it is forgotten here, and elsewhere as soon as the store is back.
    fn forget_everywhere<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()>;

    /// How much is kept here.
    fn usage(&self) -> Usage;

    /// Whether a result may still be shown, as far as it is known here what was forgotten.
    fn is_good(&self, entry: &Entry) -> bool;

    /// Whether other instances may wait for what this one fetches.
    fn is_shared(&self) -> bool;
}

impl Entry {
    /// How old it is at `now` (milliseconds since 1970). Zero where clocks disagree.
    #[must_use]
    pub const fn age(&self, now: u64) -> Duration {
        Duration::from_millis(now.saturating_sub(self.stored))
    }

    /// Whether it is fresh at `now` (milliseconds since 1970).
    #[must_use]
    pub fn is_fresh(&self, now: u64) -> bool {
        self.age(now) < self.ttl
    }

    /// Whether it may be shown at all at `now` (milliseconds since 1970), should it not have been forgotten.
    #[must_use]
    pub fn is_usable(&self, now: u64) -> bool {
        self.age(now) < self.ttl.saturating_add(self.stale)
    }
}

impl Lead {
    /// The right where nobody else could have it.
    #[must_use]
    pub const fn alone(stale: Option<Arc<Entry>>) -> Self {
        Self { stale, held: None }
    }

    /// The right that a second level has given.
    #[must_use]
    pub fn held(stale: Option<Arc<Entry>>, held: Box<dyn Held>) -> Self {
        Self { stale, held: Some(held) }
    }

    /// The call had a result that cannot be kept: whoever waits for it goes on by himself.
    pub fn is_void(self) {
        if let Some(held) = self.held {
            held.is_void();
        }
    }

    /// The right itself, where others could have it, for whoever gives it back.
    fn hand_over(self) -> Option<RightId> {
        self.held.map(Held::hand_over)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
