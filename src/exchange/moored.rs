//! A session as this instance knows it. What all instances must agree on lies in the store; here is only what
//! the hot path needs, in atomics.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::Waker;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::Mutex;

use crate::mcp::{canonical, raw};
use crate::names::{CallerDigest, Mark, PoolId, SessionId};
use crate::store::Berth;

/// Streams of one session that are woken at once.
const MOST_WATCHING: usize = 8;

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
    /// Held by whoever moves it; the other requests of this instance wait for their turn and find it moved.
    pub moving: Mutex<()>,
    berth: ArcSwap<Berth>,
    /// Where it lay before: what was asked there may still be answered there.
    before: ArcSwapOption<Berth>,
    last_used: AtomicU64,
    /// When a backend would not take it without its client's credentials, in seconds since 1970; 0 for never.
    refused: AtomicU64,
    busy: AtomicU32,
    flying: AtomicU32,
    /// The mark of the berth that a notification stream was last opened at.
    attached: AtomicU64,
    /// Streams to be woken when the session moves or ends. Guards a short list; taken by streams and by moves alone.
    watching: std::sync::Mutex<Vec<Waker>>,
    opened: AtomicU8,
    /// Digest of what its client can do; 0 while that is not known.
    speaks: AtomicU64,
    /// The mark of the berth that this instance has made; nobody else will delete it should another one stand.
    made: AtomicU64,
    /// How often its server has asked its client something, as far as this instance knows.
    asked: AtomicU32,
    /// What its caller is called, once a request of its has come here.
    called: OnceLock<Box<str>>,
    ended: AtomicBool,
}

