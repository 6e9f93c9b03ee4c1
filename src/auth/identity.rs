//! How backends are told who calls: in header fields of Moorline's own, plain or as a short token that it signs (RFC 7519).
//! Owns the fields' names, so that nobody else's content passes under them. Decides of nobody who he is.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::principal::Principal;
use crate::clock::Clock;
use crate::config::{IdentityAlgorithm, IdentityKey, IdentitySettings};

/// Who calls: the subject. Bytes other than visible ASCII, and `%`, are percent-encoded (RFC 3986 §2.1), here and below.
pub const CALLER: HeaderName = HeaderName::from_static("moorline-caller");

/// Who vouches for the caller.
pub const ISSUER: HeaderName = HeaderName::from_static("moorline-issuer");

/// The caller's scopes, with spaces between.
pub const SCOPES: HeaderName = HeaderName::from_static("moorline-scopes");

/// All of it in a signed token.
pub const IDENTITY: HeaderName = HeaderName::from_static("moorline-identity");

/// What no client may send on: every field that says who calls.
pub static IDENTITY_FIELDS: [HeaderName; 4] = [CALLER, ISSUER, SCOPES, IDENTITY];

/// How long a signed identity is good, in seconds; long enough for clocks that are a little apart.
const LIFE: u64 = 60;

/// Who signs.
const SIGNER: &str = "moorline";

/// A field is never longer, in bytes; what does not fit is not told.
const LONGEST: usize = 4096;

/// The key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key that signs who calls cannot be used")]
pub struct SignerError;

/// How one pool's backends are told.
pub(super) enum Teller {
    Off,
    Headers,
    Signed(Box<Signer>),
}

impl Teller {
    pub fn new(settings: &IdentitySettings, clock: &Clock) -> Result<Self, SignerError> {
        Ok(match settings {
            IdentitySettings::Off => Self::Off,
            IdentitySettings::Headers => Self::Headers,
            IdentitySettings::Signed(key) => Self::Signed(Box::new(Signer::new(key, clock.clone())?)),
        })
    }

    /// Says in the header fields who calls `audience`, the pool.
    pub fn tell(&self, principal: &Principal, audience: &str, headers: &mut HeaderMap) {
        match self {
            Self::Off => {}
            Self::Headers => {
                let scopes: Vec<&str> = principal.scopes.iter().map(|scope| &**scope).collect();
                let fields = [
                    (CALLER, visible(&principal.subject)),
                    (ISSUER, visible(&principal.issuer)),
                    (SCOPES, visible(&scopes.join(" "))),
                ];
                headers.extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?))));
            }
            Self::Signed(signer) => {
                headers.extend(signer.sign(principal, audience).map(|value| (IDENTITY, value)));
            }
        }
    }

    /// The public key that backends verify by, as a set (RFC 7517).
    pub fn keys(&self) -> Option<String> {
        match self {
            Self::Off | Self::Headers => None,
            Self::Signed(signer) => Some(json!({"keys": [signer.public]}).to_string()),
        }
    }
}

