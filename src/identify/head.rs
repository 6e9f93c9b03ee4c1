//! A request's head: within its bounds, and with nothing in it that two readers could read differently. What is refused here
//! would at best be useless to the backend, and at worst a second request to somebody on the way (request smuggling).

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Version};

use crate::config::Bounds;
use crate::reject::Cause;
use crate::wire::is_hop_by_hop;

/// What there is of fields that matter here, read from all names once.
#[derive(Debug, Default)]
pub struct Survey {
    /// Names and values, with four bytes a field for the colon, the space and the line's end.
    block: usize,
    hosts: u32,
    origins: u32,
    types: u32,
    contents: u32,
    transfers: u32,
    /// Whether one is there that concerns one hop only.
    pub hops: bool,
    /// Whether one is there that says who calls, or that could be taken for one that says who calls, or where from.
    pub poses: bool,
}

impl Survey {
    /// Reads all names.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut survey = Self::default();
        for (name, value) in headers {
            survey.block += name.as_str().len() + value.len() + 4;
            match name {
                name if *name == HOST => survey.hosts += 1,
                name if *name == CONTENT_TYPE => survey.types += 1,
                name if *name == ORIGIN => survey.origins += 1,
                name if *name == CONTENT_ENCODING => survey.contents += 1,
                name => {
                    survey.transfers += u32::from(*name == TRANSFER_ENCODING);
                    survey.hops |= is_hop_by_hop(name);
                    survey.poses |= poses(name.as_str());
                }
            }
        }
        survey
    }
}

/// Looks at the first letter first: the fields in question begin with these.
fn poses(name: &str) -> bool {
    matches!(name.as_bytes().first(), Some(b'm' | b'x' | b'f'))
        && (name.starts_with("moorline-") || name.bytes().any(|byte| byte == b'_'))
}

/// Checks sizes and unambiguity.
pub fn check(parts: &Parts, bounds: &Bounds) -> Result<Survey, Cause> {
    let survey = Survey::of(&parts.headers);
    check_sizes(parts, &survey, bounds)?;
    check_host(parts, &survey)?;
    check_codings(&parts.headers, &survey)?;
    // Fields that stand once at most: whoever reads the first one and whoever reads the last one must see the same.
    match survey {
        Survey { origins: 2.., .. } => Err(Cause::Ambiguous("Origin is there more than once")),
        Survey { types: 2.., .. } => Err(Cause::Ambiguous("Content-Type is there more than once")),
        survey => Ok(survey),
    }
}

fn check_sizes(parts: &Parts, survey: &Survey, bounds: &Bounds) -> Result<(), Cause> {
    let url = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if url > bounds.max_url {
        return Err(Cause::UrlTooLong(bounds.max_url));
    }
    if survey.block > bounds.max_header_block || parts.headers.len() > bounds.max_headers {
        return Err(Cause::HeadersTooLarge(bounds.max_header_block));
    }
    Ok(())
}

/// One host, said once (RFC 9112 §3.2), or twice with the same words in HTTP/2 (RFC 9113 §8.3.1).
fn check_host(parts: &Parts, survey: &Survey) -> Result<(), Cause> {
    let authority = parts.uri.authority();
    if survey.hosts > 1 {
        return Err(Cause::Ambiguous("Host is there more than once"));
    }
    if survey.hosts == 0 && authority.is_none() && parts.version > Version::HTTP_10 {
        return Err(Cause::Ambiguous("they name no host"));
    }
    let differs = |authority: &http::uri::Authority| {
        let host = parts.headers.get(HOST);
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
fn check_codings(headers: &HeaderMap, survey: &Survey) -> Result<(), Cause> {
    if survey.contents + survey.transfers == 0 {
        return Ok(());
    }
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
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    // What the SDKs send needs no reading.
    if value.as_bytes() == b"application/json" {
        return true;
    }
    let Ok(value) = value.to_str() else { return false };
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
