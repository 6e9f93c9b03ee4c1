//! Series by key, as many as were agreed on. Whoever asks for one finds it without a lock and without touching what others touch; it
//! is never given up again, since a counter that starts anew looks like a restart. What comes after the last place is counted
//! together, as `other`.

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Series by key. The key is small and made of numbers that this program gave out; what it is called is found out when it is read.
#[derive(Debug)]
pub struct Family<K, S> {
    /// A power of two, and twice as many as series, so that there is always a place that ends a search.
    places: Box<[OnceLock<(K, S)>]>,
    taken: AtomicUsize,
    most: usize,
    other: OnceLock<S>,
}

impl<K: Copy + Eq + Hash, S: Default> Family<K, S> {
    /// A family of `most` series, and the one for all others.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let places = (most * 2).next_power_of_two().max(2);
        let places = (0..places).map(|_| OnceLock::new()).collect();
        Self { places, taken: AtomicUsize::new(0), most, other: OnceLock::new() }
    }

    /// The series of a key; that of all others where there is no place left for it.
    pub fn of(&self, key: K) -> &S {
        let mask = self.places.len() - 1;
        let mut at = mixed(&key) & mask;
        loop {
            match self.places[at].get() {
                Some((known, series)) if *known == key => return series,
                Some(_) => at = (at + 1) & mask,
                None => return self.admit(key, at),
            }
        }
    }

    /// Gives a key its place, at `at` or after it.
    #[cold]
    fn admit(&self, key: K, mut at: usize) -> &S {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return self.other.get_or_init(S::default);
        }
        let mask = self.places.len() - 1;
        loop {
            let mut first = false;
            let (known, series) = self.places[at].get_or_init(|| {
                first = true;
                (key, S::default())
            });
            if *known == key {
                if !first {
                    // Another thread was quicker.
                    self.taken.fetch_sub(1, Ordering::Relaxed);
                }
                return series;
            }
            at = (at + 1) & mask;
        }
    }

    /// All series; without a key that of all others, where there is one.
    pub fn all(&self) -> impl Iterator<Item = (Option<&K>, &S)> {
        let known = self.places.iter().filter_map(OnceLock::get).map(|(key, series)| (Some(key), series));
        known.chain(self.other.get().map(|series| (None, series)))
    }
}

/// Keys are no client's choice: nothing slower is needed against those who would have them all in one place.
fn mixed(key: &impl Hash) -> usize {
    let mut mixer = Mixer(0);
    key.hash(&mut mixer);
    // The product's low bits know little of the key's high ones.
    usize::from_le_bytes((mixer.0 ^ mixer.0 >> 32).to_le_bytes())
}

struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 by the golden ratio: Knuth, The Art of Computer Programming 3, 6.4.
        self.0 = (self.0.rotate_left(25) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Counter;
    use super::*;

    #[test]
    fn each_key_has_its_series_and_the_rest_share_one() {
        let family: Family<(u32, u8), Counter> = Family::new(100);
        let count = || (0..1000_u32).for_each(|number| family.of((number % 200, 3)).increment());
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
        let all: BTreeMap<_, _> = family.all().map(|(key, series)| (key.copied(), series.get())).collect();
        assert_eq!(all.values().sum::<u64>(), 4000);
        // Threads that ask for the same new key at once may each hold a place for a moment.
        assert!((98..=101).contains(&all.len()), "{}", all.len());
        assert!(all[&None] >= 2000);
        assert!(all.iter().all(|(key, count)| key.is_none() || *count <= 20), "{all:?}");
    }

    #[test]
    fn keys_that_differ_little_lie_apart() {
        let places: std::collections::BTreeSet<_> =
            (0..64_u32).flat_map(|a| (0..4_u8).map(move |b| mixed(&(a, b)) & 511)).collect();
        assert!(places.len() > 170, "{} of 256 keys in 512 places", places.len());
    }

    #[test]
    fn a_family_without_places_has_but_the_others() {
        let family: Family<u32, Counter> = Family::new(0);
        family.of(1).add(2);
        family.of(2).add(3);
        assert_eq!(family.all().map(|(key, series)| (key.copied(), series.get())).collect::<Vec<_>>(), [(None, 5)]);
    }
}