/// How a session was opened, as far as this instance knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opened {
    /// Only the store knows.
    Unknown = 0,
    /// Without credentials: it may be opened elsewhere without any.
    Openly = 1,
    /// With credentials, which its client alone has.
    WithCredentials = 2,
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
            moving: Mutex::default(),
            attached: AtomicU64::new(berth.mark().0),
            berth: ArcSwap::new(berth),
            before: ArcSwapOption::default(),
            last_used: AtomicU64::new(last_used),
            refused: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            flying: AtomicU32::new(0),
            watching: std::sync::Mutex::default(),
            opened: AtomicU8::new(Opened::Unknown as u8),
            speaks: AtomicU64::new(0),
            made: AtomicU64::new(0),
            asked: AtomicU32::new(0),
            called: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// Takes the raw params of the `initialize` that it was opened with.
    pub fn is_spoken(&self, initialize: &str) {
        self.speaks.store(speaks(initialize).unwrap_or(0), Ordering::Relaxed);
    }

    /// Digest of what its client can do and of the version that it asked for, on which results may depend; none while that is
    /// not known.
    #[must_use]
    pub fn speaks(&self) -> Option<u64> {
        Some(self.speaks.load(Ordering::Relaxed)).filter(|speaks| *speaks != 0)
    }

    /// Where it lies, as far as this instance knows.
    #[must_use]
    pub fn berth(&self) -> Arc<Berth> {
        self.berth.load_full()
    }

    /// The mark of where it lies, for all that watches for a move.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.berth.load().mark()
    }

    /// Takes the news of another berth, unless it is older than what is known. Returns the berth that it replaces.
    pub fn moor(&self, berth: &Arc<Berth>) -> Option<Arc<Berth>> {
        let was = self.berth.rcu(|held| if held.epoch > berth.epoch { Arc::clone(held) } else { Arc::clone(berth) });
        let moved = was.epoch <= berth.epoch && *was != **berth;
        if !moved {
            return None;
        }
        self.before.store(Some(Arc::clone(&was)));
        self.wake_streams();
        Some(was)
    }

    /// The berth of this mark, if it lay there just before.
    #[must_use]
    pub fn before(&self, mark: Mark) -> Option<Arc<Berth>> {
        self.before.load_full().filter(|before| before.mark() == mark)
    }

    /// A notification stream is open at the berth of this mark.
    pub fn attach(&self, mark: Mark) {
        self.attached.store(mark.0, Ordering::Relaxed);
    }

    /// Whether its notification stream has not followed it to where it lies now: what a server has to ask there would be lost.
    #[must_use]
    pub fn awaits_stream(&self) -> bool {
        let standing = self.busy.load(Ordering::Relaxed) > self.flying.load(Ordering::Relaxed);
        standing && self.attached.load(Ordering::Relaxed) != self.mark().0
    }

    /// A stream is to be woken when the session moves or ends.
    pub fn watch(&self, waker: &Waker) {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        if !watching.iter().any(|known| known.will_wake(waker)) {
            // Beyond that the sweep finds out, a little later.
            if watching.len() >= MOST_WATCHING {
                watching.clear();
            }
            watching.push(waker.clone());
        }
    }

    fn wake_streams(&self) {
        let watching = std::mem::take(&mut *self.watching.lock().unwrap_or_else(PoisonError::into_inner));
        watching.into_iter().for_each(Waker::wake);
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

    /// A backend would not take it without its client's credentials (seconds since 1970).
    pub fn was_refused(&self, unix: u64) {
        self.refused.store(unix, Ordering::Relaxed);
    }

    /// When that was last so; 0 for never.
    #[must_use]
    pub fn last_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether a request is in flight or a stream is open.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// How many requests are in flight. Open notification streams do not count.
    #[must_use]
    pub fn flying(&self) -> u32 {
        self.flying.load(Ordering::Relaxed)
    }

    /// How many notification streams are open.
    #[must_use]
    pub fn standing(&self) -> u32 {
        self.busy.load(Ordering::Relaxed).saturating_sub(self.flying())
    }

    /// A request of its caller has come here; what that is called is asked once.
    pub fn is_called(&self, label: impl FnOnce() -> Box<str>) {
        self.called.get_or_init(label);
    }

    /// What its caller is called; none while no request of it has come here.
    #[must_use]
    pub fn called(&self) -> Option<&str> {
        self.called.get().map(|label| &**label)
    }

    /// How it was opened.
    #[must_use]
    pub fn opened(&self) -> Opened {
        match self.opened.load(Ordering::Relaxed) {
            1 => Opened::Openly,
            2 => Opened::WithCredentials,
            _ => Opened::Unknown,
        }
    }

    /// Notes whether it was opened without credentials.
    pub fn was_opened(&self, openly: bool) {
        let opened = if openly { Opened::Openly } else { Opened::WithCredentials };
        self.opened.store(opened as u8, Ordering::Relaxed);
    }

    /// This instance has made the berth of this mark.
    pub fn made(&self, mark: Mark) {
        self.made.store(mark.0, Ordering::Relaxed);
    }

    /// Whether this instance has made the berth of this mark.
    #[must_use]
    pub fn has_made(&self, mark: Mark) -> bool {
        mark != Mark(0) && self.made.load(Ordering::Relaxed) == mark.0
    }

    /// Its server asks its client something, on whatever stream.
    pub fn is_asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    #[must_use]
    pub fn times_asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// It has ended: its streams end too.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.wake_streams();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Keeps the session from being idle for as long as the guard lives, and counts a request in flight.
    #[must_use]
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.flying.fetch_add(1, Ordering::Relaxed);
        Busy { session: Arc::clone(self), flies: true }
    }
}

fn speaks(initialize: &str) -> Option<u64> {
    let [capabilities, version] = raw::pick(initialize, ["capabilities", "protocolVersion"])?;
    let mut hasher = blake3::Hasher::new();
    canonical::feed(capabilities.unwrap_or("{}"), &mut hasher).ok()?;
    canonical::feed(version.unwrap_or("null"), &mut hasher).ok()?;
    let (first, _) = hasher.finalize().as_bytes().split_first_chunk::<8>().map(|(first, rest)| (*first, rest.len()))?;
    Some(u64::from_be_bytes(first).max(1))
}

/// 32 hex digits.
fn text_of(id: SessionId) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(id.to_string())).expect("hex digits may stand in a header field")
}

/// A request in flight or a stream open on a session.
#[derive(Debug)]
pub struct Busy {
    session: Arc<Moored>,
    flies: bool,
}

impl Busy {
    /// It is an open notification stream: no request in flight.
    pub fn stands(&mut self) {
        if std::mem::take(&mut self.flies) {
            self.session.flying.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &Arc<Moored> {
        &self.session
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stands();
        self.session.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
