//! The stores: what outlives a request. Owns the traits in domain verbs and the errors that every
//! implementation answers with. Knows no protocol, no HTTP and no clock: whoever calls brings the time.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::names::{Epoch, SessionId};

#[cfg(test)]
mod contract;
pub mod counters;
pub mod disk;
mod far;
pub mod keys;
mod map;
pub mod measured;
pub mod memory;
#[cfg(test)]
mod model;
pub mod record;
pub mod redis;
pub mod results;
pub mod roster;
mod saved;
pub mod shared;

pub use keys::{KeyRing, SealingKey};
pub use record::{Berth, Journal, JournalEdit, Record};

/// How many live sessions a store takes unless it is told otherwise.
pub const DEFAULT_LIMIT: usize = 1_000_000;

/// A future on the heap, so that stores can stand behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What every method of a store answers with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Why a store could not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or cannot write. Whether a change took place is not known.
    #[error("store unavailable")]
    Unavailable {
        /// What went wrong underneath.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// What the store holds under this key cannot be read.
    #[error("corrupt entry in the store: {what}")]
    Corrupt {
        /// Which entry, and what is the matter with it.
        what: String,
    },
    /// A value is larger than a store takes. Nothing was changed.
    #[error("{what} exceeds its bound of {limit}")]
    BoundExceeded {
        /// Which value.
        what: &'static str,
        /// The most that is taken, in the value's own unit.
        limit: usize,
    },
    /// The store holds as many live sessions as it may. Nothing was changed.
    #[error("store is full: {limit} sessions")]
    Full {
        /// The most live sessions it takes.
        limit: usize,
    },
    /// A berth was offered whose epoch does not follow the expected one. Nothing was changed.
    #[error("berth of epoch {given} offered to follow epoch {expected}")]
    WrongEpoch {
        /// The epoch that was expected to stand in the store.
        expected: u32,
        /// The epoch of the berth that was offered.
        given: u32,
    },
}

/// The answer to [`Sessions::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// The session is there now.
    Done,
    /// The id is taken, by a live session or a tombstone. Nothing was changed.
    AlreadyExists,
}

/// The answer to [`Sessions::load`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Lookup {
    /// The session is alive.
    Live(Arc<Record>),
    /// The session has ended, and the store still remembers that.
    Ended,
    /// The store knows nothing of this id (any more).
    Unknown,
}

/// The answer to [`Sessions::moor`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Moved {
    /// The session lies at the offered berth now.
    Done,
    /// Somebody else was first: the berth where the session lies.
    Lost(Berth),
    /// The session has ended or is not known.
    Gone,
}

/// What [`Sessions::expire`] shall do.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// The time, in unix seconds.
    pub now: u64,
    /// A session that was not seen for so long is ended.
    pub idle: Duration,
    /// How long after its creation a session's tombstone stands.
    pub lifetime: Duration,
    /// The most sessions to end in one call.
    pub limit: usize,
}

/// What an instance believes of a session that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The session.
    pub id: SessionId,
    /// When it was last seen, in unix seconds.
    pub at: u64,
    /// The epoch of the berth where it is believed to lie.
    pub epoch: Epoch,
}

/// Names one mover for the length of one move: no two moves share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MoverId(pub u64);

/// For how long the right to move a session is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who asks.
    pub mover: MoverId,
    /// The time, in milliseconds since 1970. A store with a clock of its own goes by that.
    pub now_millis: u64,
    /// After what time the right falls to whoever asks next. At least a millisecond.
    pub lasts: Duration,
}

/// The answer to [`Sessions::claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Claimed {
    /// The caller may move the session, and nobody else may for the length of the lease.
    Yours,
    /// Somebody else is moving it.
    Theirs,
    /// It has been moved already: the berth where it lies.
    Moved(Berth),
    /// The session has ended or is not known.
    Gone,
}

/// Something that another instance did, told soon but not for sure: a store may lose a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The session has ended.
    Ended(SessionId),
    /// The session has moved to this berth.
    Moved(SessionId, Berth),
    /// A sealing key was added to the ring.
    Keys,
    /// An order was given that stands for all instances.
    Orders,
}

