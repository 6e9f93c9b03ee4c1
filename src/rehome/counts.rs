//! What is counted of moves: how many this instance made, how they ended, and how long those took that went well.

use std::time::Duration;

use super::{Stop, Why};
use crate::meter::{Counter, Family, Histogram};
use crate::names::PoolId;
use crate::reject::Cause;

/// Pools that are told apart at most.
const MOST_POOLS: usize = 256;

/// The moves that this instance made, by all threads.
#[derive(Debug)]
pub struct Counts {
    /// By pool, why, and how it ended.
    pub moves: Family<(PoolId, Why, Fate), Counter>,
    /// How long it took to rebuild a session elsewhere, by pool. Moves that came to nothing are left out.
    pub took: Family<PoolId, Histogram>,
}

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The session lies elsewhere, or was rebuilt where it lay.
    Moved,
    /// It lies where it lay: nobody could take it, or the store did not answer.
    Stayed,
    /// A server has refused the client's credentials, or ours.
    Refused,
    /// The session has come to its end.
    Lost,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Moved, Self::Stayed, Self::Refused, Self::Lost];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Stayed => "stayed",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }

    fn of(moved: &Result<(), Stop>) -> Self {
        match moved {
            Ok(()) => Self::Moved,
            Err(Stop::Answered(_)) => Self::Refused,
            Err(Stop::Refused(Cause::SessionLost | Cause::SessionUnknown)) => Self::Lost,
            Err(Stop::Refused(_)) => Self::Stayed,
        }
    }
}

impl Counts {
    pub(super) fn count(&self, pool: PoolId, why: Why, moved: &Result<(), Stop>, took: Duration) {
        let fate = Fate::of(moved);
        self.moves.of((pool, why.kind(), fate)).increment();
        if fate == Fate::Moved {
            self.took.of(pool).observe(took);
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        let most = MOST_POOLS * Why::ALL.len() * Fate::ALL.len();
        Self { moves: Family::new(most), took: Family::new(MOST_POOLS) }
    }
}
