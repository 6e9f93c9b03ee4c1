//! The peek: what a client's body is, read in one pass without a document tree. It refuses what two readers could
//! take for two different messages; whether a method exists or its parameters fit is the backend's to judge.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use memchr::memchr2;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use super::fault::{Fault, PeekError};
pub use super::params::Params;
use super::params::{Key, ParamsSeed, Table, Text, once};
use super::raw;
use super::splice::span_of;
use super::trace_context::MetaTrace;

/// How much of a body is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Levels of arrays and objects, a batch's own array included.
    pub max_depth: usize,
    /// Messages in a batch.
    pub max_batch: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_depth: 128, max_batch: 100 }
    }
}

/// A client's body.
#[expect(clippy::large_enum_variant, reason = "nearly every body is one message, which is not worth an allocation")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// The common case.
    One(Message<'a>),
    /// Several messages in an array (2025-03-26 only); never empty.
    Batch(Vec<Message<'a>>),
}

impl<'a> Body<'a> {
    /// The messages, one or many.
    #[must_use]
    pub fn messages(&self) -> &[Message<'a>] {
        match self {
            Self::One(message) => std::slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }
}

/// One JSON-RPC message, borrowed from the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The message's own text (for a batch, this element's).
    pub raw: &'a str,
    /// What it is.
    pub kind: Kind<'a>,
    /// What its `params` say; empty for a response.
    pub params: Params<'a>,
}

/// The kinds of JSON-RPC messages. Ids are raw JSON text: `1`, `"a"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Wants a response.
    Request {
        /// A string or a number.
        id: &'a str,
        /// The method.
        method: Cow<'a, str>,
    },
    /// Wants none.
    Notification {
        /// The method.
        method: Cow<'a, str>,
    },
    /// Answers a server's request.
    Response {
        /// A string, a number, or `null` where it is null or missing.
        id: &'a str,
        /// It carries an error and no result.
        is_error: bool,
    },
}

impl<'a> Message<'a> {
    /// The raw id of a request or response.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Request { id, .. } | Kind::Response { id, .. } => Some(id),
            Kind::Notification { .. } => None,
        }
    }

    /// The method of a request or notification.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Request { method, .. } | Kind::Notification { method } => Some(method),
            Kind::Response { .. } => None,
        }
    }

    /// What the request is about: the tool or prompt's name, or the URI of the resource that is read
    /// (what `Mcp-Name` mirrors in the modern era).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.method()? {
            "tools/call" | "prompts/get" => self.params.name.as_deref(),
            "resources/read" => self.params.uri.as_deref(),
            _ => None,
        }
    }

    /// Whether this is a request of the method.
    #[must_use]
    pub fn is_request(&self, wanted: &str) -> bool {
        matches!(&self.kind, Kind::Request { method, .. } if method == wanted)
    }

    /// The raw `params` (a second look at the text; for `initialize` and other rare messages).
    #[must_use]
    pub fn params_raw(&self) -> Option<&'a str> {
        raw::pick(self.raw, ["params"])?[0]
    }

    /// What `_meta` says of the trace that it belongs to. `body` is the text that holds the message.
    #[must_use]
    pub fn trace(&self, body: &[u8]) -> Option<MetaTrace> {
        MetaTrace::read(body, self.params.trace_parent?, self.params.trace_state)
    }

    /// Where in `body` the raw `requestState` lies, quotes included, to be spliced.
    #[must_use]
    pub fn state_span(&self, body: &[u8]) -> Option<Range<usize>> {
        span_of(body, self.params.request_state?.as_bytes())
    }
}

/// Reads a client's body.
///
/// # Errors
/// A [`Fault`] that carries the request's own id where it can still be found.
pub fn peek<'a>(body: &'a [u8], bounds: &Bounds) -> Result<Body<'a>, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(body, error.valid_up_to()))?;
    if text.len() >= 2 * bounds.max_depth && is_deeper(body, bounds.max_depth) {
        return Err(Fault::within(text, PeekError::TooDeep { limit: bounds.max_depth }));
    }
    let start = text.trim_start_matches([' ', '\t', '\n', '\r']);
    if start.starts_with('[') {
        return batch(text, bounds.max_batch).map(Body::Batch);
    }
    message(start).map(Body::One)
}

