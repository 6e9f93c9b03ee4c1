//! Takes tools out of a `tools/list` response. What stays keeps its bytes. Fails closed: what cannot be read is not
//! passed on, and a tool without a name that can be read is left out. Decides about no tool.

use super::frame::{Frame, Outcome, peek_frame};
use super::raw;

/// A list of tools that cannot be read, so that nobody can say what stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its list of tools cannot be read")]
pub struct Unreadable;

/// The response without the tools that may not be shown; `None` where it is no list of tools. The list says that it is for its
/// reader alone (`cacheScope`, MCP 2026-07-28, Caching) where it says anything of that.
///
/// # Errors
/// [`Unreadable`] for what is no JSON-RPC message, or has tools that are no array.
pub fn without(message: &[u8], may_be_shown: &dyn Fn(&str) -> bool) -> Result<Option<Vec<u8>>, Unreadable> {
    let text = raw::utf8(message).ok_or(Unreadable)?;
    if !text.trim_ascii_start().starts_with('[') {
        return without_one(message, may_be_shown);
    }
    // Several at once (2025-03-26).
    let mut out = b"[".to_vec();
    for (index, element) in raw::elements(text).ok_or(Unreadable)?.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match without_one(element.as_bytes(), may_be_shown)? {
            Some(shown) => out.extend(shown),
            None => out.extend_from_slice(element.as_bytes()),
        }
    }
    out.push(b']');
    Ok(Some(out))
}

fn without_one(message: &[u8], may_be_shown: &dyn Fn(&str) -> bool) -> Result<Option<Vec<u8>>, Unreadable> {
    let (id, result) = match peek_frame(message) {
        Some(Frame::Response { id, outcome: Outcome::Result(result) }) => (id, result),
        Some(_) => return Ok(None),
        None => return Err(Unreadable),
    };
    let members = raw::entries(result).ok_or(Unreadable)?;
    if !members.iter().any(|(name, _)| name == "tools") {
        return Ok(None);
    }
    let mut out = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{");
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&raw::quote(name));
        out.push(':');
        match name.as_str() {
            "tools" => tools(value, may_be_shown, &mut out)?,
            "cacheScope" => out.push_str("\"private\""),
            _ => out.push_str(value),
        }
    }
    out.push_str("}}");
    Ok(Some(out.into_bytes()))
}

fn tools(array: &str, may_be_shown: &dyn Fn(&str) -> bool, out: &mut String) -> Result<(), Unreadable> {
    let mut shown = raw::elements(array).ok_or(Unreadable)?;
    shown.retain(|tool| {
        let name = raw::pick(tool, ["name"]).and_then(|[name]| raw::text(name?));
        name.is_some_and(|name| may_be_shown(&name))
    });
    out.push('[');
    out.push_str(&shown.join(","));
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> Result<Option<String>, Unreadable> {
        let shown = without(message.as_bytes(), &|name| !name.starts_with("admin"))?;
        Ok(shown.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn tools_that_may_not_be_shown_are_left_out() {
        let list = r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[{"name":"get","x": 1.0},{"name":"admin_\u0061"},{"name":"\u0061dmin"},{"name":7},{}],
            "nextCursor":"2","ttlMs":5,"cacheScope":"public","_meta":{"a/b":1}}}"#;
        let wanted = r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[{"name":"get","x": 1.0}],"nextCursor":"2","ttlMs":5,"cacheScope":"private","_meta":{"a/b":1}}}"#;
        assert_eq!(shown(list).unwrap().as_deref(), Some(wanted));
    }

    #[test]
    fn a_list_that_stands_twice_is_read_twice() {
        let list = r#"{"id":1,"result":{"tools":[{"name":"admin"}],"tools":[{"name":"a"},{"name":"admin"}]}}"#;
        assert_eq!(
            shown(list).unwrap().as_deref(),
            Some(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"a"}]}}"#)
        );
    }

    #[test]
    fn what_is_no_list_passes_and_what_cannot_be_read_does_not() {
        for other in [r#"{"id":1,"error":{"code":1}}"#, r#"{"id":1,"result":{}}"#, r#"{"method":"notifications/x"}"#] {
            assert_eq!(shown(other), Ok(None));
        }
        for bad in ["", "[7]", "{", r#"{"id":1,"result":{"tools":{}}}"#, r#"{"id":1,"result":[]}"#, r#"{"id":1}"#] {
            assert_eq!(shown(bad), Err(Unreadable), "{bad}");
        }
    }

    #[test]
    fn several_messages_at_once_are_read_one_by_one() {
        let both = r#"[{"id":1,"result":{"tools":[{"name":"admin"}]}}, {"id":2,"result":{}}]"#;
        let wanted = r#"[{"jsonrpc":"2.0","id":1,"result":{"tools":[]}},{"id":2,"result":{}}]"#;
        assert_eq!(shown(both).unwrap().as_deref(), Some(wanted));
    }

    #[test]
    fn a_name_that_stands_twice_is_judged_as_readers_see_it() {
        let list = r#"{"id":1,"result":{"tools":[{"name":"get","name":"admin"}]}}"#;
        assert_eq!(shown(list).unwrap().as_deref(), Some(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#));
    }
}
