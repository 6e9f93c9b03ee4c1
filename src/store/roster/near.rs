//! What one instance knows of the roster: who was there when the store last answered, and the orders. Owns what applies
//! while the store is away: the last picture stands, marked as old; orders that are given meanwhile hold here, and are told
//! when the store is back. A store that has lost orders is told of them again by whoever knows them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Book, MOST_ORDERS, Matter, Muster, Order, Present, Report, Roster, Version, Wish};
use crate::clock::Clock;
use crate::names::InstanceId;
use crate::store::StoreError;
use crate::store::far::{Away, Far};

/// What happens while the store is away.
const MEANWHILE: &str = "each instance goes by what it last knew of the others, and by the orders that it knows";

/// The roster as one instance knows it.
#[derive(Debug)]
pub struct Near {
    far: Far<dyn Roster>,
    clock: Clock,
    // Guards what the last answer said. Taken every few seconds, when an order is given, and when somebody looks.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    /// Up to where the store's orders are known; `None` if all are to be asked for and compared.
    known: Option<Version>,
    present: Vec<Present>,
    /// When the store said who is there.
    heard: Option<Instant>,
    /// Whether it has not answered since.
    is_old: bool,
    /// By how many milliseconds the store's clock is before this instance's.
    ahead: i64,
}

/// Who is there, and what stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// All that are there, by their ids. Their ages are as of now.
    pub present: Vec<Present>,
    /// Where the store does not answer: how long ago it did; zero if it never has. `None` where it has answered the last time.
    pub old: Option<Duration>,
}

/// An order that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The order, with the time by which it counts.
    pub order: Order,
    /// Whether the store has it. If not, it holds here, and is told when the store is back.
    pub is_told: bool,
}

impl Near {
    /// Before `far`, of which no call is waited for longer than `timeout`.
    #[must_use]
    pub fn new(far: Arc<dyn Roster>, timeout: Duration, clock: Clock) -> Self {
        Self { far: Far::new(far, timeout, clock.clone(), MEANWHILE), clock, state: Mutex::default() }
    }

    /// Says that this instance is there, and takes over what the store says. Where it does not answer, nothing changes but
    /// that the picture is old.
    pub async fn report(&self, id: InstanceId, card: &str, lasts: Duration) {
        let known = self.state().known;
        let report = Report { id, card, lasts, known, now: self.clock.unix_millis() };
        match self.far.try_anyway(self.far.store().report(report)).await {
            Ok(muster) => {
                let lacking = self.learn(muster);
                if let Some(away) = self.far.close() {
                    tracing::info!(away_ms = away.as_millis(), "store of the roster is back");
                }
                self.remind(lacking).await;
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "not reported");
                self.state().is_old = true;
            }
        }
    }

    /// Takes an order that is given now. It counts here when this answers, and everywhere if the store has it.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`] if too many stand. Not that the store is away.
    pub async fn order(&self, order: Order) -> Result<Given, StoreError> {
        let now = self.clock.unix_millis();
        let before = self.state().book.on(order.matter).map_or(0, |known| known.at);
        let order = Order { at: before, ..order };
        match self.far.ask(self.far.store().order(order.clone(), now)).await {
            Ok(order) => {
                let mut state = self.state();
                state.book.follow(order.clone());
                // A server that takes over may not have it.
                state.known = None;
                Ok(Given { order, is_told: true })
            }
            Err(StoreError::Unavailable { .. }) => {
                let mut state = self.state();
                // It may have been entered there though nobody has heard.
                state.known = None;
                let now = now.saturating_add_signed(state.ahead);
                Ok(Given { order: state.book.give(order, now)?, is_told: false })
            }
            Err(error) => Err(error),
        }
    }

    /// This instance goes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: its card falls by itself.
    pub async fn leave(&self, id: InstanceId) -> Result<(), StoreError> {
        if self.far.is_open() {
            return Err(Away::Open.into());
        }
        self.far.ask(self.far.store().leave(id)).await
    }

    /// Who is there, as far as it is known.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let state = self.state();
        let since = state.heard.map_or(Duration::ZERO, |heard| self.clock.now().saturating_duration_since(heard));
        let aged = |present: &Present| Present { age: present.age.saturating_add(since), ..present.clone() };
        let present = state.present.iter().map(aged).collect();
        Picture { present, old: (state.is_old || state.heard.is_none()).then_some(since) }
    }

    /// The orders, withdrawals included, as far as they are known.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        self.state().book.all().cloned().collect()
    }

    /// Changes whenever [`Self::orders`] do.
    #[must_use]
    pub fn version(&self) -> Version {
        self.state().book.version()
    }

    /// Takes over what the store says. The orders that it should know and does not.
    fn learn(&self, muster: Muster) -> Vec<Order> {
        let mut state = self.state();
        state.ahead = difference(muster.at, self.clock.unix_millis());
        (state.present, state.heard, state.is_old) = (muster.present, Some(self.clock.now()), false);
        let Some(theirs) = muster.orders else { return Vec::new() };
        let lacking = lacking(&state.book, &theirs);
        // What it is told now is looked for once more.
        state.known = lacking.is_empty().then_some(muster.version);
        for order in theirs {
            state.book.follow(order);
        }
        lacking
    }

    /// Tells the store what it does not know. What fails is done again with the next report.
    async fn remind(&self, lacking: Vec<Order>) {
        if lacking.is_empty() {
            return;
        }
        if self.far.try_anyway(self.far.store().remind(&lacking, self.clock.unix_millis())).await.is_ok() {
            tracing::info!(orders = lacking.len(), "the store was told of orders that it did not know");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves its value half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `mine` knows and `theirs` does not, and has room for. A store that is full has given up withdrawals on purpose.
fn lacking(mine: &Book, theirs: &[Order]) -> Vec<Order> {
    let known: HashMap<Matter, &Order> = theirs.iter().map(|order| (order.matter, order)).collect();
    let has_room = theirs.len() < MOST_ORDERS;
    let makes_room = theirs.iter().any(|order| order.wish == Wish::Serve);
    let lacks = |order: &&Order| match known.get(&order.matter) {
        Some(theirs) => order.is_later(theirs),
        None => has_room || makes_room && order.wish == Wish::Drain,
    };
    mine.all().filter(lacks).cloned().collect()
}

/// By how much more `one` is.
fn difference(one: u64, other: u64) -> i64 {
    let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    signed(one).saturating_sub(signed(other))
}

#[cfg(test)]
mod tests;
