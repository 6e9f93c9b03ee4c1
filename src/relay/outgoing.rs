//! What a backend is sent: the client's header fields as they came, but for those that concern one hop only, the ids
//! that are ours, and the trace of where the request came from.

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, FORWARDED, HOST, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use crate::exchange::{Ask, Exchange, Heading, Moored};
use crate::mcp::crossing;
use crate::mcp::replay::safe_by_nature;
use crate::mcp::version::{LAST_EVENT_ID, MCP_SESSION_ID};
use crate::wire::{Outgoing, strip_hop_by_hop};

/// The session's stable id, for servers that keep state of their own.
pub const MOORLINE_SESSION: HeaderName = HeaderName::from_static("moorline-session");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Takes the request out of the exchange, as far as it is the same for every backend.
pub fn prepare(exchange: &mut Exchange) -> Outgoing {
    let mut headers = std::mem::take(&mut exchange.headers);
    strip_hop_by_hop(&mut headers);
    forward(&mut headers, exchange);
    headers.remove(HOST);
    // What is compressed cannot be looked into; between us and a backend it would save little.
    headers.remove(ACCEPT_ENCODING);
    headers.remove(MCP_SESSION_ID);
    headers.remove(MOORLINE_SESSION);
    let replayable = match &exchange.ask {
        Ask::Call(call) => safe_by_nature(&call.method),
        Ask::Stream | Ask::Goodbye | Ask::Plain => true,
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
        if let Ok(ours) = HeaderValue::from_str(&moored.id.to_string()) {
            outgoing.headers.insert(MOORLINE_SESSION, ours);
        }
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

/// `Last-Event-ID` belongs to one berth: one of an earlier epoch is dropped, and the stream starts anew.
fn resume(headers: &mut HeaderMap, heading: &Heading) {
    let Some(seen) = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()) else { return };
    let (epoch, native) = crossing::unwrap_event_id(seen);
    if epoch != heading.epoch() {
        tracing::debug!(?epoch, "a stream of an earlier epoch starts anew");
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
        let base = own.split('?').next().unwrap_or_default().trim_end_matches('/');
        return format!("{well_known}{base}").parse().ok();
    }
    match exchange.uri.query() {
        None => own.parse().ok(),
        Some(query) if own.contains('?') => format!("{own}&{query}").parse().ok(),
        Some(query) => format!("{own}?{query}").parse().ok(),
    }
}

/// `X-Forwarded-*`, `Forwarded` (RFC 7239) and `X-Real-IP`: what a trusted proxy says is kept and added to, what
/// anybody else says is replaced.
fn forward(headers: &mut HeaderMap, exchange: &Exchange) {
    let peer = exchange.origin.peer.ip().to_canonical().to_string();
    let host = exchange.host.clone();
    let kept = |name: &HeaderName, headers: &HeaderMap| exchange.origin.trusted && headers.contains_key(name);
    let address = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.clone() };
    let mut element = format!("for={address};proto=http");
    if let Some(host) = host.as_ref().and_then(|host| host.to_str().ok()).filter(|host| is_quotable(host)) {
        element.push_str(";host=\"");
        element.push_str(host);
        element.push('"');
    }
    append(headers, &FORWARDED, &element, exchange.origin.trusted);
    append(headers, &X_FORWARDED_FOR, &peer, exchange.origin.trusted);
    if !kept(&X_FORWARDED_PROTO, headers) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !kept(&X_FORWARDED_HOST, headers) {
        match host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
    if let Ok(client) = HeaderValue::from_str(&exchange.caller.addr().to_string()) {
        headers.insert(X_REAL_IP, client);
    }
}

fn append(headers: &mut HeaderMap, name: &HeaderName, element: &str, trusted: bool) {
    let before: Vec<&str> = match trusted {
        true => headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect(),
        false => Vec::new(),
    };
    let list = if before.is_empty() { element.to_owned() } else { format!("{}, {element}", before.join(", ")) };
    if let Ok(list) = HeaderValue::from_str(&list) {
        headers.insert(name.clone(), list);
    }
}

fn is_quotable(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
}
