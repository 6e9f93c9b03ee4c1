//! Who may ask the admin API: whoever has the token, where there is one, and no page in a browser. Health and readiness are told to
//! everybody, as on the main listener.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use super::plain;
use crate::config::Password;

/// What a browser says of the page that asks (W3C Fetch Metadata).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The gate.
#[derive(Clone, Debug)]
pub struct Gate {
    /// With what operators ask; none only on loopback.
    pub token: Option<Password>,
    /// Whether the listener can only be reached from this machine: browsers here can be led to it from anywhere (DNS rebinding).
    pub loopback: bool,
}

/// Why somebody may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Page,
    Host,
    Token,
}

impl Gate {
    /// The refusal, where there is one.
    pub fn refusal(&self, path: &str, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        let is_health = matches!(path, "/livez" | "/readyz" | "/health");
        let refusal = self.judge(headers).err().filter(|refusal| !(is_health && *refusal == Refusal::Token))?;
        tracing::warn!(?refusal, path, "the admin API is asked by somebody who may not");
        Some(match refusal {
            Refusal::Page => plain(StatusCode::FORBIDDEN, "pages in browsers may not ask the admin API\n"),
            Refusal::Host => {
                plain(StatusCode::FORBIDDEN, "ask this address by a loopback name, such as localhost or 127.0.0.1\n")
            }
            Refusal::Token => {
                let words = "send the admin token: Authorization: Bearer …; the CLI takes it from --admin-token-file or MOORLINE_ADMIN_TOKEN\n";
                let mut response = plain(StatusCode::UNAUTHORIZED, words);
                response
                    .headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"moorline admin\""));
                response
            }
        })
    }

    fn judge(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
        // What somebody types into a browser comes from no page.
        if headers.contains_key(ORIGIN) || !matches!(site, None | Some(b"none")) {
            return Err(Refusal::Page);
        }
        if self.loopback && !names_loopback(headers) {
            return Err(Refusal::Host);
        }
        match &self.token {
            Some(token) if !bearer(headers).is_some_and(|said| token.is(said)) => Err(Refusal::Token),
            _ => Ok(()),
        }
    }
}

/// The token that somebody sends (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let authority = host.to_str().ok().and_then(|host| host.parse::<http::uri::Authority>().ok());
    let Some(authority) = authority.filter(|authority| !authority.as_str().contains('@')) else { return false };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(token: Option<&str>, loopback: bool, headers: &[(&'static str, &'static str)]) -> Option<Refusal> {
        let pairs =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let gate = Gate { token: token.map(|token| Password::new(token.to_owned())), loopback };
        gate.judge(&pairs.collect()).err()
    }

    #[test]
    fn a_page_may_not_ask_whatever_it_says() {
        let here = ("host", "localhost:9090");
        assert_eq!(judged(None, true, &[here]), None);
        assert_eq!(judged(None, true, &[here, ("sec-fetch-site", "none")]), None);
        for page in [("origin", "http://localhost:9090"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(judged(None, true, &[here, page]), Some(Refusal::Page), "{page:?}");
        }
        assert_eq!(judged(None, true, &[("host", "evil.example:9090")]), Some(Refusal::Host));
        assert_eq!(judged(None, true, &[("host", "localhost:80@evil.example")]), Some(Refusal::Host));
        assert_eq!(judged(None, true, &[]), Some(Refusal::Host));
    }

    #[test]
    fn the_token_is_the_whole_token() {
        let with = |said| judged(Some("s3cret"), false, &[("host", "gw"), ("authorization", said)]);
        assert_eq!((with("Bearer s3cret"), with("bearer s3cret")), (None, None));
        for wrong in ["Bearer s3cre", "Bearer s3crett", "Bearer ", "Basic s3cret", "s3cret", "Bearer S3CRET", ""] {
            assert_eq!(with(wrong), Some(Refusal::Token), "{wrong}");
        }
        assert_eq!(judged(Some("s3cret"), true, &[("host", "localhost")]), Some(Refusal::Token));
    }
}
