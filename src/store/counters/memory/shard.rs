//! One shard: counters under their keys, bounded. Owns who goes when there is no room. Knows no locks and reads no clock.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use hashbrown::HashTable;

use crate::store::counters::account::Account;
use crate::store::counters::{Budget, BudgetId, Micros, SlotId, Subject};

/// How many counters are looked at when another one comes: those that say nothing any more go.
const LOOKS: usize = 4;
/// Of how many the one that owes least goes when there is no room.
const SAMPLE: usize = 8;
/// Stands in the index for no position, while two are exchanged.
const NOWHERE: u32 = u32::MAX;

/// A budget and a subject, as bytes: without the padding that a u128 brings, and hashed in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key([u8; 24]);

impl Key {
    pub fn new(budget: BudgetId, subject: Subject) -> Self {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&budget.0.to_ne_bytes());
        bytes[8..].copy_from_slice(&subject.0.to_ne_bytes());
        Self(bytes)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    account: Account,
    /// From when on the account says no more than a fresh one.
    forgotten_at: Micros,
}

// What a counter costs beside some ten bytes in the index.
const _: () = assert!(size_of::<Entry>() == 80);

/// The counters of one shard: in a row, so that a few can be looked at cheaply, with an index of positions beside it.
#[derive(Debug)]
pub(super) struct Shard {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// All entries that are blocked or hold slots stand before this position. One that does so no more may stand there yet.
    pinned: usize,
    /// Who is looked at next, of those before and of those behind that position.
    hands: [usize; 2],
    /// Who has taken which slots. Bounded by what the budgets allow.
    slots: HashSet<(Key, SlotId)>,
    hasher: RandomState,
    most: usize,
}

impl Shard {
    /// Room for `most` counters, whose keys are hashed by `hasher`.
    pub fn new(most: usize, hasher: RandomState) -> Self {
        Self {
            index: HashTable::new(),
            entries: Vec::new(),
            pinned: 0,
            hands: [0; 2],
            slots: HashSet::new(),
            hasher,
            most: most.min(NOWHERE as usize),
        }
    }

    /// How many counters there are.
    pub const fn count(&self) -> usize {
        self.entries.len()
    }

    /// The account under this key, and where it stands now.
    pub fn find(&self, hash: u64, key: Key) -> Option<(usize, Account)> {
        let at = *self.index.find(hash, |at| self.is_at(*at as usize, key))? as usize;
        Some((at, self.entries[at].account))
    }

    /// The account under this key.
    pub fn account(&self, hash: u64, key: Key) -> Option<Account> {
        self.find(hash, key).map(|(_, account)| account)
    }

    /// Whether the account of this key stands there.
    pub fn is_at(&self, at: usize, key: Key) -> bool {
        self.entries.get(at).is_some_and(|entry| entry.key == key)
    }

    /// Keeps the account, if it says anything.
    pub fn put(&mut self, hash: u64, key: Key, account: Account, (budget, now): (&Budget, Micros)) {
        if let Some((at, _)) = self.find(hash, key) {
            return self.set(at, account, (budget, now));
        }
        let forgotten_at = account.forgotten_at(budget);
        if forgotten_at > now {
            self.make_room(now);
            let at = self.push(hash, Entry { key, account, forgotten_at });
            self.pin(at, now);
        }
    }

    /// Replaces the account that stands there.
    pub fn set(&mut self, at: usize, account: Account, (budget, now): (&Budget, Micros)) {
        let entry = &mut self.entries[at];
        (entry.account, entry.forgotten_at) = (account, account.forgotten_at(budget));
        self.pin(at, now);
    }

    /// Notes who has taken a slot.
    pub fn note_slot(&mut self, key: Key, slot: SlotId) {
        self.slots.insert((key, slot));
    }

    /// Whether the slot was taken; it no longer is.
    pub fn drop_slot(&mut self, key: Key, slot: SlotId) -> bool {
        self.slots.remove(&(key, slot))
    }

    fn pin(&mut self, at: usize, now: Micros) {
        if at >= self.pinned && self.entries[at].account.is_pinned(now) {
            self.exchange(at, self.pinned);
            self.pinned += 1;
        }
    }

