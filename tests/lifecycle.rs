//! What happens to sessions when something comes or goes: backends, pools, configurations, and the instance itself.

mod support;

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};

use support::backend::{After, Kind};
use support::http::{ask, get, post, post_to};
use support::session::{call, initialize, modern_call};
use support::{Answer, Backend, Connection, Gateway, Session, Setup, now, wait_for};

fn reason(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["error"]["data"]["reason"].clone())
}

/// A legacy backend whose tool `wait` answers when it is told to.
fn patient(name: &str) -> (Backend, Sender<()>) {
    let (go, told) = channel::<()>();
    let told = Mutex::new(told);
    let backend = Backend::new(name, Kind::Legacy, move |request, _| {
        if request.tool() == "wait" {
            // A test that fails says nothing.
            let _ = told.lock().expect("no call panics").recv_timeout(support::DEADLINE);
        }
        None
    });
    (backend, go)
}

/// A session's open notification stream.
fn stream_of(gateway: &Gateway, session: &Session) -> Connection {
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.head().status, 200);
    assert!(stream.event().is_some_and(|event| event.starts_with("retry: ")));
    stream
}

// Going away.

#[test]
fn a_stop_drains() {
    let (backend, go) = patient("a");
    let mut gateway = Setup::of(&[backend.url()]).key("drain.deadline = \"10s\"").start();
    let session = Session::open(gateway.addr);
    let mut stream = stream_of(&gateway, &session);
    let mut waiting = gateway.connect();
    waiting.send(&session.message(call("1", "wait"), &[]));
    backend.wait_for("the call has come", |request| request.tool() == "wait");
    let mut kept = gateway.connect();
    kept.send(&session.message(call("2", "name"), &[]));
    assert_eq!(kept.answer().said(), "a");
    let begun = now();
    gateway.signal("TERM");
    gateway.log.wait(" draining ", 1);
    wait_for("it is not ready", || gateway.admin("/readyz").status == 503);
    assert_eq!(gateway.admin("/livez").status, 200);
    // It says that it goes before it turns anybody away.
    wait_for("it takes no new sessions", || gateway.instance()["phase"] == "closing");
    kept.send(&post(&[], initialize("3")));
    let refused = kept.answer();
    assert_eq!(reason(&refused), (503, json!("draining")));
    assert!(refused.header("retry-after").is_some());
    go.send(()).unwrap();
    assert_eq!(waiting.answer().said(), "a", "what is in flight is answered");
    assert!(stream.rest().contains("retry: "), "the stream says when to come back");
    assert!(stream.ended_well());
    assert!(gateway.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_stop_with_nothing_to_do_is_quick() {
    let backend = Backend::legacy("a");
    let mut gateway = Setup::of(&[backend.url()]).start();
    Session::open(gateway.addr);
    let begun = now();
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_stop_with_an_idle_kept_connection_is_quick() {
    let backend = Backend::legacy("a");
    let mut gateway = Setup::of(&[backend.url()]).start();
    let session = Session::open(gateway.addr);
    let mut kept = gateway.connect();
    kept.send(&session.message(call("2", "name"), &[]));
    assert_eq!(kept.answer().said(), "a");
    let silent = gateway.connect();
    let begun = now();
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop((kept, silent));
}

#[test]
fn during_the_notice_everything_is_served() {
    let backend = Backend::legacy("a");
    let setup = Setup::of(&[backend.url()]).key("drain.notice = \"1500ms\"").key("drain.deadline = \"5s\"");
    let mut gateway = setup.start();
    gateway.signal("TERM");
    gateway.log.wait(" draining ", 1);
    wait_for("it is not ready", || ask(gateway.addr, &get("/readyz", &[])).status == 503);
    assert_eq!(Session::open(gateway.addr).call("name").said(), "a");
    assert!(gateway.wait().success());
}

#[test]
fn a_call_that_outlives_the_deadline_is_told_so() {
    let (backend, _go) = patient("a");
    let mut gateway = Setup::of(&[backend.url()]).key("drain.deadline = \"1s\"").start();
    let session = Session::open(gateway.addr);
    let mut waiting = gateway.connect();
    waiting.send(&session.message(call("1", "wait"), &[]));
    backend.wait_for("the call has come", |request| request.tool() == "wait");
    let begun = now();
    gateway.signal("TERM");
    let answer = waiting.answer();
    assert_eq!((answer.status, &answer.json()["id"]), (502, &json!(1)), "{}", answer.text());
    assert!(gateway.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

// Configurations that come.

#[test]
fn a_reload_by_signal_keeps_sessions() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url()]).start();
    let session = Session::open(gateway.addr);
    let stream = stream_of(&gateway, &session);
    gateway.configure(&Setup::of(&[a.url(), b.url()]).text());
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(session.call("name").said(), "a");
    for _ in 0..10 {
        Session::open(gateway.addr);
    }
    assert!(b.sessions() > 0, "the new backend gets sessions");
    drop(stream);
}

#[test]
fn a_reload_by_a_change_of_the_file_keeps_sessions() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url()]).start();
    let session = Session::open(gateway.addr);
    gateway.configure(&Setup::of(&[a.url(), b.url()]).text());
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(session.call("name").said(), "a");
    assert_eq!(gateway.backends().len(), 2);
}

