//! Whatever a client or a server sends: nothing panics, and what the peek accepts is JSON that says what the peek says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline_fuzz::mcp::envelope::{Body, Bounds, Message, peek};
use moorline_fuzz::mcp::header::check_modern;
use moorline_fuzz::mcp::{catalogue, dialect, frame, input_required, listen};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let bounds = Bounds { max_depth: 20, max_batch: 5 };
    match peek(body, &bounds) {
        Ok(Body::One(message)) => agree(&message, body),
        Ok(Body::Batch(messages)) => {
            assert!((1..=bounds.max_batch).contains(&messages.len()));
            messages.iter().for_each(|message| agree(message, body));
        }
        Err(fault) => {
            let id = fault.id().map(|id| serde_json::from_str::<serde::de::IgnoredAny>(id).is_ok());
            assert_ne!(id, Some(false), "an id that is no JSON");
        }
    }
    let _ = (frame::frames(body), catalogue::page(body));
    let _ = (dialect::is_unknown_session(400, body), dialect::says_unsupported_version(400, body));
    if let Some(span) = input_required::state_span(body) {
        assert!(body[span].starts_with(b"\""));
    }
    let stamped = listen::stamp(body, "77");
    assert_eq!(listen::stamp(&stamped, "77"), stamped);
});

fn agree(message: &Message<'_>, body: &[u8]) {
    assert!(message.state_span(body).is_none_or(|span| body[span].starts_with(b"\"")));
    let _ = check_modern(&http::HeaderMap::new(), message);
    // A document knows less than JSON: no numbers beyond a double, no lone surrogates.
    let Ok(document) = serde_json::from_str::<Value>(message.raw) else { return };
    assert_eq!(document["jsonrpc"], "2.0");
    assert_eq!(document.get("method").and_then(Value::as_str), message.method());
    let id = message.id().filter(|id| *id != "null").map(|id| serde_json::from_str(id).expect("a raw id is json"));
    assert_eq!(document.get("id").filter(|id| !id.is_null()), id.as_ref());
    if message.method().is_some() {
        let param = |key: &str| document.get("params")?.get(key);
        assert_eq!(param("name").and_then(Value::as_str), message.params.name.as_deref());
        assert_eq!(param("uri").and_then(Value::as_str), message.params.uri.as_deref());
        assert_eq!(param("arguments").is_some(), message.params.arguments.is_some());
    }
}
