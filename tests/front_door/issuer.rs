//! An issuer of tokens whose keys are in a file: it signs whatever a test wants signed.

use std::path::PathBuf;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Backend, Setup};

pub const ISSUER: &str = "https://auth.example.com";
pub const AUDIENCE: &str = "https://mcp.example.com/mcp";

/// Keys, each under a name of its own, of which the file holds some.
pub struct Issuer {
    folder: tempfile::TempDir,
}

/// A key that signs.
pub struct Key {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    pub fn new(id: &'static str) -> Self {
        Self { id, pair: Ed25519KeyPair::generate().expect("there is randomness") }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x })
    }

    /// The field with a token that says this.
    pub fn shows(&self, claims: &Value) -> String {
        format!(
            "Authorization: Bearer {}",
            self.sign(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.id }), claims)
        )
    }

    /// A token with this head.
    pub fn sign(&self, head: &Value, claims: &Value) -> String {
        let signed = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

impl Issuer {
    pub fn with(keys: &[&Key]) -> Self {
        let issuer = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        issuer.publish(keys);
        issuer
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("jwks.json")
    }

    /// Puts these keys in the place of those before.
    pub fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        let next = self.folder.path().join("next.json");
        std::fs::write(&next, json!({ "keys": keys }).to_string()).expect("the folder can be written");
        std::fs::rename(next, self.path()).expect("it takes the other's place");
    }

    /// An instance's configuration that believes its tokens.
    pub fn setup(&self, backend: &Backend) -> Setup {
        let issuer = format!(
            "auth.issuer = [{{ issuer = {ISSUER:?}, jwks = {:?}, algorithms = [\"EdDSA\"] }}]",
            self.path().display().to_string()
        );
        Setup::of(&[backend.url()])
            .key("public_url = \"https://mcp.example.com\"")
            .key("auth.mode = \"jwt\"")
            .key("auth.leeway = \"0s\"")
            .key(&issuer)
    }
}

pub fn now() -> u64 {
    moorline::clock::Clock::system().unix()
}

/// What a good token says.
pub fn claims(subject: &str, lasts: u64, scope: &str) -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": now() + lasts, "iat": now(), "scope": scope })
}
