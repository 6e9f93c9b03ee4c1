//! Messages: too large, too deep, in another coding, said twice, with names that would be header fields.

use crate::scene::End::{Closed, Kept};
use crate::scene::{Case, Scene};
use crate::support::http::post;
use crate::support::session::{call, modern, modern_call};

/// What gzip makes of `{"jsonrpc":"2.0"}`; nobody here opens it.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xabV\xca*\xce\xcf+*HV\xb2R2\xd23P\xaa\x05\x00\x8a\xd1\x10\x8b\x11\x00\x00\x00";

/// The text of a tool's name in JSON, and the name that the access log has.
fn named(name: &'static str, tool: &'static str) -> Case {
    Case::new(name, 1, move |scene| {
        let answer = scene.gateway.ask(&post(&[], call("1", tool)));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.headers.iter().all(|(name, value)| !format!("{name}{value}").contains("muggled")), "{answer:?}");
        every_line_is_one_object(scene);
    })
}

fn every_line_is_one_object(scene: &Scene) {
    let log = scene.gateway.access.text();
    let broken = log.lines().find(|line| serde_json::from_str::<serde_json::Value>(line).is_err());
    assert_eq!(broken, None, "a line of the access log");
}

/// A modern call whose header fields say this of it.
fn mirrored(name: &'static str, tool: &str, fields: &[&str], status: &'static [u16], reaches: usize) -> Case {
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\
         \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"t\",\"version\":\"1\"}},\"io.modelcontextprotocol/clientCapabilities\":{{}}}},\"name\":\"{tool}\",\"arguments\":{{}}}}}}"
    );
    let fields = [&["MCP-Protocol-Version: 2026-07-28"], fields].concat();
    Case::raw(name, post(&fields, body), status, Kept, reaches)
}

pub fn cases() -> Vec<Case> {
    [sizes(), twice(), codings(), names()].into_iter().flatten().collect()
}

fn sizes() -> Vec<Case> {
    let filled = |bytes: usize| format!("{}{}", call("1", "name"), " ".repeat(bytes));
    let nested = |depth: usize| {
        call("1", "name").replace("{}", &format!("{}{}", "{\"a\":".repeat(depth) + "1", "}".repeat(depth)))
    };
    let batch = |many: usize| format!("[{}]", vec![call("1", "name"); many].join(","));
    let chunks = |body: &str| {
        let chunks: String = body
            .as_bytes()
            .chunks(1000)
            .map(|part| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)))
            .collect();
        let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{chunks}0\r\n\r\n").into_bytes()
    };
    let promised = |length: &str| {
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {length}\r\n\r\n{{").into_bytes()
    };
    vec![
        Case::raw("a body over its bound", post(&[], filled(300_000)), &[413], Kept, 0),
        Case::raw("a body over its bound in chunks", chunks(&filled(300_000)), &[413], Kept, 0),
        Case::raw("a body of many chunks", chunks(&filled(100_000)), &[200], Kept, 1),
        Case::new("a length of a terabyte", 0, move |scene| {
            let mut connection = scene.connect();
            connection.send(&promised("1099511627776"));
            connection.half_close();
            drop(connection.rest());
        }),
        Case::raw("a message that is deep", post(&[], nested(200)), &[400], Kept, 0),
        Case::raw("a message that is very deep", post(&[], nested(40_000)), &[400], Kept, 0),
        Case::raw("brackets that nobody closes", post(&[], "[".repeat(200_000)), &[400], Kept, 0),
        Case::raw("a batch over its bound", post(&[], batch(101)), &[400], Kept, 0),
        Case::raw("an empty batch", post(&[], "[]"), &[400], Kept, 0),
        Case::raw("a batch in a batch", post(&[], format!("[{}]", batch(1))), &[400], Kept, 0),
        Case::raw("an id of 100 KB", post(&[], call(&format!("\"{}\"", "i".repeat(100_000)), "name")), &[200], Kept, 1),
    ]
}

fn twice() -> Vec<Case> {
    let refused = |name, body: &str| Case::raw(name, post(&[], body), &[400], Kept, 0);
    vec![
        refused(
            "two methods",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"smuggled"}}"#,
        ),
        refused("two ids", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"smuggled"}}"#),
        refused(
            "two params",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"name"},"params":{"name":"smuggled"}}"#,
        ),
        refused(
            "two names",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"name","name":"smuggled"}}"#,
        ),
        refused(
            "two names, one of them escaped",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"name","n\u0061me":"smuggled"}}"#,
        ),
        refused(
            "a request and a response in one",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"smuggled"},"result":{}}"#,
        ),
        refused("two messages in one body", &format!("{0}{0}", call("1", "smuggled"))),
        refused("a mark of byte order", &format!("\u{feff}{}", call("1", "smuggled"))),
        refused("a comment", &format!("/* */{}", call("1", "smuggled"))),
    ]
}

