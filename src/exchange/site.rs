//! How clients reach this instance: its own addresses, as far as a request can tell.

use http::Uri;
use http::header::{HeaderMap, HeaderValue};

use super::{Exchange, Origin, WELL_KNOWN};
use crate::fleet::Pool;

/// The origin that clients use, without a slash at its end: the configured one, or what this client has asked for.
#[must_use]
pub fn site(headers: &HeaderMap, origin: &Origin, host: Option<&HeaderValue>, public: Option<&Uri>) -> Option<String> {
    if let Some(public) = public {
        return Some(public.to_string().trim_end_matches('/').to_owned());
    }
    // Whoever ends TLS in front of us says so.
    let said = |name: &str| headers.get(name).filter(|_| origin.trusted);
    let proto = match said("x-forwarded-proto").map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        Some(b"http") => "http",
        _ => origin.hop.proto,
    };
    let host = said("x-forwarded-host").or(host)?.to_str().ok()?;
    Some(format!("{proto}://{host}"))
}

/// Where a pool describes itself as a protected resource (RFC 9728 §3.1).
#[must_use]
pub fn metadata_url(site: &str, pool: &Pool) -> String {
    format!("{site}{WELL_KNOWN}{}", pool.settings().path.trim_end_matches('/'))
}

impl Exchange {
    /// The origin that clients use: see [`site`].
    #[must_use]
    pub fn site(&self, public: Option<&Uri>) -> Option<String> {
        site(&self.headers, &self.origin, self.host.as_ref(), public)
    }

    /// The pool's URL, by which tokens name it (RFC 8707). The root has no slash at its end (MCP 2026-07-28, Canonical Server URI).
    #[must_use]
    pub fn resource(&self, public: Option<&Uri>) -> Option<String> {
        Some(self.site(public)? + self.pool.settings().path.trim_end_matches('/'))
    }

    /// Where the pool describes itself as a protected resource.
    #[must_use]
    pub fn metadata_url(&self, public: Option<&Uri>) -> Option<String> {
        Some(metadata_url(&self.site(public)?, &self.pool))
    }
}
