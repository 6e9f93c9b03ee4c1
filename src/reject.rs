//! The one table of refusals: what each is called, its HTTP status, its JSON-RPC code, and the words that tell the
//! reader what happened and what to do next. The only place where an error becomes a response. It decides
//! nothing: stations say *that* they refuse, this file says *how* it looks.
//!
//! Codes of our own are HTTP's status numbers, since JSON-RPC reserves -32768 to -32000 and MCP 2026-07-28 forbids new
//! codes there; where the specifications name a code, that one is used.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};

use crate::config::{OnLimit, Refusals};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The body is not JSON (or not UTF-8); the text says where.
    NotJson(String),
    /// JSON, but no JSON-RPC message that can be handled; the text says why.
    BadMessage(String),
    /// A mirrored header does not match the body (MCP 2026-07-28, Server Validation).
    HeaderMismatch(String),
    /// Its header fields can be read in two ways, and so can where it ends; the text says which. The connection ends with it.
    Ambiguous(&'static str),
    /// The body is longer than its bound, in bytes.
    BodyTooLarge(usize),
    /// The header block is larger than its bound, in bytes.
    HeadersTooLarge(usize),
    /// The URL is longer than its bound, in bytes.
    UrlTooLong(usize),
    /// The body did not arrive in time.
    SlowBody(Duration),
    /// The endpoint does not know this HTTP method.
    MethodNotAllowed,
    /// The body is not declared as JSON.
    MediaType,
    /// The body is compressed, or says so.
    ContentCoding,
    /// The client takes neither JSON nor SSE.
    NotAcceptable,
    /// `Host` or `Origin` names somebody that may not speak to this listener (DNS rebinding).
    ForeignHost(&'static str),
    /// The caller has not said who it is, or nothing that can be believed.
    Unauthenticated(Box<Challenge>),
    /// What the caller shows as its credential is none; the text says why.
    BadCredential(Box<Challenge>),
    /// The caller's credential does not reach this far (RFC 6750 §3.1, `insufficient_scope`).
    InsufficientScope(Box<Challenge>),
    /// The caller is known, and may not do what the text names.
    NotAllowed(Box<str>),
    /// Who the caller is cannot be checked now.
    IdentityAway,
    /// No pool has this path.
    NoSuchPath,
    /// The pool keeps sessions and the request names none.
    SessionRequired,
    /// The session id is forged, foreign, expired or ended.
    SessionUnknown,
    /// The session went down with its backend.
    SessionLost,
    /// No backend can take this now.
    NoBackend,
    /// This instance is shutting down.
    Draining,
    /// The store cannot keep a new session now.
    StoreAway,
    /// As many sessions (or streams) as the configuration allows.
    Full(&'static str),
    /// The caller has as many sessions as one caller may have.
    ManySessions(usize),
    /// The caller has as many notification streams open as it may.
    TooManyStreams,
    /// The backend broke the rules of HTTP, or broke off; the text says how.
    BadGateway(String),
    /// The backend refused the connection, or it broke before an answer came.
    BackendLost,
    /// The connection broke after the call was sent: nobody knows whether it ran.
    OutcomeUnknown,
    /// The backend did not answer in time.
    GatewayTimeout(Duration),
    /// The backend works on as many requests as it can bear, and nobody's turn came in time.
    Overloaded,
    /// A limit is exceeded.
    Limited(Box<Limited>),
    /// Whether a limit is exceeded cannot be said now, and the configuration wants it to be refused then.
    LimitsAway,
}

/// What a client is told that has to authenticate itself, or to do so with more scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The value of `WWW-Authenticate` (RFC 9110 §11.6.1), where HTTP has a word for what is wanted: then the status is 401.
    pub header: Option<HeaderValue>,
    /// What is wrong, for people.
    pub text: Cow<'static, str>,
}

/// Which limit is exceeded, and what the client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The limit's name.
    pub name: Box<str>,
    /// What happened and what to do, for people and language models.
    pub text: String,
    /// How much there is.
    pub limit: u64,
    /// In how many seconds; none where it counts what runs at the same time.
    pub window: Option<u64>,
    /// Seconds after which trying again makes sense; at least 1.
    pub retry_after: u32,
    /// In which form it is said.
    pub form: OnLimit,
    /// What every answer says of the limits that apply to its request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Whose request it was that is refused: what is needed to answer in the right form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The request's own id as raw JSON, or none where it had none; several for a batch.
    pub ids: Vec<Box<str>>,
    /// The request was a batch, and so must its answer be.
    pub batch: bool,
    /// Notifications and responses only: their sender waits for no answer.
    pub unanswered: bool,
    /// A legacy client known to tear down its session on a 4xx or 5xx (measured: `python-httpx`).
    pub fragile: bool,
    /// What kind of answer it waits for, where that may be something else than an error.
    pub awaits: Awaits,
}

