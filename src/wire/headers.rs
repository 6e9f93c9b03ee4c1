//! Which header fields belong to one connection only, and must not travel through a gateway (RFC 9110 §7.6.1).
//! Used for requests and responses alike. Refuses to know anything about MCP's own fields but that a client may
//! not make them vanish.

use http::header::{CONNECTION, HeaderMap, HeaderName};

/// Whether a field is hop-by-hop by its nature. `Proxy-*` credentials belong to a proxy that the client chose,
/// which a gateway is not; trailers are not relayed, so their announcement is not either.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Removes the hop-by-hop fields, and those that `Connection` names. What carries framing, identity or
/// MCP's routing stays even if `Connection` names it: else a client could strip a field that a backend trusts.
/// Fields that Moorline adds for backends must be added after this.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut doomed: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    if doomed.is_empty() {
        return;
    }
    doomed.extend(headers.get_all(CONNECTION).iter().flat_map(|value| named(value.as_bytes())));
    for name in doomed {
        headers.remove(name);
    }
}

/// The field names in one `Connection` value that may be removed for it.
pub(super) fn named(value: &[u8]) -> impl Iterator<Item = HeaderName> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_protected(name.as_str()))
}

/// Fields that are meant for the far end whatever `Connection` says.
fn is_protected(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["content-", "mcp-", "x-forwarded-", "access-control-", "moorline-"];
    matches!(
        name,
        "host"
            | "authorization"
            | "cookie"
            | "set-cookie"
            | "www-authenticate"
            | "accept"
            | "origin"
            | "forwarded"
            | "cache-control"
            | "vary"
            | "location"
            | "retry-after"
            | "last-event-id"
            | "x-real-ip"
            | "date"
    ) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
