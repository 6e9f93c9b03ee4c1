//! What each caller may do, and which tools it is shown.

use serde_json::{Value, json};

use crate::support::backend::{After, Kind, chunk, end_stream, open_stream, reply};
use crate::support::http::{Connection, post_to, request};
use crate::support::session::modern;
use crate::support::{Answer, Backend, golden};
use crate::{ALICE, BOB, CAROL, Client, Keys, names_in, shows};

/// Reserves what begins with `delete_` for administrators, and `audit` for bob by his name.
const RULES: &str = r#"allow = [
    { tools = ["delete_*"], scopes = ["mcp:admin"] },
    { tools = ["audit"], callers = ["bo*"] },
    { tools = ["team_*"], claims = { org = "acme" } },
    { methods = ["prompts/*"], scopes = ["mcp:read"] },
]"#;

const ALL: [&str; 4] = ["get", "delete_all", "audit", "team_plan"];

fn list(id: &Value, more: &Value) -> Value {
    let tools: Vec<Value> =
        ALL.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect();
    let mut result = json!({ "tools": tools });
    for (name, value) in more.as_object().into_iter().flatten() {
        result[name] = value.clone();
    }
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// A server with these tools. It answers as a stream where its name says so.
fn shop(name: &str, kind: Kind, more: Value) -> Backend {
    let streams = name == "streams";
    Backend::new(name, kind, move |request, stream| {
        let message = request.json();
        if let Some(batch) = message.as_array() {
            let answers: Vec<Value> = batch.iter().map(|one| list(&one["id"], &more)).collect();
            return Some(reply(stream, &Value::Array(answers)));
        }
        if request.call() != "tools/list" {
            return None;
        }
        let list = list(&message["id"], &more);
        Some(if streams { event(stream, &list) } else { reply(stream, &list) })
    })
}

fn event(stream: &mut std::net::TcpStream, message: &Value) -> After {
    open_stream(stream, &[]);
    chunk(stream, &format!("id: 1\ndata: \n\nevent: message\nid: 2\ndata: {message}\n\n"));
    end_stream(stream)
}

fn shown(answer: &Answer) -> String {
    let challenge = answer.header("www-authenticate").map(|value| format!("www-authenticate: {value}\n"));
    format!("{}\n{}\n{}\n", answer.status, challenge.unwrap_or_default(), answer.text())
}

#[test]
fn what_is_reserved_is_for_those_alone_for_whom_it_is_reserved() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE, BOB, CAROL]));
    let gateway = keys.setup(&[&backend]).key(RULES).start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Client::open(gateway.addr, &shows(name)));
    let statuses = |client: &Client| ALL.map(|tool| client.call(tool).status);
    assert_eq!(statuses(&alice), [200, 403, 403, 200]);
    assert_eq!(statuses(&bob), [200, 200, 200, 200]);
    assert_eq!(statuses(&carol), [200, 403, 403, 403]);
    golden("refusals/insufficient_scope.txt", &shown(&alice.call("delete_all")));
    golden("refusals/not_allowed.txt", &shown(&carol.call("team_plan")));
    assert_eq!(
        (alice.ask("prompts/list", &json!({})).status, carol.ask("prompts/list", &json!({})).status),
        (200, 403)
    );
    let reached = |tool: &str| backend.received().iter().filter(|request| request.tool() == tool).count();
    assert_eq!(
        (reached("delete_all"), reached("audit"), reached("team_plan")),
        (1, 1, 2),
        "a server heard of a refused call"
    );
    // Nobody gets around it: not by a name that is written otherwise, not in a batch.
    let escaped = r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"\u0064elete_all"}}"#;
    let batch = format!("[{escaped}]");
    for body in [escaped, batch.as_str()] {
        let [credential, session] = alice.headers();
        let fields = [credential.as_str(), session.as_str(), "MCP-Protocol-Version: 2025-03-26"];
        assert_eq!(gateway.ask(&post_to("/mcp", &fields, body)).status, 403, "{body}");
    }
    let doubled = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get","name":"delete_all"}}"#;
    let listed = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["delete_all"]}}"#;
    let wrapped = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[{"name":"delete_all"}]}"#;
    let nameless = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":{"0":"delete_all"}}}"#;
    let [credential, session] = alice.headers();
    for body in [doubled, listed, wrapped, nameless] {
        assert_eq!(gateway.ask(&post_to("/mcp", &[&credential, &session], body)).status, 400, "{body}");
    }
    assert_eq!(reached("delete_all"), 1);
}

