//! The authorization context of a request: what must be the same for two clients to be shown the same (MCP 2026-07-28, Caching:
//! `cacheScope`). Servers authenticate by fields of many names, and proxies in front of us say in fields of their own who it
//! is: so every header field counts but for those that are known to say nothing of that.

use http::HeaderMap;

use super::Caller;
use crate::auth::ClaimValue;
use crate::seal::digest;

/// Header fields, or their beginnings, that change nothing about what a caller may see.
const HARMLESS: [&str; 36] = [
    "accept",
    "user-agent",
    "content-",
    "host",
    "connection",
    "keep-alive",
    "te",
    "transfer-encoding",
    "cache-control",
    "pragma",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "via",
    "traceparent",
    "tracestate",
    "baggage",
    "x-request-id",
    "x-correlation-id",
    "x-amzn-trace-id",
    "x-b3-",
    "b3",
    "cf-ray",
    "sec-fetch-",
    "sec-ch-",
    "priority",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    // Says what is known of the caller, who counts, under a new signature each time.
    "moorline-identity",
    "last-event-id",
    "upgrade-insecure-requests",
];

/// What a field's name contains that holds something its sender alone may know.
const SECRET: [&str; 6] = ["auth", "cookie", "token", "key", "secret", "moorline-"];

/// Digest of everything by which a server could tell one client from another, and of `more`.
#[must_use]
pub fn context_of<const N: usize>(headers: &HeaderMap, more: &[&[u8]]) -> [u8; N] {
    let mut fields: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    fields.retain(|(name, _)| !is_harmless(name));
    fields.sort_unstable();
    let fields = fields.iter().flat_map(|(name, value)| [name.as_bytes(), *value]);
    let parts: Vec<&[u8]> = more.iter().copied().chain(fields).collect();
    digest(&parts)
}

/// All that may be known of who asks, as bytes: issuer and subject, scopes and claims, whatever credential says so. Empty where
/// nobody was asked.
#[must_use]
pub fn known_of(caller: &Caller) -> Vec<u8> {
    let Some(principal) = &caller.principal else { return Vec::new() };
    let mut known = principal.digest.0.to_vec();
    let mut part = |text: &str| {
        known.extend_from_slice(&(text.len() as u64).to_be_bytes());
        known.extend_from_slice(text.as_bytes());
    };
    principal.scopes.iter().for_each(|scope| part(scope));
    for (name, value) in &principal.claims {
        part("claim");
        part(name);
        match value {
            ClaimValue::Text(text) => {
                part("text");
                part(text);
            }
            ClaimValue::List(texts) => {
                part("list");
                part(&texts.len().to_string());
                texts.iter().for_each(|text| part(text));
            }
        }
    }
    known
}

/// Whether a request carries something that its sender alone may know.
#[must_use]
pub fn carries_credentials(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| SECRET.iter().any(|part| name.as_str().contains(part)))
}

fn is_harmless(name: &str) -> bool {
    let fits = |harmless: &&str| name == *harmless || harmless.ends_with('-') && name.starts_with(*harmless);
    HARMLESS.iter().any(fits) || name.starts_with("accept-")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn context(fields: &[(&'static str, &'static str)]) -> [u8; 16] {
        let fields =
            fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        context_of(&fields.collect(), &[])
    }

    #[test]
    fn whatever_may_say_who_it_is_tells_clients_apart() {
        let alice = context(&[("authorization", "Bearer shared"), ("x-user", "alice"), ("x-request-id", "1")]);
        let later = context(&[
            ("x-user", "alice"),
            ("authorization", "Bearer shared"),
            ("x-request-id", "2"),
            ("accept", "*/*"),
        ]);
        let bob = context(&[("authorization", "Bearer shared"), ("x-user", "bob"), ("x-request-id", "1")]);
        assert_eq!(alice, later);
        assert_ne!(alice, bob);
        // What proxies say of whom they have authenticated.
        assert_ne!(context(&[("x-forwarded-user", "alice")]), context(&[("x-forwarded-user", "bob")]));
        assert_eq!(context(&[("x-forwarded-for", "10.0.0.1")]), context(&[]));
        // A name that only begins like a harmless one is none.
        assert_ne!(context(&[("te-user", "a")]), context(&[("te-user", "b")]));
        assert_eq!(context(&[("accept-language", "a")]), context(&[]));
    }

    #[test]
    fn credentials_are_known_by_their_names() {
        for (name, wanted) in
            [("authorization", true), ("x-api-key", true), ("x-user", false), ("mcp-session-id", false)]
        {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("x"))]);
            assert_eq!(carries_credentials(&headers), wanted, "{name}");
        }
    }
}
