//! Sessions that move while none of their requests is there: on whose word, and who is said to call afterwards.

use crate::support::backend::{Kind, respond};
use crate::support::http::{ask, post_to};
use crate::support::session::initialize;
use crate::support::{Backend, Gateway, Session, Setup, wait_for};
use crate::{ALICE, Client, Keys, shows};

/// `a` takes newcomers, and `b` none.
fn at_first(a: &Backend, b: &Backend) -> String {
    format!("[{:?}, {{ url = {:?}, drain = true }}]", a.url(), b.url())
}

/// From now on it is the other way round, in every pool.
fn turn_around(gateway: &Gateway, setup: &Setup, a: &Backend, b: &Backend) {
    let then = format!("[{{ url = {:?}, drain = true }}, {:?}]", a.url(), b.url());
    gateway.configure(&setup.text().replace(&at_first(a, b), &then));
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
}

#[test]
fn a_callers_session_moves_with_the_callers_own_request_alone() {
    let (a, b, keys) = (Backend::legacy("a"), Backend::legacy("b"), Keys::of(&[ALICE]));
    let auth = format!("auth = {{ mode = \"api_keys\", keys_file = {:?}, identity = \"headers\" }}", keys.path());
    let ours = "service_credential = \"Bearer ours\"";
    let setup = Setup::default().pool_of("/mcp", &at_first(&a, &b)).pool_key(ours).pool_key(&auth);
    let setup = setup.pool_of("/open", &at_first(&a, &b)).pool_key(ours);
    let gateway = setup.start();
    let alice = Client::open(gateway.addr, &shows("alice"));
    let _nobodys = Session::open_at(gateway.addr, "/open");
    turn_around(&gateway, &setup, &a, &b);
    // Pools have their turns in order: when the second one's session has moved, the first one was looked at.
    b.wait_for("nobody's session is rebuilt", |one| one.call() == "notifications/initialized");
    let callers = || {
        let opened = b.received().into_iter().filter(|one| one.call() == "initialize");
        opened.map(|one| one.header("moorline-caller").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(callers(), [None], "the caller's session stays where it is");
    assert_eq!(alice.call("name").said(), "b");
    assert_eq!(callers(), [None, Some("alice".to_owned())]);
}

#[test]
fn a_session_that_is_refused_on_our_word_keeps_no_other_from_moving() {
    let (a, b) = (
        Backend::legacy("a"),
        Backend::new("b", Kind::Legacy, |request, stream| {
            let refused = request.json()["params"]["clientInfo"]["name"] == "refused";
            refused.then(|| respond(stream, 403, &[], "application/json", b"{}"))
        }),
    );
    let setup = Setup::default().pool_of("/mcp", &at_first(&a, &b));
    let gateway = setup.start();
    let refused = initialize("0").replace("\"clientInfo\":{\"name\":\"test\"", "\"clientInfo\":{\"name\":\"refused\"");
    assert_ne!(refused, initialize("0"));
    // Many more than are tried at once, so that no order brings the others to the front.
    for _ in 0..60 {
        assert_eq!(ask(gateway.addr, &post_to("/mcp", &[], &refused)).status, 200);
    }
    let others: Vec<_> = (0..3).map(|_| Session::open(gateway.addr)).collect();
    turn_around(&gateway, &setup, &a, &b);
    wait_for("the others have moved", || b.sessions() == others.len());
}
