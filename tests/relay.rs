//! The relay as its two ends see it: streams pass event by event, endings are honest, hang-ups and backpressure go all the
//! way through, and what is not Moorline's business passes as it came.

mod support;

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use support::backend::{After, Kind, chunk, end_stream, open_stream, respond, write};
use support::http::{post, post_to, request};
use support::session::{call, initialize, modern_call};
use support::{Backend, Connection, Gateway, Received, Session, Setup, now, wait_for};

const NOTICE: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\"}}";

/// A notification as an event.
fn notice() -> String {
    format!("data: {NOTICE}\n\n")
}

/// The response to a request as an event.
fn response(request: &Received) -> String {
    format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n\n", request.json()["id"])
}

/// A legacy backend that deals with tool calls as `hook` does.
fn on_calls(hook: impl Fn(&Received, &mut TcpStream) -> After + Send + Sync + 'static) -> Backend {
    Backend::new("a", Kind::Legacy, move |request, stream| {
        (request.call() == "tools/call").then(|| hook(request, stream))
    })
}

/// A backend that does its next step when it is told to.
fn stepped(
    steps: impl Fn(&Received, &mut TcpStream, &dyn Fn()) -> After + Send + Sync + 'static,
) -> (Backend, Sender<()>) {
    let (go, told) = channel::<()>();
    let told = Mutex::new(told);
    let backend = on_calls(move |request, stream| {
        let told = told.lock().expect("no other call is under way");
        steps(request, stream, &|| {
            // A test that fails says nothing.
            let _ = told.recv_timeout(support::DEADLINE);
        })
    });
    (backend, go)
}

fn gateway(backend: &Backend) -> Gateway {
    Setup::of(&[backend.url()]).start()
}

/// A session's tool call whose answer is a stream; its head has been read.
fn call_on(gateway: &Gateway, session: &Session) -> Connection {
    let mut connection = gateway.connect();
    connection.send(&session.message(call("\"c-1\"", "stream"), &[]));
    let head = connection.head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    connection
}

/// The JSON of an event's data.
fn data(event: Option<String>) -> Value {
    let event = event.unwrap_or_default();
    let line = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    serde_json::from_str(line).unwrap_or_default()
}

/// The next thing in the stream is an error for the call that waits, and then it ends as HTTP says.
fn ends_with_an_error(connection: &mut Connection) {
    let error = data(connection.event());
    assert_eq!(
        (&error["id"], &error["error"]["data"]["reason"]),
        (&json!("c-1"), &json!("outcome_unknown")),
        "{error}"
    );
    assert!(connection.ended_well());
}

// Streams.

#[test]
fn events_pass_one_by_one() {
    let (backend, go) = stepped(|request, stream, wait| {
        open_stream(stream, &[]);
        chunk(stream, &notice());
        wait();
        chunk(stream, &notice().replace("info", "debug"));
        wait();
        chunk(stream, &response(request));
        end_stream(stream)
    });
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let mut connection = gateway.connect();
    connection.send(&session.message(call("\"c-1\"", "stream"), &[]));
    let head = connection.head();
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("mcp-session-id"), Some(session.id.as_str()));
    assert_eq!(connection.event().unwrap() + "\n\n", notice());
    go.send(()).unwrap();
    assert!(connection.event().unwrap().contains("debug"));
    go.send(()).unwrap();
    assert_eq!(data(connection.event())["id"], "c-1");
    assert!(connection.ended_well());
    assert_eq!(connection.rest(), "");
}

#[test]
fn the_head_of_a_stream_comes_before_its_first_event() {
    let (backend, go) = stepped(|request, stream, wait| {
        open_stream(stream, &[]);
        wait();
        chunk(stream, &response(request));
        end_stream(stream)
    });
    let gateway = gateway(&backend);
    let mut connection = call_on(&gateway, &Session::open(gateway.addr));
    go.send(()).unwrap();
    assert_eq!(data(connection.event())["id"], "c-1");
}

