//! Makes connections: over TCP, TLS or a socket in the file system, each within a time. Owns how we introduce ourselves to
//! a server; whom to connect to, and when, is said elsewhere.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, IntoConnectionInfo as _, RedisConnectionInfo, RedisError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::server::Server;
use super::trouble::Trouble;
use crate::config::{HostPort, RedisUrl};
use crate::tasks;

/// Requests that may wait for one connection to be written.
const QUEUE: usize = 1024;

/// Why the store cannot be set up. No server is asked for that.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file with the certificates to trust cannot be read.
    #[error("cannot read the certificates in `{}`", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This machine's own list of certificates is empty.
    #[error("this machine has no list of certificates to trust: say which by store.ca_file")]
    NoCertificates,
    /// The TLS library refuses.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The Redis library refuses the credentials or the database.
    #[error("cannot set up the connection")]
    Connection(#[from] RedisError),
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Address {
    /// On the network.
    Tcp(HostPort),
    /// On this machine.
    Unix(PathBuf),
}

impl Address {
    /// The host and port, where there is one.
    pub const fn host_port(&self) -> Option<&HostPort> {
        match self {
            Self::Tcp(at) => Some(at),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => at.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A stream of bytes to a server.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Makes connections.
pub(super) struct Dialer {
    tls: Option<TlsConnector>,
    known: RedisConnectionInfo,
    unknown: RedisConnectionInfo,
    /// How long making a connection, or waiting for a sign of life on one, may take.
    pub patience: Duration,
}

impl Dialer {
    /// Reads what is needed to make connections, certificates for one. Blocks; meant for the start of the process.
    pub fn new(url: &RedisUrl, ca_file: Option<&Path>, patience: Duration) -> Result<Self, SetupError> {
        let tls = if url.tls { Some(connector(ca_file)?) } else { None };
        let unknown = "redis://localhost".into_connection_info()?.redis_settings().clone().set_skip_set_lib_name();
        let mut known = unknown.clone().set_db(i64::from(url.database));
        if let Some(username) = &url.username {
            known = known.set_username(username);
        }
        if let Some(password) = &url.password {
            known = known.set_password(password.reveal());
        }
        Ok(Self { tls, known, unknown, patience })
    }

    /// Connects as whom the configuration says.
    pub async fn server(&self, address: &Address) -> Result<Server, Trouble> {
        self.connect(address, &self.known).await
    }

    /// Connects to a Sentinel: as nobody, and as whom the configuration says where that is not enough.
    pub async fn sentinel(&self, address: &Address) -> Result<Server, Trouble> {
        let server = self.connect(address, &self.unknown).await?;
        match server.one(&redis::cmd("PING")).await {
            Ok(_) => Ok(server),
            Err(Trouble::Refused(_)) if self.known.password().is_some() => {
                let known = self.known.clone().set_db(0);
                self.connect(address, &known).await
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// A connection to hear what is published; to a Sentinel as one.
    pub async fn hearing(&self, address: &Address, is_sentinel: bool) -> Result<PubSub, Trouble> {
        let made = async {
            if is_sentinel && let Ok(hearing) = self.open(address, &self.unknown).await {
                return Ok(hearing);
            }
            let known = if is_sentinel { &self.known.clone().set_db(0) } else { &self.known };
            self.open(address, known).await
        };
        tokio::time::timeout(self.patience, made).await.unwrap_or(Err(Trouble::Late))
    }

    async fn open(&self, address: &Address, who: &RedisConnectionInfo) -> Result<PubSub, Trouble> {
        let stream = self.stream(address).await?;
        PubSub::new(who, stream).await.map_err(|error| Trouble::read(error, None))
    }

    async fn connect(&self, address: &Address, who: &RedisConnectionInfo) -> Result<Server, Trouble> {
        let made = async {
            let stream = self.stream(address).await?;
            // Timeouts stand around whole calls instead.
            let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(QUEUE);
            let (connection, driver) = MultiplexedConnection::new_with_config(who, stream, config)
                .await
                .map_err(|error| Trouble::read(error, address.host_port()))?;
            Ok(Server::new(address.clone(), connection, tasks::spawn("redis connection", driver)))
        };
        tokio::time::timeout(self.patience, made).await.unwrap_or(Err(Trouble::Late))
    }

    async fn stream(&self, address: &Address) -> io::Result<Box<dyn Wire>> {
        let at = match address {
            Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Address::Tcp(at) => at,
        };
        let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(at.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

// Without credentials.
impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("tls", &self.tls.is_some())
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, SetupError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|source| SetupError::CaFile { path: path.to_owned(), source: source.into() })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(SetupError::NoCertificates);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| SetupError::CaFile { path: path.to_owned(), source };
    let pem = fs::read(path).map_err(|source| failed(source.into()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = read.map_err(|source| failed(source.to_string().into()))?;
    if certificates.is_empty() { Err(failed("it holds no certificate".into())) } else { Ok(certificates) }
}
