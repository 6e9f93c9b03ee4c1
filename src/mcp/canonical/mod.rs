//! The canonical form of a JSON text, fed into a hasher: two texts feed the same bytes if they say the same, and only
//! then. Keys in any order, numbers by exact decimal value, strings by code points; no Unicode normalisation, no floating
//! point. It refuses what two readers could take for two different values: a repeated key, as in `envelope`.
//!
//! One pass, no document tree: each value is written to a buffer as it is read, and the members of an object are put in
//! order where it ends, unless they are already. So a value costs its length, times its depth at worst.
//!
//! Every value says where it ends, so that whatever is fed behind it cannot be taken for a part of it:
//!
//! | value | bytes |
//! |---|---|
//! | `null`, `true`, `false` | `Z`, `T`, `F` |
//! | number | `N`, sign, digits, `e`, exponent, FF |
//! | string | `S`, UTF-8, FF; surrogates without their other half as three bytes each |
//! | array | `A`, the elements (`H` for one that does not count), FE |
//! | object | `O`, for each member its key in UTF-8, FF, and its value, FE |

mod number;
mod selection;
mod string;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use smallvec::SmallVec;

pub use selection::{Mark, Selection};

use super::version::META_CLIENT_INFO;
use selection::Place;

/// Levels of arrays and objects that are read: as many as the peek may be configured to let pass.
pub const MAX_DEPTH: usize = 512;

/// What of a request's `_meta` does not bear on its result: the token for progress, the trace's context (SEP-414), and
/// what the client calls itself.
pub const UNCOUNTED_META: [&str; 5] = ["progressToken", "traceparent", "tracestate", "baggage", META_CLIENT_INFO];

/// Why a text has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// It is not JSON, or more than one value.
    #[error("it is not one JSON value")]
    Malformed,
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// An object has a key twice: some readers take its first value, some its last.
    #[error("an object has a key twice")]
    RepeatedKey,
}

/// What was written so far.
type Buffer = Vec<u8>;

/// Ends a string, a key or a number: no UTF-8 has this byte.
const END: u8 = 0xff;
/// Ends an array or object, where an element or key could stand.
const CLOSE: u8 = 0xfe;
/// Stands for an element that does not count.
const HOLE: u8 = b'H';

/// Feeds a value.
///
/// # Errors
/// The text has no canonical form. Nothing was fed.
pub fn feed(text: &str, into: &mut blake3::Hasher) -> Result<(), CanonicalError> {
    into.update(&write(text, Place::ALL)?);
    Ok(())
}

/// Feeds what counts of a call's `arguments`. Where there are none, or none that count, that is `{}`.
///
/// # Errors
/// The text has no canonical form. Nothing was fed.
pub fn feed_arguments(
    arguments: Option<&str>,
    selection: &Selection,
    into: &mut blake3::Hasher,
) -> Result<(), CanonicalError> {
    let written = write(arguments.filter(|text| !text.is_empty()).unwrap_or("{}"), selection.whole())?;
    into.update(if written.is_empty() { &[b'O', CLOSE] } else { &written });
    Ok(())
}

/// Feeds a request's `_meta` but for [`UNCOUNTED_META`]. Where there is none, that is `{}`.
///
/// # Errors
/// The text has no canonical form. Nothing was fed.
pub fn feed_meta(meta: Option<&str>, into: &mut blake3::Hasher) -> Result<(), CanonicalError> {
    static COUNTED: LazyLock<Selection> = LazyLock::new(|| Selection::without(&UNCOUNTED_META));
    feed_arguments(meta, &COUNTED, into)
}

/// The canonical form; empty where nothing counts.
fn write(text: &str, place: Place<'_>) -> Result<Buffer, CanonicalError> {
    let mut writer = Writer {
        text: text.as_bytes(),
        at: 0,
        out: Buffer::with_capacity(text.len() + 64),
        members: SmallVec::new(),
        depth: 0,
    };
    writer.skip_space();
    writer.value(place)?;
    writer.skip_space();
    if writer.at < text.len() {
        return Err(CanonicalError::Malformed);
    }
    Ok(writer.out)
}

struct Writer<'a> {
    text: &'a [u8],
    /// What is read next.
    at: usize,
    out: Buffer,
    /// Those of all open objects, the innermost last.
    members: SmallVec<[Member; 16]>,
    depth: usize,
}

/// A member of an open object: where it stands in what was written.
#[derive(Clone, Copy)]
struct Member {
    key: usize,
    value: usize,
    end: usize,
}