#[test]
fn a_quiet_stream_gets_comments_but_never_within_an_event() {
    let (backend, go) = stepped(|request, stream, wait| {
        open_stream(stream, &[]);
        chunk(stream, &notice());
        wait();
        chunk(stream, "data: {\"jsonrpc\":\"2.0\",\ndata");
        wait();
        chunk(stream, &format!(": \"id\":{},\"result\":{{}}}}\n\n", request.json()["id"]));
        end_stream(stream)
    });
    let gateway = Setup::of(&[backend.url()]).key("stream.heartbeat = \"1s\"").start();
    let mut connection = call_on(&gateway, &Session::open(gateway.addr));
    assert!(connection.event().unwrap().contains("info"));
    let begun = now();
    assert_eq!(connection.read_to("\n").unwrap(), ":\n");
    assert!(begun.elapsed() < Duration::from_secs(3));
    go.send(()).unwrap();
    assert!(connection.is_quiet_until_data(), "a part of an event passes as it comes, or not at all");
    go.send(()).unwrap();
    let rest = connection.rest();
    let event = "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":\"c-1\",\"result\":{}}\n\n";
    assert!(rest.ends_with(event), "{rest:?}");
    assert!(rest[..rest.len() - event.len()].lines().all(|line| line == ":"), "{rest:?}");
    assert!(connection.ended_well());
}

impl Connection {
    /// Takes what comes for a time in which several comments are due.
    fn is_quiet_until_data(&mut self) -> bool {
        let begun = now();
        let mut all = String::new();
        while begun.elapsed() < Duration::from_millis(2500) {
            if !self.is_quiet_for(Duration::from_millis(100)) {
                all.push_str(&self.read_to("\n").unwrap_or_default());
            }
        }
        let after_data = all.find("data").map_or("", |at| &all[at..]);
        !after_data.contains("\n:")
    }
}

#[test]
fn a_stream_left_unfinished_ends_with_an_error_for_its_request() {
    for cut in [false, true] {
        let backend = on_calls(move |_, stream| {
            open_stream(stream, &[]);
            chunk(stream, &notice());
            if cut { After::Close } else { end_stream(stream) }
        });
        let gateway = gateway(&backend);
        let session = Session::open(gateway.addr);
        let mut connection = call_on(&gateway, &session);
        assert!(connection.event().unwrap().contains("info"));
        ends_with_an_error(&mut connection);
        assert_eq!(session.send("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}", &[]).status, 200);
    }
}

#[test]
fn a_stream_cut_within_an_event_ends_with_an_error_of_its_own() {
    let backend = on_calls(|_, stream| {
        open_stream(stream, &[]);
        chunk(stream, "data: {\"jsonrpc\":\"2.0\",");
        After::Close
    });
    let gateway = gateway(&backend);
    let mut connection = call_on(&gateway, &Session::open(gateway.addr));
    let rest = connection.rest();
    let error = rest.trim_end().rsplit("\n\n").next().unwrap().to_owned();
    assert_eq!(data(Some(error))["id"], "c-1", "{rest:?}");
    assert!(connection.ended_well());
}

#[test]
fn a_stream_that_can_be_resumed_ends_without_an_error() {
    for cut in [false, true] {
        let backend = on_calls(move |_, stream| {
            open_stream(stream, &[]);
            chunk(stream, &format!("id: 1\n{}", notice()));
            if cut { After::Close } else { end_stream(stream) }
        });
        let gateway = gateway(&backend);
        let mut connection = call_on(&gateway, &Session::open(gateway.addr));
        assert!(connection.event().unwrap().starts_with("id: 1\n"));
        assert_eq!(connection.event(), None);
        assert!(connection.ended_well());
    }
}

#[test]
fn a_stream_that_could_be_resumed_but_for_its_dead_backend_ends_with_an_error() {
    let backend = on_calls(|_, stream| {
        open_stream(stream, &[]);
        chunk(stream, &format!("id: 1\n{}", notice()));
        After::AwaitHangup
    });
    let gateway = gateway(&backend);
    let mut connection = call_on(&gateway, &Session::open(gateway.addr));
    assert!(connection.event().unwrap().starts_with("id: 1\n"));
    backend.kill();
    ends_with_an_error(&mut connection);
}

#[test]
fn a_frozen_backend_is_found_and_its_streams_end() {
    let backend = on_calls(|_, stream| {
        open_stream(stream, &[]);
        chunk(stream, &notice());
        After::AwaitHangup
    });
    let setup = Setup::of(&[backend.url()]).pool_key("health.kind = \"mcp\"").pool_key("health.every = \"50ms\"");
    let gateway = setup
        .pool_key("health.timeout = \"200ms\"")
        .pool_key("health.eject_after = 2")
        .pool_key("rehome = \"never\"")
        .start();
    let session = Session::open(gateway.addr);
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.event_after_head(), "retry: 2000");
    let mut connection = call_on(&gateway, &session);
    assert!(connection.event().unwrap().contains("info"));
    backend.freeze();
    ends_with_an_error(&mut connection);
    assert!(stream.rest().trim_start().starts_with("retry: "), "the notification stream says when to come back");
    assert!(stream.ended_well());
    let answer = session.call("name");
    assert_eq!((answer.status, &answer.json()["error"]["data"]["reason"]), (503, &json!("no_backend")));
}