/// Where sessions are kept.
///
/// Each method is one atomic step on one session. Those that reach over several (`touch`, `expire`,
/// `count`, `flush`) are atomic for each session and not as a whole. A method that has answered `Ok`
/// has made its change as durable as the store can; `touch` alone may be late.
///
/// Every method may answer [`StoreError::Unavailable`]; other errors are named where they can occur.
pub trait Sessions: Send + Sync {
    /// The sealing keys that all share. If there are none, `offer` becomes the first: of several that
    /// offer at once, one is taken and all get the same ring.
    fn keys(&self, offer: SealingKey) -> Answer<'_, KeyRing>;

    /// The same as the store itself says it. A store behind which there is another one answers [`StoreError::Unavailable`] where that one
    /// cannot be asked, and takes more time over it than a call may take: what is known here alone proves no key to be unknown.
    fn agreed_keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        self.keys(offer)
    }

    /// Adds a key to the ring; the ring as it is then.
    fn add_key(&self, key: SealingKey) -> Answer<'_, KeyRing>;

    /// Takes a new session.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`], [`StoreError::Full`].
    fn create(&self, id: SessionId, record: Record) -> Answer<'_, Created>;

    /// Looks a session up. A store may show a change a moment before it is durable.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    fn load(&self, id: SessionId) -> Answer<'_, Lookup>;

    /// Swaps the berth if the session still lies at epoch `expected`; `berth.epoch` must be the one after it.
    ///
    /// # Errors
    /// [`StoreError::WrongEpoch`], [`StoreError::BoundExceeded`].
    fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Answer<'_, Moved>;

    /// Edits the journal; the same edit twice is the same as once. `false` if the session is gone.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`].
    fn note(&self, id: SessionId, edit: JournalEdit) -> Answer<'_, bool>;

    /// Notes when sessions were last seen. The time never goes back; unknown sessions are passed over. The answer names
    /// those that are not as the caller believes: of a higher epoch than it said, ended, or unknown.
    fn touch<'a>(&'a self, seen: &'a [Seen]) -> Answer<'a, Vec<(SessionId, Lookup)>>;

    /// Asks for the right to move a session that lies at epoch `expected`, so that of all instances one does the work. The
    /// right ends with the lease, with the next [`Sessions::moor`], or when its holder gives it back by
    /// [`Sessions::release`]. Whoever holds it already may ask again, and has it for longer then.
    fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Answer<'_, Claimed>;

    /// Gives the right to move a session back, if `mover` holds it.
    fn release(&self, id: SessionId, mover: MoverId) -> Answer<'_, ()>;

    /// Ends a session and leaves a tombstone until the unix second `until`, also where the id was not known.
    /// Of all that end it, exactly one gets the record, so that the backend's session is deleted once.
    fn end(&self, id: SessionId, until: u64) -> Answer<'_, Option<Arc<Record>>>;

    /// Ends sessions that were idle too long and drops tombstones whose time is past. One call does a bounded
    /// amount of work; an empty answer does not mean that nothing is left to do.
    fn expire(&self, sweep: Sweep) -> Answer<'_, Vec<(SessionId, Arc<Record>)>>;

    /// All sessions that are alive, for a lone instance that takes stock at start. A store that several instances
    /// share names none: there, each learns of a session when it meets it.
    fn census(&self) -> Answer<'_, Vec<(SessionId, Arc<Record>)>>;

    /// How many sessions are alive.
    fn count(&self) -> Answer<'_, usize>;

    /// The next thing that another instance did. Pending for ever where nobody else can. For one listener.
    fn hear(&self) -> BoxFuture<'_, Notice>;

    /// Whether several instances share the store.
    fn is_shared(&self) -> bool;

    /// Whether the store cannot be reached at the moment, as far as is known without asking.
    fn is_away(&self) -> bool;

    /// Answers when everything that was acknowledged so far is durable, touches included.
    fn flush(&self) -> Answer<'_, ()>;

    /// Writes back a session that an outage kept from the store: the highest epoch wins, what has ended stays ended,
    /// journals of the same epoch are joined. What the store holds then: never [`Lookup::Unknown`].
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`], [`StoreError::Full`].
    fn adopt(&self, id: SessionId, record: Record) -> Answer<'_, Lookup>;
}
