//! The way down: how far this instance has got with going away. One value that everybody reads and only the
//! composition root moves forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

/// How far the way down is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// All is served.
    Serving = 0,
    /// Not ready any more, so that balancers look elsewhere; all is still served.
    Noticed = 1,
    /// No new sessions; those that are there go on, and what is in flight comes to its end.
    Closing = 2,
    /// No new connections and requests; notification streams end so that clients come back elsewhere.
    Parting = 3,
    /// The deadline: what still runs is told that it will not be answered.
    Over = 4,
}

impl Phase {
    /// In one word, for people and for other instances.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Noticed => "noticed",
            Self::Closing => "closing",
            Self::Parting | Self::Over => "parting",
        }
    }

    /// What comes after it.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Serving => Some(Self::Noticed),
            Self::Noticed => Some(Self::Closing),
            Self::Closing => Some(Self::Parting),
            Self::Parting => Some(Self::Over),
            Self::Over => None,
        }
    }
}

/// The shared value.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Read on every request.
    phase: Arc<AtomicU8>,
    /// Waited on by every connection.
    change: watch::Sender<Phase>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { phase: Arc::default(), change: watch::Sender::new(Phase::Serving) }
    }
}

impl Drain {
    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Serving,
            1 => Phase::Noticed,
            2 => Phase::Closing,
            3 => Phase::Parting,
            _ => Phase::Over,
        }
    }

    /// Moves forward; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        self.change.send_if_modified(|now| {
            let forward = *now < phase;
            *now = phase.max(*now);
            forward
        });
    }

    /// Waits until it has got as far as `phase`.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in self, so waiting cannot fail.
        drop(self.change.subscribe().wait_for(|now| *now >= phase).await);
    }
}