impl Connection {
    /// Reads a stream's head, which must be good, and its first event.
    fn event_after_head(&mut self) -> String {
        let head = self.head();
        assert_eq!((head.status, head.header("x-accel-buffering")), (200, Some("no")));
        self.event().expect("the stream has begun")
    }
}

#[test]
fn a_notification_stream_begins_with_when_to_come_back() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("stream.retry = \"3500ms\"").start();
    let session = Session::open(gateway.addr);
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.event_after_head(), "retry: 3500");
    let seen = backend.wait_for("the stream is opened", |request| request.method == "GET");
    assert!(seen.header("mcp-session-id").unwrap().starts_with("a-"));
}

#[test]
fn a_resumed_stream_begins_with_the_id_that_it_is_resumed_from() {
    let backend = Backend::legacy("a");
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let mut stream = gateway.connect();
    stream.send(&session.listen(&["Last-Event-ID: ev-42"]));
    let first = stream.event_after_head();
    assert_eq!(first.trim_end(), "id: ev-42\ndata:");
    let seen = backend.wait_for("the stream is opened", |request| request.method == "GET");
    assert_eq!(seen.header("last-event-id"), Some("ev-42"));
}

#[test]
fn a_notification_stream_is_cut_clean_when_its_backend_dies() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).pool_key("rehome = \"never\"").start();
    let session = Session::open(gateway.addr);
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.event_after_head(), "retry: 2000");
    backend.wait_for("the stream is opened", |request| request.method == "GET");
    backend.kill();
    assert!(stream.ended_well());
}

// Hang-ups and backpressure.

#[test]
fn a_client_that_hangs_up_while_it_waits_is_heard_upstream_at_once() {
    let backend = Backend::legacy("a");
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let mut connection = gateway.connect();
    connection.send(&session.message(call("1", "hang"), &[]));
    backend.wait_for("the call has come", |request| request.tool() == "hang");
    let gone = now();
    drop(connection);
    let took = backend.hangup().saturating_duration_since(gone);
    println!("hang-up before the head: {took:?}");
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_client_that_hangs_up_in_a_stream_is_heard_upstream_at_once() {
    let backend = on_calls(|_, stream| {
        open_stream(stream, &[]);
        chunk(stream, &notice());
        After::AwaitHangup
    });
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let mut connection = call_on(&gateway, &session);
    assert!(connection.event().is_some());
    let gone = now();
    drop(connection);
    let took = backend.hangup().saturating_duration_since(gone);
    println!("hang-up in a stream: {took:?}");
    assert!(took < Duration::from_millis(200), "{took:?}");
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.head().status, 200);
    let gone = now();
    drop(stream);
    assert!(backend.hangup().saturating_duration_since(gone) < Duration::from_millis(200));
}

#[test]
fn a_client_that_reads_nothing_stalls_its_backend_and_fills_nothing() {
    const EVENT: usize = 32 * 1024;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let backend = on_calls(move |_, stream| {
        open_stream(stream, &[]);
        let event = format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"{}\"}}\n\n", "x".repeat(EVENT));
        while chunk(stream, &event) == After::Keep {
            counter.fetch_add(event.len() as u64, Ordering::Relaxed);
        }
        After::Close
    });
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let before = gateway.memory();
    let mut connection = call_on(&gateway, &session);
    assert!(connection.event().is_some());
    let mut last = (0, now());
    wait_for("the backend's writes stall", || {
        let written = sent.load(Ordering::Relaxed);
        if written != last.0 {
            last = (written, now());
        }
        last.1.elapsed() > Duration::from_millis(500)
    });
    let grown = gateway.memory().saturating_sub(before);
    println!("stalled after {} KiB, grown by {} KiB", last.0 / 1024, grown / 1024);
    assert!(last.0 < 64 << 20, "{} bytes went somewhere", last.0);
    assert!(grown < 8 << 20, "{grown} bytes more");
    assert!(connection.event().is_some(), "it goes on where it stopped");
    wait_for("the backend writes again", || connection.event().is_some() && sent.load(Ordering::Relaxed) > last.0);
    drop(connection);
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_let_go() {
    let backend = on_calls(|_, stream| {
        open_stream(stream, &[]);
        let event = format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"{}\"}}\n\n", "x".repeat(32 * 1024));
        while chunk(stream, &event) == After::Keep {}
        After::Close
    });
    let gateway = Setup::of(&[backend.url()]).key("bounds.write_timeout = \"500ms\"").start();
    let session = Session::open(gateway.addr);
    let mut connection = call_on(&gateway, &session);
    assert!(connection.event().is_some());
    wait_for("the connection is given up", || gateway.backends()[0]["in_flight"] == 0);
    drop(connection);
}

