//! A connection to a backend, with or without TLS. Owns the handshake, and what may be said of its failure. Without TLS every
//! call is the socket's own.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use rustls::AlertDescription as Alert;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{ConnectFailure, WireError};
use super::{HttpVersion, Secure, Target};
use crate::tls::{Client, H2};

/// A connection to a backend.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// Boxed, for its state is large and plain streams shall stay small.
    Secure(Box<Secured>),
}

/// TLS over TCP, past its handshake.
#[derive(Debug)]
pub(super) struct Secured {
    tls: TlsStream<TcpStream>,
    /// By whom it was made: what was made before a change of certificates serves no new request.
    by: Arc<Client>,
}

/// Shakes hands on a new connection.
pub(super) async fn shake_hands(stream: TcpStream, secure: &Secure, target: &Target) -> Result<Stream, WireError> {
    let Some(client) = &secure.client else { return Err(failed(io::Error::other("TLS is not set up"))) };
    let name = client.name_of(secure.host.host());
    let name = name.ok_or_else(|| failed(io::Error::other("its host is no name that a certificate can bear")))?;
    let config = match target.version {
        HttpVersion::Http1 => client.http1(),
        HttpVersion::Http2 => client.http2(),
    };
    let tls = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(failed)?;
    // Over TLS both sides must have agreed on HTTP/2 (RFC 9113 §3.2).
    if target.version == HttpVersion::Http2 && tls.get_ref().1.alpn_protocol() != Some(H2) {
        return Err(failed(io::Error::other("it does not agree to HTTP/2")));
    }
    Ok(Stream::Secure(Box::new(Secured { tls, by: Arc::clone(client) })))
}

fn failed(source: io::Error) -> WireError {
    WireError::Connect { why: ConnectFailure::Tls, source: Some(source) }
}

/// What became of a new connection whose first bytes were a failure: where the backend says that it refuses the handshake,
/// which over TLS 1.3 it says after our side is done (RFC 8446 §4.4.2.4), it has not looked at the request.
pub(super) fn refused_handshake(source: io::Error) -> Result<WireError, io::Error> {
    let alert =
        source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()).and_then(|error| match error {
            rustls::Error::AlertReceived(alert) => Some(*alert),
            _ => None,
        });
    match alert {
        Some(
            Alert::HandshakeFailure
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::CertificateRequired,
        ) => Ok(failed(source)),
        _ => Err(source),
    }
}

impl Stream {
    /// Whether it was made as a connection to this target would be made now.
    pub fn is_for(&self, target: &Target) -> bool {
        let wanted = target.secure.as_ref().map(|secure| &secure.client);
        match (self, wanted) {
            (Self::Plain(_), None) => true,
            (Self::Secure(stream), Some(Some(client))) => Arc::ptr_eq(&stream.by, client),
            _ => false,
        }
    }

    /// Who made it, over TLS.
    pub fn made_by(&self) -> Option<Arc<Client>> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(stream) => Some(Arc::clone(&stream.by)),
        }
    }

    /// Whether nothing has happened on an idle connection. An end or unexpected bytes make it useless. Costs no system
    /// call: the runtime knows since its last turn whether the socket became readable.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(stream) => {
                matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What TLS says to itself (session tickets, new keys) is read and is no reason.
            Self::Secure(stream) => {
                let mut space = [0];
                let read =
                    |cx: &mut Context<'_>| Pin::new(&mut stream.tls).poll_read(cx, &mut ReadBuf::new(&mut space));
                // Without the runtime's budget, which must not make a dead connection look quiet.
                let read = pin!(tokio::task::unconstrained(std::future::poll_fn(read)));
                read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
            }
        }
    }

    /// Writes both over TLS, and on to the socket; what has been taken is split off.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, (head, body): (&mut Bytes, &mut Bytes)) -> Poll<io::Result<()>> {
        while !(head.is_empty() && body.is_empty()) {
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let written = ready!(Pin::new(&mut *self).poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            drop(head.split_to(of_head));
            drop(body.split_to(written - of_head));
        }
        Pin::new(self).poll_flush(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secure(stream) => Pin::new(&mut stream.tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(stream) => Pin::new(&mut stream.tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Secure(stream) => Pin::new(&mut stream.tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(&mut stream.tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(&mut stream.tls).poll_shutdown(cx),
        }
    }
}
