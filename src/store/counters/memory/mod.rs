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
use super::{Charge, Correction, Counters, Measure, Micros, SlotId, Soon, Standing, Taken};
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

    fn hold_all(&self, charges: &[Charge]) -> Held<'_> {
        let places: SmallVec<[Place; INLINE]> = charges.iter().map(|charge| self.place(charge)).collect();
        let mut numbers: SmallVec<[usize; INLINE]> = places.iter().map(|place| place.shard).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let guards = numbers.iter().map(|number| (*number, self.lock(*number))).collect();
        // Read under the locks: for a counter time never goes back.
        Held { places, guards, now: self.clock.micros() }
    }

    fn decide(&self, charges: &[Charge], slot: SlotId) -> Taken {
        let mut held = self.hold_all(charges);
        let (mut accounts, verdicts) = held.judge(charges);
        let refused = first_refused(charges, &verdicts);
        match refused {
            None => {
                accounts = verdicts.into_iter().flatten().collect();
                held.write_all(charges, &accounts, slot);
            }
            Some(which) if verdicts[which] == Err(Refusal::Spent) && charges[which].budget.block.is_some() => {
                accounts[which] = accounts[which].refuse(&charges[which].budget, held.now);
                held.write(which, &charges[which], accounts[which]);
            }
            Some(_) => {}
        }
        held.taken(charges, &accounts, refused)
    }

    fn change<T>(&self, charge: &Charge, change: impl FnOnce(&mut Shard, Place, Micros) -> T) -> T {
        let place = self.place(charge);
        let mut shard = self.lock(place.shard);
        let now = self.clock.micros();
        change(&mut shard, place, now)
    }

    fn settle(&self, charge: &Charge, at: Micros, actual: u64) {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let account = shard.find(hash, key).unwrap_or_else(|| Account::remembered(charge, at));
            shard.put(hash, key, account.settle(charge, actual, at, now), (&charge.budget, now));
        });
    }

    fn give_back(&self, charge: &Charge, slot: SlotId) {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let account = shard.find(hash, key);
            if let Some(account) = account.filter(|_| shard.drop_slot(key, slot)) {
                shard.put(hash, key, account.give_back(), (&charge.budget, now));
            }
        });
    }

    fn begin_hold(&self, charge: &Charge, lasts: Duration) {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let account = shard.find(hash, key).unwrap_or_else(|| Account::fresh(&charge.budget));
            let account = Account { blocked: account.blocked.hold(lasts, now), ..account };
            shard.put(hash, key, account, (&charge.budget, now));
        });
    }

    fn end_block(&self, charge: &Charge) -> bool {
        self.change(charge, |shard, Place { hash, key, .. }, now| {
            let Some(account) = shard.find(hash, key) else { return false };
            let lifted = Account { spent: account.spent, ..Account::fresh(&charge.budget) };
            shard.put(hash, key, lifted, (&charge.budget, now));
            account.blocked.left(now) > 0
        })
    }
}

/// The shards of one decision, locked, and when it is made.
struct Held<'a> {
    places: SmallVec<[Place; INLINE]>,
    guards: SmallVec<[(usize, MutexGuard<'a, Shard>); INLINE]>,
    now: Micros,
}

type Accounts = SmallVec<[Account; INLINE]>;
type Verdicts = SmallVec<[Result<Account, Refusal>; INLINE]>;

impl Held<'_> {
    /// The accounts as they are, and what each would be after its charge.
    fn judge(&self, charges: &[Charge]) -> (Accounts, Verdicts) {
        let found = |(place, charge): (&Place, &Charge)| {
            let shard = &self.guards[self.guard(place)].1;
            shard.find(place.hash, place.key).unwrap_or_else(|| Account::fresh(&charge.budget))
        };
        let accounts: Accounts = self.places.iter().zip(charges).map(found).collect();
        let verdicts = accounts.iter().zip(charges).map(|(account, charge)| account.take(charge, self.now)).collect();
        (accounts, verdicts)
    }

    fn write_all(&mut self, charges: &[Charge], accounts: &[Account], slot: SlotId) {
        for (which, (charge, account)) in charges.iter().zip(accounts).enumerate() {
            self.write(which, charge, *account);
            if is_slots(charge) {
                let key = self.places[which].key;
                self.shard(which).note_slot(key, slot);
            }
        }
    }

    fn write(&mut self, which: usize, charge: &Charge, account: Account) {
        let (Place { hash, key, .. }, now) = (self.places[which], self.now);
        self.shard(which).put(hash, key, account, (&charge.budget, now));
    }

    fn shard(&mut self, which: usize) -> &mut Shard {
        let guard = self.guard(&self.places[which]);
        &mut self.guards[guard].1
    }

    fn guard(&self, place: &Place) -> usize {
        let found = self.guards.iter().position(|(number, _)| *number == place.shard);
        found.expect("the shards of all places are locked")
    }

    fn taken(&self, charges: &[Charge], accounts: &[Account], refused: Option<usize>) -> Taken {
        let standing = |(account, charge): (&Account, &Charge)| -> Standing { account.standing(charge, self.now) };
        Taken { refused, standings: accounts.iter().zip(charges).map(standing).collect(), at: self.now }
    }
}

fn is_slots(charge: &Charge) -> bool {
    matches!(charge.budget.measure, Measure::Slots(_))
}

/// By rate before by slots: those come back by themselves.
fn first_refused(charges: &[Charge], verdicts: &[Result<Account, Refusal>]) -> Option<usize> {
    let refused =
        |slots: bool| (0..charges.len()).find(|at| verdicts[*at].is_err() && is_slots(&charges[*at]) == slots);
    refused(false).or_else(|| refused(true))
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
        let held = self.hold_all(charges);
        let (accounts, verdicts) = held.judge(charges);
        Box::pin(ready(Ok(held.taken(charges, &accounts, first_refused(charges, &verdicts)))))
    }
}