// Header fields and bodies.

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let backend = on_calls(|request, stream| {
        let id = &request.json()["id"];
        let more =
            [("Connection", "X-Back, keep-alive"), ("X-Back", "1"), ("Keep-Alive", "timeout=9"), ("X-Kept", "2")];
        let body = json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string();
        respond(stream, 200, &more, "application/json", body.as_bytes())
    });
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let more = [
        "Connection: X-Hop, keep-alive",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Proxy-Connection: x",
        "X-Stays: 3",
    ];
    let answer = session.send(call("1", "name"), &more);
    let seen = backend.wait_for("the call has come", |request| request.tool() == "name");
    for gone in ["x-hop", "keep-alive", "te", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert_eq!(seen.header(gone), None, "{gone} reached the backend");
    }
    assert_eq!(seen.header("x-stays"), Some("3"));
    assert_eq!((answer.header("x-back"), answer.header("keep-alive")), (None, None));
    assert_eq!(answer.header("x-kept"), Some("2"));
}

#[test]
fn where_a_request_came_from_is_said_anew_for_strangers() {
    let backend = Backend::legacy("a");
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let lies = [
        "Host: localhost:8080",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "Forwarded: for=6.6.6.6",
        "X-Real-IP: 6.6.6.6",
    ];
    session.send(call("1", "name"), &lies);
    let seen = backend.wait_for("the call has come", |request| request.tool() == "name");
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("localhost:8080"));
    assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;proto=http;host=\"localhost:8080\""));
    assert_eq!(seen.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.header("host"), Some(backend.addr().to_string().as_str()), "a backend sees its own authority");
    assert!(!seen.headers.iter().any(|(_, value)| value.contains("6.6.6.6")), "{:?}", seen.headers);
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let session = Session::open(gateway.addr);
    let said = [
        "Host: inner",
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: mcp.example.com",
        "Forwarded: for=203.0.113.9;proto=https",
    ];
    session.send(call("1", "name"), &said);
    let seen = backend.wait_for("the call has come", |request| request.tool() == "name");
    assert_eq!(seen.header("x-forwarded-for"), Some("6.6.6.6, 203.0.113.9, 127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("mcp.example.com"));
    assert_eq!(seen.header("forwarded"), Some("for=203.0.113.9;proto=https, for=127.0.0.1;proto=http;host=\"inner\""));
    assert_eq!(seen.header("x-real-ip"), Some("203.0.113.9"), "the address that the proxy saw");
}

#[test]
fn what_moorline_does_not_know_passes_unchanged() {
    let theirs =
        "{ \"jsonrpc\" : \"2.0\",\"id\":1e0, \"result\":{\"vendor\":[1,2,{}],\"x\":\"\\u00e9\"},\"extra\":null }";
    let backend = Backend::new("a", Kind::Legacy, move |request, stream| {
        let more = [("X-Vendor", "yes"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")];
        (request.call() == "vendor/thing").then(|| respond(stream, 200, &more, "application/json", theirs.as_bytes()))
    });
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let ours = "{ \"jsonrpc\":\"2.0\" ,\"id\":1e0,\"method\":\"vendor/thing\",\"params\":{\"b\":1,\"a\":{\"deep\":[null]},\"x\":1.50},\"extra\":true}";
    let answer = session.send(ours, &["Mcp-Param-Region: eu", "X-Client: c", "Authorization: Bearer t"]);
    assert_eq!(answer.text(), theirs);
    assert_eq!(answer.header("x-vendor"), Some("yes"));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).count(), 2);
    let seen = backend.wait_for("the call has come", |request| request.call() == "vendor/thing");
    assert_eq!(String::from_utf8_lossy(&seen.body), ours);
    assert_eq!(seen.header("mcp-param-region"), Some("eu"));
    assert_eq!((seen.header("x-client"), seen.header("authorization")), (Some("c"), Some("Bearer t")));
    assert_eq!(seen.header("moorline-session").map(str::len), Some(32), "the stable id: {:?}", seen.headers);
}

#[test]
fn a_backends_own_refusal_passes_unchanged() {
    let backend = on_calls(|_, stream| {
        respond(stream, 401, &[("WWW-Authenticate", "Bearer scope=\"a b\"")], "application/problem+json", b"{\"no\":1}")
    });
    let gateway = gateway(&backend);
    let answer = Session::open(gateway.addr).call("name");
    assert_eq!((answer.status, answer.text().as_str()), (401, "{\"no\":1}"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer scope=\"a b\""));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

#[test]
fn a_backends_session_id_never_reaches_the_client() {
    let (backend, _go) = stepped(|request, stream, _| {
        open_stream(stream, &[("Mcp-Session-Id", request.header("mcp-session-id").unwrap_or("none"))]);
        chunk(stream, &response(request));
        end_stream(stream)
    });
    let gateway = gateway(&backend);
    let first = gateway.ask(&post(&[], initialize("1")));
    let session = Session::open(gateway.addr);
    let ping = session.send("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}", &[]);
    let streamed = session.call("stream");
    let ended = session.end();
    for answer in [first, ping, streamed, ended] {
        let all = format!("{:?} {}", answer.headers, answer.text());
        assert!(!all.contains("a-0000"), "{all}");
    }
    assert!(session.id.len() <= 200, "{} characters", session.id.len());
    assert!(session.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{}", session.id);
}

#[test]
fn a_batch_passes() {
    let theirs = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}},{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}]";
    let backend = Backend::new("a", Kind::Legacy, move |request, stream| {
        request.json().is_array().then(|| respond(stream, 200, &[], "application/json", theirs.as_bytes()))
    });
    let gateway = gateway(&backend);
    let ours = format!(
        "[{}, {},{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}}]",
        call("1", "name"),
        call("2", "name")
    );
    assert_eq!(Session::open(gateway.addr).send(&ours, &[]).text(), theirs);
    let seen = backend.wait_for("the batch has come", |request| request.json().is_array());
    assert_eq!(String::from_utf8(seen.body).unwrap(), ours);
}

