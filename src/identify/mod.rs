//! The identify station: turns bytes into facts. It reads the body within its bounds, peeks at the JSON-RPC envelope,
//! tells the era, and refuses what cannot be understood. It knows nothing of sessions and backends.

mod act;
mod body;
mod caller;
mod cors;
mod head;
mod host;
mod origin;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};
use hyper::body::Incoming;

pub use cors::Cors;

use crate::auth::Gates;
use crate::config::{AddressRange, Bounds};
use crate::exchange::{Ask, Call, Caller, Certificate, Exchange, Hop, IDENTITY_KEYS, Said, WELL_KNOWN};
use crate::fleet::Fleet;
use crate::mcp::accept::Accepts;
use crate::mcp::envelope::{self, Body, Kind, Message};
use crate::mcp::header::check_modern;
use crate::mcp::trace_context::MetaTrace;
use crate::mcp::version::{Era, LAST_EVENT_ID, MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use crate::reject::{Asker, Awaits, Cause, Reject};

/// The identify station.
#[derive(Debug)]
pub struct Identify {
    settings: ArcSwap<Settings>,
    fleet: Arc<Fleet>,
    gates: Arc<Gates>,
}

/// What the identify station needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What one request may cost.
    pub bounds: Bounds,
    /// From whom forwarding header fields are believed.
    pub trusted_proxies: Vec<AddressRange>,
    /// Hosts, beside the loopback names on a loopback listener, that `Host` and `Origin` may name.
    pub allowed_hosts: Vec<String>,
    /// How clients reach this instance, where that is configured.
    pub public_url: Option<http::Uri>,
    /// Origins whose pages may call; `*` is every one.
    pub allowed_origins: Vec<String>,
}

/// The connection that a request came on.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// The same as header fields say it.
    pub hop: Arc<Hop>,
    /// Whether the listener can only be reached from this machine.
    pub loopback: bool,
    /// Whether it runs over TLS.
    pub secure: bool,
    /// The certificate that the client has shown and that was verified, where it has shown one.
    pub certificate: Option<Arc<Certificate>>,
}

impl Identify {
    /// A station with these settings.
    #[must_use]
    pub fn new(settings: Settings, (fleet, gates): (Arc<Fleet>, Arc<Gates>)) -> Self {
        Self { settings: ArcSwap::from_pointee(settings), fleet, gates }
    }

