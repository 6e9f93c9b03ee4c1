//! Replaces parts of a text and leaves every other byte as it came. It does not know what the parts mean.

use std::ops::Range;

/// `body` with the bytes at `range` replaced. A range that does not lie within the body replaces nothing.
#[must_use]
pub fn splice(body: &[u8], range: &Range<usize>, new: &[u8]) -> Vec<u8> {
    let (Some(before), Some(after)) = (body.get(..range.start), body.get(range.end.max(range.start)..)) else {
        return body.to_vec();
    };
    [before, new, after].concat()
}

/// `body` with several parts replaced; the edits must be in order and must not overlap (those that do are left out).
#[must_use]
pub fn splice_all(body: &[u8], edits: &[(Range<usize>, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 32 * edits.len());
    let mut done = 0;
    for (range, new) in edits {
        let Some(between) = body.get(done..range.start) else { continue };
        out.extend_from_slice(between);
        out.extend_from_slice(new.as_bytes());
        done = range.end.max(range.start);
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out
}

/// Where `inner`, a part of `outer`'s own text, lies within it; `None` where it is no part of it.
#[must_use]
pub fn span_of(outer: &[u8], inner: &[u8]) -> Option<Range<usize>> {
    let start = (inner.as_ptr().addr()).checked_sub(outer.as_ptr().addr())?;
    let end = start.checked_add(inner.len())?;
    (end <= outer.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_keeps_the_rest() {
        assert_eq!(splice(b"abcdef", &(2..4), b"XYZ"), b"abXYZef");
        assert_eq!(splice(b"abc", &(5..9), b"X"), b"abc");
        let edits = [(0..1, "1".to_owned()), (3..3, "-".to_owned()), (5..6, String::new())];
        assert_eq!(splice_all(b"abcdef", &edits), b"1bc-de");
    }

    #[test]
    fn finds_a_part_by_its_place() {
        let outer = b"hello world".as_slice();
        assert_eq!(span_of(outer, &outer[6..]), Some(6..11));
        assert_eq!(span_of(&outer[6..], &outer[..3]), None);
        assert_eq!(span_of(&outer[..6], &outer[4..8]), None);
    }
}
