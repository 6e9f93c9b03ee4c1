//! Who may ask the admin API: whoever has the token, where there is one, and of all pages in browsers the dashboard's own alone.
//! Health and readiness are told to everybody, as on the main listener; the dashboard's files hold nothing that is anybody's, and
//! whoever has no token yet needs them to send one.

use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode};

use super::problem::Problem;
use crate::config::Password;

/// What a browser says of the page that asks, of what it asks for, and why (W3C Fetch Metadata). It says nothing over plain HTTP to
/// other machines.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";
const SEC_FETCH_DEST: &str = "sec-fetch-dest";

/// What the dashboard sends with every order: no other page may, unless a browser asks us first (Fetch, "CORS-preflight fetch"),
/// and is refused.
const MOORLINE_ADMIN: &str = "moorline-admin";

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
    /// A page of somebody else's.
    Page,
    /// A page gives an order without saying that it is ours.
    Unsigned,
    Host,
    Token,
}

/// Who asks, as far as a browser tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// No browser, or somebody who types into one, or an old one that would not tell.
    Person,
    /// A page that came from here.
    OurPage,
    /// Somebody who follows a link to here.
    Visitor,
    /// Any other page.
    OtherPage,
}

impl Gate {
    /// The refusal, where there is one.
    pub fn refusal(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
        let refusal = self.judge(method, path, headers).err()?;
        tracing::warn!(?refusal, %method, path, "the admin API is asked by somebody who may not");
        let forbidden = |reason, words| Problem::new(StatusCode::FORBIDDEN, reason, words).into_response();
        Some(match refusal {
            Refusal::Page => forbidden("foreign_page", "pages of other sites may not ask the admin API"),
            Refusal::Unsigned => {
                forbidden("unsigned_order", "a page that gives orders sends the header field Moorline-Admin: 1")
            }
            Refusal::Host => {
                forbidden("foreign_host", "ask this address by a loopback name, such as localhost or 127.0.0.1")
            }
            Refusal::Token => {
                let words = "send the admin token: Authorization: Bearer …; the CLI takes it from --admin-token-file or MOORLINE_ADMIN_TOKEN";
                let mut response = Problem::new(StatusCode::UNAUTHORIZED, "no_token", words).into_response();
                let challenge = HeaderValue::from_static("Bearer realm=\"moorline admin\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
        })
    }

    fn judge(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let is_file = reads && (path == "/" || path.starts_with("/assets/"));
        let asker = asker(headers);
        match asker {
            Asker::OtherPage => return Err(Refusal::Page),
            Asker::Visitor if !is_file => return Err(Refusal::Page),
            Asker::OurPage if !reads && headers.get(MOORLINE_ADMIN).is_none_or(|said| said != "1") => {
                return Err(Refusal::Unsigned);
            }
            _ => {}
        }
        if self.loopback && !names_loopback(headers) {
            return Err(Refusal::Host);
        }
        let is_open = is_file || matches!(path, "/livez" | "/readyz" | "/health");
        match &self.token {
            Some(token) if !is_open && !bearer(headers).is_some_and(|said| token.is(said)) => Err(Refusal::Token),
            _ => Ok(()),
        }
    }
}

fn asker(headers: &HeaderMap) -> Asker {
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let came_from_here = headers.get(ORIGIN).map(|origin| is_here(origin, headers));
    match (said(SEC_FETCH_SITE), came_from_here) {
        (None | Some(b"none"), None) => Asker::Person,
        (None | Some(b"same-origin"), Some(true)) | (Some(b"same-origin"), None) => Asker::OurPage,
        (Some(b"cross-site" | b"same-site"), None)
            if said(SEC_FETCH_MODE) == Some(b"navigate") && said(SEC_FETCH_DEST) == Some(b"document") =>
        {
            Asker::Visitor
        }
        _ => Asker::OtherPage,
    }
}

/// Whether a page's origin is the host that is asked. Whether it came by TLS is not known here: a proxy before us may speak it.
fn is_here(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let Some((scheme @ ("http" | "https"), authority)) = origin else { return false };
    let usual = if scheme == "https" { 443 } else { 80 };
    let (Ok(theirs), Some(ours)) = (authority.parse::<Authority>(), host(headers)) else { return false };
    let place = |authority: &Authority| (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(usual));
    !theirs.as_str().contains('@') && place(&theirs) == place(&ours)
}

/// The token that somebody sends (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

/// The host that is asked, if it is one and the only one.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let authority = host.to_str().ok()?.parse::<Authority>().ok()?;
    Some(authority).filter(|authority| !authority.as_str().contains('@'))
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(authority) = host(headers) else { return false };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = [(&'static str, &'static str)];

    fn judged(token: Option<&str>, (method, path): (Method, &str), headers: &Fields<'_>) -> Option<Refusal> {
        let loopback = !headers.contains(&("host", "gw"));
        let pairs =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let gate = Gate { token: token.map(|token| Password::new(token.to_owned())), loopback };
        gate.judge(&method, path, &pairs.collect()).err()
    }

    fn read(headers: &Fields<'_>) -> Option<Refusal> {
        judged(None, (Method::GET, "/api/v1/limits"), headers)
    }

    fn order(headers: &Fields<'_>) -> Option<Refusal> {
        judged(None, (Method::POST, "/api/v1/cache/purge"), headers)
    }

    const HERE: (&str, &str) = ("host", "localhost:9090");
    const OURS: (&str, &str) = ("origin", "http://localhost:9090");
    const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
    const SIGNED: (&str, &str) = ("moorline-admin", "1");

    #[test]
    fn a_page_of_another_site_may_not_ask_whatever_it_says() {
        for page in [
            ("origin", "http://localhost:9091"),
            ("origin", "http://evil.example"),
            ("origin", "http://localhost:9090@evil.example"),
            ("origin", "http://a@localhost:9090"),
            ("origin", "file://localhost:9090"),
            ("origin", "null"),
            ("origin", ""),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", ""),
        ] {
            assert_eq!(read(&[HERE, page]), Some(Refusal::Page), "{page:?}");
            assert_eq!(order(&[HERE, page, SIGNED]), Some(Refusal::Page), "{page:?}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert_eq!(read(&[HERE, OURS, ("sec-fetch-site", site)]), Some(Refusal::Page), "{site}");
        }
        assert_eq!(read(&[HERE, SAME, ("origin", "http://evil.example")]), Some(Refusal::Page));
    }

    #[test]
    fn the_dashboard_reads_and_gives_orders_that_it_signs() {
        for page in
            [&[HERE, SAME][..], &[HERE, SAME, OURS], &[HERE, OURS], &[HERE, ("origin", "https://LOCALHOST:9090")]]
        {
            assert_eq!(read(page), None, "{page:?}");
            assert_eq!(order(page), Some(Refusal::Unsigned), "{page:?}");
            assert_eq!(order(&[page, &[SIGNED]].concat()), None, "{page:?}");
            assert_eq!(order(&[page, &[("moorline-admin", "0")]].concat()), Some(Refusal::Unsigned), "{page:?}");
        }
        let proxied = |origin| order(&[("host", "gw"), ("origin", origin), SIGNED]);
        assert_eq!((proxied("http://gw:80"), proxied("https://gw"), proxied("https://gw:443")), (None, None, None));
        assert_eq!(proxied("https://gw:80"), Some(Refusal::Page));
    }

    #[test]
    fn people_without_a_page_just_ask() {
        for person in [&[HERE][..], &[HERE, ("sec-fetch-site", "none")]] {
            assert_eq!((read(person), order(person)), (None, None), "{person:?}");
        }
    }

    #[test]
    fn a_link_leads_to_the_dashboard_and_nowhere_else() {
        let link =
            [HERE, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(judged(None, (Method::GET, "/"), &link), None);
        assert_eq!(judged(None, (Method::POST, "/"), &link), Some(Refusal::Page));
        assert_eq!(read(&link), Some(Refusal::Page));
        let frame =
            [HERE, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert_eq!(judged(None, (Method::GET, "/"), &frame), Some(Refusal::Page));
    }

    #[test]
    fn on_loopback_only_a_loopback_name_is_answered() {
        for host in [&[("host", "evil.example:9090")][..], &[("host", "localhost:80@evil.example")], &[], &[HERE, HERE]]
        {
            assert_eq!(read(host), Some(Refusal::Host), "{host:?}");
        }
        // DNS rebinding: to the browser, page and API are one site.
        let rebound = [("host", "evil.example:9090"), ("origin", "http://evil.example:9090"), SAME, SIGNED];
        assert_eq!((read(&rebound), order(&rebound)), (Some(Refusal::Host), Some(Refusal::Host)));
        for host in ["127.0.0.1:9090", "[::1]:9090", "LOCALHOST", "127.9.9.9"] {
            assert_eq!(read(&[("host", host)]), None, "{host}");
        }
    }

    #[test]
    fn the_token_is_the_whole_token() {
        let asked = (Method::GET, "/metrics");
        let with = |said| judged(Some("s3cret"), asked.clone(), &[("host", "gw"), ("authorization", said)]);
        assert_eq!((with("Bearer s3cret"), with("bearer s3cret")), (None, None));
        for wrong in ["Bearer s3cre", "Bearer s3crett", "Bearer ", "Basic s3cret", "s3cret", "Bearer S3CRET", ""] {
            assert_eq!(with(wrong), Some(Refusal::Token), "{wrong}");
        }
        assert_eq!(judged(Some("s3cret"), asked, &[HERE]), Some(Refusal::Token));
    }

    #[test]
    fn what_is_anybodys_needs_no_token() {
        for open in ["/livez", "/readyz", "/health", "/", "/assets/app.js"] {
            assert_eq!(judged(Some("s3cret"), (Method::GET, open), &[("host", "gw")]), None, "{open}");
        }
        for closed in ["/metrics", "/api/v1/instance", "/api/v1/openapi.json", "/assets", "/livez/", "//"] {
            assert_eq!(
                judged(Some("s3cret"), (Method::GET, closed), &[("host", "gw")]),
                Some(Refusal::Token),
                "{closed}"
            );
        }
        assert_eq!(judged(Some("s3cret"), (Method::POST, "/"), &[("host", "gw")]), Some(Refusal::Token));
    }
}
