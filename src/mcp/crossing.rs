//! Ids that cross a move (design, section 5). From a session's first move on, event ids and the ids of server requests go to
//! the client with the mark of their berth in them and are unwrapped on the way back; mark 0, the first berth's, passes
//! unchanged, but for a native id that looks wrapped, which is escaped by wrapping. It knows no session.

use std::borrow::Cow;

use super::needle::needle;
use super::raw;
use super::splice::{span_of, splice_all};
use super::sse::{self, EventRef};
use crate::names::Mark;

/// Begins every wrapped id.
pub const MARKER: &str = "moor~";

needle!(MARKED = MARKER.as_bytes());

/// The event id that the client sees: `moor~{mark}~{native}`.
#[must_use]
pub fn wrap_event_id(mark: Mark, native: &str) -> Cow<'_, str> {
    if mark.0 == 0 && split(native).is_none() {
        return Cow::Borrowed(native);
    }
    Cow::Owned(format!("{MARKER}{}~{native}", mark.0))
}

/// The mark and the native id of an event id that a client sent (`Last-Event-ID`).
#[must_use]
pub fn unwrap_event_id(seen: &str) -> (Mark, Cow<'_, str>) {
    split(seen).map_or((Mark(0), Cow::Borrowed(seen)), |(mark, native)| (mark, Cow::Borrowed(native)))
}

/// The mark and the rest of a wrapped id. Only the spelling that wrapping gives counts: no sign, no leading zero.
fn split(id: &str) -> Option<(Mark, &str)> {
    let (digits, rest) = id.strip_prefix(MARKER)?.split_once('~')?;
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let mark = digits.parse().ok().filter(|_| is_canonical)?;
    Some((Mark(mark), rest))
}

/// The JSON-RPC id that the client sees for a server's request: raw JSON in, raw JSON out. A number becomes the
/// string `"moor~{mark}~n{number}"`, a string `"moor~{mark}~s{string}"`; anything else is no id and stays.
#[must_use]
pub fn wrap_request_id(mark: Mark, native: &str) -> Cow<'_, str> {
    if mark.0 == 0 && split_request(native).is_none() {
        return Cow::Borrowed(native);
    }
    match native.strip_prefix('"') {
        Some(string) => Cow::Owned(format!("\"{MARKER}{}~s{string}", mark.0)),
        None if raw::is_number(native) => Cow::Owned(format!("\"{MARKER}{}~n{native}\"", mark.0)),
        None => Cow::Borrowed(native),
    }
}

/// The mark and the server's own id, raw JSON both, of the id that a client's response carries.
#[must_use]
pub fn unwrap_request_id(seen: &str) -> (Mark, Cow<'_, str>) {
    split_request(seen).unwrap_or((Mark(0), Cow::Borrowed(seen)))
}

fn split_request(raw_id: &str) -> Option<(Mark, Cow<'_, str>)> {
    if !raw_id.starts_with('"') {
        return None;
    }
    if let Some(found) = split_plain(raw_id) {
        return Some((found.0, Cow::Owned(found.1)));
    }
    // A client may escape what needs no escape; the marker is then found only in the decoded string.
    let decoded = memchr::memchr(b'\\', raw_id.as_bytes()).and_then(|_| raw::text(raw_id))?;
    let (mark, native) = split_plain(&raw::quote(&decoded))?;
    Some((mark, Cow::Owned(native)))
}

fn split_plain(raw_id: &str) -> Option<(Mark, String)> {
    let inner = raw_id.strip_prefix('"')?.strip_suffix('"')?;
    let (mark, rest) = split(inner)?;
    if let Some(string) = rest.strip_prefix('s') {
        return Some((mark, format!("\"{string}\"")));
    }
    // What is put into a message as a number must be one, whatever a client made of it.
    rest.strip_prefix('n').filter(|number| raw::is_number(number)).map(|number| (mark, number.to_owned()))
}

/// Whether a block of events from a server may have to be rewritten: always but at mark 0, there only where
/// the marker occurs.
#[must_use]
pub fn needs_rewrite(block: &[u8], mark: Mark) -> bool {
    mark.0 > 0 || MARKED.is_in(block)
}

/// Writes a server's event to `out` as the client is to see it: its event id wrapped, and the id of a server's
/// request, or the id that the server's `notifications/cancelled` names. Responses keep their ids: those are the
/// client's own. An empty event id, which resets the client's, stays empty.
pub fn rewrite_event(mark: Mark, event: &EventRef<'_>, out: &mut Vec<u8>) {
    let id = event.id.as_deref().filter(|id| !id.is_empty()).map(|id| wrap_event_id(mark, id));
    let id = id.filter(|id| matches!(id, Cow::Owned(_)));
    let data = event.data.as_deref().and_then(|data| wrap_message(mark, data));
    sse::rewrite(event, id.as_deref(), data.as_deref(), out);
}

