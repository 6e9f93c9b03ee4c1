//! Counters in this process's memory. Owns the shards and the order in which they are locked, and so that all charges of a
//! decision are made or none; a restart forgets them all.
//!
//! There are never more than a given number of counters. Those that say nothing any more go away as others come; where
//! there is no room even so, the one that would soonest have said nothing goes, of a few looked at: a flood of subjects
//! that spend little each drives out its own kind, and neither the greedy nor the blocked.

mod shard;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::ready;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;

use self::shard::{Key, Shard};
use super::account::{Account, Refusal};
use super::{Charge, Correction, Counters, Measure, Micros, SlotId, Soon, Taken};
use crate::clock::Clock;
use crate::store::{BoxFuture, StoreError};

/// So many shards at most: far more than threads, so that two rarely meet.
const SHARDS: usize = 64;
/// A shard has room for so many counters at least, or there are fewer shards: they do not fill evenly.
const ROOM: usize = 256;
/// So many charges are decided without an allocation.
const INLINE: usize = 16;

/// Counters in memory: at most 128 bytes each when there are many.
pub struct Memory {
    // Each guards its counters. Held for one decision, by whoever charges a counter in it; several are locked in ascending
    // order. Nothing is awaited meanwhile.
    shards: Box<[Padded]>,
    hasher: RandomState,
    clock: Clock,
}

/// A shard on cache lines of its own, since neighbours are locked by different threads.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

/// Where a counter is kept, if it is.
#[derive(Clone, Copy)]
struct Place {
    shard: usize,
    hash: u64,
    key: Key,
}

impl Memory {
    /// No counters yet, and never more than `most` (at least 1).
    #[must_use]
    pub fn new(most: usize, clock: Clock) -> Self {
        let shards = 1 << (most / ROOM).clamp(1, SHARDS).ilog2();
        let hasher = RandomState::new();
        let shard = || Padded(Mutex::new(Shard::new((most / shards).max(1), hasher.clone())));
        Self { shards: (0..shards).map(|_| shard()).collect(), clock, hasher }
    }

    /// How many counters are kept, those included that say nothing any more and have not gone away yet.
    #[must_use]
    pub fn count(&self) -> usize {
        (0..self.shards.len()).map(|number| self.lock(number).count()).sum()
    }

    fn lock(&self, number: usize) -> MutexGuard<'_, Shard> {
        self.shards[number].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, charge: &Charge) -> Place {
        let key = Key::new(charge.budget.id, charge.subject);
        let hash = self.hasher.hash_one(key);
        // The shards' own tables go by the lowest and the highest bits.
        let bits = usize::try_from(hash >> 32 & 0xffff).unwrap_or(0);
        Place { shard: bits & (self.shards.len() - 1), hash, key }
    }

    /// Locks what these charges need, in ascending order.
    fn hold_all<'a>(&'a self, charges: &[Charge], held: &mut Held<'a>) {
        let mut numbers = SmallVec::<[usize; INLINE]>::new();
        for charge in charges {
            let place = self.place(charge);
            numbers.push(place.shard);
            held.places.push(place);
        }
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            held.guards.push((number, self.lock(number)));
        }
        // Read under the locks: for a counter time never goes back.
        held.now = self.clock.micros();
    }

    fn decide(&self, charges: &[Charge], slot: SlotId) -> Taken {
        let mut held = Held::default();
        self.hold_all(charges, &mut held);
        let refused = held.judge(charges);
        match refused {
            None => held.make_all(charges, slot),
            Some(which) => held.refuse(which, &charges[which]),
        }
        held.taken(charges, refused)
    }

    fn change<T>(&self, charge: &Charge, change: impl FnOnce(&mut Shard, Place, Micros) -> T) -> T {
        let place = self.place(charge);
        let mut shard = self.lock(place.shard);
        let now = self.clock.micros();
        change(&mut shard, place, now)
    }

    fn settle(&self, charge: &Charge, at: Micros, actual: u64) {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let account = shard.account(hash, key).unwrap_or_else(|| Account::remembered(charge, at));
            shard.put(hash, key, account.settle(charge, actual, at, now), (&charge.budget, now));
        });
    }

    fn give_back(&self, charge: &Charge, slot: SlotId) {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let account = shard.account(hash, key);
            if let Some(account) = account.filter(|_| shard.drop_slot(key, slot)) {
                shard.put(hash, key, account.give_back(), (&charge.budget, now));
            }
        });
    }

    fn begin_hold(&self, charge: &Charge, lasts: Duration) {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let account = shard.account(hash, key).unwrap_or_else(|| Account::fresh(&charge.budget));
            let account = Account { blocked: account.blocked.hold(lasts, now), ..account };
            shard.put(hash, key, account, (&charge.budget, now));
        });
    }

    fn end_block(&self, charge: &Charge) -> bool {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let Some(account) = shard.account(hash, key) else { return false };
            let lifted = Account { spent: account.spent, ..Account::fresh(&charge.budget) };
            shard.put(hash, key, lifted, (&charge.budget, now));
            account.blocked.left(now) > 0
        })
    }
}