impl Writer<'_> {
    /// Reads a value and writes what counts of it, which may be nothing.
    fn value(&mut self, place: Place<'_>) -> Result<(), CanonicalError> {
        let start = self.out.len();
        match self.peek() {
            Some(b'{') => self.open(b'O', place)?,
            Some(b'[') => self.open(b'A', place)?,
            Some(b'"') => self.text_value(place)?,
            Some(b't') => self.word("true", b'T')?,
            Some(b'f') => self.word("false", b'F')?,
            Some(b'n') => self.word("null", b'Z')?,
            _ => self.number()?,
        }
        // Of what stands on the way to something that counts, only that remains; not the way alone.
        let is_bare = self.out.len() == start + 2 && matches!(self.out[start], b'O' | b'A');
        let is_way = !is_bare && place.is_parted() && matches!(self.out[start], b'O' | b'A');
        if place.is_ignored() || !place.counts() && !is_way {
            self.out.truncate(start);
        }
        Ok(())
    }

    fn open(&mut self, tag: u8, place: Place<'_>) -> Result<(), CanonicalError> {
        if self.depth == MAX_DEPTH {
            return Err(CanonicalError::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        self.out.push(tag);
        self.skip_space();
        let read = if tag == b'O' { self.object(place) } else { self.array(place) };
        read?;
        self.out.push(CLOSE);
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, place: Place<'_>) -> Result<(), CanonicalError> {
        // Behind the last element that counts: holes at the end are as good as none.
        let mut end = self.out.len();
        if self.takes(b']') {
            return Ok(());
        }
        for index in 0_usize.. {
            let start = self.out.len();
            self.value(place.element(index))?;
            if self.out.len() > start {
                end = self.out.len();
            } else {
                self.out.push(HOLE);
            }
            if self.is_last(b']')? {
                break;
            }
        }
        self.out.truncate(end);
        Ok(())
    }

    fn object(&mut self, place: Place<'_>) -> Result<(), CanonicalError> {
        let first = self.members.len();
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            let key = self.out.len();
            self.string()?;
            let below = place.below(&self.out[key..]);
            self.out.push(END);
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let value = self.out.len();
            self.value(below)?;
            self.members.push(Member { key, value, end: self.out.len() });
            if self.is_last(b'}')? {
                break;
            }
        }
        self.put_in_order(first)?;
        self.members.truncate(first);
        Ok(())
    }

    /// Sorts the members of the object that ends, and takes those out that do not count.
    fn put_in_order(&mut self, first: usize) -> Result<(), CanonicalError> {
        let (out, members) = (&mut self.out, &mut self.members[first..]);
        let rises = |pair: &[Member]| pair[0].key_in(out) < pair[1].key_in(out);
        if members.windows(2).all(rises) && members.iter().all(Member::counts) {
            return Ok(());
        }
        let start = members[0].key;
        members.sort_unstable_by(|left, right| left.key_in(out).cmp(right.key_in(out)));
        if members.windows(2).any(|pair| pair[0].key_in(out) == pair[1].key_in(out)) {
            return Err(CanonicalError::RepeatedKey);
        }
        let mut sorted = Buffer::with_capacity(out.len() - start);
        let counted = members.iter().filter(|member| member.counts());
        counted.for_each(|member| sorted.extend_from_slice(&out[member.key..member.end]));
        out.truncate(start);
        out.extend_from_slice(&sorted);
        Ok(())
    }

    fn text_value(&mut self, place: Place<'_>) -> Result<(), CanonicalError> {
        self.out.push(b'S');
        let start = self.out.len();
        self.string()?;
        if place.has(Mark::Trim) || place.has(Mark::Lowercase) {
            self.normalise(start, place);
        }
        self.out.push(END);
        Ok(())
    }

    /// Rewrites the string that was written last. One with half a surrogate pair has no case, and stays as it is.
    fn normalise(&mut self, start: usize, place: Place<'_>) {
        let Ok(written) = std::str::from_utf8(&self.out[start..]) else { return };
        let trimmed = if place.has(Mark::Trim) { written.trim() } else { written };
        let rewritten = if place.has(Mark::Lowercase) { trimmed.to_lowercase() } else { trimmed.to_owned() };
        self.out.truncate(start);
        self.out.extend_from_slice(rewritten.as_bytes());
    }

    fn number(&mut self) -> Result<(), CanonicalError> {
        let (number, length) = number::read(&self.text[self.at..]).ok_or(CanonicalError::Malformed)?;
        self.at += length;
        self.out.push(b'N');
        number.write(&mut self.out);
        self.out.push(END);
        Ok(())
    }

    fn word(&mut self, word: &str, tag: u8) -> Result<(), CanonicalError> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(CanonicalError::Malformed);
        }
        self.at += word.len();
        self.out.push(tag);
        Ok(())
    }

    /// Behind a member or element: whether it was the last, or a comma follows.
    fn is_last(&mut self, closing: u8) -> Result<bool, CanonicalError> {
        self.skip_space();
        if self.takes(closing) {
            return Ok(true);
        }
        self.expect(b',')?;
        self.skip_space();
        Ok(false)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), CanonicalError> {
        self.takes(byte).then_some(()).ok_or(CanonicalError::Malformed)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

impl Member {
    fn key_in<'o>(&self, out: &'o Buffer) -> &'o [u8] {
        // Without the end's byte: so the order is that of code points.
        &out[self.key..self.value - 1]
    }

    const fn counts(&self) -> bool {
        self.end > self.value
    }
}

impl Place<'_> {
    fn element(self, index: usize) -> Self {
        if !self.is_parted() {
            return self.below(b"");
        }
        self.below(index.to_string().as_bytes())
    }
}
