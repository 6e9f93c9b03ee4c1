//! `Host` and `Origin` on a listener that only this machine can reach: a browser that was led astray by DNS rebinding
//! names somebody else there (MCP 2026-07-28, Streamable HTTP, Security). On other listeners the backend judges.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::request::Parts;

use super::{Connection, Settings};
use crate::reject::Cause;

/// Refuses a foreign `Host` or `Origin` on a loopback listener, unless a trusted proxy has sent it.
pub fn check(parts: &Parts, settings: &Settings, connection: &Connection) -> Result<(), Cause> {
    let trusted = settings.trusted_proxies.iter().any(|range| range.contains(connection.peer.ip()));
    if !connection.loopback || trusted {
        return Ok(());
    }
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or_else(|| text(&parts.headers, &HOST));
    if host.is_some_and(|host| !is_known(host_of(host), settings)) {
        return Err(Cause::ForeignHost("Host"));
    }
    let origin = text(&parts.headers, &ORIGIN);
    if origin.is_some_and(|origin| !origin_host(origin).is_some_and(|host| is_known(host, settings))) {
        return Err(Cause::ForeignHost("Origin"));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// The host in `host:port`, without the port; brackets of an IPv6 address stay.
fn host_of(authority: &str) -> &str {
    if let Some(end) = authority.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &authority[..end + 2];
    }
    authority.split(':').next().unwrap_or_default()
}

/// The host in an origin such as `http://localhost:5173` (RFC 6454 §7); an opaque origin (`null`) has none.
fn origin_host(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| host_of(authority))
}

fn is_known(host: &str, settings: &Settings) -> bool {
    let loopback = ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| host.eq_ignore_ascii_case(name));
    loopback || settings.allowed_hosts.iter().any(|allowed| host.eq_ignore_ascii_case(host_of(allowed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_ports() {
        assert_eq!(host_of("localhost:3000"), "localhost");
        assert_eq!(host_of("[::1]:3000"), "[::1]");
        assert_eq!(host_of("example.com"), "example.com");
        assert_eq!(origin_host("http://127.0.0.1:9"), Some("127.0.0.1"));
        assert_eq!(origin_host("null"), None);
    }
}
