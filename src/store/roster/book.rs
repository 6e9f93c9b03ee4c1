//! Orders in a map: every change as one pure step. Owns which order counts and what makes room. Knows nothing of
//! durability, nor of who reads it.

use std::collections::BTreeMap;

use super::{MOST_ORDERS, Matter, Order, Version, Wish};
use crate::store::StoreError;

/// The orders of one store, or as one instance knows them.
#[derive(Clone, Debug, Default)]
pub struct Book {
    orders: BTreeMap<Matter, Order>,
    version: Version,
}

impl Book {
    /// The orders that were written down.
    #[must_use]
    pub fn of(orders: impl IntoIterator<Item = Order>) -> Self {
        let mut book = Self::default();
        for order in orders {
            book.follow(order);
        }
        book
    }

    /// Takes an order that is given at `now` (milliseconds since 1970), after its own [`Order::at`]. The order as it counts.
    ///
    /// # Errors
    /// [`StoreError::BoundExceeded`].
    pub fn give(&mut self, order: Order, now: u64) -> Result<Order, StoreError> {
        order.check()?;
        let known = self.orders.get(&order.matter).map_or(0, |known| known.at);
        let after = known.max(order.at).saturating_add(1);
        let order = Order { at: now.max(after), ..order };
        if !self.learn(order.clone(), now) {
            return Err(StoreError::BoundExceeded { what: "orders that stand", limit: MOST_ORDERS });
        }
        Ok(order)
    }

    /// Takes an order that was given before, and is told at `now` (milliseconds since 1970). Whether it counts: no later one is
    /// known, and there is room.
    pub fn learn(&mut self, order: Order, now: u64) -> bool {
        let known = self.orders.get(&order.matter);
        let counts = known.map(|known| order.is_later(known));
        let counts = counts.unwrap_or_else(|| self.make_room());
        if counts {
            self.enter(order, now);
        }
        counts
    }

    /// Takes over what stands at the store that all share, unless a later one is known here. Of two that were given at the
    /// same moment, the store's counts.
    pub fn follow(&mut self, order: Order) {
        let known = self.orders.get(&order.matter);
        let counts = known.map(|known| !known.is_later(&order) && *known != order);
        if counts.unwrap_or_else(|| self.make_room()) {
            self.enter(order, 0);
        }
    }

    /// By the time, so that what comes after a loss is not taken for what was known before it.
    fn enter(&mut self, order: Order, now: u64) {
        self.version = Version(now.max(self.version.0 + 1));
        self.orders.insert(order.matter, order);
    }

    /// What is known on a matter.
    #[must_use]
    pub fn on(&self, matter: Matter) -> Option<&Order> {
        self.orders.get(&matter)
    }

    /// All orders, withdrawals included.
    pub fn all(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// How many matters there are orders on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether no order was ever given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Changes with every order.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The orders, for somebody who knows them up to `known`.
    #[must_use]
    pub fn news(&self, known: Option<Version>) -> Option<Vec<Order>> {
        (known != Some(self.version)).then(|| self.all().cloned().collect())
    }

    /// Forgets the oldest withdrawal if need be.
    fn make_room(&mut self) -> bool {
        if self.orders.len() < MOST_ORDERS {
            return true;
        }
        let withdrawn = self.all().filter(|order| order.wish == Wish::Serve);
        let oldest = withdrawn.min_by_key(|order| order.at).map(|order| order.matter);
        oldest.is_some_and(|matter| self.orders.remove(&matter).is_some())
    }
}