#[test]
fn a_bad_file_is_refused_and_the_old_one_stays() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let session = Session::open(gateway.addr);
    gateway.configure("[[pool]]\nbackend = [\"http://127.0.0.1:1/mcp\"]\n");
    gateway.signal("HUP");
    gateway.log.wait("the old one stays", 1);
    assert!(gateway.log.text().contains("backends"), "it names the key that was meant:\n{}", gateway.log.text());
    assert_eq!(session.call("name").said(), "a");
    assert_eq!(gateway.backends().len(), 1);
    gateway.configure(&Setup::of(&[backend.url()]).key("refusals = \"jsonrpc\"").text());
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(session.call("name").said(), "a");
    assert_eq!(gateway.ask(&post(&[], "{\"jsonrpc\":\"2.0\",\"id\":1")).status, 200, "the next good file is taken");
}

#[test]
fn a_backend_that_drains_keeps_its_sessions_and_gets_no_new_ones() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url()]).pool_key("rehome = \"never\"").start();
    let session = Session::open(gateway.addr);
    let backends = format!("[{{ url = {:?}, drain = true }}, {:?}]", a.url(), b.url());
    gateway.configure(&Setup::default().pool_of("/mcp", &backends).pool_key("rehome = \"never\"").text());
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
    for _ in 0..10 {
        assert_eq!(Session::open(gateway.addr).call("name").said(), "b");
    }
    assert_eq!(session.call("name").said(), "a");
    assert_eq!((a.sessions(), b.sessions()), (1, 10));
}

#[test]
fn a_backend_that_leaves_the_configuration_takes_its_sessions_along() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url()]).pool_key("rehome = \"never\"").start();
    let session = Session::open(gateway.addr);
    let mut stream = stream_of(&gateway, &session);
    gateway.configure(&Setup::of(&[b.url()]).pool_key("rehome = \"never\"").text());
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(reason(&session.call("name")), (404, json!("session_lost")));
    assert!(stream.ended_well());
    assert_eq!(Session::open(gateway.addr).call("name").said(), "b");
}

// Sessions and pools.

#[test]
fn an_ended_session_is_gone_everywhere() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let (ended, other) = (Session::open(gateway.addr), Session::open(gateway.addr));
    assert_eq!(ended.end().status, 200);
    assert_eq!(reason(&ended.call("name")), (404, json!("session_unknown")));
    assert_eq!(ended.end().status, 404);
    assert_eq!(other.call("name").said(), "a");
    assert_eq!((backend.sessions(), gateway.instance()["sessions"].clone()), (1, json!(1)));
}

#[test]
fn two_pools_keep_to_themselves() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::default().pool("/a", &[a.url()]).pool("/b", &[b.url()]).start();
    let (at_a, at_b) = (Session::open_at(gateway.addr, "/a"), Session::open_at(gateway.addr, "/b"));
    assert_eq!([at_a.call("name").said(), at_b.call("name").said()], ["a", "b"]);
    let foreign = gateway.ask(&post_to("/b", &[&at_a.header()], call("1", "name")));
    assert_eq!(reason(&foreign), (404, json!("session_unknown")));
    assert_eq!(at_a.call("name").said(), "a", "the attempt cost nothing");
}

#[test]
fn servers_without_sessions_are_balanced_by_request() {
    let backends = ["a", "b", "c"].map(Backend::stateless);
    let gateway = Setup::of(&backends.each_ref().map(Backend::url)).start();
    let opened = gateway.ask(&post(&[], initialize("1")));
    assert_eq!((opened.status, opened.header("mcp-session-id")), (200, None));
    for _ in 0..30 {
        assert_eq!(gateway.ask(&post(&[], call("1", "name"))).status, 200);
    }
    let shares: Vec<_> = backends.iter().map(|backend| backend.received().len()).collect();
    assert!(shares.iter().filter(|share| **share > 0).count() >= 2, "{shares:?}");
}

#[test]
fn modern_requests_are_balanced_by_request() {
    let backends = ["a", "b", "c"].map(Backend::modern);
    let gateway = Setup::of(&backends.each_ref().map(Backend::url)).start();
    for _ in 0..30 {
        assert_eq!(gateway.ask(&modern_call("1", "name")).status, 200);
    }
    let shares: Vec<_> = backends.iter().map(|backend| backend.received().len()).collect();
    assert!(shares.iter().filter(|share| **share > 0).count() >= 2, "{shares:?}");
}

// Backends that go.

