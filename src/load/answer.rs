//! What an answer means: whether it is the right one, and which kind of error it is where not. Reads bytes, no sockets.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::trouble::{Mishap, Trouble};
use crate::mcp::dialect;
use crate::mcp::frame::{Frame, Outcome, frames};
use crate::mcp::raw;

/// The form of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON document.
    Json,
    /// Server-sent events.
    Events,
    /// Something else, or nothing.
    Other,
}

/// The form that the head promises.
#[must_use]
pub fn form(headers: &HeaderMap) -> Form {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().map(str::trim) {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Form::Json,
        Some(kind) if kind.eq_ignore_ascii_case("text/event-stream") => Form::Events,
        _ => Form::Other,
    }
}

/// What a whole refusal (any status but 2xx) means, to a request that named this session.
#[must_use]
pub fn refusal(status: u16, body: &[u8], session: Option<&HeaderValue>) -> Mishap {
    let said = String::from_utf8_lossy(body);
    if session.is_some() && dialect::is_unknown_session(status, body) {
        return Mishap::new(Trouble::SessionLost, &said);
    }
    Mishap::new(Trouble::Status(status), &said)
}

/// What one message of the server's is to a user who waits for the answer to request `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The answer, a good one: its result.
    Result(String),
    /// The answer, an error.
    Failure(Mishap),
    /// An answer to something else.
    Stray(Mishap),
    /// A request of the server's: its raw id and its method.
    Asked(String, String),
    /// A notification.
    Told,
}

/// Reads the messages in `data`, be it one or a batch; none where it is no MCP message at all.
#[must_use]
pub fn read(data: &[u8], id: Option<&str>) -> Vec<Heard> {
    frames(data).iter().map(|frame| heard(frame, id)).collect()
}

fn heard(frame: &Frame<'_>, awaited: Option<&str>) -> Heard {
    match frame {
        Frame::Request { id, method, .. } => Heard::Asked((*id).to_owned(), method.to_string()),
        Frame::Notification { .. } => Heard::Told,
        Frame::Response { id, .. } if awaited.is_none_or(|awaited| !raw::same_id(id, awaited)) => {
            let awaited = awaited.unwrap_or("nothing");
            Heard::Stray(Mishap::new(Trouble::WrongAnswer, &format!("an answer to {id}, where {awaited} is awaited")))
        }
        Frame::Response { outcome: Outcome::Error(error), .. } => Heard::Failure(failure(error)),
        Frame::Response { outcome: Outcome::Result(result), .. } => judged(result),
    }
}

fn failure(error: &str) -> Mishap {
    let code = raw::at(error, &["code"]).and_then(|code| code.parse().ok());
    Mishap::new(code.map_or(Trouble::Unreadable, Trouble::JsonRpc), error)
}

fn judged(result: &str) -> Heard {
    let [is_error, kind] = raw::pick(result, ["isError", "resultType"]).unwrap_or_default();
    if is_error == Some("true") {
        return Heard::Failure(Mishap::new(Trouble::ToolError, result));
    }
    if kind == Some("\"input_required\"") {
        return Heard::Failure(Mishap::new(Trouble::InputRequired, result));
    }
    Heard::Result(result.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(data: &str) -> Trouble {
        match &read(data.as_bytes(), Some("5"))[..] {
            [Heard::Failure(mishap) | Heard::Stray(mishap)] => mishap.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_fault_has_its_kind() {
        assert_eq!(kind(r#"{"id":5,"error":{"code":-32602,"message":"no"}}"#), Trouble::JsonRpc(-32602));
        assert_eq!(kind(r#"{"id":5,"result":{"content":[],"isError":true}}"#), Trouble::ToolError);
        assert_eq!(kind(r#"{"id":5,"result":{"resultType":"input_required"}}"#), Trouble::InputRequired);
        assert_eq!(kind(r#"{"id":6,"result":{}}"#), Trouble::WrongAnswer);
        assert_eq!(kind(r#"{"id":null,"error":{"code":1}}"#), Trouble::WrongAnswer);
    }

    #[test]
    fn a_good_answer_is_one() {
        let good = read(br#"{"id":5,"result":{"isError":false,"x":{"isError":true}}}"#, Some("5"));
        assert!(matches!(&good[..], [Heard::Result(_)]), "{good:?}");
        assert!(read(b"<html>", Some("5")).is_empty());
    }

    #[test]
    fn what_a_server_asks_is_told_from_what_it_tells() {
        let heard = read(br#"[{"id":"a","method":"ping"},{"method":"notifications/progress"}]"#, None);
        assert_eq!(heard, [Heard::Asked("\"a\"".into(), "ping".into()), Heard::Told]);
    }

    #[test]
    fn refusals_tell_a_lost_session_from_all_else() {
        let session = HeaderValue::from_static("s1");
        assert_eq!(refusal(404, b"", Some(&session)).kind, Trouble::SessionLost);
        assert_eq!(refusal(404, b"", None).kind, Trouble::Status(404));
        assert_eq!(refusal(503, b"busy", Some(&session)), Mishap::new(Trouble::Status(503), "busy"));
    }
}