/// One decision: its charges, the shards that they need, locked, and when it is made. Large, and so never moved.
#[derive(Default)]
struct Held<'a> {
    places: SmallVec<[Place; INLINE]>,
    lines: SmallVec<[Line; INLINE]>,
    guards: SmallVec<[(usize, MutexGuard<'a, Shard>); INLINE]>,
    now: Micros,
}

/// One charge of a decision.
struct Line {
    place: Place,
    /// Where in its shard the account was found; it may have moved since.
    at: Option<usize>,
    /// The account as it is.
    account: Account,
    /// The account as it would be after the charge.
    after: Result<Account, Refusal>,
}

impl Held<'_> {
    /// Looks at every charge. The first that is refused: by rate before by slots, for those come back by themselves.
    fn judge(&mut self, charges: &[Charge]) -> Option<usize> {
        let (mut by_rate, mut by_slots) = (None, None);
        for (which, (place, charge)) in self.places.iter().zip(charges).enumerate() {
            let shard = &self.guards[guard_of(&self.guards, place.shard)].1;
            let (at, account) = shard.find(place.hash, place.key).unzip();
            let account = account.unwrap_or_else(|| Account::fresh(&charge.budget));
            let after = account.take(charge, self.now);
            if after.is_err() {
                let first = if is_slots(charge) { &mut by_slots } else { &mut by_rate };
                first.get_or_insert(which);
            }
            self.lines.push(Line { place: *place, at, account, after });
        }
        by_rate.or(by_slots)
    }

    /// Makes the charges, none of which was refused.
    fn make_all(&mut self, charges: &[Charge], slot: SlotId) {
        for (line, charge) in self.lines.iter_mut().zip(charges) {
            line.account = line.after.unwrap_or(line.account);
            let guard = guard_of(&self.guards, line.place.shard);
            let shard = &mut self.guards[guard].1;
            line.keep(shard, charge, self.now);
            if is_slots(charge) {
                shard.note_slot(line.place.key, slot);
            }
        }
    }

    /// Begins a block, if there is none and the budget has one.
    fn refuse(&mut self, which: usize, charge: &Charge) {
        let line = &mut self.lines[which];
        if line.after == Err(Refusal::Spent) && charge.budget.block.is_some() {
            line.account = line.account.refuse(&charge.budget, self.now);
            let guard = guard_of(&self.guards, line.place.shard);
            line.keep(&mut self.guards[guard].1, charge, self.now);
        }
    }

    fn taken(&self, charges: &[Charge], refused: Option<usize>) -> Taken {
        let mut standings = SmallVec::new();
        for (line, charge) in self.lines.iter().zip(charges) {
            standings.push(line.account.standing(charge, self.now));
        }
        Taken { refused, standings, at: self.now }
    }
}

impl Line {
    fn keep(&self, shard: &mut Shard, charge: &Charge, now: Micros) {
        let Place { hash, key, .. } = self.place;
        match self.at {
            Some(at) if shard.is_at(at, key) => shard.set(at, self.account, (&charge.budget, now)),
            _ => shard.put(hash, key, self.account, (&charge.budget, now)),
        }
    }
}

fn guard_of(guards: &[(usize, MutexGuard<'_, Shard>)], shard: usize) -> usize {
    guards.iter().position(|(number, _)| *number == shard).expect("the shards of all charges are locked")
}

fn is_slots(charge: &Charge) -> bool {
    matches!(charge.budget.measure, Measure::Slots(_))
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl Counters for Memory {
    fn take<'a>(&'a self, charges: &'a [Charge], slot: SlotId) -> Soon<'a, Result<Taken, StoreError>> {
        Soon::Now(Some(Ok(self.decide(charges, slot))))
    }

    fn correct(&self, corrections: Vec<Correction>) {
        for correction in corrections {
            match correction {
                Correction::Cost { charge, at, actual } => self.settle(&charge, at, actual),
                Correction::Slot { charge, slot } => self.give_back(&charge, slot),
            }
        }
    }

    fn hold<'a>(&'a self, charge: &'a Charge, lasts: Duration) -> BoxFuture<'a, Result<(), StoreError>> {
        self.begin_hold(charge, lasts);
        Box::pin(ready(Ok(())))
    }

    fn lift<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(ready(Ok(self.end_block(charge))))
    }

    fn look<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Result<Taken, StoreError>> {
        let mut held = Held::default();
        self.hold_all(charges, &mut held);
        let refused = held.judge(charges);
        Box::pin(ready(Ok(held.taken(charges, refused))))
    }
}
