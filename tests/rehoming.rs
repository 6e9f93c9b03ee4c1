//! Sessions that move: what the next backend is told, what the client notices, and what must never happen. Servers here do
//! exactly what each test needs; the same with real servers, clients and stores is in `survival`.

mod support;

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use support::backend::{After, Kind, Received, chunk, fault, open_stream, respond};
use support::session::{call, initialize};
use support::{Answer, Backend, Connection, Gateway, Session, Setup, ask, until, wait_for};

/// Two backends, and a session at the first, which a configuration without the second has put there.
struct Pair {
    gateway: Gateway,
    a: Backend,
    b: Backend,
    session: Session,
}

impl Pair {
    fn new(pool: &[&str]) -> Self {
        Self::of(Backend::legacy("a"), Backend::legacy("b"), pool)
    }

    fn of(a: Backend, b: Backend, pool: &[&str]) -> Self {
        let setup = |backends: &str| {
            let setup = Setup::default().pool_of("/mcp", backends);
            pool.iter().fold(setup, |setup, key| setup.pool_key(key))
        };
        let gateway = setup(&format!("[{:?}, {{ url = {:?}, drain = true }}]", a.url(), b.url())).start();
        let session = Session::open(gateway.addr);
        gateway.configure(&setup(&format!("[{:?}, {:?}]", a.url(), b.url())).text());
        gateway.signal("HUP");
        gateway.log.wait("configuration reloaded", 1);
        Self { gateway, a, b, session }
    }

    fn stream(&self, more: &[&str]) -> Connection {
        let mut stream = self.gateway.connect();
        stream.send(&self.session.listen(more));
        assert_eq!(stream.event_after_head(), "retry: 2000");
        stream
    }

    /// What the second backend was told, in order: JSON-RPC methods, else HTTP's.
    fn told(&self) -> Vec<String> {
        let name = |one: &Received| if one.call().is_empty() { one.method.clone() } else { one.call() };
        self.b.received().iter().map(name).collect()
    }
}

trait FirstEvent {
    fn event_after_head(&mut self) -> String;
}

impl FirstEvent for Connection {
    fn event_after_head(&mut self) -> String {
        assert_eq!(self.head().status, 200);
        self.event().expect("a first event").trim().to_owned()
    }
}

fn request(id: u32, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn reason(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["error"]["data"]["reason"].clone())
}

// What is replayed.

#[test]
fn the_whole_journal_is_replayed_and_the_client_notices_nothing() {
    let pair = Pair::new(&[]);
    let session = &pair.session;
    for (method, params) in [
        ("logging/setLevel", json!({"level": "warning"})),
        ("resources/subscribe", json!({"uri": "demo://one"})),
        ("resources/subscribe", json!({"uri": "demo://\"two\""})),
        ("resources/subscribe", json!({"uri": "demo://three"})),
        ("resources/unsubscribe", json!({"uri": "demo://three"})),
    ] {
        assert_eq!(session.send(request(5, method, &params), &[]).status, 200);
    }
    pair.a.kill();
    let answer = session.send(call("7", "session"), &["Authorization: Bearer own"]);
    assert_eq!((answer.status, answer.said()), (200, "b-00000001".to_owned()));
    assert_eq!(
        answer.header("mcp-session-id"),
        Some(session.id.as_str()),
        "the client's id stays, the backend's never shows"
    );
    assert_eq!(
        pair.told(),
        [
            "initialize",
            "notifications/initialized",
            "logging/setLevel",
            "resources/subscribe",
            "resources/subscribe",
            "tools/call"
        ]
    );
    let received = pair.b.received();
    let sent: Value = serde_json::from_str(&initialize("0")).unwrap();
    assert_eq!(received[0].json()["params"], sent["params"], "as the client wrote it");
    assert_eq!(received[2].json()["params"], json!({"level": "warning"}));
    let mut subscribed: Vec<_> = received[3..5].iter().map(|one| one.json()["params"]["uri"].clone()).collect();
    subscribed.sort_by_key(ToString::to_string);
    assert_eq!(subscribed, [json!("demo://\"two\""), json!("demo://one")]);
    let stable = pair.a.received()[1].header("moorline-session").unwrap().to_owned();
    for one in &received {
        assert_eq!(one.header("moorline-session"), Some(stable.as_str()), "{}", one.call());
        assert_eq!(
            one.header("authorization"),
            Some("Bearer own"),
            "with the credentials of the request that set it off"
        );
        assert_eq!(one.header("accept"), Some("application/json, text/event-stream"));
    }
    assert!(received[1..].iter().all(|one| one.header("mcp-session-id") == Some("b-00000001")));
    assert_eq!(session.call("name").said(), "b", "and it stays there");
    assert_eq!(pair.told().len(), 7);
}

