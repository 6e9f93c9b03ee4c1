//! What can go wrong between Moorline and a backend. Owns the words for it, and above all the two answers
//! that the walk needs: in which phase it failed, and whether the backend can have executed the request.
//! Refuses to decide what a client is told about it.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// How far an exchange with a backend had got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No connection yet.
    Connect,
    /// The request was being written.
    Send,
    /// The request is out, the response's head is not complete.
    Head,
    /// The response's head was handed over, its body is under way.
    Body,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectFailure {
    /// Nobody listens at the address, or a firewall says so.
    #[error("refused")]
    Refused,
    /// No answer within `connect_timeout`.
    #[error("no answer in time")]
    Timeout,
    /// There is no way to the address.
    #[error("unreachable")]
    Unreachable,
    /// The TLS handshake failed: its certificate is no good, say, or ours is not to the backend.
    #[error("TLS handshake failed")]
    Tls,
    /// This machine could not: out of descriptors, ports or memory.
    #[error("failed")]
    Other,
}

/// What a response did that HTTP does not allow, or that is over a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The first bytes are not `HTTP/1.`.
    #[error("not an http/1 response")]
    NotHttp1,
    /// A line of the head or of the framing ends without CR (RFC 9112 §2.2 lets us refuse).
    #[error("bare line feed")]
    BareLf,
    /// The head breaks the grammar: obs-fold, bare CR, NUL, space before a colon, and the like.
    #[error("head breaks the grammar")]
    Head,
    /// The head has over 64 KiB.
    #[error("head over 64 KiB")]
    HeadTooLarge,
    /// The head has over 100 fields.
    #[error("over 100 header fields")]
    TooManyHeaders,
    /// Over 32 interim responses before the final one.
    #[error("over 32 interim responses")]
    TooManyInterim,
    /// 101 without having been asked.
    #[error("protocol switch that nobody asked for")]
    Upgrade,
    /// `Content-Length` is not a plain number, or too big, or given twice with different values.
    #[error("content-length invalid")]
    Length,
    /// `Content-Length` and `Transfer-Encoding` together (RFC 9112 §6.3 calls it an error to be handled).
    #[error("content-length and transfer-encoding together")]
    Conflict,
    /// `Transfer-Encoding` is not exactly `chunked`, or stands in an HTTP/1.0 response.
    #[error("transfer-encoding unsupported")]
    Encoding,
    /// A chunk's size line is not `HEXDIG [; extension] CRLF`, or its size overflows.
    #[error("chunk size invalid")]
    ChunkSize,
    /// A chunk's size line has over 1 KiB.
    #[error("chunk size line over 1 KiB")]
    ChunkLineTooLong,
    /// A chunk's data is not followed by CRLF.
    #[error("chunk without its end")]
    ChunkEnd,
    /// The trailer section breaks the grammar.
    #[error("trailer breaks the grammar")]
    Trailer,
    /// The trailer section has over 16 KiB.
    #[error("trailer over 16 KiB")]
    TrailerTooLarge,
}

impl Fault {
    /// Whether it is a bound of ours that was passed, rather than HTTP's grammar that was broken.
    #[must_use]
    pub const fn is_bound(self) -> bool {
        matches!(
            self,
            Self::HeadTooLarge
                | Self::TooManyHeaders
                | Self::TooManyInterim
                | Self::ChunkLineTooLong
                | Self::TrailerTooLarge
        )
    }
}

