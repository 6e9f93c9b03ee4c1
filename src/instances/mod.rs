//! All instances that share a store, as this one knows them, and what is ordered on all of them. Owns this instance's card, how
//! often it is handed in, and that the orders which stand are obeyed here. Decides nothing about sessions, and answers no client.

mod card;
mod company;
mod pulse;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub use card::{BackendCard, Card, PoolCard, StoreCard};

use crate::clock::{Chance, Clock};
use crate::drain::Drain;
use crate::fleet::Fleet;
use crate::listener::Workers;
use crate::names::{BackendId, InstanceId};
use crate::observe::tally::Tallies;
use crate::session::Sessions;
use crate::store::StoreError;
use crate::store::roster::{Matter, Near, Order, Version, Wish};
use company::{Change, Company};
use pulse::{Look, Pulse};

/// How often an instance says that it is there, where there are few.
const PERIOD: Duration = Duration::from_secs(2);
/// Each so many instances more make it so much longer: what the store does for all of them grows with the square of their number.
const FEW: usize = 32;
/// Who has not said so for this many periods is not there any more.
const MISSED: u32 = 3;
/// Orders that come this close together are looked at together.
const SETTLE: Duration = Duration::from_millis(20);

/// All instances that share a store.
pub struct Instances {
    identity: Identity,
    parts: Parts,
    /// Rung when there is something new at the store.
    bell: Notify,
    /// Whether this instance has left. Held for one report, so that one comes after the other, and none after that.
    left: tokio::sync::Mutex<bool>,
    /// Guards a few looks; taken by each report and by whoever asks for the card.
    pulse: Mutex<Pulse>,
    /// What was obeyed last. Held while the fleet is told, so that an older order is never told last; taken when orders may
    /// have changed.
    obeyed: Mutex<Obeyed>,
    /// Who else was there; taken by each report.
    company: Mutex<Company>,
    chance: Chance,
}

/// What does not change while an instance runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Tells instances apart, and the same one before a restart from itself after it.
    pub id: InstanceId,
    /// What people call it.
    pub name: Box<str>,
    /// When it started, in milliseconds since 1970.
    pub started_at: u64,
    /// Where its admin API listens.
    pub admin: Option<SocketAddr>,
    /// What kind of store it has: `memory`, `disk` or `redis`.
    pub store: &'static str,
}

/// What this instance looks at.
pub struct Parts {
    /// Where instances report.
    pub roster: Near,
    /// The backends.
    pub fleet: Arc<Fleet>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The client connections.
    pub workers: Arc<Workers>,
    /// What was counted of requests.
    pub tallies: Arc<Tallies>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// The time.
    pub clock: Clock,
}

#[derive(Debug, Default)]
struct Obeyed {
    version: Option<Version>,
    drained: HashMap<Matter, Order>,
}

/// The instances, as far as it is known.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Each that is there, this one first, the others by name.
    pub seen: Vec<Seen>,
    /// Where the store does not answer: how old what is said of the others is. `None` where it is as good as it can be.
    pub old: Option<Duration>,
}

/// An instance that is there.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which it is.
    pub id: InstanceId,
    /// What it says of itself.
    pub card: Card,
    /// How long ago it said so.
    pub age: Duration,
    /// Whether it is this one.
    pub is_own: bool,
}

/// What was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The orders: one for each pool that the backend lies in.
    pub orders: Vec<Order>,
    /// Whether the store has them, so that they hold on all instances. If not, they hold here, and the store is told when it is back.
    pub is_told: bool,
}

/// Why something could not be ordered.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No pool has such a backend, and nothing stands on one.
    #[error("no backend has this id")]
    Unknown,
    /// Too many orders stand.
    #[error("the order was not taken")]
    Refused(#[from] StoreError),
}

