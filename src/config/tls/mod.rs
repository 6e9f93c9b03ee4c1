//! TLS and the PROXY protocol in the configuration: which listeners speak them, with which files, and how backends are known
//! to be who they are. Files are only named here; whether they are good is found out where they are used.

mod listen;
mod read;

use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

pub(super) use listen::Listener;
pub(super) use read::{backends, clients, listeners, server_name};

/// One address that clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Where.
    pub addr: SocketAddr,
    /// Whether clients speak TLS there.
    pub tls: bool,
    /// Whether trusted proxies begin each connection with a PROXY header there.
    pub proxy_protocol: bool,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// What is shown to clients: the first where no other is for the name that a client asks for. Never empty.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients are asked for certificates.
    pub client_certificates: ClientCertificates,
    /// Who may have signed those (PEM). There unless clients are not asked.
    pub client_ca_file: Option<PathBuf>,
    /// Which of those have been revoked (PEM).
    pub client_crl_file: Option<PathBuf>,
    /// Handshakes under way at the same time.
    pub max_handshakes: usize,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and what leads from it to an authority (PEM).
    pub cert_file: PathBuf,
    /// Its private key (PEM).
    pub key_file: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and later.
    Tls12,
    /// 1.3.
    Tls13,
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No.
    Off,
    /// Yes, but they may come without. A bad one is refused all the same.
    Optional,
    /// Yes, and nobody comes in without.
    Required,
}

/// TLS towards the backends of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendTls {
    /// Who may have signed their certificates (PEM); none for the machine's own list.
    pub ca_file: Option<PathBuf>,
    /// What Moorline shows to those that ask for a certificate.
    pub client: Option<CertificateFiles>,
    /// The name that their certificates must bear; none for each one's own host.
    pub server_name: Option<ServerName<'static>>,
}

impl TlsSettings {
    /// Every file that is read.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = self.certificates.iter().flat_map(CertificateFiles::files);
        own.chain(&self.client_ca_file).chain(&self.client_crl_file)
    }
}

impl CertificateFiles {
    fn files(&self) -> [&PathBuf; 2] {
        [&self.cert_file, &self.key_file]
    }
}

impl BackendTls {
    /// Every file that is read.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.client.iter().flat_map(CertificateFiles::files).chain(&self.ca_file)
    }
}
