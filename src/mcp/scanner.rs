//! Cuts a server-sent event stream at event boundaries without copying what is complete. It reads no fields
//! (`sse` does) and never holds back a complete event.
//!
//! A line ends in LF, CRLF or CR, an empty line ends an event (WHATWG HTML §9.2.5). A CR at a chunk's end ends its
//! line at once; if an LF follows it in the next chunk, the LF belongs to that same line end.

use std::array::IntoIter;
use std::iter::Flatten;

use bytes::{Bytes, BytesMut};
use memchr::{memchr2, memchr2_iter, memrchr2};

/// Bytes of an unfinished event that are kept back by default.
pub const DEFAULT_BOUND: usize = 64 * 1024;

/// Follows one stream.
#[derive(Debug)]
pub struct Scanner {
    bound: usize,
    carry: BytesMut,
    before: Before,
    inside: bool,
}

/// What stands before the next chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    LineStart,
    CarriageReturn,
    MiddleOfLine,
}

/// A run of bytes that may be handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// One or more whole events (or comments), nothing else.
    Events(Bytes),
    /// A part of an event that is larger than the bound, to be passed on unread.
    Part(Bytes),
}

impl Piece {
    /// The bytes, whatever they are.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Events(bytes) | Self::Part(bytes) => bytes,
        }
    }
}

/// What one chunk set free: at most three pieces, in order.
#[derive(Debug)]
pub struct Ready(Flatten<IntoIter<Option<Piece>, 3>>);

impl Ready {
    fn of(pieces: [Option<Piece>; 3]) -> Self {
        Self(pieces.into_iter().flatten())
    }
}

impl Iterator for Ready {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        self.0.next()
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(DEFAULT_BOUND)
    }
}

impl Scanner {
    /// A scanner at the start of a stream that keeps back at most `bound` bytes of an unfinished event. A larger
    /// event passes through in parts.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self { bound, carry: BytesMut::new(), before: Before::LineStart, inside: false }
    }

    /// Takes the next chunk and gives what is complete. Events that lie wholly within the chunk are one slice of it;
    /// only an event that began in an earlier chunk is copied together.
    pub fn feed(&mut self, chunk: Bytes) -> Ready {
        let before = self.before;
        match chunk.last() {
            None => return Ready::of([None, None, None]),
            Some(b'\n') => self.before = Before::LineStart,
            Some(b'\r') => self.before = Before::CarriageReturn,
            Some(_) => self.before = Before::MiddleOfLine,
        }
        let open = self.inside || !self.carry.is_empty();
        let first = if open { first_boundary(&chunk, before) } else { Some(0) };
        let Some(first) = first else {
            let [held, rest] = self.keep(chunk);
            return Ready::of([held, rest, None]);
        };
        let finished = if open { Some(self.finish(chunk.slice(..first))) } else { None };
        let mut last = last_boundary(&chunk, before, open).max(first);
        if is_comments(&chunk[last..]) {
            last = chunk.len();
        }
        let whole = (last > first).then(|| Piece::Events(chunk.slice(first..last)));
        // Nothing is carried here, so that at most the second piece is there.
        let [_, part] = self.keep(chunk.slice(last..));
        Ready::of([finished, whole, part])
    }

    /// Whether what was handed out so far ends between two events, so that a comment may be put there.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        !self.inside
    }

    /// Bytes that are kept back now.
    #[must_use]
    pub fn carried(&self) -> usize {
        self.carry.len()
    }

    /// Another stream follows: what is kept back of this one is discarded.
    pub fn start_over(&mut self) {
        *self = Self::new(self.bound);
    }

    /// At the stream's end: the unfinished event, which a client discards (WHATWG HTML §9.2.6). Often empty.
    #[must_use]
    pub fn take_tail(&mut self) -> Bytes {
        std::mem::take(&mut self.carry).freeze()
    }

    fn finish(&mut self, head: Bytes) -> Piece {
        if self.inside {
            self.inside = false;
            return Piece::Part(head);
        }
        self.carry.extend_from_slice(&head);
        Piece::Events(self.take_tail())
    }

    fn keep(&mut self, tail: Bytes) -> [Option<Piece>; 2] {
        if tail.is_empty() {
            return [None, None];
        }
        if !self.inside && self.carry.len() + tail.len() <= self.bound {
            self.carry.extend_from_slice(&tail);
            return [None, None];
        }
        self.inside = true;
        let held = (!self.carry.is_empty()).then(|| Piece::Part(self.take_tail()));
        [held, Some(Piece::Part(tail))]
    }
}

/// The place behind the first empty line's end; an event is open.
fn first_boundary(chunk: &[u8], before: Before) -> Option<usize> {
    let skip = usize::from(before == Before::CarriageReturn && chunk.starts_with(b"\n"));
    let mut line_start = (before != Before::MiddleOfLine).then_some(skip);
    let mut from = skip;
    while let Some(step) = memchr2(b'\r', b'\n', &chunk[from..]) {
        let at = from + step;
        let behind = at + if chunk[at..].starts_with(b"\r\n") { 2 } else { 1 };
        if line_start == Some(at) {
            return Some(behind);
        }
        line_start = Some(behind);
        from = behind;
    }
    None
}

