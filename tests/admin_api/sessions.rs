//! Sessions: listed, looked at, ended and moved.

use serde_json::{Value, json};

use crate::support::http::{ask, get};
use crate::support::{Backend, Gateway, Session, Setup, wait_for};
use crate::{only, problem, send};

/// Two backends, and a session at the first, which a configuration without the second has put there.
struct Pair {
    gateway: Gateway,
    a: Backend,
    b: Backend,
    session: Session,
    id: String,
}

impl Pair {
    fn new(pool: &[&str]) -> Self {
        let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
        let setup = |backends: &str| {
            let setup = Setup::default().pool_of("/mcp", backends);
            pool.iter().fold(setup, |setup, key| setup.pool_key(key))
        };
        let gateway = setup(&format!("[{:?}, {{ url = {:?}, drain = true }}]", a.url(), b.url())).start();
        let session = Session::open(gateway.addr);
        gateway.configure(&setup(&format!("[{:?}, {:?}]", a.url(), b.url())).text());
        assert_eq!(send(&gateway, "POST /api/v1/reload", "").status, 200);
        let id = only(&listed(&gateway, ""))["id"].as_str().expect("it has an id").to_owned();
        Self { gateway, a, b, session, id }
    }

    fn backend(&self, which: usize) -> String {
        self.gateway.backends()[which]["id"].as_str().expect("it has an id").to_owned()
    }

    fn relocate(&self, body: &Value) -> crate::support::Answer {
        self.gateway.order(&format!("/api/v1/sessions/{}/move", self.id), &body.to_string())
    }

    fn end(&self) -> crate::support::Answer {
        send(&self.gateway, &format!("DELETE /api/v1/sessions/{}", self.id), "")
    }
}

fn listed(gateway: &Gateway, query: &str) -> Value {
    gateway.admin(&format!("/api/v1/sessions{query}")).json()["sessions"].clone()
}

#[test]
fn sessions_are_listed_page_by_page_in_the_order_of_their_names() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let _sessions: Vec<_> = (0..7).map(|_| Session::open(gateway.addr)).collect();
    let (mut after, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = gateway.admin(&format!("/api/v1/sessions?most=3{after}")).json();
        assert_eq!(page["known"], 7);
        seen.extend(page["sessions"].as_array().expect("a list").iter().map(|one| one["id"].to_string()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!((seen.len(), pages), (7, 3));
    assert!(seen.is_sorted(), "{seen:?}");
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[test]
fn sessions_are_found_by_backend_pool_and_caller() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url()]).pool_of("/other", &format!("[{:?}]", b.url())).start();
    let _here = Session::open(gateway.addr);
    let _there = Session::open_at(gateway.addr, "/other");
    let backend = gateway.backends()[1]["id"].as_str().expect("it has an id").to_owned();
    let found = only(&listed(&gateway, &format!("?backend={backend}")));
    assert_eq!((&found["pool"], &found["backend"]["id"]), (&json!("other"), &json!(backend)));
    assert_eq!((&found["epoch"], &found["caller"]), (&json!(0), &json!("127.0.0.1")));
    assert_eq!(only(&listed(&gateway, "?pool=other"))["id"], found["id"]);
    assert_eq!(listed(&gateway, "?caller=127.0.0.1").as_array().map(Vec::len), Some(2));
    assert_eq!(listed(&gateway, "?caller=127.0.0.2"), json!([]));
}