#[test]
fn a_backend_that_forgot_is_given_the_session_anew() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let session = Session::open(gateway.addr);
    backend.forget();
    assert_eq!(session.call("session").said(), "a-00000002");
    assert_eq!(session.call("session").said(), "a-00000002");
}

#[test]
fn of_many_requests_exactly_one_does_the_work() {
    let pair = Pair::new(&[]);
    pair.a.kill();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| pair.session.call("session").said())).collect();
        for call in calls {
            assert_eq!(call.join().unwrap(), "b-00000001");
        }
    });
    assert_eq!(pair.told().iter().filter(|call| *call == "initialize").count(), 1);
}

#[test]
fn a_session_can_move_again_and_back() {
    let pair = Pair::new(&[]);
    pair.a.forget();
    pair.b.forget();
    let addr = pair.a.addr();
    pair.a.kill();
    assert_eq!(pair.session.call("name").said(), "b");
    let again = until("the port is free", || {
        std::net::TcpListener::bind(addr).ok().map(|held| {
            drop(held);
            Backend::at(addr, "again", Kind::Legacy, |_, _| None)
        })
    });
    wait_for("it is found", || pair.gateway.backends().iter().all(|backend| backend["state"] == "up"));
    pair.b.kill();
    assert_eq!(pair.session.call("name").said(), "again");
    assert_eq!(again.received().iter().filter(|one| one.call() == "initialize").count(), 1);
}

#[test]
fn servers_that_share_their_sessions_are_asked_to_go_on() {
    let shared = Backend::new("b", Kind::Legacy, |request, stream| {
        let known = request.header("mcp-session-id") == Some("a-00000001");
        (known && request.call() == "ping").then(|| {
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {}}).to_string();
            respond(stream, 200, &[], "application/json", body.as_bytes())
        })
    });
    let pair = Pair::of(Backend::legacy("a"), shared, &["rehome = \"resume\""]);
    pair.a.kill();
    // The scripted server knows the session for a ping alone, so the call itself is answered by its second berth there.
    assert_eq!(pair.session.call("name").said(), "b");
    assert_eq!(pair.told()[0], "ping");
}

#[test]
fn a_server_that_does_not_know_the_session_is_given_it_anew_after_all() {
    let pair = Pair::new(&["rehome = \"resume\""]);
    pair.a.kill();
    assert_eq!(pair.session.call("session").said(), "b-00000001");
    assert_eq!(pair.told()[..2], ["ping", "initialize"]);
}

// What may be sent twice.

fn hanging_up(name: &str) -> Backend {
    Backend::new(name, Kind::Legacy, |request, _| {
        matches!(request.call().as_str(), "tools/call" | "tools/list").then_some(After::AwaitHangup)
    })
}

#[test]
fn a_call_that_may_have_run_is_not_run_again_and_the_session_lives() {
    let pair = Pair::of(hanging_up("a"), Backend::legacy("b"), &[]);
    let mut connection = pair.gateway.connect();
    connection.send(&pair.session.message(call("\"c-9\"", "buy"), &[]));
    pair.a.wait_for("the call has arrived", |request| request.call() == "tools/call");
    pair.a.kill();
    let answer = connection.answer();
    assert_eq!(reason(&answer), (502, json!("outcome_unknown")));
    assert_eq!(answer.json()["id"], json!("c-9"));
    assert_eq!(pair.session.call("name").said(), "b");
    assert_eq!(pair.told().iter().filter(|call| *call == "tools/call").count(), 1);
}

#[test]
fn what_may_run_twice_is_answered_by_another() {
    let pair = Pair::of(hanging_up("a"), Backend::legacy("b"), &[]);
    let mut connection = pair.gateway.connect();
    connection.send(&pair.session.message(request(3, "tools/list", &json!({})), &[]));
    pair.a.wait_for("it has arrived", |request| request.call() == "tools/list");
    pair.a.kill();
    let answer = connection.answer();
    assert_eq!((answer.status, answer.json()["id"].clone()), (200, json!(3)));
    assert_eq!(pair.told().last().map(String::as_str), Some("tools/list"));
}

