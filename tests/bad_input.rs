//! Everything that a client or a backend can do wrong: each has its status and a JSON-RPC error with the request's own
//! id, is logged once, and costs nobody else anything. `UPDATE=1` writes the golden files of the refusals anew.

mod support;

use std::cell::Cell;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use support::backend::{After, Kind, accept, await_hangup, respond, write};
use support::http::{USUAL, get, post, post_to, request};
use support::session::{call, initialize, modern_call};
use support::{Answer, Backend, Gateway, Received, Session, Setup, golden, now, wait_for};

/// An instance with a pool that is to be mistreated at `/mcp`, and somebody at `/well` who must not notice.
struct Scene {
    gateway: Gateway,
    bystander: Session,
    refusals: Cell<usize>,
    _well: Backend,
}

impl Scene {
    fn new(setup: &Setup) -> Self {
        let well = Backend::legacy("well");
        let gateway = setup.clone().pool("/well", &[well.url()]).start();
        let bystander = Session::open_at(gateway.addr, "/well");
        Self { gateway, bystander, refusals: Cell::new(0), _well: well }
    }

    fn of(backend: &Backend) -> Self {
        Self::new(&Setup::of(&[backend.url()]))
    }

    /// A request is refused whatever its id is: sent with a number and with a string.
    fn refuses(&self, (status, reason): (u16, &str), request: impl Fn(&str) -> Vec<u8>) -> Answer {
        for id in ["7", "\"seven\""] {
            let answer = self.gateway.ask(&request(id));
            self.is_refusal(&answer, (status, reason), &serde_json::from_str(id).expect("the test writes JSON"));
        }
        let answer = self.gateway.ask(&request("1"));
        self.is_refusal(&answer, (status, reason), &json!(1));
        answer
    }

    /// Something that has no id, or whose id is not known, is refused.
    fn refuses_nameless(&self, expected: (u16, &str), request: &[u8]) -> Answer {
        let answer = self.gateway.ask(request);
        self.is_refusal(&answer, expected, &Value::Null);
        answer
    }

    fn is_refusal(&self, answer: &Answer, (status, reason): (u16, &str), id: &Value) {
        let body = answer.json();
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text());
        assert_eq!(body["jsonrpc"], "2.0", "{}", answer.text());
        assert_eq!(body["id"], *id, "{}", answer.text());
        assert_eq!(body["error"]["data"]["reason"], reason, "{}", answer.text());
        assert!(body["error"]["code"].is_i64() && body["error"]["message"].is_string(), "{}", answer.text());
        self.refusals.set(self.refusals.get() + 1);
        self.is_unharmed(reason);
    }

    /// Logged once, and nobody else has noticed.
    fn is_unharmed(&self, reason: &str) {
        let mark = format!("\"refused\":\"{reason}\"");
        self.gateway.access.wait(&mark, self.refusals.get());
        assert_eq!(self.gateway.access.count("\"refused\""), self.refusals.get(), "{}", self.gateway.access.text());
        assert_eq!(self.bystander.call("name").said(), "well");
    }
}

fn golden_refusal(name: &str, answer: &Answer) {
    let kept = ["content-type", "retry-after", "allow"];
    let headers = kept.iter().filter_map(|name| Some(format!("{name}: {}\n", answer.header(name)?)));
    let text = format!("{}\n{}\n{}\n", answer.status, headers.collect::<String>(), answer.text().trim_end());
    golden(&format!("refusals/{name}.txt"), &text);
}

fn legacy(hook: impl Fn(&Received, &mut TcpStream) -> Option<After> + Send + Sync + 'static) -> Backend {
    Backend::new("a", Kind::Legacy, hook)
}

// What a client's bytes can be.

#[test]
fn not_json() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    golden_refusal("not_json", &scene.refuses_nameless((400, "not_json"), &post(&[], "hello")));
    scene.refuses_nameless((400, "not_json"), &post(&[], ""));
    assert!(backend.received().is_empty());
}

#[test]
fn truncated_json() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let request = |id: &str| post(&[], format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/ca"));
    golden_refusal("truncated_json", &scene.refuses((400, "not_json"), request));
    assert!(backend.received().is_empty());
}

