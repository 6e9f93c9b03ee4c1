//! Limits as clients, servers and operators see them: who is refused, in which form, when they may come back, and that
//! nothing is charged that was not had.

mod support;

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use support::backend::{After, Kind, chunk, end_stream, open_stream, reply, respond};
use support::http::post;
use support::session::{call, initialize, modern, modern_call};
use support::{Answer, Backend, Gateway, Received, Session, Setup, golden, now, until, wait_for};

/// A gateway with these limits, which believes every address that it is told.
fn limited(backend: &Backend, limits: &str) -> Gateway {
    setup(backend).key(&format!("limit = [{limits}]")).start()
}

fn setup(backend: &Backend) -> Setup {
    Setup::of(&[backend.url()]).key("trusted_proxies = [\"127.0.0.1\"]")
}

/// A modern call by the client at an address.
fn call_from(gateway: &Gateway, addr: &str, tool: &str) -> Answer {
    let forwarded = format!("X-Forwarded-For: {addr}");
    let params = format!("\"name\":\"{tool}\",\"arguments\":{{}}");
    gateway.ask(&modern("/mcp", &[&forwarded], ("\"m-1\"", "tools/call"), &params))
}

/// A modern request without a name.
fn ask_for(gateway: &Gateway, method: &str) -> Answer {
    gateway.ask(&modern("/mcp", &[], ("1", method), ""))
}

fn seconds(answer: &Answer, header: &str) -> u64 {
    answer.header(header).and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[test]
fn a_caller_has_so_many_calls_and_is_told_when_there_are_more() {
    let backend = Backend::modern("a");
    let gateway = limited(&backend, r#"{ name = "per-caller", rate = "3/min", algorithm = "fixed-window" }"#);
    for left in [2, 1, 0] {
        let answer = call_from(&gateway, "10.0.0.1", "search");
        assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, Some("3")));
        assert_eq!(seconds(&answer, "x-ratelimit-remaining"), left);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"per-caller\";q=3;w=60"));
        let state = answer.header("ratelimit").unwrap_or_default();
        assert!(state.starts_with(&format!("\"per-caller\";r={left};t=")), "{state}");
    }
    let refused = call_from(&gateway, "10.0.0.1", "search");
    let wait = seconds(&refused, "retry-after");
    assert_eq!(refused.status, 429);
    assert!((1..=60).contains(&wait), "{wait}");
    let error = &refused.json()["error"];
    assert_eq!(error["message"], format!("search: 3 calls per minute used up; try again in {wait} s"));
    assert_eq!(
        error["data"],
        json!({"reason": "limited", "name": "per-caller", "limit": 3, "window": 60, "retryAfter": wait})
    );
    assert_eq!((&error["code"], &refused.json()["id"]), (&json!(429), &json!("m-1")));
    assert_eq!(seconds(&refused, "x-ratelimit-remaining"), 0);
    assert_eq!(backend.received().len(), 3, "the server never heard of it");
    assert_eq!(call_from(&gateway, "10.0.0.2", "search").status, 200, "others have calls of their own");
}

