//! Where a request came from: the peer, or, where the peer is a trusted proxy, whom the proxy names.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::{Connection, Settings};
use crate::exchange::Origin;

/// The nearest hop.
pub fn of(settings: &Settings, connection: &Connection) -> Origin {
    let trusted = settings.trusted_proxies.iter().any(|range| range.contains(connection.peer.ip()));
    Origin { peer: connection.peer, hop: Arc::clone(&connection.hop), trusted }
}

/// The client's address. A trusted proxy's last entry in `X-Forwarded-For` is believed; entries before it may
/// have been sent by anybody.
pub fn client(origin: &Origin, headers: &HeaderMap) -> IpAddr {
    let peer = origin.peer.ip().to_canonical();
    if !origin.trusted {
        return peer;
    }
    let named = headers.get_all("x-forwarded-for").iter().next_back();
    let last = named.and_then(|line| line.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    last.map_or(peer, |addr| addr.to_canonical())
}