#[test]
fn a_body_that_ends_before_its_declared_length() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let mut connection = scene.gateway.connect();
    let whole = post(&[], call("1", "name"));
    connection.send(&whole[..whole.len() - 5]);
    connection.half_close();
    scene.is_unharmed_by_silence(connection);
    assert!(backend.received().is_empty());
}

impl Scene {
    /// The client is gone, so nobody is answered: what counts is that nothing else suffers.
    fn is_unharmed_by_silence(&self, mut connection: support::Connection) {
        connection.rest();
        assert_eq!(self.bystander.call("name").said(), "well");
    }
}

#[test]
fn invalid_utf8() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let request = |id: &str| {
        let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"");
        post(&[], [start.as_bytes(), b"\xff\xfe\"}}"].concat())
    };
    golden_refusal("invalid_utf8", &scene.refuses((400, "not_json"), request));
    assert!(backend.received().is_empty());
}

#[test]
fn deep_nesting() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let message = |id: &str, depth: usize| {
        let arguments = nested(depth);
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"name\",\"arguments\":{arguments}}}}}"
        )
    };
    golden_refusal("deep_nesting", &scene.refuses((400, "bad_message"), |id| post(&[], message(id, 200))));
    scene.refuses((400, "bad_message"), |id| post(&[], message(id, 500_000)));
    assert!(backend.received().is_empty());
    let session = Session::open(scene.gateway.addr);
    assert_eq!(session.send(message("1", 100), &[]).status, 200);
}

#[test]
fn duplicate_keys() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let request = |id: &str| {
        post(&[], format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/list\",\"method\":\"tools/call\"}}"))
    };
    golden_refusal("duplicate_keys", &scene.refuses((400, "bad_message"), request));
    assert!(backend.received().is_empty());
}

#[test]
fn json_that_is_no_message() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    scene.refuses_nameless((400, "bad_message"), &post(&[], "42"));
    scene.refuses_nameless((400, "bad_message"), &post(&[], "[]"));
    let request = |id: &str| post(&[], format!("{{\"jsonrpc\":\"1.0\",\"id\":{id},\"method\":\"tools/list\"}}"));
    golden_refusal("no_message", &scene.refuses((400, "bad_message"), request));
    assert!(backend.received().is_empty());
}

// Bounds.

fn large_call(id: &str) -> String {
    let padding = "x".repeat(100_000);
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"name\",\"arguments\":{{\"x\":\"{padding}\"}}}}}}"
    )
}

#[test]
fn a_body_declared_over_its_bound() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("bounds.max_body = \"2KiB\""));
    let answer = scene.refuses((413, "body_too_large"), |id| post(&[], large_call(id)));
    golden_refusal("body_too_large", &answer);
    assert!(backend.received().is_empty());
}

#[test]
fn a_body_in_chunks_over_its_bound() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("bounds.max_body = \"2KiB\""));
    scene.refuses((413, "body_too_large"), |id| in_chunks(&large_call(id)));
    assert!(backend.received().is_empty());
    let small = scene.gateway.ask(&in_chunks(&initialize("1")));
    assert_eq!(small.status, 200, "{}", small.text());
}

fn in_chunks(body: &str) -> Vec<u8> {
    let mut bytes = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n".to_vec();
    bytes.extend_from_slice(USUAL.join("\r\n").as_bytes());
    bytes.extend_from_slice(b"\r\n\r\n");
    for chunk in body.as_bytes().chunks(1000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[test]
fn a_header_block_over_its_bound() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("bounds.max_header_block = \"1KiB\""));
    let large = format!("X-Large: {}", "x".repeat(2000));
    let answer = scene.refuses_nameless((431, "headers_too_large"), &post(&[&large], call("1", "name")));
    golden_refusal("headers_too_large", &answer);
    let huge = format!("X-Huge: {}", "x".repeat(200_000));
    assert_eq!(scene.gateway.ask(&post(&[&huge], call("1", "name"))).status, 431);
    scene.gateway.log.wait("bad_http", 1);
    assert_eq!(scene.bystander.call("name").said(), "well");
    assert!(backend.received().is_empty());
}