fn codings() -> Vec<Case> {
    let plain = || call("1", "name");
    vec![
        Case::raw("a body in gzip", post(&["Content-Encoding: gzip"], GZIP), &[415], Kept, 0),
        Case::raw("a body that is called gzip", post(&["Content-Encoding: gzip"], plain()), &[415], Kept, 0),
        Case::raw(
            "a body in two codings",
            post(&["Content-Encoding: identity", "Content-Encoding: br"], plain()),
            &[415],
            Kept,
            0,
        ),
        Case::raw("a body in no coding, said aloud", post(&["Content-Encoding: identity"], plain()), &[200], Kept, 1),
        Case::raw(
            "a body in UTF-16",
            post(&[], plain().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
            &[400],
            Kept,
            0,
        ),
        Case::raw(
            "a body that is said to be UTF-7",
            post_as("application/json; charset=utf-7", &plain()),
            &[415],
            Kept,
            0,
        ),
        Case::raw("two types of content", post(&["Content-Type: text/plain"], plain()), &[400], Closed, 0),
        Case::raw("a form", post_as("application/x-www-form-urlencoded", &plain()), &[415], Kept, 0),
        Case::raw("plain text, which a browser sends to strangers", post_as("text/plain", &plain()), &[415], Kept, 0),
    ]
}

fn post_as(kind: &str, body: &str) -> Vec<u8> {
    crate::support::http::request(
        "POST /mcp",
        &["Accept: application/json, text/event-stream", &format!("Content-Type: {kind}")],
        body.as_bytes(),
    )
}

fn names() -> Vec<Case> {
    let method = "Mcp-Method: tools/call";
    vec![
        named("a tool's name with CR and LF", "a\\r\\nX-Smuggled: 1\\r\\n\\r\\n"),
        named("a name with NUL", "a\\u0000b"),
        named("a tool's name beyond ASCII", "größe✓\\ud83d\\ude00"),
        Case::raw("a tool's name with half a character", post(&[], call("1", "a\\ud83d")), &[400], Kept, 0),
        named("a name with quotes and braces", "a\\\"},{\\\"x\\\":\\\""),
        named("a name with a terminal's escapes", "\\u001b[2J\\u0007"),
        Case::raw(
            "a modern name with CR and LF",
            modern("/mcp", &[], ("1", "tools/call"), "\"name\":\"plain\",\"arguments\":{}"),
            &[200],
            Kept,
            1,
        ),
        mirrored("a mirrored name that is another", "name", &[method, "Mcp-Name: smuggled"], &[400], 0),
        mirrored("two mirrored names", "name", &[method, "Mcp-Name: name", "Mcp-Name: smuggled"], &[400], 0),
        mirrored("two mirrored methods", "name", &[method, "Mcp-Method: ping", "Mcp-Name: name"], &[400], 0),
        mirrored(
            "two protocol versions",
            "name",
            &["MCP-Protocol-Version: 2025-11-25", method, "Mcp-Name: name"],
            &[400],
            0,
        ),
        mirrored("no mirrored name", "name", &[method], &[400], 0),
        mirrored("a mirrored name in another case", "name", &[method, "Mcp-Name: NAME"], &[400], 0),
        mirrored(
            "a mirrored name that hides CR and LF",
            "a\\r\\nX-Smuggled: 1",
            &[method, "Mcp-Name: =?base64?YQ0KWC1TbXVnZ2xlZDogMQ==?="],
            &[200],
            1,
        ),
        mirrored(
            "a mirrored name with another one in Base64",
            "name",
            &[method, "Mcp-Name: =?base64?c211Z2dsZWQ=?="],
            &[400],
            0,
        ),
        mirrored("a mirrored name in broken Base64", "name", &[method, "Mcp-Name: =?base64?%%%?="], &[400], 0),
        Case::raw("a modern request in two pieces", modern_call("1", "name"), &[200], Kept, 1),
        Case::raw(
            "a session's id with CR and LF",
            post(&["Mcp-Session-Id: a\rX-Smuggled: 1"], call("1", "name")),
            &[400],
            Closed,
            0,
        ),
        Case::raw(
            "two ids of sessions",
            post(&["Mcp-Session-Id: aaaa", "Mcp-Session-Id: bbbb"], call("1", "name")),
            &[404],
            Kept,
            0,
        ),
    ]
}
