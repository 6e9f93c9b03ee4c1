//! The cache as clients, servers and operators see it: what is kept and for whom, who makes the call, and when it is forgotten.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};

use serde_json::{Value, json};

use support::backend::{After, Kind, chunk, end_stream, open_stream, reply, respond};
use support::http::{Connection, post_to};
use support::session::{modern, modern_call};
use support::{Answer, Backend, DEADLINE, Gateway, Received, Session, Setup, until};

/// Everything is kept for everybody.
const PUBLIC: &str = r#"{ tools = ["*"], ttl = "1h", scope = "public", trust = true }"#;

/// A server every one of whose results is new: it says how many it has given. What it does with a call, the tool's name says.
struct Shop {
    backend: Backend,
    given: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

/// Holds calls up until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let open = self.open.lock().expect("nobody panics here");
        let (open, late) =
            self.opened.wait_timeout_while(open, 2 * DEADLINE, |open| !*open).expect("nobody panics here");
        assert!(!late.timed_out(), "nobody opens the gate");
        drop(open);
    }

    /// Whether it is open, or is opened within a moment.
    fn is_open(&self) -> bool {
        let open = self.open.lock().expect("nobody panics here");
        let moment = std::time::Duration::from_millis(10);
        *self.opened.wait_timeout_while(open, moment, |open| !*open).expect("nobody panics here").0
    }

    fn open(&self) {
        *self.open.lock().expect("nobody panics here") = true;
        self.opened.notify_all();
    }
}

impl Shop {
    fn new(kind: Kind) -> Self {
        let (given, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Gate::default()));
        let (count, door) = (Arc::clone(&given), Arc::clone(&gate));
        let backend = Backend::new("shop", kind, move |request, stream| sell(request, stream, &count, &door));
        Self { backend, given, gate }
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }

    /// How many calls of a tool it has heard of.
    fn heard(&self, tool: &str) -> usize {
        self.backend.received().iter().filter(|request| request.tool() == tool).count()
    }
}

fn sell(request: &Received, stream: &mut TcpStream, given: &AtomicUsize, gate: &Gate) -> Option<After> {
    let (call, tool) = (request.call(), request.tool());
    if call == "notifications/cancelled" || !call.contains('/') || call.starts_with("notifications") {
        return None;
    }
    let number = given.fetch_add(1, Ordering::SeqCst) + 1;
    let id = request.json()["id"].clone();
    let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
    let text = |text: String| json!({ "content": [{ "type": "text", "text": text }], "resultType": "complete" });
    let plain = answer(text(format!("{number}")));
    if tool.starts_with("slow") {
        gate.pass();
    }
    if tool.starts_with("steps") && !gate.is_open() {
        let failed = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": "no" } });
        return Some(steps(request, stream, gate, if tool == "steps_fail" { &failed } else { &plain }));
    }
    Some(match (&*call, tool.trim_start_matches("slow_")) {
        ("tools/list", _) => reply(stream, &answer(listed(number))),
        ("resources/read", _) => reply(
            stream,
            &answer(
                json!({ "contents": [{ "uri": "a:b", "text": number.to_string() }], "ttlMs": 60_000, "cacheScope": "public", "resultType": "complete" }),
            ),
        ),
        (_, "fails") => reply(stream, &answer(json!({ "content": [], "isError": true, "n": number }))),
        (_, "errs") => reply(
            stream,
            &json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": number.to_string() } }),
        ),
        (_, "breaks") => respond(stream, 500, &[], "application/json", b"{}"),
        (_, "rounds") => {
            reply(stream, &answer(json!({ "resultType": "input_required", "inputRequests": {}, "n": number })))
        }
        (_, "big") => reply(stream, &answer(text("x".repeat(200_000) + &number.to_string()))),
        (_, "streams") => events(stream, &[plain]),
        (_, "asks") => {
            let asks = json!({ "jsonrpc": "2.0", "id": "s-1", "method": "elicitation/create", "params": {} });
            events(stream, &[asks, plain])
        }
        (_, "pings") => events(stream, &[json!({ "jsonrpc": "2.0", "id": "s-1", "method": "ping" }), plain]),
        (_, "progresses") => {
            let note = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 1, "progress": 1 } });
            events(stream, &[note, plain])
        }
        (_, "drops") => After::Close,
        (_, "cut") => {
            open_stream(stream, &[]);
            chunk(stream, ": on its way\n\n");
            After::Close
        }
        (_, "changes") => {
            let note = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
            let updated =
                json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": "a:b" } });
            events(stream, &[note, updated, plain])
        }
        _ => reply(stream, &plain),
    })
}

/// Says how far it has got, to whoever wants to know, until the gate is opened.
fn steps(request: &Received, stream: &mut TcpStream, gate: &Gate, last: &Value) -> After {
    let token = request.json()["params"]["_meta"]["progressToken"].clone();
    open_stream(stream, &[]);
    for progress in 0.. {
        let params = json!({ "progressToken": token, "progress": progress, "total": 9 });
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
        chunk(stream, &if token.is_null() { ": nobody asks\n\n".into() } else { format!("data: {note}\n\n") });
        if gate.is_open() {
            break;
        }
    }
    chunk(stream, &format!("data: {last}\n\n"));
    end_stream(stream)
}

fn listed(number: usize) -> Value {
    let tool =
        |name: &str, hints: Value| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": hints });
    let tools = [
        tool("reads", json!({ "readOnlyHint": true })),
        tool("destroys", json!({ "readOnlyHint": true, "destructiveHint": true })),
        tool("says_nothing", json!({})),
        tool("writes", json!({ "readOnlyHint": false })),
    ];
    json!({ "tools": tools, "n": number, "ttlMs": 60_000, "cacheScope": "private", "resultType": "complete" })
}

fn events(stream: &mut TcpStream, messages: &[Value]) -> After {
    open_stream(stream, &[]);
    for message in messages {
        chunk(stream, &format!("event: message\ndata: {message}\n\n"));
    }
    end_stream(stream)
}

fn gateway(shop: &Shop, rules: &str) -> Gateway {
    setup(shop, rules).start()
}

fn setup(shop: &Shop, rules: &str) -> Setup {
    Setup::of(&[shop.backend.url()]).key(&format!("cache = [{rules}]"))
}

