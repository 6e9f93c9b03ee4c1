//! The URL of a store that several instances share: Redis or Valkey, alone, behind Sentinels or as a Cluster. Takes it
//! apart and never shows a password; looks nothing up and connects to nobody.

use std::fmt;
use std::path::PathBuf;

use super::form::Complaint;
use super::secret::Password;

/// Redis's own port.
const PORT: u16 = 6379;
/// Where Sentinels listen.
const SENTINEL_PORT: u16 = 26_379;
/// More seeds than anybody needs.
const MAX_HOSTS: usize = 64;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name or an address, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How the servers are arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
    /// One server.
    Single(HostPort),
    /// One server on this machine, behind a socket in the file system.
    Unix(PathBuf),
    /// A primary and its replicas, watched by Sentinels.
    Sentinel {
        /// The Sentinels; at least one.
        sentinels: Vec<HostPort>,
        /// What they call the primary.
        master: String,
    },
    /// A Cluster.
    Cluster(Vec<HostPort>),
}

/// Where a shared store is, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// How the servers are arranged.
    pub place: RedisPlace,
    /// The number of the database.
    pub database: u32,
    /// Whether to speak TLS.
    pub tls: bool,
    /// Who we are; `None` is the default user.
    pub username: Option<String>,
    /// The password, if one is asked for.
    pub password: Option<Password>,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

// Without credentials, for logs.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let joined = |hosts: &[HostPort]| hosts.iter().map(HostPort::to_string).collect::<Vec<_>>().join(",");
        match &self.place {
            RedisPlace::Single(host) => write!(f, "{scheme}://{host}/{}", self.database),
            RedisPlace::Unix(path) => write!(f, "{scheme}+unix://{}?db={}", path.display(), self.database),
            RedisPlace::Sentinel { sentinels, master } => {
                write!(f, "{scheme}+sentinel://{}/{master}/{}", joined(sentinels), self.database)
            }
            RedisPlace::Cluster(seeds) => write!(f, "{scheme}+cluster://{}", joined(seeds)),
        }
    }
}

/// Which arrangement a scheme names, and whether with TLS. `None` where it is no shared store's.
fn arrangement(scheme: &str) -> Option<(&str, bool)> {
    let (transport, arrangement) = scheme.split_once('+').unwrap_or((scheme, "single"));
    match (transport, arrangement) {
        ("redis", "single" | "unix" | "sentinel" | "cluster") => Some((arrangement, false)),
        ("rediss", "single" | "sentinel" | "cluster") => Some((arrangement, true)),
        _ => None,
    }
}

/// Reads the URL of a shared store; `None` where its scheme is none of a shared store.
pub(super) fn parse(text: &str) -> Option<Result<RedisUrl, Complaint>> {
    let scheme = text.split(':').next().unwrap_or(text);
    let (arrangement, tls) = arrangement(scheme)?;
    let read = text[scheme.len()..].strip_prefix("://").ok_or_else(|| bad("a scheme is followed by `://`"));
    let read = read.and_then(|rest| read_rest(arrangement, rest)).map(|url| RedisUrl { tls, ..url });
    // What is malformed may have its password anywhere.
    Some(read.map_err(|complaint| Complaint { conceal: complaint.conceal || text.contains('@'), ..complaint }))
}

fn read_rest(arrangement: &str, rest: &str) -> Result<RedisUrl, Complaint> {
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let (username, password) = userinfo.map(credentials).transpose()?.unwrap_or_default();
    let (place, database) = match arrangement {
        "unix" => unix(hosts, path)?,
        "sentinel" => sentinel(hosts, path)?,
        "cluster" => (RedisPlace::Cluster(all_hosts(hosts, PORT)?), cluster_database(path)?),
        _ if hosts.contains(',') => {
            return Err(bad("one server has one host").help("several are \"redis+sentinel:\" or \"redis+cluster:\""));
        }
        _ => (RedisPlace::Single(host(hosts, PORT)?), database(path.trim_start_matches('/'))?),
    };
    Ok(RedisUrl { place, database, tls: false, username, password })
}

fn unix(hosts: &str, path: &str) -> Result<(RedisPlace, u32), Complaint> {
    if !hosts.is_empty() {
        return Err(bad("a socket has no host").help("write \"redis+unix:///run/redis/redis.sock\""));
    }
    let (path, query) = path.split_once('?').unwrap_or((path, "db=0"));
    if path.len() < 2 {
        return Err(bad("it names no socket").help("write \"redis+unix:///run/redis/redis.sock\""));
    }
    let number = query.strip_prefix("db=").ok_or_else(|| bad("the query of a socket's URL is `db=` and a number"))?;
    Ok((RedisPlace::Unix(decode(path)?.into()), database(number)?))
}

fn sentinel(hosts: &str, path: &str) -> Result<(RedisPlace, u32), Complaint> {
    let (master, number) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    if master.is_empty() {
        return Err(bad("it does not say what the Sentinels call the primary")
            .help("write \"redis+sentinel://a:26379,b:26379/mymaster\""));
    }
    let place = RedisPlace::Sentinel { sentinels: all_hosts(hosts, SENTINEL_PORT)?, master: decode(master)? };
    Ok((place, database(number)?))
}

