//! Callers by access tokens: the way to one, sessions that outlive it, and all that is no such token.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::Client;
use crate::issuer::{AUDIENCE, ISSUER, Issuer, Key, claims, now};
use crate::support::http::{Connection, post_to, request};
use crate::support::session::initialize;
use crate::support::{Backend, until};

#[test]
fn a_refusal_shows_the_way_to_a_token() {
    let key = Key::new("a");
    let (backend, issuer) = (Backend::legacy("b"), Issuer::with(&[&key]));
    let setup = issuer
        .setup(&backend)
        .key("auth.scopes = [\"mcp:read\"]")
        .key("auth.scopes_supported = [\"mcp:read\", \"mcp:admin\"]");
    let gateway = setup.start();
    let refused = gateway.ask(&post_to("/mcp", &[], initialize("1")));
    assert_eq!((refused.status, &refused.json()["id"]), (401, &json!(1)));
    let metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
    let challenge = refused.header("www-authenticate").expect("it says how to get in");
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains(&format!("resource_metadata=\"{metadata}\"")),
        "{challenge}"
    );
    assert!(challenge.contains("scope=\"mcp:read\""), "{challenge}");
    let document = gateway.ask(&request("GET /.well-known/oauth-protected-resource/mcp", &[], b""));
    let wanted = json!({ "resource": AUDIENCE, "authorization_servers": [ISSUER], "bearer_methods_supported": ["header"],
        "scopes_supported": ["mcp:read", "mcp:admin"] });
    assert_eq!((document.status, document.json()), (200, wanted));
    // A token that lacks a scope: it says which.
    let lacking = gateway.ask(&post_to("/mcp", &[&key.shows(&claims("alice", 60, "other"))], initialize("2")));
    assert_eq!((lacking.status, &lacking.json()["error"]["data"]["reason"]), (403, &json!("insufficient_scope")));
    let challenge = lacking.header("www-authenticate").expect("it says what is missing");
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"mcp:read\""),
        "{challenge}"
    );
    assert_eq!(backend.received().len(), 0);
}

#[test]
fn a_refreshed_token_continues_its_session_and_anothers_does_not() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let (backend, issuer) = (Backend::legacy("b"), Issuer::with(&[&old]));
    let gateway = issuer.setup(&backend).start();
    let alice = Client::open(gateway.addr, &old.shows(&claims("alice", 60, "")));
    assert_eq!(alice.call("echo").status, 200);
    // The issuer changes its key in mid-flow.
    issuer.publish(&[&old, &new]);
    let refreshed = alice.with(&new.shows(&claims("alice", 60, "more")));
    until("the new key is known", || (refreshed.call("echo").status == 200).then_some(()));
    assert_eq!(alice.with(&new.shows(&claims("mallory", 60, ""))).call("echo").status, 404);
    // And withdraws the old one.
    issuer.publish(&[&new]);
    until("the old key is forgotten", || (alice.call("echo").status == 401).then_some(()));
    assert_eq!(refreshed.call("echo").status, 200);
}

#[test]
fn a_stream_ends_with_its_token_and_a_call_does_not() {
    let key = Key::new("a");
    let backend = Backend::new("b", crate::support::backend::Kind::Legacy, |request, stream| {
        (request.tool() == "slow").then(|| {
            std::thread::sleep(std::time::Duration::from_millis(3500));
            let id = &request.json()["id"];
            crate::support::backend::reply(
                stream,
                &json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "done" }] } }),
            )
        })
    });
    let issuer = Issuer::with(&[&key]);
    let gateway = issuer.setup(&backend).start();
    let alice = Client::open(gateway.addr, &key.shows(&claims("alice", 3, "")));
    let [credential, session] = alice.headers();
    let mut stream = Connection::to(gateway.addr);
    stream.send(&request("GET /mcp", &["Accept: text/event-stream", &credential, &session], b""));
    assert_eq!(stream.head().status, 200);
    let caller = alice.clone();
    let call = std::thread::spawn(move || caller.call("slow"));
    assert!(stream.ended_well(), "a clean end");
    assert_eq!(alice.call("echo").status, 401);
    assert_eq!(call.join().expect("the call does not panic").said(), "done", "what was admitted may end");
    // With a new token the stream opens again, in the same session.
    let credential = key.shows(&claims("alice", 60, ""));
    let mut stream = Connection::to(gateway.addr);
    stream.send(&request("GET /mcp", &["Accept: text/event-stream", &credential, &session], b""));
    assert_eq!(stream.head().status, 200);
}

