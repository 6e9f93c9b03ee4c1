//! A backend that asks for OAuth itself names its own address, which clients cannot reach or would not believe: in its
//! `WWW-Authenticate` and in its protected resource metadata (RFC 9728) it is replaced by the address that clients use.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};

use crate::exchange::{Ask, Exchange, WELL_KNOWN};
use crate::fleet::Backend;

/// Translates header fields and, for a metadata document, the body.
pub fn translate(
    (exchange, backend): (&Exchange, &Backend),
    public: Option<&Uri>,
    status: StatusCode,
    headers: &mut HeaderMap,
    whole: Option<Bytes>,
) -> Option<Bytes> {
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        challenge(exchange, backend, public, headers);
    }
    let document = matches!(exchange.ask, Ask::Plain) && exchange.uri.path().starts_with(WELL_KNOWN);
    match (&whole, document && status.is_success()) {
        (Some(body), true) => {
            let body = metadata(exchange, backend, public, body).or(whole);
            headers.remove(CONTENT_LENGTH);
            body
        }
        _ => whole,
    }
}

/// `resource_metadata="…"` (RFC 9728 §5.1) is pointed at this instance's well-known path for the pool.
fn challenge(exchange: &Exchange, backend: &Backend, public: Option<&Uri>, headers: &mut HeaderMap) {
    let Some(ours) = exchange.metadata_url(public) else { return };
    let old: Vec<HeaderValue> = headers.get_all(WWW_AUTHENTICATE).iter().cloned().collect();
    headers.remove(WWW_AUTHENTICATE);
    for value in old {
        let new = value.to_str().ok().and_then(|text| repoint(text, &ours, backend)).and_then(|text| text.parse().ok());
        headers.append(WWW_AUTHENTICATE, new.unwrap_or(value));
    }
}

fn repoint(challenge: &str, ours: &str, backend: &Backend) -> Option<String> {
    const KEY: &str = "resource_metadata=";
    let start = challenge.to_ascii_lowercase().find(KEY)? + KEY.len();
    let rest = &challenge[start..];
    let old = match rest.strip_prefix('"') {
        Some(quoted) => quoted.find('"')? + 2,
        None => rest.find([',', ' ']).unwrap_or(rest.len()),
    };
    names(backend, rest[..old].trim_matches('"')).then_some(())?;
    Some(format!("{}\"{ours}\"{}", &challenge[..start], &rest[old..]))
}

/// The document's `resource` becomes the address that the client used, which it compares (RFC 9728 §3.3).
fn metadata(exchange: &Exchange, backend: &Backend, public: Option<&Uri>, body: &[u8]) -> Option<Bytes> {
    let mut document: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    names(backend, document.get("resource")?.as_str()?).then_some(())?;
    let resource = exchange.site(public)? + &exchange.pool.settings().path;
    document.insert("resource".into(), resource.into());
    serde_json::to_vec(&document).ok().map(Bytes::from)
}

/// Whether a URL is on the backend's own origin. One that is configured with an address that clients use needs no help.
fn names(backend: &Backend, url: &str) -> bool {
    let Some(authority) = url.parse::<Uri>().ok().and_then(|url| url.into_parts().authority) else { return false };
    let own = backend.addr();
    let loopback = own.ip().is_loopback() && ["localhost", "127.0.0.1", "[::1]"].contains(&authority.host());
    let port = authority.port_u16().unwrap_or(80);
    authority == backend.authority || port == own.port() && (loopback || authority.host() == own.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> Backend {
        let born = crate::clock::Clock::manual().now();
        Backend::new(
            "b:3001",
            "b:3001".parse().unwrap(),
            "/mcp".parse().unwrap(),
            ("127.0.0.1:3001".parse().unwrap(), born),
        )
    }

    #[test]
    fn a_challenge_is_pointed_at_us_and_keeps_the_rest() {
        let ours = "http://gate:8080/.well-known/oauth-protected-resource/mcp";
        let quoted = "Bearer error=\"invalid_token\", resource_metadata=\"http://b:3001/x\", scope=\"a b\"";
        assert_eq!(
            repoint(quoted, ours, &backend()).unwrap(),
            format!("Bearer error=\"invalid_token\", resource_metadata=\"{ours}\", scope=\"a b\""),
        );
        assert_eq!(
            repoint("Bearer resource_metadata=http://localhost:3001/x, scope=a", ours, &backend()).unwrap(),
            format!("Bearer resource_metadata=\"{ours}\", scope=a"),
        );
    }

    #[test]
    fn what_does_not_name_the_backend_stays() {
        let public = "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource\"";
        assert_eq!(repoint(public, "http://gate/x", &backend()), None);
        assert_eq!(repoint("Basic realm=\"x\"", "http://gate/x", &backend()), None);
    }
}