fn cluster_database(path: &str) -> Result<u32, Complaint> {
    match database(path.trim_start_matches('/'))? {
        0 => Ok(0),
        _ => {
            Err(bad("a Cluster has no database but 0").help("leave the number out; store.prefix keeps gateways apart"))
        }
    }
}

fn database(text: &str) -> Result<u32, Complaint> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|number| *number < 1 << 20 && !text.starts_with('+'));
    number.ok_or_else(|| {
        bad("what follows the host is the number of a database").help("write for instance \"redis://localhost:6379/0\"")
    })
}

fn all_hosts(text: &str, port: u16) -> Result<Vec<HostPort>, Complaint> {
    let mut hosts = Vec::new();
    for part in text.split(',') {
        let host = host(part, port)?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.len() > MAX_HOSTS { Err(bad(format!("more than {MAX_HOSTS} hosts"))) } else { Ok(hosts) }
}

fn host(text: &str, preset: u16) -> Result<HostPort, Complaint> {
    let wrong = || bad("it has no usable host and port").help("write for instance \"redis://localhost:6379\"");
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        }
        Some(_) => return Err(wrong()),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
            None => (text, Some("")),
        },
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let port = match port {
        Some("") => Some(preset),
        Some(port) => port.parse().ok().filter(|number| *number > 0 && !port.starts_with('+')),
        None => None,
    };
    match port {
        Some(port) if !host.is_empty() && host.bytes().all(plain) => {
            Ok(HostPort { host: host.to_ascii_lowercase(), port })
        }
        _ => Err(wrong()),
    }
}

fn credentials(text: &str) -> Result<(Option<String>, Option<Password>), Complaint> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (decode(user)?, decode(password)?);
    if password.is_empty() {
        return Err(bad("it names a user without a password"));
    }
    Ok((Some(user).filter(|user| !user.is_empty()), Some(Password::new(password))))
}

/// Undoes percent-encoding (RFC 3986 §2.1).
fn decode(text: &str) -> Result<String, Complaint> {
    let wrong = || bad("`%` is followed by two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| bad("what is percent-encoded is not UTF-8"))
}

fn bad(text: impl Into<String>) -> Complaint {
    Complaint::bad(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    fn url(text: &str) -> RedisUrl {
        parse(text).unwrap().ok().unwrap()
    }

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.into(), port }
    }

    #[test]
    fn each_arrangement_has_its_form() {
        assert_eq!(url("redis://Localhost").place, RedisPlace::Single(at("localhost", 6379)));
        assert_eq!(url("rediss://[::1]:1/3").to_string(), "rediss://[::1]:1/3");
        assert_eq!(url("redis+unix:///run/a%20b.sock?db=2").to_string(), "redis+unix:///run/a b.sock?db=2");
        let sentinels = vec![at("a", 26_379), at("b", 5)];
        let place = RedisPlace::Sentinel { sentinels, master: "mymaster".into() };
        assert_eq!(url("redis+sentinel://a,b:5,a/mymaster").place, place);
        assert_eq!(url("rediss+sentinel://a/m/7").database, 7);
        assert_eq!(
            url("redis+cluster://a:7001,b:7002/0").place,
            RedisPlace::Cluster(vec![at("a", 7001), at("b", 7002)])
        );
        assert!(url("rediss+cluster://a").tls);
    }

    #[test]
    fn credentials_are_read_and_not_shown() {
        let url = url("redis://me:p%40ss%2Fw:rd@h:1/0");
        assert_eq!(url.username.as_deref(), Some("me"));
        assert_eq!(url.password.as_ref().unwrap().reveal(), "p@ss/w:rd");
        assert!(!format!("{url:?} {url}").contains("ss/w"));
        assert_eq!(self::url("redis://:pw@h").username, None);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for text in [
            "redis:a",
            "redis://",
            "redis://a:0",
            "redis://a:b",
            "redis://a/b",
            "redis://a,b",
            "redis://a:",
            "redis://u@a",
            "redis://u:%zz@a",
            "redis+unix://h/s",
            "redis+unix://",
            "redis+unix:///s?x=1",
            "redis+sentinel://a",
            "redis+sentinel://a,/m",
            "redis+cluster://a/1",
            "redis://[a]:1",
            "redis://a/+1",
        ] {
            assert!(parse(text).unwrap().is_err(), "{text}");
        }
        assert!(parse("rediss+unix:///s").is_none() && parse("memory").is_none());
        assert!(parse("redis://me:pw/@h").unwrap().err().unwrap().conceal);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "redis(s)?(\\+(unix|sentinel|cluster))?:(//)?.{0,30}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_shown_is_read_again(host in "[a-z][a-z0-9.-]{0,8}", port in 1_u16.., database in 0_u32..1000) {
            let shown = url(&format!("redis://{host}:{port}/{database}")).to_string();
            assert_eq!(url(&shown).to_string(), shown);
        }
    }
}
