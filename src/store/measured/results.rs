//! Results that instances share, timed.

use super::Measured;
use crate::store::results::shared::{Asking, Distant, Found, News, Order, Orders, Told, Work};
use crate::store::results::{Entry, Key, Tag};
use crate::store::{Answer, BoxFuture};

impl<S: Distant + ?Sized> Distant for Measured<S> {
    fn look<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
        Box::pin(self.pulse.time("look", self.store.look(key)))
    }

    fn claim<'a>(&'a self, key: &'a Key, asking: Asking) -> Answer<'a, Found> {
        Box::pin(self.pulse.time("claim", self.store.claim(key, asking)))
    }

    fn work<'a>(&'a self, works: &'a [(Key, Work)], now: u64) -> Answer<'a, ()> {
        Box::pin(self.pulse.time("work", self.store.work(works, now)))
    }

    fn forget<'a>(&'a self, tags: Option<&'a [Tag]>, known: Order) -> Answer<'a, Told> {
        Box::pin(self.pulse.time("forget", self.store.forget(tags, known)))
    }

    fn orders(&self, since: Order) -> Answer<'_, Orders> {
        Box::pin(self.pulse.time("orders", self.store.orders(since)))
    }

    /// Waiting for others is no operation.
    fn hear(&self) -> BoxFuture<'_, News> {
        self.store.hear()
    }
}
