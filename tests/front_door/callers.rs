//! Who is let in, what is known of them, and what becomes of that.

use serde_json::json;

use crate::support::backend::Received;
use crate::support::http::{Connection, post_to, request};
use crate::support::session::{initialize, modern_call};
use crate::support::{Answer, Backend, golden, until, wait_for};
use crate::{ALICE, BOB, CAROL, Client, Keys, key_of, shows};

fn shown(answer: &Answer) -> String {
    let challenge = answer.header("www-authenticate").map(|value| format!("www-authenticate: {value}\n"));
    format!("{}\n{}\n{}\n", answer.status, challenge.unwrap_or_default(), answer.text())
}

fn last_call(backend: &Backend) -> Received {
    backend.received().into_iter().rfind(|request| request.call() == "tools/call").expect("a tool was called")
}

#[test]
fn nobody_comes_in_without_a_key_and_is_told_so_under_the_requests_id() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE]));
    let gateway = keys.setup(&[&backend]).start();
    let without = gateway.ask(&post_to("/mcp", &[], initialize("\"first\"")));
    assert_eq!(without.json()["id"], "first");
    golden("refusals/unauthenticated.txt", &shown(&without));
    let wrong = gateway.ask(&post_to("/mcp", &["Authorization: Bearer moor_nobody"], initialize("7")));
    assert_eq!((wrong.status, &wrong.json()["id"]), (401, &json!(7)));
    assert!(wrong.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")), "{wrong:?}");
    let twice = [shows("alice"), shows("alice")];
    let twice = gateway.ask(&post_to("/mcp", &[&twice[0], &twice[1]], initialize("8")));
    golden("refusals/bad_credential.txt", &shown(&twice));
    // Neither other schemes, nor other methods, nor other eras come in.
    for request in [
        post_to("/mcp", &["Authorization: Basic YTpi"], initialize("9")),
        request("GET /mcp", &["Accept: text/event-stream"], b""),
        request("DELETE /mcp", &["Mcp-Session-Id: x"], b""),
        request("OPTIONS /mcp", &[], b""),
        request("GET /.well-known/oauth-protected-resource/mcp", &[], b""),
        modern_call("1", "echo"),
    ] {
        assert_eq!(gateway.ask(&request).status, 401, "{}", String::from_utf8_lossy(&request));
    }
    assert_eq!(backend.received().len(), 0, "a server was asked for nobody");
    let log = gateway.log.text() + &gateway.access.text();
    assert!(!log.contains("moor_"), "a key stands in a log");
}

#[test]
fn a_large_body_of_somebody_unknown_is_refused_by_its_id_and_not_held() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE]));
    let gateway = keys.setup(&[&backend]).start();
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{{\"name\":\"{}\"}},\"id\":5}}",
        "x".repeat(300_000)
    );
    let answer = gateway.ask(&post_to("/mcp", &[], body));
    assert_eq!((answer.status, &answer.json()["id"]), (401, &json!(5)));
}

#[test]
fn servers_see_who_asks_and_not_by_which_key() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE, BOB]));
    let gateway = keys.setup(&[&backend]).key("auth.identity = \"headers\"").start();
    let alice = Client::open(gateway.addr, &shows("alice"));
    let [credential, session] = alice.headers();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "echo" } });
    let forged = [
        "Moorline-Caller: bob",
        "Moorline-Scopes: root",
        "Moorline-Identity: x",
        // Some servers take `_` for `-`.
        "Moorline_Caller: bob",
        "X_Forwarded_For: 6.6.6.6",
        // Meant for this hop alone.
        "X-Tenant: victim",
        "Connection: X-Tenant",
    ];
    let fields = [&[credential.as_str(), session.as_str()][..], &forged].concat();
    assert_eq!(gateway.ask(&post_to("/mcp", &fields, call.to_string())).status, 200);
    let received = last_call(&backend);
    assert_eq!(received.header("moorline-caller"), Some("alice"));
    assert_eq!(received.header("moorline-scopes"), Some("mcp:read"));
    assert_eq!((received.header("authorization"), received.header("moorline-identity")), (None, None));
    let none = ["moorline_caller", "x_forwarded_for", "x-tenant"].map(|name| received.header(name));
    assert_eq!(none, [None; 3]);
    let line = gateway.access.wait("tools/call", 1);
    assert!(line.contains("\"caller\":\"alice\""), "{line}");
}

