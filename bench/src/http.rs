//! The little of HTTP/1.1 that load generator and origin need: where a head ends and how a body is framed.
//! Reads what well-behaved peers send; anything else is an error, for it makes a measurement void.

use anyhow::{Context, Result, bail};

const MAX_HEADERS: usize = 64;

/// Where caches say that they had an answer: Moorline, and the wrapper.
const CACHES: [&str; 2] = ["moorline-cache", "x-cache"];

/// How a body's end is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(usize),
    /// Chunked transfer coding.
    Chunked,
}

/// The facts of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Where the body begins.
    pub end: usize,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether it is a stream of server-sent events.
    pub event_stream: bool,
    /// Whether a cache says that it had the answer.
    pub hit: bool,
}

/// Reads an answer's head; `None` while it is incomplete.
pub fn answer_head(input: &[u8]) -> Result<Option<Head>> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(end) = answer.parse(input).context("answer's head")? else {
        return Ok(None);
    };
    let status = answer.code.context("answer without a status")?;
    let mut framing = None;
    let (mut event_stream, mut hit) = (false, false);
    for header in answer.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            framing = Some(Framing::Length(number(header.value)?));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked);
        } else if header.name.eq_ignore_ascii_case("content-type") {
            event_stream = header.value.starts_with(b"text/event-stream");
        } else if CACHES.iter().any(|name| header.name.eq_ignore_ascii_case(name)) {
            hit = header.value.starts_with(b"hit");
        }
    }
    let framing = match framing {
        Some(framing) => framing,
        None if matches!(status, 202 | 204) => Framing::Length(0),
        None => bail!("answer {status} has neither length nor chunks"),
    };
    Ok(Some(Head { status, end, framing, event_stream, hit }))
}

/// The value of an answer's header field, looked up again in the bytes.
pub fn answer_header(input: &[u8], name: &str) -> Option<String> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut slots);
    answer.parse(input).ok()?;
    let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(found.value).into_owned())
}

/// A whole request as the origin needs it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path and query.
    pub target: &'a str,
    /// The value of `mcp-session-id`.
    pub session: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
    /// Bytes of the input that the request takes.
    pub taken: usize,
}

/// Reads a whole request; `None` while it is incomplete.
pub fn request(input: &[u8]) -> Result<Option<Request<'_>>> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut slots);
    let httparse::Status::Complete(head) = parsed.parse(input).context("request's head")? else {
        return Ok(None);
    };
    let mut length = 0;
    let mut session = None;
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = number(header.value)?;
        } else if header.name.eq_ignore_ascii_case("mcp-session-id") {
            session = Some(header.value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("the origin takes no chunked requests");
        }
    }
    let Some(body) = input.get(head..head + length) else {
        return Ok(None);
    };
    let method = parsed.method.context("request without a method")?;
    let target = parsed.path.context("request without a target")?;
    Ok(Some(Request { method, target, session, body, taken: head + length }))
}

fn number(text: &[u8]) -> Result<usize> {
    std::str::from_utf8(text)?.trim().parse().context("content-length")
}

/// Takes chunked framing off a body that arrives bit by bit in one growing buffer.
#[derive(Debug)]
pub struct Chunks {
    at: usize,
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Size,
    Data(usize),
    Trailer,
}

impl Chunks {
    /// Begins at the body's first byte.
    pub const fn new(at: usize) -> Self {
        Self { at, next: Next::Size }
    }

    /// Appends what `input` newly holds to `body`. `Some(end)` once the body has ended, with the first byte after it.
    pub fn advance(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>> {
        loop {
            let left = &input[self.at..];
            match self.next {
                Next::Size => {
                    let Some(line) = memchr::memchr(b'\n', left) else { return Ok(None) };
                    let size = chunk_size(&left[..line])?;
                    self.at += line + 1;
                    self.next = if size == 0 { Next::Trailer } else { Next::Data(size) };
                }
                Next::Data(size) => {
                    if left.len() < size + 2 {
                        return Ok(None);
                    }
                    body.extend_from_slice(&left[..size]);
                    self.at += size + 2;
                    self.next = Next::Size;
                }
                Next::Trailer => {
                    let Some(line) = memchr::memchr(b'\n', left) else { return Ok(None) };
                    self.at += line + 1;
                    if left[..line].trim_ascii().is_empty() {
                        return Ok(Some(self.at));
                    }
                }
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<usize> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits)?;
    usize::from_str_radix(text, 16).with_context(|| format!("chunk size {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_however_the_bytes_arrive() {
        let wire = b"head5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nvia: x\r\n\r\n";
        for step in 1..wire.len() {
            let (mut chunks, mut body, mut end) = (Chunks::new(4), Vec::new(), None);
            let cuts = (4..wire.len()).step_by(step).chain([wire.len()]);
            for cut in cuts {
                end = chunks.advance(&wire[..cut], &mut body).unwrap();
            }
            assert_eq!((body.as_slice(), end), (b"hello, world".as_slice(), Some(wire.len())));
        }
    }

    #[test]
    fn an_answer_without_framing_is_refused_unless_it_has_no_body() {
        assert!(answer_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        let head = answer_head(b"HTTP/1.1 202 Accepted\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.framing, Framing::Length(0));
        assert_eq!(answer_head(b"HTTP/1.1 202 Acc").unwrap(), None);
    }

    #[test]
    fn a_request_is_whole_only_with_its_body() {
        let wire = b"POST /mcp HTTP/1.1\r\nContent-Length: 2\r\nMcp-Session-Id: a\r\n\r\n{}";
        assert_eq!(request(&wire[..wire.len() - 1]).unwrap(), None);
        let whole = request(wire).unwrap().unwrap();
        assert_eq!((whole.body, whole.session, whole.taken), (b"{}".as_slice(), Some(b"a".as_slice()), wire.len()));
    }
}
