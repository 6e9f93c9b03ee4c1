//! What a map does as the near copy of a store that lies elsewhere: it takes over what that one holds, and lets go of
//! sessions without ending them. Who is right where the two differ is said by `shared`.

use std::sync::Arc;

use dashmap::mapref::entry::Entry;

use super::{Dated, LOOKS_PER_END, Map, Slot, is_idle, lock};
use crate::names::SessionId;
use crate::store::{Berth, KeyRing, Record, SealingKey, Sweep};

/// What taking a record over has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// The berth is the one that was known, or the session is new here.
    AsKnown,
    /// The session was believed at another berth.
    Moved,
    /// Nothing, for more is known here: a higher epoch, or that the session has ended.
    Nothing,
}

impl Map {
    /// Takes over what the other store has found. Of the same epoch its berth stands, and what the journal here has more
    /// stays, unless nothing has changed here since `before` was read. A new session is left out where there is no room.
    pub fn take(&self, id: SessionId, found: &Arc<Record>, before: Option<&Arc<Record>>) -> Took {
        match self.slots.entry(id) {
            Entry::Occupied(mut slot) => match slot.get_mut() {
                Slot::Live(held) => take_into(held, found, before),
                Slot::Ended { .. } => Took::Nothing,
            },
            Entry::Vacant(vacant) if self.reserve().is_ok() => {
                drop(vacant.insert(Slot::Live(Arc::clone(found))));
                lock(&self.order).seen.insert((found.last_seen, id));
                Took::AsKnown
            }
            Entry::Vacant(_) => Took::AsKnown,
        }
    }

    /// Takes over where a session lies, unless a higher epoch is known here. Whether that was news.
    pub fn take_berth(&self, id: SessionId, berth: &Berth) -> bool {
        let Some(mut slot) = self.slots.get_mut(&id) else { return false };
        let Slot::Live(held) = &mut *slot else { return false };
        if held.berth.epoch > berth.epoch || held.berth == *berth {
            return false;
        }
        Arc::make_mut(held).berth = berth.clone();
        self.movers.remove(&id);
        true
    }

    /// Joins the keys of another ring to this one. Whether any was new.
    pub fn take_keys(&self, keys: &[SealingKey]) -> bool {
        let mut ring = lock(&self.ring);
        let before = ring.clone();
        keys.iter().for_each(|key| ring.insert(key.clone()));
        *ring != before
    }

    /// The keys known here and those of another ring, as far as one ring holds them.
    pub fn joined_with(&self, other: &KeyRing) -> KeyRing {
        self.ring().as_slice().iter().chain(other.as_slice()).cloned().collect()
    }

    /// Drops the tombstones whose time is past, and takes the sessions that may have been idle too long out of the order:
    /// each must be given to [`Map::let_go`] or [`Map::keep`].
    pub fn sift(&self, sweep: &Sweep) -> Vec<Dated> {
        let (graves, idle) = self.due(sweep, sweep.limit.saturating_mul(LOOKS_PER_END));
        for (until, id) in graves {
            self.forget(id, until);
        }
        self.trim();
        idle
    }

    /// Forgets a session that was idle indeed, without ending it.
    pub fn let_go(&self, id: SessionId, sweep: &Sweep) {
        let idle = |slot: &Slot| matches!(slot, Slot::Live(record) if is_idle(record.last_seen, sweep));
        if self.slots.remove_if(&id, |_, slot| idle(slot)).is_some() {
            self.movers.remove(&id);
            self.live.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        } else {
            self.keep(id);
        }
    }

    /// Puts a session back in the order.
    pub fn keep(&self, id: SessionId) {
        let seen = match self.slots.get(&id).as_deref() {
            Some(Slot::Live(record)) => record.last_seen,
            _ => return,
        };
        lock(&self.order).seen.insert((seen, id));
    }
}

