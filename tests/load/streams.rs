//! Streams that break: those of calls, and the users' own.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::loaded::{load, options, server};
use crate::support::backend::{After, Kind, chunk, end_stream, open_stream};

#[test]
fn a_calls_stream_that_breaks_is_resumed_from_its_last_event_and_the_call_is_answered() {
    let backend = server(Kind::Legacy, &["good"], |request, stream| {
        if request.call() == "tools/call" {
            open_stream(stream, &[]);
            // The event's id says which call it is.
            chunk(stream, &format!("id: call-{}\nretry: 50\ndata:\n\n", request.json()["id"]));
            return Some(After::Close);
        }
        let id = request.header("last-event-id")?.strip_prefix("call-")?.parse::<u64>().ok()?;
        open_stream(stream, &[]);
        chunk(stream, &format!("data: {}\n\n", json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}})));
        Some(end_stream(stream))
    });
    let options = ["--users", "5", "--rate", "1500", "--duration", "2s", "--ramp", "0s", "--also", "none"];
    let loaded = load(&backend.url(), &options);
    loaded.adds_up();
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    let (resumed, answered) = (loaded.count("/totals/resumed"), loaded.count("/totals/answered"));
    assert!(resumed == answered && answered > 20, "{}", loaded.said);
    assert!(loaded.number("/service/p50_us") >= 50_000.0, "the wait that the server asked for: {}", loaded.said);
}

#[test]
fn a_users_stream_that_breaks_is_counted_and_opened_again_from_its_last_event() {
    let opened = AtomicU64::new(0);
    let backend = server(Kind::Legacy, &["good"], move |request, stream| {
        if request.method != "GET" {
            return None;
        }
        let number = opened.fetch_add(1, Ordering::Relaxed);
        open_stream(stream, &[]);
        chunk(
            stream,
            &format!(
                "id: e{number}\nretry: 300\ndata: {}\n\n",
                json!({"jsonrpc": "2.0", "method": "notifications/message"})
            ),
        );
        // Each is cut once, and its successor stays.
        Some(if request.header("last-event-id").is_none() { After::Close } else { After::AwaitHangup })
    });
    let options = options(
        &[],
        "--users 10 --streams 50% --rate 600 --duration 3s --ramp 0s --session-calls 0 --also none \
         --max-errors 5",
    );
    let loaded = load(&backend.url(), &options);
    loaded.adds_up();
    let streams = |name: &str| loaded.count(&format!("/streams/{name}"));
    assert_eq!(
        (streams("opened"), streams("broken"), streams("mended/count"), streams("events")),
        (5, 5, 5, 10),
        "{}",
        loaded.said
    );
    assert_eq!(loaded.errors("stream broken"), 5);
    assert_eq!(loaded.code, Some(0), "five errors were allowed: {}", loaded.said);
    let mended = loaded.number("/streams/mended/p50_us");
    assert!((300_000.0..1_500_000.0).contains(&mended), "{mended}");
    let resumed: Vec<_> =
        backend.received().iter().filter_map(|request| request.header("last-event-id").map(str::to_owned)).collect();
    assert_eq!(resumed.len(), 5, "{resumed:?}");
    let series = loaded.report["series"].as_array().unwrap();
    assert!(series.iter().any(|point| point["streams"] == 5), "{series:?}");
}

#[test]
fn a_stream_that_the_server_ends_politely_or_does_not_offer_is_no_error() {
    let polite = server(Kind::Legacy, &["good"], |request, stream| {
        (request.method == "GET").then(|| {
            open_stream(stream, &[]);
            chunk(stream, "retry: 400\n\n");
            end_stream(stream)
        })
    });
    let options =
        options(&[], "--users 4 --streams 1 --rate 600 --duration 2s --ramp 0s --session-calls 0 --also none");
    let loaded = load(&polite.url(), &options);
    assert_eq!(loaded.code, Some(0), "{}", loaded.said);
    assert!(loaded.count("/streams/closed") >= 8 && loaded.count("/streams/mended/count") >= 4, "{}", loaded.said);
    let none = server(Kind::Stateless, &["good"], |_, _| None);
    let loaded = load(&none.url(), &options);
    assert_eq!((loaded.code, loaded.count("/streams/refused")), (Some(0), 4), "{}", loaded.said);
}

#[test]
fn a_modern_user_listens_by_a_request_of_its_own() {
    let backend = server(Kind::Modern, &["good"], |request, stream| {
        (request.call() == "subscriptions/listen").then(|| {
            assert_eq!(request.header("mcp-method"), Some("subscriptions/listen"));
            open_stream(stream, &[]);
            chunk(
                stream,
                &format!(
                    "data: {}\n\n",
                    json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}})
                ),
            );
            After::AwaitHangup
        })
    });
    let options = options(
        &[],
        "--era modern --users 6 --streams 50% --rate 600 --duration 2s --ramp 0s --also none --session-calls 0",
    );
    let loaded = load(&backend.url(), &options);
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    let streams = |name: &str| loaded.count(&format!("/streams/{name}"));
    assert_eq!((streams("opened"), streams("broken"), streams("events")), (3, 0, 3), "{}", loaded.said);
}
