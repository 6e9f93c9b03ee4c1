//! The fields of server-sent events: read without copying where it can be helped, written, and rewritten so that
//! all else stays byte for byte (WHATWG HTML §9.2). Where events begin and end in a stream is `scanner`'s matter.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::needle::needle;

/// A comment that keeps a quiet stream open: one line, no empty line behind it. Some clients (`httpx-sse`) dispatch
/// an event without data at every empty line once they have seen an id; at a comment alone none does anything.
pub const HEARTBEAT: &[u8] = b":\n";

needle!(AFTER_LF = b"\nid:"; AFTER_CR = b"\rid:");

/// Whether a block of events looks as if one of them had an id.
#[must_use]
pub fn carries_ids(block: &[u8]) -> bool {
    block.starts_with(b"id:") || AFTER_LF.is_in(block) || AFTER_CR.is_in(block)
}

/// The event that tells a client how long to wait before it reconnects, in milliseconds.
#[must_use]
pub fn retry_frame(milliseconds: u64) -> Bytes {
    Bytes::from(format!("retry: {milliseconds}\n\n"))
}

/// One event, borrowed from its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// All its lines, the empty one included.
    pub raw: &'a [u8],
    /// Where `raw` lies in the block.
    pub range: Range<usize>,
    /// The last `id`; one with a NUL in it does not count.
    pub id: Option<Cow<'a, str>>,
    /// The last `event`.
    pub event: Option<Cow<'a, str>>,
    /// The last well-formed `retry`, in milliseconds.
    pub retry: Option<u64>,
    /// The `data` lines, joined by LF; borrowed if there is but one.
    pub data: Option<Cow<'a, [u8]>>,
}

impl EventRef<'_> {
    /// Whether no field that a client acts on is there: comments, unknown fields, or nothing at all.
    #[must_use]
    pub const fn is_comment_only(&self) -> bool {
        self.id.is_none() && self.event.is_none() && self.retry.is_none() && self.data.is_none()
    }
}

/// The events of a block that [`Scanner`](super::scanner::Scanner) found complete. Their ranges cover the block
/// without a gap; lines at its end that no empty line follows are one more event. A byte order mark is looked for
/// at the block's start.
#[must_use]
pub const fn events(block: &[u8]) -> Events<'_> {
    Events { block, at: 0 }
}

/// See [`events`].
#[derive(Debug, Clone)]
pub struct Events<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Events<'a> {
    type Item = EventRef<'a>;

    fn next(&mut self) -> Option<EventRef<'a>> {
        let start = self.at;
        if start >= self.block.len() {
            return None;
        }
        let mut event = EventRef { raw: &[], range: 0..0, id: None, event: None, retry: None, data: None };
        for line in lines(&self.block[start..]) {
            self.at += line.whole.len();
            let content = line.content(self.at == line.whole.len());
            if content.is_empty() {
                break;
            }
            event.take(content);
        }
        event.range = start..self.at;
        event.raw = &self.block[start..self.at];
        Some(event)
    }
}

impl<'a> EventRef<'a> {
    fn take(&mut self, content: &'a [u8]) {
        let (name, value) = field(content);
        match name {
            b"data" => match &mut self.data {
                None => self.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"id" if memchr(0, value).is_none() => self.id = Some(String::from_utf8_lossy(value)),
            b"event" => self.event = Some(String::from_utf8_lossy(value)),
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            _ => {}
        }
    }
}

fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// A line with its end.
#[derive(Clone, Copy)]
struct Line<'a> {
    whole: &'a [u8],
    ending: usize,
}

impl<'a> Line<'a> {
    /// Without its end, and without a byte order mark where it is the first.
    fn content(self, is_first: bool) -> &'a [u8] {
        let content = &self.whole[..self.whole.len() - self.ending];
        if is_first { content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content) } else { content }
    }

    fn end(self) -> &'a [u8] {
        &self.whole[self.whole.len() - self.ending..]
    }
}

fn lines(mut rest: &[u8]) -> impl Iterator<Item = Line<'_>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (length, ending) = match memchr2(b'\r', b'\n', rest) {
            None => (rest.len(), 0),
            Some(at) if rest[at..].starts_with(b"\r\n") => (at + 2, 2),
            Some(at) => (at + 1, 1),
        };
        let (whole, behind) = rest.split_at(length);
        rest = behind;
        Some(Line { whole, ending })
    })
}

