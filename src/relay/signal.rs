//! What a waiting stream is told by the sweep: that it was quiet for long, that its backend was found dead, or that this
//! instance is going away. One small block per waiting stream, no timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;

use crate::drain::{Drain, Phase};
use crate::fleet::Backend;
use crate::sweep::Swept;

/// What happened to a waiting stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It was quiet for so long that a comment is due.
    Quiet,
    /// Its backend was found dead or has left the pool.
    Fallen,
    /// This instance wants it to end.
    Parting,
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
    source: Option<(Arc<Backend>, u32)>,
    drain: Drain,
}

impl Signal {
    /// A stream that was heard from at `tick`. `heartbeat` is in ticks, 0 for none; `source` is its backend with the
    /// number of falls that the backend had when the stream began.
    #[must_use]
    pub fn new(tick: u32, heartbeat: u32, source: Option<(Arc<Backend>, u32)>, drain: Drain) -> Self {
        Self {
            waker: AtomicWaker::new(),
            quiet: AtomicBool::new(false),
            last: AtomicU32::new(tick),
            heartbeat,
            source,
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
        if self.drain.phase() >= Phase::Over {
            return Some(Sign::Over);
        }
        if self.fell() {
            return Some(Sign::Fallen);
        }
        // Quiet comes first: a response stream that goes on while others part still needs its comments.
        if self.quiet.swap(false, Ordering::Relaxed) {
            return Some(Sign::Quiet);
        }
        (self.drain.phase() >= Phase::Parting).then_some(Sign::Parting)
    }

    fn fell(&self) -> bool {
        self.source.as_ref().is_some_and(|(backend, falls)| backend.falls() != *falls)
    }
}

impl Swept for Signal {
    fn sweep(&self, tick: u32) {
        let quiet = self.heartbeat > 0 && tick.wrapping_sub(self.last.load(Ordering::Relaxed)) >= self.heartbeat;
        if quiet {
            self.last.store(tick, Ordering::Relaxed);
            self.quiet.store(true, Ordering::Relaxed);
        }
        if quiet || self.fell() || self.drain.phase() >= Phase::Parting {
            self.waker.wake();
        }
    }
}
