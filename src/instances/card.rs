//! What an instance says of itself to the others, and the form in which it is written: JSON with names, of which a reader takes what
//! it knows, so that instances of different versions read each other. Owns the bound of a card. Counts nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fleet::Backend;
use crate::names::{BackendId, InstanceId, PoolId};
use crate::store::roster::LARGEST_CARD;

/// The form that this version writes. Another one only where a reader would misunderstand what stands in an old place.
const FORM: u32 = 1;

/// A backend's flags.
const TAKES_REQUESTS: u64 = 1;
const DRAINS: u64 = 2;
const PARTS: u64 = 4;
const RECOVERS: u64 = 8;

/// What an instance says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// The form that it is written in.
    pub(super) form: u32,
    /// What people call it.
    pub name: Box<str>,
    /// The program's version.
    pub version: Box<str>,
    /// When it started, in milliseconds since 1970.
    pub started_at: u64,
    /// How far it has got with going away, in one word.
    pub phase: Box<str>,
    /// Where its admin API listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Box<str>>,
    /// Where it keeps things.
    pub store: StoreCard,
    /// Client connections.
    pub connections: u64,
    /// Sessions that it knows.
    pub sessions: u64,
    /// What it has counted since it started.
    pub totals: BTreeMap<Box<str>, u64>,
    /// The same in a second, of late.
    pub rates: BTreeMap<Box<str>, f64>,
    /// How long requests took of late, in microseconds: `own_p50`, `own_p99`, `backend_p50`, `backend_p99`. Absent where there were none.
    pub latency_us: BTreeMap<Box<str>, u64>,
    /// Its pools.
    pub pools: Vec<PoolCard>,
    /// Backends that had no room in the card.
    pub left_out: usize,
}

/// Where an instance keeps things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreCard {
    /// `memory`, `disk` or `redis`.
    pub kind: Box<str>,
    /// Whether others share it.
    pub shared: bool,
    /// Whether it does not answer this instance.
    pub away: bool,
}

/// A pool as an instance sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolCard {
    /// The pool's id.
    pub id: u32,
    /// What it is called.
    pub name: Box<str>,
    /// Its backends.
    pub backends: Vec<BackendCard>,
}

/// A backend as an instance sees it. Written as a row of numbers, since there may be many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct BackendCard {
    /// The backend.
    pub id: BackendId,
    /// Sessions that lie there, as far as the instance knows.
    pub sessions: u64,
    /// Requests of the instance that are in flight there.
    pub in_flight: u64,
    /// How long it takes to begin an answer, in microseconds.
    pub latency_us: u64,
    flags: u64,
}

impl Card {
    /// A card with nothing on it.
    #[must_use]
    pub fn blank() -> Self {
        Self { form: FORM, ..Self::default() }
    }

    /// The card as it is handed in. Backends that have no room are left out, and counted.
    #[must_use]
    pub fn write(mut self) -> String {
        loop {
            let text = serde_json::to_string(&self).unwrap_or_default();
            let rows: usize = self.pools.iter().map(|pool| pool.backends.len()).sum();
            if text.len() <= LARGEST_CARD {
                return text;
            }
            if rows == 0 {
                self.pools = Vec::new();
            } else {
                // A tenth less than what the average row leaves room for.
                let kept = (rows * LARGEST_CARD / text.len()) * 9 / 10;
                self.keep(kept);
                self.left_out += rows - kept;
            }
        }
    }

    fn keep(&mut self, mut rows: usize) {
        for pool in &mut self.pools {
            pool.backends.truncate(rows);
            rows -= pool.backends.len();
        }
    }

    /// A card that another instance has handed in. What cannot be read is as if it had not been said.
    #[must_use]
    pub fn read(id: InstanceId, text: &str) -> Self {
        let card: Self = serde_json::from_str(text).unwrap_or_default();
        if card.name.is_empty() { Self { name: id.to_string().into(), ..card } } else { card }
    }
}

impl PoolCard {
    /// The pool's id.
    #[must_use]
    pub const fn id(&self) -> PoolId {
        PoolId(self.id)
    }
}

