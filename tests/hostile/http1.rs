//! HTTP/1: requests whose end two readers could see in two places, and heads that are none (RFC 9112).

use crate::scene::End::{self, Closed, Kept};
use crate::scene::{Case, honest};
use crate::support::http::{USUAL, post_to};
use crate::support::session::call;

/// A second request, for those who let the first one end too early.
const SECOND: &str = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
     Content-Length: 94\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"smuggled\",\"arguments\":{}}}      ";

/// A message with these lines in its head, each ended as it says.
fn with(lines: &[&str], body: &str) -> Vec<u8> {
    let usual = USUAL.map(|line| format!("{line}\r\n")).concat();
    format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{usual}{}\r\n{body}", lines.concat()).into_bytes()
}

fn message() -> String {
    call("1", "name")
}

fn length() -> String {
    format!("Content-Length: {}\r\n", message().len())
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// A good message but for its `Transfer-Encoding`, with a second request behind it.
fn coded(name: &'static str, line: &str, statuses: &'static [u16], reaches: usize) -> Case {
    Case::raw(name, with(&[line], &format!("{}{SECOND}", chunked(&message()))), statuses, Closed, reaches)
}

/// A good message but for its length, which a second reader could take for something else.
fn measured(name: &'static str, lines: &str, statuses: &'static [u16]) -> Case {
    Case::raw(name, with(&[lines], &format!("{}{SECOND}", message())), statuses, Closed, 0)
}

/// A good message but for one more line in its head.
fn line(name: &'static str, line: &str, (statuses, end): (&'static [u16], End), reaches: usize) -> Case {
    Case::raw(name, with(&[line, &length()], &message()), statuses, end, reaches)
}

fn body(name: &'static str, chunks: &str, (statuses, end): (&'static [u16], End), reaches: usize) -> Case {
    Case::raw(name, with(&["Transfer-Encoding: chunked\r\n"], chunks), statuses, end, reaches)
}

/// A head that begins so.
fn first(name: &'static str, head: &str, statuses: &'static [u16]) -> Case {
    Case::raw(
        name,
        format!("{head}\r\n{}{}\r\n{}", USUAL.map(|l| format!("{l}\r\n")).concat(), length(), message()).into_bytes(),
        statuses,
        Closed,
        0,
    )
}