fn not_utf8(body: &[u8], offset: usize) -> Fault {
    let error = PeekError::NotUtf8 { offset };
    let mut fault = Fault::within(&String::from_utf8_lossy(body), error);
    fault.id = fault.id.filter(|id| !id.contains(char::REPLACEMENT_CHARACTER));
    fault
}

fn batch(text: &str, limit: usize) -> Result<Vec<Message<'_>>, Fault> {
    let mut too_large = false;
    let mut json = serde_json::Deserializer::from_str(text);
    let parts = json.deserialize_seq(Parts { limit, too_large: &mut too_large });
    let parts = parts.and_then(|parts| json.end().map(|()| parts)).map_err(|error| {
        let error = if too_large { PeekError::BatchTooLarge { limit } } else { PeekError::from_json(&error) };
        Fault { error, id: None }
    })?;
    if parts.is_empty() {
        return Err(Fault { error: PeekError::EmptyBatch, id: None });
    }
    parts.into_iter().map(message).collect()
}

struct Parts<'l> {
    limit: usize,
    too_large: &'l mut bool,
}

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = seq.next_element::<&RawValue>()? {
            if parts.len() == self.limit {
                *self.too_large = true;
                return Err(A::Error::custom("too many messages"));
            }
            parts.push(part.get());
        }
        Ok(parts)
    }
}

fn message(text: &str) -> Result<Message<'_>, Fault> {
    let mut trouble = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let draft = json.deserialize_any(Envelope { trouble: &mut trouble });
    let draft = draft.and_then(|draft| json.end().map(|()| draft));
    match draft {
        Ok(draft) => draft.finish(text).map_err(|error| Fault::within(text, error)),
        Err(error) => Err(Fault::within(text, trouble.unwrap_or_else(|| misread(text, &error)))),
    }
}

/// A value of the wrong type is JSON all the same; only what breaks the grammar is not.
fn misread(text: &str, error: &serde_json::Error) -> PeekError {
    if error.is_data() && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return PeekError::NotAMessage { reason: "not an object" };
    }
    PeekError::from_json(error)
}

const KEYS: [&str; 6] = ["jsonrpc", "method", "id", "params", "result", "error"];

/// The envelope's parts before they are judged.
#[derive(Default)]
struct Draft<'a> {
    version: Option<Cow<'a, str>>,
    method: Option<Cow<'a, str>>,
    id: Option<&'a str>,
    params: Params<'a>,
    seen: u16,
}

impl<'a> Draft<'a> {
    fn has(&self, key: usize) -> bool {
        self.seen & (1 << key) != 0
    }

