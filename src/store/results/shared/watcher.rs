//! The task that keeps in step what was forgotten here and at the store: tells the store of orders that were given here,
//! hears of those that others gave, and asks what it has missed. Finds out whether the store is back. Answers nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{MissedTickBehavior, interval};

use super::{BELIEVED, Desk, Distant, News, Order, Told};
use crate::store::StoreError;
use crate::store::results::Tag;

/// Keeps the two in step.
struct Watcher {
    desk: Arc<Desk>,
    /// The newest order that is known here, with all before it.
    known: Order,
    /// Whether something went wrong that is to be done again soon.
    is_behind: bool,
}

/// Keeps the two in step, for ever.
pub(super) async fn watch(desk: Arc<Desk>) {
    let mut beat = interval(desk.pace.probe);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watcher = Watcher { desk: Arc::clone(&desk), known: Order::default(), is_behind: true };
    let mut beats = 0;
    loop {
        // What fails is counted by the breaker, and done again.
        tokio::select! {
            biased;
            _ = beat.tick() => {
                beats = (beats + 1) % desk.pace.poll;
                if beats == 0 || watcher.is_behind || desk.far.is_open() {
                    watcher.is_behind = watcher.tend().await.is_err();
                }
            }
            () = desk.pending.added(), if !watcher.is_behind => watcher.is_behind = watcher.tell().await.is_err(),
            news = desk.store().hear() => watcher.is_behind |= watcher.hear(news).await.is_err(),
        }
    }
}

impl Watcher {
    fn store(&self) -> &dyn Distant {
        self.desk.store()
    }

    /// Tells and asks all there is.
    async fn tend(&mut self) -> Result<(), StoreError> {
        self.tell().await?;
        self.catch_up().await?;
        if let Some(away) = self.desk.far.close() {
            tracing::info!(away_ms = away.as_millis(), "store of results is back, and what was forgotten is known");
        }
        Ok(())
    }

    /// Tells the store of the orders that were given here.
    async fn tell(&mut self) -> Result<(), StoreError> {
        let Some(telling) = self.desk.pending.take() else { return Ok(()) };
        let told = self.desk.far.try_anyway(self.store().forget(telling.tags.as_deref(), self.known)).await;
        let told = told.inspect_err(|_| self.desk.pending.was_not_told())?;
        let in_step = self.learn(told, telling.tags.as_deref().unwrap_or_default()).await;
        // Entered here it is, in step or not.
        self.desk.pending.was_told(&telling);
        in_step
    }

    /// Asks for the orders that are not known here.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let asked = self.desk.clock.micros();
        let orders = self.desk.far.try_anyway(self.store().orders(self.known)).await?;
        if orders.last < self.known {
            return self.mend().await;
        }
        let forgotten = self.desk.near.forgotten();
        orders.tags.iter().for_each(|(tag, order)| forgotten.learn(&[*tag], order.stamp()));
        forgotten.raise_floor(orders.floor.stamp());
        forgotten.learn(&[], orders.last.stamp());
        self.known = orders.last;
        let until = asked.saturating_add(u64::try_from(BELIEVED.as_micros()).unwrap_or(u64::MAX));
        self.desk.believed.store(until, Ordering::Relaxed);
        Ok(())
    }

    async fn hear(&mut self, news: News) -> Result<(), StoreError> {
        match news {
            News::Changed(key) => {
                self.desk.waiting.wake(&key);
                Ok(())
            }
            News::Forgotten(told, tags) => self.learn(told, &tags).await,
            News::Gap => {
                self.desk.waiting.wake_all();
                self.catch_up().await
            }
        }
    }

    /// Enters an order under the store's number, and sees whether any is missing before it.
    async fn learn(&mut self, told: Told, tags: &[Tag]) -> Result<(), StoreError> {
        let forgotten = self.desk.near.forgotten();
        forgotten.raise_floor(told.floor.stamp());
        forgotten.learn(tags, told.order.stamp());
        if told.order <= self.known {
            return Ok(());
        }
        if told.before > self.known {
            return self.catch_up().await;
        }
        let was_lost = told.before < self.known && told.floor < told.order;
        self.known = told.order;
        if was_lost { self.mend().await } else { Ok(()) }
    }

    /// The store has lost orders: whoever does not know them must not show anything from before.
    async fn mend(&mut self) -> Result<(), StoreError> {
        tracing::warn!("the store has lost what was forgotten: all results are forgotten");
        let told = self.desk.far.try_anyway(self.store().forget(None, self.known)).await?;
        let forgotten = self.desk.near.forgotten();
        forgotten.raise_floor(told.floor.stamp());
        self.known = told.order;
        Ok(())
    }
}
