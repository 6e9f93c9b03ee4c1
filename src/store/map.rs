//! Sessions in maps: every change as one pure, synchronous step. Owns the truth for the memory and
//! the disk store; knows nothing of durability, files or futures.

mod copies;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::{
    Berth, Claimed, Created, JournalEdit, KeyRing, Lease, Lookup, Moved, MoverId, Record, SealingKey, Seen, StoreError,
    Sweep,
};
use crate::names::{Epoch, SessionId};

pub(super) use copies::Took;

/// How many sessions one sweep looks at for each that it may end.
const LOOKS_PER_END: usize = 16;

/// A session and the unix second when something is due with it.
type Dated = (u64, SessionId);

/// What stands under one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A live session.
    Live(Arc<Record>),
    /// A tombstone that stands until this unix second.
    Ended { until: u64 },
}

/// What one sweep did.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// The sessions that it ended.
    pub ended: Vec<(SessionId, Arc<Record>)>,
    /// The ids whose tombstones it dropped.
    pub dropped: Vec<SessionId>,
}

/// All sessions and keys of one store.
#[derive(Debug)]
pub(super) struct Map {
    slots: DashMap<SessionId, Slot>,
    live: AtomicUsize,
    limit: usize,
    // Guards the order of endings. Taken when a session begins or ends and once per batch of touches, never
    // while a slot is held, and by no other request.
    order: Mutex<Order>,
    // Guards the sealing keys, which are asked for at start and at rotation.
    ring: Mutex<KeyRing>,
    /// Who is moving which session, and until when (unix milliseconds). Bounded by the live sessions: what ends or has
    /// moved is struck off. Written only under its session's slot.
    movers: DashMap<SessionId, (MoverId, u64)>,
}

/// Who is to be looked at next. An entry is a hint, for it is set after the slot: the slot says whether it
/// still holds. Each live session has an entry not later than its `last_seen`.
#[derive(Debug, Default)]
struct Order {
    seen: BTreeSet<Dated>,
    graves: BTreeSet<Dated>,
}

/// What a closer look at a session that seemed idle has shown.
enum Look {
    Ended(Arc<Record>),
    SeenAt(u64),
    Gone,
}

impl Map {
    /// An empty map that takes `limit` live sessions, and remembers as many ended ones.
    pub fn new(limit: usize) -> Self {
        Self {
            slots: DashMap::new(),
            live: AtomicUsize::new(0),
            limit,
            order: Mutex::default(),
            ring: Mutex::default(),
            movers: DashMap::new(),
        }
    }

    pub fn keys(&self, offer: SealingKey) -> KeyRing {
        let mut ring = lock(&self.ring);
        if ring.newest().is_none() {
            ring.insert(offer);
        }
        ring.clone()
    }

    pub fn add_key(&self, key: SealingKey) -> KeyRing {
        let mut ring = lock(&self.ring);
        ring.insert(key);
        ring.clone()
    }

    pub fn ring(&self) -> KeyRing {
        lock(&self.ring).clone()
    }

    pub fn create(&self, id: SessionId, record: Record) -> Result<Created, StoreError> {
        record.check()?;
        let seen = record.last_seen;
        {
            let Entry::Vacant(vacant) = self.slots.entry(id) else { return Ok(Created::AlreadyExists) };
            self.reserve()?;
            vacant.insert(Slot::Live(Arc::new(record)));
        }
        lock(&self.order).seen.insert((seen, id));
        Ok(Created::Done)
    }

    pub fn load(&self, id: SessionId) -> Lookup {
        match self.slots.get(&id).as_deref() {
            Some(Slot::Live(record)) => Lookup::Live(Arc::clone(record)),
            Some(Slot::Ended { .. }) => Lookup::Ended,
            None => Lookup::Unknown,
        }
    }

    pub fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Result<Moved, StoreError> {
        berth.check_after(expected)?;
        let Some(mut slot) = self.slots.get_mut(&id) else { return Ok(Moved::Gone) };
        let Slot::Live(record) = &mut *slot else { return Ok(Moved::Gone) };
        if record.berth.epoch != expected {
            return Ok(Moved::Lost(record.berth.clone()));
        }
        Arc::make_mut(record).berth = berth;
        self.movers.remove(&id);
        Ok(Moved::Done)
    }

