//! What a token must be: each way to be wrong by its name.

use super::forge::{Key, encode, key_set};
use super::*;
use crate::config::RequiredClaim;

/// A gate that believes one key, which is in a file.
struct Door {
    clock: Clock,
    key: Key,
    gate: Arc<Gate>,
    _gates: Gates,
    _folder: tempfile::TempDir,
}

impl Door {
    fn new(key: Key) -> Self {
        Self::with(key, |_| {})
    }

    fn with(key: Key, change: impl FnOnce(&mut AuthSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, key_set(&[&key])).unwrap();
        let mut settings = jwt(vec![issuer(ISSUER, JwksSource::File(file))]);
        change(&mut settings);
        let clock = Clock::manual();
        let (gates, gate) = gates(&clock, hurried(), &settings);
        Self { clock, key, gate, _gates: gates, _folder: folder }
    }

    async fn claims(&self, other: Value) -> Result<Arc<Principal>, Denied> {
        ask(&self.gate, &self.key.token(&claims(&self.clock, &other))).await
    }

    async fn header(&self, header: Value) -> Result<Arc<Principal>, Denied> {
        ask(&self.gate, &self.key.with_header(&header, &claims(&self.clock, &json!({})))).await
    }
}

fn flaw(outcome: Result<Arc<Principal>, Denied>) -> Flaw {
    match outcome {
        Err(Denied::Invalid(flaw)) => flaw,
        other => panic!("{other:?}"),
    }
}

fn jwt_of(settings: &mut AuthSettings) -> &mut JwtSettings {
    let AuthMode::Jwt(jwt) = &mut settings.mode else { panic!("no tokens here") };
    jwt
}

#[tokio::test]
async fn a_good_token_says_who_it_is() {
    for key in [Key::ed25519("a"), Key::p256("b"), Key::rsa("c")] {
        let door = Door::new(key);
        let more = json!({"scope": "read write", "org": "acme", "level": 3, "groups": ["x", "y"], "deep": {"a": 1}});
        let principal = door.claims(more).await.unwrap();
        assert_eq!((&*principal.issuer, &*principal.subject, &*principal.name), (ISSUER, "ada", "ada"));
        assert!(principal.has("read") && principal.has("write") && !principal.has("read write"));
        assert!(principal.claim("org").unwrap().is("acme") && principal.claim("level").unwrap().is("3"));
        assert!(principal.claim("groups").unwrap().is("y") && principal.claim("deep").is_none());
        assert!(!principal.validity.ended(door.clock.now()));
    }
    let door = Door::new(Key::rsa("c"));
    assert!(door.header(json!({"alg": "PS256", "kid": "c"})).await.is_ok());
}

#[tokio::test]
async fn a_newer_token_is_the_same_caller_and_another_subject_is_not() {
    let door = Door::new(Key::ed25519("a"));
    let first = door.claims(json!({})).await.unwrap();
    let later = door.claims(json!({"exp": door.clock.unix() + 3600})).await.unwrap();
    let other = door.claims(json!({"sub": "bob"})).await.unwrap();
    assert_eq!(first.digest, later.digest);
    assert_ne!(first.digest, other.digest);
}

#[tokio::test]
async fn a_token_is_verified_once() {
    let door = Door::new(Key::ed25519("a"));
    let token = door.key.token(&claims(&door.clock, &json!({})));
    let first = ask(&door.gate, &token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &ask(&door.gate, &token).await.unwrap()));
}

#[tokio::test]
async fn algorithm_none_is_refused() {
    let door = Door::new(Key::ed25519("a"));
    for name in ["none", "None", "NONE", ""] {
        let header = encode(json!({"alg": name, "kid": "a"}).to_string().as_bytes());
        let body = encode(claims(&door.clock, &json!({})).to_string().as_bytes());
        for signature in ["", "AA"] {
            assert_eq!(flaw(ask(&door.gate, &format!("{header}.{body}.{signature}")).await), Flaw::Algorithm);
        }
    }
}

