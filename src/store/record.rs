//! What is kept of one session: its journal and its berth. Owns the bounds, the edits and how two
//! versions of a record are joined; where a record lies is the stores' business.

use std::collections::BTreeSet;
use std::fmt;

use super::StoreError;
use crate::names::{BackendId, CallerDigest, Epoch, Mark, PoolId};

/// The most resources that one session may subscribe to.
pub const MAX_SUBSCRIPTIONS: usize = 1024;
/// The longest URI of a subscription, in bytes.
pub const MAX_URI: usize = 4 * 1024;
/// The longest session id of a backend, in bytes.
pub const MAX_BACKEND_SESSION: usize = 256;
/// The longest `initialize` params or result, in bytes of raw JSON.
pub const MAX_INITIALIZE: usize = 256 * 1024;
/// The longest log level or protocol version, in bytes.
pub const MAX_WORD: usize = 64;

/// All that a store keeps of a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The pool that the session belongs to.
    pub pool: PoolId,
    /// What must be replayed to rebuild it.
    pub journal: Journal,
    /// Where it lies.
    pub berth: Berth,
    /// When it began, in unix seconds.
    pub created: u64,
    /// When it was last seen, in unix seconds. Never goes back.
    pub last_seen: u64,
}

/// What must be replayed to rebuild a session on another backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The params of `initialize`, as the client wrote them (raw JSON).
    pub initialize: Box<str>,
    /// The result of `initialize`, as the backend wrote it (raw JSON), once it is known.
    pub result: Option<Box<str>>,
    /// The protocol version that was agreed on, once it is known.
    pub protocol_version: Option<Box<str>>,
    /// Whether the client has sent `notifications/initialized`.
    pub initialized: bool,
    /// What the client last set by `logging/setLevel`.
    pub log_level: Option<Box<str>>,
    /// The URIs it has subscribed to, at most [`MAX_SUBSCRIPTIONS`].
    pub subscriptions: BTreeSet<Box<str>>,
    /// Whom the session belongs to.
    pub caller: CallerDigest,
    /// Whether `initialize` came without credentials: only then may it be replayed without any.
    pub open: bool,
}

/// Where a session lies.
#[derive(Clone, PartialEq, Eq)]
pub struct Berth {
    /// The backend.
    pub backend: BackendId,
    /// The backend's own session id, visible ASCII; empty where the backend gave none.
    pub backend_session: Box<str>,
    /// How often the session has moved.
    pub epoch: Epoch,
}

/// One change of a journal. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalEdit {
    /// The client has sent `notifications/initialized`.
    Initialized,
    /// The client has set its log level.
    LogLevel(Box<str>),
    /// The client has subscribed to a URI.
    Subscribe(Box<str>),
    /// The client has unsubscribed from a URI.
    Unsubscribe(Box<str>),
    /// The backend has answered `initialize`.
    Result {
        /// The result (raw JSON).
        result: Box<str>,
        /// The protocol version in it.
        protocol_version: Option<Box<str>>,
    },
}

impl Journal {
    /// A journal of a session that has just asked to `initialize` (raw JSON of the params).
    #[must_use]
    pub fn new(initialize: Box<str>, caller: CallerDigest) -> Self {
        Self {
            initialize,
            result: None,
            protocol_version: None,
            initialized: false,
            log_level: None,
            subscriptions: BTreeSet::new(),
            caller,
            open: false,
        }
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`]; the journal is as it was then.
    pub fn apply(&mut self, edit: JournalEdit) -> Result<(), StoreError> {
        self.check_edit(&edit)?;
        match edit {
            JournalEdit::Initialized => self.initialized = true,
            JournalEdit::LogLevel(level) => self.log_level = Some(level),
            JournalEdit::Subscribe(uri) => {
                self.subscriptions.insert(uri);
            }
            JournalEdit::Unsubscribe(uri) => {
                self.subscriptions.remove(&uri);
            }
            JournalEdit::Result { result, protocol_version } => {
                self.result = Some(result);
                self.protocol_version = protocol_version;
            }
        }
        Ok(())
    }

    /// Whether [`Journal::apply`] would take this edit.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`].
    pub fn check_edit(&self, edit: &JournalEdit) -> Result<(), StoreError> {
        edit.check()?;
        match edit {
            JournalEdit::Subscribe(uri) => {
                let one_more = usize::from(!self.subscriptions.contains(uri));
                at_most("subscriptions", self.subscriptions.len() + one_more, MAX_SUBSCRIPTIONS)
            }
            _ => Ok(()),
        }
    }