#[test]
fn one_session_is_shown_with_its_journal_but_without_what_was_said() {
    let pair = Pair::new(&[]);
    let subscribe =
        json!({"jsonrpc": "2.0", "id": 5, "method": "resources/subscribe", "params": {"uri": "file:///secret"}});
    assert_eq!(pair.session.send(subscribe.to_string(), &["Authorization: Bearer s3cret"]).status, 200);
    let mut stream = pair.gateway.connect();
    stream.send(&pair.session.listen(&[]));
    assert_eq!(stream.head().status, 200);
    let answer = pair.gateway.admin(&format!("/api/v1/sessions/{}", pair.id));
    let said = answer.json();
    assert_eq!((&said["era"], &said["protocol_version"]), (&json!("legacy"), &json!("2025-11-25")), "{said}");
    assert_eq!((&said["open_streams"], &said["in_flight"]), (&json!(1), &json!(0)), "{said}");
    assert_eq!((&said["known_here"], &said["opened"]), (&json!(true), &json!("openly")), "{said}");
    assert_eq!(said["journal"]["client"], json!({"name": "test", "version": "1"}), "{said}");
    assert_eq!(
        (&said["journal"]["subscriptions"], &said["journal"]["initialized"]),
        (&json!(1), &json!(true)),
        "{said}"
    );
    assert!(said["immovable"].is_null(), "{said}");
    for private in ["s3cret", "secret", &pair.session.id, "a-0000"] {
        assert!(!answer.text().contains(private), "{private}: {said}");
    }
}

#[test]
fn an_operator_ends_a_session_as_its_client_would() {
    let pair = Pair::new(&[]);
    let mut stream = pair.gateway.connect();
    stream.send(&pair.session.listen(&[]));
    assert_eq!(stream.head().status, 200);
    assert_eq!(pair.end().json(), json!({"id": pair.id, "backend": "told"}));
    assert!(stream.ended_well(), "a clean end");
    wait_for("its backend has heard of it", || pair.a.sessions() == 0);
    let call = pair.session.call("name");
    assert_eq!((call.status, &call.json()["error"]["data"]["reason"]), (404, &json!("session_unknown")));
    assert_eq!(problem(&pair.end()), (404, "session_ended".into()));
    assert_eq!(problem(&pair.gateway.admin(&format!("/api/v1/sessions/{}", pair.id))), (404, "session_ended".into()));
    assert_eq!(listed(&pair.gateway, ""), json!([]));
}

#[test]
fn what_only_its_client_could_end_is_left_to_its_backend() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let mut connection = gateway.connect();
    let body = crate::support::session::initialize("0");
    connection.send(&crate::support::http::post(&["Authorization: Bearer own"], body));
    assert_eq!(connection.answer().status, 200);
    let id = only(&listed(&gateway, ""))["id"].as_str().expect("it has an id").to_owned();
    let said = gateway.admin(&format!("/api/v1/sessions/{id}")).json();
    assert_eq!((&said["opened"], &said["immovable"]["reason"]), (&json!("with_credentials"), &json!("no_credentials")));
    let moved = gateway.order(&format!("/api/v1/sessions/{id}/move"), "");
    assert_eq!(problem(&moved), (409, "no_credentials".into()));
    assert_eq!(send(&gateway, &format!("DELETE /api/v1/sessions/{id}"), "").json()["backend"], "left");
    assert_eq!(backend.sessions(), 1);
}

#[test]
fn an_operator_moves_a_session_to_the_backend_of_his_choice() {
    let pair = Pair::new(&[]);
    let (a, b) = (pair.backend(0), pair.backend(1));
    let moved = pair.relocate(&json!({ "backend": b }));
    assert_eq!(moved.status, 200, "{}", moved.text());
    let said = moved.json();
    assert_eq!((&said["from"]["id"], &said["to"]["id"], &said["epoch"]), (&json!(a), &json!(b), &json!(1)));
    assert_eq!(pair.session.call("name").said(), "b");
    assert_eq!(problem(&pair.relocate(&json!({ "backend": b }))), (409, "there_already".into()));
    let back = pair.relocate(&json!({})).json();
    assert_eq!((&back["to"]["id"], &back["epoch"]), (&json!(a), &json!(2)));
    assert_eq!(pair.session.call("name").said(), "a");
}

