//! The gates as requests meet them: tokens, key sets from a server, keys from a file, and what is never shown.

mod api_keys;
mod certificates;
mod forge;
mod jwks;
mod secrecy;
mod stub;
mod tokens;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::source::Pace;
use super::*;
use crate::clock::Clock;
use crate::config::{
    AuthMode, AuthSettings, CredentialPolicy, IdentitySettings, IssuerSettings, JwksSource, JwtAlgorithm, JwtSettings,
};
use crate::names::PoolId;

const POOL: PoolId = PoolId(1);
const RESOURCE: &str = "https://mcp.example.com/mcp";
const ISSUER: &str = "https://auth.example.com";
const DEADLINE: Duration = Duration::from_secs(20);

/// Short pauses between attempts, long waits for their ends: no test depends on how fast the machine is.
fn hurried() -> Pace {
    Pace {
        timeout: DEADLINE,
        again: Duration::from_secs(10),
        wait: DEADLINE,
        retry: Duration::from_millis(10),
        look: Duration::from_millis(20),
    }
}

fn settings(mode: AuthMode) -> AuthSettings {
    AuthSettings { mode, scopes: Vec::new(), credential: CredentialPolicy::Drop, identity: IdentitySettings::Off }
}

fn issuer(name: &str, jwks: JwksSource) -> IssuerSettings {
    IssuerSettings {
        issuer: name.into(),
        jwks,
        ca_file: None,
        audience: vec![RESOURCE.into()],
        algorithms: vec![JwtAlgorithm::RS256, JwtAlgorithm::PS256, JwtAlgorithm::ES256, JwtAlgorithm::EdDSA],
        claims: Vec::new(),
        subject: "sub".into(),
        scope: None,
    }
}

fn jwt(issuers: Vec<IssuerSettings>) -> AuthSettings {
    settings(AuthMode::Jwt(Box::new(JwtSettings {
        issuers,
        leeway: Duration::from_secs(60),
        jwks_refresh: Duration::from_secs(3600),
        jwks_stale: Duration::from_secs(86_400),
        resource: Some(RESOURCE.into()),
        scopes_supported: Vec::new(),
    })))
}

fn gates(clock: &Clock, pace: Pace, settings: &AuthSettings) -> (Gates, Arc<Gate>) {
    let gates = Gates::at_pace(clock.clone(), pace);
    gates.reconfigure(&[(POOL, settings)]).unwrap();
    let gate = gates.of(POOL).unwrap();
    (gates, gate)
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

async fn ask(gate: &Gate, token: &str) -> Result<Arc<Principal>, Denied> {
    tokio::time::timeout(DEADLINE * 2, gate.check(&bearer(token), None)).await.unwrap()
}

/// Good claims, with these instead of some of them; `null` leaves one out.
fn claims(clock: &Clock, other: &Value) -> Value {
    let mut claims =
        json!({"iss": ISSUER, "sub": "ada", "aud": RESOURCE, "exp": clock.unix() + 600, "iat": clock.unix()});
    for (name, value) in other.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// Waits until it is so.
async fn until(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

/// Puts a file in place at once, as orchestrators do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}