#[tokio::test]
async fn downgraded_algorithm_is_refused() {
    // HMAC with the public key for a secret (RFC 8725 §2.1): the algorithm is never accepted.
    let door = Door::new(Key::rsa("c"));
    for name in ["HS256", "HS384", "HS512", "rs256", "RS256 ", "ES256K"] {
        assert_eq!(flaw(door.header(json!({"alg": name, "kid": "c"})).await), Flaw::Algorithm, "{name}");
    }
    // Accepted in general, but not with this key.
    for name in ["ES256", "EdDSA"] {
        assert_eq!(flaw(door.header(json!({"alg": name, "kid": "c"})).await), Flaw::Algorithm, "{name}");
    }
    // With this key, but not accepted here.
    assert_eq!(flaw(door.header(json!({"alg": "RS512", "kid": "c"})).await), Flaw::Algorithm);
    // What was signed in one way is not verified in another.
    let door = Door::with(Key::rsa("c"), |settings| jwt_of(settings).issuers[0].algorithms = vec![JwtAlgorithm::PS256]);
    assert_eq!(flaw(door.claims(json!({})).await), Flaw::Algorithm);
}

#[tokio::test]
async fn a_key_for_another_algorithm_or_use_is_not_used() {
    let (clock, key) = (Clock::manual(), Key::rsa("c"));
    for (name, value, expected) in [
        ("alg", json!("PS256"), Flaw::Algorithm),
        ("use", json!("enc"), Flaw::UnknownKey),
        ("key_ops", json!(["encrypt"]), Flaw::UnknownKey),
        ("alg", json!("RSA-OAEP"), Flaw::UnknownKey),
    ] {
        let mut public = key.public();
        public[name] = value;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        let set = json!({"keys": [public, Key::ed25519("other").public()]});
        std::fs::write(&file, set.to_string()).unwrap();
        let (_gates, gate) = gates(&clock, hurried(), &jwt(vec![issuer(ISSUER, JwksSource::File(file))]));
        assert_eq!(flaw(ask(&gate, &key.token(&claims(&clock, &json!({})))).await), expected, "{name}");
    }
}

#[tokio::test]
async fn expired_token_is_refused() {
    let door = Door::new(Key::ed25519("a"));
    let now = door.clock.unix();
    assert!(door.claims(json!({"exp": now - 59})).await.is_ok());
    assert_eq!(flaw(door.claims(json!({"exp": now - 60})).await), Flaw::Expired);
    assert_eq!(flaw(door.claims(json!({"exp": -5})).await), Flaw::Expired);
    assert!(door.claims(json!({"exp": now as f64 + 0.5})).await.is_ok());
    assert!(door.claims(json!({"exp": u64::MAX})).await.is_ok());
    assert_eq!(flaw(door.claims(json!({"exp": null})).await), Flaw::NoEnd);
    assert_eq!(flaw(door.claims(json!({"exp": "tomorrow"})).await), Flaw::Claim);
}

#[tokio::test]
async fn expired_token_in_a_long_stream_ends() {
    let door = Door::new(Key::ed25519("a"));
    let token = door.key.token(&claims(&door.clock, &json!({"exp": door.clock.unix() + 30})));
    let principal = ask(&door.gate, &token).await.unwrap();
    door.clock.advance(Duration::from_secs(89));
    assert!(!principal.validity.ended(door.clock.now()));
    door.clock.advance(Duration::from_secs(1));
    assert!(principal.validity.ended(door.clock.now()) && !principal.validity.is_revoked());
    assert_eq!(flaw(ask(&door.gate, &token).await), Flaw::Expired);
}