#[test]
fn servers_see_the_credential_that_the_configuration_wants_them_to_see() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE]));
    let forward = keys.setup(&[&backend]).key("auth.credential = \"forward\"").start();
    Client::open(forward.addr, &shows("alice")).call("echo");
    assert_eq!(last_call(&backend).header("authorization"), Some(format!("Bearer {}", key_of("alice")).as_str()));
    let replace = keys.setup(&[&backend]).key("auth.credential = \"replace\"");
    let replace = replace.pool_key("service_credential = \"Bearer ours\"").start();
    Client::open(replace.addr, &shows("alice")).call("echo");
    assert_eq!(last_call(&backend).header("authorization"), Some("Bearer ours"));
    let field = keys.setup(&[&backend]).key("auth.header = \"x-api-key\"").start();
    Client::open(field.addr, &format!("X-Api-Key: {}", key_of("alice"))).call("echo");
    assert_eq!(last_call(&backend).header("x-api-key"), None);
}

#[test]
fn a_session_is_its_callers_alone() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE, BOB]));
    let gateway = keys.setup(&[&backend]).start();
    let alice = Client::open(gateway.addr, &shows("alice"));
    assert_eq!(alice.call("echo").status, 200);
    let thief = alice.with(&shows("bob"));
    let before = backend.received().len();
    let refused = thief.call("echo");
    assert_eq!((refused.status, &refused.json()["error"]["data"]["reason"]), (404, &json!("session_unknown")));
    let [credential, session] = thief.headers();
    let stream = request("GET /mcp", &["Accept: text/event-stream", &credential, &session], b"");
    assert_eq!(gateway.ask(&stream).status, 404);
    assert_eq!(gateway.ask(&request("DELETE /mcp", &[&credential, &session], b"")).status, 404);
    assert_eq!(backend.received().len(), before, "the server was asked for a thief");
    assert_eq!(alice.call("echo").status, 200);
}

#[test]
fn one_caller_has_so_many_sessions_and_no_more() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE, BOB]));
    let gateway = keys.setup(&[&backend]).key("session.per_caller = 2").start();
    let first = Client::open(gateway.addr, &shows("alice"));
    Client::open(gateway.addr, &shows("alice"));
    let third = gateway.ask(&post_to("/mcp", &[&shows("alice")], initialize("3")));
    golden("refusals/many_sessions.txt", &shown(&third));
    Client::open(gateway.addr, &shows("bob"));
    let [credential, session] = first.headers();
    assert_eq!(gateway.ask(&request("DELETE /mcp", &[&credential, &session], b"")).status, 200);
    Client::open(gateway.addr, &shows("alice"));
}

#[test]
fn a_revoked_key_opens_nothing_and_its_streams_end() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE, BOB]));
    let gateway = keys.setup(&[&backend]).start();
    let alice = Client::open(gateway.addr, &shows("alice"));
    let bob = Client::open(gateway.addr, &shows("bob"));
    let mut streams = [&alice, &bob].map(|client| {
        let [credential, session] = client.headers();
        let mut stream = Connection::to(gateway.addr);
        stream.send(&request("GET /mcp", &["Accept: text/event-stream", &credential, &session], b""));
        assert_eq!(stream.head().status, 200);
        assert!(stream.event().is_some_and(|event| event.starts_with("retry")));
        stream
    });
    keys.write(&[BOB]);
    assert!(streams[0].ended_well(), "a clean end");
    until("the key is refused", || (alice.call("echo").status == 401).then_some(()));
    assert_eq!(bob.call("echo").status, 200);
    assert!(streams[1].is_quiet_for(std::time::Duration::from_millis(600)));
    // Back in the file: the same caller, and its session is still there.
    keys.write(&[ALICE, BOB]);
    until("the key is good again", || (alice.call("echo").status == 200).then_some(()));
}

