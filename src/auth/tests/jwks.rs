//! Keys from a server: found, rotated, withdrawn; the server down, slow, or up to no good.

use futures_util::FutureExt as _;

use super::forge::{Key, key_set};
use super::stub::{Manner, Stub};
use super::*;

fn good(keys: &[&Key]) -> Manner {
    Manner::Good(key_set(keys), "")
}

fn at(stub: &Stub) -> AuthSettings {
    jwt(vec![issuer(ISSUER, JwksSource::Url(format!("{}/jwks", stub.url).parse().unwrap()))])
}

/// Fetched again every 20 ms.
fn often(stub: &Stub) -> AuthSettings {
    let mut settings = at(stub);
    let AuthMode::Jwt(jwt) = &mut settings.mode else { panic!("no tokens here") };
    jwt.jwks_refresh = Duration::from_millis(20);
    settings
}

const UNKNOWN: Denied = Denied::Invalid(Flaw::UnknownKey);

#[tokio::test]
async fn the_first_request_waits_for_the_keys() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(Manner::Held(key_set(&[&key]))).await;
    let (_gates, gate) = gates(&clock, hurried(), &at(&stub));
    let token = key.token(&claims(&clock, &json!({})));
    let mut asked = Box::pin(ask(&gate, &token));
    assert!(asked.as_mut().now_or_never().is_none());
    stub.go.notify_one();
    assert_eq!(&*asked.await.unwrap().subject, "ada");
    assert_eq!(stub.asked(), 1);
}

#[tokio::test]
async fn rotated_keys_are_fetched_and_old_ones_withdrawn() {
    let (clock, first, second) = (Clock::manual(), Key::p256("1"), Key::p256("2"));
    let stub = Stub::start(good(&[&first])).await;
    let (_gates, gate) = gates(&clock, hurried(), &at(&stub));
    let (old, new) = (first.token(&claims(&clock, &json!({}))), second.token(&claims(&clock, &json!({}))));
    let streaming = ask(&gate, &old).await.unwrap();
    // Both keys are there for a while, as issuers do it: whoever came under the old one stays.
    stub.behave(good(&[&first, &second]));
    clock.advance(Duration::from_secs(10));
    assert!(ask(&gate, &new).await.is_ok());
    assert!(!streaming.validity.is_revoked());
    assert!(Arc::ptr_eq(&streaming, &ask(&gate, &old).await.unwrap()));
    // The old one is withdrawn: an unknown key makes us look.
    stub.behave(good(&[&second]));
    clock.advance(Duration::from_secs(10));
    assert_eq!(ask(&gate, &Key::p256("3").token(&claims(&clock, &json!({})))).await.err(), Some(UNKNOWN));
    assert!(streaming.validity.ended(clock.now()));
    assert_eq!(ask(&gate, &old).await.err(), Some(UNKNOWN));
    assert!(ask(&gate, &new).await.is_ok());
    assert_eq!(stub.asked(), 3);
}

#[tokio::test]
async fn a_key_of_the_same_name_that_is_another_takes_its_place() {
    let (clock, first, second) = (Clock::manual(), Key::p256("1"), Key::p256("1"));
    let stub = Stub::start(good(&[&first])).await;
    let (_gates, gate) = gates(&clock, hurried(), &often(&stub));
    let streaming = ask(&gate, &first.token(&claims(&clock, &json!({})))).await.unwrap();
    stub.behave(good(&[&second]));
    until(|| streaming.validity.is_revoked()).await;
    assert!(ask(&gate, &second.token(&claims(&clock, &json!({})))).await.is_ok());
}

