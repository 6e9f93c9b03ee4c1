//! Sealing keys and the ring they hang on. Owns how rings are merged; makes no keys and seals nothing.

use std::fmt;

/// The most keys on a ring. With one more, the oldest falls off.
pub const MAX_KEYS: usize = 32;

/// One key that session ids are sealed with.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey {
    /// Names the key inside the ids that it sealed.
    pub id: u32,
    /// The key itself.
    pub secret: [u8; 32],
    /// When it was made, in unix seconds.
    pub made: u64,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey")
            .field("id", &self.id)
            .field("secret", &format_args!("***"))
            .field("made", &self.made)
            .finish()
    }
}

/// The keys that all instances share, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing(Vec<SealingKey>);

impl KeyRing {
    /// The key to seal with. `None` only on a ring that no store has handed out.
    #[must_use]
    pub fn newest(&self) -> Option<&SealingKey> {
        self.0.first()
    }

    /// The key of that name, to open what it sealed.
    #[must_use]
    pub fn find(&self, id: u32) -> Option<&SealingKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// All keys, the newest first; at most [`MAX_KEYS`].
    #[must_use]
    pub fn as_slice(&self) -> &[SealingKey] {
        &self.0
    }

    /// Adds a key unless one of its name is there: a name, once given, keeps its secret.
    pub fn insert(&mut self, key: SealingKey) {
        if self.find(key.id).is_some() {
            return;
        }
        let place = self.0.partition_point(|held| (held.made, held.id) > (key.made, key.id));
        self.0.insert(place, key);
        self.0.truncate(MAX_KEYS);
    }
}

impl FromIterator<SealingKey> for KeyRing {
    fn from_iter<I: IntoIterator<Item = SealingKey>>(keys: I) -> Self {
        let mut ring = Self::default();
        keys.into_iter().for_each(|key| ring.insert(key));
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32, made: u64) -> SealingKey {
        SealingKey { id, secret: [7; 32], made }
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", key(1, 2)), "SealingKey { id: 1, secret: ***, made: 2 }");
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let one: KeyRing = [key(1, 10), key(2, 30), key(3, 20)].into_iter().collect();
        let other: KeyRing = [key(3, 20), key(1, 10), key(2, 30)].into_iter().collect();
        assert_eq!(one, other);
        assert_eq!(one.newest(), Some(&key(2, 30)));
    }

    #[test]
    fn a_name_keeps_its_secret() {
        let mut ring: KeyRing = [key(1, 10)].into_iter().collect();
        ring.insert(SealingKey { id: 1, secret: [9; 32], made: 99 });
        assert_eq!(ring.as_slice(), [key(1, 10)]);
    }

    #[test]
    fn the_oldest_falls_off_a_full_ring() {
        let ring: KeyRing = (0..).map(|n| key(n, n.into())).take(MAX_KEYS + 1).collect();
        assert_eq!(ring.as_slice().len(), MAX_KEYS);
        assert_eq!(ring.find(0), None);
    }
}