/// A modern call with arguments (raw JSON) and more header fields.
fn call_with(gateway: &Gateway, tool: &str, arguments: &str, more: &[&str]) -> Answer {
    let params = format!("\"name\":\"{tool}\",\"arguments\":{arguments}");
    gateway.ask(&modern("/mcp", more, ("7", "tools/call"), &params))
}

fn call(gateway: &Gateway, tool: &str) -> Answer {
    gateway.ask(&modern_call("7", tool))
}

/// The word before the first semicolon of what the answer says of itself.
fn source(answer: &Answer) -> String {
    let said = answer.header("moorline-cache").unwrap_or("nothing");
    said.split(';').next().unwrap_or_default().to_owned()
}

fn sources(gateway: &Gateway, tool: &str, times: usize) -> Vec<String> {
    (0..times).map(|_| source(&call(gateway, tool))).collect()
}

/// The one message in a body, be it JSON or an event.
fn message(answer: &Answer) -> Value {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    serde_json::from_str(data.unwrap_or(&text)).unwrap_or_else(|error| panic!("{error}: {text}"))
}

// ---- what is kept ----------------------------------------------------------------------------------------------------

#[test]
fn a_kept_result_is_given_under_the_requests_own_id_and_says_where_it_came_from() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    let first = gateway.ask(&modern_call("\"one\"", "reads"));
    assert_eq!((first.status, first.header("moorline-cache")), (200, Some("miss")));
    assert_eq!(message(&first)["result"]["_meta"]["moorline/cache"], json!({ "status": "miss" }));
    let again = gateway.ask(&modern_call("\"two\"", "reads"));
    let said = again.header("moorline-cache").unwrap_or_default().to_owned();
    assert!(
        said == "hit; age=0; ttl=3600" || said == "hit; age=0; ttl=3599" || said == "hit; age=1; ttl=3598",
        "{said}"
    );
    let (one, two) = (message(&first), message(&again));
    assert_eq!((&one["id"], &two["id"]), (&json!("one"), &json!("two")));
    assert_eq!(one["result"]["content"], two["result"]["content"]);
    assert_eq!(two["result"]["_meta"]["moorline/cache"]["status"], "hit");
    assert_eq!(two["result"]["resultType"], "complete");
    assert_eq!(shop.given(), 1);
    gateway.access.wait("\"cache\":\"miss\"", 1);
    gateway.access.wait("\"cache\":\"hit\"", 1);
}

#[test]
fn an_answer_has_the_form_that_its_client_takes() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    assert_eq!(sources(&gateway, "streams", 2), ["miss", "hit"], "a result that came as an event is kept too");
    for (accept, kind) in [("text/event-stream", "text/event-stream"), ("application/json", "application/json")] {
        let params = "\"name\":\"streams\",\"arguments\":{}";
        let asked = String::from_utf8(modern("/mcp", &[], ("7", "tools/call"), params)).expect("it is text");
        let asked = asked.lines().map(|line| match line.split_once(": ") {
            Some((name, _)) if name.eq_ignore_ascii_case("accept") => format!("Accept: {accept}"),
            _ => line.to_owned(),
        });
        let answer = gateway.ask(asked.collect::<Vec<_>>().join("\r\n").as_bytes());
        assert_eq!((source(&answer).as_str(), answer.header("content-type")), ("hit", Some(kind)));
        assert_eq!(message(&answer)["result"]["content"][0]["text"], "1");
    }
}

#[test]
fn what_must_not_be_kept_is_not() {
    let shop = Shop::new(Kind::Modern);
    let rule = r#"{ tools = ["*"], ttl = "1h", scope = "public", trust = true, max_bytes = "100KiB" }"#;
    let gateway = gateway(&shop, rule);
    for tool in ["fails", "errs", "breaks", "rounds", "big", "asks", "cut"] {
        let before = shop.heard(tool);
        for _ in 0..2 {
            let answer = call(&gateway, tool);
            assert_ne!(source(&answer), "hit", "{tool}");
        }
        assert!(shop.heard(tool) >= before + 2, "{tool}: asked {} times", shop.heard(tool) - before);
    }
    assert_eq!(sources(&gateway, "pings", 2), ["miss", "hit"], "a ping asks nobody anything");
    assert_eq!(sources(&gateway, "progresses", 2), ["miss", "hit"]);
    // The retry of a question is one of a kind.
    let retry = r#""name":"reads","arguments":{},"inputResponses":{"a":{}}"#;
    for _ in 0..2 {
        assert_eq!(source(&gateway.ask(&modern("/mcp", &[], ("7", "tools/call"), retry))), "bypass");
    }
}

#[test]
fn errors_of_a_tool_are_kept_where_the_rule_says_so_and_no_longer() {
    let shop = Shop::new(Kind::Modern);
    let rule = r#"{ tools = ["*"], ttl = "1h", negative = "1s", scope = "public", trust = true }"#;
    let gateway = gateway(&shop, rule);
    assert_eq!(sources(&gateway, "fails", 2), ["miss", "hit"]);
    assert_eq!(message(&call(&gateway, "fails"))["result"]["isError"], true);
    until("it is forgotten", || (source(&call(&gateway, "fails")) == "miss").then_some(()));
}

#[test]
fn no_tool_is_kept_that_no_rule_names_and_none_that_does_not_say_that_it_only_reads() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["reads", "destroys", "says_nothing", "writes"], ttl = "1h", scope = "public" },
        { tools = ["trusted"], ttl = "1h", scope = "public", trust = true }"#;
    let gateway = gateway(&shop, rules);
    // Nothing is known of it yet.
    assert_eq!(sources(&gateway, "reads", 2), ["nothing", "nothing"]);
    gateway.ask(&modern("/mcp", &[], ("1", "tools/list"), ""));
    assert_eq!(sources(&gateway, "reads", 2), ["miss", "hit"]);
    for tool in ["destroys", "says_nothing", "writes", "unnamed"] {
        assert_eq!(sources(&gateway, tool, 2), ["nothing", "nothing"], "{tool}");
    }
    assert_eq!(sources(&gateway, "trusted", 2), ["miss", "hit"]);
}

#[test]
fn the_first_rule_that_fits_counts() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["get_*"], ttl = "10s", scope = "public", trust = true },
        { tools = ["*"], ttl = "1h", scope = "public", trust = true }"#;
    let gateway = gateway(&shop, rules);
    call(&gateway, "get_a");
    call(&gateway, "other");
    let left = |tool: &str| call(&gateway, tool).header("moorline-cache").unwrap_or_default().to_owned();
    assert!(left("get_a").ends_with("ttl=9") || left("get_a").ends_with("ttl=10"), "{}", left("get_a"));
    assert!(left("other").contains("ttl=35") || left("other").contains("ttl=3600"), "{}", left("other"));
}