    /// Joins what another instance has noted of the same epoch: nothing that either knew is lost. Where both
    /// know a word, the other's is the news.
    fn join(&mut self, other: Self) {
        self.initialized |= other.initialized;
        self.log_level = other.log_level.or_else(|| self.log_level.take());
        if self.result.is_none() {
            self.result = other.result;
            self.protocol_version = other.protocol_version;
        }
        for uri in other.subscriptions {
            if self.subscriptions.len() < MAX_SUBSCRIPTIONS {
                self.subscriptions.insert(uri);
            }
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        at_most("initialize params (bytes)", self.initialize.len(), MAX_INITIALIZE)?;
        at_most("initialize result (bytes)", length(self.result.as_deref()), MAX_INITIALIZE)?;
        at_most("protocol version (bytes)", length(self.protocol_version.as_deref()), MAX_WORD)?;
        at_most("log level (bytes)", length(self.log_level.as_deref()), MAX_WORD)?;
        at_most("subscriptions", self.subscriptions.len(), MAX_SUBSCRIPTIONS)?;
        let longest = self.subscriptions.iter().map(|uri| uri.len()).max();
        at_most("subscribed uri (bytes)", longest.unwrap_or(0), MAX_URI)
    }
}

impl JournalEdit {
    /// Whether some journal could take this edit.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`].
    pub fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Initialized | Self::Unsubscribe(_) => Ok(()),
            Self::LogLevel(level) => at_most("log level (bytes)", level.len(), MAX_WORD),
            Self::Subscribe(uri) => at_most("subscribed uri (bytes)", uri.len(), MAX_URI),
            Self::Result { result, protocol_version } => {
                at_most("initialize result (bytes)", result.len(), MAX_INITIALIZE)?;
                at_most("protocol version (bytes)", length(protocol_version.as_deref()), MAX_WORD)
            }
        }
    }
}

impl Berth {
    /// What tells this berth from every other of its session, in ids that clients see.
    #[must_use]
    pub fn mark(&self) -> Mark {
        if self.epoch.0 == 0 {
            return Mark(0);
        }
        // FNV-1a: it need not be secret, only the same everywhere.
        let bytes = self.backend.0.to_be_bytes().into_iter().chain(self.backend_session.bytes());
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Mark(u64::from(self.epoch.0) << 16 | (hash ^ hash >> 32) & 0xffff)
    }

    /// Whether a store may take this berth.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`].
    pub fn check(&self) -> Result<(), StoreError> {
        let visible = self.backend_session.bytes().all(|byte| byte.is_ascii_graphic());
        let length = if visible { self.backend_session.len() } else { usize::MAX };
        at_most("backend session id (bytes of visible ascii)", length, MAX_BACKEND_SESSION)
    }

    /// Whether a store may take this berth in place of one of epoch `expected`.
    ///
    /// # Errors
    /// [`StoreError::WrongEpoch`], [`StoreError::BoundExceeded`].
    pub fn check_after(&self, expected: Epoch) -> Result<(), StoreError> {
        if expected.0.checked_add(1) != Some(self.epoch.0) {
            return Err(StoreError::WrongEpoch { expected: expected.0, given: self.epoch.0 });
        }
        self.check()
    }
}

impl fmt::Debug for Berth {
    // A backend's session id is as good as a password there, so it is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Berth")
            .field("backend", &self.backend)
            .field("backend_session", &format_args!("***"))
            .field("epoch", &self.epoch)
            .finish()
    }
}

impl Record {
    /// Whether a store may take this record.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`].
    pub fn check(&self) -> Result<(), StoreError> {
        self.journal.check()?;
        self.berth.check()
    }

    /// Takes in another version of the same session: the higher epoch wins whole; at the same epoch the berth
    /// stays and the journals are joined. `last_seen` only grows.
    pub fn adopt(&mut self, other: Self) {
        let last_seen = self.last_seen.max(other.last_seen);
        if other.berth.epoch > self.berth.epoch {
            *self = other;
        } else if other.berth.epoch == self.berth.epoch {
            self.journal.join(other.journal);
        }
        self.last_seen = last_seen;
    }
}

fn length(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

fn at_most(what: &'static str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit { Err(StoreError::BoundExceeded { what, limit }) } else { Ok(()) }
}
