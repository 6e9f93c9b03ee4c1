//! A slow and obvious model of a store, and the law that real ones agree with it whatever is done in
//! whatever order. Owns no promise of its own: the laws by name are in `contract`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::contract::{berth, fresh, key, seen as seen_at};
use super::{Created, JournalEdit, KeyRing, Lookup, Moved, Record, SealingKey, Sessions, Sweep};
use crate::names::{Epoch, SessionId};

const START: u64 = 1_000_000;

/// One thing that a caller does. Few ids, epochs and times, so that they meet often.
#[derive(Clone, Debug)]
pub enum Act {
    Keys(SealingKey),
    AddKey(SealingKey),
    Create(SessionId, Record),
    Moor(SessionId, u32),
    Note(SessionId, JournalEdit),
    Touch(Vec<(SessionId, u64)>),
    End(SessionId, u64),
    Expire(Sweep),
    Adopt(SessionId, Record),
    Flush,
}

/// What comes of an act, where that is worth comparing.
#[derive(Debug, PartialEq)]
enum Came {
    Nothing,
    Ring(KeyRing),
    Created(Created),
    Moved(Moved),
    Noted(bool),
    Was(Option<Record>),
    Expired(Vec<(SessionId, Record)>),
    Adopted(Option<Record>),
}

#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Live(Record),
    Ended(u64),
}

/// The model.
#[derive(Debug, Default)]
pub struct Model {
    entries: BTreeMap<SessionId, Entry>,
    ring: KeyRing,
}

/// Sequences of acts.
pub fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    let id = || (0..5_u128).prop_map(SessionId);
    let at = || START..START + 200;
    let sealing = || (0..4_u32, 0..9_u64).prop_map(|(id, made)| key(id, made));
    let sweep = (at(), 1..100_u64, 1..200_u64).prop_map(|(now, idle, lifetime)| Sweep {
        now,
        idle: Duration::from_secs(idle),
        lifetime: Duration::from_secs(lifetime),
        limit: 100,
    });
    let act = prop_oneof![
        1 => sealing().prop_map(Act::Keys),
        1 => sealing().prop_map(Act::AddKey),
        5 => (id(), record()).prop_map(|(id, record)| Act::Create(id, record)),
        4 => (id(), 0..4_u32).prop_map(|(id, expected)| Act::Moor(id, expected)),
        4 => (id(), edit()).prop_map(|(id, edit)| Act::Note(id, edit)),
        4 => prop::collection::vec((id(), at()), 0..4).prop_map(Act::Touch),
        2 => (id(), at()).prop_map(|(id, until)| Act::End(id, until)),
        2 => sweep.prop_map(Act::Expire),
        3 => (id(), record()).prop_map(|(id, record)| Act::Adopt(id, record)),
        1 => Just(Act::Flush),
    ];
    prop::collection::vec(act, 1..most)
}