/// What kind of answer a request waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaits {
    /// Anything: it can only be refused by an error.
    #[default]
    Anything,
    /// The result of a tool (2025-03-26 to 2025-11-25).
    ToolResult,
    /// The result of a tool, which says that it is complete (2026-07-28).
    CompleteToolResult,
}

/// A refusal that ends the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub cause: Cause,
    /// To whom. Boxed: the happy path carries this type in every `Result`.
    pub asker: Box<Asker>,
}

struct Row {
    name: &'static str,
    status: StatusCode,
    code: i32,
    text: Cow<'static, str>,
}

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const HEADER_MISMATCH: i32 = -32020;

impl Cause {
    /// Joins the cause with whom it is told to.
    #[must_use]
    pub fn to(self, asker: Asker) -> Reject {
        Reject { cause: self, asker: Box::new(asker) }
    }

    /// The refusal's name, as it stands in logs and in the error's `data`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row().name
    }

    /// The HTTP status that belongs to it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.row().status
    }

    /// Seconds after which trying again makes sense, where it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NoBackend | Self::StoreAway | Self::LimitsAway | Self::IdentityAway => Some(2),
            Self::Draining | Self::Overloaded => Some(1),
            Self::Full(_) => Some(10),
            Self::Limited(limited) => Some(limited.retry_after),
            _ => None,
        }
    }

    /// Whether the request was certainly not executed.
    #[must_use]
    pub const fn proves_unexecuted(&self) -> bool {
        matches!(
            self,
            Self::NoBackend
                | Self::Overloaded
                | Self::BackendLost
                | Self::Draining
                | Self::StoreAway
                | Self::Full(_)
                | Self::TooManyStreams
                | Self::SessionUnknown
                | Self::SessionLost
        )
    }

    /// A JSON-RPC error object for the request with the raw id `id`.
    #[must_use]
    pub fn to_json(&self, id: Option<&str>) -> String {
        let row = self.row();
        let message = serde_json::Value::from(row.text.as_ref());
        let mut data = format!("\"reason\":\"{}\"", row.name);
        if let Self::Limited(limited) = self {
            // A limit's name has nothing that JSON would escape.
            data.push_str(&format!(",\"name\":\"{}\",\"limit\":{}", limited.name, limited.limit));
            data.extend(limited.window.map(|secs| format!(",\"window\":{secs}")));
        }
        data.extend(self.retry_after().map(|secs| format!(",\"retryAfter\":{secs}")));
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{{\"code\":{},\"message\":{message},\"data\":{{{data}}}}}}}",
            id.unwrap_or("null"),
            row.code,
        )
    }

    /// The refusal as a tool's result, so that the model reads it.
    fn to_tool_result(&self, id: &str, complete: &str) -> String {
        let text = serde_json::Value::from(self.row().text.as_ref());
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{{complete}\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"isError\":true}}}}"
        )
    }

    #[rustfmt::skip]
    fn row(&self) -> Row {
        match self {
            Self::NotJson(what) => rpc("not_json", 400, PARSE_ERROR, format!("{what}; send one JSON-RPC message in UTF-8")),
            Self::BadMessage(what) => rpc("bad_message", 400, INVALID_REQUEST, format!("the message cannot be handled: {what}")),
            Self::HeaderMismatch(what) => rpc("header_mismatch", 400, HEADER_MISMATCH, what.clone()),
            Self::Ambiguous(what) => rpc("ambiguous", 400, INVALID_REQUEST, format!("the header fields can be read in two ways: {what}")),
            Self::BodyTooLarge(limit) => http("body_too_large", 413, format!("the body is longer than {limit} bytes; send less, or raise bounds.max_body")),
            Self::HeadersTooLarge(limit) => http("headers_too_large", 431, format!("the header block is larger than {limit} bytes; send less, or raise bounds.max_header_block")),
            Self::UrlTooLong(limit) => http("url_too_long", 414, format!("the URL is longer than {limit} bytes; send less, or raise bounds.max_url")),
            Self::SlowBody(limit) => http("slow_body", 408, format!("the body did not arrive within {limit:?}; send it again")),
            Self::MethodNotAllowed => http("method_not_allowed", 405, "use POST for messages, GET for a session's stream, DELETE to end a session"),
            Self::MediaType => http("media_type", 415, "send the message as Content-Type: application/json"),
            Self::ContentCoding => http("content_coding", 415, "messages are not decompressed here: send them without Content-Encoding"),
            Self::NotAcceptable => http("not_acceptable", 406, "the Accept header must allow application/json and text/event-stream (for GET: text/event-stream)"),
            Self::ForeignHost(header) => http("foreign_host", 403, format!("the {header} header names a host that may not use this listener; add it to allowed_hosts, or an origin to allowed_origins, if it should")),
            Self::Unauthenticated(challenge) => http("unauthenticated", if challenge.header.is_some() { 401 } else { 403 }, challenge.text.clone()),
            Self::BadCredential(challenge) => http("bad_credential", 400, challenge.text.clone()),
            Self::InsufficientScope(challenge) => http("insufficient_scope", 403, challenge.text.clone()),
            Self::NotAllowed(what) => http("not_allowed", 403, format!("`{what}` is not for this caller; ask whoever runs this gateway for the right to use it")),
            Self::IdentityAway => http("identity_away", 503, "who you are cannot be checked at the moment; try again shortly"),
            Self::NoSuchPath => http("no_such_path", 404, "no pool is served at this path"),
            Self::SessionRequired => http("session_required", 400, "this endpoint keeps sessions: send the Mcp-Session-Id that initialize gave, or initialize first"),
            Self::SessionUnknown => http("session_unknown", 404, "session not found: it has ended or expired, or never was; start a new one with initialize"),
            Self::SessionLost => http("session_lost", 404, "session not found: the server that held it is gone; start a new one with initialize"),
            Self::NoBackend => http("no_backend", 503, "no server can take this request now; your session, if you have one, is kept; try again shortly"),
            Self::Draining => http("draining", 503, "this gateway is shutting down; try again, another one answers"),
            Self::StoreAway => http("store_away", 503, "new sessions cannot be kept at the moment; try again shortly"),
            Self::Full(what) => http("full", 503, format!("this gateway holds as many {what} as it may; try again later")),
            Self::ManySessions(limit) => http("many_sessions", 429, format!("you have {limit} sessions, as many as one caller may have here; end one with DELETE, or go on in it")),
            Self::TooManyStreams => http("too_many_streams", 429, "you have as many notification streams open as you may; close some first"),
            Self::BadGateway(what) => http("bad_gateway", 502, format!("the server's answer could not be used: {what}; your session, if you have one, is kept")),
            Self::BackendLost => http("backend_lost", 502, "the server could not be reached, the request was not executed; try again"),
            Self::OutcomeUnknown => http("outcome_unknown", 502, "the connection to the server broke after the request was sent: it may or may not have been executed; check before you repeat it"),
            Self::Limited(limited) => http("limited", 429, limited.text.clone()),
            Self::Overloaded => http("overloaded", 503, "the server is at work on as many requests as it can bear; the request was not executed; try again shortly"),
            Self::LimitsAway => http("limits_away", 503, "whether you are within your limits cannot be said at the moment; try again shortly"),
            Self::GatewayTimeout(limit) => http("gateway_timeout", 504, format!("the server did not answer within {limit:?}: the request may still be executing; check before you repeat it")),
        }
    }
}