/// An exchange with a backend that failed.
#[derive(Debug, Error)]
pub enum WireError {
    /// There is no connection; nothing was sent.
    #[error("no connection to the backend: {why}{}", because(*why, source.as_ref()))]
    Connect {
        /// The kind of failure.
        why: ConnectFailure,
        /// What the system said; nothing on a timeout.
        source: Option<io::Error>,
    },
    /// As many requests as allowed are in flight, and none ended within `busy_wait`; nothing was sent.
    #[error("{limit} requests are in flight to the backend already")]
    Busy {
        /// The bound, `max_in_flight_per_backend`.
        limit: usize,
    },
    /// Writing the request failed, and the backend had not answered early.
    #[error("request not sent completely")]
    Send {
        /// Whether any byte of it left this process.
        sent_any: bool,
        /// What the system said.
        source: io::Error,
    },
    /// The connection ended after the request was sent, and not one byte of an answer came.
    #[error("connection closed without an answer (reused: {reused})")]
    NoAnswer {
        /// Whether the connection had served an exchange before: then it was most likely the backend's idle
        /// timeout, which crossed with our request. Even so the request may have been executed (RFC 9110 §9.2.2).
        reused: bool,
        /// What the system said; nothing when it was a clean end.
        source: Option<io::Error>,
    },
    /// The response's head was not complete in time.
    #[error("no response head within {after:?}")]
    HeadTimeout {
        /// The time allowed, `head_timeout`.
        after: Duration,
    },
    /// The response breaks HTTP's rules or passes one of our bounds ([`Fault::is_bound`]).
    #[error("response malformed: {what}")]
    Malformed {
        /// Head or body.
        phase: Phase,
        /// What it did.
        what: Fault,
    },
    /// The connection ended in the middle of a response's head or body.
    #[error("response truncated in its {phase:?}")]
    Truncated {
        /// Head or body.
        phase: Phase,
    },
    /// Reading failed in the middle of a response's head or body.
    #[error("response unreadable in its {phase:?}")]
    Read {
        /// Head or body.
        phase: Phase,
        /// What the system said.
        source: io::Error,
    },
    /// HTTP/2 failed: a stream reset, a connection error, a malformed frame.
    #[error("http/2 failed")]
    Http2 {
        /// How far the exchange had got.
        phase: Phase,
        /// Whether the peer can have executed it: not if it said `REFUSED_STREAM`, or named an earlier stream as
        /// its last in GOAWAY (RFC 9113 §8.7), or if the request never left.
        executed: bool,
        /// What hyper said.
        source: hyper::Error,
    },
}

impl WireError {
    /// How far the exchange had got.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Connect { .. } | Self::Busy { .. } => Phase::Connect,
            Self::Send { .. } => Phase::Send,
            Self::NoAnswer { .. } | Self::HeadTimeout { .. } => Phase::Head,
            Self::Malformed { phase, .. }
            | Self::Truncated { phase }
            | Self::Read { phase, .. }
            | Self::Http2 { phase, .. } => *phase,
        }
    }

    /// Whether the backend can have executed the request. `false` is proof: sending it again cannot execute it
    /// twice. `true` is only doubt.
    #[must_use]
    pub const fn can_have_been_executed(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Busy { .. } => false,
            Self::Send { sent_any, .. } => *sent_any,
            Self::Http2 { executed, .. } => *executed,
            Self::NoAnswer { .. }
            | Self::HeadTimeout { .. }
            | Self::Malformed { .. }
            | Self::Truncated { .. }
            | Self::Read { .. } => true,
        }
    }

    /// Whether the address refused the connection: nobody listens there, the backend is gone for now.
    #[must_use]
    pub const fn refused(&self) -> bool {
        matches!(self, Self::Connect { why: ConnectFailure::Refused, .. })
    }

    /// Whether the backend could not be met over TLS, which waiting will not mend.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Connect { why: ConnectFailure::Tls, .. })
    }

    /// A failure to connect, sorted by what the system said.
    pub(super) fn connect(source: io::Error) -> Self {
        let why = match source.kind() {
            // Reset: it was in the queue of a process that died before it could be accepted.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectFailure::Refused,
            io::ErrorKind::TimedOut => ConnectFailure::Timeout,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                ConnectFailure::Unreachable
            }
            _ => ConnectFailure::Other,
        };
        Self::Connect { why, source: Some(source) }
    }
}

/// Of a handshake one wants to know why at once.
fn because(why: ConnectFailure, source: Option<&io::Error>) -> String {
    match source {
        Some(source) if why == ConnectFailure::Tls => format!(": {source}"),
        _ => String::new(),
    }
}
