//! A session as this instance knows it. What all instances must agree on lies in the store; here is only what
//! the hot path needs, in atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;

use crate::names::{CallerDigest, PoolId, SessionId};
use crate::store::Berth;

/// A session that this instance knows.
#[derive(Debug)]
pub struct Moored {
    /// Its name everywhere.
    pub id: SessionId,
    /// Its name as servers hear it, in `Moorline-Session`.
    pub stable_id: HeaderValue,
    /// The pool that it lives in.
    pub pool: PoolId,
    /// Whom it belongs to.
    pub caller: CallerDigest,
    /// When it began, in seconds since 1970.
    pub issued: u64,
    berth: ArcSwap<Berth>,
    last_used: AtomicU64,
    busy: AtomicU32,
}

impl Moored {
    /// A session that lies at `berth`.
    #[must_use]
    pub fn new(id: SessionId, pool: PoolId, caller: CallerDigest, times: (u64, u64), berth: Arc<Berth>) -> Self {
        let (issued, last_used) = times;
        Self {
            id,
            stable_id: text_of(id),
            pool,
            caller,
            issued,
            berth: ArcSwap::new(berth),
            last_used: AtomicU64::new(last_used),
            busy: AtomicU32::new(0),
        }
    }

    /// Where it lies, as far as this instance knows.
    #[must_use]
    pub fn berth(&self) -> Arc<Berth> {
        self.berth.load_full()
    }

    /// It is in use now (seconds since 1970).
    pub fn touch(&self, unix: u64) {
        if self.last_used.load(Ordering::Relaxed) < unix {
            self.last_used.store(unix, Ordering::Relaxed);
        }
    }

    /// When it was last in use: now, while a request is in flight or a stream is open.
    #[must_use]
    pub fn last_used(&self, now: u64) -> u64 {
        if self.is_busy() { now } else { self.last_used.load(Ordering::Relaxed) }
    }

    /// Notes that a session with a request in flight or an open stream is in use; when it was last in use.
    pub fn keep_up(&self, now: u64) -> u64 {
        let at = self.last_used(now);
        self.touch(at);
        at
    }

    /// Whether a request is in flight or a stream is open.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Keeps the session from being idle for as long as the guard lives.
    #[must_use]
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy { session: Arc::clone(self) }
    }
}

/// 32 hex digits.
fn text_of(id: SessionId) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(id.to_string())).expect("hex digits may stand in a header field")
}

/// A request in flight or a stream open on a session.
#[derive(Debug)]
pub struct Busy {
    session: Arc<Moored>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.session.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