    fn make_room(&mut self, now: Micros) {
        for _ in 0..LOOKS.min(self.pinned) {
            self.look_at_pinned(now);
        }
        for _ in 0..LOOKS.min(self.entries.len() - self.pinned) {
            self.look_at_others(now);
        }
        if self.entries.len() >= self.most {
            let victim = self.owes_least();
            self.remove(victim);
        }
    }

    fn look_at_pinned(&mut self, now: Micros) {
        let at = self.hands[0];
        if at >= self.pinned {
            self.hands[0] = 0;
        } else if self.entries[at].account.is_pinned(now) {
            self.hands[0] += 1;
        } else {
            self.pinned -= 1;
            self.exchange(at, self.pinned);
        }
    }

    fn look_at_others(&mut self, now: Micros) {
        let at = self.hands[1].max(self.pinned);
        if at >= self.entries.len() {
            self.hands[1] = self.pinned;
        } else if self.entries[at].forgotten_at > now {
            self.hands[1] = at + 1;
        } else {
            self.remove(at);
        }
    }

    /// Of a few: whoever would soonest say nothing any more, of the blocked and of those that hold slots only where there
    /// are no others, and the blocked before those.
    fn owes_least(&self) -> usize {
        let (from, hand) = if self.pinned < self.entries.len() { (self.pinned, 1) } else { (0, 0) };
        let length = self.entries.len() - from;
        let start = self.hands[hand].saturating_sub(from);
        let sample = (start..start + SAMPLE.min(length)).map(|at| from + at % length);
        let owes = |at: &usize| (self.entries[*at].account.holds_slots(), self.entries[*at].forgotten_at);
        sample.min_by_key(owes).unwrap_or(0)
    }

    fn push(&mut self, hash: u64, entry: Entry) -> usize {
        let at = self.entries.len();
        if at == self.entries.capacity() {
            // Twice as many, but never beyond what there may be.
            self.entries.reserve_exact(at.max(4).min(self.most - at));
        }
        self.entries.push(entry);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, position(at), |at| hasher.hash_one(entries[*at as usize].key));
        at
    }

    fn remove(&mut self, mut at: usize) {
        if at < self.pinned {
            self.pinned -= 1;
            self.exchange(at, self.pinned);
            at = self.pinned;
        }
        self.exchange(at, self.entries.len() - 1);
        let Some(gone) = self.entries.pop() else { return };
        let (hash, last) = (self.hasher.hash_one(gone.key), position(self.entries.len()));
        if let Ok(found) = self.index.find_entry(hash, |at| *at == last) {
            found.remove();
        }
        if gone.account.holds_slots() {
            self.slots.retain(|(key, _)| *key != gone.key);
        }
    }

    fn exchange(&mut self, one: usize, other: usize) {
        if one == other {
            return;
        }
        self.repoint(one, NOWHERE);
        self.repoint_from(other, position(other), position(one));
        self.repoint_from(one, NOWHERE, position(other));
        self.entries.swap(one, other);
    }

    fn repoint(&mut self, at: usize, to: u32) {
        self.repoint_from(at, position(at), to);
    }

    /// Where the index says `from` of the entry at `at`, it says `to` from now on.
    fn repoint_from(&mut self, at: usize, from: u32, to: u32) {
        let hash = self.hasher.hash_one(self.entries[at].key);
        if let Some(found) = self.index.find_mut(hash, |at| *at == from) {
            *found = to;
        }
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("a shard has less than 2^32 entries")
}

#[cfg(test)]
impl Shard {
    /// Whether the index and the order of entries are as they must be.
    pub fn is_sound(&self, now: Micros) -> bool {
        let found = |at: usize| {
            let key = self.entries[at].key;
            self.find(self.hasher.hash_one(key), key).is_some_and(|(found, _)| found == at)
        };
        let apart = |at: usize| at < self.pinned || !self.entries[at].account.is_pinned(now);
        self.index.len() == self.entries.len()
            && self.pinned <= self.entries.len()
            && self.entries.len() <= self.most
            && (0..self.entries.len()).all(|at| found(at) && apart(at))
    }
}