#[test]
fn too_many_header_fields() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("bounds.max_headers = 16"));
    let fields: Vec<String> = (0..40).map(|n| format!("X-{n}: 1")).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    scene.refuses_nameless((431, "headers_too_large"), &post(&fields, call("1", "name")));
    let fields: Vec<String> = (0..400).map(|n| format!("X-{n}: 1")).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    assert_eq!(scene.gateway.ask(&post(&fields, call("1", "name"))).status, 431);
    assert!(backend.received().is_empty());
}

#[test]
fn bytes_that_are_no_http() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    assert_eq!(scene.gateway.ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").status, 400);
    scene.gateway.log.wait("bad_http", 1);
    let smuggled = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    assert_eq!(scene.gateway.ask(smuggled.as_bytes()).status, 400);
    assert_eq!(scene.bystander.call("name").said(), "well");
    assert!(backend.received().is_empty());
}

#[test]
fn a_url_over_its_bound() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("bounds.max_url = \"256B\""));
    let path = format!("/mcp?{}", "x".repeat(300));
    let answer = scene.refuses_nameless((414, "url_too_long"), &post_to(&path, &[], call("1", "name")));
    golden_refusal("url_too_long", &answer);
    assert!(backend.received().is_empty());
}

#[test]
fn a_batch_over_its_bound_and_a_batch_that_is_refused() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("bounds.max_batch = 3"));
    let batch = |messages: usize| {
        let calls: Vec<String> = (0..messages).map(|id| call(&id.to_string(), "name")).collect();
        format!("[{}]", calls.join(","))
    };
    scene.refuses_nameless((400, "bad_message"), &post(&[], batch(4)));
    drop(Session::open(scene.gateway.addr));
    let answer = scene.gateway.ask(&post(&[], batch(3)));
    assert_eq!(answer.status, 400);
    let ids: Vec<_> = answer.json().as_array().unwrap().iter().map(|error| error["id"].clone()).collect();
    assert_eq!(ids, [0, 1, 2], "{}", answer.text());
    golden_refusal("batch", &answer);
}

#[test]
fn too_many_connections() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("bounds.max_connections = 2").start();
    let session = Session::open(gateway.addr);
    let open = || gateway.instance()["connections"].as_u64();
    wait_for("earlier connections are gone", || open() == Some(0));
    let mut held = [gateway.connect(), gateway.connect()];
    wait_for("both are counted", || open() == Some(2));
    let mut third = gateway.connect();
    let answer = third.answer();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.json()["error"]["data"]["reason"], "too_many_connections", "{}", answer.text());
    golden_refusal("too_many_connections", &answer);
    assert!(third.is_closed());
    held[0].send(&session.message(call("1", "name"), &[]));
    assert_eq!(held[0].answer().said(), "a");
    drop(held);
    wait_for("they are gone", || open() == Some(0));
    assert_eq!(session.call("name").said(), "a");
}

// What HTTP and MCP say about the head.

#[test]
fn a_method_that_the_endpoint_does_not_know() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let answer = scene.refuses_nameless((405, "method_not_allowed"), &request("PUT /mcp", &USUAL, b"{}"));
    assert!(answer.header("allow").unwrap().contains("POST"));
    golden_refusal("method_not_allowed", &answer);
    assert!(backend.received().is_empty());
}

#[test]
fn a_path_that_no_pool_has() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let answer = scene.refuses_nameless((404, "no_such_path"), &post_to("/elsewhere", &[], call("1", "name")));
    golden_refusal("no_such_path", &answer);
}

#[test]
fn a_media_type_that_is_not_json() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let plain = |id: &str| request("POST /mcp", &["Content-Type: text/plain", USUAL[1]], call(id, "name").as_bytes());
    golden_refusal("media_type", &scene.refuses((415, "media_type"), plain));
    let none = |id: &str| request("POST /mcp", &[USUAL[1]], call(id, "name").as_bytes());
    scene.refuses((415, "media_type"), none);
    assert!(backend.received().is_empty());
}

#[test]
fn a_body_that_is_compressed() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let answer = scene.refuses_nameless((415, "content_coding"), &post(&["Content-Encoding: gzip"], call("1", "name")));
    assert_eq!(answer.header("accept-encoding"), Some("identity"));
    golden_refusal("content_coding", &answer);
    assert!(backend.received().is_empty());
}

