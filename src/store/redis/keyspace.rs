//! Where things lie: the names of keys, and which hash slot of a Cluster each falls into. Owns the buckets that sessions,
//! counters and results are spread over. Talks to nobody.

use crate::names::SessionId;
use crate::store::counters::{Charge, Measure, Subject};
use crate::store::results::Key;

/// Over how many hash tags sessions, counters and results are spread. What is kept beside the sessions (who was last seen when) is kept for
/// each, so that in a Cluster all nodes share the work.
pub(super) const BUCKETS: u16 = 256;

/// How many places there are: the buckets, the ring of keys, what was forgotten, and the roster.
pub(super) const PLACES: usize = BUCKETS as usize + 3;

/// The hash tag that the ring of keys lies under.
const RING_TAG: &str = "keys";
/// The hash tag that what was forgotten of results lies under.
const FORGOTTEN_TAG: &str = "forgotten";
/// The hash tag that the roster of instances lies under.
const ROSTER_TAG: &str = "roster";

/// Keys of one hash tag: they lie together in one slot, so that a script may touch several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u16);

impl Place {
    /// Where the ring of sealing keys lies.
    pub const RING: Self = Self(BUCKETS);
    /// Where it lies what was forgotten of results.
    pub const FORGOTTEN: Self = Self(BUCKETS + 1);
    /// Where the roster of instances lies.
    pub const ROSTER: Self = Self(BUCKETS + 2);

    /// Where a session lies. Ids are random, so any of their bits will do.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 256")]
    pub const fn of(id: SessionId) -> Self {
        Self((id.0 % BUCKETS as u128) as u16)
    }

    /// Where a subject's counters lie, all of them. An address with its last bits cut off is a subject too, so that all bits
    /// are mixed (Fibonacci hashing, Knuth, The Art of Computer Programming, volume 3, 6.4).
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves are to be folded, and the top eight bits are below 256"
    )]
    pub const fn of_subject(subject: Subject) -> Self {
        let folded = (subject.0 >> 64) as u64 ^ subject.0 as u64;
        Self((folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u16)
    }

    /// Where a result lies. Keys are digests, so any of their bits will do.
    pub const fn of_result(key: &Key) -> Self {
        Self(key.0[0] as u16)
    }

    /// All buckets, from the one of that number on.
    pub fn buckets_from(first: u16) -> impl Iterator<Item = Self> {
        (0..BUCKETS).map(move |n| Self(first.wrapping_add(n) % BUCKETS))
    }

    /// All places, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..BUCKETS + 3).map(Self)
    }

    /// Its number, below [`PLACES`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The hash slot in a Cluster.
    pub fn slot(self) -> u16 {
        crc16(self.tag().as_bytes()) % 16_384
    }

    fn tag(self) -> String {
        match self {
            Self::RING => RING_TAG.to_owned(),
            Self::FORGOTTEN => FORGOTTEN_TAG.to_owned(),
            Self::ROSTER => ROSTER_TAG.to_owned(),
            Self(bucket) => format!("{bucket:02x}"),
        }
    }
}

/// The names of all keys under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: Box<str>,
    channel: Box<str>,
}

impl Names {
    /// Names under a prefix (without braces) in a database. Channels are common to all databases, so theirs carries its number.
    pub fn new(prefix: &str, database: u32) -> Self {
        Self { prefix: prefix.into(), channel: format!("{prefix}:news:{database}").into() }
    }

    /// The hash of a session or of its tombstone.
    pub fn session(&self, id: SessionId) -> String {
        format!("{}:s:{id}", self.base(Place::of(id)))
    }

    /// The sorted set of a bucket's live sessions by when they were last seen.
    pub fn seen(&self, place: Place) -> String {
        format!("{}:seen", self.base(place))
    }

    /// The sorted set of a bucket's tombstones by how long they stand.
    pub fn graves(&self, place: Place) -> String {
        format!("{}:graves", self.base(place))
    }

    /// The hash of sealing keys.
    pub fn ring(&self) -> String {
        format!("{}:ring", self.base(Place::RING))
    }

