//! What pages of allowed origins may do in a browser (CORS, WHATWG Fetch §3.3). Moorline answers their preflights and says in every
//! answer what they may read, its own refusals included, so that no backend needs to know. Where no origin is configured and anybody
//! may call it says nothing: preflights go to the backend, and what the backend says of CORS passes. Where callers must say who they
//! are it speaks all the same: a preflight carries no credential, and a page that cannot read the 401 cannot log in.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, Request, StatusCode};

use super::{Connection, Identify, host, pool_path};
use crate::exchange::Answer;

const METHODS: &str = "GET, POST, DELETE, OPTIONS";

/// What the protocol's clients send. What else a page asks for is added: tools choose names of their own (`Mcp-Param-…`).
const SENT: &str = "authorization, content-type, accept, mcp-session-id, mcp-protocol-version, mcp-method, mcp-name, last-event-id, \
     cache-control, traceparent, tracestate";

/// What a page may read beside what every page may.
const READ: &str = "mcp-session-id, mcp-protocol-version, www-authenticate, moorline-cache, retry-after, ratelimit, ratelimit-policy, \
     x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset";

/// How long a browser may remember a preflight's answer, in seconds: as long as browsers do at most.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// The longest list of fields that is repeated in a preflight's answer.
const LONGEST: usize = 1024;

/// What one answer says to a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// Nothing: it is left to the backend.
    #[default]
    Off,
    /// That it would be another one for another page.
    Varies,
    /// That pages of this origin may read it.
    Reads(HeaderValue),
    /// That pages of this origin may ask, with these fields. There is no request behind it.
    Preflight(HeaderValue, HeaderValue),
}

impl Identify {
    /// What the answer to this request is to say to a browser.
    pub fn cors<B>(&self, request: &Request<B>, connection: &Connection) -> Cors {
        let settings = self.settings.load();
        if settings.allowed_origins.is_empty() && !self.asks_who(request.uri().path()) {
            return Cors::Off;
        }
        let headers = request.headers();
        let Some(origin) = headers.get(ORIGIN) else { return Cors::Varies };
        if host::check((headers, request.uri()), &settings, connection).is_err() {
            return Cors::Varies;
        }
        if request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return Cors::Preflight(origin.clone(), fields(headers));
        }
        Cors::Reads(origin.clone())
    }

    /// Whether callers must say who they are there.
    fn asks_who(&self, path: &str) -> bool {
        let gate = self.fleet.at(pool_path(path)).and_then(|pool| self.gates.of(pool.id));
        gate.is_some_and(|gate| !gate.is_open())
    }
}

/// The fields that may be sent: the protocol's, and those that were asked for.
fn fields(headers: &HeaderMap) -> HeaderValue {
    let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|asked| asked.to_str().ok()).unwrap_or_default();
    let asked = if asked.len() > LONGEST { "" } else { asked };
    let named = asked.split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let others = named.filter(|name| !SENT.split(", ").any(|known| known == name.as_str()));
    let all = others.fold(SENT.to_owned(), |all, name| format!("{all}, {name}"));
    HeaderValue::try_from(all).unwrap_or(HeaderValue::from_static(SENT))
}

impl Cors {
    /// The answer, where nobody but Moorline is asked.
    #[must_use]
    pub fn preflight(&self) -> Option<Answer> {
        let Self::Preflight(_, fields) = self else { return None };
        let headers = HeaderMap::from_iter([
            (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)),
            (ACCESS_CONTROL_ALLOW_HEADERS, fields.clone()),
            (ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ]);
        Some(Answer { status: StatusCode::NO_CONTENT, headers, whole: Some(Bytes::new()) })
    }

    /// Says it in an answer's header fields, in place of what the backend has said of it.
    pub fn tell(self, headers: &mut HeaderMap) {
        if self == Self::Off {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        if let Self::Reads(origin) | Self::Preflight(origin, _) = self {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
        }
    }
}
