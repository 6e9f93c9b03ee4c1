//! Reads certificates, keys and lists of revoked certificates from PEM files (RFC 7468), each within a bound.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{TlsError, provider};
use crate::config::CertificateFiles;
use crate::seal::digest;

/// No file is longer, in bytes: lists of authorities and of revoked certificates have some hundred KiB.
const MOST: u64 = 16 << 20;

/// What some files hold, as a number that changes with it. A file that cannot be read counts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of these files as they are now.
    #[must_use]
    pub fn of<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Self {
        let contents: Vec<Vec<u8>> = paths.map(|path| read(path).unwrap_or_default()).collect();
        Self(digest(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    }
}

/// The whole file.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    read.map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > MOST {
        return Err(useless(path, "PEM", "it is too large"));
    }
    Ok(bytes)
}

pub(super) fn useless(path: &Path, what: &'static str, why: impl Into<String>) -> TlsError {
    TlsError::Useless { path: path.to_owned(), what, why: why.into() }
}

/// Everything of one kind in a file, at least one. What is wrong is said without a word of the file: it may be a key.
fn items<T: PemObject>(path: &Path, what: &'static str) -> Result<Vec<T>, TlsError> {
    let pem = read(path)?;
    let items = T::pem_slice_iter(&pem).collect::<Result<Vec<T>, PemError>>();
    let items = items.map_err(|_| useless(path, what, "it is not PEM"))?;
    if items.is_empty() {
        return Err(useless(path, what, "there is none in it"));
    }
    Ok(items)
}

/// A certificate with what leads to its authority.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    items(path, "certificate")
}

/// A private key.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let keys = items(path, "private key (without a passphrase)")?;
    keys.into_iter().next().ok_or_else(|| useless(path, "private key", "there is none in it"))
}

/// A certificate that fits its key.
pub(super) fn pair(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let CertificateFiles { cert_file, key_file } = files;
    let (chain, key) = (chain(cert_file)?, key(key_file)?);
    CertifiedKey::from_der(chain, key, &provider()).map_err(|why| TlsError::Pair {
        cert: cert_file.clone(),
        key: key_file.clone(),
        why,
    })
}

/// Lists of revoked certificates.
pub(super) fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    items(path, "list of revoked certificates")
}

/// Authorities: those in a file, or those that this machine trusts.
pub(super) fn authorities(path: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = path else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(roots) };
    };
    for certificate in items(path, "certificate")? {
        roots.add(certificate).map_err(|error| useless(path, "certificate", error.to_string()))?;
    }
    Ok(roots)
}
