//! Who may speak to a listener, as `Host` and `Origin` name them. A browser that was led astray by DNS rebinding names somebody
//! else (MCP 2026-07-28, Streamable HTTP, Security). It does not tell callers apart: whoever is no browser says what it likes.
//!
//! | listener | `Host` | `Origin`, where there is one |
//! |---|---|---|
//! | on loopback | a loopback name, or allowed | a loopback name, or allowed |
//! | elsewhere | allowed, where `allowed_hosts` says anything | the request's own host, or allowed |
//!
//! A trusted proxy names hosts of its own: without anything configured nothing of what it passes is checked.

use std::cell::RefCell;
use std::sync::Arc;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Uri};

use super::{Connection, Settings};
use crate::reject::Cause;

/// Refuses a `Host` or an `Origin` that may not speak to this listener.
pub fn check((headers, uri): (&HeaderMap, &Uri), settings: &Settings, connection: &Connection) -> Result<(), Cause> {
    let trusted = settings.trusted_proxies.iter().any(|range| range.contains(connection.peer.ip()));
    let configured = !settings.allowed_hosts.is_empty() || !settings.allowed_origins.is_empty();
    if trusted && !configured {
        return Ok(());
    }
    let named = asked(headers, uri, trusted);
    let host = named.as_ref().map(Authority::host);
    let loopback = connection.loopback && !trusted;
    let may_be_asked = |host: &str| is_allowed(host, settings) || loopback && is_loopback(host);
    let hosts_matter = loopback || !settings.allowed_hosts.is_empty();
    if hosts_matter && !host.is_some_and(may_be_asked) {
        return Err(Cause::ForeignHost("Host"));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let may_ask = |origin: &str| {
        let from = origin_host(origin);
        let at_home = |from: &str| may_be_asked(from) || !loopback && host.is_some_and(|host| same(host, from));
        settings.allowed_origins.iter().any(|one| one == "*" || same(one, origin))
            || from.is_some_and(|from| at_home(from.host()))
    };
    if origin.to_str().is_ok_and(may_ask) { Ok(()) } else { Err(Cause::ForeignHost("Origin")) }
}

/// A host that was found to be a good one.
struct Passed {
    settings: Arc<Settings>,
    loopback: bool,
    host: Box<[u8]>,
}

thread_local! {
    /// The last one that this thread has looked at: most clients of an instance call it by the same name.
    static PASSED: RefCell<Option<Passed>> = const { RefCell::new(None) };
}

/// The same as [`check`], and quicker where the last request named the same host under the same settings.
pub fn check_again(
    (headers, uri): (&HeaderMap, &Uri),
    settings: &Arc<Settings>,
    connection: &Connection,
) -> Result<(), Cause> {
    let loopback = connection.loopback;
    // All else that the judgement depends on is not there.
    let alone = settings.trusted_proxies.is_empty() && uri.authority().is_none() && !headers.contains_key(ORIGIN);
    let Some(host) = headers.get(HOST).filter(|_| alone) else { return check((headers, uri), settings, connection) };
    let same = |passed: &Passed| {
        passed.loopback == loopback && *passed.host == *host.as_bytes() && Arc::ptr_eq(&passed.settings, settings)
    };
    if PASSED.with_borrow(|passed| passed.as_ref().is_some_and(same)) {
        return Ok(());
    }
    check((headers, uri), settings, connection)?;
    let passed = Passed { settings: Arc::clone(settings), loopback, host: host.as_bytes().into() };
    PASSED.set(Some(passed));
    Ok(())
}

/// Whom the client has asked for: its own words, or those that a trusted proxy passes on.
fn asked(headers: &HeaderMap, uri: &Uri, trusted: bool) -> Option<Authority> {
    let forwarded = trusted.then(|| text(headers, "x-forwarded-host")).flatten();
    let host = forwarded.or_else(|| uri.authority().map(Authority::as_str));
    authority(host.or_else(|| text(headers, HOST.as_str()))?)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A host and perhaps a port; nothing else, and no user's name.
fn authority(text: &str) -> Option<Authority> {
    text.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
}

/// The host in an origin such as `http://localhost:5173` (RFC 6454 §7); an opaque origin (`null`) has none.
fn origin_host(origin: &str) -> Option<Authority> {
    origin.split_once("://").and_then(|(_, host)| authority(host))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    same(host, "localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

fn is_allowed(host: &str, settings: &Settings) -> bool {
    settings.allowed_hosts.iter().any(|allowed| same(host, allowed))
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::exchange::Hop;

    const HERE: &str = "127.0.0.1:1";
    const ELSEWHERE: &str = "192.0.2.1:1";

    fn settings(keys: &str) -> Arc<Settings> {
        let text = format!("{keys}\n[[pool]]\nbackends = [\"http://127.0.0.1:1/mcp\"]\n");
        let config = Config::parse("test", &text).unwrap();
        Arc::new(Settings {
            bounds: config.bounds,
            trusted_proxies: config.trusted_proxies,
            allowed_hosts: config.allowed_hosts,
            allowed_origins: config.allowed_origins,
            public_url: None,
        })
    }

    /// Whether `headers` pass at a listener on loopback or elsewhere.
    fn passes(settings: &Arc<Settings>, peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().uri("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        let connection = Connection {
            peer,
            hop: Arc::new(Hop::new(peer)),
            loopback: peer.ip().is_loopback(),
            secure: false,
            certificate: None,
        };
        let request = request.body(()).unwrap();
        let asked = (request.headers(), request.uri());
        let first = check(asked, settings, &connection).is_ok();
        assert_eq!(
            [check_again(asked, settings, &connection).is_ok(), check_again(asked, settings, &connection).is_ok()],
            [first; 2]
        );
        first
    }

    #[test]
    fn on_loopback_only_loopback_is_at_home() {
        let settings = settings("");
        for good in ["localhost", "LOCALHOST:80", "127.0.0.1:3000", "127.8.9.1", "[::1]:3000"] {
            assert!(passes(&settings, HERE, &[("host", good)]), "{good}");
        }
        for bad in
            ["evil.example", "localhost.evil.example", "localhost:80@evil.example", "localhost/x", "", "10.0.0.1"]
        {
            assert!(!passes(&settings, HERE, &[("host", bad)]), "{bad}");
        }
        let with = |origin| passes(&settings, HERE, &[("host", "localhost"), ("origin", origin)]);
        assert!(with("http://localhost:5173") && with("https://[::1]"));
        assert!(!with("null") && !with("http://evil.example") && !with("localhost"));
    }

    #[test]
    fn elsewhere_an_origin_is_at_home_on_its_own_host() {
        let settings = settings("");
        let with = |origin| passes(&settings, ELSEWHERE, &[("host", "mcp.example:8080"), ("origin", origin)]);
        assert!(with("https://mcp.example") && with("http://MCP.example:3000"));
        assert!(!with("https://evil.example") && !with("null") && !with("http://localhost"));
        assert!(passes(&settings, ELSEWHERE, &[("host", "any.example")]));
    }

    #[test]
    fn what_is_configured_is_allowed_and_nothing_else() {
        let settings = settings("allowed_hosts = [\"mcp.example\"]\nallowed_origins = [\"https://app.example\"]");
        let with = |host, origin| passes(&settings, ELSEWHERE, &[("host", host), ("origin", origin)]);
        assert!(with("mcp.example", "https://app.example") && with("mcp.example", "https://mcp.example"));
        assert!(!with("mcp.example", "http://app.example") && !with("mcp.example", "https://app.example:444"));
        assert!(!with("evil.example", "https://evil.example"), "rebound");
        assert!(passes(&settings, HERE, &[("host", "mcp.example"), ("origin", "https://app.example")]));
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_held_to_what_is_configured() {
        let headers = [("host", "upstream"), ("x-forwarded-host", "mcp.example"), ("origin", "https://app.example")];
        let trusted = "trusted_proxies = [\"127.0.0.1\"]\n";
        assert!(passes(&settings(trusted), HERE, &headers));
        assert!(passes(&settings(&format!("{trusted}allowed_origins = [\"https://app.example\"]")), HERE, &headers));
        assert!(!passes(&settings(&format!("{trusted}allowed_origins = [\"https://other.example\"]")), HERE, &headers));
        assert!(!passes(&settings(&format!("{trusted}allowed_hosts = [\"upstream\"]")), HERE, &headers[..2]));
    }

    #[test]
    fn a_star_lets_every_origin_ask() {
        let settings = settings("allowed_origins = [\"*\"]");
        assert!(passes(&settings, ELSEWHERE, &[("host", "mcp.example"), ("origin", "https://any.example")]));
        assert!(!passes(&settings, HERE, &[("host", "evil.example"), ("origin", "http://evil.example")]));
    }
}