    /// Takes a new configuration.
    pub fn reconfigure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Reads a request to its end and says what it is.
    ///
    /// # Errors
    /// A [`Reject`] that carries the request's own id wherever it could be read.
    pub async fn read(&self, request: Request<Incoming>, connection: Connection) -> Result<Box<Exchange>, Reject> {
        let settings = self.settings.load_full();
        let (mut parts, incoming) = request.into_parts();
        let nobody = |cause: Cause| cause.to(Asker::default());
        let survey = head::check(&parts, &settings.bounds).map_err(nobody)?;
        host::check_again((&parts.headers, &parts.uri), &settings, &connection).map_err(nobody)?;
        let pool = self.fleet.at(pool_path(parts.uri.path())).ok_or_else(|| nobody(Cause::NoSuchPath))?;
        let plain = check_method(&parts).map_err(nobody)?;
        let fragile = is_fragile(&parts.headers);
        let origin = origin::of(&settings, &connection);
        caller::cleanse(&mut parts.headers, &survey);
        let principal = match self.who(&mut parts, &pool, (&connection, &origin), &settings).await {
            Ok(principal) => principal,
            Err(denied) => return Err(Box::pin(refuse(parts, incoming, &settings, denied)).await),
        };
        let most = if plain { settings.bounds.max_body.min(caller::UNKNOWN_BODY) } else { settings.bounds.max_body };
        let bounds = Bounds { max_body: most, ..settings.bounds };
        let body = body::read(incoming, &parts.headers, &bounds).await;
        let body = body.map_err(|fault| {
            fault.cause.to(Asker { ids: fault.ids, fragile, unanswered: fault.unanswered, ..Asker::default() })
        })?;
        let facts = match (&parts.method, plain) {
            (&Method::POST, false) => read_message(&parts, &body, &settings.bounds, fragile)?,
            _ => Facts::without_message(&parts, plain),
        };
        let caller = Caller { addr: origin::client(&origin, &parts.headers), principal };
        Ok(Box::new(Exchange {
            pool,
            caller,
            era: facts.era,
            ask: facts.ask,
            asker: facts.asker,
            facts: None,
            inspected: false,
            veil: None,
            openly: false,
            meta_trace: facts.trace,
            traced: None,
            origin,
            resumes: resumes(&parts.headers),
            host: asked_host(&parts),
            claim: parts.headers.get(MCP_SESSION_ID).cloned(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
        }))
    }
}

/// Refuses somebody who is not let in, under the request's own id where it can be read at small cost.
async fn refuse(parts: Parts, incoming: Incoming, settings: &Settings, denied: Cause) -> Reject {
    let fragile = is_fragile(&parts.headers);
    let max_body = settings.bounds.max_body.min(caller::UNKNOWN_BODY);
    let bounds = Bounds { max_body, ..settings.bounds };
    let asker = match body::read(incoming, &parts.headers, &bounds).await {
        Ok(body) if parts.method == Method::POST => match read_message(&parts, &body, &bounds, fragile) {
            Ok(facts) => facts.asker,
            Err(reject) => *reject.asker,
        },
        Ok(_) => Asker { fragile, ..Asker::default() },
        Err(fault) => Asker { ids: fault.ids, fragile, unanswered: fault.unanswered, ..Asker::default() },
    };
    denied.to(asker)
}

/// What the body (or its absence) says.
struct Facts {
    era: Era,
    ask: Ask,
    asker: Asker,
    trace: Option<Box<MetaTrace>>,
}

impl Facts {
    fn without_message(parts: &Parts, plain: bool) -> Self {
        let ask = match parts.method {
            _ if plain => Ask::Plain,
            Method::GET => Ask::Stream,
            _ => Ask::Goodbye,
        };
        Self { era: Era::Legacy, ask, asker: Asker::default(), trace: None }
    }
}

/// Well-known documents belong to the pool that their path ends with (RFC 9728 §3.1).
fn pool_path(path: &str) -> &str {
    match [WELL_KNOWN, IDENTITY_KEYS].into_iter().find_map(|known| path.strip_prefix(known)) {
        Some("") => "/",
        Some(rest) => rest,
        None => path,
    }
}

/// Returns whether the request is for something that is relayed as it stands.
fn check_method(parts: &Parts) -> Result<bool, Cause> {
    let well_known = [WELL_KNOWN, IDENTITY_KEYS].iter().any(|known| parts.uri.path().starts_with(known));
    match parts.method {
        Method::OPTIONS => Ok(true),
        Method::GET if well_known => Ok(true),
        Method::GET if !Accepts::of(&parts.headers).event_stream => Err(Cause::NotAcceptable),
        _ if well_known => Err(Cause::MethodNotAllowed),
        Method::POST | Method::GET | Method::DELETE => Ok(false),
        _ => Err(Cause::MethodNotAllowed),
    }
}

fn read_message(parts: &Parts, body: &[u8], bounds: &Bounds, fragile: bool) -> Result<Facts, Reject> {
    let header = parts.headers.get(MCP_PROTOCOL_VERSION).and_then(|version| version.to_str().ok());
    let header_era = header.map_or(Era::Legacy, Era::of);
    let limits = envelope::Bounds { max_depth: bounds.max_depth, max_batch: bounds.max_batch };
    let peeked = envelope::peek(body, &limits).map_err(|fault| {
        let ids = fault.id.iter().map(|id| Box::from(&**id)).collect();
        let fragile = fragile && header_era == Era::Legacy;
        body::explain(&fault.error).to(Asker { ids, fragile, ..Asker::default() })
    })?;
    let era = match &peeked {
        Body::One(message) if message.params.meta_version.is_some() => Era::Modern,
        Body::One(message) if message.is_request("initialize") => Era::Legacy,
        _ => header_era,
    };
    let asker = asker_of(&peeked, fragile, era);
    match check_message(parts, &peeked, era) {
        Ok(()) => Ok(Facts { era, trace: trace_of(&peeked, body), ask: ask_of(peeked, body), asker }),
        Err(cause) => Err(cause.to(asker)),
    }
}

fn check_message(parts: &Parts, peeked: &Body<'_>, era: Era) -> Result<(), Cause> {
    if !head::is_json(&parts.headers) {
        return Err(Cause::MediaType);
    }
    let accepts = Accepts::of(&parts.headers);
    if !accepts.json && !accepts.event_stream {
        return Err(Cause::NotAcceptable);
    }
    match peeked {
        Body::One(message) if era == Era::Modern => {
            check_modern(&parts.headers, message).map_err(|mismatch| Cause::HeaderMismatch(mismatch.to_string()))
        }
        Body::Batch(_) if era == Era::Modern => {
            Err(Cause::BadMessage("this protocol version has no batches; send each message by itself".into()))
        }
        _ => Ok(()),
    }
}

fn asker_of(peeked: &Body<'_>, fragile: bool, era: Era) -> Asker {
    let waits = |message: &Message<'_>| match message.kind {
        Kind::Request { id, .. } => Some(id.into()),
        _ => None,
    };
    let ids: Vec<_> = peeked.messages().iter().filter_map(waits).collect();
    let awaits = match peeked {
        Body::One(message) if message.is_request("tools/call") && era == Era::Modern => Awaits::CompleteToolResult,
        Body::One(message) if message.is_request("tools/call") => Awaits::ToolResult,
        _ => Awaits::Anything,
    };
    let (batch, fragile) = (matches!(peeked, Body::Batch(_)), fragile && era == Era::Legacy);
    Asker { unanswered: ids.is_empty(), ids, batch, fragile, awaits }
}

/// Of several messages at once, each may belong to another trace.
fn trace_of(peeked: &Body<'_>, body: &[u8]) -> Option<Box<MetaTrace>> {
    match peeked {
        Body::One(message) => message.trace(body).map(Box::new),
        Body::Batch(_) => None,
    }
}

fn ask_of(peeked: Body<'_>, body: &[u8]) -> Ask {
    match peeked {
        Body::One(message) => match message.kind {
            Kind::Request { id, .. } => {
                let act = act::of(&message, body);
                let name = message.name().map(Box::from);
                let method = message.method().unwrap_or_default().into();
                Ask::Call(Call { id: id.into(), method, name, act })
            }
            Kind::Notification { .. } => Ask::Note(said(&message, body)),
            Kind::Response { .. } => Ask::Reply,
        },
        Body::Batch(messages) => Ask::Batch(messages.iter().map(|message| said(message, body)).collect()),
    }
}

fn said(message: &Message<'_>, body: &[u8]) -> Said {
    let text = |text: &str| Box::from(text);
    Said { method: message.method().map(text), name: message.name().map(text), act: act::of(message, body) }
}

fn asked_host(parts: &Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => parts.headers.get(HOST).cloned(),
    }
}

fn resumes(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get(LAST_EVENT_ID)?.to_str().ok().map(Box::from)
}

/// Measured: clients on `python-httpx/` (Python SDK 1.x; 2.x says `python-httpx2/`) tear down their session on any 4xx or 5xx but 404.
fn is_fragile(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"python-httpx/"))
}