pub fn cases() -> Vec<Case> {
    [lengths(), codings(), lines(), chunks(), starts(), hosts(), large()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Case> {
    let same = length();
    vec![
        measured("two lengths that differ", &format!("{same}Content-Length: 3\r\n"), &[400]),
        Case::raw("two lengths that are the same", with(&[&same, &same], &message()), &[200], Kept, 1),
        measured("a list of lengths", &format!("Content-Length: {0}, {0}\r\n", message().len()), &[400]),
        measured("a length with a plus", &format!("Content-Length: +{}\r\n", message().len()), &[400]),
        measured("a length below zero", "Content-Length: -1\r\n", &[400]),
        measured("a length in hexadecimal", "Content-Length: 0x5c\r\n", &[400]),
        measured("a length with a space in it", "Content-Length: 9 1\r\n", &[400]),
        measured("a length that is empty", "Content-Length:\r\n", &[400]),
        measured("a length beyond 64 bits", "Content-Length: 99999999999999999999\r\n", &[400]),
        measured("the largest length of 64 bits", "Content-Length: 18446744073709551615\r\n", &[431]),
        measured("a length with a letter behind it", &format!("Content-Length: {}a\r\n", message().len()), &[400]),
        measured(
            "a length behind a space before its colon",
            &format!("Content-Length : {}\r\n", message().len()),
            &[400],
        ),
        measured("a length on a folded line", &format!("Content-Length:\r\n {}\r\n", message().len()), &[400]),
    ]
}

fn codings() -> Vec<Case> {
    let hidden = format!("0\r\n\r\n{SECOND}");
    let covers = format!("Content-Length: {}\r\n", hidden.len());
    let short = "Content-Length: 4\r\n";
    vec![
        // RFC 9112 §6.3: the coding counts, and nothing more is read from the connection.
        Case::raw("CL.TE", with(&[&covers, "Transfer-Encoding: chunked\r\n"], &hidden), &[400], Closed, 0),
        Case::raw(
            "TE.CL",
            with(&["Transfer-Encoding: chunked\r\n", short], &format!("{}{SECOND}", chunked(&message()))),
            &[200],
            Closed,
            1,
        ),
        Case::raw(
            "TE.TE, the second unknown",
            with(&["Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", &covers], &hidden),
            &[400],
            Closed,
            0,
        ),
        coded("TE.TE, the first unknown", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", &[400], 0),
        coded("TE.TE, both chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &[400], 0),
        coded("a coding before chunked", "Transfer-Encoding: gzip, chunked\r\n", &[400], 0),
        coded("a coding that does nothing before chunked", "Transfer-Encoding: identity, chunked\r\n", &[400], 0),
        coded("a coding behind chunked", "Transfer-Encoding: chunked, identity\r\n", &[400], 0),
        coded("a coding that ends like chunked", "Transfer-Encoding: xchunked\r\n", &[400], 0),
        coded("chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n", &[400], 0),
        coded("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n", &[400], 0),
        coded("chunked behind a vertical tab", "Transfer-Encoding: \x0bchunked\r\n", &[400], 0),
        coded("chunked behind a space before the colon", "Transfer-Encoding : chunked\r\n", &[400], 0),
        coded("chunked on a folded line", "Transfer-Encoding:\r\n chunked\r\n", &[400], 0),
        coded("chunked behind a bare carriage return", "X: y\rTransfer-Encoding: chunked\r\n", &[400], 0),
        coded("an empty coding", "Transfer-Encoding:\r\n", &[400], 0),
        Case::raw(
            "chunked in capitals",
            with(&["TRANSFER-ENCODING: CHUNKED\r\n"], &chunked(&message())),
            &[200],
            Kept,
            1,
        ),
        Case::raw(
            "chunked in HTTP/1.0",
            String::from_utf8(with(&["Transfer-Encoding: chunked\r\n"], &chunked(&message())))
                .unwrap()
                .replacen("HTTP/1.1", "HTTP/1.0", 1)
                .into_bytes(),
            &[400],
            Closed,
            0,
        ),
        // RFC 9112 §2.2 lets a line end with a line feed alone; both framings are seen then, and the connection ends.
        Case::raw(
            "chunked behind a bare line feed",
            with(&["X: y\nTransfer-Encoding: chunked\r\n", &covers], &hidden),
            &[400],
            Closed,
            0,
        ),
    ]
}

fn lines() -> Vec<Case> {
    let bad: (&'static [u16], End) = (&[400], Closed);
    vec![
        line("a folded line", "X-A: b\r\n c\r\n", bad, 0),
        line("a bare carriage return in a value", "X-A: b\rc\r\n", bad, 0),
        line("NUL in a value", "X-A: b\0c\r\n", bad, 0),
        line("NUL in a name", "X\0A: b\r\n", bad, 0),
        line("a control character in a value", "X-A: b\x01c\r\n", bad, 0),
        line("a space before a colon", "X-A : b\r\n", bad, 0),
        line("a space in a name", "X A: b\r\n", bad, 0),
        line("a bracket in a name", "X(A): b\r\n", bad, 0),
        line("a field beyond ASCII", "X-Ä: b\r\n", bad, 0),
        line("an empty name", ": b\r\n", bad, 0),
        line("no colon", "X-A\r\n", bad, 0),
        Case::raw(
            "a first line that is folded",
            format!("POST /mcp HTTP/1.1\r\n Host: localhost\r\n{}\r\n{}", length(), message()).into_bytes(),
            &[400],
            Closed,
            0,
        ),
        line("a value beyond ASCII", "X-A: ä\r\n", (&[200], Kept), 1),
        line(
            "fields that Connection takes away",
            "Connection: close, X-Smuggled\r\nX-Smuggled: 1\r\n",
            (&[200], Closed),
            1,
        ),
        line(
            "fields between two hops",
            "X-A: 1\r\nConnection: X-Smuggled\r\nX-Smuggled: 1\r\nKeep-Alive: 1\r\nProxy-Connection: close\r\nTE: trailers\r\n",
            (&[200], Kept),
            1,
        ),
        line(
            "an upgrade to HTTP/2",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            (&[200], Kept),
            1,
        ),
        line(
            "an upgrade to a web socket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            (&[200], Kept),
            1,
        ),
        line("something to wait for", "Expect: 100-continue\r\n", (&[100, 200], Kept), 1),
    ]
}

fn chunks() -> Vec<Case> {
    let text = message();
    let size = format!("{:x}", text.len());
    let broken: (&'static [u16], End) = (&[400], Closed);
    let good: (&'static [u16], End) = (&[200], Kept);
    vec![
        body("a chunk with an extension", &format!("{size};a=b\r\n{text}\r\n0\r\n\r\n"), good, 1),
        body(
            "chunk extensions without an end",
            &format!("{size};{}\r\n{text}\r\n0\r\n\r\n", "a".repeat(40_000)),
            broken,
            0,
        ),
        body(
            "many chunks, each with an extension",
            &format!("{}0\r\n\r\n", format!("1;{}\r\n \r\n", "b".repeat(200)).repeat(200)),
            broken,
            0,
        ),
        body("a line feed in a chunk's extension", &format!("{size};a\nb\r\n{text}\r\n0\r\n\r\n"), broken, 0),
        body("a chunk's size that overflows", &format!("fffffffffffffffff\r\n{text}\r\n0\r\n\r\n"), broken, 0),
        body("a chunk's size with a sign", &format!("+{size}\r\n{text}\r\n0\r\n\r\n"), broken, 0),
        body("a chunk's size below zero", &format!("-{size}\r\n{text}\r\n0\r\n\r\n"), broken, 0),
        body("a chunk's size with 0x", &format!("0x{size}\r\n{text}\r\n0\r\n\r\n"), broken, 0),
        body("a chunk's size that is missing", &format!("\r\n{text}\r\n0\r\n\r\n"), broken, 0),
        body("a chunk's size that ends with a line feed", &format!("{size}\n{text}\r\n0\r\n\r\n"), broken, 0),
        body("a chunk that ends with a line feed", &format!("{size}\r\n{text}\n0\r\n\r\n"), broken, 0),
        body("a chunk that is longer than its size", &format!("{size}\r\n{text}xx\r\n0\r\n\r\n"), broken, 0),
        body(
            "trailers with a length",
            &format!("{size}\r\n{text}\r\n0\r\nContent-Length: 3\r\nX-Smuggled: 1\r\nHost: evil\r\n\r\n"),
            good,
            1,
        ),
        body(
            "trailers without an end",
            &format!("{size}\r\n{text}\r\n0\r\n{}\r\n", "X-A: b\r\n".repeat(20_000)),
            broken,
            0,
        ),
        body("a trailer that is no field", &format!("{size}\r\n{text}\r\n0\r\nX-A b\r\n\r\n"), broken, 0),
    ]
}

fn starts() -> Vec<Case> {
    let two = [honest(), honest()].concat();
    let after = |bytes: &[u8]| [bytes, &honest()].concat();
    vec![
        Case::raw("two requests in one piece", two, &[200, 200], Kept, 2),
        first("HTTP/0.9", "POST /mcp\r\nHost: localhost", &[400]),
        first("HTTP/2.0 in words", "POST /mcp HTTP/2.0\r\nHost: localhost", &[400]),
        first("HTTP/1.9", "POST /mcp HTTP/1.9\r\nHost: localhost", &[400]),
        first("two spaces in the first line", "POST  /mcp HTTP/1.1\r\nHost: localhost", &[400]),
        first("a space in the URL", "POST /mcp /smuggled HTTP/1.1\r\nHost: localhost", &[400]),
        first("a tab in the first line", "POST\t/mcp\tHTTP/1.1\r\nHost: localhost", &[400]),
        first("NUL in the URL", "POST /mcp\0 HTTP/1.1\r\nHost: localhost", &[400]),
        first("a bare carriage return in the URL", "POST /mcp\r HTTP/1.1\r\nHost: localhost", &[400]),
        first("a method of control characters", "PO\x01ST /mcp HTTP/1.1\r\nHost: localhost", &[400]),
        Case::raw(
            "the first bytes of TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec(),
            &[400],
            Closed,
            0,
        ),
        Case::raw("bytes from nowhere", (0..=255).rev().cycle().take(4096).collect(), &[400], Closed, 0),
        Case::new("half a preface, and nobody there any more", 0, |scene| {
            let mut connection = scene.connect();
            connection.send(b"PR");
            connection.half_close();
            let begun = crate::support::now();
            drop(connection.rest());
            assert!(begun.elapsed().as_secs() < 3, "waited for somebody who has gone");
        }),
        Case::raw("empty lines before a request", after(b"\r\n\r\n"), &[200], Kept, 1),
        Case::raw("empty lines without an end", b"\r\n".repeat(1 << 20), &[431], Closed, 0),
        Case::raw(
            "a tunnel",
            b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_vec(),
            &[403],
            Kept,
            0,
        ),
        Case::raw("a trace", b"TRACE /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), &[405], Kept, 0),
        Case::raw("a path with dots", post_to("/x/../mcp", &[], message()), &[404], Kept, 0),
        Case::raw("a path with escapes", post_to("/%6d%63p", &[], message()), &[404], Kept, 0),
        Case::raw("a path with two slashes", post_to("//mcp", &[], message()), &[404], Kept, 0),
    ]
}

fn hosts() -> Vec<Case> {
    let host = |host: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\n{host}{}{}\r\n{}",
            USUAL.map(|l| format!("{l}\r\n")).concat(),
            length(),
            message()
        )
        .into_bytes()
    };
    vec![
        Case::raw("no Host", host(""), &[400], Closed, 0),
        Case::raw("two Hosts", host("Host: localhost\r\nHost: evil.example\r\n"), &[400], Closed, 0),
        Case::raw("two Hosts that are the same", host("Host: localhost\r\nHost: localhost\r\n"), &[400], Closed, 0),
        Case::raw("an empty Host", host("Host:\r\n"), &[403], Kept, 0),
        Case::raw("a Host with a user's name", host("Host: localhost:80@evil.example\r\n"), &[403], Kept, 0),
        Case::raw("a Host with a path", host("Host: localhost/evil\r\n"), &[403], Kept, 0),
        Case::raw("a list of Hosts", host("Host: localhost, evil.example\r\n"), &[403], Kept, 0),
        Case::raw("a foreign Host", host("Host: evil.example\r\n"), &[403], Kept, 0),
        Case::raw(
            "a foreign host in the URL",
            String::from_utf8(host("Host: localhost\r\n"))
                .unwrap()
                .replacen("/mcp", "http://evil.example/mcp", 1)
                .into_bytes(),
            &[403],
            Kept,
            0,
        ),
        Case::raw("a foreign Origin", host("Host: localhost\r\nOrigin: http://evil.example\r\n"), &[403], Kept, 0),
        Case::raw(
            "two Origins",
            host("Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n"),
            &[400],
            Closed,
            0,
        ),
        Case::raw("an Origin that is none", host("Host: localhost\r\nOrigin: null\r\n"), &[403], Kept, 0),
    ]
}

fn large() -> Vec<Case> {
    let fields = (0..120).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    vec![
        line("a field of 40 KB", &format!("X-A: {}\r\n", "b".repeat(40_000)), (&[431], Kept), 0),
        line("a field of 1 MB", &format!("X-A: {}\r\n", "b".repeat(1 << 20)), (&[431], Closed), 0),
        line("120 fields", &fields, (&[431], Closed), 0),
        Case::raw("a URL of 9 KB", post_to(&format!("/mcp?{}", "a".repeat(9000)), &[], message()), &[414], Kept, 0),
        Case::raw(
            "a URL of 100 KB",
            post_to(&format!("/mcp?{}", "a".repeat(100_000)), &[], message()),
            &[414],
            Closed,
            0,
        ),
        Case::raw(
            "a head of 4 MB without an end",
            [b"POST /mcp HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(700_000)].concat(),
            &[431],
            Closed,
            0,
        ),
    ]
}
