//! What can be wrong with a client's body, and whose request it was. It words no response: `reject` does.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::raw;
use super::version::{INVALID_REQUEST, PARSE_ERROR};

/// Why a body is not taken as a JSON-RPC message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// JSON is UTF-8 (RFC 8259 §8.1).
    #[error("body is not utf-8: byte {offset} starts no character")]
    NotUtf8 {
        /// Bytes before the first bad one.
        offset: usize,
    },
    /// The text breaks JSON's grammar.
    #[error("body is not json: {message} (line {line}, column {column})")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
        /// The parser's words.
        message: Box<str>,
    },
    /// Arrays and objects nest deeper than the bound.
    #[error("json nests deeper than {limit} levels")]
    TooDeep {
        /// Levels that are allowed.
        limit: usize,
    },
    /// A key that decides where the request goes stands there twice, and readers differ in which one they take.
    #[error("key {key:?} stands there twice")]
    DuplicateKey {
        /// The key.
        key: &'static str,
    },
    /// A key differs only in case from one that decides where the request goes; some readers (Go's `encoding/json`)
    /// take the two for one.
    #[error("key {key:?} is spelled in another case")]
    MiscasedKey {
        /// The key as it ought to be spelled.
        key: &'static str,
    },
    /// `[]` (JSON-RPC 2.0 §6).
    #[error("batch is empty")]
    EmptyBatch,
    /// More messages than the bound.
    #[error("batch has more than {limit} messages")]
    BatchTooLarge {
        /// Messages that are allowed.
        limit: usize,
    },
    /// JSON, but neither request, notification nor response.
    #[error("not a json-rpc message: {reason}")]
    NotAMessage {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl PeekError {
    /// The JSON-RPC error code that says so: parse error or invalid request.
    #[must_use]
    pub const fn code(&self) -> i64 {
        match self {
            Self::NotUtf8 { .. } | Self::NotJson { .. } => PARSE_ERROR,
            _ => INVALID_REQUEST,
        }
    }

    pub(super) fn from_json(error: &serde_json::Error) -> Self {
        let (line, column, message) = (error.line(), error.column(), error.to_string());
        let place = format!(" at line {line} column {column}");
        Self::NotJson { line, column, message: message.strip_suffix(&place).unwrap_or(&message).into() }
    }
}

/// A body that is refused, with the id of its request where one can be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Fault {
    /// What is wrong.
    pub error: PeekError,
    /// The raw JSON text of the request's id (a string or a number).
    pub id: Option<Box<str>>,
}

impl Fault {
    /// A fault in `text`, which is searched for the id as far as it can be read.
    pub(super) fn within(text: &str, error: PeekError) -> Self {
        Self { error, id: find_id(text) }
    }

    /// The raw JSON text of the request's own id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// The id of the object that `text` begins, even where the text breaks off or is faulty behind it.
fn find_id(text: &str) -> Option<Box<str>> {
    let mut found = None;
    let mut json = serde_json::Deserializer::from_str(text);
    // Its error is the fault that is being reported already.
    let _ = json.deserialize_map(Seeker { found: &mut found });
    found.filter(|id| raw::is_number(id) || raw::text(id).is_some()).map(Into::into)
}

struct Seeker<'f, 'de> {
    found: &'f mut Option<&'de str>,
}

impl<'de> Visitor<'de> for Seeker<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(is_id) = map.next_key_seed(IsId)? {
            if is_id {
                *self.found = Some(map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct IsId;

impl<'de> DeserializeSeed<'de> for IsId {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for IsId {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == "id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_id_before_the_fault() {
        assert_eq!(find_id(r#"{"jsonrpc":"2.0","id":7,"params":{"#).as_deref(), Some("7"));
        assert_eq!(find_id(r#"{"params":{"id":1},"id":"a\"b","x":tru"#).as_deref(), Some(r#""a\"b""#));
        assert_eq!(find_id(r#"{"params":tru,"id":7}"#), None);
        assert_eq!(find_id(r#"{"id":{"a":1}}"#), None);
        assert_eq!(find_id(r#"[{"id":1}]"#), None);
    }
}