#[test]
fn a_list_shows_each_caller_its_own_tools_in_every_form() {
    for kind in ["json", "streams"] {
        let backend = shop(kind, Kind::Legacy, json!({ "nextCursor": "2" }));
        let keys = Keys::of(&[ALICE, BOB, CAROL]);
        let gateway = keys.setup(&[&backend]).key(RULES).start();
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Client::open(gateway.addr, &shows(name)));
        assert_eq!(alice.tools(), ["get", "team_plan"], "{kind}");
        assert_eq!(bob.tools(), ALL, "{kind}");
        assert_eq!(carol.tools(), ["get"], "{kind}");
        let answer = carol.ask("tools/list", &json!({}));
        assert!(answer.text().contains("nextCursor") && !answer.text().contains("delete"), "{}", answer.text());
    }
}

#[test]
fn a_modern_list_says_that_it_is_for_its_caller_alone() {
    let backend =
        shop("json", Kind::Modern, json!({ "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public" }));
    let keys = Keys::of(&[ALICE, BOB]);
    let gateway = keys.setup(&[&backend]).key(RULES).pool_key("protocol_cache = \"public\"").start();
    let lists = |name: &str| gateway.ask(&modern("/mcp", &[&shows(name)], ("1", "tools/list"), ""));
    let (first, second, again) = (lists("bob"), lists("alice"), lists("bob"));
    assert_eq!(
        (names_in(&first), names_in(&second), names_in(&again)),
        (ALL.map(String::from).to_vec(), vec!["get".into(), "team_plan".into()], ALL.map(String::from).to_vec())
    );
    for answer in [&first, &second, &again] {
        assert_eq!(answer.json()["result"]["cacheScope"], "private", "{}", answer.text());
    }
    // It was fetched once, and what was kept of it is whole.
    assert_eq!(second.header("moorline-cache").map(|word| word.starts_with("hit")), Some(true), "{second:?}");
    assert_eq!(backend.received().iter().filter(|request| request.call() == "tools/list").count(), 1);
}

#[test]
fn a_list_in_a_batch_or_a_resumed_stream_is_no_way_around() {
    let backend = Backend::new("b", Kind::Legacy, |request, stream| match request.method.as_str() {
        "GET" => {
            let list = list(&json!(1), &json!({}));
            open_stream(stream, &[]);
            chunk(
                stream,
                &format!(
                    "id: 9\ndata: {list}\n\ndata: [{list}]\n\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}}\n\n"
                ),
            );
            Some(end_stream(stream))
        }
        "POST" if request.json().is_array() => {
            let answers: Vec<Value> =
                request.json().as_array().into_iter().flatten().map(|one| list(&one["id"], &json!({}))).collect();
            Some(reply(stream, &Value::Array(answers)))
        }
        _ => None,
    });
    let keys = Keys::of(&[CAROL]);
    let gateway = keys.setup(&[&backend]).key(RULES).start();
    let carol = Client::open(gateway.addr, &shows("carol"));
    let [credential, session] = carol.headers();
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]"#;
    let fields = [credential.as_str(), session.as_str(), "MCP-Protocol-Version: 2025-03-26"];
    let answer = gateway.ask(&post_to("/mcp", &fields, batch));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"get\"") && !answer.text().contains("delete"), "{}", answer.text());
    let mut stream = Connection::to(gateway.addr);
    stream.send(&request("GET /mcp", &["Accept: text/event-stream", &credential, &session, "Last-Event-ID: 8"], b""));
    assert_eq!(stream.head().status, 200);
    let seen = stream.read_to("notifications/message").expect("what is not hidden passes");
    assert_eq!(seen.matches("\"get\"").count(), 2, "{seen}");
    assert!(!seen.contains("delete") && !seen.contains("audit"), "{seen}");
}

#[test]
fn a_list_too_long_to_be_read_is_not_shown() {
    let long = "x".repeat(40_000);
    for kind in ["json", "streams"] {
        let backend = shop(kind, Kind::Legacy, json!({ "padding": long }));
        let keys = Keys::of(&[ALICE]);
        let gateway = keys.setup(&[&backend]).key(RULES).key("bounds.inspect = \"16KiB\"").start();
        let alice = Client::open(gateway.addr, &shows("alice"));
        let answer = alice.ask("tools/list", &json!({}));
        assert!(!answer.text().contains("delete"), "{kind}");
        assert!(
            answer.text().contains("bounds.inspect") && answer.text().contains("\"id\":1"),
            "{kind}: {}",
            answer.text()
        );
    }
}

#[test]
fn rules_change_without_a_restart() {
    let (backend, keys) = (Backend::legacy("b"), Keys::of(&[ALICE]));
    let setup = keys.setup(&[&backend]);
    let gateway = setup.clone().key(RULES).start();
    let alice = Client::open(gateway.addr, &shows("alice"));
    assert_eq!(alice.call("delete_all").status, 403);
    gateway.configure(&setup.text());
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(alice.call("delete_all").status, 200);
}