#[test]
fn a_large_answer_passes_whole_and_a_broken_one_is_never_taken_for_whole() {
    let large = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"x\":\"{}\"}}}}", "y".repeat(3 << 20));
    let whole = large.clone();
    let backend = on_calls(move |request, stream| match request.tool().as_str() {
        "broken" => {
            write(
                stream,
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", whole.len())
                    .as_bytes(),
            );
            write(stream, &whole.as_bytes()[..1 << 20]);
            After::Close
        }
        _ => respond(stream, 200, &[], "application/json", whole.as_bytes()),
    });
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    assert!(session.call("large").text() == large);
    let mut connection = gateway.connect();
    connection.send(&session.message(call("1", "broken"), &[]));
    assert_eq!(connection.head().status, 200);
    assert!(!connection.ended_well(), "half an answer looks whole");
}

#[test]
fn a_large_request_passes_whole() {
    let backend = Backend::legacy("a");
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let large = call("1", "name").replace("{}", &format!("{{\"x\":\"{}\"}}", "z".repeat(3 << 20)));
    assert_eq!(session.send(&large, &["Expect: 100-continue"]).status, 100, "the client is told to go on");
    assert_eq!(session.send(&large, &[]).said(), "a");
    let seen = backend.wait_for("the call has come", |request| request.tool() == "name");
    assert_eq!(seen.body.len(), large.len());
    assert_eq!((seen.header("expect"), seen.header("transfer-encoding")), (None, None));
}

// Connections.

#[test]
fn connections_to_backends_are_used_again() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("threads = 1").start();
    let session = Session::open(gateway.addr);
    for _ in 0..20 {
        assert_eq!(session.call("name").said(), "a");
    }
    let mut used: Vec<_> = backend.received().iter().map(|request| request.connection).collect();
    used.dedup();
    assert_eq!(used.len(), 1, "connections used: {used:?}");
}

#[test]
fn a_client_may_keep_its_connection() {
    let backend = Backend::legacy("a");
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    let mut connection = gateway.connect();
    for _ in 0..5 {
        connection.send(&session.message(call("1", "name"), &[]));
        assert_eq!(connection.answer().said(), "a");
    }
    // Two at once, in order.
    connection.send(&[session.message(call("1", "name"), &[]), session.message(call("2", "name"), &[])].concat());
    assert_eq!([connection.answer().json()["id"].clone(), connection.answer().json()["id"].clone()], [1, 2]);
}

