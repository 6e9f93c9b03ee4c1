//! The key: a digest of all that a result depends on. Two requests have the same key only if the same answer is right for both,
//! and two callers only if the scope says so. What is not understood is left out of the cache, never out of the key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;

use blake3::Hasher;
use http::{HeaderMap, HeaderValue};

use super::kept::META_KEY;
use super::rules::{Policy, Rule};
use crate::auth::ClaimValue;
use crate::config::{CacheScope, HostPolicy};
use crate::exchange::{Ask, Exchange, Moored, carries_credentials, context_of, known_of};
use crate::mcp::canonical::{self, Selection};
use crate::mcp::raw;
use crate::mcp::version::{Era, MCP_PROTOCOL_VERSION};
use crate::store::results::Key;

/// What of `_meta` counts; our own word to the client does not either.
static COUNTED_META: LazyLock<Selection> = LazyLock::new(|| {
    let uncounted: Vec<&str> = canonical::UNCOUNTED_META.into_iter().chain([META_KEY]).collect();
    Selection::without(&uncounted)
});

/// All of the arguments count.
static ALL: LazyLock<Selection> = LazyLock::new(Selection::default);

/// Parameters that make an answer one of a kind: an answer to a server's question, or a task.
const ONE_OF_A_KIND: [&str; 3] = ["task", "inputResponses", "requestState"];

/// The keys of a request: for whom its scope says, and for everybody, where its result may turn out to be for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// For whom the scope says.
    pub own: Key,
    /// For everybody.
    pub public: Option<Key>,
}

/// The keys of a request whose result may be kept by this policy; none where nobody can be told apart, or where its answer is
/// one of a kind.
#[must_use]
pub fn of(exchange: &Exchange, moored: Option<&Moored>, policy: &Policy) -> Option<Keys> {
    let Ask::Call(call) = &exchange.ask else { return None };
    let mut hasher = Hasher::new();
    part(&mut hasher, &exchange.pool.id.0.to_be_bytes());
    part(&mut hasher, call.method.as_bytes());
    // Servers see for which host the client has asked, and its query.
    part(&mut hasher, &host(exchange));
    part(&mut hasher, exchange.uri.query().unwrap_or_default().as_bytes());
    part(&mut hasher, exchange.facts.map_or([0; 8], |facts| facts.schema).as_slice());
    match (exchange.era, moored) {
        (Era::Legacy, Some(moored)) => {
            part(&mut hasher, version(&exchange.headers));
            part(&mut hasher, &moored.speaks()?.to_be_bytes());
        }
        _ => part(&mut hasher, version(&exchange.headers)),
    }
    params(&mut hasher, exchange, policy)?;
    let shared = hasher.clone();
    match policy {
        Policy::Rule(rule) => {
            scope(&mut hasher, exchange, moored, rule)?;
            Some(Keys { own: key(&hasher), public: None })
        }
        Policy::Protocol { public, .. } => {
            part(&mut hasher, b"context");
            part(&mut hasher, &context_of::<32>(&exchange.headers, &[&known_of(&exchange.caller)]));
            if exchange.caller.principal.is_none() && !carries_credentials(&exchange.headers) {
                // Whom a server cannot tell apart in any other way it may tell apart by this.
                part(&mut hasher, exchange.caller.addr.to_string().as_bytes());
            }
            Some(Keys { own: key(&hasher), public: public.then(|| key(&shared)) })
        }
    }
}

/// For which host the client has asked, for servers are told: all of it counts, or one client's words would be in another's
/// result. Addresses of one's own network alone name an instance, and no site: clients reach each instance by another, where
/// nothing stands in front of them.
fn host(exchange: &Exchange) -> Vec<u8> {
    let forwarded = exchange.headers.get("x-forwarded-host").map(HeaderValue::as_bytes);
    let asked = exchange.host.as_ref().map_or(b"".as_slice(), HeaderValue::as_bytes);
    let site = match exchange.pool.settings().host {
        HostPolicy::Client => asked,
        HostPolicy::Backend => site(asked),
    };
    [site, b" ", forwarded.unwrap_or_default()].concat()
}

/// All of a `Host`; nothing where it is a loopback or private address.
fn site(host: &[u8]) -> &[u8] {
    let text = raw::utf8(host).unwrap_or_default();
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let addr = text.parse::<SocketAddr>().ok().map(|addr| addr.ip()).or_else(bare);
    let is_near = addr.is_some_and(|addr| match addr {
        IpAddr::V4(addr) => is_near_v4(addr),
        IpAddr::V6(addr) => is_near_v6(addr),
    });
    if is_near { b"" } else { host }
}

