//! What is known of an exchange: written down station by station, read when its answer has ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::metrics::Exemplar;
use super::names::Method;
use super::trace::Recorded;
use super::verdict::Verdict;
use crate::auth::Principal;
use crate::exchange::{Ask, Exchange};
use crate::fleet::{Backend, Pool};
use crate::mcp::trace_context::TraceId;
use crate::mcp::version::Era;
use crate::names::SessionId;

/// The trail of one exchange; nothing where nobody keeps it.
#[derive(Debug, Default)]
pub struct Trail(pub(super) Option<Box<Notes>>);

/// What is written down of one exchange, all in one place that never moves.
#[derive(Debug)]
pub struct Notes {
    /// When its header fields had come.
    pub(super) began: Instant,
    pub(super) facts: Option<Facts>,
    pub(super) session: Option<SessionId>,
    pub(super) cached: Option<&'static str>,
    pub(super) refusal: Option<&'static str>,
    /// The limit that has refused it.
    pub(super) limit: Option<Box<str>>,
    pub(super) legs: Legs,
    /// The trace that it belongs to, recorded or not.
    pub(super) trace: Option<TraceId>,
    /// What is told of it where it is recorded.
    pub(super) recorded: Option<Box<Recorded>>,
    pub(super) seen: Seen,
}

impl Notes {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            facts: None,
            session: None,
            cached: None,
            refusal: None,
            limit: None,
            legs: Legs::default(),
            trace: None,
            recorded: None,
            seen: Seen {
                status: StatusCode::OK,
                head: began,
                bytes: 0,
                ended: false,
                verdict: Verdict::Good,
                code: None,
            },
        }
    }
}

/// What was seen of its answer.
#[derive(Debug)]
pub struct Seen {
    pub(super) status: StatusCode,
    /// When its header fields were ready.
    pub(super) head: Instant,
    pub(super) bytes: u64,
    pub(super) ended: bool,
    pub(super) verdict: Verdict,
    /// The code of the JSON-RPC error that was answered, where anybody is told.
    pub(super) code: Option<i64>,
}

/// Its ways to backends.
#[derive(Debug, Default)]
pub struct Legs {
    /// How often it was sent.
    pub(super) tries: u32,
    /// Where it was sent last.
    pub(super) backend: Option<Arc<Backend>>,
    /// When it was sent last, until the head of the answer has come.
    pub(super) sent: Option<Instant>,
    /// How long backends were waited for, all tries together.
    pub(super) waited: Duration,
}

/// What the request is.
#[derive(Debug)]
pub struct Facts {
    /// When its body had come too: from here on, time is Moorline's own or a backend's.
    pub(super) read: Instant,
    pub(super) era: Era,
    pub(super) method: Method,
    /// The method, where it has no label of its own.
    pub(super) verb: Option<Box<str>>,
    /// The tool, prompt or resource that it names.
    pub(super) name: Option<Box<str>>,
    pub(super) is_tool: bool,
    /// Its answer is a stream that stays open.
    pub(super) stands: bool,
    pub(super) pool: Arc<Pool>,
    pub(super) client: IpAddr,
    pub(super) caller: Option<Arc<Principal>>,
    /// Bytes of the request's body.
    pub(super) body: u64,
}

impl Facts {
    pub(super) fn of(exchange: &Exchange, read: Instant) -> Self {
        let verb = exchange.verb();
        let method = Method::of(verb);
        let name = match &exchange.ask {
            Ask::Call(call) => call.name.clone(),
            _ => None,
        };
        Self {
            read,
            era: exchange.era,
            method,
            verb: (method == Method::OTHER).then(|| verb.into()),
            name,
            is_tool: exchange.tool().is_some(),
            stands: matches!(exchange.ask, Ask::Stream) || exchange.listens(),
            pool: Arc::clone(&exchange.pool),
            client: exchange.caller.addr,
            caller: exchange.caller.principal.clone(),
            body: exchange.body.len() as u64,
        }
    }

    /// The method as the client wrote it.
    pub(super) fn verb(&self) -> &str {
        self.verb.as_deref().unwrap_or_else(|| self.method.name())
    }
}

impl Legs {
    pub(super) fn sent(&mut self, backend: &Arc<Backend>, now: Instant) {
        self.arrived(now);
        self.tries += 1;
        self.backend = Some(Arc::clone(backend));
        self.sent = Some(now);
    }

    /// The wait for the last one is over, well or badly.
    pub(super) fn arrived(&mut self, now: Instant) {
        if let Some(sent) = self.sent.take() {
            self.waited += now.saturating_duration_since(sent);
        }
    }
}

/// How an exchange has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered, without a word of a failure.
    Good,
    /// A tool has said that it failed.
    ToolFailed,
    /// The server has answered by an error.
    Failed,
    /// Refused here.
    Refused,
    /// The client has left before its answer had ended.
    Left,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Good, Self::ToolFailed, Self::Failed, Self::Refused, Self::Left];

    /// The label's text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::ToolFailed => "tool_error",
            Self::Failed => "error",
            Self::Refused => "refused",
            Self::Left => "client_left",
        }
    }
}

/// An exchange whose answer has ended.
#[derive(Debug)]
pub struct Done<'a> {
    /// What was written down.
    pub trail: &'a Notes,
    /// How it has ended.
    pub outcome: Outcome,
    /// From the request's header fields to the end of the answer.
    pub whole: Duration,
    /// Time in Moorline: from the end of the request's body to the head of the answer, without what backends took.
    pub own: Duration,
    /// Time that backends took to begin their answers.
    pub backend: Duration,
}

impl Done<'_> {
    /// A duration of it with the trace in which it can be found, where that is recorded.
    pub(super) fn exemplar(&self, took: Duration) -> Option<Exemplar> {
        let recorded = self.trail.recorded.as_ref()?;
        let trace = u128::from_be_bytes(recorded.traced.place.trace.0);
        Some(Exemplar { trace, took, at: recorded.ended_at(self.whole) })
    }

    pub(super) fn outcome(trail: &Notes) -> Outcome {
        let (seen, status) = (&trail.seen, trail.seen.status);
        let stands = trail.facts.as_ref().is_some_and(|facts| facts.stands);
        match seen.verdict {
            _ if trail.refusal.is_some() => Outcome::Refused,
            Verdict::Failed => Outcome::Failed,
            Verdict::ToolFailed => Outcome::ToolFailed,
            Verdict::Good if status.is_client_error() || status.is_server_error() => Outcome::Failed,
            // An open stream has no end of its own: its client closes it.
            Verdict::Good if !seen.ended && !stands => Outcome::Left,
            Verdict::Good => Outcome::Good,
        }
    }
}