impl Instances {
    /// This instance among the others. It has not reported yet.
    #[must_use]
    pub fn new(identity: Identity, parts: Parts) -> Self {
        Self {
            identity,
            parts,
            bell: Notify::new(),
            left: tokio::sync::Mutex::default(),
            pulse: Mutex::default(),
            obeyed: Mutex::default(),
            company: Mutex::default(),
            chance: Chance::system(),
        }
    }

    /// What does not change of this instance.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// This instance's card, as of now.
    #[must_use]
    pub fn own(&self) -> Card {
        self.card(Look::of(self.parts.tallies.totals()))
    }

    fn card(&self, look: Look) -> Card {
        let parts = &self.parts;
        let now = parts.clock.now();
        let (rates, latency_us) = {
            let pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
            (pulse.rates(&look, now), pulse.latency_us(&look))
        };
        let store = StoreCard {
            kind: self.identity.store.into(),
            shared: parts.sessions.are_shared(),
            away: parts.sessions.store_is_away(),
        };
        let pools = parts.fleet.pools();
        let pools = pools.iter().map(|pool| PoolCard {
            id: pool.id.0,
            name: pool.settings().name.as_str().into(),
            backends: pool.backends().iter().map(|backend| BackendCard::of(backend, now)).collect(),
        });
        Card {
            name: self.identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.identity.started_at,
            phase: parts.drain.phase().name().into(),
            admin: self.identity.admin.map(|addr| addr.to_string().into()),
            store,
            connections: parts.workers.connections() as u64,
            sessions: parts.sessions.count() as u64,
            totals: look.totals,
            rates,
            latency_us,
            pools: pools.collect(),
            ..Card::blank()
        }
    }

    /// All that are there, as far as it is known; this one as of now.
    #[must_use]
    pub fn all(&self) -> Picture {
        let picture = self.parts.roster.picture();
        let others = picture.present.iter().filter(|present| present.id != self.identity.id);
        let mut seen: Vec<Seen> = others
            .map(|present| Seen {
                id: present.id,
                card: Card::read(present.id, &present.card),
                age: present.age,
                is_own: false,
            })
            .collect();
        seen.sort_by(|one, other| (&one.card.name, one.id).cmp(&(&other.card.name, other.id)));
        seen.insert(0, Seen { id: self.identity.id, card: self.own(), age: Duration::ZERO, is_own: true });
        Picture { seen, old: picture.old }
    }

