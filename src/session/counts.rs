//! What is counted of sessions: how many began through this instance, and how those that it knew came to their end.

use crate::meter::{Counter, Family};
use crate::names::PoolId;

/// Pools that are told apart at most.
const MOST_POOLS: usize = 256;

/// Sessions that began and ended.
#[derive(Debug)]
pub struct Counts {
    /// Opened here, by pool.
    pub opened: Family<PoolId, Counter>,
    /// No longer known here, by pool and reason.
    pub ended: Family<(PoolId, Ending), Counter>,
}

/// Why a session is no longer known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its client has said goodbye.
    Deleted,
    /// It has rested too long, or was too old.
    Expired,
    /// Its server has forgotten it, or is gone, and nothing could rebuild it.
    Lost,
    /// An operator has ended it.
    Ordered,
    /// Another instance has ended it.
    Elsewhere,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Deleted, Self::Expired, Self::Lost, Self::Ordered, Self::Elsewhere];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Ordered => "ordered",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self { opened: Family::new(MOST_POOLS), ended: Family::new(MOST_POOLS * Ending::ALL.len()) }
    }
}