#[test]
fn a_read_that_breaks_off_in_its_stream_goes_on_elsewhere() {
    let a = Backend::new("a", Kind::Legacy, |request, stream| {
        (request.call() == "resources/read").then(|| {
            open_stream(stream, &[]);
            chunk(
                stream,
                "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n",
            );
            After::AwaitHangup
        })
    });
    let pair = Pair::of(a, Backend::legacy("b"), &[]);
    let mut connection = pair.gateway.connect();
    connection.send(&pair.session.message(request(4, "resources/read", &json!({"uri": "x"})), &[]));
    assert!(connection.event_after_head().contains("notifications/message"));
    pair.a.kill();
    let event = connection.event().expect("the response");
    assert!(event.contains("\"id\":4") && event.contains("\"result\""), "{event}");
    assert!(connection.ended_well());
}

// Streams.

/// A server whose GET stream says one thing, with an event id, and stands.
fn talking(name: &'static str, said: &'static str) -> Backend {
    Backend::new(name, Kind::Legacy, move |request, stream: &mut TcpStream| {
        (request.method == "GET" && request.header("mcp-session-id").is_some_and(|id| id.starts_with(name))).then(
            || {
                open_stream(stream, &[]);
                chunk(stream, said);
                After::AwaitHangup
            },
        )
    })
}

#[test]
fn an_open_stream_stays_open_while_its_session_moves() {
    let a = talking("a", "id: e1\nevent: message\ndata: {\"id\":4,\"method\":\"roots/list\"}\n\n");
    let b = talking("b", "id: e1\nevent: message\ndata: {\"id\":4,\"method\":\"roots/list\"}\n\n");
    let pair = Pair::of(a, b, &[]);
    let mut stream = pair.stream(&["Authorization: Bearer streams"]);
    assert_eq!(stream.event().unwrap(), "id: e1\nevent: message\ndata: {\"id\":4,\"method\":\"roots/list\"}");
    pair.a.kill();
    let event = stream.event().expect("the new backend's event on the same stream");
    assert!(event.starts_with("id: moor~") && event.contains("~e1\n"), "{event}");
    assert!(event.contains("\"id\":\"moor~"), "{event}");
    assert_eq!(pair.told(), ["initialize", "notifications/initialized", "GET"], "at once, without any other request");
    let received = pair.b.received();
    assert!(received.iter().all(|one| one.header("authorization") == Some("Bearer streams")));
    assert_eq!(received[2].header("last-event-id"), None, "an id of the old berth means nothing here");
    assert_eq!(pair.session.call("name").said(), "b");
}

#[test]
fn a_stream_follows_a_session_that_a_request_has_moved() {
    let pair = Pair::of(Backend::legacy("a"), talking("b", "data: {\"method\":\"notifications/hello\"}\n\n"), &[]);
    let mut stream = pair.stream(&[]);
    pair.a.wait_for("the stream is opened", |request| request.method == "GET");
    pair.a.forget();
    // The old server goes on holding the stream; it has only lost its sessions.
    let answer = pair.session.call("name").said();
    if answer == "a" {
        // Rebuilt where it was: the stream is opened there anew.
        until("a second GET", || {
            (pair.a.received().iter().filter(|one| one.method == "GET").count() == 2).then_some(())
        });
        return;
    }
    assert!(stream.event().expect("an event").contains("hello"));
}

#[test]
fn a_stream_waits_for_a_backend_and_goes_on() {
    let backend = Backend::legacy("a");
    let addr = backend.addr();
    let gateway = Setup::of(&[backend.url()]).pool_key("health.every = \"50ms\"").start();
    let session = Session::open(gateway.addr);
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.event_after_head(), "retry: 2000");
    backend.kill();
    assert!(stream.is_quiet_for(Duration::from_millis(700)), "nothing is cut");
    let again = until("the port is free", || {
        std::net::TcpListener::bind(addr).ok().map(|held| {
            drop(held);
            talking_at(addr)
        })
    });
    assert!(stream.event().expect("an event of the server that came back").contains("hello"));
    assert_eq!(again.received().iter().filter(|one| one.call() == "initialize").count(), 1);
}

