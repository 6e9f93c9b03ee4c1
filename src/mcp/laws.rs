//! Laws of messages, ids and headers that hold for every input, each against a slow and obvious model.

use http::HeaderValue;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};
use serde_json::{Value, json};

use super::crossing::{
    ReplyFate, unwrap_event_id, unwrap_reply, unwrap_request_id, wrap_event_id, wrap_message, wrap_request_id,
};
use super::envelope::{Body, Bounds, Kind, Message, PeekError, peek};
use super::listen::{Filter, stamp};
use super::version::{META_PROTOCOL_VERSION, META_SUBSCRIPTION_ID};
use super::{catalogue, dialect, frame, header, input_required};
use crate::names::Mark;

/// Any JSON value, small.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-c_]{1,2}|name|uri|id", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Usually `usual`, sometimes any value, sometimes nothing.
fn member(usual: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![6 => usual.prop_map(Some), 1 => value().prop_map(Some), 2 => Just(None)]
}

fn text() -> impl Strategy<Value = Value> {
    any::<String>().prop_map(Value::from)
}

fn object(members: Vec<(&'static str, Option<Value>)>) -> Value {
    Value::Object(members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
}

fn params() -> impl Strategy<Value = Value> {
    let meta = (member(text()), member(value()), member(value())).prop_map(|(version, token, other)| {
        object(vec![(META_PROTOCOL_VERSION, version), ("progressToken", token), ("other", other)])
    });
    (
        (member(text()), member(text()), member(value()), member(meta)),
        (member(text()), member(text()), member(value()), member(text()), member(value())),
    )
        .prop_map(|((name, uri, arguments, meta), (state, level, filter, version, other))| {
            object(vec![
                ("name", name),
                ("uri", uri),
                ("arguments", arguments),
                ("_meta", meta),
                ("requestState", state),
                ("level", level),
                ("notifications", filter),
                ("protocolVersion", version),
                ("x", other),
            ])
        })
}

fn message() -> impl Strategy<Value = Value> {
    let method = prop_oneof![
        Just("tools/call"),
        Just("resources/read"),
        Just("prompts/get"),
        Just("initialize"),
        Just("notifications/cancelled"),
        Just("x/\"y\"")
    ];
    let rare = || prop_oneof![8 => Just(None), 1 => value().prop_map(Some)];
    let id = prop_oneof![any::<i64>().prop_map(Value::from), text()];
    (
        prop_oneof![15 => Just(Some(json!("2.0"))), 1 => member(Just(json!("1.0")))],
        member(id),
        member(method.prop_map(Value::from)),
        member(params()),
        rare(),
        rare(),
    )
        .prop_map(|(jsonrpc, id, method, params, result, error)| {
            object(vec![
                ("jsonrpc", jsonrpc),
                ("id", id),
                ("method", method),
                ("params", params),
                ("result", result),
                ("error", error),
            ])
        })
}

/// The obvious reading of a message; `None` where it is none.
fn model_kind(value: &Value) -> Option<(&'static str, Value)> {
    let (id, method) = (value.get("id"), value.get("method"));
    let answers = value.get("result").is_some() || value.get("error").is_some();
    if value.get("jsonrpc") != Some(&json!("2.0"))
        || id.is_some_and(|id| !(id.is_null() || id.is_string() || id.is_number()))
    {
        return None;
    }
    match (method, answers) {
        (None, true) => Some(("response", id.cloned().unwrap_or_default())),
        (Some(Value::String(_)), false) => match id {
            None => Some(("notification", Value::Null)),
            Some(Value::Null) => None,
            Some(id) => Some(("request", id.clone())),
        },
        _ => None,
    }
}

fn raw_value(raw: Option<&str>) -> Option<Value> {
    raw.map(|raw| serde_json::from_str(raw).unwrap())
}

fn assert_reads_as(
    message: &Message<'_>,
    value: &Value,
    kind: &(&str, Value),
) -> Result<(), proptest::test_runner::TestCaseError> {
    let seen = match &message.kind {
        Kind::Request { id, .. } => ("request", raw_value(Some(id)).unwrap()),
        Kind::Notification { .. } => ("notification", Value::Null),
        Kind::Response { id, is_error } => {
            prop_assert_eq!(*is_error, value.get("result").is_none());
            ("response", raw_value(Some(id)).unwrap())
        }
    };
    prop_assert_eq!(&seen, kind);
    let get = |key: &str| value.get("params")?.get(key);
    let string = |value: Option<&Value>| Some(value?.as_str()?.to_owned());
    if seen.0 == "response" {
        return Ok(());
    }
    prop_assert_eq!(message.method(), value.get("method").and_then(Value::as_str));
    let params = &message.params;
    let (name, uri) = (string(get("name")), string(get("uri")));
    let about = match message.method().unwrap() {
        "tools/call" | "prompts/get" => name.clone(),
        "resources/read" => uri.clone(),
        _ => None,
    };
    prop_assert_eq!(message.name().map(str::to_owned), about);
    prop_assert_eq!(params.name.as_deref().map(str::to_owned), name);
    prop_assert_eq!(params.uri.as_deref().map(str::to_owned), uri);
    prop_assert_eq!(params.level.as_deref().map(str::to_owned), string(get("level")));
    prop_assert_eq!(params.protocol_version.as_deref().map(str::to_owned), string(get("protocolVersion")));
    prop_assert_eq!(raw_value(params.arguments), get("arguments").cloned());
    prop_assert_eq!(raw_value(params.filter), get("notifications").cloned());
    prop_assert_eq!(raw_value(params.request_state), get("requestState").filter(|state| state.is_string()).cloned());
    let meta = |key: &str| get("_meta")?.get(key);
    prop_assert_eq!(params.meta_version.as_deref().map(str::to_owned), string(meta(META_PROTOCOL_VERSION)));
    prop_assert_eq!(raw_value(params.progress_token), meta("progressToken").cloned());
    prop_assert_eq!(raw_value(message.params_raw()), value.get("params").cloned());
    Ok(())
}

/// A raw JSON-RPC id.
fn raw_id() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        any::<String>(),
        (any::<u8>(), "[ns]", any::<i64>()).prop_map(|(epoch, kind, rest)| format!("moor~{epoch}~{kind}{rest}")),
        "moor~[0-9]{0,3}~?[ns]?.{0,4}",
    ];
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1.5e3".to_owned()),
        string.prop_map(|text| Value::from(text).to_string()),
    ]
}