#[test]
fn a_head_that_can_be_read_in_two_ways() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let twice = post(&["Host: localhost", "Host: other"], call("1", "name"));
    let answer = scene.refuses_nameless((400, "ambiguous"), &twice);
    assert_eq!(answer.header("connection"), Some("close"));
    golden_refusal("ambiguous", &answer);
    assert!(backend.received().is_empty());
}

#[test]
fn an_accept_that_allows_no_answer() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let html = |id: &str| request("POST /mcp", &[USUAL[0], "Accept: text/html"], call(id, "name").as_bytes());
    golden_refusal("not_acceptable", &scene.refuses((406, "not_acceptable"), html));
    scene.refuses_nameless((406, "not_acceptable"), &get("/mcp", &["Accept: application/json"]));
    assert!(backend.received().is_empty());
}

#[test]
fn a_foreign_host_on_loopback() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let rebound = post(&["Host: evil.example"], initialize("1"));
    golden_refusal("foreign_host", &scene.refuses_nameless((403, "foreign_host"), &rebound));
    for own in ["Host: 127.0.0.1:1", "Host: [::1]:80", "Host: LOCALHOST"] {
        assert_eq!(scene.gateway.ask(&post(&[own], initialize("1"))).status, 200, "{own}");
    }
}

#[test]
fn a_foreign_origin_on_loopback() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("allowed_hosts = [\"app.example\"]"));
    let foreign = post(&["Origin: https://evil.example"], initialize("1"));
    golden_refusal("foreign_origin", &scene.refuses_nameless((403, "foreign_host"), &foreign));
    scene.refuses_nameless((403, "foreign_host"), &post(&["Origin: null"], initialize("1")));
    for own in ["Origin: http://localhost:5173", "Origin: https://app.example"] {
        assert_eq!(scene.gateway.ask(&post(&[own], initialize("1"))).status, 200, "{own}");
    }
}

// Session ids.

#[test]
fn no_session_id_where_the_pool_keeps_sessions() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    drop(Session::open(scene.gateway.addr));
    let before = backend.received().len();
    let answer = scene.refuses((400, "session_required"), |id| post(&[], call(id, "name")));
    golden_refusal("session_required", &answer);
    scene.refuses_nameless((400, "session_required"), &get("/mcp", &["Accept: text/event-stream"]));
    assert_eq!(backend.received().len(), before);
}

#[test]
fn no_session_id_where_the_backend_judges() {
    let stateless = Backend::stateless("s");
    let gateway = Setup::of(&[stateless.url()]).start();
    assert_eq!(gateway.ask(&post(&[], call("1", "name"))).said(), "s");
    let keeps = Backend::legacy("a");
    let gateway = Setup::of(&[keeps.url()]).start();
    let answer = gateway.ask(&post(&[], call("1", "name")));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["message"], "Bad Request: Missing session ID");
}

#[test]
fn a_forged_session_id() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let session = Session::open(scene.gateway.addr);
    let before = backend.received().len();
    let with = |claim: String| move |id: &str| post(&[&format!("Mcp-Session-Id: {claim}")], call(id, "name"));
    golden_refusal("session_unknown", &scene.refuses((404, "session_unknown"), with("forged".to_owned())));
    let last = session.id.chars().last().unwrap();
    let tampered = format!("{}{}", &session.id[..session.id.len() - 1], if last == 'A' { 'Q' } else { 'A' });
    scene.refuses((404, "session_unknown"), with(tampered));
    scene.refuses((404, "session_unknown"), with("x".repeat(5000)));
    scene.refuses((404, "session_unknown"), with("a-00000001".to_owned()));
    assert_eq!(backend.received().len(), before, "a forged id touched the backend");
    assert_eq!(session.call("name").said(), "a");
}

#[test]
fn a_session_id_of_another_pool() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let scene = Scene::new(&Setup::of(&[a.url()]).pool("/other", &[b.url()]));
    let session = Session::open(scene.gateway.addr);
    let header = session.header();
    scene.refuses((404, "session_unknown"), |id| post_to("/other", &[&header], call(id, "name")));
    assert!(b.received().is_empty());
    assert_eq!(session.call("name").said(), "a");
}

