//! Why a server did not do as it was asked, and what that says: about the connection, about the way there, or only about
//! the one request. Decides nothing.

use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use crate::config::HostPort;
use crate::store::StoreError;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody is connected to who has these keys.
    #[error("not connected")]
    Away,
    /// No answer within the timeout.
    #[error("no answer in time")]
    Late,
    /// The connection failed, or was never made.
    #[error("connection failed")]
    Broken(#[source] RedisError),
    /// The connection failed under a request that was sent with others.
    #[error("connection failed meanwhile")]
    Cut,
    /// The connection could not be made.
    #[error("cannot connect")]
    Unreachable(#[from] std::io::Error),
    /// This server is not (or not yet, or no longer) the one that may be written to.
    #[error("not the primary, or not ready")]
    Demoted(#[source] RedisError),
    /// The keys are at another server.
    #[error("slot has moved")]
    Redirect {
        /// Where.
        to: HostPort,
        /// Whether for this one request only.
        once: bool,
    },
    /// The slot is being moved, and some of the keys are here and some there.
    #[error("slot is being moved")]
    Split,
    /// The server does not know the script.
    #[error("script is not known")]
    NoScript,
    /// A key holds something that Moorline did not put there.
    #[error("a key of another type")]
    OtherType,
    /// The server refused for a reason of its own.
    #[error("the server refuses")]
    Refused(#[source] RedisError),
    /// Nobody whom we know says where the keys are.
    #[error("nobody knows the primary: {0}")]
    Lost(&'static str),
    /// The answer has not the form that it must have.
    #[error("an answer of an unexpected form: {0}")]
    Odd(&'static str),
}

impl Trouble {
    /// Whether the same request may be sent elsewhere, since it cannot have been executed.
    pub const fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Redirect { .. } | Self::NoScript)
    }

    /// Whether the request was certainly not executed.
    pub const fn is_undone(&self) -> bool {
        self.is_elsewhere()
            || matches!(self, Self::Away | Self::Split | Self::Demoted(_) | Self::Refused(_) | Self::Lost(_))
    }

    /// Reads an error; `asked` is who gave it.
    pub fn read(error: RedisError, asked: Option<&HostPort>) -> Self {
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::Refused(error);
        }
        match error.code() {
            None => Self::Broken(error),
            Some("MOVED" | "ASK") => match redirect(&error, asked) {
                Some(trouble) => trouble,
                None => Self::Refused(error),
            },
            Some("TRYAGAIN") => Self::Split,
            Some("NOSCRIPT") => Self::NoScript,
            Some("WRONGTYPE") => Self::OtherType,
            Some("READONLY" | "LOADING" | "MASTERDOWN") => Self::Demoted(error),
            Some(_) => Self::Refused(error),
        }
    }

    /// What callers of the store are told.
    pub fn into_store_error(self) -> StoreError {
        match self {
            Self::OtherType => StoreError::Corrupt { what: self.to_string() },
            Self::Odd(what) => StoreError::Corrupt { what: what.to_owned() },
            trouble => StoreError::Unavailable { source: Arc::new(trouble) },
        }
    }
}

/// Where an error sends us. A server that does not know its own name leaves the host out: it means itself.
fn redirect(error: &RedisError, asked: Option<&HostPort>) -> Option<Trouble> {
    let (node, _slot) = error.redirect_node()?;
    let (host, port) = node.rsplit_once(':')?;
    let host = if host.is_empty() { &asked?.host } else { host };
    let to = HostPort { host: host.to_owned(), port: port.parse().ok()? };
    Some(Trouble::Redirect { to, once: error.code() == Some("ASK") })
}