proptest! {
    /// The peek reads what a document tree reads.
    #[test]
    fn the_peek_agrees_with_a_document(value in message(), pretty in any::<bool>()) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        match (peek(body.as_bytes(), &Bounds::default()), model_kind(&value)) {
            (Ok(Body::One(message)), Some(kind)) => assert_reads_as(&message, &value, &kind)?,
            (Err(fault), None) => {
                let is_not_a_message = matches!(fault.error, PeekError::NotAMessage { .. });
                prop_assert!(is_not_a_message);
                let id = value.get("id").filter(|id| id.is_string() || id.is_number());
                prop_assert_eq!(raw_value(fault.id()), id.cloned());
            }
            (seen, kind) => prop_assert!(false, "{:?} but {:?}", seen, kind),
        }
    }

    /// A batch is its messages.
    #[test]
    fn a_batch_reads_as_its_messages(values in prop::collection::vec(message(), 0..5)) {
        let body = serde_json::to_string(&values).unwrap();
        let all: Option<Vec<_>> = values.iter().map(model_kind).collect();
        match (peek(body.as_bytes(), &Bounds::default()), all) {
            (Ok(Body::Batch(messages)), Some(kinds)) => {
                prop_assert_eq!(messages.len(), kinds.len());
                for ((message, value), kind) in messages.iter().zip(&values).zip(kinds) {
                    assert_reads_as(message, value, &kind)?;
                }
            }
            (Err(fault), None) => prop_assert!(fault.error.code() == -32_600),
            (Err(fault), Some(kinds)) => prop_assert!(kinds.is_empty() && fault.error == PeekError::EmptyBatch),
            (seen, kinds) => prop_assert!(false, "{:?} but {:?}", seen, kinds),
        }
    }

    /// Whatever happens to the bytes: no panic, nothing is accepted that is no JSON, nothing is read otherwise than a
    /// document reads it, and no reader of server messages falls over.
    #[test]
    fn mutated_bytes_are_read_truly_or_refused(
        value in message(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
    ) {
        let mut body = serde_json::to_vec(&value).unwrap();
        for (at, byte, how) in mutations {
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => drop(body.splice(at.., b"\"}".to_vec())),
            }
        }
        let document = serde_json::from_slice::<Value>(&body);
        match peek(&body, &Bounds::default()) {
            Ok(Body::One(message)) => {
                if let Ok(document) = document {
                    let kind = model_kind(&document);
                    prop_assert!(kind.is_some());
                    assert_reads_as(&message, &document, &kind.unwrap())?;
                }
            }
            Ok(Body::Batch(_)) => {}
            Err(fault) => {
                let is_no_text = matches!(fault.error, PeekError::NotUtf8 { .. });
                prop_assert!(document.is_err() || !is_no_text);
            }
        }
        let _ = (frame::frames(&body), catalogue::page(&body), input_required::state_span(&body));
        let _ = (dialect::is_unknown_session(400, &body), dialect::says_unsupported_version(400, &body));
        let _ = (unwrap_reply(&body, Mark(1)), wrap_message(Mark(1), &body), stamp(&body, "1"));
    }

    /// unwrap(wrap(e, x)) is (e, x), and wrap(0, x) is x unless x looks wrapped: for event ids.
    #[test]
    fn event_ids_cross_and_come_back(
        mark in prop_oneof![Just(0), any::<u64>()],
        native in prop_oneof![any::<String>(), "moor~[0-9]{0,11}~?.{0,4}"],
    ) {
        let wrapped = wrap_event_id(Mark(mark), &native);
        prop_assert_eq!(unwrap_event_id(&wrapped), (Mark(mark), native.as_str().into()));
        if mark == 0 && !native.starts_with("moor~") {
            prop_assert_eq!(&wrapped, &native);
        }
    }

    /// The same for request ids, and a client may write the string with other escapes.
    #[test]
    fn request_ids_cross_and_come_back(mark in prop_oneof![Just(0), any::<u64>()], native in raw_id()) {
        let wrapped = wrap_request_id(Mark(mark), &native);
        prop_assert_eq!(unwrap_request_id(&wrapped), (Mark(mark), native.as_str().into()));
        if mark == 0 && !native.starts_with("\"moor~") {
            prop_assert_eq!(&wrapped, &native);
        }
        let decoded: Value = serde_json::from_str(&wrapped).unwrap();
        if let Value::String(text) = &decoded {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let escaped = format!("\"{escaped}\"");
            let (back, id) = unwrap_request_id(&escaped);
            prop_assert_eq!(back, Mark(mark));
            let id: Value = serde_json::from_str(&id).unwrap();
            prop_assert_eq!(id, serde_json::from_str::<Value>(&native).unwrap());
        }
    }

    /// A server's request crosses to the client, its answer comes back to the server's own id.
    #[test]
    fn a_request_crosses_and_its_answer_comes_back(mark in any::<u64>(), native in raw_id()) {
        let request = format!(r#"{{"jsonrpc":"2.0","method":"roots/list","id":{native}}}"#);
        let seen = wrap_message(Mark(mark), request.as_bytes()).unwrap_or_else(|| request.clone().into_bytes());
        let id = frame::peek_frame(&seen).unwrap().id().unwrap().to_owned();
        let reply = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).into_bytes();
        let back = match unwrap_reply(&reply(&id), Mark(mark)) {
            ReplyFate::Unchanged => reply(&id),
            ReplyFate::Rewritten(back) => back,
            ReplyFate::Stale(_) => Vec::new(),
        };
        prop_assert_eq!(back, reply(&native));
        prop_assert_eq!(unwrap_reply(&reply(&id), Mark(mark ^ 1)), ReplyFate::Stale(Mark(mark)));
    }

    /// decode(encode(x)) is x, an encoded value is a header value, and it matches nothing but x.
    #[test]
    fn header_values_come_back(value in prop_oneof![any::<String>(), "[ -~]{0,8}", "=\\?base64\\?.{0,6}\\?="], other in any::<String>()) {
        let encoded = header::encode(&value);
        prop_assert!(HeaderValue::from_str(&encoded).is_ok());
        prop_assert_eq!(encoded.trim_matches([' ', '\t']), &encoded[..]);
        let decoded = header::decode(encoded.as_bytes());
        prop_assert_eq!(decoded.as_deref(), Some(&value[..]));
        prop_assert_eq!(header::header_matches(encoded.as_bytes(), &other), other == value);
    }

    /// A stamp sets the subscription id of a notification and leaves its other values alone; twice is once.
    #[test]
    fn stamping_sets_one_value(params in prop_oneof![params(), value()], id in raw_id()) {
        let frame = json!({"jsonrpc": "2.0", "method": "notifications/x", "params": params});
        let stamped = stamp(frame.to_string().as_bytes(), &id);
        let seen: Value = serde_json::from_slice(&stamped).unwrap();
        let mut want = frame.clone();
        let params = want.get_mut("params").unwrap();
        if params.is_null() {
            *params = json!({});
        }
        if params.is_object() {
            let meta = &mut params["_meta"];
            if meta.is_null() || meta.is_object() {
                meta[META_SUBSCRIPTION_ID] = serde_json::from_str(&id).unwrap();
            } else if frame["params"].is_null() {
                want = frame;
            }
        }
        prop_assert_eq!(seen, want);
        prop_assert_eq!(stamp(&stamped, &id), stamped);
    }

    /// A filter's canonical form is the filter.
    #[test]
    fn filters_come_back(value in prop_oneof![value(), value().prop_map(|value| json!({"toolsListChanged": value})),
        prop::collection::vec(any::<String>(), 0..4).prop_map(|uris| json!({"resourceSubscriptions": uris, "x": 1}))]) {
        let filter = Filter::parse(&value.to_string());
        prop_assert_eq!(filter.is_some(), value.is_object());
        if let Some(filter) = filter {
            prop_assert_eq!(Filter::parse(&filter.to_json()), Some(filter));
        }
    }
}
