//! Each kind of error under its own name.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::loaded::{load, options, server, tools};
use crate::support::backend::{self, After, Kind, Received, chunk, end_stream, open_stream, reply, respond};

const FAULTY: [&str; 10] = ["good", "refused", "busy", "tool", "stray", "twice", "cut", "html", "input", "hang_up"];

/// What each tool does.
fn faulty(request: &Received, stream: &mut std::net::TcpStream) -> Option<After> {
    let id = &request.json()["id"];
    let answer = |id: &serde_json::Value| json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}});
    let with = |result: serde_json::Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
    Some(match request.tool().as_str() {
        "refused" => reply(stream, &json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no"}})),
        "busy" => respond(stream, 503, &[], "text/plain", b"come back later"),
        "tool" => reply(stream, &with(json!({"content": [], "isError": true}))),
        "stray" => reply(stream, &answer(&json!(5))),
        "twice" => {
            open_stream(stream, &[]);
            let event = format!("data: {}\n\n", answer(id));
            chunk(stream, &event);
            chunk(stream, &event);
            end_stream(stream)
        }
        "cut" => {
            open_stream(stream, &[]);
            chunk(stream, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n");
            After::Close
        }
        "html" => respond(stream, 200, &[], "text/html", b"<h1>hello</h1>"),
        "input" => reply(stream, &with(json!({"resultType": "input_required", "inputRequests": {}}))),
        "hang_up" => After::Close,
        _ => return None,
    })
}

fn each_fault_is_counted_as_what_it_is(era: &str, kind: Kind) {
    let backend = server(kind, &FAULTY, faulty);
    let loaded = load(
        &backend.url(),
        &["--era", era, "--users", "20", "--rate", "6000", "--duration", "3s", "--ramp", "0s", "--also", "none"],
    );
    loaded.adds_up();
    let calls = |tool: &str, what: &str| loaded.operation(tool)[what].as_u64().unwrap();
    let kinds = [
        ("refused", "JSON-RPC -32602"),
        ("busy", "HTTP 503"),
        ("tool", "isError result"),
        ("cut", "stream broken"),
        ("html", "unreadable answer"),
        ("input", "input required"),
        ("hang_up", "connection broken"),
    ];
    for (tool, kind) in kinds {
        assert!(calls(tool, "failed") > 5 && calls(tool, "answered") == 0, "{tool}: {}", loaded.said);
        assert_eq!(loaded.errors(kind), calls(tool, "failed"), "{kind}: {}", loaded.said);
    }
    assert_eq!((calls("good", "failed"), calls("twice", "failed")), (0, 0));
    assert!(calls("good", "answered") > 5);
    // A call that has two answers is answered; the second one is an error all the same.
    assert_eq!(loaded.errors("wrong or duplicate answer"), calls("stray", "failed") + calls("twice", "answered"));
    assert_eq!(loaded.code, Some(1), "{}", loaded.said);
    assert!(loaded.said.contains("FAILED: "), "{}", loaded.said);
}

#[test]
fn each_fault_of_the_legacy_era_is_counted_as_what_it_is() {
    each_fault_is_counted_as_what_it_is("legacy", Kind::Legacy);
}

#[test]
fn each_fault_of_the_modern_era_is_counted_as_what_it_is() {
    each_fault_is_counted_as_what_it_is("modern", Kind::Modern);
}

#[test]
fn both_eras_together_make_no_error_at_a_server_of_both() {
    let backend = backend::Backend::new("both", Kind::Legacy, |request, stream| {
        if request.call() == "tools/list" {
            return Some(crate::loaded::result(request, stream, &tools(&["good"])));
        }
        // Only a legacy server asks for a session.
        (request.header("mcp-protocol-version") == Some("2026-07-28"))
            .then(|| crate::loaded::result(request, stream, &json!({"content": []})))
    });
    let options =
        options(&[], "--era mix --users 10 --rate 3000 --duration 3s --session-calls 4 --also list=10,ping=10");
    let loaded = load(&backend.url(), &options);
    loaded.adds_up();
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    let received = backend.received();
    let count = |fits: &dyn Fn(&Received) -> bool| received.iter().filter(|request| fits(request)).count();
    let of = |version: &str, call: &str| {
        count(&|request| request.header("mcp-protocol-version") == Some(version) && request.call() == call)
    };
    for (version, call) in [
        ("2025-11-25", "tools/call"),
        ("2026-07-28", "tools/call"),
        ("2025-11-25", "ping"),
        ("2026-07-28", "server/discover"),
    ] {
        assert!(of(version, call) > 3, "{version} {call}: {}", of(version, call));
    }
    // Sessions were begun anew after a few calls, and all were ended.
    let sessions = |name: &str| loaded.count(&format!("/sessions/{name}"));
    assert!(sessions("begun") > 10, "{}", loaded.said);
    assert_eq!(sessions("begun"), sessions("ended"), "{}", loaded.said);
    assert_eq!(backend.sessions(), 0);
}

#[test]
fn a_lost_session_is_counted_once_and_begun_anew() {
    let calls = AtomicU64::new(0);
    let backend = server(Kind::Legacy, &["good"], move |request, stream| {
        // Every fifth call finds its session gone.
        let is_call = request.call() == "tools/call";
        (is_call && calls.fetch_add(1, Ordering::Relaxed) % 5 == 4)
            .then(|| respond(stream, 404, &[], "application/json", b"{}"))
    });
    let options =
        options(&[], "--users 5 --rate 3000 --duration 2s --ramp 0s --also none --session-calls 0 --max-errors 1000");
    let loaded = load(&backend.url(), &options);
    loaded.adds_up();
    let lost = loaded.errors("session lost");
    assert!(lost >= 10, "{}", loaded.said);
    assert_eq!(loaded.count("/sessions/lost"), lost, "{}", loaded.said);
    assert!(loaded.count("/sessions/begun") >= lost, "{}", loaded.said);
    assert_eq!(loaded.errors("session lost"), loaded.count("/totals/errors"), "{}", loaded.said);
    assert_eq!(loaded.code, Some(0), "as many were allowed: {}", loaded.said);
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout_and_calls_behind_it_are_missed_by_number() {
    let backend =
        server(Kind::Modern, &["good"], |request, _| (request.call() == "tools/call").then_some(After::AwaitHangup));
    let options = options(
        &[],
        "--era modern --users 2 --rate 1200 --duration 3s --ramp 0s --also none --timeout 500ms --backlog 3 \
         --think-shape constant",
    );
    let loaded = load(&backend.url(), &options);
    loaded.adds_up();
    let (timeouts, missed) = (loaded.errors("timeout"), loaded.errors("missed"));
    // Each user gets through two calls a second, of ten that fall due, and through four more after the end.
    assert!((14..=24).contains(&timeouts), "{}", loaded.said);
    assert!((30..=48).contains(&missed), "{}", loaded.said);
    assert_eq!(loaded.count("/totals/missed"), missed, "{}", loaded.said);
    assert_eq!(loaded.count("/totals/answered"), 0);
}