const fn is_near_v4(addr: Ipv4Addr) -> bool {
    addr.is_loopback() || addr.is_private()
}

const fn is_near_v6(addr: Ipv6Addr) -> bool {
    addr.is_loopback() || addr.is_unique_local()
}

fn version(headers: &HeaderMap) -> &[u8] {
    headers.get(MCP_PROTOCOL_VERSION).map_or(b"", |version| version.as_bytes())
}

/// All parameters, known or not.
fn params(hasher: &mut Hasher, exchange: &Exchange, policy: &Policy) -> Option<()> {
    let params = raw::at(raw::utf8(&exchange.body)?, &["params"]).unwrap_or("{}");
    let mut members = raw::entries(params)?;
    members.sort_by(|left, right| left.0.cmp(&right.0));
    let is_one_of_a_kind = |(name, _): &(String, &str)| ONE_OF_A_KIND.contains(&&**name);
    if members.windows(2).any(|pair| pair[0].0 == pair[1].0) || members.iter().any(is_one_of_a_kind) {
        return None;
    }
    let (mut arguments, mut meta) = (None, None);
    for (name, value) in members {
        match &*name {
            "arguments" => arguments = Some(value),
            "_meta" => meta = Some(value),
            _ => {
                part(hasher, name.as_bytes());
                canonical::feed(value, hasher).ok()?;
            }
        }
    }
    part(hasher, b"arguments");
    let selection = match policy {
        Policy::Rule(rule) => &rule.selection,
        Policy::Protocol { .. } => &ALL,
    };
    canonical::feed_arguments(arguments, selection, hasher).ok()?;
    canonical::feed_arguments(meta, &COUNTED_META, hasher).ok()
}

/// For whom: nobody where the scope names somebody and it is not known who.
fn scope(hasher: &mut Hasher, exchange: &Exchange, moored: Option<&Moored>, rule: &Rule) -> Option<()> {
    for name in &rule.vary {
        part(hasher, name.as_str().as_bytes());
        let values = exchange.headers.get_all(name);
        part(hasher, &(values.iter().count() as u64).to_be_bytes());
        values.iter().for_each(|value| part(hasher, value.as_bytes()));
    }
    match &rule.scope {
        CacheScope::Public => part(hasher, b"public"),
        CacheScope::Session => {
            part(hasher, b"session");
            part(hasher, &moored?.id.0.to_be_bytes());
        }
        CacheScope::Header(name) => {
            part(hasher, b"header");
            part(hasher, exchange.vouched(name)?.as_bytes());
        }
        CacheScope::Claim(name) => {
            let caller = exchange.caller.principal.as_deref()?;
            part(hasher, b"claim");
            // Two issuers may mean two things by the same word.
            part(hasher, caller.issuer.as_bytes());
            part(hasher, name.as_bytes());
            match caller.claim(name)? {
                ClaimValue::Text(text) => part(hasher, text.as_bytes()),
                ClaimValue::List(texts) => {
                    part(hasher, b"list");
                    part(hasher, &(texts.len() as u64).to_be_bytes());
                    texts.iter().for_each(|text| part(hasher, text.as_bytes()));
                }
            }
        }
        CacheScope::Caller => {
            // An address is nobody: a whole office may share it. Without credentials the session is the least that tells
            // clients apart.
            if exchange.caller.principal.is_some() || carries_credentials(&exchange.headers) {
                part(hasher, b"context");
                part(hasher, &context_of::<32>(&exchange.headers, &[&known_of(&exchange.caller)]));
            } else {
                part(hasher, b"session");
                part(hasher, &moored?.id.0.to_be_bytes());
            }
        }
    }
    Some(())
}

/// Each part with its length before it, so that no two lists of parts run together.
fn part(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

fn key(hasher: &Hasher) -> Key {
    Key(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ones_own_network_names_no_site() {
        for (host, wanted) in [
            ("127.0.0.1:8211", ""),
            ("10.0.0.7", ""),
            ("[::1]:8080", ""),
            ("203.0.113.7:8080", "203.0.113.7:8080"),
            ("127.0.0.1:x", "127.0.0.1:x"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("a.example:8080", "a.example:8080"),
            ("a.example", "a.example"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(site(host.as_bytes()), wanted.as_bytes(), "{host}");
        }
    }
}