#[test]
fn every_request_has_its_proper_form_of_refusal() {
    let backend = Backend::legacy("a");
    let limit = r#"{ name = "all", methods = ["*"], key = "tool", rate = "1/h", on_limit = "auto" }"#;
    let gateway = limited(&backend, limit);
    let mut told = String::new();
    let mut note = |what: &str, answer: &Answer| {
        let headers = ["retry-after", "content-type", "ratelimit-policy"];
        let headers: Vec<_> =
            headers.iter().filter_map(|name| Some(format!("{name}: {}", answer.header(name)?))).collect();
        let text = format!("{what}\n{}\n{}\n{}\n\n", answer.status, headers.join("\n"), answer.text());
        let wait = seconds(answer, "retry-after");
        let marks = ["retry-after: N", "\"retryAfter\":N", "try again in N s"];
        told.push_str(&marks.iter().fold(text, |text, mark| text.replace(&mark.replace('N', &wait.to_string()), mark)));
    };
    let session = Session::open(gateway.addr);
    note("initialize", &gateway.ask(&post(&[], initialize("1"))));
    note("a Python 1.x client's initialize", &gateway.ask(&post(&["User-Agent: python-httpx/0.28"], initialize("1"))));
    note("a notification", &session.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, &[]));
    let mut stream = gateway.connect();
    stream.send(&session.listen(&[]));
    assert_eq!(stream.head().status, 200);
    note("a second stream", &gateway.ask(&session.listen(&[])));
    session.call("search");
    note("a call", &session.call("search"));
    let list = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;
    session.send(list, &[]);
    note("a batch", &session.send(format!("[{list}]"), &[]));
    note("a reply", &{
        session.send(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#, &[]);
        session.send(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#, &[])
    });
    golden("refusals/limited.txt", &told);
    assert_eq!(session.end().status, 200, "an end is never refused");
}

#[test]
fn a_limit_may_be_told_as_http_as_an_error_in_a_200_or_as_a_tools_result() {
    let backend = Backend::legacy("a");
    let limit = |tool: &str, form: &str| {
        format!(r#"{{ name = "{form}", tools = ["{tool}"], rate = "1/h", on_limit = "{form}" }}"#)
    };
    let all = [limit("h", "http"), limit("j", "jsonrpc"), limit("t", "tool_error"), limit("a", "auto")].join(",");
    let gateway = limited(&backend, &all);
    let session = Session::open(gateway.addr);
    let fragile = |tool: &str| {
        session.send(call("1", tool), &["User-Agent: python-httpx/0.28"]);
        session.send(call("1", tool), &["User-Agent: python-httpx/0.28"])
    };
    let http = fragile("h");
    assert_eq!((http.status, &http.json()["error"]["code"]), (429, &json!(429)));
    let rpc = fragile("j");
    assert_eq!((rpc.status, &rpc.json()["error"]["code"]), (200, &json!(429)));
    assert!(seconds(&rpc, "retry-after") > 0);
    let auto = fragile("a");
    assert_eq!((auto.status, &auto.json()["error"]["code"]), (200, &json!(429)));
    assert_eq!(session.call("a").status, 429, "clients that survive it get the status");
    let result = fragile("t");
    assert_eq!((result.status, &result.json()["result"]["isError"]), (200, &json!(true)));
    assert!(result.said().starts_with("t: 1 call per hour used up; try again in "), "{}", result.said());
    assert!(result.json()["result"].get("resultType").is_none());
    gateway.ask(&modern_call("1", "t"));
    let modern = gateway.ask(&modern_call("1", "t"));
    assert_eq!((modern.status, &modern.json()["result"]["resultType"]), (200, &json!("complete")));
}

#[test]
fn lists_pings_notifications_and_replies_are_free_unless_the_limit_names_them() {
    let backend = Backend::legacy("a");
    let gateway = limited(&backend, r#"{ name = "calls", rate = "1/h" }"#);
    let session = Session::open(gateway.addr);
    for _ in 0..3 {
        for method in ["tools/list", "ping", "resources/list"] {
            let listed = session.send(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#), &[]);
            assert_eq!((listed.status, listed.header("ratelimit")), (200, None), "{method}");
        }
        let note = session.send(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#, &[]);
        assert_eq!(note.status, 202);
        assert_eq!(session.send(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#, &[]).status, 202);
    }
    assert_eq!((session.call("a").status, session.call("b").status), (200, 429));
    let named = limited(&backend, r#"{ name = "lists", methods = ["*/list", "ping"], key = "tool", rate = "1/h" }"#);
    let session = Session::open(named.addr);
    for method in ["tools/list", "ping", "resources/list"] {
        let ask = || session.send(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#), &[]).status;
        assert_eq!((ask(), ask()), (200, 429), "{method}");
    }
    assert_eq!((session.call("a").status, session.call("a").status), (200, 200));
}

#[test]
fn of_two_limits_neither_is_charged_when_one_refuses() {
    let backend = Backend::modern("a");
    let limits =
        r#"{ name = "wide", rate = "100/h", key = "caller" }, { name = "narrow", tools = ["b"], rate = "2/h" }"#;
    let gateway = limited(&backend, limits);
    let all =
        |tool: &str, count: usize| (0..count).map(|_| call_from(&gateway, "10.0.0.1", tool).status).collect::<Vec<_>>();
    assert_eq!(all("b", 5), [200, 200, 429, 429, 429]);
    let answer = call_from(&gateway, "10.0.0.1", "a");
    assert_eq!(seconds(&answer, "x-ratelimit-remaining"), 97, "three calls were had");
    let both = call_from(&gateway, "10.0.0.2", "b");
    assert_eq!(both.header("ratelimit-policy"), Some("\"wide\";q=100;w=3600, \"narrow\";q=2;w=3600"));
    assert_eq!(seconds(&both, "x-ratelimit-remaining"), 1, "the tighter one is told");
}

#[test]
fn a_batch_costs_as_much_as_its_messages() {
    let backend = Backend::new("a", Kind::Legacy, |request, stream| {
        request.json().is_array().then(|| respond(stream, 200, &[], "application/json", b"[]"))
    });
    let gateway = limited(&backend, r#"{ name = "calls", rate = "5/h", costs = { dear = 3 } }"#);
    let session = Session::open(gateway.addr);
    let batch = |tools: &[&str]| {
        session.send(format!("[{}]", tools.iter().map(|tool| call("1", tool)).collect::<Vec<_>>().join(",")), &[])
    };
    let never = batch(&["dear", "dear"]);
    let message = never.text();
    assert_eq!(never.status, 400, "six are more than five ever: {message}");
    assert!(message.contains("cost more than there ever is at once; send them in parts"), "{message}");
    assert_eq!(batch(&["dear", "cheap"]).status, 200);
    assert_eq!(batch(&["cheap", "cheap"]).status, 429);
    assert_eq!(session.call("cheap").status, 200);
    assert_eq!(session.call("cheap").status, 429);
}

#[test]
fn a_batch_cannot_run_what_may_not_run_at_the_same_time() {
    let backend = Backend::legacy("a");
    let gateway = limited(&backend, r#"{ name = "one", tools = ["report"], concurrency = 1, queue = 5 }"#);
    let session = Session::open(gateway.addr);
    let batch = session.send(format!("[{},{}]", call("1", "report"), call("2", "report")), &[]);
    assert_eq!(batch.status, 400, "{}", batch.text());
    assert_eq!(session.call("report").status, 200);
}

#[test]
fn a_call_without_an_id_counts_too() {
    let backend = Backend::legacy("a");
    let gateway = limited(&backend, r#"{ name = "calls", tools = ["search"], rate = "1/h" }"#);
    let session = Session::open(gateway.addr);
    let note = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"search"}}"#;
    assert_eq!((session.send(note, &[]).status, session.send(note, &[]).status), (202, 429));
    assert_eq!(session.call("search").status, 429);
}

#[test]
fn a_block_lasts_until_it_is_over_or_lifted() {
    let backend = Backend::modern("a");
    let gateway = limited(&backend, r#"{ name = "per-caller", rate = "2/s", block = "1h", block_max = "2h" }"#);
    let status = || call_from(&gateway, "10.0.0.1", "search").status;
    until("it is exceeded", || (status() == 429).then_some(()));
    let refused = call_from(&gateway, "10.0.0.1", "search");
    assert_eq!(refused.status, 429);
    assert!((3590..=3600).contains(&seconds(&refused, "retry-after")));
    let message = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("search: blocked for more than 2 calls per second; try again in 3"), "{message}");
    let seen = gateway.admin("/api/v1/limits?subject=10.0.0.1").json();
    let standing = &seen["limits"][0]["accounts"][0]["standings"][0];
    assert!(standing["blocked_ms"].as_u64().is_some_and(|millis| millis > 3_500_000), "{seen}");
    let lift = |name: &str, subject: &str| {
        gateway.order(&format!("/api/v1/limits/{name}/lift"), &json!({ "subject": subject }).to_string())
    };
    assert_eq!(lift("nobody", "10.0.0.1").status, 404);
    assert_eq!(lift("per-caller", "somebody").status, 422);
    assert_eq!(lift("per-caller", "10.0.0.1").json(), json!({"lifted": true}));
    assert_eq!(lift("per-caller", "10.0.0.1").json(), json!({"lifted": false}));
    let left = || {
        gateway.admin("/api/v1/limits?subject=10.0.0.1").json()["limits"][0]["accounts"][0]["standings"][0]["remaining"]
            .clone()
    };
    wait_for("it has refilled", || left() == 2);
    assert_eq!(status(), 200);
}

#[test]
fn accounts_are_kept_by_whatever_the_key_says() {
    let backend = Backend::modern("a");
    let limits = [("session", "s"), ("tool", "t"), ("caller+tool", "ct"), ("header:x-tenant", "h"), ("global", "g")];
    let limits = limits
        .map(|(key, name)| format!(r#"{{ name = "{name}", tools = ["{name}-*"], key = "{key}", rate = "1/h" }}"#));
    let gateway = limited(&backend, &limits.join(","));
    let status = |addr: &str, tool: &str| call_from(&gateway, addr, tool).status;
    assert_eq!((status("10.0.0.1", "t-a"), status("10.0.0.2", "t-a"), status("10.0.0.2", "t-b")), (200, 429, 200));
    assert_eq!((status("10.0.0.1", "ct-a"), status("10.0.0.1", "ct-b"), status("10.0.0.1", "ct-a")), (200, 200, 429));
    assert_eq!(status("10.0.0.2", "ct-a"), 200);
    assert_eq!((status("10.0.0.1", "g-a"), status("10.0.0.2", "g-b")), (200, 429));
    assert_eq!(
        (status("2001:db8:1:2::1", "s-a"), status("2001:db8:1:2:ffff::9", "s-a")),
        (200, 429),
        "a network is one client"
    );
    assert_eq!(status("2001:db8:1:3::1", "s-a"), 200);
    let tenant = |tenant: &str| {
        let tenant = format!("X-Tenant: {tenant}");
        gateway.ask(&modern("/mcp", &[&tenant], ("1", "tools/call"), r#""name":"h-a""#)).status
    };
    assert_eq!((tenant("red"), tenant("blue"), tenant("red")), (200, 200, 429));
}

#[test]
fn a_session_has_an_account_of_its_own_where_the_key_says_so() {
    let backend = Backend::legacy("a");
    let gateway = limited(&backend, r#"{ name = "s", key = "session", rate = "1/h" }"#);
    let (one, other) = (Session::open(gateway.addr), Session::open(gateway.addr));
    assert_eq!((one.call("a").status, one.call("a").status, other.call("a").status), (200, 429, 200));
}

#[test]
fn a_header_that_anybody_can_send_names_no_account() {
    let backend = Backend::modern("a");
    let gateway =
        Setup::of(&[backend.url()]).key(r#"limit = [{ name = "h", key = "header:x-tenant", rate = "1/h" }]"#).start();
    let tenant = |tenant: &str| {
        let tenant = format!("X-Tenant: {tenant}");
        gateway.ask(&modern("/mcp", &[&tenant], ("1", "tools/call"), r#""name":"a""#)).status
    };
    assert_eq!((tenant("red"), tenant("blue")), (200, 429));
}

#[test]
fn what_was_not_executed_costs_nothing() {
    let backend = Backend::modern("a");
    let gateway = limited(&backend, r#"{ name = "calls", rate = "3/h" }"#);
    assert_eq!(call_from(&gateway, "10.0.0.1", "a").status, 200);
    backend.kill();
    for _ in 0..5 {
        let lost = call_from(&gateway, "10.0.0.1", "a");
        assert!(matches!(lost.status, 502 | 503), "{}", lost.status);
    }
    let seen = gateway.admin("/api/v1/limits?subject=10.0.0.1").json();
    assert_eq!(seen["limits"][0]["accounts"][0]["standings"][0]["remaining"], 2, "{seen}");
}

#[test]
fn a_reload_changes_limits_and_forgives_nothing() {
    let backend = Backend::modern("a");
    let with = |limits: &str| setup(&backend).key(&format!("limit = [{limits}]"));
    let before = with(r#"{ name = "calls", rate = "3/h" }"#);
    let gateway = before.start();
    assert_eq!(call_from(&gateway, "10.0.0.1", "a").status, 200);
    assert_eq!(call_from(&gateway, "10.0.0.1", "a").status, 200);
    let fixed = |setup: &Setup| {
        setup.text().replacen("127.0.0.1:0", &gateway.addr.to_string(), 1).replacen(
            "127.0.0.1:0",
            &gateway.admin.to_string(),
            1,
        )
    };
    gateway.configure(&fixed(&with(
        r#"{ name = "calls", rate = "3/h" }, { name = "more", rate = "1/h", tools = ["b"] }"#,
    )));
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(call_from(&gateway, "10.0.0.1", "b").status, 200);
    assert_eq!(call_from(&gateway, "10.0.0.1", "a").status, 429, "the third of three was the last");
}

#[test]
fn the_standard_preset_gives_each_address_a_hundred_calls_a_minute() {
    let backend = Backend::modern("a");
    let gateway = setup(&backend).key("limits.preset = \"standard\"").start();
    let served = (0..120).filter(|_| call_from(&gateway, "10.0.0.1", "search").status == 200).count();
    // What has refilled meanwhile, on a busy machine.
    assert!((100..=110).contains(&served), "{served}");
    assert_eq!(call_from(&gateway, "10.0.0.2", "search").status, 200);
}

/// A modern backend whose calls end when they are told to, and that counts how many run.
fn held() -> (Backend, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let (running, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, told) = (Arc::clone(&running), Arc::clone(&go));
    let backend = Backend::new("a", Kind::Modern, move |request, stream| {
        (request.tool() == "slow").then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            until("it is told to go on", || told.load(Ordering::SeqCst).then_some(()));
            count.fetch_sub(1, Ordering::SeqCst);
            reply(stream, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"content": []}}))
        })
    });
    (backend, running, go)
}

#[test]
fn only_so_many_run_at_the_same_time_and_the_others_wait_or_are_told() {
    let (backend, running, go) = held();
    let limit = r#"{ name = "slow", key = "global", tools = ["slow"], concurrency = 2, queue = 1, wait = "10s" }"#;
    let gateway = limited(&backend, limit);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..2).map(|_| scope.spawn(|| call_from(&gateway, "10.0.0.1", "slow").status)).collect();
        wait_for("two run", || running.load(Ordering::SeqCst) == 2);
        let mut others: Vec<_> = (0..2).map(|_| scope.spawn(|| call_from(&gateway, "10.0.0.2", "slow"))).collect();
        let refused = until("one of two is too many", || others.iter().position(ScopedJoinHandle::is_finished));
        let refused = others.remove(refused).join().unwrap();
        let message = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(message, "slow: 2 calls are running already and too many waiting; try again in 1 s");
        assert_eq!(running.load(Ordering::SeqCst), 2);
        go.store(true, Ordering::SeqCst);
        assert!(others.into_iter().all(|other| other.join().unwrap().status == 200));
        assert!(calls.into_iter().all(|call| call.join().unwrap() == 200));
    });
    assert_eq!(call_from(&gateway, "10.0.0.1", "slow").status, 200, "all slots are back");
}

#[test]
fn whoever_waits_too_long_is_told_and_a_client_that_leaves_gives_its_slot_back() {
    let (backend, running, go) = held();
    let limit = r#"{ name = "slow", key = "global", tools = ["slow"], concurrency = 1, queue = 5, wait = "300ms" }"#;
    let gateway = limited(&backend, limit);
    let mut first = gateway.connect();
    first.send(&modern_call("1", "slow"));
    wait_for("it runs", || running.load(Ordering::SeqCst) == 1);
    let late = call_from(&gateway, "10.0.0.1", "slow");
    let message = late.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (late.status, message.as_str()),
        (429, "slow: 1 call is running already and none ended in time; try again in 1 s")
    );
    drop(first);
    go.store(true, Ordering::SeqCst);
    wait_for("the slot is free", || call_from(&gateway, "10.0.0.1", "slow").status == 200);
}

#[test]
fn a_stream_holds_its_slot_until_it_ends() {
    let backend = Backend::new("a", Kind::Modern, |request, stream| {
        (request.tool() == "slow").then(|| {
            open_stream(stream, &[]);
            chunk(stream, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n");
            After::AwaitHangup
        })
    });
    let gateway = limited(&backend, r#"{ name = "slow", key = "global", concurrency = 1 }"#);
    let mut stream = gateway.connect();
    stream.send(&modern_call("1", "slow"));
    assert_eq!(stream.head().status, 200);
    let refused = call_from(&gateway, "10.0.0.1", "fast");
    assert_eq!((refused.status, refused.header("ratelimit")), (429, Some("\"slow:running\";r=0")));
    drop(stream);
    wait_for("the slot is back", || call_from(&gateway, "10.0.0.1", "fast").status == 200);
}

/// A modern backend that answers `used` with what it is told to have used, as JSON or as a stream.
fn spender(answer: impl Fn(&Received, &mut TcpStream, Value) -> After + Send + Sync + 'static) -> Backend {
    Backend::new("a", Kind::Modern, move |request, stream| {
        let used = request.json()["params"]["arguments"]["used"].clone();
        (request.tool() == "ask_llm").then(|| {
            let result = json!({"resultType": "complete", "content": [], "_meta": {"usage": {"totalTokens": used}}});
            answer(request, stream, json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
        })
    })
}

fn spend(gateway: &Gateway, used: u64) -> Answer {
    let params = format!("\"name\":\"ask_llm\",\"arguments\":{{\"used\":{used}}}");
    gateway.ask(&modern("/mcp", &[], ("1", "tools/call"), &params))
}

fn tokens_left(gateway: &Gateway) -> u64 {
    let seen = gateway.admin("/api/v1/limits?subject=anything").json();
    let standing = seen["limits"][0]["accounts"][0]["standings"][0].clone();
    assert_eq!(standing["what"], "100000 tokens per day", "{seen}");
    standing["remaining"].as_u64().unwrap_or_default()
}

const LLM: &str = r#"upstream = [{ name = "llm", tools = ["ask_*"],
    tokens = { rate = "100000/d", estimate = 1500, from = "/_meta/usage/totalTokens" } }]"#;

#[test]
fn an_estimate_that_was_wrong_both_ways_ends_exact() {
    let plain = spender(|_, stream, body| reply(stream, &body));
    let streamed = spender(|_, stream, body| {
        open_stream(stream, &[]);
        chunk(stream, &format!("data: {body}\n\n"));
        end_stream(stream)
    });
    for backend in [plain, streamed] {
        let gateway = setup(&backend).key(&LLM.replace('\n', " ")).start();
        assert_eq!(spend(&gateway, 100).status, 200);
        wait_for("the rest is given back", || (99_899..=99_901).contains(&tokens_left(&gateway)));
        assert_eq!(spend(&gateway, 60_000).status, 200);
        wait_for("what was too little is charged", || (39_899..=39_905).contains(&tokens_left(&gateway)));
        assert_eq!(spend(&gateway, 39_500).status, 200);
        wait_for("nearly all is spent", || tokens_left(&gateway) < 410);
        let refused = spend(&gateway, 1);
        let message = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(refused.status, 429);
        assert!(message.starts_with("ask_llm: 100000 tokens per day of llm used up; try again in "), "{message}");
    }
}

#[test]
fn a_large_result_is_settled_too() {
    let backend = Backend::new("a", Kind::Legacy, |request, stream| {
        (request.tool() == "ask_llm").then(|| {
            let content = json!([{"type": "text", "text": "x".repeat(200_000)}]);
            let result = json!({"content": content, "_meta": {"usage": {"totalTokens": 60_000}}});
            reply(stream, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
        })
    });
    let gateway = setup(&backend).key(&LLM.replace('\n', " ")).start();
    let session = Session::open(gateway.addr);
    assert_eq!(session.call("ask_llm").status, 200);
    wait_for("all is charged", || (40_000..=40_010).contains(&tokens_left(&gateway)));
}

#[test]
fn an_upstream_that_refuses_is_left_alone_by_everybody_for_as_long_as_it_says() {
    let sick = Arc::new(Mutex::new("HTTP 429 Too Many Requests, retry after 3600 seconds".to_owned()));
    let says = Arc::clone(&sick);
    let backend = Backend::new("a", Kind::Modern, move |request, stream| {
        let text = says.lock().unwrap().clone();
        (request.tool() == "ask_llm").then(|| {
            let result =
                json!({"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": true});
            reply(stream, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
        })
    });
    let gateway = setup(&backend).key(r#"upstream = [{ name = "llm", tools = ["ask_*"], concurrency = 5 }]"#).start();
    assert_eq!(call_from(&gateway, "10.0.0.1", "ask_llm").status, 200, "its own words reach the client");
    let refused = until("it is paused", || {
        let answer = call_from(&gateway, "10.0.0.2", "ask_llm");
        (answer.status == 429).then_some(answer)
    });
    assert!((3500..=3600).contains(&seconds(&refused, "retry-after")));
    let message = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("ask_llm: llm has asked to be left alone for a while; try again in 3"), "{message}");
    assert_eq!(call_from(&gateway, "10.0.0.2", "other").status, 200);
    gateway.log.wait("an upstream has refused and is left alone", 1);
    assert!(metric(&gateway, "moorline_limit_pauses_total{limit=\"llm\"")[0] >= 1.0, "it may say so more than once");
    assert!(metric(&gateway, "moorline_limit_refused_total{limit=\"llm\",key=\"global\",reason=\"paused\"")[0] >= 1.0);
    *sick.lock().unwrap() = "an ordinary failure".into();
    assert_eq!(gateway.order("/api/v1/limits/llm/lift", r#"{"subject":"x"}"#).json(), json!({"lifted": true}));
    assert_eq!(call_from(&gateway, "10.0.0.1", "ask_llm").status, 200);
    assert_eq!(call_from(&gateway, "10.0.0.1", "ask_llm").status, 200, "an ordinary failure pauses nobody");
}

#[test]
fn a_server_may_ask_its_client_for_so_many_completions_and_is_told_when_they_are_used_up() {
    // Escaped as some servers do.
    let asked =
        "data: {\"jsonrpc\":\"2.0\",\"id\":\"s-N\",\"method\":\"sampling\\/creat\\u0065Message\",\"params\":{}}\n\n";
    let backend = Backend::new("a", Kind::Legacy, move |request, stream| {
        (request.tool() == "sample").then(|| {
            open_stream(stream, &[]);
            for number in 1..=3 {
                chunk(stream, &asked.replace('N', &number.to_string()));
            }
            chunk(
                stream,
                &format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n\n", request.json()["id"]),
            );
            end_stream(stream)
        })
    });
    let gateway = setup(&backend).key("limits.sampling = \"2/h\"").start();
    let session = Session::open(gateway.addr);
    let answer = session.send(call("\"c\"", "sample"), &[]).text();
    assert!(answer.contains("s-1") && answer.contains("s-2") && answer.contains("\"c\""), "{answer}");
    assert!(!answer.contains("s-3"), "{answer}");
    let told = backend.wait_for("the server is told", |request| request.json()["id"] == "s-3");
    assert_eq!(told.json()["error"]["code"], 429);
    assert_eq!(told.json()["error"]["data"]["name"], "sampling");
    assert!(told.header("mcp-session-id").is_some());
    let other = Session::open(gateway.addr);
    assert!(other.send(call("1", "sample"), &[]).text().contains("s-2"), "each session has its own");
}

#[test]
fn an_input_required_result_that_asks_for_too_many_completions_is_refused() {
    let backend = Backend::new("a", Kind::Modern, |request, stream| {
        (request.tool() == "sample").then(|| {
            let ask = json!({"method": "sampling/createMessage", "params": {}});
            let result =
                json!({"resultType": "input_required", "inputRequests": {"one": ask, "two": ask}, "requestState": "x"});
            reply(stream, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
        })
    });
    let gateway = setup(&backend)
        .key("limits.sampling = \"3/h\"")
        .key(r#"upstream = [{ name = "llm", tools = ["sample"], rate = "1000/h" }]"#)
        .start();
    let first = call_from(&gateway, "10.0.0.1", "sample").json();
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let second = call_from(&gateway, "10.0.0.1", "sample").json();
    assert_eq!((&second["error"]["code"], &second["id"]), (&json!(429), &json!("m-1")), "{second}");
    let other = call_from(&gateway, "10.0.0.2", "sample").json();
    assert_eq!(other["result"]["resultType"], "input_required", "one caller's limit pauses no upstream: {other}");
}

#[test]
fn a_backend_gets_no_more_at_the_same_time_than_its_pool_says() {
    let (backend, running, go) = held();
    let gateway = setup(&backend).pool_key("concurrency = 2").pool_key("queue = 1").start();
    std::thread::scope(|scope| {
        let mut calls: Vec<_> = (0..4).map(|_| scope.spawn(|| call_from(&gateway, "10.0.0.1", "slow"))).collect();
        wait_for("two run", || running.load(Ordering::SeqCst) == 2);
        let refused = until("one of four is too many", || calls.iter().position(ScopedJoinHandle::is_finished));
        let refused = calls.remove(refused).join().unwrap();
        assert_eq!(refused.status, 503);
        assert_eq!(refused.json()["error"]["data"], json!({"reason": "overloaded", "retryAfter": 1}));
        assert_eq!(running.load(Ordering::SeqCst), 2);
        assert_eq!(metric(&gateway, "moorline_backend_concurrency_limit{"), [2.0]);
        assert_eq!(metric(&gateway, "moorline_backend_concurrency{"), [2.0]);
        assert_eq!(metric(&gateway, "moorline_backend_queue{"), [1.0]);
        assert_eq!(metric(&gateway, "moorline_backend_queue_refused_total{"), [1.0]);
        go.store(true, Ordering::SeqCst);
        assert!(calls.into_iter().all(|call| call.join().unwrap().status == 200));
    });
}

#[test]
fn a_stream_that_is_continued_needs_no_second_place_at_its_backend() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let backend = Backend::new("a", Kind::Modern, move |request, stream| {
        if request.call() != "resources/read" {
            return None;
        }
        open_stream(stream, &[]);
        chunk(stream, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n");
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            return Some(After::Close);
        }
        chunk(stream, &format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n\n", request.json()["id"]));
        Some(end_stream(stream))
    });
    let gateway = setup(&backend).pool_key("concurrency = 1").pool_key("wait = \"2s\"").start();
    let answer = gateway.ask(&modern("/mcp", &[], ("1", "resources/read"), "\"uri\":\"x:y\"")).text();
    assert!(answer.contains("\"result\":{}"), "{answer}");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// The values of all series whose name and labels begin so.
fn metric(gateway: &Gateway, begins: &str) -> Vec<f64> {
    let page = gateway.admin("/metrics").text();
    let lines = page.lines().filter(|line| line.starts_with(begins));
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse().ok());
    lines.map(|line| value(line).expect("a number ends the line")).collect()
}

#[test]
fn what_a_backend_is_found_to_bear_is_told_as_a_metric() {
    let (backend, running, go) = held();
    let gateway = setup(&backend).pool_key("concurrency = \"adaptive\"").pool_key("concurrency_max = 50").start();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..2).map(|_| scope.spawn(|| call_from(&gateway, "10.0.0.1", "slow"))).collect();
        wait_for("both run", || running.load(Ordering::SeqCst) == 2);
        assert_eq!(metric(&gateway, "moorline_backend_concurrency{"), [2.0]);
        let found = metric(&gateway, "moorline_backend_concurrency_limit{")[0];
        assert!((2.0..=50.0).contains(&found), "{found}");
        go.store(true, Ordering::SeqCst);
        assert!(calls.into_iter().all(|call| call.join().unwrap().status == 200));
    });
    wait_for("nothing runs any more", || metric(&gateway, "moorline_backend_concurrency{") == [0.0]);
}

/// Answers in a time of `work` over `seconds`, by callers that each ask one call after the other, so many at once.
fn throughput(gateway: &Gateway, callers: &[(&str, usize)], lasts: Duration) -> Vec<usize> {
    let end = now() + lasts;
    let served: Vec<AtomicUsize> = callers.iter().map(|_| AtomicUsize::new(0)).collect();
    let ask_on = |addr: &str, served: &AtomicUsize| {
        while now() < end {
            if call_from(gateway, addr, "work").status == 200 {
                served.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    std::thread::scope(|scope| {
        for ((addr, width), served) in callers.iter().zip(&served) {
            (0..*width).for_each(|_| drop(scope.spawn(|| ask_on(addr, served))));
        }
    });
    served.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn one_greedy_caller_takes_nothing_from_ten_modest_ones() {
    let backend = Backend::new("a", Kind::Modern, |request, stream| {
        (request.tool() == "work").then(|| {
            // Long beside what a busy machine adds, so that the backend is at capacity with ten callers.
            std::thread::sleep(Duration::from_millis(100));
            reply(stream, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"content": []}}))
        })
    });
    let addrs: Vec<String> = (1..=10).map(|number| format!("10.0.1.{number}")).collect();
    let modest: Vec<(&str, usize)> = addrs.iter().map(|addr| (addr.as_str(), 1)).collect();
    let gateway =
        setup(&backend).pool_key("concurrency = 10").pool_key("queue = 200").pool_key("wait = \"20s\"").start();
    let lasts = Duration::from_secs(5);
    let alone: usize = throughput(&gateway, &modest, lasts).iter().sum();
    let mut all = modest.clone();
    all.push(("10.0.9.9", 60));
    let served = throughput(&gateway, &all, lasts);
    let (together, greedy): (usize, usize) = (served[..10].iter().sum(), served[10]);
    eprintln!(
        "ten modest callers alone {alone}, beside a greedy one {together}; the greedy one {greedy}; each {served:?}"
    );
    assert!(together * 10 >= alone * 9, "{together} of {alone}");
    assert!(greedy > 0);
}

#[test]
fn the_command_line_shows_who_spends_most() {
    let backend = Backend::modern("a");
    let gateway = limited(
        &backend,
        r#"{ name = "calls", rate = "3/h", block = "10m" }, { name = "all", key = "global", rate = "1000/h" }"#,
    );
    for _ in 0..5 {
        call_from(&gateway, "10.0.0.7", "a");
    }
    call_from(&gateway, "10.0.0.8", "a");
    let shows = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(["limits", "--admin", &gateway.admin.to_string()])
            .args(more)
            .output();
        let output = output.expect("the binary was built for this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let text = shows(&[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "calls  (3 calls per hour for each caller)", "{text}");
    assert_eq!(lines[1], "    10.0.0.7  asked for 5", "{text}");
    assert!(lines[2].starts_with("        3 calls per hour ") && lines[2].contains(" blocked for "), "{text}");
    assert!(lines[4].contains("2 of 3 left"), "{text}");
    assert!(text.contains("all  (1000 calls per hour for all together)\n    everybody  asked for 6\n"), "{text}");
    assert!(shows(&["--caller", "10.0.0.8"]).contains("2 of 3 left"));
    let nobody = Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["limits", "--admin", "127.0.0.1:1"])
        .output()
        .expect("it was built");
    assert!(!nobody.status.success());
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no instance has its admin API at 127.0.0.1:1"));
}

#[test]
fn where_nothing_is_limited_nothing_is_said() {
    let backend = Backend::modern("a");
    let gateway = setup(&backend).start();
    let answer = ask_for(&gateway, "tools/list");
    assert_eq!((answer.status, answer.header("ratelimit"), answer.header("x-ratelimit-limit")), (200, None, None));
    assert_eq!(gateway.admin("/api/v1/limits").json(), json!({"limits": []}));
}
