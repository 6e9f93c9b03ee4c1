//! Who is let in: how many connections there may be in all, and how many of one address. It counts, and says no; what is said on
//! a connection is others' business.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::net::TcpStream;

use crate::config::{AddressRange, Bounds};
use crate::observe::metrics::Metrics;

/// Sent to a connection that is one too many; no request is known yet that it could answer.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: 184\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":503,\"message\":\"this gateway holds as many connections as it may; try again shortly\",\"data\":{\"reason\":\"too_many_connections\",\"retryAfter\":1}}}";
const TOO_MANY_OF_ADDRESS: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: 193\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":429,\"message\":\"your address has as many connections as it may; close some, or use them again\",\"data\":{\"reason\":\"too_many_of_address\",\"retryAfter\":1}}}";

/// What the door needs to know.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Connections in all.
    pub max_connections: usize,
    /// Connections of one address or network.
    pub max_per_address: usize,
    /// How many bits of an IPv6 address say whose it is.
    pub ipv6_prefix: u8,
    /// Who stands for many others.
    pub trusted_proxies: Vec<AddressRange>,
}

impl Rules {
    /// As the configuration says.
    #[must_use]
    pub fn new(bounds: &Bounds, ipv6_prefix: u8, trusted_proxies: &[AddressRange]) -> Self {
        Self {
            max_connections: bounds.max_connections,
            max_per_address: bounds.max_connections_per_address,
            ipv6_prefix,
            trusted_proxies: trusted_proxies.to_vec(),
        }
    }
}

/// In what a connection can be told something before anything was said on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// In plain HTTP.
    Http,
    /// In nothing: it shall speak TLS first.
    None,
}

/// Who is let in.
#[derive(Debug)]
pub struct Admission {
    rules: ArcSwap<Rules>,
    /// Whoever has no connection is not in it, so it is as large as the number of connections at most.
    inside: Arc<DashMap<IpAddr, usize>>,
    metrics: Arc<Metrics>,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub struct Inside(Option<(Arc<DashMap<IpAddr, usize>>, IpAddr)>);

impl Admission {
    /// A door with these rules.
    #[must_use]
    pub fn new(rules: Rules, metrics: Arc<Metrics>) -> Self {
        Self { rules: ArcSwap::from_pointee(rules), inside: Arc::default(), metrics }
    }

    /// Takes new rules. Whoever is inside stays.
    pub fn reconfigure(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Lets a connection in, or tells it why not. `held` is how many there are already.
    pub fn admit(&self, (stream, words): (&TcpStream, Words), peer: SocketAddr, held: usize) -> Option<Inside> {
        let (reason, said) = match self.judge(peer.ip(), held) {
            Ok(inside) => return Some(inside),
            Err(refusal) => refusal,
        };
        self.metrics.connections.count(reason);
        tracing::warn!(%peer, reason, "connection refused");
        if words == Words::Http {
            // Best effort: the connection is closed either way.
            drop(stream.try_write(said));
        }
        None
    }

    /// Counts a connection among those of the client for whom a trusted proxy has made it; none where that client has as many
    /// as it may. The connection has its place among all of them already.
    pub fn admit_for(&self, client: SocketAddr) -> Option<Inside> {
        match self.judge(client.ip(), 0) {
            Ok(inside) => Some(inside),
            Err((reason, _)) => {
                self.metrics.connections.count(reason);
                tracing::warn!(peer = %client, reason, "connection refused");
                None
            }
        }
    }

    fn judge(&self, addr: IpAddr, held: usize) -> Result<Inside, (&'static str, &'static [u8])> {
        let rules = self.rules.load();
        if held >= rules.max_connections {
            return Err(("too_many_connections", TOO_MANY));
        }
        if rules.trusted_proxies.iter().any(|range| range.contains(addr)) {
            return Ok(Inside(None));
        }
        let whose = network(addr, rules.ipv6_prefix);
        let mut count = self.inside.entry(whose).or_insert(0);
        if *count >= rules.max_per_address {
            return Err(("too_many_of_address", TOO_MANY_OF_ADDRESS));
        }
        *count += 1;
        Ok(Inside(Some((Arc::clone(&self.inside), whose))))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let Some((inside, whose)) = &self.0 else { return };
        inside.remove_if_mut(whose, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

/// Whose address it is: an IPv6 host has a whole network to choose from.
pub(super) fn network(addr: IpAddr, ipv6_prefix: u8) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(ipv6_prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & mask))
        }
        addr => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_refusals_say_their_own_length() {
        for words in [TOO_MANY, TOO_MANY_OF_ADDRESS] {
            let text = std::str::from_utf8(words).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "body has {} bytes", body.len());
            assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
        }
    }

    fn door(max_per_address: usize) -> Admission {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Admission::new(Rules { max_connections: 9, max_per_address, ipv6_prefix: 64, trusted_proxies }, Arc::default())
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let door = door(2);
        let enter = |addr: &str| door.judge(addr.parse().unwrap(), 0).ok();
        let (one, two) = (enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_none() && enter("192.0.2.2").is_some());
        drop(one);
        assert!(enter("192.0.2.1").is_some());
        drop(two);
        assert!(door.inside.is_empty());
    }

    #[test]
    fn a_network_is_one_address_and_a_trusted_proxy_is_many() {
        let door = door(1);
        let enter = |addr: &str| door.judge(addr.parse().unwrap(), 0).ok();
        let _one = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::ffff").is_none() && enter("2001:db8:0:1::1").is_some());
        let many: Vec<_> = (0..9).map(|_| enter("10.0.0.1").unwrap()).collect();
        assert_eq!(many.len(), 9);
        assert!(door.judge("10.0.0.1".parse().unwrap(), 9).is_err());
    }

    #[test]
    fn a_prefix_may_be_all_or_nothing() {
        let addr: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(network(addr, 128), addr);
        assert_eq!(network(addr, 0), "::".parse::<IpAddr>().unwrap());
    }
}
