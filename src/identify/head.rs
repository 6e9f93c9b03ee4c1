//! A request's head: within its bounds, and with nothing in it that two readers could read differently. What is refused here
//! would at best be useless to the backend, and at worst a second request to somebody on the way (request smuggling).

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, ORIGIN, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Version};

use crate::config::Bounds;
use crate::reject::Cause;

/// Fields that stand once at most: whoever reads the first one and whoever reads the last one must see the same.
const ONCE: [(HeaderName, &str); 2] =
    [(ORIGIN, "Origin is there more than once"), (CONTENT_TYPE, "Content-Type is there more than once")];

/// Checks sizes and unambiguity.
pub fn check(parts: &Parts, bounds: &Bounds) -> Result<(), Cause> {
    check_sizes(parts, bounds)?;
    check_host(parts)?;
    check_codings(&parts.headers)?;
    let twice = ONCE.iter().find(|(name, _)| parts.headers.get_all(name).iter().nth(1).is_some());
    twice.map_or(Ok(()), |(_, what)| Err(Cause::Ambiguous(what)))
}

fn check_sizes(parts: &Parts, bounds: &Bounds) -> Result<(), Cause> {
    let url = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if url > bounds.max_url {
        return Err(Cause::UrlTooLong(bounds.max_url));
    }
    // Four bytes a field for the colon, the space and the line's end.
    let block: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if block > bounds.max_header_block || parts.headers.len() > bounds.max_headers {
        return Err(Cause::HeadersTooLarge(bounds.max_header_block));
    }
    Ok(())
}

/// One host, said once (RFC 9112 §3.2), or twice with the same words in HTTP/2 (RFC 9113 §8.3.1).
fn check_host(parts: &Parts) -> Result<(), Cause> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let authority = parts.uri.authority();
    if second.is_some() {
        return Err(Cause::Ambiguous("Host is there more than once"));
    }
    if host.is_none() && authority.is_none() && parts.version > Version::HTTP_10 {
        return Err(Cause::Ambiguous("they name no host"));
    }
    let differs = |authority: &http::uri::Authority| {
        host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()))
    };
    // In HTTP/1 the URL's host counts, whatever Host says (RFC 9112 §3.2.2).
    if parts.version == Version::HTTP_2 && authority.is_some_and(differs) {
        return Err(Cause::Ambiguous("Host and :authority differ"));
    }
    Ok(())
}

/// The only transfer coding is `chunked`, said once: whoever does not know the others sees the body end elsewhere.
/// What is compressed cannot be looked into, and is not opened: a small body can hold a large one.
fn check_codings(headers: &HeaderMap) -> Result<(), Cause> {
    let plain = |coding: &http::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Err(Cause::ContentCoding);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Cause::Ambiguous("a Transfer-Encoding other than chunked, or more than one")),
    }
}

/// Whether the message says that it is JSON, in UTF-8.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    // JSON is in UTF-8 (RFC 8259 §8.1); whoever believes another charset reads another message.
    let charset = |part: &str| part.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("charset="));
    let utf8 = |part: &str| part[8..].trim_matches('"').eq_ignore_ascii_case("utf-8");
    essence.eq_ignore_ascii_case("application/json") && parts.all(|part| !charset(part) || utf8(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_in_utf8() {
        let says = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(value))]))
        };
        for good in ["application/json", "Application/JSON; Charset=\"UTF-8\"", "application/json;x=y; charset=utf-8"] {
            assert!(says(good), "{good}");
        }
        for bad in ["text/json", "application/json; charset=utf-16", "application/json-rpc", ""] {
            assert!(!says(bad), "{bad}");
        }
    }
}
