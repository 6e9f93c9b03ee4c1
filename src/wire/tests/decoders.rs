//! The pure parts: chunks, heads, hop-by-hop fields.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::super::chunked::Chunked;
use super::super::error::Fault;
use super::super::head::{self, Framing, Keep};
use super::super::headers::strip_hop_by_hop;

/// Decodes `input` cut into pieces of these sizes (repeated); says what came out and what was left over.
fn decode(input: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Option<usize>), Fault> {
    let mut decoder = Chunked::new();
    let mut out = Vec::new();
    let mut at = 0;
    let mut cuts = cuts.iter().cycle();
    while at < input.len() {
        let size = (*cuts.next().unwrap()).clamp(1, input.len() - at);
        let mut piece = input[at..at + size].to_vec();
        let decoded = decoder.decode(&mut piece)?;
        out.extend_from_slice(&piece[decoded.data]);
        at += decoded.consumed;
        if decoded.done {
            return Ok((out, Some(at)));
        }
        assert_eq!(decoded.consumed, size);
    }
    Ok((out, None))
}

/// An obvious model of RFC 9112 §7.1 over a complete body: split at CRLF, no incrementality.
fn model(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line = |at: usize| -> Option<(&[u8], usize)> {
        let end = input[at..].windows(2).position(|pair| pair == b"\r\n")? + at;
        Some((&input[at..end], end + 2))
    };
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let (size, next) = line(at)?;
        let size = String::from_utf8_lossy(size).into_owned();
        let digits: String = size.chars().take_while(char::is_ascii_hexdigit).collect();
        let size = usize::from_str_radix(&digits, 16).ok()?;
        at = next;
        if size == 0 {
            loop {
                let (trailer, next) = line(at)?;
                at = next;
                if trailer.is_empty() {
                    return Some((out, at));
                }
            }
        }
        out.extend_from_slice(input.get(at..at + size)?);
        at += size;
        at = input[at..].starts_with(b"\r\n").then_some(at + 2)?;
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let extension = prop_oneof![4 => Just(String::new()), 1 => "( )?;[a-z]{1,9}(=\"[ -!#-~]{0,9}\")?"];
    let chunk = (prop::collection::vec(any::<u8>(), 1..300), extension, any::<bool>());
    let trailers = prop::collection::vec("[a-z-]{1,9}: [ -~]{0,12}\r\n", 0..3);
    (prop::collection::vec(chunk, 0..8), trailers, "[ -~]{0,5}").prop_map(|(chunks, trailers, rest)| {
        let mut out = Vec::new();
        for (data, extension, upper) in chunks {
            let size = if upper { format!("{:X}", data.len()) } else { format!("{:03x}", data.len()) };
            out.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
            out.extend_from_slice(&data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        out.extend_from_slice(trailers.concat().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(rest.as_bytes());
        out
    })
}

proptest! {
    #[test]
    fn a_body_decodes_alike_however_it_is_cut(input in body(), cuts in prop::collection::vec(1_usize..40, 1..6)) {
        let (out, end) = model(&input).unwrap();
        prop_assert_eq!(decode(&input, &cuts), Ok((out.clone(), Some(end))));
        prop_assert_eq!(decode(&input, &[usize::MAX]), Ok((out, Some(end))));
    }

    #[test]
    fn a_damaged_body_decodes_alike_however_it_is_cut(
        input in body(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b';'), Just(0), any::<u8>()],
        cuts in prop::collection::vec(1_usize..40, 1..6),
    ) {
        let mut input = input;
        let at = at.index(input.len());
        input[at] = byte;
        let whole = decode(&input, &[usize::MAX]);
        // Bytes decoded before a fault are dropped with it, so only the verdict can be compared.
        prop_assert_eq!(&decode(&input, &cuts), &whole);
        if let Ok((out, Some(end))) = whole {
            prop_assert_eq!(model(&input), Some((out, end)), "whatever is accepted, the model reads alike");
        }
    }

    #[test]
    fn a_head_is_found_alike_however_it_arrives(
        lines in prop::collection::vec("[a-z]{1,8}: [ -~]{0,20}\r\n", 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = format!("HTTP/1.1 200 OK\r\n{}\r\nrest\r\n\r\n", lines.concat());
        let end = text.find("\r\n\r\n").map(|at| at + 4);
        prop_assert_eq!(head::find_end(text.as_bytes(), 0), Ok(end));
        let cut = cut.index(text.len());
        let expected = end.filter(|&end| end <= cut);
        prop_assert_eq!(head::find_end(&text.as_bytes()[..cut], 0), Ok(expected));
        if expected.is_none() {
            prop_assert_eq!(head::find_end(text.as_bytes(), cut), Ok(end));
        }
    }

    #[test]
    fn nothing_makes_the_head_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = [b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes, b"\r\n\r\n"].concat();
        if let Ok(Some(end)) = head::find_end(&text, 0) {
            drop(head::parse(&text[..end], false));
        }
    }
}

#[test]
fn bad_chunks_are_refused() {
    let cases: [(&[u8], Fault); 16] = [
        (b"\r\n", Fault::ChunkSize),
        (b"g\r\n", Fault::ChunkSize),
        (b"+1\r\n", Fault::ChunkSize),
        (b"-1\r\n", Fault::ChunkSize),
        (b"0x1\r\n", Fault::ChunkSize),
        (b" 1\r\n", Fault::ChunkSize),
        (b"1\na", Fault::ChunkSize),
        (b"1 2\r\n", Fault::ChunkSize),
        (b"1\rx", Fault::ChunkSize),
        (b"10000000000000000\r\n", Fault::ChunkSize),
        (b"1;a\nb", Fault::BareLf),
        (b"1;a\0\r\n", Fault::ChunkSize),
        (b"1\r\nab", Fault::ChunkEnd),
        (b"1\r\na\n", Fault::ChunkEnd),
        (b"0\r\n x: y\r\n", Fault::Trailer),
        (b"0\r\nx: y\n", Fault::Trailer),
    ];
    for (input, fault) in cases {
        assert_eq!(decode(input, &[usize::MAX]), Err(fault), "{:?}", String::from_utf8_lossy(input));
    }
}

#[test]
fn long_size_lines_and_trailers_are_refused() {
    let line = format!("1;{}\r\n", "a".repeat(1024));
    assert_eq!(decode(line.as_bytes(), &[7]), Err(Fault::ChunkLineTooLong));
    let zeros = "0".repeat(1100);
    assert_eq!(decode(zeros.as_bytes(), &[7]), Err(Fault::ChunkLineTooLong));
    let trailer = format!("0\r\n{}", "a: b\r\n".repeat(3000));
    assert_eq!(decode(trailer.as_bytes(), &[7]), Err(Fault::TrailerTooLarge));
}

#[test]
fn chunks_of_one_read_come_out_as_one_run() {
    let mut input = b"3\r\nabc\r\n2\r\nde\r\n1\r\nf".to_vec();
    let decoded = Chunked::new().decode(&mut input).unwrap();
    assert_eq!(&input[decoded.data], b"abcdef");
}

fn parse(fields: &str) -> Result<(Framing, Keep), Fault> {
    parse_line("HTTP/1.1 200 OK", fields)
}

fn parse_line(line: &str, fields: &str) -> Result<(Framing, Keep), Fault> {
    let text = format!("{line}\r\n{fields}\r\n");
    let end = head::find_end(text.as_bytes(), 0)?.expect("complete");
    head::parse(&text.as_bytes()[..end], false).map(|head| (head.framing, head.keep))
}

#[test]
fn framing_follows_the_rules() {
    use std::time::Duration;
    let chunked = "transfer-encoding: Chunked\r\n";
    assert_eq!(parse("content-length: 5\r\n"), Ok((Framing::Length(5), Keep::Unstated)));
    assert_eq!(parse("content-length: 5\r\ncontent-length: 5\r\n"), Ok((Framing::Length(5), Keep::Unstated)));
    assert_eq!(parse("content-length: 0\r\n"), Ok((Framing::Empty, Keep::Unstated)));
    assert_eq!(parse(chunked), Ok((Framing::Chunked, Keep::Unstated)));
    assert_eq!(parse(""), Ok((Framing::UntilClose, Keep::Close)));
    assert_eq!(parse("content-length: 5\r\nconnection: x, Close\r\n"), Ok((Framing::Length(5), Keep::Close)));
    let stated = parse("content-length: 5\r\nkeep-alive: max=9, timeout=5\r\n");
    assert_eq!(stated, Ok((Framing::Length(5), Keep::For(Duration::from_secs(5)))));
    let old = "HTTP/1.0 200 OK";
    assert_eq!(parse_line(old, "content-length: 5\r\n"), Ok((Framing::Length(5), Keep::Close)));
    let kept = parse_line(old, "content-length: 5\r\nconnection: keep-alive\r\n");
    assert_eq!(kept, Ok((Framing::Length(5), Keep::Unstated)));
    assert_eq!(parse_line("HTTP/1.1 204 No Content", ""), Ok((Framing::Empty, Keep::Unstated)));
    assert_eq!(parse_line("HTTP/1.1 304 Not Modified", "content-length: 9\r\n"), Ok((Framing::Empty, Keep::Unstated)));
    assert_eq!(parse_line("HTTP/1.1 204 No Content", chunked), Ok((Framing::Empty, Keep::Close)));
    assert_eq!(parse_line("HTTP/1.1 204 No Content", "content-length: 9\r\n"), Ok((Framing::Empty, Keep::Close)));
}

#[test]
fn ambiguous_or_broken_heads_are_refused() {
    let cases = [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", Fault::Conflict),
        ("content-length: 5\r\ncontent-length: 6\r\n", Fault::Length),
        ("content-length: +5\r\n", Fault::Length),
        ("content-length: -5\r\n", Fault::Length),
        ("content-length: 5 5\r\n", Fault::Length),
        ("content-length: 5, 5\r\n", Fault::Length),
        ("content-length: \r\n", Fault::Length),
        ("content-length: 0x5\r\n", Fault::Length),
        ("content-length: 18446744073709551616\r\n", Fault::Length),
        ("content-length: 9223372036854775808\r\n", Fault::Length),
        ("transfer-encoding: gzip, chunked\r\n", Fault::Encoding),
        ("transfer-encoding: identity\r\n", Fault::Encoding),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Fault::Encoding),
        ("transfer-encoding: chunked, chunked\r\n", Fault::Encoding),
        ("transfer-encoding: \x0bchunked\r\n", Fault::Head),
        ("transfer-encoding : chunked\r\n", Fault::Head),
        ("a: b\r\n folded\r\n", Fault::Head),
        (" a: b\r\n", Fault::Head),
        ("a: b\0c\r\n", Fault::Head),
        ("a: b\rc\r\n", Fault::Head),
        ("a: b\n", Fault::BareLf),
        (": b\r\n", Fault::Head),
        ("a\r\n", Fault::Head),
        ("a b: c\r\n", Fault::Head),
    ];
    for (fields, fault) in cases {
        assert_eq!(parse(fields), Err(fault), "{fields:?}");
    }
    assert_eq!(parse_line("HTTP/1.0 200 OK", "transfer-encoding: chunked\r\n"), Err(Fault::Encoding));
    for line in [
        "HTTP/2 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "\r\nHTTP/1.1 200 OK",
    ] {
        assert!(parse_line(line, "content-length: 0\r\n").is_err(), "{line}");
    }
}

#[test]
fn heads_have_bounds() {
    assert!(parse(&"a: b\r\n".repeat(100)).is_ok());
    assert_eq!(parse(&"a: b\r\n".repeat(101)), Err(Fault::TooManyHeaders));
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(64 * 1024));
    assert_eq!(head::find_end(long.as_bytes(), 0), Err(Fault::HeadTooLarge));
    let closed = format!("{long}\r\n\r\n");
    assert_eq!(head::find_end(closed.as_bytes(), 0), Err(Fault::HeadTooLarge));
}

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    fields.iter().map(pair).collect()
}

#[test]
fn hop_by_hop_fields_are_stripped() {
    let mut headers = map(&[
        ("connection", "close, X-Private , content-length,mcp-session-id, host"),
        ("x-private", "1"),
        ("content-length", "5"),
        ("mcp-session-id", "s"),
        ("host", "h"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-connection", "close"),
        ("proxy-authorization", "x"),
        ("proxy-authenticate", "x"),
        ("x-kept", "1"),
    ]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, map(&[("content-length", "5"), ("mcp-session-id", "s"), ("host", "h"), ("x-kept", "1")]));
}

#[test]
fn every_hop_by_hop_field_is_removed_and_nothing_else() {
    for name in ["connection", "keep-alive", "te", "upgrade", "proxy-authentication-info", "http2-settings"] {
        let mut headers = map(&[(name, "x-y")]);
        strip_hop_by_hop(&mut headers);
        assert!(headers.is_empty(), "{name}");
    }
    let mut headers = map(&[("x-a", "1"), ("set-cookie", "a"), ("set-cookie", "b")]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers.len(), 3, "values, not names");
}
