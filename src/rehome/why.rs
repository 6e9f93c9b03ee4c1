//! Why a session is moved: what follows from it, and what moves are counted by.

use crate::names::BackendId;

/// Why a session is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its backend is lost.
    Lost,
    /// Its backend is well, and has forgotten it: it may be rebuilt there.
    Forgotten,
    /// On purpose, while nothing of it is in flight.
    Parting,
    /// The same because an operator wants it so, and perhaps where it is to go. Should that not do, it stays as it is.
    Ordered(Option<BackendId>),
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Forgotten, Self::Parting, Self::Ordered(None)];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Forgotten => "forgotten",
            Self::Parting => "parting",
            Self::Ordered(_) => "ordered",
        }
    }

    /// The same wherever it is to go: what moves are counted by.
    #[must_use]
    pub const fn kind(self) -> Self {
        match self {
            Self::Ordered(_) => Self::Ordered(None),
            other => other,
        }
    }
}