    pub fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Claimed {
        // The slot is held for writing, so that claims of one session come one after the other.
        let Some(slot) = self.slots.get_mut(&id) else { return Claimed::Gone };
        let Slot::Live(record) = &*slot else { return Claimed::Gone };
        if record.berth.epoch != expected {
            return Claimed::Moved(record.berth.clone());
        }
        let held = self.movers.get(&id).map(|held| *held);
        if held.is_some_and(|(mover, until)| mover != lease.mover && until > lease.now_millis) {
            return Claimed::Theirs;
        }
        let lasts = u64::try_from(lease.lasts.as_millis()).unwrap_or(u64::MAX);
        self.movers.insert(id, (lease.mover, lease.now_millis.saturating_add(lasts)));
        Claimed::Yours
    }

    pub fn release(&self, id: SessionId, mover: MoverId) {
        self.movers.remove_if(&id, |_, (holder, _)| *holder == mover);
    }

    pub fn note(&self, id: SessionId, edit: JournalEdit) -> Result<bool, StoreError> {
        let Some(mut slot) = self.slots.get_mut(&id) else { return Ok(false) };
        let Slot::Live(record) = &mut *slot else { return Ok(false) };
        record.journal.check_edit(&edit)?;
        Arc::make_mut(record).journal.apply(edit)?;
        Ok(true)
    }

    /// Those of the sessions that are not as the caller believes.
    pub fn news(&self, seen: &[Seen]) -> Vec<(SessionId, Lookup)> {
        let news = |seen: &Seen| match self.load(seen.id) {
            Lookup::Live(record) if record.berth.epoch <= seen.epoch => None,
            lookup => Some((seen.id, lookup)),
        };
        seen.iter().filter_map(news).collect()
    }

    /// Notes when sessions were last seen. The ids of those for which that was news.
    pub fn touch(&self, seen: &[Seen]) -> Vec<SessionId> {
        let later: Vec<_> = seen.iter().filter_map(|&Seen { id, at, .. }| Some((id, self.see(id, at)?, at))).collect();
        let mut order = lock(&self.order);
        for &(id, before, at) in &later {
            order.seen.remove(&(before, id));
            order.seen.insert((at, id));
        }
        drop(order);
        later.into_iter().map(|(id, ..)| id).collect()
    }