/// Two backends and a session at each.
fn couple() -> (Gateway, [Backend; 2], [Session; 2]) {
    let backends = ["a", "b"].map(Backend::legacy);
    let gateway = Setup::of(&backends.each_ref().map(Backend::url)).pool_key("rehome = \"never\"").start();
    let sessions = ["a", "b"].map(|name| {
        support::until("a session lies there", || {
            Some(Session::open(gateway.addr)).filter(|session| session.call("name").said() == name)
        })
    });
    (gateway, backends, sessions)
}

#[test]
fn a_session_goes_down_with_its_backend_and_others_do_not_notice() {
    let (gateway, [a, _b], [at_a, at_b]) = couple();
    a.kill();
    assert_eq!(reason(&at_a.call("name")), (404, json!("session_lost")));
    assert_eq!(at_b.call("name").said(), "b");
    for _ in 0..10 {
        assert_eq!(Session::open(gateway.addr).call("name").said(), "b", "new sessions go where somebody is");
    }
}

#[test]
fn a_session_waits_where_there_is_nowhere_to_go() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let session = Session::open(gateway.addr);
    backend.kill();
    for _ in 0..5 {
        let answer = session.call("name");
        assert_eq!(reason(&answer), (503, json!("no_backend")));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(gateway.admin("/livez").status, 200);
}

#[test]
fn the_last_session_waits_when_one_backend_after_the_other_dies() {
    let (_gateway, [a, b], [at_a, at_b]) = couple();
    a.kill();
    assert_eq!(reason(&at_a.call("name")), (404, json!("session_lost")));
    b.kill();
    for _ in 0..3 {
        assert_eq!(reason(&at_b.call("name")), (503, json!("no_backend")), "there is nobody to start over with");
    }
}

#[test]
fn a_backend_that_comes_back_is_used_again() {
    let backend = Backend::legacy("a");
    let addr = backend.addr();
    let setup =
        Setup::of(&[backend.url()]).pool_key("health.every = \"50ms\"").pool_key("health.eject_for = \"100ms\"");
    let gateway = setup
        .pool_key("health.eject_after = 1")
        .pool_key("health.recover_after = 1")
        .pool_key("rehome = \"never\"")
        .start();
    let session = Session::open(gateway.addr);
    backend.kill();
    wait_for("it is found out", || gateway.admin("/readyz").status == 503);
    assert_eq!(session.call("name").status, 503);
    let _again = Backend::at(addr, "again", Kind::Legacy, |_, _| None);
    wait_for("it is back", || gateway.admin("/readyz").status == 200);
    assert_eq!(
        reason(&session.call("name")),
        (404, json!("session_lost")),
        "the server that came back knows no session"
    );
    assert_eq!(Session::open(gateway.addr).call("name").said(), "again");
}

#[test]
fn a_request_that_was_not_executed_is_sent_elsewhere() {
    let backends = ["a", "b"].map(Backend::modern);
    let gateway = Setup::of(&backends.each_ref().map(Backend::url)).start();
    backends[0].kill();
    for _ in 0..20 {
        assert_eq!(gateway.ask(&modern_call("1", "name")).said(), "b");
    }
    let stateless = ["c", "d"].map(Backend::stateless);
    let gateway = Setup::of(&stateless.each_ref().map(Backend::url)).start();
    stateless[0].kill();
    for _ in 0..20 {
        assert_eq!(gateway.ask(&post(&[], call("1", "name"))).said(), "d");
    }
}

#[test]
fn a_request_that_may_have_been_executed_is_not_sent_again() {
    let backends = ["a", "b"].map(|name| {
        Backend::new(name, Kind::Modern, |request, _| (request.call() == "tools/call").then_some(After::Close))
    });
    let gateway = Setup::of(&backends.each_ref().map(Backend::url)).start();
    assert_eq!(gateway.ask(&modern_call("1", "warm-up")).status, 502);
    let answer = gateway.ask(&modern_call("1", "name"));
    assert_eq!(reason(&answer), (502, json!("outcome_unknown")));
    let calls = backends.iter().flat_map(Backend::received).filter(|request| request.tool() == "name").count();
    assert_eq!(calls, 1);
}

#[test]
fn health_is_told_on_both_listeners() {
    let backend = Backend::legacy("a");
    let setup = Setup::of(&[backend.url()]).pool_key("health.every = \"50ms\"");
    let gateway = setup.pool_key("health.eject_after = 1").start();
    for addr in [gateway.addr, gateway.admin] {
        for path in ["/livez", "/readyz", "/health"] {
            assert_eq!(ask(addr, &get(path, &[])).status, 200, "{path}");
        }
    }
    backend.kill();
    for addr in [gateway.addr, gateway.admin] {
        wait_for("it is not ready", || ask(addr, &get("/readyz", &[])).status == 503);
        assert_eq!(ask(addr, &get("/livez", &[])).status, 200);
        assert_eq!(ask(addr, &get("/health", &[])).json()["status"], "no backend");
    }
}