    fn finish(self, raw: &'a str) -> Result<Message<'a>, PeekError> {
        let not = |reason| Err(PeekError::NotAMessage { reason });
        if self.version.as_deref() != Some("2.0") {
            return not("member jsonrpc is not \"2.0\"");
        }
        if self.id.is_some_and(|id| id.starts_with(['{', '[', 't', 'f'])) {
            return not("id is neither string nor number");
        }
        let is_answer = self.has(4) || self.has(5);
        if !self.has(1) && !is_answer {
            return not("neither method nor result nor error");
        }
        if !self.has(1) {
            let is_error = !self.has(4);
            let kind = Kind::Response { id: self.id.unwrap_or("null"), is_error };
            return Ok(Message { raw, kind, params: Params::default() });
        }
        if is_answer {
            return not("both a method and a result or error");
        }
        let Some(method) = self.method else { return not("method is not a string") };
        if let Some(key) = self.params.miscased(&method) {
            return Err(PeekError::MiscasedKey { key });
        }
        let kind = match self.id {
            Some("null") => return not("id of a request is null"),
            Some(id) => Kind::Request { id, method },
            None => Kind::Notification { method },
        };
        Ok(Message { raw, kind, params: self.params })
    }
}

struct Envelope<'t> {
    trouble: &'t mut Option<PeekError>,
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = Draft<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut draft = Draft::default();
        while let Some(key) = map.next_key_seed(Table(&KEYS))? {
            match key {
                Key::Known(at) => {
                    once(&mut draft.seen, at, &KEYS, self.trouble)?;
                    draft.read(at, &mut map, self.trouble)?;
                }
                Key::Miscased(at) => {
                    *self.trouble = Some(PeekError::MiscasedKey { key: KEYS[at] });
                    return Err(A::Error::custom("miscased key"));
                }
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(draft)
    }
}

impl<'a> Draft<'a> {
    fn read<A: MapAccess<'a>>(
        &mut self,
        at: usize,
        map: &mut A,
        trouble: &mut Option<PeekError>,
    ) -> Result<(), A::Error> {
        match at {
            0 => self.version = map.next_value_seed(Text)?,
            1 => self.method = map.next_value_seed(Text)?,
            2 => self.id = Some(map.next_value::<&RawValue>()?.get()),
            3 => self.params = map.next_value_seed(ParamsSeed { trouble })?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// Whether brackets outside strings nest deeper than `limit`. Text that is no JSON gets some answer, and is
/// refused later.
fn is_deeper(body: &[u8], limit: usize) -> bool {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at = string_end(body, at),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// The place behind the string whose inside begins at `from`.
fn string_end(body: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(step) = body.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        if body[at + step] == b'"' {
            return at + step + 1;
        }
        at += step + 2;
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Message<'_> {
        match peek(body.as_bytes(), &Bounds::default()).unwrap() {
            Body::One(message) => message,
            Body::Batch(_) => panic!("one message"),
        }
    }

    fn fault(body: impl AsRef<[u8]>) -> (PeekError, Option<String>) {
        let fault = peek(body.as_ref(), &Bounds::default()).unwrap_err();
        (fault.error, fault.id.map(Into::into))
    }

    fn reason(body: &str) -> &'static str {
        match fault(body).0 {
            PeekError::NotAMessage { reason } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn reads_a_tool_call() {
        let body = r#" {"jsonrpc":"2.0","id": 7,"method":"tools/call","params":{"name":"add","arguments":{"a": [1,2]},
            "requestState":"st\"ate","_meta":{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28"}}} "#;
        let message = one(body);
        assert_eq!(message.kind, Kind::Request { id: "7", method: "tools/call".into() });
        assert_eq!((message.id(), message.method(), message.name()), (Some("7"), Some("tools/call"), Some("add")));
        assert_eq!(message.params.arguments, Some(r#"{"a": [1,2]}"#));
        assert_eq!(message.params.meta_version.as_deref(), Some("2026-07-28"));
        assert_eq!(message.params.progress_token, Some(r#""p""#));
        let span = message.state_span(body.as_bytes()).unwrap();
        assert_eq!(&body[span], r#""st\"ate""#);
        assert!(matches!(message.params.name, Some(Cow::Borrowed(_))), "not copied");
    }

    #[test]
    fn reads_what_other_methods_carry() {
        let init = one(r#"{"jsonrpc":"2.0","id":"a","method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#);
        assert_eq!(init.params.protocol_version.as_deref(), Some("2025-11-25"));
        assert_eq!(init.params_raw(), Some(r#"{"protocolVersion":"2025-11-25"}"#));
        let read = one(r#"{"params":{"uri":"file:\/\/x"},"method":"resources/read","id":1,"jsonrpc":"2.0"}"#);
        assert_eq!(read.name(), Some("file://x"));
        let listen =
            one(r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"a":true}}}"#);
        assert_eq!(listen.params.filter, Some(r#"{"a":true}"#));
        let level = one(r#"{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"debug"}}"#);
        assert_eq!(level.params.level.as_deref(), Some("debug"));
        let note = one(r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":null}"#);
        assert_eq!(note.kind, Kind::Notification { method: "notifications/initialized".into() });
    }

    #[test]
    fn reads_responses() {
        let answer = one(r#"{"jsonrpc":"2.0","id":"s","result":{"method":"x"},"error":null}"#);
        assert_eq!(answer.kind, Kind::Response { id: r#""s""#, is_error: false });
        let error = one(r#"{"jsonrpc":"2.0","error":{"code":1}}"#);
        assert_eq!(error.kind, Kind::Response { id: "null", is_error: true });
    }

    #[test]
    fn params_of_the_wrong_type_are_absent() {
        for params in ["[1,{\"name\":\"x\"}]", "5", "\"x\"", "true", r#"{"name":5,"uri":{"a":[]},"_meta":[1]}"#] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            assert_eq!(one(&body).params, Params::default(), "{params}");
        }
    }

    #[test]
    fn a_refusal_carries_the_requests_own_id() {
        let (error, id) = fault(r#"{"jsonrpc":"2.0","id":"x","method":"a","params":{"name":1,"name":2}}"#);
        assert_eq!((error, id.as_deref()), (PeekError::DuplicateKey { key: "name" }, Some(r#""x""#)));
        let (error, id) = fault(r#"{"id":5,"method":"a","params":{}"#);
        assert!(matches!(error, PeekError::NotJson { line: 1, .. }), "{error}");
        assert_eq!((error.code(), id.as_deref()), (-32_700, Some("5")));
        let (error, id) = fault(b"{\"a\":\"\xff\",\"id\":5}");
        assert_eq!((error, id.as_deref()), (PeekError::NotUtf8 { offset: 6 }, Some("5")));
        let deep = format!(r#"{{"x":{}{},"id":6}}"#, "[".repeat(128), "]".repeat(128));
        assert_eq!(fault(&deep), (PeekError::TooDeep { limit: 128 }, Some("6".into())));
        assert_eq!(fault(r#"{"jsonrpc":"1.0","id":5,"method":"a"}"#).1.as_deref(), Some("5"));
    }

    #[test]
    fn keys_that_readers_differ_on_are_refused() {
        for (body, key) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#, "method"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","id":2}"#, "id"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}"#, "params"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{},"_meta":{}}}"#, "_meta"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":1,"progressToken":1}}}"#,
                "progressToken",
            ),
        ] {
            assert_eq!(fault(body).0, PeekError::DuplicateKey { key });
        }
        for (body, key) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}"#, "method"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"b"}}"#, "name"),
        ] {
            assert_eq!(fault(body).0, PeekError::MiscasedKey { key });
        }
        let custom = one(r#"{"jsonrpc":"2.0","id":1,"method":"x/custom","params":{"Name":"b","URI":1,"x":1,"x":2}}"#);
        assert_eq!(custom.params.name, None, "another method's fields are its own");
        let arguments = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"name":1,"name":2}}}"#;
        assert!(peek(arguments.as_bytes(), &Bounds::default()).is_ok(), "arguments are never parsed");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for body in ["5", "null", "\"x\"", "true", " 1.5 "] {
            assert_eq!(reason(body), "not an object");
        }
        assert_eq!(reason("{}"), "member jsonrpc is not \"2.0\"");
        assert_eq!(reason(r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#), "member jsonrpc is not \"2.0\"");
        assert_eq!(reason(r#"{"jsonrpc":"2.0"}"#), "neither method nor result nor error");
        for id in ["{}", "[1]", "true"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a"}}"#);
            assert_eq!(reason(&body), "id is neither string nor number");
        }
        assert_eq!(reason(r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#), "id of a request is null");
        assert_eq!(reason(r#"{"jsonrpc":"2.0","id":1,"method":5}"#), "method is not a string");
        assert_eq!(
            reason(r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#),
            "both a method and a result or error"
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for body in ["", " ", "{", "nul", "{} {}", "[", "[{}", "{\"a\":1,}", "\u{feff}{}"] {
            assert!(matches!(fault(body).0, PeekError::NotJson { .. }), "{body}");
        }
    }

    #[test]
    fn batches_are_bounded() {
        let part = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let batch = |count: usize| format!(" [{}]", vec![part; count].join(", "));
        let body = batch(100);
        assert_eq!(peek(body.as_bytes(), &Bounds::default()).unwrap().messages().len(), 100);
        assert_eq!(fault(batch(101)).0, PeekError::BatchTooLarge { limit: 100 });
        assert_eq!(fault("[ ]").0, PeekError::EmptyBatch);
        let (error, id) = fault(r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":3}]"#);
        assert!(matches!(error, PeekError::NotAMessage { .. }));
        assert_eq!(id.as_deref(), Some("3"));
        assert!(matches!(fault("[[]]").0, PeekError::NotAMessage { .. }));
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let at = |depth: usize| {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            format!(r#"{{"jsonrpc":"2.0","method":"a","x":{open}"\"[[{{{{"{close}}}"#)
        };
        let bounds = Bounds { max_depth: 20, max_batch: 1 };
        assert!(peek(at(20).as_bytes(), &bounds).is_ok());
        assert_eq!(peek(at(21).as_bytes(), &bounds).unwrap_err().error, PeekError::TooDeep { limit: 20 });
    }
}