#[test]
fn a_session_id_under_another_key() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let other = Setup::of(&[backend.url()]).start();
    let header = Session::open(other.addr).header();
    scene.refuses((404, "session_unknown"), |id| post(&[&header], call(id, "name")));
}

#[test]
fn an_ended_session() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    let session = Session::open(scene.gateway.addr);
    assert_eq!(session.end().status, 200);
    assert_eq!(backend.sessions(), 0);
    scene.refuses((404, "session_unknown"), |id| session.message(call(id, "name"), &[]));
}

#[test]
fn a_session_that_was_idle_for_too_long() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("session.idle = \"1s\"").start();
    let (idle, busy) = (Session::open(gateway.addr), Session::open(gateway.addr));
    let mut stream = gateway.connect();
    stream.send(&busy.listen(&[]));
    assert_eq!(stream.head().status, 200);
    let begun = now();
    wait_for("the time has passed", || begun.elapsed() > Duration::from_millis(2500));
    let answer = idle.call("name");
    assert_eq!((answer.status, &answer.json()["error"]["data"]["reason"]), (404, &json!("session_unknown")));
    assert_eq!(busy.call("name").said(), "a", "a session with an open stream is not idle");
}

#[test]
fn a_session_past_its_lifetime() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("session.idle = \"1s\"").key("session.lifetime = \"1s\"").start();
    let session = Session::open(gateway.addr);
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    let begun = now();
    wait_for("the time has passed", || begun.elapsed() > Duration::from_millis(2500));
    assert_eq!(session.call("name").status, 404);
}

// The modern era.

#[test]
fn a_header_that_does_not_match_the_body() {
    let backend = Backend::modern("m");
    let scene = Scene::of(&backend);
    let lies = |id: &str| {
        let honest = String::from_utf8(modern_call(id, "name")).unwrap();
        honest.replace("Mcp-Name: name", "Mcp-Name: other").into_bytes()
    };
    let answer = scene.refuses((400, "header_mismatch"), lies);
    assert_eq!(answer.json()["error"]["code"], -32020);
    golden_refusal("header_mismatch", &answer);
    let lacks = |id: &str| {
        let honest = String::from_utf8(modern_call(id, "name")).unwrap();
        honest.replace("Mcp-Method: tools/call\r\n", "").into_bytes()
    };
    scene.refuses((400, "header_mismatch"), lacks);
    assert!(backend.received().is_empty());
    assert_eq!(scene.gateway.ask(&modern_call("1", "name")).said(), "m");
}

#[test]
fn a_protocol_version_that_the_backend_does_not_support() {
    let theirs = "{\"jsonrpc\":\"2.0\", \"id\":9,\n \"error\":{\"code\":-32022,\"message\":\"Unsupported protocol version\",\"data\":{\"supported\":[\"2026-07-28\"],\"requested\":\"2027-01-01\"}}}";
    let backend = Backend::new("m", Kind::Modern, move |_, stream| {
        Some(respond(stream, 400, &[], "application/json", theirs.as_bytes()))
    });
    let gateway = Setup::of(&[backend.url()]).start();
    let request = String::from_utf8(modern_call("9", "name")).unwrap().replace("2026-07-28", "2027-01-01");
    let answer = gateway.ask(request.as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (400, theirs));
    assert_eq!(backend.received().len(), 1);
}

// What a backend can do.

/// A legacy backend that answers tool calls as `fault` does.
fn faulty(fault: impl Fn(&mut TcpStream) -> After + Send + Sync + 'static) -> Backend {
    legacy(move |request, stream| (request.call() == "tools/call").then(|| fault(stream)))
}

/// Whatever the backend does to a session's call, the client gets `expected`, and the session lives on.
fn backend_fault(expected: (u16, &str), fault: impl Fn(&mut TcpStream) -> After + Send + Sync + 'static) -> Answer {
    let backend = faulty(fault);
    let setup = Setup::of(&[backend.url()]).pool_key("response_timeout = \"300ms\"");
    let scene = Scene::new(&setup.pool_key("health.eject_after = 1000"));
    let session = Session::open(scene.gateway.addr);
    let answer = scene.refuses(expected, |id| session.message(call(id, "name"), &[]));
    let ping = session.send("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}", &[]);
    assert_eq!(ping.status, 200, "the session is lost: {}", ping.text());
    answer
}

