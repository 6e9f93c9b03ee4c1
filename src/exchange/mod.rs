//! One client request on its walk, and what the stations tell each other about it, in typed fields. Facts only: it
//! decides nothing and does no I/O.

mod context;
mod moored;
mod site;
mod traced;
mod veil;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

pub use crate::auth::{Certificate, MAX_NAMES};
pub use context::{carries_credentials, context_of, known_of};
pub use moored::{Busy, Moored, Opened};
pub use site::{metadata_url, site};
pub use traced::{Attempt, MOVE, Meta, Place, Step, Traced, What, during};
pub use veil::Veil;

use crate::auth::Principal;
use crate::fleet::{Backend, Pool};
use crate::mcp::trace_context::MetaTrace;
use crate::mcp::version::Era;
use crate::names::{BackendId, CallerDigest, Mark};
use crate::reject::Asker;
use crate::store::Berth;

/// Where a protected resource describes itself (RFC 9728 §3). Such a path belongs to the pool whose path it ends with.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where the key is published by which backends verify who calls; the pool's path follows.
pub const IDENTITY_KEYS: &str = "/.well-known/moorline-identity";

/// One client request on its walk.
#[derive(Debug)]
pub struct Exchange {
    /// The pool whose path it names.
    pub pool: Arc<Pool>,
    /// Who asks.
    pub caller: Caller,
    /// Which family of protocol versions it speaks. A property of the request, not of the connection.
    pub era: Era,
    /// What it asks for.
    pub ask: Ask,
    /// What its server says of the tool that it calls, as far as that is known.
    pub facts: Option<ToolFacts>,
    /// Whether its result is looked into, whatever it asks for.
    pub inspected: bool,
    /// What its caller is shown of lists of tools, where that is not all.
    pub veil: Option<Veil>,
    /// Whether it opens a session without credentials.
    pub openly: bool,
    /// What its body says of the trace that it belongs to.
    pub meta_trace: Option<Box<MetaTrace>>,
    /// What is written down on its way, where its trace is recorded.
    pub traced: Option<Arc<Traced>>,
    /// To whom a refusal would go.
    pub asker: Asker,
    /// Where it came from, hop by hop.
    pub origin: Origin,
    /// The `Last-Event-ID` that a stream is resumed from, as the client sent it.
    pub resumes: Option<Box<str>>,
    /// HTTP's method.
    pub method: Method,
    /// The request target as it came.
    pub uri: Uri,
    /// The host that the client asked for.
    pub host: Option<HeaderValue>,
    /// The session id that the client sent.
    pub claim: Option<HeaderValue>,
    /// The header fields as they came, until the relay takes them.
    pub headers: HeaderMap,
    /// The body, whole and within its bound.
    pub body: Bytes,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address.
    pub addr: IpAddr,
    /// Who it is, where that was found out.
    pub principal: Option<Arc<Principal>>,
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The same as header fields say it.
    pub hop: Arc<Hop>,
    /// Whether the peer is a trusted proxy, whose forwarding header fields are believed and passed on.
    pub trusted: bool,
}

/// The other end of a connection, in the forms that header fields want; made once for each connection.
#[derive(Debug)]
pub struct Hop {
    /// The address.
    pub addr: HeaderValue,
    /// An element of `Forwarded` (RFC 7239) without the host.
    pub forwarded: HeaderValue,
    /// What the connection was opened for: `http`, or `https` where it runs over TLS.
    pub proto: &'static str,
}

impl Hop {
    /// The forms of `peer` on a plain connection.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self::over(peer, "http")
    }

    /// The forms of `peer` on a connection over TLS.
    #[must_use]
    pub fn secure(peer: SocketAddr) -> Self {
        Self::over(peer, "https")
    }

    fn over(peer: SocketAddr, proto: &'static str) -> Self {
        let addr = peer.ip().to_canonical();
        let node = if addr.is_ipv6() { format!("\"[{addr}]\"") } else { addr.to_string() };
        let value = |text: String| HeaderValue::try_from(text).expect("an address may stand in a header field");
        Self { addr: value(addr.to_string()), forwarded: value(format!("for={node};proto={proto}")), proto }
    }
}

/// What is asked for.
#[derive(Debug)]
pub enum Ask {
    /// A JSON-RPC request.
    Call(Call),
    /// A JSON-RPC notification.
    Note(Said),
    /// A JSON-RPC response to a server's request.
    Reply,
    /// Several messages at once (2025-03-26).
    Batch(Vec<Said>),
    /// GET: the session's notification stream, or the rest of an earlier stream.
    Stream,
    /// DELETE: the session shall end.
    Goodbye,
    /// Something that any backend may answer and that belongs to no session: OPTIONS, well-known documents.
    Plain,
}

/// A JSON-RPC request.
#[derive(Debug)]
pub struct Call {
    /// Its id, raw JSON.
    pub id: Box<str>,
    /// Its method.
    pub method: Box<str>,
    /// The tool, prompt or resource that it names.
    pub name: Option<Box<str>>,
    /// What it does beyond being relayed.
    pub act: Act,
}

/// A message that is not a request by itself.
#[derive(Debug)]
pub struct Said {
    /// Its method; none for a response.
    pub method: Option<Box<str>>,
    /// The tool, prompt or resource that it names.
    pub name: Option<Box<str>>,
    /// What it does beyond being relayed.
    pub act: Act,
}

