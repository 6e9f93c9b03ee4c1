//! What a `tools/list` result says about each tool. Tolerant: a tool that cannot be read is left out, an annotation
//! of the wrong type counts as not given. It keeps nothing: the catalogue itself lives in the store.

use std::borrow::Cow;

use super::raw;

/// One page of a list of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// The tools, in the server's order.
    pub tools: Vec<Tool<'a>>,
    /// More pages follow (`nextCursor` is there).
    pub is_partial: bool,
}

/// One tool, borrowed from the page. A hint that is `None` was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// `annotations.readOnlyHint`.
    pub read_only: Option<bool>,
    /// `annotations.idempotentHint`.
    pub idempotent: Option<bool>,
    /// `annotations.destructiveHint`.
    pub destructive: Option<bool>,
    /// The raw `inputSchema`, for a digest.
    pub input_schema: Option<&'a str>,
}

/// Reads a `tools/list` response (a JSON body, or the data of one event); `None` where it is none.
#[must_use]
pub fn page(response: &[u8]) -> Option<Page<'_>> {
    let result = raw::at(raw::utf8(response)?, &["result"])?;
    let [tools, cursor] = raw::pick(result, ["tools", "nextCursor"])?;
    let tools = raw::elements(tools?)?.into_iter().filter_map(tool).collect();
    Some(Page { tools, is_partial: cursor.is_some_and(|cursor| cursor != "null") })
}

fn tool(text: &str) -> Option<Tool<'_>> {
    let [name, annotations, input_schema] = raw::pick(text, ["name", "annotations", "inputSchema"])?;
    let name = raw::text(name?)?;
    let hints = annotations.and_then(|hints| raw::pick(hints, ["readOnlyHint", "idempotentHint", "destructiveHint"]));
    let [read_only, idempotent, destructive] = hints.unwrap_or_default().map(|hint| hint.and_then(raw::boolean));
    Some(Tool { name, read_only, idempotent, destructive, input_schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tools_and_leaves_out_what_is_none() {
        let body = br#"{"id":1,"result":{"tools":[
            {"name":"a","inputSchema":{"type": "object"},"annotations":{"readOnlyHint":true,"idempotentHint":"yes"}},
            {"title":"nameless"}, 7, {"name":"b","annotations":null}],"nextCursor":"2"}}"#;
        let page = page(body).unwrap();
        assert!(page.is_partial);
        let [a, b] = &page.tools[..] else { panic!("two tools") };
        assert_eq!((a.name.as_ref(), a.read_only, a.idempotent, a.destructive), ("a", Some(true), None, None));
        assert_eq!(a.input_schema, Some(r#"{"type": "object"}"#));
        assert_eq!((b.name.as_ref(), b.read_only, b.input_schema), ("b", None, None));
    }

    #[test]
    fn what_is_no_list_of_tools_is_nothing() {
        for body in [&br#"{"id":1,"error":{}}"#[..], br#"{"result":{"tools":{}}}"#, b"", b"\xff"] {
            assert_eq!(page(body), None);
        }
        assert_eq!(page(br#"{"result":{"tools":[]}}"#), Some(Page { tools: vec![], is_partial: false }));
    }
}
