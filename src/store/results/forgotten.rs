//! What was forgotten, and when: a sketch of a fixed size that is read without a lock. Owns the question whether a result is
//! older than an order to forget one of its tags. Keeps no results, and knows no time.
//!
//! Each tag has two cells of many, and an order raises both to its stamp: a tag was forgotten after a stamp only if both say
//! so (Bloom, Space/Time Trade-offs in Hash Coding with Allowable Errors, 1970, with stamps for bits). So an order is never
//! overlooked, however many there were; what is shared by chance costs a result that would have been good, and no more.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Stamp, Tag};

/// Cells, 1 MiB of them. With 10,000 tags forgotten since it was fetched, a tag is taken to be one of them once in 50 times.
const CELLS: usize = 1 << 17;

/// What was forgotten.
pub(super) struct Forgotten {
    /// The stamp of the newest order. No cell is above it, except while an order is being entered.
    newest: AtomicU64,
    /// All that is older is forgotten.
    floor: AtomicU64,
    cells: Box<[AtomicU64]>,
}

impl Forgotten {
    pub fn new() -> Self {
        let cells = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Self { newest: AtomicU64::new(0), floor: AtomicU64::new(0), cells }
    }

    /// The stamp of the newest order.
    pub fn newest(&self) -> Stamp {
        Stamp(self.newest.load(Ordering::SeqCst))
    }

    /// Enters an order that this instance gives. When this returns, nothing is good any more that has one of the tags and was
    /// stamped before. Its stamp.
    pub fn forget(&self, tags: &[Tag]) -> Stamp {
        let stamp = Stamp(self.newest.fetch_add(1, Ordering::SeqCst) + 1);
        self.raise(tags, stamp);
        stamp
    }

    /// Enters an order that was given elsewhere.
    pub fn learn(&self, tags: &[Tag], stamp: Stamp) {
        self.raise(tags, stamp);
        // Only then: whoever takes this stamp along knows all orders up to it.
        self.newest.fetch_max(stamp.0, Ordering::SeqCst);
    }

    /// Forgets all that is stamped before.
    pub fn raise_floor(&self, stamp: Stamp) {
        self.floor.fetch_max(stamp.0, Ordering::SeqCst);
        self.newest.fetch_max(stamp.0, Ordering::SeqCst);
    }

    /// Whether none of the tags was forgotten after the stamp.
    pub fn is_good(&self, tags: &[Tag], stamp: Stamp) -> bool {
        // Nearly always that is all.
        if stamp.0 >= self.newest.load(Ordering::SeqCst) {
            return true;
        }
        stamp.0 >= self.floor.load(Ordering::SeqCst) && tags.iter().all(|tag| self.last(*tag) <= stamp.0)
    }

    fn raise(&self, tags: &[Tag], stamp: Stamp) {
        for cell in tags.iter().flat_map(|tag| self.cells_of(*tag)) {
            cell.fetch_max(stamp.0, Ordering::SeqCst);
        }
    }

    /// No less than the stamp of the newest order to forget the tag.
    fn last(&self, tag: Tag) -> u64 {
        let [one, other] = self.cells_of(tag);
        one.load(Ordering::SeqCst).min(other.load(Ordering::SeqCst))
    }

    /// A tag is a digest, so that its own bits will do.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the number of cells")]
    fn cells_of(&self, tag: Tag) -> [&AtomicU64; 2] {
        let place = |bits: u64| &self.cells[(bits % CELLS as u64) as usize];
        [place(tag.0), place(tag.0 >> 32)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(n: u64) -> Tag {
        Tag(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 7))
    }

    #[test]
    fn only_what_is_older_than_the_order_and_has_the_tag_is_forgotten() {
        let forgotten = Forgotten::new();
        let before = forgotten.newest();
        let order = forgotten.forget(&[tag(1), tag(2)]);
        assert!(order > before && forgotten.newest() == order);
        for (tags, stamp, good) in [
            (&[tag(1)][..], before, false),
            (&[tag(3), tag(2)], before, false),
            (&[tag(3), tag(4)], before, true),
            (&[], before, true),
            (&[tag(1), tag(2)], order, true),
        ] {
            assert_eq!(forgotten.is_good(tags, stamp), good, "{tags:?} {stamp:?}");
        }
    }

    #[test]
    fn orders_may_come_late_and_twice() {
        let forgotten = Forgotten::new();
        forgotten.learn(&[tag(1)], Stamp(20));
        forgotten.learn(&[tag(2)], Stamp(10));
        forgotten.learn(&[tag(1)], Stamp(5));
        assert_eq!(forgotten.newest(), Stamp(20));
        assert!(!forgotten.is_good(&[tag(1)], Stamp(19)) && !forgotten.is_good(&[tag(2)], Stamp(9)));
        assert!(forgotten.is_good(&[tag(2)], Stamp(10)));
        assert_eq!(forgotten.forget(&[tag(3)]), Stamp(21));
    }

    #[test]
    fn below_the_floor_nothing_is_good() {
        let forgotten = Forgotten::new();
        forgotten.raise_floor(Stamp(10));
        assert!(!forgotten.is_good(&[], Stamp(9)) && !forgotten.is_good(&[tag(1)], Stamp(0)));
        assert!(forgotten.is_good(&[tag(1)], Stamp(10)) && forgotten.newest() == Stamp(10));
        forgotten.raise_floor(Stamp(3));
        assert!(!forgotten.is_good(&[], Stamp(9)));
    }

    #[test]
    fn ten_thousand_orders_take_few_with_them_and_none_is_overlooked() {
        let forgotten = Forgotten::new();
        for n in 0..10_000 {
            forgotten.forget(&[tag(n)]);
        }
        assert!((0..10_000).all(|n| !forgotten.is_good(&[tag(n)], Stamp(0))));
        let taken = (10_000..20_000).filter(|n| !forgotten.is_good(&[tag(*n)], Stamp(0))).count();
        assert!(taken < 400, "{taken} of 10,000");
    }
}