/// The place behind the last empty line's end, 0 if there is none. Found from behind: most chunks end in one.
fn last_boundary(chunk: &[u8], before: Before, open: bool) -> usize {
    let mut end = chunk.len();
    while let Some(at) = memrchr2(b'\r', b'\n', &chunk[..end]) {
        let start = if chunk[..=at].ends_with(b"\r\n") { at - 1 } else { at };
        let is_empty_line = match (start.checked_sub(1), before) {
            (Some(previous), _) => matches!(chunk[previous], b'\r' | b'\n'),
            (None, Before::LineStart) => true,
            // A lone LF belongs to the CR, which ended an event if none is open.
            (None, Before::CarriageReturn) => chunk[0] == b'\r' || !open,
            (None, Before::MiddleOfLine) => false,
        };
        if is_empty_line {
            return at + 1;
        }
        end = start;
    }
    0
}

/// Whether the bytes are whole comment lines. They belong to no event, so that heartbeats need not wait for one.
fn is_comments(tail: &[u8]) -> bool {
    tail.starts_with(b":")
        && matches!(tail.last(), Some(b'\r' | b'\n'))
        && memchr2_iter(b'\r', b'\n', tail).all(|at| match tail.get(at + 1) {
            None | Some(b':') => true,
            Some(b'\n') => tail[at] == b'\r',
            Some(_) => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(scanner: &mut Scanner, chunk: &'static str) -> Vec<String> {
        let ready = scanner.feed(Bytes::from_static(chunk.as_bytes()));
        ready
            .map(|piece| match piece {
                Piece::Events(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Piece::Part(bytes) => format!("part:{}", String::from_utf8(bytes.to_vec()).unwrap()),
            })
            .collect()
    }

    #[test]
    fn whole_events_are_one_slice_of_the_chunk() {
        let chunk = Bytes::from_static(b"data: 1\n\nid: 2\r\n\r\ndata: 3\r\rdata");
        let mut scanner = Scanner::default();
        let pieces: Vec<Piece> = scanner.feed(chunk.clone()).collect();
        assert_eq!(pieces, [Piece::Events(chunk.slice(..27))]);
        assert_eq!(pieces[0].bytes().as_ptr(), chunk.as_ptr(), "not copied");
        assert_eq!(scanner.carried(), 4);
        assert!(scanner.at_boundary());
    }

    #[test]
    fn only_the_event_that_straddles_is_copied() {
        let mut scanner = Scanner::default();
        assert!(fed(&mut scanner, "data: a\ndata").is_empty());
        assert_eq!(fed(&mut scanner, ": b\n\ndata: c\n\ndata: d"), ["data: a\ndata: b\n\n", "data: c\n\n"]);
        assert_eq!(&scanner.take_tail()[..], b"data: d");
    }

    #[test]
    fn a_crlf_cut_in_two_is_one_line_end() {
        let mut scanner = Scanner::default();
        assert!(fed(&mut scanner, "data: a\r").is_empty());
        assert!(fed(&mut scanner, "\n").is_empty(), "no boundary yet");
        assert_eq!(fed(&mut scanner, "\r"), ["data: a\r\n\r"]);
        assert_eq!(fed(&mut scanner, "\ndata: b"), ["\n"]);
        assert_eq!(fed(&mut scanner, "\r\n\r\n"), ["data: b\r\n\r\n"]);
    }

    #[test]
    fn an_event_beyond_the_bound_passes_in_parts() {
        let mut scanner = Scanner::new(8);
        assert!(fed(&mut scanner, "data: 1").is_empty());
        assert_eq!(fed(&mut scanner, "234"), ["part:data: 1", "part:234"]);
        assert!(!scanner.at_boundary());
        assert_eq!(fed(&mut scanner, "5\n"), ["part:5\n"]);
        assert_eq!(fed(&mut scanner, "\ndata: 2\n\nda"), ["part:\n", "data: 2\n\n"]);
        assert!(scanner.at_boundary());
        assert_eq!(fed(&mut scanner, "ta: 3\n\ndata: 4567"), ["data: 3\n\n", "part:data: 4567"]);
    }

    #[test]
    fn comment_lines_do_not_wait_for_an_event() {
        let mut scanner = Scanner::default();
        assert_eq!(fed(&mut scanner, ": ping\r\n"), [": ping\r\n"]);
        assert_eq!(fed(&mut scanner, "data: 1\n\n:\r"), ["data: 1\n\n:\r"]);
        assert_eq!(fed(&mut scanner, "\n:a\n:b\nid: 1\n"), ["\n"]);
        assert_eq!(fed(&mut scanner, ":c\n\n"), [":a\n:b\nid: 1\n:c\n\n"]);
    }
}
