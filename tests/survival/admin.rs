//! The admin API of instances that share a Redis: what one is asked of a session that another has opened, and what is answered
//! while the store is not there.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::Redis;
use crate::support::http::{ask, get, request};
use crate::support::{Answer, Backend, Gateway, Session, Setup};
use crate::support_sdk::{eventually, now};

/// What any answer may take, also while Redis does not answer: the API's own five seconds, and what a busy machine adds.
const PROMPT: Duration = Duration::from_secs(9);

struct Two {
    redis: Redis,
    a: Backend,
    b: Backend,
    instances: [Gateway; 2],
}

fn two() -> Two {
    let (redis, a, b) = (Redis::start(), Backend::legacy("a"), Backend::legacy("b"));
    let setup = Setup::of(&[a.url(), b.url()]).key(&format!("store.url = {:?}", redis.url()));
    let instances = [(); 2].map(|()| setup.start());
    for instance in &instances {
        eventually("the store", || (instance.admin("/health").json()["store"] == "well").then_some(()));
    }
    Two { redis, a, b, instances }
}

/// The name of the only session that an instance knows.
fn name(instance: &Gateway) -> String {
    let known = instance.admin("/api/v1/sessions").json();
    assert_eq!(known["sessions"].as_array().map(Vec::len), Some(1), "{known}");
    known["sessions"][0]["id"].as_str().expect("it has a name").to_owned()
}

fn send(instance: &Gateway, line: &str) -> Answer {
    ask(instance.admin, &request(line, &["Content-Type: application/json"], b""))
}

fn reason(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["reason"].clone())
}

#[test]
fn an_instance_shows_moves_and_ends_a_session_that_another_has_opened() {
    let Two { redis: _redis, a, b, instances: [one, other] } = two();
    let session = Session::open(one.addr);
    let mut stream = one.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.head().status, 200);
    let id = name(&one);
    let path = format!("/api/v1/sessions/{id}");
    assert_eq!(other.admin("/api/v1/sessions").json()["sessions"], json!([]), "it has not met it");
    let seen = other.admin(&path).json();
    assert_eq!((&seen["known_here"], &seen["journal"]["client"]["name"]), (&json!(false), &json!("test")), "{seen}");
    assert_eq!(other.admin("/api/v1/sessions").json()["sessions"], json!([]), "to look at it makes it known to nobody");
    let before = session.call("name").said();
    let moved = send(&other, &format!("POST {path}/move"));
    assert_eq!((moved.status, &moved.json()["epoch"]), (200, &json!(1)), "{}", moved.text());
    eventually("the first instance has heard of it", || (session.call("name").said() != before).then_some(()));
    assert_eq!(send(&other, &format!("DELETE {path}")).status, 200);
    eventually("the first instance has heard of it", || (session.call("name").status == 404).then_some(()));
    assert!(stream.ended_well(), "its stream at the first instance ends in good order");
    assert_eq!(reason(&one.admin(&path)), (404, json!("session_ended")));
    eventually("its server has", || (if before == "a" { &b } else { &a }.sessions() == 0).then_some(()));
}

#[test]
fn while_redis_does_not_answer_nobody_waits_for_long() {
    let Two { redis, a: _a, b: _b, instances: [one, _other] } = two();
    let session = Session::open(one.addr);
    let known = name(&one);
    redis.freeze();
    let unknown = "0123456789abcdef0123456789abcdef";
    for (line, expected) in [
        (format!("GET /api/v1/sessions/{unknown}"), Some((503, json!("store_away")))),
        (format!("DELETE /api/v1/sessions/{unknown}"), Some((503, json!("store_away")))),
        // Whoever knows a session moves it alone, and tells the store when that is back.
        (format!("POST /api/v1/sessions/{known}/move"), Some((200, Value::Null))),
        ("POST /api/v1/keys/rotate".to_owned(), None),
        (format!("GET /api/v1/sessions/{known}"), None),
        ("GET /api/v1/limits".to_owned(), None),
        ("GET /api/v1/instance".to_owned(), None),
        ("GET /api/v1/instances".to_owned(), None),
        ("GET /api/v1/sessions".to_owned(), None),
        ("GET /api/v1/backends".to_owned(), None),
    ] {
        let began = now();
        let answer = send(&one, &line);
        assert!(began.elapsed() < PROMPT, "{line} took {:?}", began.elapsed());
        match expected {
            Some(expected) => assert_eq!(reason(&answer), expected, "{line}"),
            None => assert!(matches!(answer.status, 200 | 204 | 503), "{line}: {} {}", answer.status, answer.text()),
        }
    }
    let shown = ask(one.admin, &get(&format!("/api/v1/sessions/{known}"), &[])).json();
    assert_eq!(shown["id"], known.as_str(), "what is known here is shown without the store");
    assert_eq!(one.instance()["store"]["away"], true);
    redis.thaw();
    assert_eq!(session.call("name").status, 200);
    eventually("it is back", || (one.instance()["store"]["away"] == false).then_some(()));
    eventually("orders are done again", || (send(&one, "POST /api/v1/keys/rotate").status == 204).then_some(()));
}