// ---- the key ---------------------------------------------------------------------------------------------------------

#[test]
fn the_same_arguments_share_however_they_are_written_and_others_do_not() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    let same = [
        r#"{"a":1,"b":[1.0,"\u0065"],"c":{}}"#,
        r#"{ "c" : {}, "b" : [1, "e"], "a" : 10e-1 }"#,
        r#"{"b":[1E0,"e"],"a":1.000,"c":{ }}"#,
    ];
    let sources: Vec<String> = same.iter().map(|text| source(&call_with(&gateway, "reads", text, &[]))).collect();
    assert_eq!(sources, ["miss", "hit", "hit"]);
    let others = [
        r#"{"n":9007199254740993}"#,
        r#"{"n":9007199254740992}"#,
        r#"{"n":1}"#,
        r#"{"n":"1"}"#,
        r#"{"n":null}"#,
        "{}",
        r#"{"n":"é"}"#,
        "{\"n\":\"e\u{301}\"}",
        r#"{"n":[1,2]}"#,
        r#"{"n":[2,1]}"#,
    ];
    for text in others {
        assert_eq!(source(&call_with(&gateway, "reads", text, &[])), "miss", "{text}");
    }
    // Which of two values counts, readers do not agree on.
    for _ in 0..2 {
        assert_ne!(source(&call_with(&gateway, "reads", r#"{"a":1,"a":2}"#, &[])), "hit");
    }
}

#[test]
fn clients_of_another_site_do_not_share_and_those_of_another_address_do() {
    let shop = Shop::new(Kind::Modern);
    let gateway = setup(&shop, PUBLIC).key("allowed_hosts = [\"a.example\", \"b.example\"]").start();
    let ask = |host: &str| source(&call_with(&gateway, "reads", "{}", &[&format!("Host: {host}")]));
    assert_eq!([ask("a.example"), ask("b.example"), ask("a.example:8080")], ["miss", "miss", "miss"]);
    assert_eq!([ask("127.0.0.1:8001"), ask("127.0.0.1:8002"), ask("[::1]:8003")], ["miss", "hit", "hit"]);
}

#[test]
fn arguments_count_as_the_rule_says() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["a"], ttl = "1h", scope = "public", trust = true, arguments = { ignore = ["request_id"], lowercase = ["q"], trim = ["q"] } },
        { tools = ["b"], ttl = "1h", scope = "public", trust = true, arguments = { only = ["/q/text"] } }"#;
    let gateway = gateway(&shop, rules);
    let ask = |tool: &str, text: &str| source(&call_with(&gateway, tool, text, &[]));
    assert_eq!(ask("a", r#"{"q":"Blue ","request_id":1}"#), "miss");
    assert_eq!(ask("a", r#"{"q":"blue","request_id":2}"#), "hit");
    assert_eq!(ask("a", r#"{"q":"blue"}"#), "hit");
    assert_eq!(ask("a", r#"{"q":"red"}"#), "miss");
    assert_eq!(ask("b", r#"{"q":{"text":1,"x":1},"y":1}"#), "miss");
    assert_eq!(ask("b", r#"{"q":{"text":1,"x":2}}"#), "hit");
    assert_eq!(ask("b", r#"{"q":{"text":2,"x":1},"y":1}"#), "miss");
}

#[test]
fn of_the_metadata_only_what_a_result_may_depend_on_counts() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    let ask = |meta: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "reads", "arguments": {}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        } } });
        let mut body = body;
        let more: Value = serde_json::from_str(meta).expect("the test writes JSON");
        for (key, value) in more.as_object().expect("an object") {
            body["params"]["_meta"][key] = value.clone();
        }
        let headers = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: reads"];
        source(&gateway.ask(&support::http::post(&headers, body.to_string())))
    };
    assert_eq!(ask("{}"), "miss");
    assert_eq!(ask(r#"{"progressToken":5}"#), "hit");
    assert_eq!(ask(r#"{"traceparent":"00-1","tracestate":"a","baggage":"b"}"#), "hit");
    assert_eq!(ask(r#"{"io.modelcontextprotocol/clientInfo":{"name":"other","version":"2"}}"#), "hit");
    assert_eq!(ask(r#"{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}"#), "miss");
    assert_eq!(ask(r#"{"tenant":"a"}"#), "miss");
}

// ---- for whom --------------------------------------------------------------------------------------------------------

#[test]
fn a_callers_results_are_nobody_elses() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, r#"{ tools = ["*"], ttl = "1h", trust = true }"#);
    let ask = |more: &[&str]| {
        let answer = call_with(&gateway, "reads", "{}", more);
        (source(&answer), message(&answer)["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned())
    };
    let (alice, bob) = (&["Authorization: Bearer alice"][..], &["Authorization: Bearer bob"][..]);
    assert_eq!(ask(alice), ("miss".into(), "1".into()));
    assert_eq!(ask(bob), ("miss".into(), "2".into()));
    assert_eq!(ask(alice), ("hit".into(), "1".into()));
    assert_eq!(ask(bob), ("hit".into(), "2".into()));
    // One credential that a proxy lends to many, and says beside it for whom.
    let lent = |user: &'static str| ask(&["Authorization: Bearer alice", user]).0;
    assert_eq!([lent("X-User: carol"), lent("X-User: dave"), lent("X-User: carol")], ["miss", "miss", "hit"]);
    assert_eq!(ask(&["X-Api-Key: alice"]).0, "miss");
    // Nobody can be told from anybody else.
    assert_eq!([ask(&[]).0, ask(&[]).0], ["bypass", "bypass"]);
}

#[test]
fn sessions_headers_and_what_varies_keep_results_apart() {
    let shop = Shop::new(Kind::Legacy);
    let rules = r#"{ tools = ["s"], ttl = "1h", scope = "session", trust = true },
        { tools = ["c"], ttl = "1h", trust = true },
        { tools = ["h"], ttl = "1h", scope = "header:x-tenant", trust = true },
        { tools = ["v"], ttl = "1h", scope = "public", vary = ["Accept-Language"], trust = true },
        { tools = ["p"], ttl = "1h", scope = "public", trust = true }"#;
    let gateway = setup(&shop, rules).key("trusted_proxies = [\"127.0.0.1\"]").start();
    let (one, two) = (Session::open(gateway.addr), Session::open(gateway.addr));
    let ask =
        |session: &Session, tool: &str, more: &[&str]| source(&session.send(support::session::call("1", tool), more));
    for tool in ["s", "c"] {
        let all = [ask(&one, tool, &[]), ask(&two, tool, &[]), ask(&one, tool, &[]), ask(&two, tool, &[])];
        assert_eq!(all, ["miss", "miss", "hit", "hit"], "{tool}");
    }
    let tenants = ["X-Tenant: a", "X-Tenant: b", "X-Tenant: a"].map(|tenant| ask(&one, "h", &[tenant]));
    assert_eq!(tenants, ["miss", "miss", "hit"]);
    assert_eq!(ask(&two, "h", &["X-Tenant: a"]), "hit");
    assert_eq!(ask(&two, "h", &[]), "bypass");
    assert_eq!(ask(&two, "h", &["X-Tenant: a", "X-Tenant: b"]), "bypass", "of two values nobody knows which counts");
    let languages = ["Accept-Language: de", "Accept-Language: fr", "Accept-Language: de"]
        .map(|language| ask(&one, "v", &[language]));
    assert_eq!(languages, ["miss", "miss", "hit"]);
    assert_eq!([ask(&one, "p", &[]), ask(&two, "p", &[])], ["miss", "hit"]);
    let hit = one.call("p");
    assert_eq!(hit.header("mcp-session-id"), Some(one.id.as_str()));
}

#[test]
fn a_session_whose_client_can_do_something_else_has_results_of_its_own() {
    let shop = Shop::new(Kind::Legacy);
    let gateway = gateway(&shop, PUBLIC);
    let plain = Session::open(gateway.addr);
    assert_eq!([source(&plain.call("p")), source(&plain.call("p"))], ["miss", "hit"]);
    let text =
        support::session::initialize("0").replace("\"capabilities\":{}", "\"capabilities\":{\"elicitation\":{}}");
    let answer = gateway.ask(&support::http::post(&[], text));
    let id = answer.header("mcp-session-id").expect("a session").to_owned();
    let able = plain.other(id);
    assert_eq!([source(&able.call("p")), source(&able.call("p"))], ["miss", "hit"]);
}

// ---- what the protocol itself says -----------------------------------------------------------------------------------

#[test]
fn lists_are_kept_as_long_as_they_say_and_for_whom_they_say() {
    let shop = Shop::new(Kind::Modern);
    let setup = Setup::of(&[shop.backend.url()]);
    let gateway = setup.clone().pool_key("protocol_cache = \"public\"").start();
    let list = |gateway: &Gateway, more: &[&str]| gateway.ask(&modern("/mcp", more, ("7", "tools/list"), ""));
    let read = |gateway: &Gateway, more: &[&str]| {
        source(&gateway.ask(&modern("/mcp", more, ("7", "resources/read"), "\"uri\":\"a:b\"")))
    };
    assert_eq!(source(&list(&gateway, &[])), "miss");
    let hit = list(&gateway, &[]);
    assert_eq!(source(&hit), "hit");
    let left = message(&hit)["result"]["ttlMs"].as_u64().unwrap_or_default();
    assert!((50_000..60_000).contains(&left), "{left}");
    assert_eq!(source(&list(&gateway, &["Authorization: Bearer a"])), "miss", "private is for one context");
    assert_eq!([read(&gateway, &[]), read(&gateway, &["Authorization: Bearer a"])], ["miss", "hit"]);
    let wary = setup.start();
    let all = [read(&wary, &[]), read(&wary, &["Authorization: Bearer a"]), read(&wary, &[])];
    assert_eq!(all, ["miss", "miss", "hit"], "public is believed only where the pool says so");
    let off = setup.pool_key("protocol_cache = \"off\"").start();
    assert_eq!([read(&off, &[]), read(&off, &[])], ["nothing", "nothing"]);
}

#[test]
fn in_the_legacy_era_lists_are_kept_by_rule() {
    let shop = Shop::new(Kind::Legacy);
    let gateway = gateway(&shop, r#"{ methods = ["tools/list"], ttl = "1h", scope = "session" }"#);
    let session = Session::open(gateway.addr);
    let list = || source(&session.send(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#, &[]));
    assert_eq!([list(), list()], ["miss", "hit"]);
}

// ---- one call for all ------------------------------------------------------------------------------------------------

/// Asks for the same from many clients at once, with the gate shut until all have asked.
fn all_at_once(shop: &Shop, gateway: &Gateway, tool: &str, clients: usize) -> Vec<Answer> {
    let ready = Barrier::new(clients);
    std::thread::scope(|scope| {
        let ask = || {
            scope.spawn(|| {
                ready.wait();
                call(gateway, tool)
            })
        };
        let asking: Vec<_> = (0..clients).map(|_| ask()).collect();
        shop.backend.wait_for("the call", |request| request.tool() == tool);
        until("all wait", || (waiting(gateway) == clients as u64 - 1).then_some(()));
        shop.gate.open();
        asking.into_iter().map(|asked| asked.join().expect("no client panics")).collect()
    })
}

/// How many requests wait for a call that another has made.
fn waiting(gateway: &Gateway) -> u64 {
    gateway.admin("/api/v1/cache").json()["waiting"].as_u64().unwrap_or_default()
}

#[test]
fn identical_calls_at_the_same_time_run_once() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    let answers = all_at_once(&shop, &gateway, "slow_reads", 50);
    assert_eq!(shop.given(), 1);
    assert!(answers.iter().all(|answer| message(answer)["result"]["content"][0]["text"] == "1"));
    let misses = answers.iter().filter(|answer| source(answer) == "miss").count();
    assert_eq!(misses, 1, "one has made the call");
}

#[test]
fn calls_whose_result_cannot_be_kept_run_for_everybody_at_the_same_time() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    let answers = all_at_once(&shop, &gateway, "slow_errs", 20);
    let numbers: std::collections::BTreeSet<String> =
        answers.iter().map(|answer| message(answer)["error"]["message"].to_string()).collect();
    assert_eq!((numbers.len(), shop.given()), (20, 20), "each has an answer of its own");
}

#[test]
fn a_leader_that_hangs_up_does_not_take_the_others_with_it() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    let mut leader = gateway.connect();
    leader.send(&modern_call("1", "slow_reads"));
    shop.backend.wait_for("the call", |request| request.tool() == "slow_reads");
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| call(&gateway, "slow_reads"));
        until("it follows", || (waiting(&gateway) == 1).then_some(()));
        drop(leader);
        let connections = || gateway.instance()["connections"].as_u64();
        until("it has gone", || (connections() == Some(1)).then_some(()));
        shop.gate.open();
        let answer = follower.join().expect("it does not panic");
        assert_eq!((source(&answer).as_str(), shop.heard("slow_reads")), ("hit", 1));
    });
}

#[test]
fn a_leader_that_hangs_up_alone_is_a_call_that_is_cancelled() {
    let shop =
        Backend::new("hangs", Kind::Modern, |request, _| (request.tool() == "hang").then_some(After::AwaitHangup));
    let gateway = Setup::of(&[shop.url()]).key(&format!("cache = [{PUBLIC}]")).start();
    let mut leader = gateway.connect();
    leader.send(&modern_call("1", "hang"));
    shop.wait_for("the call", |request| request.tool() == "hang");
    drop(leader);
    shop.hangup();
}

#[test]
fn a_client_that_cancels_does_not_cancel_for_the_others() {
    let shop = Shop::new(Kind::Legacy);
    let gateway = gateway(&shop, PUBLIC);
    let (one, two) = (Session::open(gateway.addr), Session::open(gateway.addr));
    let cancel = |session: &Session| {
        let note = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        assert_eq!(session.send(note, &[]).status, 202);
    };
    let cancelled =
        || shop.backend.received().iter().filter(|request| request.call() == "notifications/cancelled").count();
    std::thread::scope(|scope| {
        let leading = scope.spawn(|| one.call("slow_reads"));
        shop.backend.wait_for("the call", |request| request.tool() == "slow_reads");
        let following = scope.spawn(|| two.call("slow_reads"));
        until("it follows", || (waiting(&gateway) == 1).then_some(()));
        cancel(&one);
        assert_eq!(cancelled(), 0, "it is held back");
        shop.gate.open();
        assert_eq!(leading.join().expect("it does not panic").status, 200);
        assert_eq!(source(&following.join().expect("it does not panic")), "hit");
    });
    assert_eq!(shop.heard("slow_reads"), 1);
    // Nobody waits for this one.
    cancel(&one);
    assert_eq!(cancelled(), 1);
}

#[test]
fn limits_on_tools_are_not_charged_for_what_is_kept() {
    let shop = Shop::new(Kind::Modern);
    let limits =
        r#"limit = [{ name = "tool", tools = ["*"], key = "tool", rate = "1/h" }, { name = "caller", rate = "3/h" }]"#;
    let gateway = setup(&shop, PUBLIC).key(limits).start();
    let statuses: Vec<u16> = (0..4).map(|_| call(&gateway, "reads").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429], "the caller's own limit counts every answer");
}

#[test]
fn who_may_not_ask_does_not_wait_for_a_call_of_another() {
    let shop = Shop::new(Kind::Modern);
    let limits = r#"limit = [{ name = "who", key = "header:x-who", rate = "1/h" }, { name = "calls", tools = ["slow_*"], rate = "9/h" }]"#;
    let gateway = setup(&shop, PUBLIC).key(limits).key("trusted_proxies = [\"127.0.0.1\"]").start();
    let ask = |who: &str| call_with(&gateway, "slow_reads", "{}", &[&format!("x-who: {who}")]);
    std::thread::scope(|scope| {
        let leading = scope.spawn(|| ask("one"));
        shop.backend.wait_for("the call", |request| request.tool() == "slow_reads");
        let refused = ask("one");
        assert_eq!(
            (refused.status, refused.header("moorline-cache")),
            (429, None),
            "at once, and the cache does not look"
        );
        let following = scope.spawn(|| ask("two"));
        until("it follows", || (waiting(&gateway) == 1).then_some(()));
        shop.gate.open();
        let led = leading.join().expect("it does not panic");
        let said = |answer: &Answer, name: &str| answer.header(name).unwrap_or_default().to_owned();
        assert!(said(&led, "ratelimit").contains("\"who\";r=0") && said(&led, "ratelimit").contains("\"calls\";r=8"));
        let followed = following.join().expect("it does not panic");
        assert!(!said(&followed, "ratelimit").contains("calls"), "what serves it was spent once");
    });
}

#[test]
fn what_is_refused_to_the_call_costs_who_asks_nothing() {
    let shop = Shop::new(Kind::Modern);
    let limits = r#"limit = [{ name = "who", key = "header:x-who", rate = "2/h" }, { name = "calls", tools = ["*"], rate = "1/h" }]"#;
    let gateway = setup(&shop, PUBLIC).key(limits).key("trusted_proxies = [\"127.0.0.1\"]").start();
    let ask = |tool: &str| call_with(&gateway, tool, "{}", &["x-who: one"]);
    let statuses: Vec<u16> = ["reads", "others", "others", "reads", "reads"].map(|tool| ask(tool).status).into();
    assert_eq!(statuses, [200, 429, 429, 200, 429], "the refused calls have not used up the limit on who asks");
}

/// A modern call that asks to hear how far it has got.
fn call_with_token(id: &str, tool: &str, token: &str) -> Vec<u8> {
    let whole = String::from_utf8(modern_call(id, tool)).expect("the test writes text");
    let body = whole.split_once("\r\n\r\n").expect("there is a body").1;
    let body = body.replacen("\"_meta\":{", &format!("\"_meta\":{{\"progressToken\":{token},"), 1);
    let name = format!("Mcp-Name: {tool}");
    post_to("/mcp", &["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", &name], body)
}

/// The messages of a stream to its end, beginning with the next.
fn rest_of(client: &mut Connection) -> Vec<Value> {
    let rest = client.rest();
    rest.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {rest}")))
        .collect()
}

#[test]
fn followers_hear_how_far_the_call_has_got_under_their_own_token_if_they_asked_for_it() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    let (mut leader, mut follower) = (gateway.connect(), gateway.connect());
    leader.send(&call_with_token("1", "steps", "\"of the leader\""));
    assert_eq!(leader.head().status, 200);
    assert!(leader.read_to("of the leader").is_some());
    follower.send(&call_with_token("2", "steps", "17"));
    let head = follower.head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert!(follower.read_to("\"progress\"").is_some(), "before the call has ended");
    std::thread::scope(|scope| {
        let silent = scope.spawn(|| call(&gateway, "steps"));
        until("both follow", || (waiting(&gateway) == 2).then_some(()));
        shop.gate.open();
        let silent = silent.join().expect("it does not panic");
        assert_eq!((silent.header("content-type"), source(&silent).as_str()), (Some("application/json"), "hit"));
    });
    let heard = rest_of(&mut follower);
    let (last, news) = heard.split_last().expect("it is answered");
    assert_eq!((&last["id"], &last["result"]["content"][0]["text"]), (&json!(2), &json!("1")));
    assert_eq!(last["result"]["_meta"]["moorline/cache"]["status"], "hit");
    assert!(news.iter().all(|news| news["params"]["progressToken"] == 17 && news["params"]["total"] == 9), "{news:?}");
    assert!(rest_of(&mut leader).iter().all(|heard| heard["params"]["progressToken"] != 17), "nobody else's");
    assert_eq!(shop.heard("steps"), 1);
}

#[test]
fn a_follower_that_has_heard_news_makes_its_own_call_where_the_result_is_not_for_keeping() {
    let shop = Shop::new(Kind::Modern);
    let limits = r#"limit = [{ name = "calls", key = "tool", tools = ["steps_fail"], rate = "2/h" }]"#;
    let gateway = setup(&shop, PUBLIC).key(limits).start();
    let (mut leader, mut one, mut other) = (gateway.connect(), gateway.connect(), gateway.connect());
    leader.send(&call_with_token("1", "steps_fail", "1"));
    assert!(leader.read_to("notifications/progress").is_some());
    for (client, id) in [(&mut one, "2"), (&mut other, "3")] {
        client.send(&call_with_token(id, "steps_fail", id));
        assert_eq!(client.head().status, 200);
    }
    shop.gate.open();
    let lasts: Vec<Value> =
        [one, other].iter_mut().map(|client| rest_of(client).pop().expect("it is answered")).collect();
    assert_eq!((&lasts[0]["id"], &lasts[1]["id"]), (&json!(2), &json!(3)));
    let answered = lasts.iter().filter(|last| last["result"]["content"][0]["text"] == "2").count();
    let refused = lasts.iter().filter(|last| last["result"]["isError"] == true || !last["error"].is_null()).count();
    assert_eq!((answered, refused, shop.heard("steps_fail")), (1, 1, 2), "the second has no call left: {lasts:?}");
}

/// Who asks after a change must not be given what was asked for before it.
#[test]
fn who_asks_after_a_change_does_not_follow_a_call_from_before_it() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["slow_reads"], ttl = "1h", scope = "public", trust = true }, { tools = ["update"], invalidates = ["slow_reads"] }"#;
    let gateway = gateway(&shop, rules);
    std::thread::scope(|scope| {
        let before = scope.spawn(|| call(&gateway, "slow_reads"));
        shop.backend.wait_for("the call", |request| request.tool() == "slow_reads");
        call(&gateway, "update");
        let after = scope.spawn(|| call(&gateway, "slow_reads"));
        until("it follows", || (waiting(&gateway) == 1).then_some(()));
        shop.gate.open();
        let text = |answer: &Answer| message(answer)["result"]["content"][0]["text"].clone();
        assert_eq!(text(&before.join().expect("it does not panic")), "1");
        assert_eq!(text(&after.join().expect("it does not panic")), "3", "a call of its own");
    });
}

#[test]
fn a_stale_result_is_forgotten_when_the_server_has_no_such_result_any_more() {
    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let backend = Backend::new("shop", Kind::Modern, move |request, stream| {
        let failing = is_gone.load(Ordering::SeqCst);
        let result = json!({ "content": [], "isError": failing, "resultType": "complete" });
        let answer = json!({ "jsonrpc": "2.0", "id": request.json()["id"], "result": result });
        (request.call() == "tools/call").then(|| reply(stream, &answer))
    });
    let rule = r#"{ tools = ["*"], ttl = "1s", stale = "1h", scope = "public", trust = true }"#;
    let gateway = Setup::of(&[backend.url()]).key(&format!("cache = [{rule}]")).start();
    assert_eq!(source(&call(&gateway, "get")), "miss");
    gone.store(true, Ordering::SeqCst);
    until("it is stale", || (source(&call(&gateway, "get")) == "stale").then_some(()));
    let last = until("it is forgotten", || Some(call(&gateway, "get")).filter(|answer| source(answer) == "miss"));
    assert_eq!(message(&last)["result"]["isError"], true);
}

/// The server asks on the session's notification stream while a call of the session is under way.
#[test]
fn a_question_on_another_stream_of_the_session_is_noticed() {
    for (method, wanted) in [("elicitation/create", "miss"), ("ping", "hit")] {
        let (question, answer) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        let (asks, answers) = (Arc::clone(&question), Arc::clone(&answer));
        let backend = Backend::new("shop", Kind::Legacy, move |request, stream| {
            if request.method == "GET" {
                open_stream(stream, &[]);
                chunk(stream, ": here\n\n");
                asks.pass();
                chunk(
                    stream,
                    &format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": "q", "method": method, "params": {} })),
                );
                return Some(After::AwaitHangup);
            }
            if request.call() != "tools/call" {
                return None;
            }
            asks.open();
            answers.pass();
            Some(reply(stream, &json!({ "jsonrpc": "2.0", "id": request.json()["id"], "result": { "content": [] } })))
        });
        let gateway = Setup::of(&[backend.url()]).key(&format!("cache = [{PUBLIC}]")).start();
        let session = Session::open(gateway.addr);
        let mut listening = gateway.connect();
        listening.send(&session.listen(&[]));
        assert!(listening.read_to(": here").is_some());
        std::thread::scope(|scope| {
            let calling = scope.spawn(|| source(&session.call("reads")));
            assert!(listening.read_to(method).is_some());
            answer.open();
            assert_eq!(calling.join().expect("it does not panic"), "miss");
        });
        assert_eq!(source(&session.call("reads")), wanted, "{method}");
    }
}

#[test]
fn a_batch_that_changes_something_makes_others_forget() {
    let shop = Shop::new(Kind::Legacy);
    let rules = r#"{ tools = ["get"], ttl = "1h", scope = "public", trust = true }, { tools = ["update"], invalidates = ["get"] }"#;
    let gateway = gateway(&shop, rules);
    let session = Session::open(gateway.addr);
    assert_eq!([source(&session.call("get")), source(&session.call("get"))], ["miss", "hit"]);
    session.send(format!("[{}]", support::session::call("5", "update")), &[]);
    assert_eq!(source(&session.call("get")), "miss");
}

/// A server with a list of tools that says on its first listening stream that it has changed when the gate is opened; the stream
/// ends when the second is.
fn changing(gates: [Arc<Gate>; 2]) -> Backend {
    let (told, heard) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Backend::new("shop", Kind::Modern, move |request, stream| {
        let id = request.json()["id"].clone();
        if request.call() == "subscriptions/listen" {
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
            open_stream(stream, &[]);
            let note = |method: &str, more: Value| {
                let mut params = more;
                params["_meta"] = meta.clone();
                format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "method": method, "params": params }))
            };
            let honoured = json!({ "notifications": { "toolsListChanged": true } });
            chunk(stream, &note("notifications/subscriptions/acknowledged", honoured));
            if heard.fetch_add(1, Ordering::SeqCst) > 0 {
                return Some(After::AwaitHangup);
            }
            gates[0].pass();
            chunk(stream, &note("notifications/tools/list_changed", json!({})));
            gates[1].pass();
            return Some(After::Close);
        }
        let result = listed(told.fetch_add(1, Ordering::SeqCst));
        (request.call() == "tools/list")
            .then(|| reply(stream, &json!({ "jsonrpc": "2.0", "id": id, "result": result })))
    })
}

fn list(gateway: &Gateway) -> String {
    source(&gateway.ask(&modern("/mcp", &[], ("7", "tools/list"), "")))
}

#[test]
fn what_a_server_says_on_a_listening_stream_has_changed_is_forgotten() {
    let gates = [Arc::default(), Arc::default()];
    let backend = changing(gates.clone());
    let gateway = Setup::of(&[backend.url()]).pool_key("watch = false").start();
    let mut listening = gateway.connect();
    listening.send(&modern(
        "/mcp",
        &[],
        ("1", "subscriptions/listen"),
        "\"notifications\":{\"toolsListChanged\":true}",
    ));
    assert!(listening.event().is_some(), "it is acknowledged");
    assert_eq!([list(&gateway), list(&gateway)], ["miss", "hit"]);
    gates[0].open();
    until("it is forgotten", || (list(&gateway) == "miss").then_some(()));
    gates[1].open();
}

#[test]
fn changes_are_watched_for_where_nobody_listens() {
    let gates = [Arc::default(), Arc::default()];
    let (backend, other) = (changing(gates.clone()), changing(gates.clone()));
    let gateway = Setup::of(&[backend.url()]).pool_key("service_credential = \"Bearer own\"").start();
    let unwatched = Setup::of(&[other.url()]).pool_key("watch = false").start();
    for gateway in [&unwatched, &gateway] {
        assert_eq!([list(gateway), list(gateway)], ["miss", "hit"]);
    }
    let listens = |request: &Received| request.call() == "subscriptions/listen";
    let asked = backend.wait_for("a stream of Moorline's own", listens);
    assert_eq!(asked.header("authorization"), Some("Bearer own"));
    let all = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
    assert_eq!(asked.json()["params"]["notifications"], all);
    gates[0].open();
    until("it is forgotten", || (list(&gateway) == "miss").then_some(()));
    // The stream ends: what was said until it is heard again is lost.
    gates[1].open();
    until("it is heard again", || {
        (backend.received().iter().filter(|request| listens(request)).count() > 1).then_some(())
    });
    until("it is forgotten once more", || (list(&gateway) == "miss").then_some(()));
    assert!(!other.received().iter().any(listens), "its pool is not watched");
    assert_eq!(list(&unwatched), "hit");
}

// ---- how long --------------------------------------------------------------------------------------------------------

#[test]
fn what_is_stale_is_shown_while_it_is_fetched_anew() {
    let shop = Shop::new(Kind::Modern);
    let rule = r#"{ tools = ["*"], ttl = "1s", stale = "1h", scope = "public", trust = true }"#;
    let gateway = gateway(&shop, rule);
    assert_eq!(source(&call(&gateway, "reads")), "miss");
    let stale = until("it is stale", || Some(call(&gateway, "reads")).filter(|answer| source(answer) == "stale"));
    assert_eq!(message(&stale)["result"]["content"][0]["text"], "1");
    let fresh = until("it is fetched", || Some(call(&gateway, "reads")).filter(|answer| source(answer) == "hit"));
    assert_eq!(message(&fresh)["result"]["content"][0]["text"], "2");
    assert_eq!(shop.given(), 2, "one call has refreshed it");
}

#[test]
fn while_the_backend_is_down_stale_answers_are_given_as_long_as_the_rule_says() {
    let shop = Shop::new(Kind::Modern);
    let rule = r#"{ tools = ["*"], ttl = "1s", stale = "3s", scope = "public", trust = true }"#;
    let gateway = gateway(&shop, rule);
    assert_eq!(source(&call(&gateway, "reads")), "miss");
    shop.backend.kill();
    let stale = until("it is stale", || Some(call(&gateway, "reads")).filter(|answer| source(answer) != "hit"));
    assert_eq!((stale.status, source(&stale).as_str()), (200, "stale"));
    let end =
        until("it may be shown no longer", || Some(call(&gateway, "reads")).filter(|answer| source(answer) != "stale"));
    assert!(end.status == 502 || end.status == 503, "{}: {}", end.status, end.text());
    assert_eq!(end.json()["id"], 7);
}

#[test]
fn a_client_may_ask_past_the_cache_where_the_rule_lets_it() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["a"], ttl = "1h", scope = "public", trust = true, bypass = true },
        { tools = ["b"], ttl = "1h", scope = "public", trust = true }"#;
    let gateway = gateway(&shop, rules);
    let past = |tool: &str| call_with(&gateway, tool, "{}", &["Cache-Control: no-cache"]);
    assert_eq!(source(&call(&gateway, "a")), "miss");
    let anew = past("a");
    assert_eq!((source(&anew).as_str(), &message(&anew)["result"]["content"][0]["text"]), ("bypass", &json!("2")));
    let hit = call(&gateway, "a");
    assert_eq!(
        (source(&hit).as_str(), &message(&hit)["result"]["content"][0]["text"]),
        ("hit", &json!("2")),
        "it is kept for the others"
    );
    let said = r#""name":"a","arguments":{}"#;
    let meta = String::from_utf8(modern("/mcp", &[], ("7", "tools/call"), said)).expect("it is text");
    let (_, body) = meta.split_once("\r\n\r\n").expect("a body");
    let body = body.replacen("\"_meta\":{", "\"_meta\":{\"moorline/cache\":\"no-cache\",", 1);
    let headers = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: a"];
    assert_eq!(source(&gateway.ask(&support::http::post(&headers, body))), "bypass");
    assert_eq!(source(&call(&gateway, "b")), "miss");
    assert_eq!(source(&past("b")), "hit", "not where the rule does not");
}

// ---- what is forgotten -----------------------------------------------------------------------------------------------

#[test]
fn a_call_that_changes_something_makes_others_forget_once_it_has_succeeded() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["get_*", "search_*", "tagged"], ttl = "1h", scope = "public", trust = true, tags = ["goods"] },
        { tools = ["update", "fails", "errs", "streams", "cut", "drops"], invalidates = ["get_a", "search_*"] },
        { tools = ["clear"], invalidates_tags = ["goods"] }"#;
    let gateway = gateway(&shop, rules);
    let all = ["get_a", "get_b", "search_a", "search_b", "tagged"];
    let look = || all.map(|tool| source(&call(&gateway, tool)));
    let (hit, miss) = ("hit", "miss");
    look();
    assert_eq!(look(), [hit; 5]);
    call(&gateway, "fails");
    call(&gateway, "errs");
    assert_eq!(look(), [hit; 5], "a call that fails changes nothing");
    for writer in ["update", "streams", "cut", "drops"] {
        call(&gateway, writer);
        assert_eq!(look(), [miss, hit, miss, miss, hit], "{writer}");
    }
    call(&gateway, "clear");
    assert_eq!(look(), [miss; 5]);
}

#[test]
fn what_was_fetched_before_something_changed_is_not_kept_after_it() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["slow_reads"], ttl = "1h", scope = "public", trust = true }, { tools = ["update"], invalidates = ["slow_*"] }"#;
    let gateway = gateway(&shop, rules);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| call(&gateway, "slow_reads"));
        shop.backend.wait_for("the call", |request| request.tool() == "slow_reads");
        call(&gateway, "update");
        shop.gate.open();
        assert_eq!(source(&reading.join().expect("it does not panic")), "miss");
    });
    assert_eq!(source(&call(&gateway, "slow_reads")), "miss");
    assert_eq!(source(&call(&gateway, "slow_reads")), "hit");
}