#[tokio::test]
async fn a_token_of_the_future_is_refused() {
    let door = Door::new(Key::ed25519("a"));
    let now = door.clock.unix();
    for name in ["nbf", "iat"] {
        assert!(door.claims(json!({name: now + 60})).await.is_ok());
        assert_eq!(flaw(door.claims(json!({name: now + 61})).await), Flaw::NotYet, "{name}");
        assert_eq!(flaw(door.claims(json!({name: "now"})).await), Flaw::Claim, "{name}");
    }
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused() {
    let door = Door::new(Key::ed25519("a"));
    assert!(door.claims(json!({"aud": ["https://x", RESOURCE]})).await.is_ok());
    assert!(door.claims(json!({"aud": format!("{RESOURCE}/")})).await.is_ok());
    for other in
        [json!("https://mcp.example.com/mcp2"), json!("https://mcp.example.com"), json!([]), json!(1), Value::Null]
    {
        assert_eq!(flaw(door.claims(json!({"aud": other})).await), Flaw::Audience, "{other}");
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    let door = Door::new(Key::ed25519("a"));
    for other in [
        json!("https://auth.example.com/"),
        json!("https://evil.example"),
        json!(["https://auth.example.com"]),
        Value::Null,
    ] {
        assert_eq!(flaw(door.claims(json!({"iss": other})).await), Flaw::Issuer, "{other}");
    }
}

#[tokio::test]
async fn a_key_of_another_issuer_is_refused() {
    let (clock, mine, other) = (Clock::manual(), Key::ed25519("a"), Key::ed25519("b"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, key: &Key| {
        let path = folder.path().join(name);
        std::fs::write(&path, key_set(&[key])).unwrap();
        JwksSource::File(path)
    };
    let both = vec![issuer(ISSUER, file("1", &mine)), issuer("https://other.example.com", file("2", &other))];
    let (_gates, gate) = gates(&clock, hurried(), &jwt(both));
    let of = |key: &Key, name: &str| key.token(&claims(&clock, &json!({"iss": name})));
    let first = ask(&gate, &of(&mine, ISSUER)).await.unwrap();
    let second = ask(&gate, &of(&other, "https://other.example.com")).await.unwrap();
    assert_ne!(first.digest, second.digest, "the same subject of two issuers is two callers");
    assert_eq!(flaw(ask(&gate, &of(&other, ISSUER)).await), Flaw::UnknownKey);
    assert_eq!(flaw(ask(&gate, &of(&mine, "https://other.example.com")).await), Flaw::UnknownKey);
}

#[tokio::test]
async fn a_forged_signature_is_refused() {
    for key in [Key::ed25519("a"), Key::p256("a"), Key::rsa("a")] {
        let stranger = match key.algorithm() {
            "EdDSA" => Key::ed25519("a"),
            "ES256" => Key::p256("a"),
            _ => Key::rsa("a"),
        };
        let door = Door::new(key);
        let good = claims(&door.clock, &json!({}));
        assert_eq!(flaw(ask(&door.gate, &stranger.token(&good)).await), Flaw::Signature);
        let token = door.key.token(&good);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = message.split_once('.').unwrap();
        let other = encode(claims(&door.clock, &json!({"sub": "root"})).to_string().as_bytes());
        assert_eq!(flaw(ask(&door.gate, &format!("{header}.{other}.{signature}")).await), Flaw::Signature);
        assert_eq!(flaw(ask(&door.gate, &format!("{message}.")).await), Flaw::Signature);
        assert_eq!(flaw(ask(&door.gate, &format!("{message}.AAAA")).await), Flaw::Signature);
    }
}

#[tokio::test]
async fn a_token_that_names_no_key_finds_the_one_that_fits() {
    let door = Door::new(Key::p256("b"));
    assert!(door.header(json!({"alg": "ES256"})).await.is_ok());
    let stranger = Key::p256("b").with_header(&json!({"alg": "ES256"}), &claims(&door.clock, &json!({})));
    assert_eq!(flaw(ask(&door.gate, &stranger).await), Flaw::UnknownKey);
}

#[tokio::test]
async fn what_must_be_understood_and_is_not_is_refused() {
    let door = Door::new(Key::ed25519("a"));
    let with = |more: (&str, Value)| {
        let mut header = json!({"alg": "EdDSA", "kid": "a"});
        header[more.0] = more.1;
        header
    };
    assert_eq!(flaw(door.header(with(("crit", json!(["b64"])))).await), Flaw::Critical);
    assert_eq!(flaw(door.header(with(("crit", json!([])))).await), Flaw::Critical);
    for typ in ["logout+jwt", "dpop+jwt", "JWE"] {
        assert_eq!(flaw(door.header(with(("typ", json!(typ)))).await), Flaw::Form, "{typ}");
    }
    for typ in ["JWT", "jwt", "AT+JWT", "application/at+jwt"] {
        assert!(door.header(with(("typ", json!(typ)))).await.is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let door = Door::new(Key::ed25519("a"));
    let good = door.key.token(&claims(&door.clock, &json!({})));
    let cut = &good[..good.len() / 3];
    for text in ["a", "a.b", "a.b.c", "..", "a.b.c.d.e", "e30.e30.e30", cut, &format!("{good}.x"), &format!("{good}=")]
    {
        assert!(matches!(ask(&door.gate, text).await, Err(Denied::Invalid(_))), "{text}");
    }
    let long = format!("{good}{}", "A".repeat(token::LONGEST));
    assert_eq!(ask(&door.gate, &long).await.err(), Some(Denied::Malformed(Oddity::TooLong)));
    assert_eq!(door.gate.check(&HeaderMap::new(), None).await.err(), Some(Denied::Missing));
}

#[tokio::test]
async fn required_claims_must_have_their_values() {
    let door = Door::with(Key::ed25519("a"), |settings| {
        let required = |name: &str, values: &[&str]| RequiredClaim {
            name: name.into(),
            values: values.iter().map(|value| (*value).into()).collect(),
        };
        jwt_of(settings).issuers[0].claims = vec![required("org", &["acme"]), required("groups", &["x", "7"])];
    });
    assert!(door.claims(json!({"org": "acme", "groups": ["y", "x"]})).await.is_ok());
    assert!(door.claims(json!({"org": ["acme"], "groups": 7})).await.is_ok());
    for bad in
        [json!({}), json!({"org": "acme"}), json!({"org": "Acme", "groups": "x"}), json!({"org": "acme", "groups": []})]
    {
        assert_eq!(flaw(door.claims(bad).await), Flaw::Claim);
    }
    assert_eq!(flaw(door.claims(json!({"org": "acme", "groups": "x", "sub": ""})).await), Flaw::Claim);
    assert_eq!(flaw(door.claims(json!({"org": "acme", "groups": "x", "sub": 7})).await), Flaw::Claim);
}

#[tokio::test]
async fn another_claim_can_be_the_subject_and_the_scopes() {
    let door = Door::with(Key::ed25519("a"), |settings| {
        let issuer = &mut jwt_of(settings).issuers[0];
        issuer.subject = "client_id".into();
        issuer.scope = Some("permissions".into());
    });
    let principal =
        door.claims(json!({"client_id": "robot", "permissions": ["p q", "r"], "scope": "no"})).await.unwrap();
    assert_eq!(&*principal.subject, "robot");
    assert!(principal.has("r") && principal.has("p q") && !principal.has("no"));
    let door = Door::new(Key::ed25519("a"));
    assert!(door.claims(json!({"scp": ["read"]})).await.unwrap().has("read"));
}

#[tokio::test]
async fn insufficient_scope_names_what_is_needed() {
    let door = Door::with(Key::ed25519("a"), |settings| settings.scopes = vec!["read".into(), "write".into()]);
    let denied = door.claims(json!({"scope": "read"})).await.unwrap_err();
    let expected =
        Denied::InsufficientScope { needed: vec!["read".into(), "write".into()], missing: vec!["write".into()] };
    assert_eq!(denied, expected);
    let metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
    let challenge = door.gate.challenge(&denied, metadata).unwrap();
    assert_eq!(
        challenge,
        "Bearer error=\"insufficient_scope\", error_description=\"missing: write\", scope=\"read write\", \
         resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\""
    );
    let challenge = door.gate.challenge(&Denied::Missing, metadata).unwrap();
    assert_eq!(
        challenge,
        "Bearer scope=\"read write\", \
         resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\""
    );
    assert!(door.claims(json!({"scope": "write read"})).await.is_ok());
}

#[tokio::test]
async fn a_flaw_is_said_by_its_word() {
    let door = Door::new(Key::ed25519("a"));
    let challenge = door.gate.challenge(&Denied::Invalid(Flaw::Expired), "https://m/x\"\\").unwrap();
    assert_eq!(
        challenge,
        "Bearer error=\"invalid_token\", error_description=\"the token has expired\", resource_metadata=\"https://m/x\""
    );
    assert_eq!(door.gate.challenge(&Denied::Unavailable { retry_after: DEADLINE }, ""), None);
}

#[tokio::test]
async fn metadata_names_issuers_and_scopes() {
    let door = Door::with(Key::ed25519("a"), |settings| {
        jwt_of(settings).scopes_supported = vec!["mcp".into(), "offline_access".into()];
    });
    let metadata: Value = serde_json::from_str(&door.gate.metadata("http://elsewhere/mcp").unwrap()).unwrap();
    let expected = json!({"resource": RESOURCE, "authorization_servers": [ISSUER], "bearer_methods_supported": ["header"],
        "scopes_supported": ["mcp"]});
    assert_eq!(metadata, expected);
    let door = Door::with(Key::ed25519("a"), |settings| jwt_of(settings).resource = None);
    let metadata: Value = serde_json::from_str(&door.gate.metadata("http://elsewhere/mcp").unwrap()).unwrap();
    assert_eq!((&metadata["resource"], metadata.get("scopes_supported")), (&json!("http://elsewhere/mcp"), None));
}
