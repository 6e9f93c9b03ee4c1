//! What can go wrong with a call or a stream, by kind: the words that the display and the reports use. It judges nothing.

use std::fmt;

use crate::wire::{ConnectFailure, WireError};

/// A kind of error. Each call that failed counts under one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// No connection could be made.
    Connect,
    /// No whole answer came in time.
    Timeout,
    /// The connection ended before the answer was whole.
    Broken,
    /// An HTTP status that is no success, and that says nothing of a lost session.
    Status(u16),
    /// A JSON-RPC error in an answer that HTTP calls a success.
    JsonRpc(i64),
    /// A tool's result says `isError`.
    ToolError,
    /// The server does not know the session any more.
    SessionLost,
    /// An event stream broke: that of a call, with no way to resume it, or a user's own notification stream.
    StreamBroken,
    /// An answer to another request than the one that was sent, or a second answer to it.
    WrongAnswer,
    /// An answer that is no MCP message.
    Unreadable,
    /// The server asks for input before it goes on (`input_required`), which simulated users do not give.
    InputRequired,
    /// JSON-RPC codes beyond those that are told apart.
    OtherJsonRpc,
    /// A call that was never sent: so many were waiting for their user already.
    Missed,
    /// A call that was planned in time and neither answered nor given up when the run ended.
    Unfinished,
}

/// An error with what was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// The kind.
    pub kind: Trouble,
    /// An example for people, at most some hundred bytes.
    pub said: String,
}

/// Bytes that are kept of what was said.
const SAID: usize = 200;

impl Mishap {
    /// An error with what was said about it, which is shortened.
    #[must_use]
    pub fn new(kind: Trouble, said: &str) -> Self {
        Self { kind, said: said.trim().chars().take(SAID).collect() }
    }
}

impl From<WireError> for Mishap {
    fn from(error: WireError) -> Self {
        let kind = match &error {
            WireError::Connect { why: ConnectFailure::Timeout, .. } | WireError::HeadTimeout { .. } => Trouble::Timeout,
            WireError::Connect { .. } | WireError::Busy { .. } => Trouble::Connect,
            _ => Trouble::Broken,
        };
        let mut said = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            said = format!("{said}: {source}");
            cause = source.source();
        }
        Self::new(kind, &said)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Connect => "no connection",
            Self::Timeout => "timeout",
            Self::Broken => "connection broken",
            Self::Status(status) => return write!(f, "HTTP {status}"),
            Self::JsonRpc(code) => return write!(f, "JSON-RPC {code}"),
            Self::ToolError => "isError result",
            Self::SessionLost => "session lost",
            Self::StreamBroken => "stream broken",
            Self::WrongAnswer => "wrong or duplicate answer",
            Self::Unreadable => "unreadable answer",
            Self::InputRequired => "input required",
            Self::OtherJsonRpc => "other JSON-RPC errors",
            Self::Missed => "missed",
            Self::Unfinished => "unfinished",
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_kept_short() {
        assert_eq!(Mishap::new(Trouble::Timeout, &" ä".repeat(1000)).said.chars().count(), SAID);
    }

    #[test]
    fn the_wires_errors_have_their_kinds() {
        let timeout = WireError::Connect { why: ConnectFailure::Timeout, source: None };
        assert_eq!(Mishap::from(timeout).kind, Trouble::Timeout);
        let refused = WireError::Connect { why: ConnectFailure::Refused, source: None };
        assert_eq!(Mishap::from(refused).kind, Trouble::Connect);
        assert_eq!(Mishap::from(WireError::NoAnswer { reused: true, source: None }).kind, Trouble::Broken);
    }
}
