//! Sessions that move while none of their requests is there: on whose word, and who is said to call afterwards.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::backend::{After, Kind, Received, chunk, open_stream, reply, respond};
use crate::support::http::{Connection, ask, post_to};
use crate::support::session::{initialize, modern};
use crate::support::{Backend, Gateway, Session, Setup, until, wait_for};
use crate::{ALICE, BOB, Client, Keys, shows};

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

/// A server whose answer to a read begins, and never ends.
fn stuck(name: &str) -> Backend {
    Backend::new(name, Kind::Legacy, |request, stream| {
        (request.call() == "resources/read").then(|| {
            open_stream(stream, &[]);
            chunk(stream, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n");
            After::AwaitHangup
        })
    })
}

#[test]
fn what_a_revoked_caller_waits_for_is_not_asked_once_more() {
    let (a, b, keys) = (stuck("a"), Backend::legacy("b"), Keys::of(&[ALICE, BOB]));
    let setup = |backends: &str| {
        let auth = format!("auth = {{ mode = \"api_keys\", keys_file = {:?}, identity = \"headers\" }}", keys.path());
        Setup::default().pool_of("/mcp", backends).pool_key(&auth)
    };
    let gateway = setup(&at_first(&a, &b)).start();
    let clients = ["alice", "bob"].map(|name| Client::open(gateway.addr, &shows(name)));
    let mut reads = clients.clone().map(|client| {
        let [credential, session] = client.headers();
        let read = json!({ "jsonrpc": "2.0", "id": 4, "method": "resources/read", "params": { "uri": "x" } });
        let mut connection = Connection::to(gateway.addr);
        connection.send(&post_to("/mcp", &[&credential, &session], read.to_string()));
        assert_eq!(connection.head().status, 200);
        assert!(connection.event().is_some_and(|event| event.contains("notifications/message")));
        connection
    });
    gateway.configure(&setup(&format!("[{:?}, {:?}]", a.url(), b.url())).text());
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
    keys.write(&[BOB]);
    until("the key is refused", || (clients[0].call("name").status == 401).then_some(()));
    a.kill();
    let event = reads[1].event().expect("the response to the other caller");
    assert!(event.contains("\"result\""), "{event}");
    let event = reads[0].event().expect("a response");
    assert!(event.contains("\"id\":4") && event.contains("unauthenticated"), "{event}");
    let callers: Vec<_> =
        b.received().iter().filter_map(|one| one.header("moorline-caller").map(str::to_owned)).collect();
    assert!(!callers.is_empty() && callers.iter().all(|caller| caller == "bob"), "{callers:?}");
}

/// A private key in PKCS #8 and PEM.
fn signing_key() -> tempfile::NamedTempFile {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key can be made");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(pair.serialize_pem().as_bytes()).expect("the file can be written");
    file
}

#[test]
fn a_joined_stream_is_opened_again_under_a_new_signature() {
    let (backend, keys) = (
        Backend::new("b", Kind::Modern, |request, stream| {
            (request.call() == "subscriptions/listen").then(|| {
                let params = json!({ "notifications": { "toolsListChanged": true },
                    "_meta": { "io.modelcontextprotocol/subscriptionId": request.json()["id"] } });
                let acknowledged =
                    json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params });
                open_stream(stream, &[]);
                chunk(stream, &format!("data: {acknowledged}\n\n"));
                After::Close
            })
        }),
        Keys::of(&[ALICE]),
    );
    let key = signing_key();
    let setup = keys.setup(&[&backend]).key("auth.identity = \"signed\"");
    let gateway = setup.key(&format!("auth.identity_key_file = {:?}", key.path())).pool_key("watch = false").start();
    let mut listening = gateway.connect();
    let filter = "\"notifications\":{\"toolsListChanged\":true}";
    listening.send(&modern("/mcp", &[&shows("alice")], ("1", "subscriptions/listen"), filter));
    assert_eq!(listening.head().status, 200);
    let signed = until("it is opened again", || {
        let listens = |one: &Received| one.call() == "subscriptions/listen";
        let opened: Vec<_> = backend.received().into_iter().filter(listens).collect();
        let signed: Vec<_> = opened.iter().map(|one| one.header("moorline-identity").map(str::to_owned)).collect();
        (signed.len() >= 3).then_some(signed)
    });
    // It says by the second when it was signed, and the second time is at least a second later.
    assert!(signed.iter().all(Option::is_some), "{signed:?}");
    assert_ne!(signed.first(), signed.last());
}

#[test]
fn the_state_of_a_call_is_its_callers_alone() {
    let (backend, keys) = (
        Backend::new("b", Kind::Modern, |request, stream| {
            let params = &request.json()["params"];
            let result = match params["requestState"].as_str() {
                None => json!({ "resultType": "input_required", "inputRequests": {}, "requestState": "of-alice" }),
                Some(state) => json!({ "content": [{ "type": "text", "text": state }] }),
            };
            (request.tool() == "asks")
                .then(|| reply(stream, &json!({ "jsonrpc": "2.0", "id": request.json()["id"], "result": result })))
        }),
        Keys::of(&[ALICE, BOB]),
    );
    let gateway = keys.setup(&[&backend]).start();
    let call = |name: &str, state: Option<&str>| {
        let state = state.map(|state| format!(",\"inputResponses\":{{}},\"requestState\":\"{state}\""));
        let params = format!("\"name\":\"asks\",\"arguments\":{{}}{}", state.unwrap_or_default());
        gateway.ask(&modern("/mcp", &[&shows(name)], ("1", "tools/call"), &params))
    };
    let asked: Value = call("alice", None).json();
    let state = asked["result"]["requestState"].as_str().expect("a state");
    assert_ne!(state, "of-alice");
    assert_eq!(call("bob", Some(state)).said(), state, "it is not opened for somebody else");
    assert_eq!(call("alice", Some(state)).said(), "of-alice");
}