    pub fn end(&self, id: SessionId, until: u64) -> Option<Arc<Record>> {
        let was = match self.slots.entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(Slot::Ended { until });
                None
            }
            Entry::Occupied(mut slot) => match slot.get_mut() {
                Slot::Ended { until: stands } if *stands >= until => return None,
                Slot::Ended { until: stands } => {
                    *stands = until;
                    None
                }
                Slot::Live(record) => {
                    let record = Arc::clone(record);
                    self.bury(id, slot.get_mut(), until);
                    Some(record)
                }
            },
        };
        let mut order = lock(&self.order);
        if let Some(record) = &was {
            order.seen.remove(&(record.last_seen, id));
        }
        order.graves.insert((until, id));
        drop(order);
        was
    }

    /// Forgets the tombstones beyond the limit, those first that would fall first. Their ids.
    pub fn trim(&self) -> Vec<SessionId> {
        let surplus: Vec<_> = {
            let graves = &mut lock(&self.order).graves;
            let count = graves.len().saturating_sub(self.limit);
            (0..count).map_while(|_| graves.pop_first()).collect()
        };
        surplus.into_iter().filter(|&(until, id)| self.forget(id, until)).map(|(_, id)| id).collect()
    }

    pub fn expire(&self, sweep: &Sweep) -> Swept {
        let looks = sweep.limit.saturating_mul(LOOKS_PER_END);
        let (graves, idle) = self.due(sweep, looks);
        let dropped = graves.into_iter().filter(|&(until, id)| self.forget(id, until)).map(|(_, id)| id).collect();
        let mut swept = Swept { ended: Vec::new(), dropped };
        let (mut spared, mut buried) = (Vec::new(), Vec::new());
        for (seen, id) in idle {
            if swept.ended.len() >= sweep.limit {
                spared.push((seen, id));
                continue;
            }
            match self.look(id, sweep) {
                Look::Gone => {}
                Look::SeenAt(seen) => spared.push((seen, id)),
                Look::Ended(record) => {
                    buried.push((grave_until(&record, sweep), id));
                    swept.ended.push((id, record));
                }
            }
        }
        let mut order = lock(&self.order);
        order.seen.extend(spared);
        order.graves.extend(buried);
        drop(order);
        swept.dropped.extend(self.trim());
        swept
    }

    pub fn census(&self) -> Vec<(SessionId, Arc<Record>)> {
        let live = |id: &SessionId| match self.load(*id) {
            Lookup::Live(record) => Some((*id, record)),
            Lookup::Ended | Lookup::Unknown => None,
        };
        self.ids().iter().filter_map(live).collect()
    }

    pub fn count(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub fn adopt(&self, id: SessionId, record: Record) -> Result<Lookup, StoreError> {
        record.check()?;
        let (before, adopted) = match self.slots.entry(id) {
            Entry::Vacant(vacant) => {
                self.reserve()?;
                let record = Arc::new(record);
                vacant.insert(Slot::Live(Arc::clone(&record)));
                (record.last_seen, record)
            }
            Entry::Occupied(mut slot) => {
                let Slot::Live(held) = slot.get_mut() else { return Ok(Lookup::Ended) };
                let before = held.last_seen;
                Arc::make_mut(held).adopt(record);
                (before, Arc::clone(held))
            }
        };
        let mut order = lock(&self.order);
        order.seen.remove(&(before, id));
        order.seen.insert((adopted.last_seen, id));
        drop(order);
        Ok(Lookup::Live(adopted))
    }

    /// What stands under an id now, for whoever writes it down.
    pub fn slot(&self, id: SessionId) -> Option<Slot> {
        self.slots.get(&id).map(|slot| slot.clone())
    }

    /// Every id that something stands under.
    pub fn ids(&self) -> Vec<SessionId> {
        self.slots.iter().map(|slot| *slot.key()).collect()
    }

    /// Puts back what was written down. Only for a map that nobody else uses yet.
    pub fn restore(&mut self, id: SessionId, slot: Slot) {
        let order = self.order.get_mut().unwrap_or_else(PoisonError::into_inner);
        match &slot {
            Slot::Live(record) => {
                *self.live.get_mut() += 1;
                order.seen.insert((record.last_seen, id));
            }
            Slot::Ended { until } => {
                order.graves.insert((*until, id));
            }
        }
        self.slots.insert(id, slot);
    }

    /// Puts back the keys that were written down.
    pub fn restore_ring(&mut self, ring: KeyRing) {
        *self.ring.get_mut().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// Moves `last_seen` on; what it was before, if that was earlier.
    fn see(&self, id: SessionId, at: u64) -> Option<u64> {
        let mut slot = self.slots.get_mut(&id)?;
        let Slot::Live(record) = &mut *slot else { return None };
        let before = record.last_seen;
        if before >= at {
            return None;
        }
        Arc::make_mut(record).last_seen = at;
        Some(before)
    }

    fn reserve(&self) -> Result<(), StoreError> {
        let free = |live| (live < self.limit).then_some(live + 1);
        match self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Full { limit: self.limit }),
        }
    }

    fn bury(&self, id: SessionId, slot: &mut Slot, until: u64) {
        *slot = Slot::Ended { until };
        self.movers.remove(&id);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the tombstones whose time is past and the sessions that may be idle out of the order.
    fn due(&self, sweep: &Sweep, looks: usize) -> (Vec<Dated>, Vec<Dated>) {
        let mut order = lock(&self.order);
        let graves = pop_while(&mut order.graves, looks, |until| until <= sweep.now);
        let idle = pop_while(&mut order.seen, looks, |seen| is_idle(seen, sweep));
        (graves, idle)
    }

    /// Ends a session if it is idle indeed.
    fn look(&self, id: SessionId, sweep: &Sweep) -> Look {
        let Some(mut slot) = self.slots.get_mut(&id) else { return Look::Gone };
        let Slot::Live(record) = &*slot else { return Look::Gone };
        if !is_idle(record.last_seen, sweep) {
            return Look::SeenAt(record.last_seen);
        }
        let record = Arc::clone(record);
        self.bury(id, &mut slot, grave_until(&record, sweep));
        Look::Ended(record)
    }

    /// Drops a tombstone, unless it was prolonged meanwhile.
    fn forget(&self, id: SessionId, until: u64) -> bool {
        self.slots.remove_if(&id, |_, slot| *slot == Slot::Ended { until }).is_some()
    }
}

fn pop_while(order: &mut BTreeSet<Dated>, most: usize, due: impl Fn(u64) -> bool) -> Vec<Dated> {
    let mut popped = Vec::new();
    while popped.len() < most {
        match order.first() {
            Some(&(at, _)) if due(at) => popped.extend(order.pop_first()),
            _ => break,
        }
    }
    popped
}

fn is_idle(seen: u64, sweep: &Sweep) -> bool {
    seen.saturating_add(sweep.idle.as_secs()) <= sweep.now
}

fn grave_until(record: &Record, sweep: &Sweep) -> u64 {
    record.created.saturating_add(sweep.lifetime.as_secs())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these locks leaves its value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