fn talking_at(addr: std::net::SocketAddr) -> Backend {
    Backend::at(addr, "again", Kind::Legacy, |request, stream| {
        (request.method == "GET" && request.header("mcp-session-id").is_some_and(|id| id.starts_with("again"))).then(
            || {
                open_stream(stream, &[]);
                chunk(stream, "data: {\"method\":\"notifications/hello\"}\n\n");
                After::AwaitHangup
            },
        )
    })
}

#[test]
fn a_late_reply_reaches_nobody() {
    let pair = Pair::new(&[]);
    pair.a.kill();
    assert_eq!(pair.session.call("name").said(), "b");
    let reply = "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"action\":\"accept\"}}";
    let before = pair.told().len();
    assert_eq!(pair.session.send(reply, &[]).status, 202);
    assert_eq!(pair.told().len(), before, "the new server never asked that");
    pair.gateway.log.wait("a reply to a request of an earlier berth was dropped", 1);
}

#[test]
fn a_reply_to_a_call_that_died_is_taken_and_dropped() {
    let pair = Pair::new(&[]);
    pair.a.kill();
    let reply = "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"action\":\"accept\"}}";
    assert_eq!(pair.session.send(reply, &[]).status, 202);
    pair.gateway.log.wait("a reply to a call that died with its server was dropped", 1);
    assert_eq!(pair.told(), Vec::<String>::new());
}

#[test]
fn an_old_event_id_starts_the_stream_anew() {
    let pair =
        Pair::of(Backend::legacy("a"), talking("b", "id: e1\ndata: {\"method\":\"notifications/hello\"}\n\n"), &[]);
    pair.a.kill();
    let mut stream = pair.gateway.connect();
    stream.send(&pair.session.listen(&["Last-Event-ID: e7"]));
    assert_eq!(stream.head().status, 200);
    until("the new server's event", || stream.event().filter(|event| event.contains("hello")));
    assert_eq!(pair.b.wait_for("a GET", |one| one.method == "GET").header("last-event-id"), None);
}

// What forbids a move.

#[test]
fn a_server_that_can_do_less_does_not_get_the_session() {
    let b = Backend::new("b", Kind::Legacy, |request, stream| {
        (request.call() == "initialize").then(|| {
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "b", "version": "1"}});
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            respond(stream, 200, &[("Mcp-Session-Id", "lesser")], "application/json", body.as_bytes())
        })
    });
    let pair = Pair::of(Backend::legacy("a"), b, &[]);
    pair.a.kill();
    assert_eq!(reason(&pair.session.call("name")), (404, json!("session_lost")));
    let goodbye = pair.b.wait_for("what was begun in vain is deleted", |one| one.method == "DELETE");
    assert_eq!(goodbye.header("mcp-session-id"), Some("lesser"));
    pair.gateway.log.wait("capabilities.tools", 1);
}

#[test]
fn a_servers_word_on_credentials_is_the_clients_to_hear() {
    let b = Backend::new("b", Kind::Legacy, |request, stream| {
        let known = request.header("authorization") == Some("Bearer good");
        (!known).then(|| respond(stream, 401, &[("WWW-Authenticate", "Bearer realm=x")], "application/json", b"{}"))
    });
    let pair = Pair::of(Backend::legacy("a"), b, &[]);
    pair.a.kill();
    let refused = pair.session.send(call("1", "name"), &["Authorization: Bearer stale"]);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer realm=x")));
    let taken = pair.session.send(call("2", "name"), &["Authorization: Bearer good"]);
    assert_eq!((taken.status, taken.said()), (200, "b".to_owned()), "the session has lived on");
}

#[test]
fn with_nobody_to_go_to_the_session_is_kept() {
    let pair = Pair::new(&[]);
    pair.b.kill();
    pair.a.kill();
    for _ in 0..3 {
        assert_eq!(reason(&pair.session.call("name")), (503, json!("no_backend")));
    }
}

#[test]
fn a_session_whose_server_is_gone_can_still_be_ended() {
    let pair = Pair::new(&[]);
    pair.a.kill();
    assert_eq!(pair.session.end().status, 200);
    assert_eq!(reason(&pair.session.call("name")), (404, json!("session_unknown")));
    assert_eq!(pair.told(), Vec::<String>::new(), "nothing is rebuilt only to be ended");
}

// Moving on purpose.

