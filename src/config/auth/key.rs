//! The key that signs who calls: read from a file, checked to be a key, never shown. Signs nothing.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::fault::Code;
use crate::config::form::Complaint;
use crate::config::secret;

/// A key file is never longer, in bytes.
const MAX_FILE: u64 = 16 * 1024;

const HELP: &str = "an Ed25519 or P-256 key in PKCS #8 and PEM, as `openssl genpkey -algorithm ed25519` writes it";

/// With what the identity is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityAlgorithm {
    /// `EdDSA` with Ed25519 (RFC 8037).
    Ed25519,
    /// `ES256` (RFC 7518 §3.4).
    P256,
}

/// A private key. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityKey {
    algorithm: IdentityAlgorithm,
    pkcs8: Box<[u8]>,
}

impl IdentityKey {
    /// With what it signs.
    #[must_use]
    pub const fn algorithm(&self) -> IdentityAlgorithm {
        self.algorithm
    }

    /// The key in PKCS #8, for the signer alone.
    #[must_use]
    pub const fn reveal(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Reads the key from the text of a PEM file.
    pub(in crate::config) fn parse(pem: &str) -> Result<Self, Complaint> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| bad("the file holds no private key in PKCS #8 and PEM"))?;
        let pkcs8: Box<[u8]> = der.secret_pkcs8_der().into();
        let algorithm = if Ed25519KeyPair::from_pkcs8(&pkcs8).is_ok() {
            IdentityAlgorithm::Ed25519
        } else if EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).is_ok() {
            IdentityAlgorithm::P256
        } else {
            return Err(bad("the key is neither an Ed25519 nor a P-256 key"));
        };
        Ok(Self { algorithm, pkcs8 })
    }

    /// Reads the key from a file.
    pub(in crate::config) fn from_file(path: &str) -> Result<Self, Complaint> {
        let text = secret::from_file(path, MAX_FILE).map_err(|text| Complaint { code: Code::Secret, ..bad(&text) })?;
        Self::parse(&text)
    }
}

fn bad(text: &str) -> Complaint {
    Complaint::bad(text).help(format!("the file must hold {HELP}"))
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
