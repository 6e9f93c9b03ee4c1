//! A response's head: from a block of bytes to status, fields and framing. Pure. Stricter than HTTP asks a
//! recipient to be wherever leniency would let two readers disagree about where a response ends.

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version};

use super::error::Fault;
use super::headers::{is_hop_by_hop, named};

/// Longest head in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Most header fields in a head.
pub(super) const MAX_HEADERS: usize = 100;

const PREFIX: &[u8] = b"HTTP/1.";

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    Empty,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the connection ends.
    UntilClose,
}

/// Whether the connection may serve another exchange after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// No.
    Close,
    /// Yes; the server does not say for how long it keeps it.
    Unstated,
    /// Yes; the server closes it after so long.
    For(Duration),
}

/// A parsed head. Its hop-by-hop fields are gone.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    pub(super) keep: Keep,
}

/// Finds the end of the head in what has arrived of it, looking at what follows `scanned`; refuses early what can
/// never become one.
pub(super) fn find_end(bytes: &[u8], scanned: usize) -> Result<Option<usize>, Fault> {
    let there = bytes.len().min(PREFIX.len());
    if bytes[..there] != PREFIX[..there] {
        return Err(Fault::NotHttp1);
    }
    for found in memchr::memchr_iter(b'\n', &bytes[scanned..]) {
        let end = scanned + found + 1;
        if !bytes[..end].ends_with(b"\r\n") {
            return Err(Fault::BareLf);
        }
        if bytes[..end].ends_with(b"\r\n\r\n") {
            return if end > MAX_HEAD { Err(Fault::HeadTooLarge) } else { Ok(Some(end)) };
        }
    }
    if bytes.len() > MAX_HEAD { Err(Fault::HeadTooLarge) } else { Ok(None) }
}

/// Parses a complete head, the empty line included. `answers_head` says that the request was a HEAD.
pub(super) fn parse(block: &[u8], answers_head: bool) -> Result<Head, Fault> {
    // One small copy that all values share, so that no header keeps a whole read buffer alive.
    let block = Bytes::copy_from_slice(block);
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, &block, &mut fields);
    match status {
        Ok(httparse::Status::Complete(end)) if end == block.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooManyHeaders),
        Ok(_) | Err(_) => return Err(Fault::Head),
    }
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Fault::Head)?;
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut facts = Facts::default();
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::Head)?;
        let value = HeaderValue::from_maybe_shared(block.slice_ref(field.value)).map_err(|_| Fault::Head)?;
        if facts.note(&name, field.value)? {
            headers.append(name, value);
        }
    }
    for name in &facts.named {
        headers.remove(name);
    }
    let framing = facts.framing(status, version, answers_head)?;
    Ok(Head { status, version, headers, framing, keep: facts.keep(status, version, framing) })
}

/// What the fields say about framing and connection.
#[derive(Default)]
struct Facts {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    /// Seconds in `Keep-Alive: timeout=`.
    timeout: Option<u64>,
    /// Fields that `Connection` makes hop-by-hop.
    named: Vec<HeaderName>,
}

impl Facts {
    /// Notes one field; says whether it goes on to the reader (hop-by-hop ones and repeated lengths do not).
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<bool, Fault> {
        if *name == CONTENT_LENGTH {
            let length = parse_length(value).ok_or(Fault::Length)?;
            return match self.length.replace(length) {
                Some(before) if before != length => Err(Fault::Length),
                before => Ok(before.is_none()),
            };
        }
        if !is_hop_by_hop(name) {
            return Ok(true);
        }
        if *name == TRANSFER_ENCODING {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Encoding);
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            self.close |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"close"));
            self.keep_alive |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"keep-alive"));
            self.named.extend(named(value));
        } else if name.as_str() == "keep-alive" {
            self.timeout = tokens(value).find_map(parse_timeout).or(self.timeout);
        }
        Ok(false)
    }

    fn framing(&self, status: StatusCode, version: Version, answers_head: bool) -> Result<Framing, Fault> {
        if self.chunked && self.length.is_some() {
            return Err(Fault::Conflict);
        }
        if self.chunked && version == Version::HTTP_10 {
            return Err(Fault::Encoding);
        }
        if answers_head || has_no_body(status) {
            return Ok(Framing::Empty);
        }
        Ok(match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(0)) => Framing::Empty,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        })
    }

    fn keep(&self, status: StatusCode, version: Version, framing: Framing) -> Keep {
        let persistent = !self.close && (version == Version::HTTP_11 || self.keep_alive);
        // A 204 that announces a body may well be followed by one, which the next exchange would take for its answer.
        let suspicious = status == StatusCode::NO_CONTENT && (self.chunked || self.length.is_some_and(|n| n > 0));
        if !persistent || suspicious || framing == Framing::UntilClose {
            return Keep::Close;
        }
        self.timeout.map_or(Keep::Unstated, |seconds| Keep::For(Duration::from_secs(seconds)))
    }
}

fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Digits only: no sign, no space, no list, nothing over `i64::MAX` (RFC 9112 §6.3 warns of overflow).
fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok().filter(|&length: &u64| i64::try_from(length).is_ok())
}

/// The seconds in a `timeout=` parameter.
fn parse_timeout(token: &[u8]) -> Option<u64> {
    let text = str::from_utf8(token).ok()?;
    let (name, value) = text.split_once('=')?;
    name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse().ok()).flatten()
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