#[test]
fn an_open_stream_follows_a_session_that_is_moved() {
    let pair = Pair::new(&[]);
    let mut stream = pair.gateway.connect();
    stream.send(&pair.session.listen(&[]));
    assert_eq!(stream.head().status, 200);
    assert_eq!(pair.relocate(&json!({})).status, 200);
    pair.b.wait_for("its stream has followed", |one| one.method == "GET");
}

#[test]
fn a_session_that_cannot_be_moved_stays_and_it_is_said_why() {
    let pair = Pair::new(&[]);
    let refused = |body: &Value| problem(&pair.relocate(body));
    assert_eq!(refused(&json!({"backend": "0123456789abcdef"})), (404, "unknown_backend".into()));
    let mut call = pair.gateway.connect();
    call.send(&pair.session.message(crate::support::session::call("1", "hang"), &[]));
    pair.a.wait_for("it is called", |one| one.tool() == "hang");
    assert_eq!(refused(&json!({})), (409, "busy".into()));
    drop(call);
    wait_for("it is quiet", || only(&listed(&pair.gateway, ""))["in_flight"] == 0);
    let b = pair.backend(1);
    assert_eq!(send(&pair.gateway, &format!("POST /api/v1/backends/{b}/drain"), "").status, 200);
    assert_eq!(refused(&json!({ "backend": b })), (409, "backend_unfit".into()));
    assert_eq!(refused(&json!({})), (409, "nobody".into()));
    assert_eq!(pair.session.call("name").said(), "a");
}

#[test]
fn a_session_that_others_cannot_take_is_not_ended_by_an_order() {
    let hook = |request: &crate::support::Received, stream: &mut std::net::TcpStream| {
        // It promises less than the other one.
        (request.call() == "initialize").then(|| {
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "b", "version": "1"}});
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let id = ("Mcp-Session-Id", "b-1");
            crate::support::backend::respond(stream, 200, &[id], "application/json", body.as_bytes())
        })
    };
    let a = Backend::legacy("a");
    let b = Backend::new("b", crate::support::backend::Kind::Legacy, hook);
    let setup = |drained: &str| {
        let backends = format!("[{:?}, {{ url = {:?}, drain = {drained} }}]", a.url(), b.url());
        Setup::default().pool_of("/mcp", &backends)
    };
    let gateway = setup("true").start();
    let session = Session::open(gateway.addr);
    gateway.configure(&setup("false").text());
    assert_eq!(send(&gateway, "POST /api/v1/reload", "").status, 200);
    let id = only(&listed(&gateway, ""))["id"].as_str().expect("it has an id").to_owned();
    let moved = gateway.order(&format!("/api/v1/sessions/{id}/move"), "{}");
    assert_eq!(problem(&moved), (409, "unequal".into()));
    assert_eq!(session.call("name").said(), "a");
}

#[test]
fn a_pool_that_moves_nobody_moves_nobody_for_an_operator() {
    let pair = Pair::new(&["rehome = \"never\""]);
    assert_eq!(problem(&pair.relocate(&json!({}))), (409, "rehome_never".into()));
}

#[test]
fn after_a_restart_a_session_is_known_by_what_the_disk_store_holds() {
    let backend = Backend::legacy("a");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let setup = Setup::of(&[backend.url()]).key(&format!("store.url = \"disk:{}\"", folder.path().display()));
    let mut gateway = setup.start();
    let session = Session::open(gateway.addr);
    let id = only(&listed(&gateway, ""))["id"].clone();
    gateway.signal("TERM");
    gateway.wait();
    let gateway = setup.start();
    let before = only(&listed(&gateway, ""));
    assert_eq!((&before["id"], before.get("caller")), (&id, None), "nobody has asked yet");
    assert_eq!(session.at(gateway.addr).call("name").status, 200);
    assert_eq!(only(&listed(&gateway, ""))["caller"], "127.0.0.1");
    assert_eq!(
        ask(gateway.admin, &get(&format!("/api/v1/sessions/{}", id.as_str().unwrap_or_default()), &[])).status,
        200
    );
}
