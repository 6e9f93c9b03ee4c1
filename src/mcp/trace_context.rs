//! Where a request belongs among others, as its sender says: W3C Trace Context (<https://www.w3.org/TR/trace-context-2/>), in a header
//! field or in `params._meta` (MCP 2026-07-28, Base Protocol, `_meta`: OpenTelemetry trace context; SEP-414). Reads and writes it; what
//! is recorded is decided elsewhere.

use std::fmt;
use std::ops::Range;

use http::{HeaderMap, HeaderName};

use super::raw;
use super::splice::{span_of, splice};

/// The field, and the key in `_meta`, that names trace and parent.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Characters of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// A longer `tracestate` in a body is not passed on in the header field; 512 characters must be (§3.3.1.5).
const LONGEST_STATE: usize = 4096;

/// The flag that says that the sender records its part of the trace (§3.2.2.5.1).
pub const SAMPLED: u8 = 1;
/// The flag that says that the trace id was made by chance (§3.2.2.5.2).
pub const RANDOM: u8 = 2;

/// The name of a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The name of one span in a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// A trace, the span in it that is the parent, and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span whose child this request is.
    pub span: SpanId,
    /// The flags that are known: [`SAMPLED`] and [`RANDOM`].
    pub flags: u8,
}

impl TraceParent {
    /// Reads a value; none where it is not of the form. Of a version that is not known yet, the part that will not change is read (§3.2.3).
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let [version] = hex(&known[..2])?;
        let has_form = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
        let ends = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        if !has_form || !ends || version == 0xff {
            return None;
        }
        let trace = TraceId(hex(&known[3..35])?);
        let span = SpanId(hex(&known[36..52])?);
        let [flags] = hex(&known[53..])?;
        let named = trace.0 != [0; 16] && span.0 != [0; 8];
        named.then_some(Self { trace, span, flags: flags & (SAMPLED | RANDOM) })
    }

    /// What the header field says. Where it stands more than once, nobody knows which of them holds.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { Self::parse(value.as_bytes().trim_ascii()) }
    }

    /// Whether its sender records its part of the trace.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Small hexadecimal digits as bytes; the text has twice as many characters as there are bytes.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

macro_rules! shown_in_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

shown_in_hex!(TraceId);
shown_in_hex!(SpanId);

/// What a message's `_meta` says of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaTrace {
    /// Its trace and parent.
    pub parent: TraceParent,
    /// Where the text of that lies in the body, without its quotes.
    pub at: Range<usize>,
    /// What tracing systems have added.
    pub state: Option<Box<str>>,
}

impl MetaTrace {
    /// Reads the raw values of `traceparent` and `tracestate` in `_meta`; none where the first is not of the form.
    #[must_use]
    pub fn read(body: &[u8], parent: &str, state: Option<&str>) -> Option<Self> {
        let inner = parent.strip_prefix('"')?.strip_suffix('"')?;
        // Only what stands there plainly can be replaced.
        let plain = !inner.contains('\\');
        let parent = TraceParent::parse(inner.as_bytes()).filter(|_| plain)?;
        let at = span_of(body, inner.as_bytes())?;
        let state = state.and_then(|state| serde_json::from_str::<Box<str>>(state).ok());
        Some(Self { parent, at, state: state.filter(|state| state.len() <= LONGEST_STATE) })
    }
}

/// `body` with `parent` in the place of the `traceparent` that lies at `at`. None where another trace's, or none, lies there.
#[must_use]
pub fn replace(body: &[u8], at: &Range<usize>, parent: &TraceParent) -> Option<Vec<u8>> {
    let there = TraceParent::parse(body.get(at.clone())?)?;
    (there.trace == parent.trace).then(|| splice(body, at, parent.to_string().as_bytes()))
}

