//! What the backend answers to tempt whoever stands between: bombs in gzip, header fields by the thousand, framings that disagree.

use std::net::TcpStream;

use crate::scene::Case;
use crate::support::backend::{After, respond, write};
use crate::support::http::post;
use crate::support::session::call;
use crate::support::{Received, until};

/// What a backend would say is gzip; the bytes of a bomb are as small as these.
const BOMB: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7Om\x0e7\xa0\x00\x00\x00\x00";

/// What the backend of all cases answers to the tools that tempt; to all others it answers as usual.
pub fn answer(request: &Received, stream: &mut TcpStream) -> Option<After> {
    let body = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}";
    Some(match request.tool().as_str() {
        "bomb" => respond(stream, 200, &[("Content-Encoding", "gzip")], "application/json", BOMB),
        "bomb in a coding" => raw(stream, "Transfer-Encoding: gzip, chunked\r\n", BOMB),
        "two lengths" => raw(stream, "Content-Length: 3\r\nContent-Length: 5\r\n", b"{}   "),
        "both framings" => raw(
            stream,
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            b"2\r\n{}\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nX-Smuggled: 1\r\n\r\n",
        ),
        "folded" => raw(stream, "X-A: b\r\n X-Smuggled: 1\r\nContent-Length: 2\r\n", b"{}"),
        "more than asked for" => {
            respond_and(stream, body, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Smuggled: 1\r\n\r\n{}")
        }
        "many fields" => raw(stream, &format!("{}Content-Length: 2\r\n", "X-A: b\r\n".repeat(5000)), b"{}"),
        "splits" => raw(stream, "X-A: b\rX-Smuggled: 1\r\nContent-Length: 2\r\n", b"{}"),
        "large" => respond(
            stream,
            200,
            &[],
            "application/json",
            &[b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}".as_slice(), &b" ".repeat(16 << 20)].concat(),
        ),
        "slow" => After::AwaitHangup,
        _ => return None,
    })
}

fn raw(stream: &mut TcpStream, lines: &str, body: &[u8]) -> After {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{lines}\r\n");
    write(stream, &[head.as_bytes(), body].concat());
    After::Close
}

fn respond_and(stream: &mut TcpStream, body: &[u8], more: &[u8]) -> After {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    write(stream, &[head.as_bytes(), body, more].concat())
}

fn tempted(name: &'static str, tool: &'static str, status: u16) -> Case {
    // The connection that spoke out of turn must not answer anybody else.
    Case::new(name, 2, move |scene| {
        let answer = scene.gateway.ask(&post(&[], call("1", tool)));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(answer.header("x-smuggled").is_none(), "{answer:?}");
        let next = until("an honest answer", || Some(scene.gateway.ask(&post(&[], call("2", "name")))));
        assert_eq!((next.status, next.json()["id"].as_u64()), (200, Some(2)), "{name}: {}", next.text());
        assert!(next.header("x-smuggled").is_none(), "{next:?}");
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        tempted("an answer that is a bomb", "bomb", 502),
        tempted("an answer in a coding that must be opened", "bomb in a coding", 502),
        tempted("an answer of two lengths", "two lengths", 502),
        tempted("an answer in both framings", "both framings", 502),
        tempted("an answer with a folded line", "folded", 502),
        tempted("two answers to one request", "more than asked for", 200),
        tempted("an answer of 5000 fields", "many fields", 502),
        tempted("an answer with a bare carriage return", "splits", 502),
    ]
}
