//! Reads the values that are neither a quantity nor a word: addresses, paths, names and the store's URL.
//! Each says what would be accepted; none looks outside.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::address::{AddressRange, RangeError};
use super::form::Complaint;
use super::settings::StoreUrl;
use super::shared;

/// Paths that Moorline answers itself, on every address.
const RESERVED: [&str; 4] = ["/health", "/livez", "/readyz", "/metrics"];

/// The tree of paths that belongs to the origin as a whole (RFC 8615).
const WELL_KNOWN: &str = "/.well-known";

/// An address and a port to listen on.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Complaint> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    let complaint = Complaint::bad(format!("`{text}` is not an address with a port"));
    let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
    Err(match (text.rsplit_once(':'), port) {
        (None, Some(port)) | (Some(("" | "*", _)), Some(port)) => complaint
            .help(format!("write \"127.0.0.1:{port}\" for this machine alone, \"0.0.0.0:{port}\" for every address")),
        (Some(("localhost", _)), Some(port)) => {
            complaint.help(format!("names are not looked up here: write \"127.0.0.1:{port}\" or \"[::1]:{port}\""))
        }
        _ => complaint,
    })
}

/// A range of addresses.
pub(super) fn range(text: &str) -> Result<AddressRange, Complaint> {
    text.parse().map_err(|source: RangeError| match &source {
        RangeError::HostBits(meant) => Complaint::bad(format!("`{text}`: {source}")).help(format!("write \"{meant}\"")),
        RangeError::Address(_) | RangeError::Prefix(..) => Complaint::bad(source.to_string()),
    })
}

/// Which store.
pub(super) fn store(text: &str) -> Result<StoreUrl, Complaint> {
    if text == "memory" {
        return Ok(StoreUrl::Memory);
    }
    let scheme = text.split(':').next().unwrap_or(text);
    match (scheme, text.strip_prefix("disk:")) {
        (_, Some("")) => Err(Complaint::bad("`disk:` names no directory").help("write \"disk:/var/lib/moorline\"")),
        (_, Some(path)) if path.starts_with("//") => {
            let plain = format!("disk:/{}", path.trim_start_matches('/'));
            Err(Complaint::bad("a directory has no host").help(format!("write \"{plain}\"")))
        }
        (_, Some(path)) => Ok(StoreUrl::Disk(PathBuf::from(path))),
        _ => match shared::parse(text) {
            Some(url) => url.map(StoreUrl::Redis),
            None if text.contains('@') => Err(Complaint::bad(format!("`{scheme}:` is not a store"))),
            None => Err(Complaint::bad(format!("`{text}` is not a store"))),
        },
    }
}

/// What the names of a shared store's keys begin with. Braces would change where a Cluster keeps them.
pub(super) fn prefix(text: &str) -> Result<String, Complaint> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        return Err(Complaint::bad(format!("`{}` cannot begin the names of keys", text.escape_debug())));
    }
    Ok(text.to_owned())
}

/// The path of a file.
pub(super) fn file(text: &str) -> Result<PathBuf, Complaint> {
    if text.is_empty() { Err(Complaint::bad("no file has an empty name")) } else { Ok(PathBuf::from(text)) }
}

/// Who we are.
pub(super) fn username(text: &str) -> Result<String, Complaint> {
    let plain = !text.is_empty() && text.len() <= 256 && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if plain { Ok(text.to_owned()) } else { Err(Complaint::bad("this is not the name of a user")) }
}

/// A pool's endpoint path.
pub(super) fn pool_path(text: &str) -> Result<String, Complaint> {
    let path = plain_path(text)?;
    if path.len() > 1 && path.ends_with('/') {
        let without = path.trim_end_matches('/');
        return Err(Complaint::bad("a pool's path has no slash at its end").help(format!("write \"{without}\"")));
    }
    if RESERVED.contains(&path)
        || path == WELL_KNOWN
        || path.strip_prefix(WELL_KNOWN).is_some_and(|rest| rest.starts_with('/'))
    {
        let reserved = format!("reserved: {} and everything under {WELL_KNOWN}", RESERVED.join(", "));
        return Err(Complaint::bad(format!("`{path}` is reserved")).help(reserved));
    }
    Ok(path.to_owned())
}