/// `body` with `parent` written into the `_meta` of its `params`, which is made where there is none; and where it lies then. None where
/// the message has no `params`, or a `traceparent` already.
#[must_use]
pub fn insert(body: &[u8], parent: &TraceParent) -> Option<(Vec<u8>, Range<usize>)> {
    let params = raw::at(raw::utf8(body)?, &["params"])?;
    let [meta] = raw::pick(params, ["_meta"])?;
    let (object, before, after) = match meta {
        Some(meta) if raw::pick(meta, [TRACEPARENT.as_str()])?[0].is_some() => return None,
        Some(meta) => (meta, "\"traceparent\":\"", "\""),
        None => (params, "\"_meta\":{\"traceparent\":\"", "\"}"),
    };
    let inside = object.strip_prefix('{')?;
    let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
    let start = span_of(body, inside.as_bytes())?.start;
    let text = parent.to_string();
    let at = start + before.len();
    let new = format!("{before}{text}{after}{comma}");
    Some((splice(body, &(start..start), new.as_bytes()), at..at + text.len()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::mcp::envelope::{Bounds, peek};

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parent() -> TraceParent {
        TraceParent { trace: TraceId([0xab; 16]), span: SpanId([0xcd; 8]), flags: SAMPLED | RANDOM }
    }

    #[test]
    fn reads_what_the_specification_calls_valid() {
        let read = TraceParent::parse(GOOD.as_bytes()).unwrap();
        assert_eq!((read.to_string().as_str(), read.is_sampled()), (GOOD, true));
        let later = GOOD.replacen("00", "cc", 1);
        assert_eq!(TraceParent::parse(later.as_bytes()), Some(read));
        assert_eq!(TraceParent::parse(format!("{later}-what-comes").as_bytes()), Some(read));
        let unknown = GOOD.replace("-01", "-fc");
        assert!(!TraceParent::parse(unknown.as_bytes()).unwrap().is_sampled());
        assert_eq!(TraceParent::parse(unknown.as_bytes()).unwrap().flags, 0);
    }

    #[test]
    fn what_is_malformed_is_none() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn two_fields_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(TraceParent::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(TraceParent::of(&headers).is_none());
    }

    fn meta(body: &str) -> Option<MetaTrace> {
        let peeked = peek(body.as_bytes(), &Bounds::default()).unwrap();
        peeked.messages()[0].trace(body.as_bytes())
    }

    #[test]
    fn is_found_in_a_body_and_replaced_there() {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","arguments":{{"_meta":{{"traceparent":"no"}}}},"_meta":{{"tracestate":"a=1,b=\"2\"","traceparent": "{GOOD}"}}}}}}"#
        );
        let found = meta(&body).unwrap();
        assert_eq!(&body[found.at.clone()], GOOD);
        assert_eq!(found.state.as_deref(), Some("a=1,b=\"2\""));
        let mut next = found.parent;
        next.span = SpanId([1; 8]);
        let replaced = replace(body.as_bytes(), &found.at, &next).unwrap();
        assert_eq!(replaced.len(), body.len());
        assert_eq!(meta(std::str::from_utf8(&replaced).unwrap()).unwrap().parent, next);
        assert_eq!(replace(body.as_bytes(), &found.at, &parent()), None);
        assert_eq!(replace(body.as_bytes(), &(3..58), &next), None);
    }

    #[test]
    fn what_is_malformed_in_a_body_is_passed_over() {
        for bad in [
            r#""_meta":{"traceparent":7}"#.to_owned(),
            r#""_meta":{"traceparent":"what"}"#.to_owned(),
            format!(r#""_meta":{{"traceparent":"{}"}}"#, GOOD.replace('b', "\\u0062")),
            format!(r#""_meta":{{"traceparent":"{GOOD}","traceparent":"{GOOD}"}}"#),
            r#""_meta":["traceparent"]"#.to_owned(),
            r#""name":"a""#.to_owned(),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{bad}}}}}"#);
            assert_eq!(meta(&body), None, "{bad}");
        }
    }

    #[test]
    fn is_written_where_none_is() {
        for (params, expected) in [
            ("{}", "{\"_meta\":{\"traceparent\":\"…\"}}"),
            ("{ \"name\":\"a\"}", "{\"_meta\":{\"traceparent\":\"…\"}, \"name\":\"a\"}"),
            ("{\"_meta\":{ }}", "{\"_meta\":{\"traceparent\":\"…\" }}"),
            (
                "{\"_meta\":{\"progressToken\":1},\"name\":\"a\"}",
                "{\"_meta\":{\"traceparent\":\"…\",\"progressToken\":1},\"name\":\"a\"}",
            ),
        ] {
            let body = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"params":{params},"method":"a"}}"#);
            let (new, at) = insert(body(params).as_bytes(), &parent()).unwrap();
            let text = parent().to_string();
            assert_eq!(String::from_utf8(new.clone()).unwrap(), body(&expected.replace('…', &text)));
            assert_eq!(&new[at.clone()], text.as_bytes());
            assert_eq!(meta(std::str::from_utf8(&new).unwrap()).map(|meta| meta.at), Some(at));
            assert_eq!(insert(&new, &parent()), None);
        }
        for without in [r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#, r#"{"params":[1]}"#, r#"{"params":{"_meta":1}}"#] {
            assert_eq!(insert(without.as_bytes(), &parent()), None, "{without}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), flags in 0_u8..4) {
            let parent = TraceParent { trace: TraceId(trace), span: SpanId(span), flags };
            let valid = trace != [0; 16] && span != [0; 8];
            assert_eq!(TraceParent::parse(parent.to_string().as_bytes()), valid.then_some(parent));
        }

        #[test]
        fn no_text_panics(text in any::<Vec<u8>>()) {
            let _ = (TraceParent::parse(&text), insert(&text, &parent()), replace(&text, &(0..55), &parent()));
        }
    }
}