#[tokio::test]
async fn unknown_keys_are_asked_for_once_in_ten_seconds_and_by_all_together() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(good(&[&key])).await;
    let (_gates, gate) = gates(&clock, hurried(), &at(&stub));
    assert!(ask(&gate, &key.token(&claims(&clock, &json!({})))).await.is_ok());
    let strange = |number: usize| Key::ed25519(&format!("x{number}")).token(&claims(&clock, &json!({})));
    assert_eq!(ask(&gate, &strange(0)).await.err(), Some(UNKNOWN));
    assert_eq!(stub.asked(), 2);
    // Somebody has just asked: nobody waits, nobody asks.
    assert_eq!(ask(&gate, &strange(1)).now_or_never().unwrap().err(), Some(UNKNOWN));
    clock.advance(Duration::from_secs(10));
    stub.behave(Manner::Held(key_set(&[&key])));
    let tokens: Vec<String> = (0..20).map(strange).collect();
    let all = futures_util::future::join_all(tokens.iter().map(|token| ask(&gate, token)));
    let release = async {
        until(|| stub.asked() == 3).await;
        stub.go.notify_one();
    };
    let (outcomes, ()) = futures_util::future::join(all, release).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.err() == Some(UNKNOWN)));
    assert_eq!(stub.asked(), 3);
}

#[tokio::test]
async fn jwks_server_down_from_the_start_is_unavailable() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(Manner::Refuse("500 Internal Server Error")).await;
    let (_gates, gate) = gates(&clock, hurried(), &often(&stub));
    let token = key.token(&claims(&clock, &json!({})));
    assert_eq!(ask(&gate, &token).await.err(), Some(Denied::Unavailable { retry_after: Duration::from_secs(10) }));
    // It is tried again by itself.
    stub.behave(good(&[&key]));
    let back = async {
        while ask(&gate, &token).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.unwrap();
}

#[tokio::test]
async fn jwks_server_down_later_leaves_known_keys_until_they_are_stale() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(good(&[&key])).await;
    let (_gates, gate) = gates(&clock, hurried(), &often(&stub));
    let token = key.token(&claims(&clock, &json!({"exp": clock.unix() + 200_000})));
    let streaming = ask(&gate, &token).await.unwrap();
    stub.behave(Manner::Refuse("503 Service Unavailable"));
    let failed = stub.asked() + 3;
    until(|| stub.asked() >= failed).await;
    clock.advance(Duration::from_secs(86_000));
    let failed = stub.asked() + 3;
    until(|| stub.asked() >= failed).await;
    assert!(ask(&gate, &token).await.is_ok());
    clock.advance(Duration::from_secs(401));
    until(|| streaming.validity.is_revoked()).await;
    assert!(matches!(ask(&gate, &token).await, Err(Denied::Unavailable { .. })));
    stub.behave(good(&[&key]));
    let back = async {
        while ask(&gate, &token).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.unwrap();
}

#[tokio::test]
async fn jwks_server_slow_keeps_no_request_with_a_known_key_waiting() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(good(&[&key])).await;
    let (_gates, gate) = gates(&clock, Pace { wait: Duration::from_millis(50), ..hurried() }, &at(&stub));
    let known = |subject: &str| key.token(&claims(&clock, &json!({"sub": subject})));
    let first = async {
        while ask(&gate, &known("first")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, first).await.unwrap();
    let asked = stub.asked();
    stub.behave(Manner::Silent);
    clock.advance(Duration::from_secs(10));
    let strange = Key::ed25519("x").token(&claims(&clock, &json!({})));
    let mut waiting = Box::pin(ask(&gate, &strange));
    assert!(waiting.as_mut().now_or_never().is_none());
    until(|| stub.asked() > asked).await;
    // The fetch is under way and nothing comes of it; a token that was never seen is verified without a pause.
    assert!(ask(&gate, &known("second")).now_or_never().unwrap().is_ok());
    assert_eq!(waiting.await.err(), Some(UNKNOWN), "the wait is bounded");
}