/// Signs who calls.
pub(super) struct Signer {
    pair: Pair,
    header: String,
    public: Value,
    clock: Clock,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    fn new(key: &IdentityKey, clock: Clock) -> Result<Self, SignerError> {
        let (pair, algorithm, public) = match key.algorithm() {
            IdentityAlgorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(key.reveal()).map_err(|_| SignerError)?;
                let public = json!({"crv": "Ed25519", "kty": "OKP", "x": encode(pair.public_key().as_ref())});
                (Pair::Ed25519(pair), "EdDSA", public)
            }
            IdentityAlgorithm::P256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.reveal());
                let pair = pair.map_err(|_| SignerError)?;
                // The point is uncompressed: 4, x, y (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = (point.get(1..33).ok_or(SignerError)?, point.get(33..65).ok_or(SignerError)?);
                let public = json!({"crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y)});
                (Pair::P256(pair), "ES256", public)
            }
        };
        // The name is the key's thumbprint (RFC 7638): its members in the order of their names, as they stand above.
        let kid = encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public.to_string().as_bytes()).as_ref());
        let header = encode(json!({"alg": algorithm, "kid": kid, "typ": "JWT"}).to_string().as_bytes());
        let mut public = public;
        public["kid"] = json!(kid);
        public["alg"] = json!(algorithm);
        public["use"] = json!("sig");
        Ok(Self { pair, header, public, clock })
    }

    fn sign(&self, principal: &Principal, audience: &str) -> Option<HeaderValue> {
        let now = self.clock.unix();
        let scopes: Vec<&str> = principal.scopes.iter().map(|scope| &**scope).collect();
        let claims = json!({"iss": SIGNER, "sub": &*principal.subject, "caller_iss": &*principal.issuer, "aud": audience,
            "scope": scopes.join(" "), "iat": now, "exp": now + LIFE});
        let message = format!("{}.{}", self.header, encode(claims.to_string().as_bytes()));
        let signature = match &self.pair {
            Pair::Ed25519(pair) => encode(pair.sign(message.as_bytes()).as_ref()),
            Pair::P256(pair) => encode(pair.sign(&SystemRandom::new(), message.as_bytes()).ok()?.as_ref()),
        };
        let token = format!("{message}.{signature}");
        (token.len() <= 2 * LONGEST).then(|| HeaderValue::try_from(token).ok()).flatten()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The text as a field may hold it.
fn visible(text: &str) -> Option<HeaderValue> {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' ' | b'!'..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    // Space at the ends would be taken off on the way.
    if out.starts_with(' ') {
        out.replace_range(..1, "%20");
    }
    if out.ends_with(' ') {
        out.truncate(out.len() - 1);
        out.push_str("%20");
    }
    (out.len() <= LONGEST).then(|| HeaderValue::try_from(out).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::keys::KeySet;
    use crate::auth::token::Token;
    use crate::auth::{Flaw, Validity};
    use crate::config::JwtAlgorithm;

    /// A new private key of each kind, in PEM.
    fn new_keys() -> [(String, JwtAlgorithm); 2] {
        let random = SystemRandom::new();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pem = |der: &[u8]| {
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
        };
        [(pem(ed25519.as_ref()), JwtAlgorithm::EdDSA), (pem(p256.as_ref()), JwtAlgorithm::ES256)]
    }

    fn principal(subject: &str) -> Principal {
        let mut principal = Principal::new("https://a", subject, Arc::new(Validity::new(None, Arc::default())));
        principal.scopes = ["read".into(), "write".into()].into();
        principal
    }

    fn signer(pem: &str) -> Teller {
        let folder = tempfile::tempdir().unwrap();
        let (key, file) = (folder.path().join("key.pem"), folder.path().join("keys.toml"));
        std::fs::write(&key, pem).unwrap();
        let text = format!(
            "[auth]\nmode = \"api_keys\"\nkeys_file = {file:?}\nidentity = \"signed\"\nidentity_key_file = {key:?}\n\
             [[pool]]\nbackends = [\"http://127.0.0.1:1/\"]\n"
        );
        let config = crate::config::Config::parse("test", &text).unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("Signed(***)"), "{shown}");
        Teller::new(&config.pools[0].auth.identity, &Clock::manual()).unwrap()
    }

    #[test]
    fn plain_fields_say_who_calls_and_break_nothing() {
        let mut headers = HeaderMap::new();
        Teller::Headers.tell(&principal(" a\r\nX: 50% \u{e4} "), "p", &mut headers);
        assert_eq!(headers[CALLER], "%20a%0D%0AX: 50%25 %C3%A4%20");
        assert_eq!(
            (&headers[ISSUER], &headers[SCOPES]),
            (&HeaderValue::from_static("https://a"), &HeaderValue::from_static("read write"))
        );
        let mut headers = HeaderMap::new();
        Teller::Off.tell(&principal("a"), "p", &mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_signed_identity_is_verified_by_the_published_key() {
        for (pem, algorithm) in new_keys() {
            let teller = signer(&pem);
            let mut headers = HeaderMap::new();
            teller.tell(&principal("ada"), "https://mcp.example.com/mcp", &mut headers);
            let text = headers[IDENTITY].to_str().unwrap();
            let keys = KeySet::parse(teller.keys().unwrap().as_bytes()).unwrap();
            let token = Token::parse(text).unwrap();
            assert_eq!((token.algorithm, &*token.issuer), (Some(algorithm), SIGNER));
            assert!(keys.verify(&token, algorithm).is_ok());
            let claims = text.split('.').nth(1).unwrap();
            let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
            assert_eq!(
                (&claims["sub"], &claims["caller_iss"], &claims["scope"]),
                (&json!("ada"), &json!("https://a"), &json!("read write"))
            );
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), LIFE);
            let (forged, _) = text.rsplit_once('.').unwrap();
            let forged = format!("{forged}.AAAA");
            assert_eq!(keys.verify(&Token::parse(&forged).unwrap(), algorithm).err(), Some(Flaw::Signature));
        }
    }
}