    /// The counter that a charge is for, written over what `key` held: a string (`l`), or for slots a sorted set (`c`).
    pub fn counter(&self, charge: &Charge, key: &mut String) {
        let kind = if matches!(charge.budget.measure, Measure::Slots(_)) { "}:c:" } else { "}:l:" };
        key.clear();
        key.push_str(&self.prefix);
        key.push_str(":{");
        hex(&Place::of_subject(charge.subject).0.to_be_bytes()[1..], key);
        key.push_str(kind);
        key.push_str(&charge.budget.name);
        key.push(':');
        hex(&charge.subject.0.to_be_bytes(), key);
    }

    /// The sorted set of instances by when they were last there.
    pub fn instances(&self) -> String {
        format!("{}:instances", self.base(Place::RING))
    }

    /// A result.
    pub fn result(&self, key: &Key) -> String {
        self.of_result(key, "r")
    }

    /// Who makes the call that the result is of.
    pub fn right(&self, key: &Key) -> String {
        self.of_result(key, "w")
    }

    /// The hash of how far orders to forget have been numbered, and the sorted set of tags by the newest order.
    pub fn forgotten(&self) -> [String; 2] {
        let base = self.base(Place::FORGOTTEN);
        [format!("{base}:orders"), format!("{base}:tags")]
    }

    /// The hash of what each instance says of itself.
    pub fn cards(&self) -> String {
        format!("{}:cards", self.base(Place::ROSTER))
    }

    /// The hash of the orders that stand for all instances.
    pub fn orders(&self) -> String {
        format!("{}:orders", self.base(Place::ROSTER))
    }

    /// The channel on which instances tell each other about results.
    pub fn results_channel(&self) -> String {
        format!("{}:results", self.channel)
    }

    fn of_result(&self, key: &Key, kind: &str) -> String {
        let mut name = format!("{}:{kind}:", self.base(Place::of_result(key)));
        hex(&key.0, &mut name);
        name
    }

    /// The channel on which instances tell each other what they did.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    fn base(&self, place: Place) -> String {
        format!("{}:{{{}}}", self.prefix, place.tag())
    }
}

/// Writes hexadecimal digits. Every charge of every request comes by here.
pub(super) fn hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// CRC-16/XMODEM, by which a Cluster spreads keys (Redis Cluster specification, appendix A).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn a_sessions_keys_share_a_hash_tag() {
        let (names, id) = (Names::new("moorline", 0), SessionId(0x13f));
        assert_eq!(names.session(id), "moorline:{3f}:s:0000000000000000000000000000013f");
        assert_eq!(names.seen(Place::of(id)), "moorline:{3f}:seen");
        assert_eq!(names.graves(Place::of(id)), "moorline:{3f}:graves");
        assert_eq!(names.ring(), "moorline:{keys}:ring");
        assert_eq!(names.channel(), "moorline:news:0");
        let key = Key([0xa5; 32]);
        assert_eq!(names.result(&key), format!("moorline:{{a5}}:r:{}", "a5".repeat(32)));
        assert_eq!(names.right(&key), format!("moorline:{{a5}}:w:{}", "a5".repeat(32)));
        assert_eq!(names.forgotten(), ["moorline:{forgotten}:orders", "moorline:{forgotten}:tags"]);
        assert_eq!(names.results_channel(), "moorline:news:0:results");
        assert_eq!([names.cards(), names.orders()], ["moorline:{roster}:cards", "moorline:{roster}:orders"]);
    }

    #[test]
    fn buckets_are_spread_over_the_slots() {
        let slots: HashSet<u16> = Place::all().map(Place::slot).collect();
        assert_eq!(slots.len(), PLACES);
        for third in 0..3 {
            let here = slots.iter().filter(|slot| **slot / 5462 == third).count();
            assert!((60..=110).contains(&here), "{here} of {PLACES} in third {third}");
        }
        assert_eq!(Place::buckets_from(250).nth(7), Some(Place(1)));
    }
}