/// Every event of a block through [`rewrite_event`].
#[must_use]
pub fn rewrite_block(mark: Mark, block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + 64);
    for event in sse::events(block) {
        rewrite_event(mark, &event, &mut out);
    }
    out
}

/// A server's message (or batch) with the ids of its requests wrapped; `None` where nothing changes.
#[must_use]
pub fn wrap_message(mark: Mark, data: &[u8]) -> Option<Vec<u8>> {
    let text = raw::utf8(data)?;
    let messages = if text.trim_ascii_start().starts_with('[') { raw::elements(text)? } else { vec![text] };
    let mut edits = Vec::new();
    for message in messages {
        let Some(id) = server_request_id(message) else { continue };
        if let (Cow::Owned(wrapped), Some(span)) = (wrap_request_id(mark, id), span_of(data, id.as_bytes())) {
            edits.push((span, wrapped));
        }
    }
    (!edits.is_empty()).then(|| splice_all(data, &edits))
}

/// The raw id of a server's request that the message carries or cancels.
fn server_request_id(message: &str) -> Option<&str> {
    let [id, method, params] = raw::pick(message, ["id", "method", "params"])?;
    let method = raw::text(method?)?;
    match id.filter(|id| *id != "null") {
        Some(id) => Some(id),
        None if method == "notifications/cancelled" => raw::at(params?, &["requestId"]),
        None => None,
    }
}

/// What becomes of a client's body that carries responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyFate {
    /// Send it as it is.
    Unchanged,
    /// Send this instead: ids unwrapped, and a batch's stale responses left out.
    Rewritten(Vec<u8>),
    /// It answers requests of another berth only.
    Stale(Mark),
}

/// Unwraps the ids of the responses in a client's body, single or batch. Requests and notifications, whose ids are
/// the client's own, stay.
#[must_use]
pub fn unwrap_reply(body: &[u8], current: Mark) -> ReplyFate {
    if current.0 == 0 && !needs_rewrite(body, current) {
        return ReplyFate::Unchanged;
    }
    let Some(text) = raw::utf8(body) else { return ReplyFate::Unchanged };
    if !text.trim_ascii_start().starts_with('[') {
        return unwrap_one(text, current);
    }
    raw::elements(text).map_or(ReplyFate::Unchanged, |messages| unwrap_batch(&messages, current))
}

/// The berth whose request a client's single response answers; `None` where it is no response.
#[must_use]
pub fn reply_mark(body: &[u8]) -> Option<Mark> {
    let [id, None, _, _] = raw::pick(raw::utf8(body)?, ["id", "method", "result", "error"])? else { return None };
    Some(unwrap_request_id(id?).0)
}

fn unwrap_batch(messages: &[&str], current: Mark) -> ReplyFate {
    let (mut kept, mut changed, mut stale) = (Vec::new(), false, None);
    for message in messages {
        match unwrap_one(message, current) {
            ReplyFate::Unchanged => kept.push(Cow::Borrowed(message.as_bytes())),
            ReplyFate::Rewritten(new) => {
                changed = true;
                kept.push(Cow::Owned(new));
            }
            ReplyFate::Stale(mark) => stale = stale.max(Some(mark)),
        }
    }
    match stale {
        Some(mark) if kept.is_empty() => ReplyFate::Stale(mark),
        None if !changed => ReplyFate::Unchanged,
        _ => ReplyFate::Rewritten([b"[", kept.join(&b","[..]).as_slice(), b"]"].concat()),
    }
}

