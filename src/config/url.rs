//! Where a backend is, as a URL in one canonical form, so that every instance calls it by the same
//! name; and the public URL. Refuses what it cannot hold to, such as credentials. Resolves nothing.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::form::Complaint;

/// Where a backend is: `http://host:port/path`, or `dns+http://name:port/path` for every address behind a name; both with
/// `https` where it speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendUrl {
    discovery: Discovery,
    uri: Uri,
}

/// How many backends a URL stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// One.
    Fixed,
    /// One for each address behind the name, looked up again and again.
    Dns,
}

impl BackendUrl {
    /// How many backends the URL stands for.
    #[must_use]
    pub const fn discovery(&self) -> Discovery {
        self.discovery
    }

    /// The `http` or `https` URL to send requests to: the host in lower case, the port left out if it is the scheme's own.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host without brackets: a name in lower case, or an address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 80, or 443 over TLS, if the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(own_port(self.is_secure()))
    }

    /// Whether the backend speaks TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// The path, `/` if the URL names none.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Reads a backend's URL.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        no_credentials(text)?;
        let (discovery, scheme, rest) = split_scheme(text)?;
        let (authority, path) = split_authority(rest);
        let authority = authority_of(text, authority, own_port(scheme == "https"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if discovery == Discovery::Dns && host.parse::<IpAddr>().is_ok() {
            let plain = text.trim_start_matches("dns+");
            return Err(Complaint::bad(format!("`{host}` is an address, not a name to look up"))
                .help(format!("write \"{plain}\"")));
        }
        let path = PathAndQuery::try_from(if path.is_empty() { "/" } else { path });
        let path = path.map_err(|source| Complaint::bad(format!("`{text}` has a bad path: {source}")))?;
        if path.query().is_some() || text.contains('#') {
            return Err(Complaint::bad("a backend's URL has neither a query nor a fragment")
                .help("leave out what stands from `?` or `#` on"));
        }
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
        let uri = uri.map_err(|source| Complaint::bad(format!("`{text}` is not a URL: {source}")))?;
        Ok(Self { discovery, uri })
    }
}

/// What kind of URL it is, the scheme to send with, and what stands behind `://`.
fn split_scheme(text: &str) -> Result<(Discovery, &'static str, &str), Complaint> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let suggestion =
            if text.is_empty() || text.contains(char::is_whitespace) { "127.0.0.1:3001/mcp" } else { text };
        return Err(
            Complaint::bad("a backend's URL starts with `http://`").help(format!("write \"http://{suggestion}\""))
        );
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Discovery::Fixed, "http", rest)),
        "dns+http" => Ok((Discovery::Dns, "http", rest)),
        "https" => Ok((Discovery::Fixed, "https", rest)),
        "dns+https" => Ok((Discovery::Dns, "https", rest)),
        _ => Err(Complaint::bad(format!("`{scheme}` is not a scheme for backends"))),
    }
}

/// The port that a URL without one means.
const fn own_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Refuses a user's name and password, which no message then repeats.
fn no_credentials(text: &str) -> Result<(), Complaint> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    if split_authority(rest).0.contains('@') {
        return Err(Complaint::bad("a URL must not hold credentials").help("leave out what stands up to the `@`"));
    }
    Ok(())
}

fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// The canonical authority.
fn authority_of(text: &str, authority: &str, own_port: u16) -> Result<Authority, Complaint> {
    let bad = || Complaint::bad(format!("`{text}` has no usable host and port"));
    let parsed = Authority::try_from(authority).map_err(|_| bad())?;
    let host = parsed.host().to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<IpAddr>().is_ok();
    let named = bare.len() <= 253 && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if bare.is_empty() || !(is_address || named) {
        return Err(bad());
    }
    let port = match parsed.as_str()[host.len()..].strip_prefix(':') {
        None => None,
        // `parse` alone would take a plus sign.
        Some(port) if port.starts_with('+') => return Err(bad()),
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(bad)?),
    };
    let canonical = port.filter(|port| *port != own_port).map_or(host.clone(), |port| format!("{host}:{port}"));
    Authority::try_from(canonical).map_err(|_| bad())
}