#[test]
fn a_backend_that_answers_garbage() {
    let answer = backend_fault((502, "bad_gateway"), |stream| {
        write(stream, b"\x16\x03\x01 what is this\r\n\r\n");
        After::Close
    });
    golden_refusal("garbage", &answer);
}

#[test]
fn a_backend_that_answers_half_a_head() {
    backend_fault((502, "bad_gateway"), |stream| {
        write(stream, b"HTTP/1.1 200 OK\r\nContent-Ty");
        After::Close
    });
}

#[test]
fn a_backend_that_answers_half_a_body() {
    let answer = backend_fault((502, "bad_gateway"), |stream| {
        write(stream, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"jsonrpc\"");
        After::Close
    });
    golden_refusal("half_a_body", &answer);
}

#[test]
fn a_backend_that_answers_half_a_chunked_body() {
    backend_fault((502, "bad_gateway"), |stream| {
        write(
            stream,
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"jso",
        );
        After::Close
    });
}

#[test]
fn a_backend_that_hangs_up_before_its_answer() {
    let answer = backend_fault((502, "outcome_unknown"), |_| After::Close);
    golden_refusal("outcome_unknown", &answer);
}

#[test]
fn a_backend_that_never_answers() {
    let answer = backend_fault((504, "gateway_timeout"), |stream| {
        await_hangup(stream);
        After::Close
    });
    golden_refusal("gateway_timeout", &answer);
}

#[test]
fn a_backend_that_never_ends_its_answer() {
    backend_fault((504, "gateway_timeout"), |stream| {
        write(stream, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"jsonrpc\"");
        await_hangup(stream);
        After::Close
    });
}

#[test]
fn html_in_a_200() {
    let html = b"<html><body>It works!</body></html>";
    let answer = backend_fault((502, "bad_gateway"), |stream| respond(stream, 200, &[], "text/html", html));
    golden_refusal("html", &answer);
    backend_fault((502, "bad_gateway"), |stream| respond(stream, 200, &[], "application/json", html));
}

#[test]
fn an_empty_200() {
    let answer = backend_fault((502, "bad_gateway"), |stream| respond(stream, 200, &[], "application/json", b""));
    golden_refusal("empty", &answer);
}

#[test]
fn a_202_to_a_request() {
    let answer = backend_fault((502, "bad_gateway"), accept);
    golden_refusal("accepted", &answer);
}

#[test]
fn a_pool_that_nobody_serves() {
    let backend = Backend::legacy("a");
    let scene = Scene::of(&backend);
    backend.kill();
    let answer = scene.refuses((503, "no_backend"), |id| post(&[], initialize(id)));
    assert!(answer.header("retry-after").is_some());
    assert!(answer.json()["error"]["data"]["retryAfter"].is_u64());
    golden_refusal("no_backend", &answer);
    scene.refuses((503, "no_backend"), |id| modern_call(id, "name"));
}

#[test]
fn a_backend_that_has_forgotten_a_session() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).pool_key("rehome = \"never\""));
    let session = Session::open(scene.gateway.addr);
    backend.forget();
    let answer = scene.gateway.ask(&session.message(call("1", "name"), &[]));
    scene.is_refusal(&answer, (404, "session_lost"), &json!(1));
    golden_refusal("session_lost", &answer);
}

// Slow senders.

#[test]
fn a_body_that_comes_too_slowly() {
    let backend = Backend::legacy("a");
    let scene = Scene::new(&Setup::of(&[backend.url()]).key("bounds.body_timeout = \"300ms\""));
    let mut connections = [scene.gateway.connect(), scene.gateway.connect()];
    for (connection, id) in connections.iter_mut().zip(["7", "\"seven\""]) {
        let whole = post(&[], call(id, "name"));
        connection.send(&whole[..whole.len() - 10]);
    }
    let answers = connections.map(|mut connection| connection.answer());
    scene.refusals.set(1);
    scene.is_refusal(&answers[1], (408, "slow_body"), &json!("seven"));
    assert_eq!((answers[0].status, &answers[0].json()["id"]), (408, &json!(7)));
    golden_refusal("slow_body", &answers[0]);
    assert!(backend.received().is_empty());
}

