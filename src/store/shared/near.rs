//! The near copy: what this instance knows of its sessions, and which of that the far store has not taken yet. A change
//! that is made here alone and its mark are one step, so that none is overtaken or forgotten.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::names::{Epoch, SessionId};
use crate::store::map::{Map, Slot, Took};
use crate::store::{
    Berth, Claimed, Created, JournalEdit, Lease, Lookup, Moved, MoverId, Record, Seen, StoreError, Sweep,
};

/// The most changes that are remembered for a second look.
const MAX_RECENT: usize = 65_536;

/// What this instance knows.
#[derive(Debug)]
pub(super) struct Near {
    map: Map,
    /// What the far store has not taken yet. A shard is held for one change. Bounded by the sessions and tombstones in the map.
    unwritten: DashMap<SessionId, Unwritten>,
    /// Guards the changes of late that the far store has acknowledged. Held for one insertion, by changes alone.
    recent: Mutex<VecDeque<Recent>>,
}

/// What must be told to the far store beside the record itself.
#[derive(Debug, Default)]
struct Unwritten {
    /// Subscriptions that were given up: joining two journals would bring them back.
    unsubscribed: BTreeSet<Box<str>>,
}

/// A mark that was taken off. Put back when this is dropped, unless it was written.
#[derive(Debug)]
pub(super) struct Unmarked<'a> {
    near: &'a Near,
    id: SessionId,
    unwritten: Option<Unwritten>,
}

impl Unmarked<'_> {
    pub fn unsubscribed(&self) -> impl Iterator<Item = &Box<str>> {
        self.unwritten.iter().flat_map(|unwritten| &unwritten.unsubscribed)
    }

    /// The far store has taken it, or never will.
    pub fn settled(mut self) {
        self.unwritten = None;
    }
}

impl Drop for Unmarked<'_> {
    fn drop(&mut self) {
        if let Some(unwritten) = self.unwritten.take() {
            self.near.unwritten.entry(self.id).or_default().unsubscribed.extend(unwritten.unsubscribed);
        }
    }
}

/// A change of late.
#[derive(Clone, Copy, Debug)]
struct Recent {
    at: u64,
    id: SessionId,
    change: Change,
}

/// What a change was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The session began, or its journal grew.
    Journal,
    /// Where it lies, or that it has ended: if the store has lost that, two instances may believe different things.
    Berth,
}

impl Near {
    pub fn new(limit: usize) -> Self {
        Self { map: Map::new(limit), unwritten: DashMap::new(), recent: Mutex::default() }
    }

    /// The copies themselves, for whatever needs no mark.
    pub const fn map(&self) -> &Map {
        &self.map
    }

    pub fn is_ended(&self, id: SessionId) -> bool {
        self.map.load(id) == Lookup::Ended
    }

    pub fn live(&self, id: SessionId) -> Option<Arc<Record>> {
        match self.map.load(id) {
            Lookup::Live(record) => Some(record),
            Lookup::Ended | Lookup::Unknown => None,
        }
    }

    /// Takes over what the far store has found; `before` is what stood here when it was asked.
    pub fn take(&self, id: SessionId, found: &Arc<Record>, before: Option<&Arc<Record>>) -> Took {
        match self.unwritten.entry(id) {
            // What is not written yet must not be lost: the two are joined.
            Entry::Occupied(_held) => self.map.take(id, found, None),
            Entry::Vacant(_held) => self.map.take(id, found, before),
        }
    }

    /// Ends a session here, after the far store has.
    pub fn end(&self, id: SessionId, until: u64) -> Option<Arc<Record>> {
        let was = self.map.end(id, until);
        self.map.trim();
        was
    }

    /// The far store shall be given all that is known here of this session.
    pub fn mark(&self, id: SessionId) {
        drop(self.unwritten.entry(id).or_default());
    }