/// What a message does beyond being relayed.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    None,
    /// It opens a session; the raw JSON of its params.
    Initialize(Box<str>),
    /// The client has seen the answer to `initialize`.
    Initialized,
    /// It sets the log level.
    SetLevel(Box<str>),
    /// It subscribes to a resource.
    Subscribe(Box<str>),
    /// It ends the subscription to a resource.
    Unsubscribe(Box<str>),
    /// It asks for the list of tools, from which the catalogue learns.
    ListTools,
    /// It may be answered with `input_required`, or be the retry of such an answer.
    Rounds(Option<Retry>),
    /// It opens a stream of change notifications; the raw JSON of its filter.
    Listen(Box<str>),
}

/// The retry of an `input_required` result.
#[derive(Debug, PartialEq, Eq)]
pub struct Retry {
    /// Where the raw `requestState` lies in the body.
    pub state: Range<usize>,
    /// The backend that minted the state, once it has been opened; none where the text was not ours.
    pub backend: Option<BackendId>,
}

/// What a server says of one tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolFacts {
    /// `readOnlyHint`: a call changes nothing.
    pub read_only: bool,
    /// `idempotentHint`: a second call with the same arguments changes nothing more.
    pub idempotent: bool,
    /// `destructiveHint`, said in so many words.
    pub destructive: bool,
    /// Digest of the input schema's text.
    pub schema: [u8; 8],
}

impl ToolFacts {
    /// Whether a call may be repeated without harm, going by the server's own word.
    #[must_use]
    pub const fn is_repeatable(&self) -> bool {
        self.read_only || self.idempotent
    }
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The backend.
    pub backend: Arc<Backend>,
    /// The session's berth there, where the request has a session.
    pub berth: Option<Arc<Berth>>,
}

impl Heading {
    /// The mark of the berth; 0 where there is none.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.berth.as_ref().map_or(Mark(0), |berth| berth.mark())
    }
}

/// Why no backend could be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// Nobody can take the request now.
    Nobody,
    /// The session's backend is out of use: it was found dead, or answers nothing.
    Down,
    /// The session's backend has left the pool for good.
    Left,
}

impl Caller {
    /// What a session is bound to: nobody in particular where nobody is authenticated, since there the id is the secret
    /// and a client whose address changes keeps its session.
    #[must_use]
    pub fn digest(&self) -> CallerDigest {
        self.principal.as_ref().map_or(CallerDigest::ANYBODY, |principal| principal.digest)
    }

    /// How the caller is called where an operator asks for it: by its own name, or by its address.
    #[must_use]
    pub fn label(&self) -> Cow<'_, str> {
        match &self.principal {
            Some(principal) => principal.label(),
            None => Cow::Owned(self.addr.to_string()),
        }
    }
}

impl Exchange {
    /// Whether the request opens a session.
    #[must_use]
    pub const fn opens_session(&self) -> bool {
        matches!(&self.ask, Ask::Call(Call { act: Act::Initialize(_), .. }))
    }

    /// Whether it opens a stream of change notifications (modern era).
    #[must_use]
    pub fn listens(&self) -> bool {
        self.era == Era::Modern && matches!(&self.ask, Ask::Call(Call { act: Act::Listen(_), .. }))
    }

    /// Whether its session may be moved for it alone: not to say goodbye, and not for a reply, which only its berth understands.
    #[must_use]
    pub const fn is_worth_a_move(&self) -> bool {
        !matches!(self.ask, Ask::Goodbye | Ask::Reply | Ask::Batch(_))
    }

    /// Whether it belongs to a session, or would, if the pool keeps any.
    #[must_use]
    pub fn wants_session(&self) -> bool {
        self.era == Era::Legacy && !self.opens_session() && !matches!(self.ask, Ask::Plain)
    }

    /// The value of a header field that names somebody. One that anybody can send would let everybody choose who to be: only a
    /// trusted proxy's counts, and not where the client's own stands beside it.
    #[must_use]
    pub fn vouched(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().filter(|_| self.origin.trusted)?;
        values.next().is_none().then_some(value)
    }

    /// The tool that it calls.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        match &self.ask {
            Ask::Call(call) if &*call.method == "tools/call" => call.name.as_deref(),
            _ => None,
        }
    }

    /// Whether an unfinished answer would leave somebody waiting: the ids that wait.
    #[must_use]
    pub fn waiting(&self) -> &[Box<str>] {
        &self.asker.ids
    }

    /// The JSON-RPC method, or what HTTP calls it where there is none.
    #[must_use]
    pub fn verb(&self) -> &str {
        match &self.ask {
            Ask::Call(call) => &call.method,
            Ask::Note(Said { act: Act::Initialized, .. }) => "notifications/initialized",
            Ask::Note(_) => "notification",
            Ask::Reply => "reply",
            Ask::Batch(_) => "batch",
            Ask::Stream | Ask::Goodbye | Ask::Plain => self.method.as_str(),
        }
    }
}

/// A backend's answer, as far as it is known when its header fields (and a short body) have come.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's status.
    pub status: StatusCode,
    /// The end-to-end header fields.
    pub headers: HeaderMap,
    /// The body where it was short enough to be waited for; `None` where it is streamed.
    pub whole: Option<Bytes>,
}

impl Answer {
    /// What a message gets that wants no response.
    #[must_use]
    pub fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), whole: Some(Bytes::new()) }
    }
}

/// What is done with the final response to a request whose answer is streamed: it is shown each response as it passes, and
/// may put another text in its place. It is shown the server's own requests
/// and its progress too, which pass whatever it says.
pub type Lesson = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

/// Says anew in the header fields of a request who calls, before it is sent once more: what is signed of that holds for a minute.
pub type Introduce = Arc<dyn Fn(&mut HeaderMap) + Send + Sync>;
