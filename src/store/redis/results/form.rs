//! How a result is written down, and how news of results are: a header of a fixed form, so that a script can read how long the
//! result is fresh, its tags, and its bytes, compressed where that pays. What cannot be read is as good as not there. Asks
//! nobody.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use smallvec::SmallVec;

use crate::store::redis::keyspace::hex;
use crate::store::results::shared::{News, Order, Told};
use crate::store::results::{Entry, Key, MOST_TAGS, Tag};

/// What every result of this version begins with. Scripts know it, and where the next two numbers stand.
const MARK: [u8; 3] = *b"mr\x01";
/// The header up to the tags: mark, form (1), until when it is fresh (8), order (8), stored (8), ttl (8), stale (8), length (4),
/// tags (1).
const HEADER: usize = 49;
/// The result's bytes stand as they are.
const PLAIN: u8 = 0;
/// They are a block of LZ4.
const LZ4: u8 = 1;
/// No result is longer: what a header says is not believed beyond that.
const LONGEST: usize = 16 << 20;
/// Moments later than this, in milliseconds, are not told apart: scripts count in floating point.
const LATEST: u64 = 1 << 53;

/// Writes a result down, compressed if it has so many bytes at least and gets shorter by that.
pub(super) fn write(entry: &Entry, compress: usize) -> Vec<u8> {
    let packed = (entry.result.len() >= compress).then(|| lz4_flex::block::compress(&entry.result));
    let packed = packed.filter(|packed| packed.len() < entry.result.len());
    let (form, body) = packed.as_deref().map_or((PLAIN, &entry.result[..]), |packed| (LZ4, packed));
    let tags = &entry.tags[..entry.tags.len().min(MOST_TAGS)];
    let mut to = Vec::with_capacity(HEADER + 8 * tags.len() + body.len());
    to.put_slice(&MARK);
    to.put_u8(form);
    to.put_u64(entry.stored.saturating_add(millis(entry.ttl)).min(LATEST));
    to.put_u64(Order::of(entry.stamp).number());
    to.put_u64(entry.stored);
    to.put_u64(millis(entry.ttl));
    to.put_u64(millis(entry.stale));
    to.put_u32(u32::try_from(entry.result.len()).unwrap_or(u32::MAX));
    to.put_u8(u8::try_from(tags.len()).unwrap_or(u8::MAX));
    tags.iter().for_each(|tag| to.put_u64(tag.0));
    to.put_slice(body);
    to
}

/// Reads a result.
pub(super) fn read(value: Vec<u8>) -> Option<Entry> {
    let mut rest = Bytes::from(value);
    if rest.len() < HEADER || rest[..MARK.len()] != MARK {
        return None;
    }
    rest.advance(MARK.len());
    let form = rest.get_u8();
    rest.advance(size_of::<u64>());
    let order = Order::new(rest.get_u64())?;
    let (stored, ttl, stale) = (rest.get_u64(), rest.get_u64(), rest.get_u64());
    let length = usize::try_from(rest.get_u32()).ok().filter(|length| *length <= LONGEST)?;
    let count = usize::from(rest.get_u8());
    if count > MOST_TAGS || rest.len() < count * size_of::<u64>() {
        return None;
    }
    let tags: SmallVec<[Tag; 6]> = (0..count).map(|_| Tag(rest.get_u64())).collect();
    let result = match form {
        PLAIN => rest,
        LZ4 => lz4_flex::block::decompress(&rest, length).ok()?.into(),
        _ => return None,
    };
    let (ttl, stale) = (Duration::from_millis(ttl), Duration::from_millis(stale));
    (result.len() == length).then_some(Entry { result, stored, ttl, stale, tags, stamp: order.stamp() })
}