    /// Remembers a change that the far store has acknowledged.
    pub fn remember(&self, at: u64, id: SessionId, change: Change) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(Recent { at, id, change });
    }

    /// What has changed since then, each once; forgets what is older.
    pub fn changed_since(&self, since: u64, which: impl Fn(Change) -> bool) -> BTreeSet<SessionId> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|first| first.at < since) {
            recent.pop_front();
        }
        recent.iter().filter(|recent| which(recent.change)).map(|recent| recent.id).collect()
    }

    /// Some of those that the far store has not taken yet.
    pub fn unwritten(&self, most: usize) -> Vec<SessionId> {
        self.unwritten.iter().take(most).map(|entry| *entry.key()).collect()
    }

    pub fn count_unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// Takes the mark off, before what stands here is read and written.
    pub fn unmark(&self, id: SessionId) -> Option<Unmarked<'_>> {
        let (_, unwritten) = self.unwritten.remove(&id)?;
        Some(Unmarked { near: self, id, unwritten: Some(unwritten) })
    }

    pub fn create_alone(&self, id: SessionId, record: Record) -> Result<Created, StoreError> {
        let made = |answer: &Result<Created, StoreError>| matches!(answer, Ok(Created::Done));
        self.change(id, |map, _| map.create(id, record), made)
    }

    /// `None` where the session is not known here.
    pub fn moor_alone(&self, id: SessionId, expected: Epoch, berth: &Berth) -> Result<Option<Moved>, StoreError> {
        berth.check_after(expected)?;
        let moor = |map: &Map| match map.load(id) {
            Lookup::Unknown => Ok(None),
            // The caller knows of a move that this copy has missed.
            Lookup::Live(record) if record.berth.epoch < expected => {
                map.take_berth(id, berth);
                Ok(Some(Moved::Done))
            }
            Lookup::Live(_) | Lookup::Ended => map.moor(id, expected, berth.clone()).map(Some),
        };
        self.change(id, |map, _| moor(map), |answer| matches!(answer, Ok(Some(Moved::Done))))
    }

    /// `None` where the session is not known here.
    pub fn note_alone(&self, id: SessionId, edit: JournalEdit) -> Result<Option<bool>, StoreError> {
        let note = |map: &Map, unwritten: &mut Unwritten| {
            if map.load(id) == Lookup::Unknown {
                return Ok(None);
            }
            let noted = map.note(id, edit.clone())?;
            match edit {
                JournalEdit::Unsubscribe(uri) => drop(unwritten.unsubscribed.insert(uri)),
                JournalEdit::Subscribe(uri) => drop(unwritten.unsubscribed.remove(&uri)),
                JournalEdit::Initialized | JournalEdit::LogLevel(_) | JournalEdit::Result { .. } => {}
            }
            Ok(Some(noted))
        };
        self.change(id, note, |answer| matches!(answer, Ok(Some(true))))
    }

    /// `None` where the session is not known here. Nothing of it is ever written: a right to move is for a short time.
    pub fn claim_alone(&self, id: SessionId, expected: Epoch, lease: Lease) -> Option<Claimed> {
        match self.map.load(id) {
            Lookup::Unknown => None,
            Lookup::Live(record) => Some(self.map.claim(id, expected.min(record.berth.epoch), lease)),
            Lookup::Ended => Some(Claimed::Gone),
        }
    }

    pub fn release_alone(&self, id: SessionId, mover: MoverId) {
        self.map.release(id, mover);
    }

    pub fn end_alone(&self, id: SessionId, until: u64) -> Option<Arc<Record>> {
        let was = self.change(id, |map, _| map.end(id, until), |_| true);
        self.map.trim();
        was
    }

    pub fn adopt_alone(&self, id: SessionId, record: Record) -> Result<Lookup, StoreError> {
        self.change(id, |map, _| map.adopt(id, record), Result::is_ok)
    }

    /// Those that are not as the caller believes, as far as that can be told without the far store.
    pub fn news(&self, seen: &[Seen]) -> Vec<(SessionId, Lookup)> {
        let mut news = self.map.news(seen);
        news.retain(|(_, lookup)| *lookup != Lookup::Unknown);
        news
    }

    /// Lets go of sessions that were not used for long, but for those that are not written yet.
    pub fn shed(&self, sweep: &Sweep) {
        for (_, id) in self.map.sift(sweep) {
            match self.unwritten.entry(id) {
                Entry::Occupied(_held) => self.map.keep(id),
                Entry::Vacant(_held) => self.map.let_go(id, sweep),
            }
        }
    }

    /// What stands under an id.
    pub fn slot(&self, id: SessionId) -> Option<Slot> {
        self.map.slot(id)
    }

    /// One change that the far store has not seen, and its mark, if it `counts`.
    fn change<T>(&self, id: SessionId, edit: impl FnOnce(&Map, &mut Unwritten) -> T, counts: fn(&T) -> bool) -> T {
        match self.unwritten.entry(id) {
            Entry::Occupied(mut marked) => edit(&self.map, marked.get_mut()),
            Entry::Vacant(vacant) => {
                let mut unwritten = Unwritten::default();
                let answer = edit(&self.map, &mut unwritten);
                if counts(&answer) {
                    drop(vacant.insert(unwritten));
                }
                answer
            }
        }
    }
}