#[test]
fn what_is_no_good_token_opens_nothing() {
    let (key, stranger) = (Key::new("a"), Key::new("a"));
    let (backend, issuer) = (Backend::legacy("b"), Issuer::with(&[&key]));
    let gateway = issuer.setup(&backend).start();
    let good = claims("alice", 60, "");
    let but = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.shows(&claims)
    };
    let head = |head: Value| format!("Authorization: Bearer {}", key.sign(&head, &good));
    let unsigned =
        format!("{}.", key.sign(&json!({ "alg": "none" }), &good).rsplit_once('.').expect("it has three parts").0);
    for (what, credential) in [
        ("algorithm none", format!("Authorization: Bearer {unsigned}")),
        ("algorithm none with a signature", head(json!({ "alg": "none", "kid": "a" }))),
        ("downgraded algorithm", head(json!({ "alg": "HS256", "kid": "a" }))),
        ("another algorithm", head(json!({ "alg": "RS256", "kid": "a" }))),
        ("expired", but("exp", json!(now() - 1))),
        ("without an end", but("exp", Value::Null)),
        ("not yet", but("nbf", json!(now() + 600))),
        ("another issuer", but("iss", json!("https://evil.example.com"))),
        ("for somebody else", but("aud", json!("https://other.example.com"))),
        ("a stranger's key", stranger.shows(&good)),
        ("nonsense", "Authorization: Bearer a.b.c".to_owned()),
    ] {
        let answer = gateway.ask(&post_to("/mcp", &[&credential], initialize("1")));
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        let token = credential.rsplit(' ').next().expect("it has a token");
        assert!(
            !answer.text().contains(token) && !answer.headers.iter().any(|(_, value)| value.contains(token)),
            "{what}"
        );
    }
    assert_eq!(gateway.ask(&post_to("/mcp", &[&key.shows(&good)], initialize("1"))).status, 200);
    assert_eq!(backend.received().len(), 1);
    let log = gateway.log.text() + &gateway.access.text();
    assert!(!log.contains("eyJ"), "a token stands in a log");
}

#[test]
fn rules_tell_which_scope_a_token_lacks() {
    let key = Key::new("a");
    let (backend, issuer) = (Backend::legacy("b"), Issuer::with(&[&key]));
    let rule = "allow = [{ tools = [\"delete_*\"], scopes = [\"mcp:read\", \"mcp:admin\"] }]";
    let gateway = issuer.setup(&backend).key(rule).start();
    let alice = Client::open(gateway.addr, &key.shows(&claims("alice", 60, "mcp:read")));
    let refused = alice.call("delete_all");
    let challenge = refused.header("www-authenticate").expect("it says what is missing");
    assert_eq!(refused.status, 403);
    assert!(
        challenge.contains("scope=\"mcp:read mcp:admin\"") && challenge.contains("resource_metadata="),
        "{challenge}"
    );
    let more = alice.with(&key.shows(&claims("alice", 60, "mcp:read mcp:admin")));
    assert_eq!(more.call("delete_all").status, 200);
}

#[test]
fn servers_can_check_who_moorline_says_is_calling() {
    let key = Key::new("a");
    let (backend, issuer) = (Backend::legacy("b"), Issuer::with(&[&key]));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("identity.pem");
    let pair = Ed25519KeyPair::generate().expect("there is randomness");
    let der = pair.to_pkcs8().expect("a key has this form").as_ref().to_vec();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    std::fs::write(&path, pem).expect("the folder can be written");
    let setup = issuer.setup(&backend).key("auth.identity = \"signed\"");
    let gateway = setup.key(&format!("auth.identity_key_file = {path:?}")).start();
    Client::open(gateway.addr, &key.shows(&claims("alice", 60, "mcp:read"))).call("echo");
    let document = gateway.ask(&request("GET /.well-known/moorline-identity/mcp", &[], b""));
    let published = document.json()["keys"][0]["x"].as_str().map(|x| URL_SAFE_NO_PAD.decode(x));
    assert_eq!(published.and_then(Result::ok).as_deref(), Some(pair.public_key().as_ref()), "{}", document.text());
    let call = backend.wait_for("a call", |received| received.call() == "tools/call");
    let said = call.header("moorline-identity").expect("the server is told").to_owned();
    let (signed, signature) = said.rsplit_once('.').expect("it is signed");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("it is encoded");
    let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
    assert!(public.verify(signed.as_bytes(), &signature).is_ok());
    let told = signed.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).expect("it has claims");
    let told: Value = serde_json::from_slice(&told).expect("they are JSON");
    assert_eq!(
        (&told["sub"], &told["caller_iss"], &told["scope"]),
        (&json!("alice"), &json!(ISSUER), &json!("mcp:read"))
    );
    // Nothing else is there for those who show nothing.
    for line in ["DELETE /.well-known/moorline-identity/mcp", "POST /.well-known/oauth-protected-resource/mcp"] {
        assert_eq!(gateway.ask(&request(line, &[], b"")).status, 405, "{line}");
    }
}