/// Reads the URL of one server that is not a backend.
pub(super) fn parse_one(text: &str) -> Result<BackendUrl, Complaint> {
    let url = BackendUrl::parse(text)?;
    match url.discovery() {
        Discovery::Fixed => Ok(url),
        Discovery::Dns => Err(Complaint::bad("a name is looked up anyway").help("leave out the `dns+`")),
    }
}

/// Reads the URL under which clients reach Moorline.
pub(super) fn parse_public(text: &str) -> Result<Uri, Complaint> {
    let bad = || Complaint::bad(format!("`{text}` is not the URL of a site"));
    no_credentials(text)?;
    let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
    let (authority, path) = split_authority(rest);
    if !matches!(path, "" | "/") {
        return Err(Complaint::bad("the public URL has no path, query or fragment")
            .help(format!("write \"{scheme}://{authority}\"")));
    }
    if !matches!(scheme, "http" | "https") || authority.is_empty() {
        return Err(bad());
    }
    Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build().map_err(|_| bad())
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.discovery {
            Discovery::Fixed => "",
            Discovery::Dns => "dns+",
        };
        write!(f, "{prefix}{}", self.uri)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    fn complaint(text: &str) -> String {
        BackendUrl::parse(text).err().unwrap().text
    }

    fn canonical(text: &str) -> String {
        BackendUrl::parse(text).ok().unwrap().to_string()
    }

    #[test]
    fn one_backend_has_one_name() {
        assert_eq!(canonical("HTTP://LocalHost:80"), "http://localhost/");
        assert_eq!(canonical("http://[::1]:3001/mcp"), "http://[::1]:3001/mcp");
        assert_eq!(canonical("https://a:443/mcp"), "https://a/mcp");
        assert_eq!(canonical("https://a:80/mcp"), "https://a:80/mcp");
        assert_eq!(canonical("dns+HTTPS://a/mcp"), "dns+https://a/mcp");
        assert_eq!(canonical("dns+http://mcp.default.svc:3000/mcp"), "dns+http://mcp.default.svc:3000/mcp");
    }

    #[test]
    fn takes_the_url_apart() {
        let url = BackendUrl::parse("http://[::1]:3001/mcp").ok().unwrap();
        assert_eq!((url.host(), url.port(), url.path()), ("::1", 3001, "/mcp"));
        assert_eq!((url.discovery(), url.is_secure()), (Discovery::Fixed, false));
        let url = BackendUrl::parse("dns+https://a/mcp").ok().unwrap();
        assert_eq!((url.host(), url.port(), url.is_secure()), ("a", 443, true));
    }

    #[test]
    fn refuses_what_it_cannot_hold_to() {
        assert!(complaint("ftp://a").contains("`ftp`"));
        assert!(complaint("http://user:word@a/").contains("credentials"));
        assert!(!complaint("http://user:word@a/").contains("word"));
        assert!(complaint("http://a/?q").contains("query"));
        assert!(complaint("http://a/#f").contains("fragment"));
        assert!(complaint("dns+http://10.0.0.1/").contains("not a name"));
        for text in
            ["http://", "http://a:0/", "http://a:99999/", "http://a:/", "http:///mcp", "http://a b/", "http://a:+1/"]
        {
            assert!(complaint(text).contains("no usable host"), "{text}");
        }
    }

    #[test]
    fn a_public_url_names_a_site() {
        assert_eq!(parse_public("https://mcp.example.com").ok().unwrap().to_string(), "https://mcp.example.com/");
        for text in ["mcp.example.com", "ftp://a", "https://", "https://a/mcp", "https://u@a"] {
            assert!(parse_public(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(host in "[A-Za-z][a-z0-9.-]{0,8}", port in 1_u16.., path in "(/[a-z]{0,3}){0,3}") {
            let url = BackendUrl::parse(&format!("http://{host}:{port}{path}")).ok().unwrap();
            assert_eq!(BackendUrl::parse(&url.to_string()).ok(), Some(url));
        }

        #[test]
        fn no_text_panics(text in "(http://)?.{0,30}") {
            let _ = BackendUrl::parse(&text);
            let _ = parse_public(&text);
        }
    }
}