#[test]
fn header_fields_that_come_too_slowly() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("bounds.header_timeout = \"300ms\"").start();
    let session = Session::open(gateway.addr);
    let mut connection = gateway.connect();
    connection.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-");
    let answer = connection.answer();
    assert_eq!((answer.status, &answer.json()["error"]["data"]["reason"]), (408, &json!("slow_headers")));
    gateway.log.wait("slow_headers", 1);
    golden_refusal("slow_headers", &answer);
    assert!(connection.is_closed());
    assert_eq!(session.call("name").said(), "a");
}

#[test]
fn header_fields_that_dribble() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("bounds.header_timeout = \"500ms\"").start();
    let session = Session::open(gateway.addr);
    let mut connection = gateway.connect();
    connection.send(b"POST /mcp HTTP/1.1\r\n");
    let begun = now();
    while connection.is_quiet_for(Duration::from_millis(50)) && begun.elapsed() < support::DEADLINE {
        connection.offer(b"X: y\r\n");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "a client may dribble for ever");
    assert_eq!(session.call("name").said(), "a");
}

#[test]
fn a_connection_that_says_nothing() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("bounds.header_timeout = \"300ms\"").start();
    let mut connection = gateway.connect();
    connection.rest();
    let mut kept = gateway.connect();
    kept.send(&post(&[], initialize("1")));
    assert_eq!(kept.answer().status, 200);
    kept.send(b"PO");
    assert_eq!(kept.answer().status, 408, "the second request's header fields are bounded too");
}

// The form of a refusal.

/// Status of a refusal (415, with id) for this `User-Agent` and these more header fields.
fn form(gateway: &Gateway, agent: &str, kind: &str) -> (u16, Value) {
    let agent = format!("User-Agent: {agent}");
    let headers = [agent.as_str(), kind, "Accept: text/html"];
    let answer = gateway.ask(&request("POST /mcp", &headers, call("5", "name").as_bytes()));
    let body = answer.json();
    assert_eq!(body["id"], 5);
    (answer.status, body["error"]["data"]["reason"].clone())
}

#[test]
fn clients_known_to_tear_down_get_their_refusal_in_a_200() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let json = USUAL[0];
    assert_eq!(form(&gateway, "python-httpx/0.28.1", json), (200, json!("not_acceptable")));
    assert_eq!(form(&gateway, "python-httpx2/2.0", json), (406, json!("not_acceptable")));
    assert_eq!(form(&gateway, "node", json), (406, json!("not_acceptable")));
    let fragile = "User-Agent: python-httpx/0.28.1";
    let truncated = gateway.ask(&post(&[fragile], "{\"jsonrpc\":\"2.0\",\"id\":5,\"meth"));
    assert_eq!((truncated.status, &truncated.json()["id"]), (200, &json!(5)));
    let nameless = gateway.ask(&post(&[fragile], "hello"));
    assert_eq!(nameless.status, 400, "nobody waits for a response without an id");
    let gone = gateway.ask(&post(&[fragile, "Mcp-Session-Id: forged"], call("5", "name")));
    assert_eq!((gone.status, &gone.json()["id"]), (404, &json!(5)));
    let modern = String::from_utf8(modern_call("5", "name")).unwrap().replace("Mcp-Name: name", fragile);
    assert_eq!(gateway.ask(modern.as_bytes()).status, 400, "the modern era's clients take a status");
}

#[test]
fn the_form_of_refusals_can_be_chosen() {
    let backend = Backend::legacy("a");
    let http = Setup::of(&[backend.url()]).key("refusals = \"http\"").start();
    assert_eq!(form(&http, "python-httpx/0.28.1", USUAL[0]).0, 406);
    let rpc = Setup::of(&[backend.url()]).key("refusals = \"jsonrpc\"").start();
    assert_eq!(form(&rpc, "node", USUAL[0]), (200, json!("not_acceptable")));
    let gone = rpc.ask(&post(&["Mcp-Session-Id: forged"], call("5", "name")));
    assert_eq!(gone.status, 404);
}
