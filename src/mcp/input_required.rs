//! Finds the `requestState` of an `input_required` result (2026-07-28, Multi Round-Trip Requests), so that it can be
//! replaced. What it is replaced by, and what it meant, is not known here.

use std::ops::Range;

use super::needle::needle;
use super::raw;
use super::splice::span_of;
pub use super::splice::splice;

needle!(STATE = b"\"requestState\"");

/// Where in a server's response (a JSON body, or the data of one event) the raw `result.requestState` lies, quotes
/// included; `None` where the result is none of type `input_required`, or has no state.
#[must_use]
pub fn state_span(body: &[u8]) -> Option<Range<usize>> {
    if !STATE.is_in(body) {
        return None;
    }
    let result = raw::at(raw::utf8(body)?, &["result"])?;
    let [kind, state] = raw::pick(result, ["resultType", "requestState"])?;
    if raw::text(kind?)? != "input_required" {
        return None;
    }
    let state = state.filter(|state| state.starts_with('"'))?;
    span_of(body, state.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_replaces_the_state() {
        let body = br#"{"id":1,"result":{"inputRequests":{"requestState":1},"requestState": "a\"b", "resultType":"input_required"}}"#;
        let span = state_span(body).unwrap();
        assert_eq!(&body[span.clone()], br#""a\"b""#);
        let new = splice(body, &span, b"\"x\"");
        assert_eq!(&new[state_span(&new).unwrap()], b"\"x\"");
    }

    #[test]
    fn other_results_have_none() {
        for body in [
            &br#"{"id":1,"result":{"resultType":"complete","requestState":"a"}}"#[..],
            br#"{"id":1,"result":{"requestState":"a"}}"#,
            br#"{"id":1,"result":{"resultType":"input_required","requestState":5}}"#,
            br#"{"id":1,"result":{"resultType":"input_required","x":"\"requestState\""}}"#,
            br#"{"id":1,"error":{"requestState":"a"}}"#,
            b"\"requestState\"",
        ] {
            assert_eq!(state_span(body), None);
        }
    }
}
