//! How many notification streams are open on this instance, over all worker threads, and how many of one caller.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::Settings;
use crate::exchange::Caller;
use crate::names::CallerDigest;
use crate::reject::Cause;

/// How many notification streams are open on this instance.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    /// The same by kind.
    of: [AtomicUsize; Kind::ALL.len()],
    /// Whoever has none is not in it.
    by_caller: DashMap<Whose, usize>,
}

/// Whose stream it is: an address's where nobody is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Address(IpAddr),
    Caller(CallerDigest),
}

/// Kinds of notification streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session's own, by GET.
    Session,
    /// A client's share of `subscriptions/listen`.
    Listen,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Session, Self::Listen];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Listen => "listen",
        }
    }
}

/// One open notification stream.
#[derive(Debug)]
pub(crate) struct Open(Streams, Whose, Kind);

impl Streams {
    /// How many of a kind are open.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.0.of[kind as usize].load(Ordering::Relaxed)
    }

    /// Counts one more until it is dropped.
    ///
    /// # Errors
    /// [`Cause::Full`] where there are as many as there may be already.
    pub(super) fn open(&self, kind: Kind, caller: &Caller, settings: &Settings) -> Result<Open, Cause> {
        let whose = match caller.digest() {
            CallerDigest::ANYBODY => Whose::Address(caller.addr),
            digest => Whose::Caller(digest),
        };
        let before = self.0.all.fetch_add(1, Ordering::Relaxed);
        let own = {
            let mut count = self.0.by_caller.entry(whose).or_insert(0);
            *count += 1;
            *count
        };
        self.0.of[kind as usize].fetch_add(1, Ordering::Relaxed);
        let open = Open(self.clone(), whose, kind);
        match (before, own) {
            (before, _) if before >= settings.max_listen_streams => Err(Cause::Full("notification streams")),
            (_, own) if own > settings.max_listen_streams_per_caller => Err(Cause::TooManyStreams),
            _ => Ok(open),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self(Streams(counts), whose, kind) = self;
        counts.of[*kind as usize].fetch_sub(1, Ordering::Relaxed);
        counts.all.fetch_sub(1, Ordering::Relaxed);
        counts.by_caller.remove_if_mut(whose, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}