fn drain(pair: &Pair, which: usize, what: &str) {
    let id = pair.gateway.backends()[which]["id"].as_str().expect("a backend has an id").to_owned();
    assert_eq!(pair.gateway.order(&format!("/api/v1/backends/{id}/{what}"), "").status, 200);
}

#[test]
fn a_quiet_session_leaves_a_backend_that_drains() {
    let pair = Pair::new(&[]);
    drain(&pair, 0, "drain");
    pair.b.wait_for("the session is rebuilt", |one| one.call() == "notifications/initialized");
    assert_eq!(pair.session.call("name").said(), "b");
    let goodbye = pair.a.wait_for("the old server may forget it", |one| one.method == "DELETE");
    assert_eq!(goodbye.header("mcp-session-id"), Some("a-00000001"));
    drain(&pair, 0, "undrain");
    assert_eq!(pair.session.call("name").said(), "b");
}

#[test]
fn a_busy_session_leaves_when_its_request_has_ended() {
    let a = Backend::new("a", Kind::Legacy, |request, stream| {
        (request.tool() == "slow").then(|| {
            std::thread::sleep(Duration::from_millis(1500));
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"content": []}}).to_string();
            respond(stream, 200, &[], "application/json", body.as_bytes())
        })
    });
    let pair = Pair::of(a, Backend::legacy("b"), &[]);
    let mut slow = pair.gateway.connect();
    slow.send(&pair.session.message(call("8", "slow"), &[]));
    pair.a.wait_for("the call has arrived", |one| one.tool() == "slow");
    drain(&pair, 0, "drain");
    assert_eq!(pair.session.call("name").said(), "a", "while something is in flight it stays whole");
    assert_eq!(slow.answer().json()["id"], json!(8));
    pair.b.wait_for("the session is rebuilt", |one| one.call() == "initialize");
    assert_eq!(pair.session.call("name").said(), "b");
}

#[test]
fn a_session_that_was_opened_with_credentials_moves_with_them_alone() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let setup = |drains: bool| {
        let backends =
            format!("[{{ url = {:?}, drain = {} }}, {{ url = {:?}, drain = {} }}]", a.url(), drains, b.url(), !drains);
        Setup::default().pool_of("/mcp", &backends)
    };
    let gateway = setup(false).start();
    let credential = "Authorization: Bearer mine";
    let opened = ask(gateway.addr, &support::http::post(&[credential], initialize("0")));
    let session = Session::open(gateway.addr);
    gateway.configure(&setup(true).text());
    gateway.signal("HUP");
    b.wait_for("the session without credentials moves by itself", |one| one.call() == "initialize");
    let id = format!("Mcp-Session-Id: {}", opened.header("mcp-session-id").unwrap());
    let answer = ask(gateway.addr, &support::http::post(&[credential, &id], call("1", "name")));
    assert_eq!(answer.said(), "b");
    let opened: Vec<_> = b.received().into_iter().filter(|one| one.call() == "initialize").collect();
    let credentials: Vec<_> = opened.iter().map(|one| one.header("authorization").map(str::to_owned)).collect();
    assert_eq!(credentials, [None, Some("Bearer mine".to_owned())]);
    assert_eq!(session.call("name").said(), "b");
}

#[test]
fn idle_sessions_even_out_after_a_pool_has_grown() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let keys = |setup: Setup| setup.pool_key("rebalance = true").pool_key("rebalance_rate = 20");
    let gateway = keys(Setup::of(&[a.url()])).start();
    let sessions: Vec<_> = (0..10).map(|_| Session::open(gateway.addr)).collect();
    gateway.configure(&keys(Setup::of(&[a.url(), b.url()])).text());
    gateway.signal("HUP");
    wait_for("some have moved", || (3..=6).contains(&b.sessions()));
    for session in &sessions {
        assert_eq!(session.call("name").status, 200);
    }
}

#[test]
fn a_server_speaks_of_a_lost_session_in_a_400() {
    let forgetful = Backend::new("a", Kind::Legacy, |request, stream| {
        let replayed = request.header("mcp-session-id") == Some("a-00000002");
        let refused = request.call() == "tools/call" && !replayed;
        refused.then(|| {
            let body = fault(request, "Bad Request: No valid session ID provided");
            respond(stream, 400, &[], "application/json", body.as_bytes())
        })
    });
    let gateway = Setup::of(&[forgetful.url()]).start();
    let session = Session::open(gateway.addr);
    assert_eq!(session.call("session").said(), "a-00000002");
}
