//! How sessions and keys are written down: JSON with names, so that a later version may add fields
//! and an earlier one passes over them. Owns the form of one entry; where entries lie is the stores' business.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::map::Slot;
use super::roster::{Book, Matter, Order, Wish};
use super::{Berth, Journal, KeyRing, Record, SealingKey};
use crate::names::{BackendId, CallerDigest, Epoch, PoolId};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedSlot<'a> {
    Live(SavedRecord<'a>),
    Ended { until: u64 },
}

#[derive(Serialize, Deserialize)]
struct SavedRecord<'a> {
    pool: u32,
    caller: [u8; 16],
    created: u64,
    last_seen: u64,
    backend: u64,
    backend_session: Cow<'a, str>,
    epoch: u32,
    initialize: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protocol_version: Option<Cow<'a, str>>,
    #[serde(default)]
    initialized: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_level: Option<Cow<'a, str>>,
    #[serde(default)]
    open: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscriptions: Vec<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct SavedKey {
    id: u32,
    secret: [u8; 32],
    made: u64,
}

#[derive(Serialize, Deserialize)]
struct SavedOrder<'a> {
    pool: u32,
    backend: u64,
    drains: bool,
    at: u64,
    by: Cow<'a, str>,
    pool_name: Cow<'a, str>,
    backend_name: Cow<'a, str>,
}

/// Writes down what stands under one id.
pub(super) fn encode_slot(slot: &Slot) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&match slot {
        Slot::Live(record) => SavedSlot::Live(save(record)),
        Slot::Ended { until } => SavedSlot::Ended { until: *until },
    })
}

/// Reads what [`encode_slot`] wrote.
pub(super) fn decode_slot(bytes: &[u8]) -> Result<Slot, serde_json::Error> {
    Ok(match serde_json::from_slice(bytes)? {
        SavedSlot::Live(saved) => Slot::Live(Arc::new(revive(saved))),
        SavedSlot::Ended { until } => Slot::Ended { until },
    })
}

/// Writes the ring down, secrets and all.
pub(super) fn encode_ring(ring: &KeyRing) -> Result<Vec<u8>, serde_json::Error> {
    let save = |key: &SealingKey| SavedKey { id: key.id, secret: key.secret, made: key.made };
    serde_json::to_vec(&ring.as_slice().iter().map(save).collect::<Vec<_>>())
}

/// Reads what [`encode_ring`] wrote.
pub(super) fn decode_ring(bytes: &[u8]) -> Result<KeyRing, serde_json::Error> {
    let saved: Vec<SavedKey> = serde_json::from_slice(bytes)?;
    Ok(saved.into_iter().map(|key| SealingKey { id: key.id, secret: key.secret, made: key.made }).collect())
}

/// Writes the orders down, withdrawals included.
pub(super) fn encode_orders(book: &Book) -> Result<Vec<u8>, serde_json::Error> {
    let save = |order: &Order| {
        let drains = order.wish == Wish::Drain;
        let Matter { pool, backend } = order.matter;
        let names = [&order.by, &order.pool, &order.backend].map(|name| Cow::Owned(name.clone().into_string()));
        let [by, pool_name, backend_name] = names;
        SavedOrder { pool: pool.0, backend: backend.0, drains, at: order.at, by, pool_name, backend_name }
    };
    serde_json::to_vec(&book.all().map(save).collect::<Vec<_>>())
}

/// Reads what [`encode_orders`] wrote.
pub(super) fn decode_orders(bytes: &[u8]) -> Result<Book, serde_json::Error> {
    let saved: Vec<SavedOrder<'_>> = serde_json::from_slice(bytes)?;
    Ok(Book::of(saved.into_iter().map(|saved| {
        let matter = Matter { pool: PoolId(saved.pool), backend: BackendId(saved.backend) };
        let wish = if saved.drains { Wish::Drain } else { Wish::Serve };
        let order = Order::new(matter, wish, &saved.by, (&saved.pool_name, &saved.backend_name));
        Order { at: saved.at, ..order }
    })))
}

fn save(record: &Record) -> SavedRecord<'_> {
    let Record { pool, journal, berth, created, last_seen } = record;
    SavedRecord {
        pool: pool.0,
        caller: journal.caller.0,
        created: *created,
        last_seen: *last_seen,
        backend: berth.backend.0,
        backend_session: Cow::Borrowed(&berth.backend_session),
        epoch: berth.epoch.0,
        initialize: Cow::Borrowed(&journal.initialize),
        result: journal.result.as_deref().map(Cow::Borrowed),
        protocol_version: journal.protocol_version.as_deref().map(Cow::Borrowed),
        initialized: journal.initialized,
        log_level: journal.log_level.as_deref().map(Cow::Borrowed),
        open: journal.open,
        subscriptions: journal.subscriptions.iter().map(|uri| Cow::Borrowed(&**uri)).collect(),
    }
}

fn revive(saved: SavedRecord<'_>) -> Record {
    let boxed = |text: Cow<'_, str>| text.into_owned().into_boxed_str();
    Record {
        pool: PoolId(saved.pool),
        journal: Journal {
            initialize: boxed(saved.initialize),
            result: saved.result.map(boxed),
            protocol_version: saved.protocol_version.map(boxed),
            initialized: saved.initialized,
            log_level: saved.log_level.map(boxed),
            subscriptions: saved.subscriptions.into_iter().map(boxed).collect(),
            caller: CallerDigest(saved.caller),
            open: saved.open,
        },
        berth: Berth {
            backend: BackendId(saved.backend),
            backend_session: boxed(saved.backend_session),
            epoch: Epoch(saved.epoch),
        },
        created: saved.created,
        last_seen: saved.last_seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let later = br#"{"live":{"pool":1,"caller":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"created":5,"last_seen":6,
            "backend":7,"backend_session":"s","epoch":2,"initialize":"{}","colour":"blue","more":{"deep":[1]}}}"#;
        let Slot::Live(record) = decode_slot(later).unwrap() else { panic!("alive") };
        assert_eq!(record.berth.epoch, Epoch(2));
        assert!(!record.journal.initialized);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        assert!(decode_slot(br#"{"live":{"pool":1"#).is_err());
        assert!(decode_slot(b"").is_err());
        assert!(decode_ring(b"[{}]").is_err());
    }
}