fn field(content: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b':', content) {
        None => (content, b""),
        Some(at) => {
            let value = &content[at + 1..];
            (&content[..at], value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

/// Writes an event to `out` with another id or other data, each where it has some; every other line stays byte for
/// byte. Several data lines become as many as the new data has.
pub fn rewrite(event: &EventRef<'_>, id: Option<&str>, data: Option<&[u8]>, out: &mut Vec<u8>) {
    let mut data_written = false;
    for (at, line) in lines(event.raw).enumerate() {
        let content = line.content(at == 0 && event.range.start == 0);
        match (field(content).0, id, data) {
            (b"id", Some(id), _) if is_one_line(id) => {
                out.extend_from_slice(b"id: ");
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(line.end());
            }
            (b"data", _, Some(data)) => {
                if !data_written {
                    write_data(data, line.end(), out);
                }
                data_written = true;
            }
            _ => out.extend_from_slice(line.whole),
        }
    }
}

/// An event of our own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Event<'a> {
    /// Left out if it has a line end or a NUL in it.
    pub id: Option<&'a str>,
    /// Left out if it has a line end in it.
    pub event: Option<&'a str>,
    /// In milliseconds.
    pub retry: Option<u64>,
    /// May have several lines.
    pub data: Option<&'a [u8]>,
}

impl Event<'_> {
    /// Writes the event to `out`, its empty line included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (name, value) in [("event: ", self.event), ("id: ", self.id)] {
            if let Some(value) = value.filter(|value| is_one_line(value)) {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(value.as_bytes());
                out.push(b'\n');
            }
        }
        if let Some(retry) = self.retry {
            out.extend_from_slice(format!("retry: {retry}\n").as_bytes());
        }
        if let Some(data) = self.data {
            write_data(data, b"\n", out);
        }
        out.push(b'\n');
    }
}

fn is_one_line(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}

fn write_data(data: &[u8], end: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    loop {
        let at = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(if end.is_empty() { b"\n" } else { end });
        match &rest[at..] {
            [] => return,
            [b'\r', b'\n', behind @ ..] | [_, behind @ ..] => rest = behind,
        }
    }
}

/// A message as an event of its own.
#[must_use]
pub fn as_event(message: &[u8]) -> Vec<u8> {
    let lines = message.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut event = b"event: message\n".to_vec();
    for line in lines.filter(|line| !line.is_empty()) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(block: &str) -> EventRef<'_> {
        let mut all = events(block.as_bytes());
        let event = all.next().unwrap();
        assert!(all.next().is_none());
        event
    }

    #[test]
    fn reads_fields_as_whatwg_html_says() {
        let event =
            one("\u{feff}event: message\r\nid:7\rretry: 10\n: hello\ndata:  x\nretry: 1s\nfoo: bar\nid: a\0b\n\n");
        assert_eq!(event.event.as_deref(), Some("message"));
        assert_eq!(event.id.as_deref(), Some("7"));
        assert_eq!(event.retry, Some(10));
        assert!(matches!(event.data, Some(Cow::Borrowed(b" x"))));
    }

    #[test]
    fn joins_data_lines_and_takes_names_without_a_colon() {
        assert_eq!(one("data: {\ndata\ndata:}\n\n").data.as_deref(), Some(&b"{\n\n}"[..]));
        assert_eq!(one("id\ndata\n\n").id.as_deref(), Some(""));
        assert!(one(": only\nunknown: x\n\n").is_comment_only());
        assert!(one("\n").is_comment_only());
    }

    #[test]
    fn ranges_cover_the_block() {
        let block = b"\ndata: 1\n\n:\r\n\r\ndata: 2\r\rid: 3\n";
        let ranges: Vec<_> = events(block).map(|event| event.range).collect();
        assert_eq!(ranges, [0..1, 1..10, 10..15, 15..24, 24..30]);
    }

    #[test]
    fn rewriting_touches_nothing_else() {
        let event = one(": c\r\nid:1\r\nx: y\rdata: {\ndata: }\nevent: e\n\r\n");
        let mut out = Vec::new();
        rewrite(&event, Some("2"), Some(b"[\n]\n"), &mut out);
        assert_eq!(out, b": c\r\nid: 2\r\nx: y\rdata: [\ndata: ]\ndata: \nevent: e\n\r\n");
        out.clear();
        rewrite(&event, None, None, &mut out);
        assert_eq!(out, event.raw);
        out.clear();
        rewrite(&event, Some("2\ndata: evil"), None, &mut out);
        assert_eq!(out, event.raw);
    }

    #[test]
    fn writes_what_it_reads() {
        let mut out = Vec::new();
        let event = Event { id: Some("5"), event: Some("message"), retry: Some(3), data: Some(b"a\nb") };
        event.encode(&mut out);
        assert_eq!(out, b"event: message\nid: 5\nretry: 3\ndata: a\ndata: b\n\n");
        out.clear();
        Event { id: Some("a\nb"), data: Some(b"x\r\ny"), ..Event::default() }.encode(&mut out);
        assert_eq!(out, b"data: x\ndata: y\n\n");
        assert_eq!(&retry_frame(6000)[..], b"retry: 6000\n\n");
    }
}
