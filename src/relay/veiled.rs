//! Keeps from a caller what its veil hides, in each form that an answer has. What cannot be read does not pass. What is hidden
//! is not decided here.

use bytes::Bytes;

use crate::exchange::{Exchange, Veil};
use crate::mcp::frame::peek_frame;
use crate::mcp::sse::{self, EventRef};
use crate::mcp::tool_list::Unreadable;
use crate::reject::Cause;

/// A whole answer, as the caller is shown it; as it is where nothing is hidden from the caller.
pub fn whole(exchange: &Exchange, body: Bytes, is_stream: bool) -> Bytes {
    let Some(veil) = &exchange.veil else { return body };
    if is_stream {
        return block(veil, body);
    }
    if body.trim_ascii().is_empty() {
        return body;
    }
    match veil.over(&body) {
        Ok(None) => body,
        Ok(Some(shown)) => shown.into(),
        Err(unreadable) => refusal(exchange.waiting().first().map(AsRef::as_ref), unreadable).into(),
    }
}

/// Whole events as the caller is shown them. One that cannot be read becomes the refusal of the request that it answers, or is
/// left out if it answers none.
pub fn block(veil: &Veil, block: Bytes) -> Bytes {
    let mut rewritten: Option<Vec<u8>> = None;
    for event in sse::events(&block) {
        let shown = shown(veil, &event);
        if !matches!(shown, Shown::AsItIs) && rewritten.is_none() {
            rewritten = Some(block[..event.range.start].to_vec());
        }
        match (&mut rewritten, shown) {
            (Some(out), Shown::Otherwise(data)) => sse::rewrite(&event, None, Some(&data), out),
            (Some(out), Shown::AsItIs) => out.extend_from_slice(event.raw),
            (_, Shown::Not) | (None, _) => {}
        }
    }
    rewritten.map_or(block, Bytes::from)
}

/// How an event is shown.
enum Shown {
    AsItIs,
    Otherwise(Vec<u8>),
    Not,
}

fn shown(veil: &Veil, event: &EventRef<'_>) -> Shown {
    let Some(data) = event.data.as_deref().filter(|data| !data.trim_ascii().is_empty()) else { return Shown::AsItIs };
    match veil.over(data) {
        Ok(None) => Shown::AsItIs,
        Ok(Some(shown)) => Shown::Otherwise(shown),
        Err(unreadable) => match peek_frame(data).and_then(|frame| frame.id()) {
            Some(id) => Shown::Otherwise(refusal(Some(id), unreadable).into_bytes()),
            None => Shown::Not,
        },
    }
}

fn refusal(id: Option<&str>, unreadable: Unreadable) -> String {
    Cause::BadGateway(unreadable.to_string()).to_json(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_shown_without_what_is_hidden() {
        let veil = Veil::new(|name| name == "get");
        let list = "id: 7\ndata: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"get\"},{\"name\":\"admin\"}]}}\n\n";
        let before = ": hello\n\ndata: \n\nevent: message\ndata: {\"method\":\"notifications/progress\"}\n\n";
        let unreadable = "data: {\"id\":2,\"result\":{\"tools\":{}}}\n\ndata: what?\n\n";
        let shown = block(&veil, Bytes::from([before, list, unreadable].concat()));
        let shown = std::str::from_utf8(&shown).unwrap();
        let rest = shown.strip_prefix(before).unwrap();
        assert!(rest.starts_with(
            "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"get\"}]}}\n\n"
        ));
        assert!(!shown.contains("admin") && !shown.contains("what?"));
        let refused = sse::events(rest.as_bytes()).nth(1).unwrap();
        assert!(peek_frame(&refused.data.unwrap()).unwrap().answers("2"));
        let same = Bytes::from(before);
        assert_eq!(block(&veil, same.clone()), same);
    }
}
