//! What an answer's failure is called: the code of a JSON-RPC error. Says nothing of its text.

use crate::mcp::frame::{Frame, Outcome, peek_frame};
use crate::mcp::{raw, sse};

/// The code of the JSON-RPC error that stands in a piece of an answer: a whole body, or whole events.
#[must_use]
pub fn error_code(piece: &[u8]) -> Option<i64> {
    if piece.first() == Some(&b'{') {
        return of_message(piece);
    }
    sse::events(piece).find_map(|event| of_message(&event.data?))
}

fn of_message(message: &[u8]) -> Option<i64> {
    match peek_frame(message)? {
        Frame::Response { outcome: Outcome::Error(error), .. } => raw::pick(error, ["code"])?[0]?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_in_json_and_in_events() {
        let failed = r#"{"jsonrpc":"2.0","id":1,"error":{"message":"no","code":-32602}}"#;
        assert_eq!(error_code(failed.as_bytes()), Some(-32602));
        assert_eq!(error_code(format!(": ping\n\nid: 1\ndata: {failed}\n\n").as_bytes()), Some(-32602));
        for other in [r#"{"jsonrpc":"2.0","id":1,"result":{"error":{"code":1}}}"#, "", "data: x\n\n", "{}"] {
            assert_eq!(error_code(other.as_bytes()), None, "{other}");
        }
    }
}
