//! Why an instance does not start, and the first reason that there is: an address that is taken.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::auth;
use crate::listener;
use crate::observe::trace::TraceError;
use crate::session::SetupError;
use crate::store;
use crate::store::disk::OpenError;
use crate::tls::TlsError;

/// Why an instance could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file of TLS is no good.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// The store could not be opened.
    #[error("cannot open the store")]
    Store(#[from] OpenError),
    /// The shared store's settings cannot be right.
    #[error("cannot set up the shared store")]
    SharedStore(#[from] store::redis::SetupError),
    /// The session station could not be set up.
    #[error("cannot set up the sessions")]
    Sessions(#[from] SetupError),
    /// Those who may call cannot be known.
    #[error("cannot tell who may call")]
    Gates(#[from] auth::OpenError),
    /// The access log's file could not be opened, or there is no thread to write it.
    #[error("cannot open the access log")]
    AccessLog(#[source] io::Error),
    /// Nothing can be traced.
    #[error("cannot set up traces")]
    Traces(#[from] TraceError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Opens a listening socket.
pub(super) fn bind(addr: SocketAddr) -> Result<TcpListener, StartError> {
    listener::bind(addr).map_err(|source| StartError::Listen { addr, source })
}
