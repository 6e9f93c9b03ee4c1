//! Certificates for tests: authorities that sign them, good and bad ones, and the clients and servers that use them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Issued {
    pub cert: String,
    pub key: String,
    serial: Vec<u8>,
}

impl Issued {
    /// The certificate alone.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("it was just made")
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("it was just made")
    }
}

/// What is to be signed.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'w> {
    pub names: &'w [&'w str],
    pub common_name: &'w str,
    pub uri: Option<&'w str>,
    pub has_run_out: bool,
}

/// Somebody who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub cert: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("there is randomness");
        let cert = params.self_signed(&key).expect("it is well formed").pem();
        Self { issuer: Issuer::new(params, key), cert }
    }

    /// A certificate for a server with these names.
    pub fn server(&self, names: &[&str]) -> Issued {
        self.sign(&Wanted { names, ..Wanted::default() })
    }

    /// A certificate for a client.
    pub fn client(&self, common_name: &str) -> Issued {
        self.sign(&Wanted { common_name, ..Wanted::default() })
    }

    pub fn sign(&self, wanted: &Wanted<'_>) -> Issued {
        let names: Vec<String> = wanted.names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).expect("the test knows names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !wanted.common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, wanted.common_name);
        }
        params.subject_alt_names.extend(wanted.uri.map(|uri| SanType::URI(uri.try_into().expect("it is ASCII"))));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("there is randomness");
        let serial = key.public_key_raw()[1..17].iter().map(|byte| byte & 0x7f).collect::<Vec<_>>();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.use_authority_key_identifier_extension = true;
        if wanted.has_run_out {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let cert = params.signed_by(&key, &self.issuer).expect("it is well formed");
        Issued { cert: cert.pem(), key: key.serialize_pem(), serial }
    }

    /// A list of revoked certificates.
    pub fn revoke(&self, revoked: &[&Issued]) -> String {
        let revoked = revoked.iter().map(|issued| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&issued.serial),
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(2030, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("it is well formed").pem().expect("it is well formed")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("it was just made")).expect("it is one");
        roots
    }

    /// A client that trusts this authority, and shows something of its own.
    pub fn trusted_by(&self, own: Option<&Issued>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the provider knows them");
        let builder = builder.with_root_certificates(self.roots());
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(vec![own.der()], own.private()).expect("they belong together"),
        })
    }
}

/// Files in a folder of their own.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("the file can be written");
        self.path(name).display().to_string()
    }

    /// Writes `NAME.crt` and `NAME.key`, and returns the keys of a configuration that name them.
    pub fn pair(&self, name: &str, issued: &Issued) -> [String; 2] {
        [self.write(&format!("{name}.crt"), &issued.cert), self.write(&format!("{name}.key"), &issued.key)]
    }
}

/// Ends TLS in front of a server that speaks none.
pub struct Front {
    pub addr: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    _runtime: tokio::runtime::Runtime,
}

/// What a front speaks, as its name on the wire.
pub const HTTP1: &[u8] = b"http/1.1";

impl Front {
    /// In front of the server at `to`; asks for certificates of `clients`.
    pub fn of(to: SocketAddr, shows: &Issued, clients: Option<&Authority>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let config = Arc::new(Mutex::new(Self::config(shows, clients, HTTP1)));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let addr = listener.local_addr().expect("it listens");
        let current = Arc::clone(&config);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&current.lock().expect("nobody panics"));
                // Ends when either side does.
                tokio::spawn(async move { drop(pass(stream, config, to).await) });
            }
        });
        Self { addr, config, _runtime: runtime }
    }

    /// From now on it shows this.
    pub fn show(&self, shows: &Issued, clients: Option<&Authority>) {
        *self.config.lock().expect("nobody panics") = Self::config(shows, clients, HTTP1);
    }

    fn config(shows: &Issued, clients: Option<&Authority>, alpn: &[u8]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().expect("the provider knows them");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.expect("it trusts somebody"))
            }
        };
        let config = builder.with_single_cert(vec![shows.der()], shows.private());
        let mut config = config.expect("they belong together");
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }
}

/// Ends TLS on one connection.
async fn pass(stream: tokio::net::TcpStream, config: Arc<ServerConfig>, to: SocketAddr) -> std::io::Result<()> {
    let mut secure = tokio_rustls::TlsAcceptor::from(config).accept(stream).await?;
    let mut plain = tokio::net::TcpStream::connect(to).await?;
    tokio::io::copy_bidirectional(&mut secure, &mut plain).await.map(drop)
}