fn edit() -> impl Strategy<Value = JournalEdit> {
    let uri = || (0..3_u8).prop_map(|n| format!("file:///{n}").into_boxed_str());
    prop_oneof![
        Just(JournalEdit::Initialized),
        uri().prop_map(JournalEdit::LogLevel),
        uri().prop_map(JournalEdit::Subscribe),
        uri().prop_map(JournalEdit::Unsubscribe),
        (uri(), prop::option::of(uri()))
            .prop_map(|(result, protocol_version)| JournalEdit::Result { result, protocol_version }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    (START..START + 100, 0..4_u32, prop::collection::vec(edit(), 0..4)).prop_map(|(at, epoch, edits)| {
        let mut record = Record { berth: berth(epoch), ..fresh(at) };
        edits.into_iter().for_each(|edit| record.journal.apply(edit).unwrap());
        record
    })
}

/// Does the acts on a store and on the model, and compares what comes of each.
///
/// # Panics
/// Where they differ.
pub async fn agree(store: &dyn Sessions, model: &mut Model, acts: Vec<Act>) {
    for act in acts {
        let came = act_on(store, act.clone()).await;
        assert_eq!(came, model.act(act.clone()), "after {act:?}");
        compare(store, model).await;
    }
}

/// Compares all that a store holds with the model.
///
/// # Panics
/// Where they differ.
pub async fn compare(store: &dyn Sessions, model: &Model) {
    for id in (0..5).map(SessionId) {
        let held = match store.load(id).await.unwrap() {
            Lookup::Live(record) => Some(Entry::Live(Record::clone(&record))),
            Lookup::Ended => Some(Entry::Ended(0)),
            Lookup::Unknown => None,
        };
        let expected = model.entries.get(&id).cloned().map(|entry| match entry {
            Entry::Ended(_) => Entry::Ended(0),
            live @ Entry::Live(_) => live,
        });
        assert_eq!(held, expected, "{id}");
    }
    let living = model.entries.values().filter(|entry| matches!(entry, Entry::Live(_))).count();
    assert_eq!(store.count().await.unwrap(), living);
}

async fn act_on(store: &dyn Sessions, act: Act) -> Came {
    match act {
        Act::Keys(offer) => Came::Ring(store.keys(offer).await.unwrap()),
        Act::AddKey(key) => Came::Ring(store.add_key(key).await.unwrap()),
        Act::Create(id, record) => Came::Created(store.create(id, record).await.unwrap()),
        Act::Moor(id, epoch) => Came::Moved(store.moor(id, Epoch(epoch), berth(epoch + 1)).await.unwrap()),
        Act::Note(id, edit) => Came::Noted(store.note(id, edit).await.unwrap()),
        Act::Touch(seen) => {
            let seen: Vec<_> = seen.into_iter().map(|(id, at)| seen_at(id, at)).collect();
            let _ = store.touch(&seen).await.unwrap();
            Came::Nothing
        }
        Act::End(id, until) => Came::Was(store.end(id, until).await.unwrap().map(Arc::unwrap_or_clone)),
        Act::Expire(sweep) => {
            let ended = store.expire(sweep).await.unwrap();
            let mut ended: Vec<_> = ended.into_iter().map(|(id, was)| (id, Arc::unwrap_or_clone(was))).collect();
            ended.sort_by_key(|(id, _)| *id);
            Came::Expired(ended)
        }
        Act::Adopt(id, record) => Came::Adopted(match store.adopt(id, record).await.unwrap() {
            Lookup::Live(record) => Some(Arc::unwrap_or_clone(record)),
            Lookup::Ended => None,
            Lookup::Unknown => panic!("adopt never answers that"),
        }),
        Act::Flush => {
            store.flush().await.unwrap();
            Came::Nothing
        }
    }
}

impl Model {
    fn live(&mut self, id: SessionId) -> Option<&mut Record> {
        match self.entries.get_mut(&id) {
            Some(Entry::Live(record)) => Some(record),
            _ => None,
        }
    }

    fn act(&mut self, act: Act) -> Came {
        match act {
            Act::Keys(offer) if self.ring.as_slice().is_empty() => self.add_key(offer),
            Act::Keys(_) => Came::Ring(self.ring.clone()),
            Act::AddKey(key) => self.add_key(key),
            Act::Create(id, record) => Came::Created(self.create(id, record)),
            Act::Moor(id, expected) => Came::Moved(self.moor(id, expected)),
            Act::Note(id, edit) => Came::Noted(match self.live(id) {
                Some(record) => record.journal.apply(edit).is_ok(),
                None => false,
            }),
            Act::Touch(seen) => {
                for (id, at) in seen {
                    self.live(id).into_iter().for_each(|record| record.last_seen = record.last_seen.max(at));
                }
                Came::Nothing
            }
            Act::End(id, until) => Came::Was(self.end(id, until)),
            Act::Expire(sweep) => Came::Expired(self.expire(sweep)),
            Act::Adopt(id, record) => Came::Adopted(self.adopt(id, record)),
            Act::Flush => Came::Nothing,
        }
    }

    fn add_key(&mut self, key: SealingKey) -> Came {
        let mut keys: Vec<_> = self.ring.as_slice().to_vec();
        if keys.iter().all(|held| held.id != key.id) {
            keys.push(key);
        }
        self.ring = keys.into_iter().collect();
        Came::Ring(self.ring.clone())
    }

    fn create(&mut self, id: SessionId, record: Record) -> Created {
        if self.entries.contains_key(&id) {
            return Created::AlreadyExists;
        }
        self.entries.insert(id, Entry::Live(record));
        Created::Done
    }

    fn moor(&mut self, id: SessionId, expected: u32) -> Moved {
        match self.live(id) {
            None => Moved::Gone,
            Some(record) if record.berth.epoch.0 == expected => {
                record.berth = berth(expected + 1);
                Moved::Done
            }
            Some(record) => Moved::Lost(record.berth.clone()),
        }
    }

    fn end(&mut self, id: SessionId, until: u64) -> Option<Record> {
        match self.entries.remove(&id) {
            Some(Entry::Live(record)) => {
                self.entries.insert(id, Entry::Ended(until));
                Some(record)
            }
            Some(Entry::Ended(stands)) => {
                self.entries.insert(id, Entry::Ended(stands.max(until)));
                None
            }
            None => {
                self.entries.insert(id, Entry::Ended(until));
                None
            }
        }
    }

    fn expire(&mut self, sweep: Sweep) -> Vec<(SessionId, Record)> {
        self.entries.retain(|_, entry| !matches!(entry, Entry::Ended(until) if *until <= sweep.now));
        let mut ended = Vec::new();
        for (id, entry) in &mut self.entries {
            let Entry::Live(record) = entry else { continue };
            if record.last_seen + sweep.idle.as_secs() <= sweep.now {
                ended.push((*id, record.clone()));
                *entry = Entry::Ended(ended[ended.len() - 1].1.created + sweep.lifetime.as_secs());
            }
        }
        ended
    }

    fn adopt(&mut self, id: SessionId, record: Record) -> Option<Record> {
        match self.entries.get_mut(&id) {
            Some(Entry::Ended(_)) => return None,
            Some(Entry::Live(held)) => join(held, record),
            None => {
                self.entries.insert(id, Entry::Live(record));
            }
        }
        self.live(id).cloned()
    }
}

fn join(held: &mut Record, other: Record) {
    let seen = held.last_seen.max(other.last_seen);
    if other.berth.epoch > held.berth.epoch {
        *held = other;
    } else if other.berth.epoch == held.berth.epoch {
        let (mine, theirs) = (&mut held.journal, other.journal);
        mine.initialized = mine.initialized || theirs.initialized;
        mine.subscriptions.extend(theirs.subscriptions);
        if theirs.log_level.is_some() {
            mine.log_level = theirs.log_level;
        }
        if mine.result.is_none() {
            (mine.result, mine.protocol_version) = (theirs.result, theirs.protocol_version);
        }
    }
    held.last_seen = seen;
}