/// How long a result is to stand at `now` (milliseconds since 1970), in milliseconds. `None` if its time is over.
pub(super) fn left(entry: &Entry, now: u64) -> Option<u64> {
    let ends = entry.stored.saturating_add(millis(entry.ttl)).saturating_add(millis(entry.stale));
    // Also where it was stored by a clock that is ahead.
    let longest = millis(entry.ttl.saturating_add(entry.stale));
    let left = ends.min(LATEST).saturating_sub(now).min(longest);
    (left > 0).then_some(left)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A tag as the store has it.
pub(super) fn write_tag(tag: Tag) -> String {
    format!("{:016x}", tag.0)
}

/// Reads a tag.
pub(super) fn read_tag(text: &str) -> Option<Tag> {
    u64::from_str_radix(text, 16).ok().map(Tag)
}

/// Writes down that there is something new about a key.
pub(super) fn changed(key: &Key) -> String {
    let mut text = String::from("changed ");
    hex(&key.0, &mut text);
    text
}

/// Reads news. `None` for what a later version may say.
pub(super) fn read_news(text: &str) -> Option<News> {
    let mut words = text.split(' ');
    match words.next()? {
        "changed" => read_key(words.next()?).map(News::Changed),
        "forgotten" => {
            let mut order = || words.next()?.parse().ok().and_then(Order::new);
            let told = Told { before: order()?, order: order()?, floor: order()? };
            let tags: Option<Vec<Tag>> = words.map(read_tag).collect();
            Some(News::Forgotten(told, tags?))
        }
        _ => None,
    }
}

fn read_key(text: &str) -> Option<Key> {
    let mut key = [0; 32];
    if text.len() != 2 * key.len() || !text.is_ascii() {
        return None;
    }
    for (n, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(Key(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use smallvec::smallvec;

    use super::*;

    fn entry(result: Vec<u8>) -> Entry {
        Entry {
            result: result.into(),
            stored: 1_800_000_000_123,
            ttl: Duration::from_secs(60),
            stale: Duration::from_millis(5),
            tags: smallvec![Tag(1), Tag(u64::MAX)],
            stamp: Order::new(1_800_000_000_001).unwrap().stamp(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_takes_less_where_that_pays() {
        for (result, compress, length) in [
            (vec![], 0, HEADER + 16),
            (vec![b'x'; 1000], 1001, HEADER + 16 + 1000),
            (vec![b'x'; 1000], 1000, HEADER + 16 + 100),
            ((0..=255).collect(), 0, HEADER + 16 + 256),
        ] {
            let entry = entry(result);
            let written = write(&entry, compress);
            assert!(written.len() <= length && written.len() + 100 > length, "{}", written.len());
            assert_eq!(read(written), Some(entry));
        }
        let forever = Entry { ttl: Duration::MAX, ..entry(vec![1]) };
        assert_eq!(read(write(&forever, 0)).unwrap().ttl.as_millis(), u128::from(u64::MAX));
    }

    #[test]
    fn what_is_cut_or_foreign_or_too_long_is_not_there() {
        for compress in [0, usize::MAX] {
            let written = write(&entry(b"a result, a result, a result, a result, a result".repeat(3)), compress);
            for end in 0..written.len() {
                assert_eq!(read(written[..end].to_vec()), None, "{end}");
            }
            for (at, byte) in [(0, b'x'), (2, 2), (3, 9), (12, 255), (44, 255), (47, 9), (48, 17)] {
                let mut written = written.clone();
                written[at] = byte;
                assert_eq!(read(written), None, "{at}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_any_harm(mut bytes: Vec<u8>, at in 0..200_usize, to in any::<u8>()) {
            drop(read(bytes.clone()));
            bytes.splice(0..0, write(&entry(vec![b'y'; 300]), 0));
            bytes[at % 60] = to;
            drop(read(bytes));
        }
    }

    #[test]
    fn a_result_stands_until_both_its_times_are_over() {
        let entry = entry(vec![]);
        let stands = |since: i64| left(&entry, entry.stored.checked_add_signed(since).unwrap());
        assert_eq!((stands(0), stands(60_004), stands(60_005)), (Some(60_005), Some(1), None));
        assert_eq!(stands(-1_000_000), Some(60_005), "somebody's clock is wrong");
    }

    #[test]
    fn news_are_read() {
        let order = |number| Order::new(number).unwrap();
        let key = Key([0xa7; 32]);
        assert_eq!(read_news(&changed(&key)), Some(News::Changed(key)));
        let told = Told { before: order(5), order: order(7), floor: order(0) };
        let text = format!("forgotten 5 7 0 {} {}", write_tag(Tag(9)), write_tag(Tag(u64::MAX)));
        assert_eq!(read_news(&text), Some(News::Forgotten(told, vec![Tag(9), Tag(u64::MAX)])));
        assert_eq!(read_news("forgotten 5 7 0"), Some(News::Forgotten(told, vec![])));
        for text in
            ["", "later", "changed", "changed a7", "forgotten 5 7", "forgotten 5 7 0 x", "forgotten 5 7 99999999999999"]
        {
            assert_eq!(read_news(text), None, "{text}");
        }
    }
}
