//! What a waiting stream is told by the sweep: that it was quiet for long, that its backend was found dead, or that this
//! instance is going away. One small block per waiting stream, no timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;

use super::body::Hold;
use crate::auth::Validity;
use crate::clock::Clock;
use crate::drain::{Drain, Phase};
use crate::exchange::{Exchange, Moored};
use crate::fleet::Backend;
use crate::names::Mark;
use crate::sweep::{Sweep, Swept};

/// What happened to a waiting stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It was quiet for so long that a comment is due.
    Quiet,
    /// Its backend was found dead.
    Fallen,
    /// Its session lies elsewhere, or shall: its backend goes on without it.
    Adrift,
    /// Its session has ended.
    Ended,
    /// This instance wants it to end.
    Parting,
    /// What its client was let in by holds no more.
    Withdrawn,
    /// The deadline of the drain has come.
    Over,
}

/// The sweep's view of one waiting stream.
#[derive(Debug)]
pub struct Signal {
    waker: AtomicWaker,
    quiet: AtomicBool,
    last: AtomicU32,
    heartbeat: u32,
    source: Option<Source>,
    welcome: Option<Welcome>,
    drain: Drain,
}

/// By what a client was let in, and the time by which that ends.
#[derive(Clone, Debug)]
pub struct Welcome {
    validity: Arc<Validity>,
    clock: Clock,
}

impl Welcome {
    /// What the caller of a request was let in by; none where nobody was asked.
    pub fn of(exchange: &Exchange, clock: &Clock) -> Option<Self> {
        let principal = exchange.caller.principal.as_ref()?;
        Some(Self { validity: Arc::clone(&principal.validity), clock: clock.clone() })
    }

    fn is_over(&self) -> bool {
        self.validity.ended(self.clock.now())
    }
}

/// Where a stream comes from, as it was when the stream began.
#[derive(Debug)]
pub struct Source {
    backend: Arc<Backend>,
    falls: u32,
    session: Option<Arc<Moored>>,
    /// A notification stream ends with its session.
    stands: bool,
    /// The berth's mark, of a stream that is to follow its session; none for one that stays to its end.
    follows: Option<Mark>,
    /// Whether it leaves a backend that takes nobody new.
    leaves: bool,
}

impl Source {
    /// The source of a stream that stays where it is to its end.
    pub fn of(hold: &Hold) -> Self {
        let session = hold.busy.as_ref().map(|busy| Arc::clone(busy.session()));
        Self {
            backend: Arc::clone(&hold.backend),
            falls: hold.falls,
            session,
            stands: hold.stands,
            follows: None,
            leaves: false,
        }
    }

    /// It follows its session away from the berth of this mark; `leaves`: also where that only may be had elsewhere.
    pub fn following(self, mark: Mark, leaves: bool) -> Self {
        Self { follows: Some(mark), leaves, ..self }
    }

    /// The session that it follows.
    fn followed(&self) -> Option<&Moored> {
        self.session.as_deref().filter(|_| self.stands)
    }

    fn sign(&self) -> Option<Sign> {
        if self.backend.falls() != self.falls {
            return Some(Sign::Fallen);
        }
        let session = self.session.as_ref().filter(|_| self.stands)?;
        if session.has_ended() {
            return Some(Sign::Ended);
        }
        let mark = self.follows?;
        let leaves = self.leaves && self.backend.is_parting() && session.flying() == 0;
        (leaves || session.mark() != mark).then_some(Sign::Adrift)
    }
}

/// What a stream needs to be looked after while it waits.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Looks over everything that waits.
    pub sweep: Arc<Sweep<Signal>>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// Ticks of quiet after which a comment is due; 0 for none.
    pub heartbeat: u32,
    /// How long its client may hear it; for ever where nobody was asked who it is.
    pub welcome: Option<Welcome>,
}

impl Watch {
    /// The sweep's time.
    pub fn tick(&self) -> u32 {
        self.sweep.tick()
    }

    /// Has a stream looked after that comes from there.
    pub fn over(&self, source: Option<Source>) -> Arc<Signal> {
        let times = (self.tick(), self.heartbeat);
        let signal = Arc::new(Signal::new(times, source, self.welcome.clone(), self.drain.clone()));
        self.sweep.enter(&signal);
        signal
    }
}

impl Signal {
    /// A stream that was heard from at `tick`. `heartbeat` is in ticks, 0 for none.
    #[must_use]
    pub fn new((tick, heartbeat): (u32, u32), source: Option<Source>, welcome: Option<Welcome>, drain: Drain) -> Self {
        Self {
            waker: AtomicWaker::new(),
            quiet: AtomicBool::new(false),
            last: AtomicU32::new(tick),
            heartbeat,
            source,
            welcome,
            drain,
        }
    }

    /// Something was sent at `tick`.
    pub fn touch(&self, tick: u32) {
        self.last.store(tick, Ordering::Relaxed);
    }

    /// To be called when there is nothing to send: leaves the waker, then says what there is to do.
    pub fn listen(&self, context: &Context<'_>) -> Option<Sign> {
        self.waker.register(context.waker());
        if let Some(session) = self.source.as_ref().and_then(Source::followed) {
            session.watch(context.waker());
        }
        if self.drain.phase() >= Phase::Over {
            return Some(Sign::Over);
        }
        if let Some(sign) = self.source.as_ref().and_then(Source::sign) {
            return Some(sign);
        }
        if self.is_withdrawn() {
            return Some(Sign::Withdrawn);
        }
        // Quiet comes first: a response stream that goes on while others part still needs its comments.
        if self.quiet.swap(false, Ordering::Relaxed) {
            return Some(Sign::Quiet);
        }
        (self.drain.phase() >= Phase::Parting).then_some(Sign::Parting)
    }

    fn is_withdrawn(&self) -> bool {
        self.welcome.as_ref().is_some_and(Welcome::is_over)
    }

    fn is_lost(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.sign().is_some())
    }
}

impl Swept for Signal {
    fn sweep(&self, tick: u32) {
        let quiet = self.heartbeat > 0 && tick.wrapping_sub(self.last.load(Ordering::Relaxed)) >= self.heartbeat;
        if quiet {
            self.last.store(tick, Ordering::Relaxed);
            self.quiet.store(true, Ordering::Relaxed);
        }
        if quiet || self.is_lost() || self.is_withdrawn() || self.drain.phase() >= Phase::Parting {
            self.waker.wake();
        }
    }
}
