//! What a backend is sent: the client's header fields as they came, but for those that concern one hop only, the ids
//! that are ours, and the trace of where the request came from.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, FORWARDED, HOST, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use crate::exchange::{Act, Ask, Exchange, Heading, Hop, Moored, Origin, Said};
use crate::mcp::crossing;
use crate::mcp::replay::safe_by_nature;
use crate::mcp::version::{LAST_EVENT_ID, MCP_SESSION_ID};
use crate::wire::Outgoing;

/// The session's stable id, for servers that keep state of their own.
pub const MOORLINE_SESSION: HeaderName = HeaderName::from_static("moorline-session");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Takes the request out of the exchange, as far as it is the same for every backend.
pub fn prepare(exchange: &mut Exchange) -> Outgoing {
    let mut headers = std::mem::take(&mut exchange.headers);
    forward(&mut headers, exchange);
    headers.remove(HOST);
    // What is compressed cannot be looked into; between us and a backend it would save little.
    headers.remove(ACCEPT_ENCODING);
    headers.remove(MCP_SESSION_ID);
    headers.remove(MOORLINE_SESSION);
    let replayable = match &exchange.ask {
        Ask::Call(call) => exchange.facts.is_some_and(|facts| facts.is_repeatable()) || safe_by_nature(&call.method),
        Ask::Stream | Ask::Goodbye | Ask::Plain | Ask::Note(Said { act: Act::Initialized, .. }) => true,
        Ask::Note(_) | Ask::Reply | Ask::Batch(_) => false,
    };
    Outgoing {
        method: exchange.method.clone(),
        path_and_query: PathAndQuery::from_static("/"),
        headers,
        body: exchange.body.clone(),
        replayable,
    }
}

/// Addresses the request to one backend. Returns false where a target cannot be made of its path and the client's.
pub fn address(outgoing: &mut Outgoing, exchange: &Exchange, heading: &Heading, moored: Option<&Moored>) -> bool {
    if let (Some(berth), Some(moored)) = (&heading.berth, moored) {
        let Ok(theirs) = HeaderValue::from_str(&berth.backend_session) else { return false };
        outgoing.headers.insert(MCP_SESSION_ID, theirs);
        outgoing.headers.insert(MOORLINE_SESSION, moored.stable_id.clone());
        resume(&mut outgoing.headers, heading);
    }
    match path(exchange, heading) {
        Some(path) => {
            outgoing.path_and_query = path;
            true
        }
        None => false,
    }
}

/// `Last-Event-ID` belongs to one berth: one of an earlier berth is dropped, and the stream starts anew.
fn resume(headers: &mut HeaderMap, heading: &Heading) {
    let Some(seen) = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()) else { return };
    let (mark, native) = crossing::unwrap_event_id(seen);
    if mark != heading.mark() {
        tracing::debug!(?mark, "a stream of an earlier berth starts anew");
        headers.remove(LAST_EVENT_ID);
    } else if let Ok(native) = HeaderValue::from_str(&native) {
        headers.insert(LAST_EVENT_ID, native);
    }
}

/// The backend's own path with the client's query; a well-known document keeps its place before it (RFC 9728 §3.1).
fn path(exchange: &Exchange, heading: &Heading) -> Option<PathAndQuery> {
    let own = &heading.backend.path;
    let well_known = crate::exchange::WELL_KNOWN;
    if exchange.uri.path().starts_with(well_known) {
        let base = own.path().trim_end_matches('/');
        return format!("{well_known}{base}").parse().ok();
    }
    with_query(own, exchange.uri.query())
}

/// The backend's own path, and query, with the client's query.
pub fn with_query(own: &PathAndQuery, query: Option<&str>) -> Option<PathAndQuery> {
    match query {
        None => Some(own.clone()),
        Some(query) if own.query().is_some() => format!("{own}&{query}").parse().ok(),
        Some(query) => format!("{own}?{query}").parse().ok(),
    }
}

/// `X-Forwarded-*`, `Forwarded` (RFC 7239) and `X-Real-IP`: what a trusted proxy says is kept and added to, what
/// anybody else says is replaced.
fn forward(headers: &mut HeaderMap, exchange: &Exchange) {
    let Origin { hop, trusted, .. } = &exchange.origin;
    let element = forwarded(hop, exchange.host.as_ref());
    append(headers, FORWARDED, element, *trusted);
    append(headers, X_FORWARDED_FOR, Some(hop.addr.clone()), *trusted);
    if !trusted || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(hop.proto));
    }
    if !trusted || !headers.contains_key(X_FORWARDED_HOST) {
        match &exchange.host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
    let client = if *trusted { HeaderValue::from_str(&exchange.caller.addr.to_string()).ok() } else { None };
    headers.insert(X_REAL_IP, client.unwrap_or_else(|| hop.addr.clone()));
}

/// This hop's element of `Forwarded`.
fn forwarded(hop: &Hop, host: Option<&HeaderValue>) -> Option<HeaderValue> {
    let host = host.map(HeaderValue::as_bytes).filter(|host| is_quotable(host));
    let Some(host) = host else { return Some(hop.forwarded.clone()) };
    let mut element = BytesMut::with_capacity(hop.forwarded.len() + host.len() + 8);
    element.extend_from_slice(hop.forwarded.as_bytes());
    element.extend_from_slice(b";host=\"");
    element.extend_from_slice(host);
    element.extend_from_slice(b"\"");
    HeaderValue::from_maybe_shared(element.freeze()).ok()
}

fn append(headers: &mut HeaderMap, name: HeaderName, element: Option<HeaderValue>, trusted: bool) {
    let Some(element) = element else { return };
    if !trusted || !headers.contains_key(&name) {
        headers.insert(name, element);
        return;
    }
    let before: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    let list = [before.join(&b", "[..]), element.as_bytes().to_vec()].join(&b", "[..]);
    if let Ok(list) = HeaderValue::from_maybe_shared(Bytes::from(list)) {
        headers.insert(name, list);
    }
}

fn is_quotable(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(byte))
}
