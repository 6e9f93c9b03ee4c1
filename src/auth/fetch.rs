//! Fetches one document of an issuer by HTTP: once, within bounds, following nobody's redirect. What it says is read
//! elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HOST, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tasks;

/// A document is never longer, in bytes.
const LARGEST: usize = 1 << 20;

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The connection could not be made, or broke.
    #[error("cannot connect to `{host}`")]
    Connect {
        /// To whom.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// What came is no HTTP, or broke off.
    #[error("the answer could not be read")]
    Http(#[from] hyper::Error),
    /// The answer is not 200; redirects are not followed.
    #[error("the answer is {0}, not 200; redirects are not followed")]
    Status(StatusCode),
    /// The answer is longer than it may be, or broke off.
    #[error("the answer is longer than {LARGEST} bytes, or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The URL cannot be asked for.
    #[error("`{0}` cannot be fetched")]
    Url(String),
    /// Everything together took too long.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// The certificates to trust cannot be read.
    #[error("cannot read the certificates in `{}`", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// A document.
#[derive(Debug)]
pub(super) struct Fetched {
    pub body: Bytes,
    /// For how long it says that it is good (`Cache-Control: max-age`, RFC 9111 §5.2.2.1).
    pub max_age: Option<Duration>,
}

/// Asks one issuer's server.
pub(super) struct Fetcher {
    tls: TlsConnector,
    timeout: Duration,
}

impl Fetcher {
    /// Trusts those whose certificates are in a file (PEM), or this machine's own list.
    pub fn new(ca_file: Option<&Path>, timeout: Duration) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                trusted(path, &mut roots).map_err(|source| FetchError::CaFile { path: path.to_owned(), source })?;
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), timeout })
    }

    /// The document at a URL.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get(&self, url: &Uri) -> Result<Fetched, FetchError> {
        let asked = tokio::time::timeout(self.timeout, self.ask(url));
        asked.await.unwrap_or(Err(FetchError::Slow(self.timeout)))
    }

    async fn ask(&self, url: &Uri) -> Result<Fetched, FetchError> {
        let wrong = || FetchError::Url(url.to_string());
        let host = url.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let failed = |source| FetchError::Connect { host: host.clone(), source };
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().ok_or_else(wrong)?.as_str();
        let request = Request::get(path)
            .header(HOST, authority)
            .header(ACCEPT, "application/json, application/jwk-set+json")
            .header(USER_AGENT, concat!("moorline/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|_| wrong())?;
        if !secure {
            return exchange(TokioIo::new(stream), request).await;
        }
        let name = ServerName::try_from(host.clone()).map_err(|source| failed(io::Error::other(source)))?;
        let stream = self.tls.connect(name, stream).await.map_err(failed)?;
        exchange(TokioIo::new(stream), request).await
    }
}

async fn exchange<S>(stream: TokioIo<S>, request: Request<Empty<Bytes>>) -> Result<Fetched, FetchError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let _connection = tasks::spawn("connection to an issuer", async move {
        // What goes wrong there, the answer says.
        drop(connection.await);
    });
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let max_age = max_age(response.headers());
    let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(FetchError::Body)?;
    Ok(Fetched { body: body.to_bytes(), max_age })
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = fields.flat_map(|field| field.split(','));
    directives
        .find_map(|directive| {
            let (name, seconds) = directive.trim().split_once('=')?;
            name.eq_ignore_ascii_case("max-age").then(|| seconds.trim_matches('"').parse().ok()).flatten()
        })
        .map(Duration::from_secs)
}

fn trusted(path: &Path, roots: &mut RootCertStore) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let pem = fs::read(path)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|source| source.to_string())?)?;
    }
    if roots.is_empty() { Err("it holds no certificate".into()) } else { Ok(()) }
}
