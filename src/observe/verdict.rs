//! What an answer says of how the request went: whether the tool, or the server, calls it a failure. Looks only where a failure
//! may stand, and never holds anything back. An answer of which it sees only pieces counts as good.

use std::borrow::Cow;

use crate::mcp::frame::{Frame, Outcome, peek_frame};
use crate::mcp::needle::needle;
use crate::mcp::{raw, sse};

/// How both `"error"` and `"isError"` end; where it does not stand, nothing went wrong.
const TRACE: &[u8] = b"rror\"";

needle!(FAILURE = TRACE);

/// Bytes of one piece that are looked at, at most: whole answers are not longer, and a longer piece cannot be read anyhow.
const MOST: usize = 64 * 1024;

/// What an answer says of how the request went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// No word of a failure.
    #[default]
    Good,
    /// A tool's result that says that it failed (`isError`).
    ToolFailed,
    /// A JSON-RPC error.
    Failed,
}

impl Verdict {
    /// Looks at a piece of an answer: a whole body, or whole events.
    pub fn look(&mut self, piece: &[u8]) {
        if *self != Self::Good || piece.len() > MOST || !may_tell_of_a_failure(piece) {
            return;
        }
        *self = if piece.first() == Some(&b'{') {
            of_message(piece)
        } else {
            let all = sse::events(piece).filter_map(|event| event.data.map(|data: Cow<'_, [u8]>| of_message(&data)));
            all.max_by_key(|verdict| *verdict as u8).unwrap_or_default()
        };
    }
}

/// Whether a failure may stand in it. Many servers say `"isError":false` in each result, which is none and needs no reading.
fn may_tell_of_a_failure(piece: &[u8]) -> bool {
    FAILURE.each_in(piece).any(|at| {
        let value = piece[at + TRACE.len()..].trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        !value.is_some_and(|value| value.starts_with(b"false"))
    })
}

fn of_message(message: &[u8]) -> Verdict {
    match peek_frame(message) {
        Some(Frame::Response { outcome: Outcome::Error(_), .. }) => Verdict::Failed,
        Some(Frame::Response { outcome: Outcome::Result(result), .. })
            if raw::at(result, &["isError"]).and_then(raw::boolean) == Some(true) =>
        {
            Verdict::ToolFailed
        }
        _ => Verdict::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pieces: &[&str]) -> Verdict {
        let mut verdict = Verdict::default();
        pieces.iter().for_each(|piece| verdict.look(piece.as_bytes()));
        verdict
    }

    #[test]
    fn failures_are_found_in_json_and_in_events() {
        let failed = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;
        let tool = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#;
        assert_eq!(verdict(&[failed]), Verdict::Failed);
        assert_eq!(verdict(&[tool]), Verdict::ToolFailed);
        let late = r#"{"jsonrpc":"2.0","id":1,"result":{"isError":false,"content":[],"isError" : true}}"#;
        assert_eq!(verdict(&[late]), Verdict::ToolFailed);
        let events =
            format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}}\n\nid: 7\ndata: {tool}\n\n");
        assert_eq!(verdict(&[": ping\n", &events]), Verdict::ToolFailed);
        assert_eq!(verdict(&[&format!("event: message\ndata: {failed}\n\n")]), Verdict::Failed);
    }

    #[test]
    fn what_only_speaks_of_failures_is_good() {
        for good in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError" : false}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"isError\":true}"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"error":"none","isError":true}}}"#,
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"error\":1}}\n\n",
            "",
        ] {
            assert_eq!(verdict(&[good]), Verdict::Good, "{good}");
        }
    }
}