fn take_into(held: &mut Arc<Record>, found: &Arc<Record>, before: Option<&Arc<Record>>) -> Took {
    if held.berth.epoch > found.berth.epoch {
        return Took::Nothing;
    }
    let took = if held.berth == found.berth { Took::AsKnown } else { Took::Moved };
    let last_seen = held.last_seen.max(found.last_seen);
    let untouched = before.is_some_and(|before| Arc::ptr_eq(before, held));
    let mut taken = Record::clone(found);
    if !untouched {
        taken.adopt(Record::clone(held));
    }
    taken.last_seen = last_seen;
    *held = Arc::new(taken);
    took
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::contract::{berth, fresh};
    use crate::store::{JournalEdit, Lookup};

    const ID: SessionId = SessionId(1);

    fn live(map: &Map) -> Arc<Record> {
        match map.load(ID) {
            Lookup::Live(record) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_found_berth_stands_at_the_same_epoch_and_falls_behind_a_higher_one() {
        let map = Map::new(10);
        assert_eq!(map.take(ID, &Arc::new(fresh(5)), None), Took::AsKnown);
        let other = Record { berth: Berth { epoch: crate::names::Epoch(0), ..berth(9) }, ..fresh(5) };
        assert_eq!(map.take(ID, &Arc::new(other.clone()), None), Took::Moved);
        assert_eq!(live(&map).berth, other.berth);
        assert!(map.take_berth(ID, &berth(2)));
        assert!(!map.take_berth(ID, &berth(1)));
        assert_eq!(map.take(ID, &Arc::new(other), None), Took::Nothing);
        assert_eq!(live(&map).berth, berth(2));
    }

    #[test]
    fn what_has_changed_since_it_was_read_is_not_lost() {
        let map = Map::new(10);
        assert_eq!(map.take(ID, &Arc::new(fresh(5)), None), Took::AsKnown);
        let before = live(&map);
        assert!(map.note(ID, JournalEdit::Initialized).unwrap());
        assert_eq!(map.take(ID, &Arc::new(fresh(5)), Some(&before)), Took::AsKnown);
        assert!(live(&map).journal.initialized);
        let before = live(&map);
        assert_eq!(map.take(ID, &Arc::new(fresh(5)), Some(&before)), Took::AsKnown);
        assert!(!live(&map).journal.initialized, "untouched since: the other store is the truth");
    }

    #[test]
    fn what_ended_here_is_not_taken() {
        let map = Map::new(10);
        map.end(ID, 100);
        assert_eq!(map.take(ID, &Arc::new(fresh(5)), None), Took::Nothing);
        assert_eq!(map.load(ID), Lookup::Ended);
    }

    #[test]
    fn a_full_map_leaves_the_new_out() {
        let map = Map::new(1);
        assert_eq!(map.take(ID, &Arc::new(fresh(5)), None), Took::AsKnown);
        assert_eq!(map.take(SessionId(2), &Arc::new(fresh(5)), None), Took::AsKnown);
        assert_eq!((map.load(SessionId(2)), map.count()), (Lookup::Unknown, 1));
    }

    #[test]
    fn the_idle_are_let_go_and_the_others_are_looked_at_again() {
        let map = Map::new(10);
        assert_eq!(map.take(ID, &Arc::new(fresh(5)), None), Took::AsKnown);
        assert_eq!(map.take(SessionId(2), &Arc::new(fresh(5)), None), Took::AsKnown);
        map.touch(&[crate::store::contract::seen(SessionId(2), 50)]);
        let sweep = |now| Sweep { now, idle: Duration::from_secs(10), lifetime: Duration::from_secs(100), limit: 10 };
        let due = map.sift(&sweep(20));
        assert_eq!(due, [(5, ID)]);
        map.keep(ID);
        let due = map.sift(&sweep(60));
        assert_eq!(due.len(), 2);
        due.iter().for_each(|(_, id)| map.let_go(*id, &sweep(59)));
        assert_eq!((map.load(ID), map.count()), (Lookup::Unknown, 1));
        assert_eq!(map.sift(&sweep(60)), [(50, SessionId(2))]);
    }
}