#[test]
fn callers_behind_one_address_have_accounts_of_their_own() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE, BOB, CAROL]));
    let limit = "limit = [{ name = \"each\", rate = \"2/h\" }]";
    let gateway = keys.setup(&[&backend]).key(limit).start();
    let [alice, bob] = ["alice", "bob"].map(|name| Client::open(gateway.addr, &shows(name)));
    let calls = |client: &Client| [1, 2, 3].map(|_| client.call("echo").status);
    assert_eq!((calls(&alice), calls(&bob)), ([200, 200, 429], [200, 200, 429]));
    let accounts = gateway.admin("/api/v1/limits?subject=key:alice").json();
    assert_eq!(accounts["limits"][0]["accounts"][0]["subject"], "key:alice", "{accounts}");
    // Those of one organisation together.
    let limit = "limit = [{ name = \"org\", key = \"claim:org\", rate = \"2/h\" }]";
    let gateway = keys.setup(&[&backend]).key(limit).start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Client::open(gateway.addr, &shows(name)));
    let statuses = [&alice, &bob, &alice, &carol].map(|client| client.call("echo").status);
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[test]
fn the_standard_limits_tell_callers_from_strangers() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE]));
    let gateway = keys.setup(&[&backend]).key("limits.preset = \"standard\"").start();
    let alice = Client::open(gateway.addr, &shows("alice"));
    let statuses: Vec<u16> = (0..61).map(|_| alice.call("echo").status).collect();
    assert_eq!((statuses[59], statuses[60]), (200, 429), "60 a minute for each caller");
}

#[test]
fn results_are_the_callers_own_or_its_organisations() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let given = std::sync::Arc::clone(&count);
    let backend = Backend::new("b", crate::support::backend::Kind::Legacy, move |request, stream| {
        let is_call = request.call() == "tools/call";
        is_call.then(|| {
            let number = given.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let result = json!({ "content": [{ "type": "text", "text": number.to_string() }] });
            let id = &request.json()["id"];
            crate::support::backend::reply(stream, &json!({ "jsonrpc": "2.0", "id": id, "result": result }))
        })
    });
    let keys = Keys::of(&[ALICE, BOB, CAROL]);
    let rules = r#"cache = [{ tools = ["own"], ttl = "1h", trust = true }, { tools = ["org"], ttl = "1h", scope = "claim:org", trust = true }]"#;
    let gateway = keys.setup(&[&backend]).key(rules).start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Client::open(gateway.addr, &shows(name)));
    let elsewhere = Client::open(gateway.addr, &shows("alice"));
    let said = |client: &Client, tool: &str| client.call(tool).said();
    let own = said(&alice, "own");
    assert_eq!(said(&elsewhere, "own"), own, "one caller in two sessions");
    assert_ne!(said(&bob, "own"), own);
    let org = said(&alice, "org");
    assert_eq!(said(&bob, "org"), org);
    assert_ne!(said(&carol, "org"), org);
    // What one caller has asked for is forgotten by its name.
    assert_eq!(gateway.order("/api/v1/cache/purge", r#"{"callers":["key:alice"]}"#).status, 204);
    wait_for("alice's own is forgotten", || said(&alice, "own") != own);
}

#[test]
fn a_refused_caller_keeps_its_connection() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE]));
    let gateway = keys.setup(&[&backend]).start();
    let mut connection = gateway.connect();
    connection.send(&post_to("/mcp", &[], initialize("1")));
    assert_eq!(connection.answer().status, 401);
    connection.send(&post_to("/mcp", &[&shows("alice")], initialize("2")));
    let answer = connection.answer();
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(2)));
}

#[test]
fn a_page_at_home_can_log_in_though_no_origin_is_configured() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE]));
    let gateway = keys.setup(&[&backend]).start();
    let page = "Origin: http://localhost:5173";
    let ask = |origin| gateway.ask(&request("OPTIONS /mcp", &[origin, "Access-Control-Request-Method: POST"], b""));
    let preflight = ask(page);
    assert_eq!(preflight.status, 204, "{}", preflight.text());
    assert_eq!(preflight.header("access-control-allow-origin"), Some("http://localhost:5173"));
    assert!(preflight.header("access-control-allow-headers").is_some_and(|list| list.contains("authorization")));
    // What it needs for a login it may read.
    let challenge = gateway.ask(&post_to("/mcp", &[page], initialize("1")));
    assert_eq!(
        (challenge.status, challenge.header("access-control-allow-origin")),
        (401, Some("http://localhost:5173"))
    );
    assert!(challenge.header("access-control-expose-headers").is_some_and(|list| list.contains("www-authenticate")));
    let foreign = ask("Origin: https://evil.example");
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (403, None));
    assert!(backend.received().is_empty());
}
