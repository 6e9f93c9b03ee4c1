//! A set of public keys (JWKS, RFC 7517): which of them may have signed a token, and whether one has. Keys that are no
//! longer in the set are marked as withdrawn, and with them whoever was known by their signatures. Fetches nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use super::denied::Flaw;
use super::token::Token;
use crate::config::JwtAlgorithm;
use crate::seal::digest;

/// Keys of one set at most; the others are left out.
const MAX_KEYS: usize = 128;

/// Keys that are tried for a token that does not name one.
const TRIED: usize = 8;

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// One key.
struct Key {
    kid: Option<Box<str>>,
    kind: Kind,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<JwtAlgorithm>,
    /// What it is, by its digest.
    print: [u8; 16],
    decoding: DecodingKey,
    withdrawn: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why a text is no set of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is not what RFC 7517 §5 describes.
    #[error("not a set of keys (RFC 7517)")]
    Form(#[source] serde_json::Error),
    /// Nothing in it can verify a token.
    #[error("no key in the set can verify tokens: wanted are RSA of 2048 bits or more, P-256, P-384 or Ed25519")]
    Useless,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// The members of a key that count (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys of kinds or for uses that are not ours are left out (RFC 7517 §5).
    ///
    /// # Errors
    /// Where it is none, or nothing of use is in it.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_slice(text).map_err(KeySetError::Form)?;
        let keys = document.keys.into_iter().filter_map(|value| Key::read(serde_json::from_value(value).ok()?));
        let keys: Vec<Key> = keys.take(MAX_KEYS).collect();
        if keys.is_empty() { Err(KeySetError::Useless) } else { Ok(Self { keys }) }
    }

    /// Takes the place of an older set: keys that are still there go on, the others are withdrawn.
    pub fn succeed(mut self, former: &Self) -> Self {
        for old in &former.keys {
            match self.keys.iter_mut().find(|key| key.kid == old.kid && key.print == old.print) {
                Some(key) => key.withdrawn = Arc::clone(&old.withdrawn),
                None => old.withdrawn.store(true, Ordering::Release),
            }
        }
        self
    }

    /// Withdraws all keys.
    pub fn withdraw(&self) {
        self.keys.iter().for_each(|key| key.withdrawn.store(true, Ordering::Release));
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether one of the keys has signed the token: the one that it names, or, where it names none, any that fits. Gives the
    /// mark of that key's withdrawal.
    ///
    /// # Errors
    /// [`Flaw::UnknownKey`] where no such key is there, [`Flaw::Algorithm`] where the key is not for what the token says, and
    /// [`Flaw::Signature`] where it has not signed this.
    pub fn verify(&self, token: &Token<'_>, algorithm: JwtAlgorithm) -> Result<&Arc<AtomicBool>, Flaw> {
        let named = |key: &&Key| token.kid.is_none() || key.kid == token.kid;
        let mut candidates = self.keys.iter().filter(named).peekable();
        if candidates.peek().is_none() {
            return Err(Flaw::UnknownKey);
        }
        let mut flaw = Flaw::Algorithm;
        for key in candidates.filter(|key| key.fits(algorithm)).take(TRIED) {
            if key.has_signed(token, algorithm) {
                return Ok(&key.withdrawn);
            }
            flaw = Flaw::Signature;
        }
        // Where no key was named, the right one may not be here yet.
        Err(if token.kid.is_none() { Flaw::UnknownKey } else { flaw })
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        let verifies = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let algorithm = match &jwk.alg {
            Some(name) => Some(JwtAlgorithm::named(name)?),
            None => None,
        };
        let (kind, decoding, parts) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => {
                let (n, e) = (jwk.n?, jwk.e?);
                // aws-lc takes 2048 to 8192 bits; shorter ones are said to be of no use here instead of at each token.
                (256..=1024).contains(&bytes(&n)?).then_some(())?;
                (Kind::Rsa, DecodingKey::from_rsa_components(&n, &e).ok()?, [n, e])
            }
            ("EC", Some(curve)) => {
                let (kind, length) = match curve {
                    "P-256" => (Kind::P256, 32),
                    "P-384" => (Kind::P384, 48),
                    _ => return None,
                };
                let (x, y) = (jwk.x?, jwk.y?);
                (bytes(&x)? == length && bytes(&y)? == length).then_some(())?;
                (kind, DecodingKey::from_ec_components(&x, &y).ok()?, [x, y])
            }
            ("OKP", Some("Ed25519")) => {
                let x = jwk.x?;
                (bytes(&x)? == 32).then_some(())?;
                (Kind::Ed25519, DecodingKey::from_ed_components(&x).ok()?, [x, String::new()])
            }
            _ => return None,
        };
        verifies.then(|| Self {
            kid: jwk.kid.map(String::into_boxed_str),
            kind,
            algorithm,
            print: digest(&[parts[0].as_bytes(), parts[1].as_bytes()]),
            decoding,
            withdrawn: Arc::default(),
        })
    }

    /// Whether it is for this algorithm: by its kind (RFC 8725 §3.1) and by what it says of itself.
    fn fits(&self, algorithm: JwtAlgorithm) -> bool {
        let kind = match algorithm {
            JwtAlgorithm::RS256
            | JwtAlgorithm::RS384
            | JwtAlgorithm::RS512
            | JwtAlgorithm::PS256
            | JwtAlgorithm::PS384
            | JwtAlgorithm::PS512 => Kind::Rsa,
            JwtAlgorithm::ES256 => Kind::P256,
            JwtAlgorithm::ES384 => Kind::P384,
            JwtAlgorithm::EdDSA => Kind::Ed25519,
        };
        self.kind == kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    fn has_signed(&self, token: &Token<'_>, algorithm: JwtAlgorithm) -> bool {
        jsonwebtoken::crypto::verify(token.signature, token.message, &self.decoding, named(algorithm)).unwrap_or(false)
    }
}

/// Bytes of a number in base64, without zeros before it.
fn bytes(text: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.len())
}

const fn named(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::RS384 => Algorithm::RS384,
        JwtAlgorithm::RS512 => Algorithm::RS512,
        JwtAlgorithm::PS256 => Algorithm::PS256,
        JwtAlgorithm::PS384 => Algorithm::PS384,
        JwtAlgorithm::PS512 => Algorithm::PS512,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::ES384 => Algorithm::ES384,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("kind", &self.kind).finish_non_exhaustive()
    }
}