impl Reject {
    /// The refusal as a response.
    #[must_use]
    pub fn into_response(self, dress: Refusals) -> Response<Bytes> {
        let in_a_200 = self.in_a_200(dress) || self.tool_result().is_some();
        let status = if in_a_200 { StatusCode::OK } else { self.cause.status() };
        let mut response = Response::new(Bytes::from(self.body()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(secs) = self.cause.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        match &self.cause {
            Cause::Limited(limited) => headers.extend(limited.headers.iter().cloned()),
            Cause::Unauthenticated(challenge)
            | Cause::InsufficientScope(challenge)
            | Cause::BadCredential(challenge) => {
                headers.extend(challenge.header.clone().map(|header| (WWW_AUTHENTICATE, header)));
            }
            _ => {}
        }
        if self.cause == Cause::MethodNotAllowed {
            headers.insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
        }
        if matches!(self.cause, Cause::Ambiguous(_)) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self.cause == Cause::ContentCoding {
            // What would be taken (RFC 9110 §15.5.16).
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response
    }

    /// The error as one SSE event, for a stream that has begun and cannot be finished.
    #[must_use]
    pub fn into_event(self) -> Bytes {
        Bytes::from(format!("event: message\ndata: {}\n\n", self.body()))
    }

    fn body(&self) -> String {
        if let Some(result) = self.tool_result() {
            return result;
        }
        let mut errors = self.asker.ids.iter().map(|id| self.cause.to_json(Some(id)));
        if self.asker.batch && !self.asker.ids.is_empty() {
            return format!("[{}]", errors.collect::<Vec<_>>().join(","));
        }
        errors.next().unwrap_or_else(|| self.cause.to_json(None))
    }

    /// The refusal as a tool's result, where the limit wants it so and the request waits for one.
    fn tool_result(&self) -> Option<String> {
        let (Cause::Limited(limited), [id]) = (&self.cause, self.asker.ids.as_slice()) else { return None };
        let complete = match self.asker.awaits {
            _ if limited.form != OnLimit::ToolError => return None,
            Awaits::Anything => return None,
            Awaits::ToolResult => "",
            Awaits::CompleteToolResult => "\"resultType\":\"complete\",",
        };
        Some(self.cause.to_tool_result(id, complete))
    }

    /// A 404 always stays a 404: it is how clients learn that a session is gone, and none tears down on it. So does what makes a
    /// client log in: it looks at the status. In a 200 a client must find its request's id, or it waits for ever; unless it
    /// waits for nothing.
    fn in_a_200(&self, dress: Refusals) -> bool {
        let form = if let Cause::Limited(limited) = &self.cause { limited.form } else { OnLimit::Auto };
        let dress = match form {
            OnLimit::Auto | OnLimit::ToolError => dress,
            OnLimit::Http => Refusals::Http,
            OnLimit::JsonRpc => Refusals::JsonRpc,
        };
        let asks_to_log_in =
            matches!(self.cause, Cause::Unauthenticated(_) | Cause::InsufficientScope(_) | Cause::BadCredential(_));
        let can = self.cause.status() != StatusCode::NOT_FOUND && !asks_to_log_in;
        let finds_its_id = !self.asker.ids.is_empty();
        match dress {
            Refusals::Auto => can && self.asker.fragile && (finds_its_id || self.asker.unanswered),
            Refusals::Http => false,
            Refusals::JsonRpc => can && finds_its_id,
        }
    }
}

fn http(name: &'static str, status: u16, text: impl Into<Cow<'static, str>>) -> Row {
    rpc(name, status, i32::from(status), text)
}

fn rpc(name: &'static str, status: u16, code: i32, text: impl Into<Cow<'static, str>>) -> Row {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Row { name, status, code, text: text.into() }
}
