//! Ids cross a move and come back, and no id that a client makes up gets anything but an id into a message. The
//! first byte is the mark.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline_fuzz::mcp::crossing::{
    ReplyFate, rewrite_block, unwrap_event_id, unwrap_reply, unwrap_request_id, wrap_event_id, wrap_message,
    wrap_request_id,
};
use moorline_fuzz::mcp::{header, raw};
use moorline_fuzz::names::Mark;
use serde_json::value::RawValue;

fuzz_target!(|input: &[u8]| {
    let [mark, rest @ ..] = input else { return };
    let mark = Mark(u64::from(*mark));
    let _ = rewrite_block(mark, rest);
    let is_json = |bytes: &[u8]| serde_json::from_slice::<&RawValue>(bytes).is_ok();
    if let ReplyFate::Rewritten(reply) = unwrap_reply(rest, mark) {
        assert!(is_json(&reply));
    }
    if let Some(message) = wrap_message(mark, rest) {
        assert!(is_json(&message));
    }
    let _ = header::decode(rest);
    let Some(text) = raw::utf8(rest) else { return };
    event_id(mark, text);
    request_id(mark, &raw::quote(text));
    if raw::is_number(text) || raw::text(text).is_some() {
        request_id(mark, text);
    }
    assert_eq!(header::decode(header::encode(text).as_bytes()).as_deref(), Some(text));
});

fn event_id(mark: Mark, native: &str) {
    assert_eq!(unwrap_event_id(&wrap_event_id(mark, native)), (mark, native.into()));
    let _ = unwrap_event_id(native);
}

fn request_id(mark: Mark, native: &str) {
    assert_eq!(unwrap_request_id(&wrap_request_id(mark, native)), (mark, native.into()));
    let id = unwrap_request_id(native).1;
    assert!(raw::is_number(&id) || raw::text(&id).is_some(), "no id: {id}");
}