impl BackendCard {
    /// How a backend is doing.
    #[must_use]
    pub fn of(backend: &Backend, now: std::time::Instant) -> Self {
        let load = backend.load(now);
        let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
        Self {
            id: backend.id,
            sessions: load.sessions.into(),
            in_flight: load.in_flight.into(),
            latency_us: micros(load.latency),
            flags: flag(backend.takes_requests(), TAKES_REQUESTS)
                | flag(backend.drains(), DRAINS)
                | flag(backend.is_parting() && !backend.drains(), PARTS)
                | flag(backend.is_recovering(), RECOVERS),
        }
    }

    /// Whether it may be sent anything.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.flags & TAKES_REQUESTS != 0
    }

    /// Whether the configuration or an operator wants it to take nobody new.
    #[must_use]
    pub const fn drains(&self) -> bool {
        self.flags & DRAINS != 0
    }

    /// In one word. Who is out of use is so first of all, wherever else it stands.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        if self.flags & PARTS != 0 {
            "parting"
        } else if self.flags & RECOVERS != 0 {
            "ejected"
        } else if !self.is_up() {
            "down"
        } else if self.drains() {
            "draining"
        } else {
            "up"
        }
    }
}

impl From<BackendCard> for Vec<u64> {
    fn from(card: BackendCard) -> Self {
        vec![card.id.0, card.sessions, card.in_flight, card.flags, card.latency_us]
    }
}

impl From<Vec<u64>> for BackendCard {
    /// Of what a later version adds, and of what one leaves out, nothing is said.
    fn from(row: Vec<u64>) -> Self {
        let at = |n: usize| row.get(n).copied().unwrap_or_default();
        Self { id: BackendId(at(0)), sessions: at(1), in_flight: at(2), flags: at(3), latency_us: at(4) }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time, of which whole microseconds matter"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(backends: usize) -> Card {
        let row = |n: usize| BackendCard::from(vec![u64::MAX - n as u64, 4_000_000_000, 4_000_000_000, 15, 60_000_000]);
        let pool = PoolCard { id: 7, name: "mcp".into(), backends: (0..backends).map(row).collect() };
        let mut card =
            Card { name: "gw-1".into(), pools: vec![pool.clone(), PoolCard { id: 8, ..pool }], ..Card::blank() };
        card.totals.insert("requests".into(), u64::MAX);
        card.rates.insert("requests".into(), 1234.5);
        card
    }

    #[test]
    fn a_card_is_read_as_it_was_written() {
        let card = Card { admin: Some("127.0.0.1:9090".into()), ..card(3) };
        assert_eq!(Card::read(InstanceId(1), &card.clone().write()), card);
    }

    #[test]
    fn a_card_of_another_version_is_read_as_far_as_it_is_known() {
        let later = r#"{"form":2,"name":"new","colour":"blue","sessions":4,"store":{"kind":"redis","far":true},
            "pools":[{"id":7,"name":"mcp","zone":"a","backends":[[5,1,2,3,4,9,9],[6],[]]}]}"#;
        let card = Card::read(InstanceId(1), later);
        assert_eq!((&*card.name, card.sessions, &*card.store.kind), ("new", 4, "redis"));
        let backends = &card.pools[0].backends;
        assert_eq!((backends[0].id, backends[0].latency_us, backends[0].state()), (BackendId(5), 4, "draining"));
        assert_eq!((backends[1].id, backends[1].sessions, backends[1].state()), (BackendId(6), 0, "down"));
        for broken in ["", "{", "[]", r#"{"sessions":"many"}"#] {
            assert_eq!(&*Card::read(InstanceId(0xab), broken).name, "00000000000000ab");
        }
    }

    #[test]
    fn three_hundred_backends_have_room_and_more_than_have_room_are_counted() {
        let text = card(150).write();
        assert_eq!(Card::read(InstanceId(1), &text).left_out, 0, "{} bytes", text.len());
        for backends in [400, 1000, 5000] {
            let text = card(backends).write();
            let read = Card::read(InstanceId(1), &text);
            let kept: usize = read.pools.iter().map(|pool| pool.backends.len()).sum();
            assert!(text.len() <= LARGEST_CARD && kept > 350, "{} bytes, {kept} of {backends}", text.len());
            assert_eq!(kept + read.left_out, 2 * backends);
        }
    }
}