#[tokio::test]
async fn redirects_floods_and_nonsense_are_no_keys() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let elsewhere = Stub::start(good(&[&key])).await;
    let location: &'static str = format!("302 Found\r\nLocation: {}/jwks", elsewhere.url).leak();
    let flood = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let weak = json!({"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}, {"kty": "oct", "kid": "a", "k": "AQAB"}]});
    let manners = [
        Manner::Refuse(location),
        Manner::Good(flood, ""),
        Manner::Good("[]".into(), ""),
        Manner::Good("{\"keys\":[]}".into(), ""),
        Manner::Good(weak.to_string(), ""),
    ];
    for manner in manners {
        let stub = Stub::start(manner.clone()).await;
        let (_gates, gate) = gates(&clock, hurried(), &at(&stub));
        let outcome = ask(&gate, &key.token(&claims(&clock, &json!({})))).await;
        assert!(matches!(outcome, Err(Denied::Unavailable { .. })), "{outcome:?}");
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn cache_control_counts_within_bounds() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    // Five seconds would be too often: a minute it is, so nothing comes while the test runs.
    let stub = Stub::start(Manner::Good(key_set(&[&key]), "Cache-Control: public, max-age=5\r\n")).await;
    let (_gates, gate) = gates(&clock, hurried(), &often(&stub));
    assert!(ask(&gate, &key.token(&claims(&clock, &json!({})))).await.is_ok());
    let plain = Stub::start(good(&[&key])).await;
    let (_gates, _gate) = gates(&clock, hurried(), &often(&plain));
    until(|| plain.asked() >= 3).await;
    assert_eq!(stub.asked(), 1);
}

#[tokio::test]
async fn keys_are_found_by_the_issuers_metadata() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let keys = Stub::start(good(&[&key])).await;
    let stub = Stub::start(Manner::Silent).await;
    let name = stub.url.clone();
    stub.behave(Manner::Good(json!({"issuer": name, "jwks_uri": format!("{}/k", keys.url)}).to_string(), ""));
    let (_gates, gate) = gates(&clock, hurried(), &jwt(vec![issuer(&name, JwksSource::Discovered)]));
    assert!(ask(&gate, &key.token(&claims(&clock, &json!({"iss": name})))).await.is_ok());
    assert_eq!(
        (stub.paths(), keys.paths()),
        (vec!["/.well-known/oauth-authorization-server".to_owned()], vec!["/k".to_owned()])
    );
    // Where the metadata is another issuer's, its keys are not asked for.
    stub.behave(Manner::Good(json!({"issuer": "http://other", "jwks_uri": format!("{}/k", keys.url)}).to_string(), ""));
    let (_gates, gate) = gates(&clock, hurried(), &jwt(vec![issuer(&name, JwksSource::Discovered)]));
    let outcome = ask(&gate, &key.token(&claims(&clock, &json!({"iss": name})))).await;
    assert!(matches!(outcome, Err(Denied::Unavailable { .. })), "{outcome:?}");
    assert_eq!((stub.paths()[2].as_str(), keys.asked()), ("/.well-known/openid-configuration", 1));
}

#[tokio::test]
async fn keys_in_a_file_are_read_again_when_it_changes() {
    let (clock, first, second) = (Clock::manual(), Key::ed25519("1"), Key::ed25519("2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, key_set(&[&first])).unwrap();
    let (_gates, gate) = gates(&clock, hurried(), &jwt(vec![issuer(ISSUER, JwksSource::File(file.clone()))]));
    let streaming = ask(&gate, &first.token(&claims(&clock, &json!({})))).now_or_never().unwrap().unwrap();
    assert_eq!(ask(&gate, &second.token(&claims(&clock, &json!({})))).now_or_never().unwrap().err(), Some(UNKNOWN));
    replace(&file, "not a set of keys");
    replace(&file, &key_set(&[&second]));
    until(|| streaming.validity.is_revoked()).await;
    assert!(ask(&gate, &second.token(&claims(&clock, &json!({})))).await.is_ok());
}

#[tokio::test]
async fn a_reload_keeps_what_it_does_not_change_and_withdraws_what_is_gone() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(good(&[&key])).await;
    let same = at(&stub);
    let (all, gate) = gates(&clock, hurried(), &same);
    let principal = ask(&gate, &key.token(&claims(&clock, &json!({})))).await.unwrap();
    all.reconfigure(&[(POOL, &same), (PoolId(2), &same)]).unwrap();
    assert!(Arc::ptr_eq(&gate, &all.of(POOL).unwrap()));
    let more = AuthSettings { scopes: vec!["admin".into()], ..same.clone() };
    all.reconfigure(&[(POOL, &more)]).unwrap();
    assert!(all.of(PoolId(2)).is_none());
    let outcome = ask(&all.of(POOL).unwrap(), &key.token(&claims(&clock, &json!({})))).await;
    assert!(matches!(outcome, Err(Denied::InsufficientScope { .. })));
    assert_eq!(stub.asked(), 1, "the keys were kept");
    assert!(!principal.validity.is_revoked());
    all.reconfigure(&[(POOL, &AuthSettings::open())]).unwrap();
    assert!(principal.validity.is_revoked());
    assert!(all.of(POOL).unwrap().is_open());
}

#[tokio::test]
async fn a_reload_that_changes_how_long_keys_are_good_keeps_them() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(good(&[&key])).await;
    let (gates, gate) = gates(&clock, hurried(), &at(&stub));
    let token = key.token(&claims(&clock, &json!({})));
    let streaming = ask(&gate, &token).await.unwrap();
    // The server of the keys is away meanwhile: what is known goes on, though it is asked at once.
    stub.behave(Manner::Refuse("500 Internal Server Error"));
    gates.reconfigure(&[(POOL, &often(&stub))]).unwrap();
    until(|| stub.asked() > 3).await;
    assert!(!streaming.validity.is_revoked());
    assert!(ask(&gates.of(POOL).unwrap(), &token).await.is_ok());
    // And it is fetched as often as the new configuration says.
    let second = Key::ed25519("b");
    stub.behave(good(&[&second]));
    until(|| streaming.validity.is_revoked()).await;
}

#[tokio::test]
async fn pools_that_share_an_issuer_go_by_the_shorter_times() {
    let (clock, key) = (Clock::manual(), Key::ed25519("a"));
    let stub = Stub::start(good(&[&key])).await;
    let gates = Gates::at_pace(clock.clone(), hurried());
    gates.reconfigure(&[(POOL, &at(&stub)), (PoolId(2), &often(&stub))]).unwrap();
    until(|| stub.asked() > 3).await;
    gates.reconfigure(&[(PoolId(2), &often(&stub)), (POOL, &at(&stub))]).unwrap();
    let before = stub.asked();
    until(|| stub.asked() > before + 3).await;
}

#[tokio::test]
async fn a_refused_token_is_not_looked_at_again_until_the_keys_change() {
    let (clock, first, second) = (Clock::manual(), Key::ed25519("a"), Key::ed25519("a"));
    let stub = Stub::start(good(&[&first])).await;
    let (_gates, gate) = gates(&clock, hurried(), &often(&stub));
    let (good_one, forged) = (first.token(&claims(&clock, &json!({}))), second.token(&claims(&clock, &json!({}))));
    let streaming = ask(&gate, &good_one).await.unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&gate, &forged).await.err(), Some(Denied::Invalid(Flaw::Signature)));
    }
    // The key of that name is another one now: what was forged is good at once.
    stub.behave(good(&[&second]));
    until(|| streaming.validity.is_revoked()).await;
    assert!(ask(&gate, &forged).await.is_ok());
    assert_eq!(ask(&gate, &good_one).await.err(), Some(Denied::Invalid(Flaw::Signature)));
    // A time that had not come is looked at each time.
    let early = second.token(&claims(&clock, &json!({"nbf": clock.unix() + 90})));
    assert_eq!(ask(&gate, &early).await.err(), Some(Denied::Invalid(Flaw::NotYet)));
    clock.advance(Duration::from_secs(31));
    assert!(ask(&gate, &early).await.is_ok());
}
