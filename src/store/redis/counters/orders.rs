//! What is done for counters in the background: corrections, slots that are given back, and saying of those that are held
//! that they are. One task does it all, one thing after the other, so that no slot is said to be held after it was given
//! back. Nobody waits for it; what does not fit is dropped and said so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::super::keyspace::Names;
use super::super::routes::Line;
use super::super::script::Ask;
use super::held::Held;
use super::spelling;
use crate::store::counters::{Charge, Micros, SlotId};

/// Orders that may wait, and as many that may wait to be tried again.
const WAITING: usize = 16_384;
/// Orders that are sent at once: few enough that nobody else waits for the server noticeably.
const AT_ONCE: usize = 256;
/// How often it is said of slots that they are held: twice within a lease, and once more.
const RENEWAL: Duration = Duration::from_secs(5);
/// Slots of one counter that one script renews.
const RENEWED: usize = 256;
/// What was not done is tried again after so long,
const PAUSE: Duration = Duration::from_millis(250);
/// and so often: for a minute.
const TRIES: u8 = 240;

/// One thing to be done.
#[derive(Debug)]
pub(super) struct Order {
    /// What is sent.
    pub ask: Ask,
    /// Whether twice is as good as once.
    is_idempotent: bool,
    tries: u8,
    /// Ends when it was done, or could not be at first.
    heard: Option<oneshot::Sender<()>>,
}

impl Order {
    const fn new(ask: Ask, is_idempotent: bool, tries: u8) -> Self {
        Self { ask, is_idempotent, tries, heard: None }
    }

    /// Charges `actual` instead of what was charged.
    pub fn correct(names: &Names, charge: &Charge, at: Micros, actual: u64) -> Self {
        Self::new(spelling::correct(names, charge, at, actual), false, 0)
    }

    /// Gives a slot back.
    pub fn release(names: &Names, charge: &Charge, slot: SlotId) -> Self {
        Self::new(spelling::release(names, charge, slot), true, 0)
    }

    /// Says of slots that they are held. If this is not heard the next renewal will be.
    pub fn renew(names: &Names, charge: &Charge, slots: &[SlotId]) -> Self {
        Self::new(spelling::renew(names, charge, slots), true, TRIES)
    }
}

/// Where orders are given.
#[derive(Debug)]
pub(super) struct Orders {
    queue: mpsc::Sender<Order>,
    dropped: Arc<AtomicU64>,
}

/// Where they arrive.
pub(super) struct Queue {
    orders: mpsc::Receiver<Order>,
    dropped: Arc<AtomicU64>,
}

impl Orders {
    /// A way for orders, and its other end.
    pub fn new() -> (Self, Queue) {
        let (sender, orders) = mpsc::channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        (Self { queue: sender, dropped: Arc::clone(&dropped) }, Queue { orders, dropped })
    }

    /// Gives an order; gives it back where too many wait.
    pub fn put(&self, order: Order) -> Result<(), Order> {
        self.queue.try_send(order).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order) => order,
        })
    }

    /// Gives an order, and waits until it has been tried. Done in any case, whether or not this is waited for; gives it
    /// back where too many wait.
    pub fn put_and_hear(&self, mut order: Order) -> Result<oneshot::Receiver<()>, Order> {
        let (sender, heard) = oneshot::channel();
        order.heard = Some(sender);
        self.put(order).map(|()| heard)
    }

    /// Gives an order; drops it where too many wait.
    pub fn put_or_drop(&self, order: Order) {
        if self.put(order).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Does what is ordered.
pub(super) struct Keeper {
    line: Arc<Line>,
    names: Names,
    held: Arc<Held>,
    queue: Queue,
    /// What could not be done, and may be tried again.
    again: VecDeque<Order>,
}

impl Keeper {
    pub const fn new(line: Arc<Line>, names: Names, held: Arc<Held>, queue: Queue) -> Self {
        Self { line, names, held, queue, again: VecDeque::new() }
    }

    /// Does it until nobody can give an order any more.
    pub async fn run(mut self) {
        let (mut renewal, mut batch) = (interval(RENEWAL), Vec::with_capacity(AT_ONCE));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = interval(PAUSE);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = renewal.tick() => self.renew().await,
                _ = retry.tick(), if !self.again.is_empty() => {
                    batch.extend(self.again.drain(..AT_ONCE.min(self.again.len())));
                    self.deliver(&mut batch).await;
                }
                count = self.queue.orders.recv_many(&mut batch, AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    self.deliver(&mut batch).await;
                }
            }
        }
    }

    async fn deliver(&mut self, batch: &mut Vec<Order>) {
        let (asks, about): (Vec<Ask>, Vec<_>) =
            batch.drain(..).map(|order| (order.ask, (order.is_idempotent, order.tries, order.heard))).unzip();
        let answers = self.line.ask_all(&asks).await;
        // Those who wait to hear of it do so when `heard` is dropped.
        for ((ask, (is_idempotent, tries, _heard)), answer) in asks.into_iter().zip(about).zip(answers) {
            let Err(trouble) = answer else { continue };
            // A correction that may have been made must not be made twice.
            if tries < TRIES && (is_idempotent || trouble.is_undone()) && self.again.len() < WAITING {
                self.again.push_back(Order::new(ask, is_idempotent, tries + 1));
            } else {
                self.queue.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Says of all slots that are held that they are, and how much was dropped of late.
    async fn renew(&mut self) {
        let held = self.held.all(RENEWED);
        for some in held.chunks(AT_ONCE) {
            let asks: Vec<Ask> =
                some.iter().map(|(charge, slots)| spelling::renew(&self.names, charge, slots)).collect();
            // Whoever is not heard is heard the next time, or is away.
            drop(self.line.ask_all(&asks).await);
        }
        let dropped = self.queue.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "limits were not corrected: the store does not take as much, or does not answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::counters::{Budget, BudgetId, Measure, Subject};

    #[test]
    fn what_does_not_fit_is_given_back_or_dropped() {
        let budget = Budget { id: BudgetId(1), name: "calls".into(), measure: Measure::Slots(9), block: None };
        let charge = Charge { budget: Arc::new(budget), subject: Subject(1), cost: 1 };
        let order = || Order::release(&Names::new("p", 0), &charge, SlotId(1));
        let (orders, queue) = Orders::new();
        assert!((0..WAITING).all(|_| orders.put(order()).is_ok()));
        assert!(orders.put(order()).is_err());
        orders.put_or_drop(order());
        assert_eq!(orders.dropped.load(Ordering::Relaxed), 1);
        drop(queue);
        assert!(orders.put(order()).is_err());
    }
}
