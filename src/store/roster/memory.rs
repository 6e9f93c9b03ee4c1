//! A roster in this process's memory. Owns nothing but the maps: a restart forgets them all.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Book, MOST_INSTANCES, Muster, Order, Present, Report, Roster};
use crate::names::InstanceId;
use crate::store::{Answer, StoreError};

/// A roster in memory.
#[derive(Debug, Default)]
pub struct Memory {
    // Guards a handful of cards and orders. Taken every few seconds by each instance, and when an order is given.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cards: BTreeMap<InstanceId, Card>,
    book: Book,
}

#[derive(Debug)]
struct Card {
    text: Arc<str>,
    /// When it was written and until when it counts, in milliseconds since 1970.
    written: u64,
    until: u64,
}

impl Memory {
    /// A roster on which these orders stand.
    #[must_use]
    pub fn with(book: Book) -> Self {
        Self { state: Mutex::new(State { cards: BTreeMap::new(), book }) }
    }

    /// The orders.
    #[must_use]
    pub fn book(&self) -> Book {
        self.state().book.clone()
    }

    /// Writes a card and says who is there.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`] for a card that is too large.
    pub fn muster(&self, report: &Report<'_>) -> Result<Muster, StoreError> {
        report.check()?;
        let now = report.now;
        let mut state = self.state();
        let until = now.saturating_add(u64::try_from(report.lasts.as_millis()).unwrap_or(u64::MAX));
        state.cards.insert(report.id, Card { text: report.card.into(), written: now, until });
        state.cards.retain(|_, card| card.until > now);
        while state.cards.len() > MOST_INSTANCES {
            let others = state.cards.iter().filter(|(id, _)| **id != report.id);
            let Some(quietest) = others.min_by_key(|(_, card)| card.written).map(|(id, _)| *id) else { break };
            state.cards.remove(&quietest);
        }
        let age = |card: &Card| Duration::from_millis(now.saturating_sub(card.written));
        let present =
            |(id, card): (&InstanceId, &Card)| Present { id: *id, card: Arc::clone(&card.text), age: age(card) };
        Ok(Muster {
            at: now,
            present: state.cards.iter().map(present).collect(),
            version: state.book.version(),
            orders: state.book.news(report.known),
        })
    }

    /// Takes an order that is given at `now` (milliseconds since 1970). The order as it counts.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`].
    pub fn give(&self, order: Order, now: u64) -> Result<Order, StoreError> {
        self.state().book.give(order, now)
    }

    /// Takes orders that were given before, and are told at `now` (milliseconds since 1970). Whether any counts.
    pub fn learn(&self, orders: &[Order], now: u64) -> bool {
        let book = &mut self.state().book;
        let counting = orders.iter().filter(|order| book.learn((*order).clone(), now));
        counting.count() > 0
    }

    /// An instance goes.
    pub fn strike(&self, id: InstanceId) {
        self.state().cards.remove(&id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves its value half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roster for Memory {
    fn report<'a>(&'a self, report: Report<'a>) -> Answer<'a, Muster> {
        Box::pin(ready(self.muster(&report)))
    }

    fn order(&self, order: Order, now: u64) -> Answer<'_, Order> {
        Box::pin(ready(self.give(order, now)))
    }

    fn remind<'a>(&'a self, orders: &'a [Order], now: u64) -> Answer<'a, ()> {
        self.learn(orders, now);
        Box::pin(ready(Ok(())))
    }

    fn leave(&self, id: InstanceId) -> Answer<'_, ()> {
        self.strike(id);
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::roster::contract;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_keeps_the_contract() {
        contract::suite(async || Arc::new(Memory::default()) as Arc<dyn Roster>).await;
    }
}
