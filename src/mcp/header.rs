//! Headers that mirror a modern request's body (2026-07-28, Request Metadata): the Base64 sentinel, and whether
//! headers and body agree. What the body lacks, and what version it names, the backend judges.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::envelope::{Kind, Message};
use super::version::{MCP_METHOD, MCP_NAME, MCP_PROTOCOL_VERSION};

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// A value as a header carries it: plain where it can be, else in the Base64 sentinel.
#[must_use]
pub fn encode(value: &str) -> Cow<'_, str> {
    let is_plain = value.bytes().all(|byte| is_field_byte(&byte))
        && !value.starts_with([' ', '\t'])
        && !value.ends_with([' ', '\t'])
        && sentinel(value).is_none();
    if is_plain { Cow::Borrowed(value) } else { Cow::Owned(format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(value))) }
}

/// The value that a header carries; `None` for bytes that no header value may have, Base64 that is none, or what is
/// not UTF-8 once decoded.
#[must_use]
pub fn decode(header: &[u8]) -> Option<Cow<'_, str>> {
    let text = header.iter().all(is_field_byte).then(|| std::str::from_utf8(header).ok()).flatten()?;
    let Some(encoded) = sentinel(text) else { return Some(Cow::Borrowed(text)) };
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned)
}

/// Whether a header, decoded, says what the body says.
#[must_use]
pub fn header_matches(header: &[u8], body: &str) -> bool {
    decode(header).is_some_and(|value| value == body)
}

fn sentinel(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)
}

/// Visible ASCII, space and tab (RFC 9110 §5.5 without obs-text).
fn is_field_byte(byte: &u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// A header that contradicts the body, or is missing. Its text is what the error response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The header's name as the specification spells it.
    pub header: &'static str,
    /// Its value; `None` where it is missing.
    pub header_value: Option<Box<str>>,
    /// The body's value, at most [`SHOWN`] characters of it; `None` where it is the header alone that is wrong (two
    /// lines that differ).
    pub body_value: Option<Box<str>>,
}

/// Characters of a value that a [`Mismatch`] quotes.
pub const SHOWN: usize = 200;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header;
        match (&self.header_value, &self.body_value) {
            (None, _) => write!(f, "Header mismatch: {header} header is required"),
            (Some(value), None) => {
                write!(f, "Header mismatch: {header} header is there twice, with value '{value}' and another")
            }
            (Some(value), Some(body)) => {
                write!(f, "Header mismatch: {header} header value '{value}' does not match body value '{body}'")
            }
        }
    }
}

impl std::error::Error for Mismatch {}

/// Checks a modern POST's headers against its body.
///
/// For a request `Mcp-Method` is required, and `Mcp-Name` where the body names a tool, prompt or resource to read;
/// `MCP-Protocol-Version` where the body names a version. For a notification nothing is required (2026-07-28 defines
/// nothing), but what is there must match.
///
/// # Errors
/// The first header that contradicts the body, is missing, or is there twice with different values.
pub fn check_modern(headers: &HeaderMap, message: &Message<'_>) -> Result<(), Mismatch> {
    let is_request = matches!(message.kind, Kind::Request { .. });
    let version = Mirror { header: "MCP-Protocol-Version", encoded: false, required: is_request };
    version.check(headers, &MCP_PROTOCOL_VERSION, message.params.meta_version.as_deref())?;
    let method = Mirror { header: "Mcp-Method", encoded: false, required: is_request };
    method.check(headers, &MCP_METHOD, message.method())?;
    let name = Mirror { header: "Mcp-Name", encoded: true, required: is_request };
    name.check(headers, &MCP_NAME, message.name())
}

struct Mirror {
    header: &'static str,
    encoded: bool,
    required: bool,
}

impl Mirror {
    fn check(&self, headers: &HeaderMap, name: &HeaderName, body: Option<&str>) -> Result<(), Mismatch> {
        let mut lines = headers.get_all(name).iter();
        let Some(first) = lines.next() else {
            return match body {
                Some(body) if self.required => Err(self.mismatch(None, Some(body))),
                _ => Ok(()),
            };
        };
        if lines.any(|other| other != first) {
            return Err(self.mismatch(Some(first), None));
        }
        let Some(body) = body else { return Ok(()) };
        let matches = if self.encoded {
            header_matches(first.as_bytes(), body)
        } else {
            first.as_bytes() == body.as_bytes() && body.bytes().all(|byte| is_field_byte(&byte))
        };
        if matches { Ok(()) } else { Err(self.mismatch(Some(first), Some(body))) }
    }

