//! What kind of answer a backend gave, and whether a client can use it.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::exchange::{Act, Answer, Ask, Call, Exchange};
use crate::mcp::version::Era;
use crate::reject::Cause;

/// Whether it is declared as a stream of events.
pub fn is_stream(headers: &HeaderMap) -> bool {
    has_type(headers, b"text/event-stream")
}

/// Whether the declared type begins like this.
pub fn has_type(headers: &HeaderMap, wanted: &[u8]) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    value.as_bytes().get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
}

/// Whether something in the answer may have to be read or rewritten.
pub fn looks_inside(exchange: &Exchange) -> bool {
    match &exchange.ask {
        _ if exchange.inspected || exchange.veil.is_some() => true,
        Ask::Call(Call { act: Act::Rounds(_), .. }) => exchange.era == Era::Modern,
        Ask::Call(Call { act, .. }) => *act != Act::None,
        Ask::Plain => true,
        _ => false,
    }
}

/// A successful answer to a request must be something that a client can take for its response: on anything else
/// clients were measured to wait for ever.
pub fn check(exchange: &Exchange, answer: &Answer, start: &[u8]) -> Result<(), Cause> {
    if !matches!(exchange.ask, Ask::Call(_)) || !answer.status.is_success() {
        return Ok(());
    }
    if !has_type(&answer.headers, b"application/json") && !has_type(&answer.headers, b"application/x-ndjson") {
        return Err(Cause::BadGateway("a response to a request must be JSON or an event stream".into()));
    }
    let unfinished = answer.whole.is_some() && !matches!(start.trim_ascii_end().last(), Some(b'}' | b']'));
    match start.trim_ascii_start().first() {
        Some(b'{' | b'[') if unfinished => Err(Cause::BadGateway("it is JSON that breaks off".into())),
        Some(b'{' | b'[') => Ok(()),
        Some(_) => Err(Cause::BadGateway("it is declared as JSON and is none".into())),
        None => Err(Cause::BadGateway("it is empty".into())),
    }
}
