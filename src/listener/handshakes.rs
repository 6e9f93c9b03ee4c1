//! Places for TLS handshakes that are under way: so many in all, and a quarter of them for one address, so that nobody holds
//! up everybody. Whoever finds none waits; it refuses nobody, and knows nothing of TLS.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::admission::network;

/// The smallest network that an IPv6 host is given (RFC 6177), all addresses of which are its own.
const IPV6_PREFIX: u8 = 64;

/// The places.
#[derive(Debug)]
pub struct Handshakes {
    all: Semaphore,
    most_of_one: usize,
    /// Whoever shakes hands or waits to; no others, so it is as large as the number of connections at most.
    of_one: Arc<DashMap<IpAddr, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    _of_all: SemaphorePermit<'a>,
    _of_one: Option<Share>,
}

/// An address's interest in its places, until it is dropped.
#[derive(Debug)]
struct Share {
    permit: Option<OwnedSemaphorePermit>,
    places: Option<Arc<Semaphore>>,
    of_one: Arc<DashMap<IpAddr, Arc<Semaphore>>>,
    whose: IpAddr,
}

impl Handshakes {
    /// So many places.
    pub fn new(most: usize) -> Self {
        Self { all: Semaphore::new(most), most_of_one: (most / 4).max(1), of_one: Arc::default() }
    }

    /// Waits for a place. Without an address it is one of somebody who stands for many others.
    pub async fn place(&self, addr: Option<IpAddr>) -> Option<Place<'_>> {
        // Its own places first: an address that has as many as it may takes nobody's turn.
        let of_one = match addr {
            Some(addr) => Some(self.share(addr).await?),
            None => None,
        };
        Some(Place { _of_all: self.all.acquire().await.ok()?, _of_one: of_one })
    }

    async fn share(&self, addr: IpAddr) -> Option<Share> {
        let whose = network(addr, IPV6_PREFIX);
        let places = {
            let entry = self.of_one.entry(whose).or_insert_with(|| Arc::new(Semaphore::new(self.most_of_one)));
            Arc::clone(&entry)
        };
        let mut share =
            Share { permit: None, places: Some(Arc::clone(&places)), of_one: Arc::clone(&self.of_one), whose };
        share.permit = Some(places.acquire_owned().await.ok()?);
        Some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Both hold the semaphore; whoever goes last finds it in the map alone.
        self.permit = None;
        self.places = None;
        self.of_one.remove_if(&self.whose, |_, places| Arc::strong_count(places) == 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_address_takes_a_quarter_of_the_places() {
        let handshakes = Handshakes::new(8);
        let [one, same, other] = ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|addr| Some(addr.parse().unwrap()));
        let held = [handshakes.place(one).await, handshakes.place(same).await];
        assert!(handshakes.place(one).now_or_never().is_none());
        assert!(handshakes.place(other).now_or_never().is_some());
        let proxied: Vec<_> = (0..6).map(|_| handshakes.place(None).now_or_never().unwrap()).collect();
        assert!(handshakes.place(None).now_or_never().is_none());
        drop(proxied);
        drop(held);
        assert!(handshakes.place(one).now_or_never().is_some());
        assert!(handshakes.of_one.is_empty());
    }
}