#[test]
fn what_a_server_says_has_changed_is_forgotten() {
    let shop = Shop::new(Kind::Modern);
    let gateway = setup(&shop, PUBLIC).pool_key("protocol_cache = \"public\"").start();
    let list = || source(&gateway.ask(&modern("/mcp", &[], ("7", "tools/list"), "")));
    let read = || source(&gateway.ask(&modern("/mcp", &[], ("7", "resources/read"), "\"uri\":\"a:b\"")));
    assert_eq!([list(), list(), read(), read()], ["miss", "hit", "miss", "hit"]);
    call(&gateway, "changes");
    assert_eq!([list(), read()], ["miss", "miss"]);
}

#[test]
fn an_operator_has_results_forgotten() {
    let shop = Shop::new(Kind::Modern);
    let rules = r#"{ tools = ["get_*"], ttl = "1h", scope = "public", trust = true, tags = ["goods"] },
        { tools = ["*"], ttl = "1h", scope = "public", trust = true }, { tools = ["update"], invalidates = ["get_*"] }"#;
    let gateway = gateway(&shop, rules);
    let look = || ["get_a", "get_b", "other"].map(|tool| source(&call(&gateway, tool)));
    let (hit, miss) = ("hit", "miss");
    let purge = |what: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
        command.args(["cache", "purge", "--admin", &gateway.admin.to_string()]).args(what);
        let output = command.output().expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    look();
    for (what, left) in [
        (&["--tool", "get_a"][..], [miss, hit, hit]),
        (&["--tool", "get_*"], [miss, miss, hit]),
        (&["--tag", "goods"], [miss, miss, hit]),
        (&["--tool", "other", "--tag", "none"], [hit, hit, miss]),
        (&["--caller", "127.0.0.1"], [miss; 3]),
        (&["--pool", "mcp"], [miss; 3]),
        (&["--all"], [miss; 3]),
    ] {
        assert_eq!(look(), [hit; 3]);
        let (done, said) = purge(what);
        assert!(done && said == "forgotten\n", "{what:?}: {said}");
        assert_eq!(look(), left, "{what:?}");
    }
    for what in [&["--tool", "unknown_*"][..], &["--pool", "none"], &["--session", "x"], &[]] {
        let (done, said) = purge(what);
        assert!(!done && !said.is_empty(), "{what:?}: {said}");
    }
    let mut show = Command::new(env!("CARGO_BIN_EXE_moorline"));
    let shown = show.args(["cache", "show", "--admin", &gateway.admin.to_string()]).output().expect("it runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.starts_with("3 results, 1 of 64 MiB"), "{shown}");
    for bad in ["{\"tools\":[\"\"]}", "{\"tool\":[\"a\"]}", "{}", "", "[", "{\"all\":false}"] {
        assert_eq!(gateway.order("/api/v1/cache/purge", bad).status, 400, "{bad}");
    }
}

#[test]
fn memory_stays_within_its_bound() {
    let shop = Shop::new(Kind::Modern);
    let gateway = setup(&shop, PUBLIC).key("results.memory = \"1MiB\"").start();
    for number in 0..400 {
        let arguments = format!("{{\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(100));
        call_with(&gateway, "reads", &arguments, &[]);
        call_with(&gateway, "big", &arguments, &[]);
    }
    let usage = gateway.admin("/api/v1/cache").json();
    let (bytes, most) = (usage["bytes"].as_u64().unwrap_or(u64::MAX), usage["most"].as_u64().unwrap_or_default());
    assert!(bytes <= most && most == 1 << 20, "{usage}");
    assert!(usage["entries"].as_u64().unwrap_or_default() > 50, "{usage}");
}

#[test]
fn a_reload_keeps_what_is_kept_and_takes_new_rules() {
    let shop = Shop::new(Kind::Modern);
    let gateway = gateway(&shop, PUBLIC);
    assert_eq!(sources(&gateway, "reads", 2), ["miss", "hit"]);
    gateway.configure(&setup(&shop, &PUBLIC.replace("1h", "2h")).text());
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(sources(&gateway, "reads", 1), ["hit"]);
}
