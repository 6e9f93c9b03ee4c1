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
    /// Whoever has none is not in it.
    by_caller: DashMap<Whose, usize>,
}

/// Whose stream it is: an address's where nobody is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Address(IpAddr),
    Caller(CallerDigest),
}

/// One open notification stream.
#[derive(Debug)]
pub(crate) struct Open(Streams, Whose);

impl Streams {
    /// Counts one more until it is dropped.
    ///
    /// # Errors
    /// [`Cause::Full`] where there are as many as there may be already.
    pub(super) fn open(&self, caller: &Caller, settings: &Settings) -> Result<Open, Cause> {
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
        let open = Open(self.clone(), whose);
        match (before, own) {
            (before, _) if before >= settings.max_listen_streams => Err(Cause::Full("notification streams")),
            (_, own) if own > settings.max_listen_streams_per_caller => Err(Cause::TooManyStreams),
            _ => Ok(open),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self(Streams(counts), whose) = self;
        counts.all.fetch_sub(1, Ordering::Relaxed);
        counts.by_caller.remove_if_mut(whose, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}