    /// The orders that stand: which backends operators want drained, since when, and who said so.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        let mut orders = self.parts.roster.orders();
        orders.retain(|order| order.wish == Wish::Drain);
        orders
    }

    /// Has a backend take nobody new, on all instances, until that is withdrawn. `by` says who wants it.
    ///
    /// # Errors
    /// See [`OrderError`]. Not that the store is away.
    pub async fn drain(&self, backend: BackendId, by: &str) -> Result<Ordered, OrderError> {
        self.order(backend, Wish::Drain, by).await
    }

    /// Withdraws that. What the configuration wants drained stays so.
    ///
    /// # Errors
    /// See [`OrderError`]. Not that the store is away.
    pub async fn undrain(&self, backend: BackendId, by: &str) -> Result<Ordered, OrderError> {
        self.order(backend, Wish::Serve, by).await
    }

    async fn order(&self, backend: BackendId, wish: Wish, by: &str) -> Result<Ordered, OrderError> {
        let by = format!("{by} at {}", self.identity.name);
        let mut ordered = Ordered { orders: Vec::new(), is_told: true };
        for (matter, pool, backend) in self.matters(backend) {
            let given = self.parts.roster.order(Order::new(matter, wish, &by, (&pool, &backend))).await?;
            // At once, and not after the last: the next may be refused.
            self.obey();
            ordered.is_told &= given.is_told;
            ordered.orders.push(given.order);
        }
        if ordered.orders.is_empty() { Err(OrderError::Unknown) } else { Ok(ordered) }
    }

    /// What orders on this backend are about, and what its pools and itself are called: wherever it lies, or did when something
    /// was ordered that still stands.
    fn matters(&self, id: BackendId) -> Vec<(Matter, Box<str>, Box<str>)> {
        let pools = self.parts.fleet.pools();
        let here = pools.iter().filter_map(|pool| {
            let backend = pool.backend(id)?;
            let matter = Matter { pool: pool.id, backend: id };
            Some((matter, pool.settings().name.as_str().into(), backend.name.clone()))
        });
        let mut matters: Vec<_> = here.collect();
        for order in self.orders().into_iter().filter(|order| order.matter.backend == id) {
            if !matters.iter().any(|(matter, ..)| *matter == order.matter) {
                matters.push((order.matter, order.pool, order.backend));
            }
        }
        matters
    }

    /// Says that this instance is there, learns who else is, and obeys the orders that stand.
    pub async fn report(&self) {
        let left = self.left.lock().await;
        if *left {
            return;
        }
        let look = Look::of(self.parts.tallies.totals());
        let card = self.card(look.clone());
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner).note(look, self.parts.clock.now());
        self.parts.roster.report(self.identity.id, &card.write(), self.period() * MISSED).await;
        drop(left);
        self.obey();
        self.look_around();
    }

    /// Tells who has come and who has gone.
    fn look_around(&self) {
        let picture = self.parts.roster.picture();
        let others = picture.present.iter().filter(|present| present.id != self.identity.id);
        let cards = others.map(|present| (present.id, Card::read(present.id, &present.card).name, present.age));
        let mut company = self.company.lock().unwrap_or_else(PoisonError::into_inner);
        let when = (self.parts.clock.now(), self.period() * MISSED);
        company.look(cards, picture.old.is_some(), when).iter().for_each(Change::tell);
    }

    /// Reports again and again, for ever.
    pub async fn keep(self: Arc<Self>) {
        loop {
            let percent = u32::try_from(90 + self.chance.below(21)).unwrap_or(100);
            tokio::select! {
                () = tokio::time::sleep(self.period() * percent / 100) => {}
                () = self.bell.notified() => tokio::time::sleep(SETTLE).await,
                () = self.moves_on() => {}
            }
            self.report().await;
        }
    }

    /// There is news at the store.
    pub fn heard(&self) {
        self.bell.notify_one();
    }

    /// This instance goes: the others need not wait until they miss it.
    pub async fn leave(&self) {
        *self.left.lock().await = true;
        if let Err(error) = self.parts.roster.leave(self.identity.id).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the others were not told that this instance goes"
            );
        }
    }

    fn period(&self) -> Duration {
        let others = self.parts.roster.picture().present.len().saturating_sub(1);
        PERIOD * u32::try_from(others / FEW + 1).unwrap_or(1)
    }

    /// Until this instance has got further with going away.
    async fn moves_on(&self) {
        match self.parts.drain.phase().next() {
            Some(next) => self.parts.drain.reached(next).await,
            None => std::future::pending().await,
        }
    }

    /// Tells the fleet what stands, if that has changed.
    fn obey(&self) {
        let mut obeyed = self.obeyed.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.parts.roster.version();
        if obeyed.version == Some(version) {
            return;
        }
        let drained: HashMap<Matter, Order> = self.orders().into_iter().map(|order| (order.matter, order)).collect();
        self.parts.fleet.obey(drained.keys().map(|matter| (matter.pool, matter.backend)).collect());
        for order in drained.values().filter(|order| !obeyed.drained.contains_key(&order.matter)) {
            tracing::info!(backend = %order.backend, pool = %order.pool, by = %order.by, "backend is drained, as ordered");
        }
        for order in obeyed.drained.values().filter(|order| !drained.contains_key(&order.matter)) {
            tracing::info!(backend = %order.backend, pool = %order.pool, "backend is in use again, as ordered");
        }
        *obeyed = Obeyed { version: Some(version), drained };
    }
}
