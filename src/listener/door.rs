//! How a connection comes in: the PROXY header first, where a trusted proxy is to send one, and then the TLS handshake. It
//! waits for both, within what its caller allows; what is said over the connection then is not its business.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::handshakes::Handshakes;
use super::proxied::{self, Said, Unproxied};
use super::{certificate, stream::Stream};
use crate::config::AddressRange;
use crate::exchange::Hop;
use crate::identify::Connection;
use crate::tls::H2;

/// How a TLS connection begins: a handshake record (RFC 8446 §5.1). No text does.
const HANDSHAKE: u8 = 22;

/// What is left of a handshake once it has its place: one answer and one round trip to the client. Honest clients need a
/// fraction of it, and whoever stops in the middle keeps others waiting no longer.
const SHAKING: Duration = Duration::from_secs(2);

/// Said to a client that does not speak TLS where it is spoken.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 135\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":400,\"message\":\"this address speaks TLS; write https:// instead\",\"data\":{\"reason\":\"no_tls\"}}}";

/// What one listener asks of connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Door {
    /// Whether clients speak TLS.
    pub tls: bool,
    /// Whether trusted proxies send a PROXY header.
    pub proxied: bool,
}

/// What the doors of all listeners share; a reload changes it.
#[derive(Debug, Default)]
pub struct Doors {
    tls: ArcSwapOption<Tls>,
    trusted: ArcSwap<Vec<AddressRange>>,
    turned_away: TurnedAway,
}

/// TLS as it is spoken now.
#[derive(Debug)]
struct Tls {
    config: Arc<ServerConfig>,
    /// A place for each handshake that is under way, from the client's first words on.
    handshakes: Handshakes,
}

/// Connections that did not come in, since the start.
#[derive(Debug, Default)]
pub struct TurnedAway {
    /// For want of a TLS handshake.
    pub handshakes: AtomicU64,
    /// For want of a good PROXY header.
    pub proxied: AtomicU64,
}

/// Why a connection did not come in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The client went away without a word.
    #[error("closed without a word")]
    Silent,
    /// No good PROXY header.
    #[error(transparent)]
    Proxied(#[from] Unproxied),
    /// What it said is not TLS.
    #[error("the client does not speak TLS")]
    NoTls,
    /// The handshake failed.
    #[error("TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// Its certificate was verified, but is not what certificates look like.
    #[error("the client's certificate cannot be read: {0}")]
    Certificate(x509_cert::der::Error),
    /// There is no certificate to show yet.
    #[error("TLS is not set up")]
    NotSetUp,
    /// It took too long.
    #[error("the connection was not set up in time")]
    Late,
}

/// A connection that came in.
pub struct Entered {
    /// What is left to speak HTTP over.
    pub stream: Stream,
    /// Whether client and TLS agreed on HTTP/2; none where the first bytes must tell.
    pub agreed_h2: Option<bool>,
}

impl Door {
    /// Whether connections begin with HTTP at once.
    pub const fn is_plain(self) -> bool {
        !self.tls && !self.proxied
    }
}

impl Doors {
    /// Takes what is spoken, and the bound on handshakes under way at the same time. Those that have begun go on as they began.
    pub fn speak(&self, config: Arc<ServerConfig>, max_handshakes: usize) {
        self.tls.store(Some(Arc::new(Tls { config, handshakes: Handshakes::new(max_handshakes) })));
    }

    /// Takes from whom PROXY headers are believed.
    pub fn trust(&self, proxies: Vec<AddressRange>) {
        self.trusted.store(Arc::new(proxies));
    }

    /// Connections that did not come in.
    pub const fn turned_away(&self) -> &TurnedAway {
        &self.turned_away
    }

    /// Lets a connection in, and corrects what is known of it.
    ///
    /// # Errors
    /// [`Refused`]; the connection is closed then.
    pub async fn enter(
        &self,
        mut stream: TcpStream,
        door: Door,
        connection: &mut Connection,
    ) -> Result<Entered, Refused> {
        if door.proxied && self.trusted.load().iter().any(|range| range.contains(connection.peer.ip())) {
            first_byte(&stream).await?;
            if let Said::Client(client) = proxied::read(&mut stream).await? {
                // Whoever speaks for others reaches us from beyond this machine, wherever it listens.
                connection.loopback = false;
                connection.peer = client;
                connection.hop = Arc::new(Hop::new(client));
            }
        }
        if !door.tls {
            return Ok(Entered { stream: Stream::Plain(stream), agreed_h2: None });
        }
        if first_byte(&stream).await? != HANDSHAKE {
            drop(stream.try_write(PLAIN));
            return Err(Refused::NoTls);
        }
        let stream = self.shake_hands(stream, connection.peer.ip()).await?;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        let shown = shown.map(|der| certificate::read(der)).transpose().map_err(Refused::Certificate)?;
        let agreed_h2 = Some(session.alpn_protocol() == Some(H2));
        connection.certificate = shown.map(Arc::new);
        connection.secure = true;
        connection.hop = Arc::new(Hop::secure(connection.peer));
        Ok(Entered { stream: Stream::Secure(Box::new(stream)), agreed_h2 })
    }

    async fn shake_hands(&self, stream: TcpStream, addr: IpAddr) -> Result<TlsStream<TcpStream>, Refused> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(Refused::Handshake)?;
        let tls = self.tls.load_full().ok_or(Refused::NotSetUp)?;
        // Who has said nothing yet takes nobody's place.
        let is_proxy = self.trusted.load().iter().any(|range| range.contains(addr));
        let _place = tls.handshakes.place((!is_proxy).then_some(addr)).await.ok_or(Refused::NotSetUp)?;
        let shaken = tokio::time::timeout(SHAKING, hello.into_stream(Arc::clone(&tls.config))).await;
        shaken.map_err(|_| Refused::Late)?.map_err(Refused::Handshake)
    }

    /// Counts a connection that did not come in, and says why, in the log and in a word.
    pub fn turn_away(&self, connection: &Connection, door: Door, why: &Refused) -> Option<&'static str> {
        let peer = connection.peer;
        let (count, reason) = match why {
            Refused::Silent => {
                tracing::trace!(%peer, "connection ended");
                return None;
            }
            Refused::Proxied(_) => (&self.turned_away.proxied, "proxy_header"),
            Refused::Late if !door.tls => (&self.turned_away.proxied, "proxy_header"),
            _ => (&self.turned_away.handshakes, "tls_handshake"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%peer, reason, error = %why, "connection refused");
        Some(reason)
    }
}

/// Looks at the first byte without taking it.
async fn first_byte(stream: &TcpStream) -> Result<u8, Refused> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) => Ok(first[0]),
        Ok(_) | Err(_) => Err(Refused::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_refusal_says_its_own_length() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "body has {} bytes", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
