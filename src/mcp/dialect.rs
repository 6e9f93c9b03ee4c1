//! How real servers say things that the specification has a status or a code for. Deliberately narrow: taking some
//! other error for "no such session" would replay a request that may have been executed.

use std::borrow::Cow;

use super::raw;
use super::version::UNSUPPORTED_PROTOCOL_VERSION;

/// Bodies beyond this many bytes are no refusal of a transport.
const LONGEST: usize = 4096;

/// What servers write, in lower case and without `Bad Request: ` or `Not Found: ` before it.
const UNKNOWN_SESSION: [&str; 20] = [
    "session not found",
    "session id not found",
    "no session found",
    "no such session",
    "no valid session",
    "no valid session id",
    "no valid session id provided",
    "no valid session id or not an initialize request",
    "unknown session",
    "unknown session id",
    "unknown mcp-session-id header",
    "invalid session",
    "invalid session id",
    "invalid or expired session id",
    "invalid or missing session id",
    "session expired",
    "session terminated",
    "session has been terminated",
    "session does not exist",
    // A TypeScript SDK transport that was made anew and was never initialised.
    "server not initialized",
];

/// Whether a backend's answer to a request that carried a session id says that there is no such session: 404
/// always; 400 whose error says so; 200 with a JSON-RPC error that says nothing else. Never 401 or 403, which are
/// the backend's own word to the client, and never a complaint that the header is missing: it was sent.
#[must_use]
pub fn is_unknown_session(status: u16, body: &[u8]) -> bool {
    match status {
        404 => true,
        400 => said(body, true).is_some_and(|text| UNKNOWN_SESSION.iter().any(|known| begins(&text, known))),
        // A tool may fail with such words about sessions of its own; the transport's texts stand alone.
        200 => said(body, false).is_some_and(|text| UNKNOWN_SESSION.contains(&text.as_str())),
        _ => false,
    }
}

/// Whether a backend's answer says that it does not support the requested protocol version: the modern error code,
/// or a 400 in the words of the legacy SDKs.
#[must_use]
pub fn says_unsupported_version(status: u16, body: &[u8]) -> bool {
    if !matches!(status, 200 | 400) || body.len() > LONGEST {
        return false;
    }
    let code = raw::utf8(body).and_then(|text| raw::at(text, &["error", "code"]));
    code.is_some_and(|code| code.parse() == Ok(UNSUPPORTED_PROTOCOL_VERSION))
        || (status == 400 && said(body, true).is_some_and(|text| begins(&text, "unsupported protocol version")))
}

/// The message of a JSON-RPC error, normalised; where `loosely`, also of other JSON errors and of plain text.
fn said(body: &[u8], loosely: bool) -> Option<String> {
    let text = raw::utf8(body).filter(|text| text.len() <= LONGEST)?;
    let message = match raw::pick(text, ["error", "message", "detail"]) {
        Some([error, message, detail]) => {
            let in_error = error.and_then(|error| raw::at(error, &["message"]));
            let elsewhere = [error, message, detail].into_iter().flatten().find(|raw| raw.starts_with('"'));
            raw::text(in_error.or(elsewhere.filter(|_| loosely))?)?
        }
        None if loosely => Cow::Borrowed(text),
        None => return None,
    };
    let message = message.trim().to_ascii_lowercase();
    let bare = message.strip_prefix("bad request:").or_else(|| message.strip_prefix("not found:")).unwrap_or(&message);
    Some(bare.trim().trim_end_matches(['.', '!']).to_owned())
}

/// Whether the text is the phrase, or the phrase with particulars behind it (`session not found: 3f…`).
fn begins(text: &str, phrase: &str) -> bool {
    text.strip_prefix(phrase).is_some_and(|rest| {
        rest.is_empty()
            || rest.starts_with([':', ',', ';', '.', '('])
            || rest.trim_start().starts_with(['\'', '"', '-'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(message: &str) -> Vec<u8> {
        format!(r#"{{"jsonrpc":"2.0","error":{{"code":-32000,"message":{}}},"id":null}}"#, raw::quote(message)).into()
    }

    #[test]
    fn published_texts_are_known() {
        for text in [
            "Session not found",
            "Bad Request: No valid session ID provided",
            "Bad Request: No valid session ID or not an initialize request",
            "Not Found: Invalid or expired session ID",
            "Not Found: Session has been terminated",
            "Not Found: Unknown Mcp-Session-Id header",
            "Bad Request: Server not initialized",
            "Invalid session ID",
            "Session not found: 3f2a",
            "Session terminated.",
        ] {
            assert!(is_unknown_session(400, &rpc(text)), "{text}");
        }
        assert!(is_unknown_session(400, b"Invalid or missing session ID"), "plain text");
        assert!(is_unknown_session(400, br#"{"error":"Session not found"}"#));
        assert!(is_unknown_session(200, &rpc("Session not found")));
        assert!(is_unknown_session(404, b""));
    }

    #[test]
    fn other_errors_are_not_taken_for_it() {
        for text in [
            "Bad Request: Mcp-Session-Id header is required",
            "Bad Request: Missing session ID",
            "Bad Request: Unsupported protocol version: 1999",
            "Invalid session name in arguments",
            "Session not found in database sessions",
            "Invalid params",
            "",
        ] {
            assert!(!is_unknown_session(400, &rpc(text)), "{text}");
        }
        for status in [401, 403, 422, 500, 503] {
            assert!(!is_unknown_session(status, &rpc("Session not found")), "{status}");
        }
        assert!(!is_unknown_session(200, &rpc("Session not found: 17")), "may be a tool's own");
        assert!(!is_unknown_session(200, br#"{"error":"Session not found"}"#), "no json-rpc error");
        let result = br#"{"id":1,"result":{"isError":true,"message":"Session not found"}}"#;
        assert!(!is_unknown_session(200, result));
        assert!(!is_unknown_session(400, &[b' '; 5000]));
    }

    #[test]
    fn an_unsupported_version_by_code_or_by_words() {
        assert!(says_unsupported_version(400, br#"{"id":1,"error":{"code":-32022,"message":"x"}}"#));
        assert!(says_unsupported_version(400, &rpc("Bad Request: Unsupported protocol version: 1 (supported: 2)")));
        assert!(!says_unsupported_version(200, &rpc("Unsupported protocol version")));
        assert!(!says_unsupported_version(400, &rpc("Bad Request")));
    }
}
