//! What a server's message is: cheap, tolerant, and it never fails. A frame that cannot be read is passed on
//! unread, so everything here is an `Option`.

use std::borrow::Cow;

use super::raw;

/// One JSON-RPC message from a server. Ids, params and results are raw JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A request of the server's own (legacy era).
    Request {
        /// The server's id.
        id: &'a str,
        /// The method.
        method: Cow<'a, str>,
        /// The parameters.
        params: Option<&'a str>,
    },
    /// A notification.
    Notification {
        /// The method.
        method: Cow<'a, str>,
        /// The parameters.
        params: Option<&'a str>,
    },
    /// The response to a client's request.
    Response {
        /// The client's id; `null` where it is missing.
        id: &'a str,
        /// What came back.
        outcome: Outcome<'a>,
    },
}

/// What a response carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The raw `result`.
    Result(&'a str),
    /// The raw `error`.
    Error(&'a str),
}

impl<'a> Frame<'a> {
    /// The raw id of a request or response.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        match self {
            Self::Request { id, .. } | Self::Response { id, .. } => Some(id),
            Self::Notification { .. } => None,
        }
    }

    /// The method of a request or notification.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request { method, .. } | Self::Notification { method, .. } => Some(method),
            Self::Response { .. } => None,
        }
    }

    /// The raw result of a response that succeeded.
    #[must_use]
    pub fn result(&self) -> Option<&'a str> {
        match self {
            Self::Response { outcome: Outcome::Result(result), .. } => Some(result),
            _ => None,
        }
    }

    /// Whether this is the response, result or error, to the request with that raw id.
    #[must_use]
    pub fn answers(&self, request_id: &str) -> bool {
        matches!(self, Self::Response { id, .. } if raw::same_id(id, request_id))
    }
}

/// Reads one message from a server; `None` for what is no JSON-RPC message (a batch among them, see [`frames`]).
#[must_use]
pub fn peek_frame(data: &[u8]) -> Option<Frame<'_>> {
    read(raw::utf8(data)?)
}

/// Every message in `data`, be it one or a batch; what cannot be read is left out.
#[must_use]
pub fn frames(data: &[u8]) -> Vec<Frame<'_>> {
    let Some(text) = raw::utf8(data) else { return Vec::new() };
    if !text.trim_ascii_start().starts_with('[') {
        return read(text).into_iter().collect();
    }
    raw::elements(text).unwrap_or_default().into_iter().filter_map(read).collect()
}

fn read(text: &str) -> Option<Frame<'_>> {
    let [id, method, params, result, error] = raw::pick(text, ["id", "method", "params", "result", "error"])?;
    if let Some(method) = method.and_then(raw::text) {
        return Some(match id {
            Some(id) if id != "null" => Frame::Request { id, method, params },
            _ => Frame::Notification { method, params },
        });
    }
    // Some servers write the half that does not apply as null.
    let outcome = match (error.filter(|error| *error != "null"), result) {
        (Some(error), _) => Outcome::Error(error),
        (None, Some(result)) => Outcome::Result(result),
        (None, None) => return None,
    };
    Some(Frame::Response { id: id.unwrap_or("null"), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_kinds_apart() {
        let request = peek_frame(br#"{"jsonrpc":"2.0","id":"s1","method":"roots\/list"}"#).unwrap();
        assert_eq!((request.id(), request.method()), (Some(r#""s1""#), Some("roots/list")));
        let note = peek_frame(br#"{"method":"notifications/progress","params":{"progress":1}}"#).unwrap();
        assert_eq!((note.id(), note.method()), (None, Some("notifications/progress")));
        let answer = peek_frame(br#" {"id":5,"result":{"a":[1]},"error":null} "#).unwrap();
        assert_eq!(answer.result(), Some(r#"{"a":[1]}"#));
        assert!(answer.answers("5") && !answer.answers("6"));
        let error = peek_frame(br#"{"id":null,"error":{"code":1}}"#).unwrap();
        assert_eq!(error, Frame::Response { id: "null", outcome: Outcome::Error(r#"{"code":1}"#) });
    }

    #[test]
    fn what_it_cannot_read_is_nothing() {
        for odd in [&b""[..], b"5", b"{}", b"{\"id\":1}", b"\xff", b"{\"id\":1,\"result\":1"] {
            assert_eq!(peek_frame(odd), None);
            assert_eq!(frames(odd), Vec::new());
        }
    }

    #[test]
    fn reads_batches_element_by_element() {
        let found = frames(br#" [{"id":1,"result":{}},7,{"method":"x"}]"#);
        assert_eq!(found.len(), 2);
        assert!(found[0].answers("1"));
    }
}