/// The path of a health probe.
pub(super) fn probe_path(text: &str) -> Result<String, Complaint> {
    plain_path(text.split('?').next().unwrap_or(text))?;
    let whole = http::uri::PathAndQuery::try_from(text);
    whole.map(|whole| whole.as_str().to_owned()).map_err(|_| Complaint::bad(format!("`{text}` is not a path")))
}

/// A path as clients send it: no empty, `.` or `..` segments, no escapes, nothing that would need one.
fn plain_path(text: &str) -> Result<&str, Complaint> {
    if !text.starts_with('/') {
        return Err(Complaint::bad(format!("`{text}` does not start with a slash")).help(format!("write \"/{text}\"")));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    if let Some(odd) = text.chars().find(|c| !u8::try_from(*c).is_ok_and(plain)) {
        return Err(Complaint::bad(format!("`{}` cannot stand in a path", odd.escape_default())));
    }
    let mut inner = text[1..].trim_end_matches('/').split('/');
    let odd = (text.len() > 1).then(|| inner.find(|segment| matches!(*segment, "" | "." | ".."))).flatten();
    match odd {
        Some(_) => Err(Complaint::bad(format!("`{text}` has an empty, `.` or `..` segment"))),
        None => Ok(text),
    }
}

/// A name in logs and metrics.
pub(super) fn name(text: &str) -> Result<String, Complaint> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        return Err(Complaint::bad(format!("`{text}` is not a name")));
    }
    Ok(text.to_owned())
}

/// A scope (RFC 6749 §3.3).
pub(super) fn scope(text: &str) -> Result<Box<str>, Complaint> {
    let plain = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(plain) {
        return Err(Complaint::bad(format!("`{}` is not a scope", text.escape_debug())));
    }
    Ok(text.into())
}

/// A host name or address without a port, in lower case.
pub(super) fn host(text: &str) -> Result<String, Complaint> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_v6 = bare.parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match (is_v6, is_name) {
        (true, _) => Ok(format!("[{bare}]")),
        (false, true) => Ok(text.to_ascii_lowercase()),
        (false, false) => Err(Complaint::bad(format!("`{text}` is not a host without a port"))),
    }
}

/// An origin as browsers write it (RFC 6454 §6.2): in small letters, and without the port that its scheme implies.
pub(super) fn origin(text: &str) -> Result<String, Complaint> {
    let help = "write the scheme, the host, and the port if it is an unusual one";
    let bad = || Complaint::bad(format!("`{text}` is not an origin")).help(help);
    if text == "*" {
        return Ok(text.to_owned());
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
    let scheme_is_good =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let authority: http::uri::Authority = rest.parse().map_err(|_| bad())?;
    if !scheme_is_good || authority.host().is_empty() || rest.contains('@') {
        return Err(bad());
    }
    let implied = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = authority.port_u16().filter(|port| Some(*port) != implied);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    Ok(format!("{scheme}://{}{port}", authority.host()).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    #[test]
    fn a_pool_path_has_one_form() {
        for path in ["/", "/mcp", "/a/b-c", "/health/mcp", "/.well-knowns"] {
            assert_eq!(pool_path(path).ok().as_deref(), Some(path));
        }
        for path in
            ["", "mcp", "/mcp/", "//", "/a//b", "/a/../b", "/a?b", "/a b", "/%41", "/ä", "/health", "/.well-known/x"]
        {
            assert!(pool_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_probe_path_may_have_a_query() {
        assert_eq!(probe_path("/up?deep=1").ok().as_deref(), Some("/up?deep=1"));
        assert!(probe_path("up").is_err());
    }

    #[test]
    fn stores_have_urls() {
        assert_eq!(store("memory").ok(), Some(StoreUrl::Memory));
        assert_eq!(store("disk:/a b").ok(), Some(StoreUrl::Disk("/a b".into())));
        for url in ["", "disk", "disk:", "disk:///a", "redis:a", "rediss+unix:///a", "Memory", "/a"] {
            assert!(store(url).is_err(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = (socket(&text), range(&text), store(&text), pool_path(&text), probe_path(&text), name(&text));
        }
    }
}