fn unwrap_one(message: &str, current: Mark) -> ReplyFate {
    let Some([Some(id), None, result, error]) = raw::pick(message, ["id", "method", "result", "error"]) else {
        return ReplyFate::Unchanged;
    };
    if (result.is_none() && error.is_none()) || id == "null" {
        return ReplyFate::Unchanged;
    }
    let (mark, native) = unwrap_request_id(id);
    if mark != current {
        return ReplyFate::Stale(mark);
    }
    match (native, span_of(message.as_bytes(), id.as_bytes())) {
        (Cow::Owned(native), Some(span)) => ReplyFate::Rewritten(splice_all(message.as_bytes(), &[(span, native)])),
        _ => ReplyFate::Unchanged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(mark: u64, block: &str) -> String {
        String::from_utf8(rewrite_block(Mark(mark), block.as_bytes())).unwrap()
    }

    #[test]
    fn epoch_0_passes_unchanged_but_for_what_looks_wrapped() {
        assert!(matches!(wrap_event_id(Mark(0), "abc"), Cow::Borrowed("abc")));
        assert_eq!(wrap_event_id(Mark(0), "moor~nothing"), "moor~nothing");
        assert_eq!(wrap_event_id(Mark(0), "moor~3~x"), "moor~0~moor~3~x");
        assert_eq!(unwrap_event_id("moor~0~moor~3~x"), (Mark(0), "moor~3~x".into()));
        assert_eq!(unwrap_event_id("moor~03~x"), (Mark(0), "moor~03~x".into()));
        assert_eq!(unwrap_event_id("moor~99999999999999999999~x").0, Mark(0));
        assert_eq!(wrap_request_id(Mark(0), "5"), "5");
    }

    #[test]
    fn request_ids_keep_their_type() {
        assert_eq!(wrap_request_id(Mark(2), "5"), r#""moor~2~n5""#);
        assert_eq!(wrap_request_id(Mark(2), r#""a\"b""#), r#""moor~2~sa\"b""#);
        assert_eq!(unwrap_request_id(r#""moor~2~n5""#), (Mark(2), "5".into()));
        assert_eq!(unwrap_request_id(r#""moor~2~sa\"b""#), (Mark(2), r#""a\"b""#.into()));
        assert_eq!(unwrap_request_id(r#""\u006door~2~s\u00e9""#), (Mark(2), "\"é\"".into()));
    }

    #[test]
    fn a_forged_number_is_not_put_into_a_message() {
        let forged = r#""moor~1~n5,\"method\":\"x\"""#;
        assert_eq!(unwrap_request_id(forged), (Mark(0), forged.into()));
        assert_eq!(unwrap_request_id(r#""moor~1~n1 ""#).0, Mark(0));
    }

    #[test]
    fn a_server_request_and_its_event_id_are_wrapped() {
        let seen = rewritten(1, "id: e7\nevent: message\ndata: {\"id\": 4,\ndata: \"method\":\"roots/list\"}\n\n");
        assert_eq!(
            seen,
            "id: moor~1~e7\nevent: message\ndata: {\"id\": \"moor~1~n4\",\ndata: \"method\":\"roots/list\"}\n\n"
        );
    }

    #[test]
    fn a_server_cancelling_its_own_request_names_it_wrapped() {
        let seen =
            rewritten(3, "data: {\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"q\",\"x\":1}}\n\n");
        assert!(seen.contains(r#""requestId":"moor~3~sq","x":1"#));
    }

    #[test]
    fn responses_and_other_notifications_stay() {
        for data in [r#"{"id":1,"result":{}}"#, r#"{"method":"notifications/message","params":{}}"#, "no json", ""] {
            let block = format!("data: {data}\r\n\r\n");
            assert_eq!(rewritten(1, &block), block);
        }
        assert_eq!(rewritten(1, "id:\ndata:\n\n"), "id:\ndata:\n\n");
    }

    #[test]
    fn batches_are_wrapped_element_by_element() {
        let seen = wrap_message(Mark(1), br#"[{"id":1,"method":"a"},{"id":2,"result":0},{"id":"3","method":"b"}]"#);
        let want = br#"[{"id":"moor~1~n1","method":"a"},{"id":2,"result":0},{"id":"moor~1~s3","method":"b"}]"#;
        assert_eq!(seen.as_deref(), Some(&want[..]));
    }

    #[test]
    fn a_reply_goes_back_with_the_servers_own_id() {
        let reply = br#"{"jsonrpc":"2.0", "id":"moor~1~n4" ,"result":{}}"#;
        let want = br#"{"jsonrpc":"2.0", "id":4 ,"result":{}}"#;
        assert_eq!(unwrap_reply(reply, Mark(1)), ReplyFate::Rewritten(want.to_vec()));
        assert_eq!(unwrap_reply(reply, Mark(2)), ReplyFate::Stale(Mark(1)));
        assert_eq!(unwrap_reply(reply, Mark(0)), ReplyFate::Stale(Mark(1)));
        assert_eq!(unwrap_reply(br#"{"id":4,"result":{}}"#, Mark(0)), ReplyFate::Unchanged);
        assert_eq!(unwrap_reply(br#"{"id":4,"result":{}}"#, Mark(1)), ReplyFate::Stale(Mark(0)));
    }

    #[test]
    fn a_batch_loses_only_its_stale_replies() {
        let body = br#"[{"id":"moor~1~n1","error":{}},{"id":"moor~2~sx","result":1}, {"id":9,"method":"ping"}]"#;
        let want = br#"[{"id":"x","result":1},{"id":9,"method":"ping"}]"#;
        assert_eq!(unwrap_reply(body, Mark(2)), ReplyFate::Rewritten(want.to_vec()));
        assert_eq!(unwrap_reply(br#"[{"id":1,"result":1}]"#, Mark(2)), ReplyFate::Stale(Mark(0)));
    }
}