#[test]
fn a_connection_that_the_backend_closes_after_each_answer_costs_no_request() {
    let backend = on_calls(|request, stream| {
        let result = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"content": [{"text": "a"}]}});
        let body = result.to_string();
        respond(stream, 200, &[("Connection", "close")], "application/json", body.as_bytes());
        After::Close
    });
    let gateway = gateway(&backend);
    let session = Session::open(gateway.addr);
    for _ in 0..30 {
        assert_eq!(session.call("name").said(), "a");
    }
}

#[test]
fn a_kept_connection_that_the_backend_has_closed_costs_no_request() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("threads = 1").start();
    let session = Session::open(gateway.addr);
    for _ in 0..5 {
        assert_eq!(session.call("name").said(), "a");
        backend.hang_up();
        assert_eq!(session.call("name").said(), "a");
    }
}

#[test]
fn a_client_that_speaks_http2_is_served() {
    let backend = Backend::legacy("a");
    let gateway = gateway(&backend);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, session, said) = runtime.block_on(http2::converse(gateway.addr));
    assert_eq!(status, 200);
    assert!(said.contains("\"text\":\"a\""), "{said}");
    let seen = backend.wait_for("the call has come", |request| request.tool() == "name");
    assert_eq!(seen.header("x-forwarded-host"), Some("localhost"));
    assert!(session.len() > 20);
}

#[test]
fn a_backend_that_speaks_http2_is_spoken_to() {
    let server = http2::Server::start();
    let gateway = Setup::of(&[server.url()]).pool_key("http_version = \"2\"").start();
    let session = Session::open(gateway.addr);
    assert_eq!(session.call("name").said(), "HTTP/2.0");
    assert_eq!(session.end().status, 200);
    let modern = gateway.ask(&modern_call("1", "name"));
    assert_eq!(modern.said(), "HTTP/2.0");
    let elsewhere = gateway.ask(&post_to("/mcp?x=1", &[], initialize("1")));
    assert_eq!(elsewhere.status, 200);
    assert_eq!(gateway.ask(&request("OPTIONS /mcp", &[], b"")).status, 200);
}

/// HTTP/2 at either end, by hyper.
mod http2 {
    use std::convert::Infallible;
    use std::net::SocketAddr;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use serde_json::{Value, json};
    use tokio::net::{TcpListener, TcpStream};

    use super::support::session::{call, initialize};

    fn message(session: Option<&str>, body: String) -> Request<Full<Bytes>> {
        let request = Request::post("http://localhost/mcp")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        let request = session.into_iter().fold(request, |request, id| request.header("mcp-session-id", id));
        request.body(Full::from(body)).expect("the test writes good header fields")
    }

    /// A session with one call: the call's status, the session's id, and the answer.
    pub async fn converse(addr: SocketAddr) -> (u16, String, String) {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let opened = sender.send_request(message(None, initialize("1"))).await.expect("it answers");
        let id = opened.headers()["mcp-session-id"].to_str().expect("an id is text").to_owned();
        drop(opened.into_body().collect().await.expect("the answer is whole"));
        let called = sender.send_request(message(Some(&id), call("2", "name"))).await.expect("it answers");
        let status = called.status().as_u16();
        let body = called.into_body().collect().await.expect("the answer is whole").to_bytes();
        connection.abort();
        (status, id, String::from_utf8_lossy(&body).into_owned())
    }

    /// A server that says which HTTP it was spoken to in.
    pub struct Server {
        addr: SocketAddr,
        _runtime: tokio::runtime::Runtime,
    }

    impl Server {
        pub fn start() -> Self {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("the system has threads");
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback has free ports");
            let addr = listener.local_addr().expect("it listens");
            runtime.spawn(serve(listener));
            Self { addr, _runtime: runtime }
        }

        pub fn url(&self) -> String {
            format!("http://{}/mcp", self.addr)
        }
    }

    async fn serve(listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            // Probes connect and say nothing.
            tokio::spawn(async move { drop(served.await) });
        }
    }

    async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let version = format!("{:?}", request.version());
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let response = Response::builder().header("content-type", "application/json");
        let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "content": [{"text": version}]});
        let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
        let response = match message["method"].as_str() {
            Some("initialize") => response.header("mcp-session-id", "h2-1").body(Full::from(body)),
            Some(method) if method.starts_with("notifications/") => response.status(202).body(Full::default()),
            _ => response.body(Full::from(body)),
        };
        Ok(response.expect("the test writes good header fields"))
    }
}