    fn mismatch(&self, header: Option<&HeaderValue>, body: Option<&str>) -> Mismatch {
        let header_value = header.map(|value| shown(&String::from_utf8_lossy(value.as_bytes())));
        Mismatch { header: self.header, header_value, body_value: body.map(shown) }
    }
}

fn shown(value: &str) -> Box<str> {
    value.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::envelope::{Body, Bounds, peek};

    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"bar","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    const GOOD: [(&str, &str); 3] =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "bar")];

    fn check(body: &str, lines: &[(&'static str, &str)]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let Body::One(message) = peek(body.as_bytes(), &Bounds::default()).unwrap() else { panic!("one message") };
        check_modern(&headers, &message).map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn the_specifications_examples() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode(value), header);
            assert!(header_matches(header.as_bytes(), value));
        }
    }

    #[test]
    fn what_cannot_be_decoded_matches_nothing() {
        assert!(!header_matches(b"=?base64?literal?=", "=?base64?literal?="), "no base64");
        assert!(!header_matches(b"=?base64?/w==?=", "\u{fffd}"), "not utf-8");
        assert!(!header_matches(b"=?base64?YQ?=", "a"), "padding is missing");
        assert!(!header_matches("世界".as_bytes(), "世界"), "not ascii");
        assert!(header_matches(b"=?BASE64?YQ==?=", "=?BASE64?YQ==?="), "markers are case-sensitive");
        assert!(header_matches(b"=?base64??=", ""));
    }

    #[test]
    fn headers_that_agree_pass() {
        assert_eq!(check(CALL, &GOOD), Ok(()));
        let encoded = [GOOD[0], GOOD[1], ("mcp-name", "=?base64?YmFy?=")];
        assert_eq!(check(CALL, &encoded), Ok(()));
        assert_eq!(check(CALL, &[GOOD[0], GOOD[1], GOOD[2], GOOD[2]]), Ok(()), "twice the same");
    }

    #[test]
    fn a_mismatch_says_so_in_the_specifications_words() {
        let seen = check(CALL, &[GOOD[0], GOOD[1], ("mcp-name", "foo")]).unwrap_err();
        assert_eq!(seen, "Header mismatch: Mcp-Name header value 'foo' does not match body value 'bar'");
        let seen = check(CALL, &[("mcp-protocol-version", "2027-01-01"), GOOD[1], GOOD[2]]).unwrap_err();
        assert!(seen.contains("MCP-Protocol-Version header value '2027-01-01' does not match"), "{seen}");
        let seen = check(CALL, &[GOOD[0], ("mcp-method", "Tools/call"), GOOD[2]]).unwrap_err();
        assert!(seen.contains("Mcp-Method"), "{seen}");
        let seen = check(CALL, &[GOOD[0], GOOD[1], GOOD[2], ("mcp-name", "foo")]).unwrap_err();
        assert!(seen.contains("twice"), "{seen}");
    }

    #[test]
    fn required_headers_are_missed() {
        for missing in 0..3 {
            let lines: Vec<_> =
                GOOD.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, line)| *line).collect();
            assert!(check(CALL, &lines).unwrap_err().ends_with("header is required"));
        }
    }

    #[test]
    fn what_the_body_lacks_the_backend_judges() {
        let bare = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
        assert_eq!(check(bare, &GOOD), Ok(()));
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        assert_eq!(check(list, &[("mcp-method", "tools/list"), ("mcp-name", "whatever")]), Ok(()));
    }

    #[test]
    fn a_notification_needs_no_headers_but_those_it_has_must_match() {
        let note = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
        assert_eq!(check(note, &[]), Ok(()));
        assert!(check(note, &[("mcp-method", "notifications/y")]).is_err());
    }

    #[test]
    fn quoted_values_are_bounded() {
        let long = CALL.replace("bar", &"é".repeat(5000));
        let seen = check(&long, &[GOOD[0], GOOD[1], ("mcp-name", "foo")]).unwrap_err();
        assert!(seen.chars().count() < 2 * SHOWN + 100);
    }
}
