//! Results that several instances share: each has its own first level, and behind it one store that is common to all.
//! Owns who leads a call among the instances, and what applies while the store is away: the first level alone. Speaks no
//! store's language.

mod distant;
mod keeper;
mod pending;
#[cfg(test)]
mod tests;
mod waiting;
mod watcher;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::distant::{Asking, Distant, Found, News, Order, Orders, Told, Work};
pub(crate) use self::distant::{LEASE, VOID};
use self::keeper::{Right, Works};
use self::pending::Pending;
use self::waiting::Waiting;
use super::near::Near;
use super::{Claim, Entry, Key, Lead, Results, RightId, Stamp, Tag, Usage};
use crate::clock::{Chance, Clock};
use crate::store::far::{Away, Far};
use crate::store::{Answer, BoxFuture, StoreError};
use crate::tasks::{self, Task};

/// What happens while the store is away.
const MEANWHILE: &str = "each instance keeps results for itself";
/// What the store says of results is believed for so long after it has said last what was forgotten.
const BELIEVED: Duration = Duration::from_secs(3);
/// Whoever waits asks again after so long, should nobody tell him. Doubled each time up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest wait until it is asked again.
const LONGEST: Duration = Duration::from_millis(250);
/// How long a caller waits for an order to be told, in store timeouts.
const PATIENCE: u32 = 2;

/// How often the store is looked after.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// While it is away it is asked so often whether it is back.
    probe: Duration,
    /// After so many times of that it is asked what was forgotten, should news have been lost.
    poll: u32,
    /// So often it is told that rights are held: twice within a lease, and once more.
    renewal: Duration,
}

const PACE: Pace = Pace { probe: Duration::from_millis(250), poll: 4, renewal: Duration::from_millis(600) };

/// Results in two levels.
pub struct Shared {
    desk: Arc<Desk>,
    _background: [Task; 2],
}

/// All but the tasks.
struct Desk {
    near: Near,
    far: Far<dyn Distant>,
    clock: Clock,
    timeout: Duration,
    pace: Pace,
    rights: AtomicU64,
    works: Works,
    waiting: Waiting,
    pending: Pending,
    /// Until when the store's results are believed, in the clock's microseconds.
    believed: AtomicU64,
}

impl Shared {
    /// Stands before `far` with `near`, both by `clock`. `timeout` is the store's. Needs a runtime, on which its two tasks
    /// live until this is dropped.
    #[must_use]
    pub fn start(far: Arc<dyn Distant>, near: Near, timeout: Duration, clock: Clock) -> Self {
        Self::start_at(PACE, (far, near), timeout, clock)
    }

    fn start_at(pace: Pace, (far, near): (Arc<dyn Distant>, Near), timeout: Duration, clock: Clock) -> Self {
        let (works, queue) = Works::new();
        let desk = Arc::new(Desk {
            near,
            far: Far::new(far, timeout, clock.clone(), MEANWHILE),
            clock,
            timeout,
            pace,
            // By chance, so that no two instances name the same.
            rights: AtomicU64::new(Chance::system().next()),
            works,
            waiting: Waiting::default(),
            pending: Pending::default(),
            believed: AtomicU64::new(0),
        });
        let keeper = tasks::spawn("results keeper", keeper::keep(Arc::clone(&desk), queue));
        let watcher = tasks::spawn("results watcher", watcher::watch(Arc::clone(&desk)));
        Self { desk, _background: [keeper, watcher] }
    }

    /// Whether the first level is alone at the moment: the store does not answer, or has not said of late what was forgotten.
    #[must_use]
    pub fn is_away(&self) -> bool {
        !self.desk.is_believed()
    }
}

impl Desk {
    fn store(&self) -> &dyn Distant {
        self.far.store()
    }

    /// Whether the store may be asked for results: it answers, and what was forgotten is known.
    fn is_believed(&self) -> bool {
        !self.far.is_open() && self.clock.micros() < self.believed.load(Ordering::Relaxed)
    }

    async fn peek(&self, key: &Key) -> Option<Arc<Entry>> {
        let is_fresh = |entry: &Arc<Entry>| entry.is_fresh(self.near.now());
        if let Some(entry) = self.near.look(key).filter(is_fresh) {
            return Some(entry);
        }
        if !self.is_believed() {
            return None;
        }
        let found = self.far.ask(self.store().look(key)).await.ok()??;
        self.accept(key, found).filter(is_fresh)
    }

    async fn claim(self: &Arc<Self>, key: &Key) -> Claim {
        let stale = match self.near.look(key) {
            Some(entry) if entry.is_fresh(self.near.now()) => return Claim::Here(entry),
            stale => stale,
        };
        if !self.is_believed() {
            return Claim::Lead(Lead::alone(stale));
        }
        // Should nobody wait for the answer any more, or none come, it is given back.
        let right = Right::new(self, *key);
        match self.ask(key, right.id, None).await {
            Ok(Found::Here(entry)) => {
                let order = Order::of(entry.stamp);
                match self.accept(key, entry) {
                    Some(entry) => {
                        right.was_not_given();
                        Claim::Here(entry)
                    }
                    None => self.claim_again(key, right, order).await,
                }
            }
            found => self.claimed(key, right, found, stale),
        }
    }

    /// Asks for the right to a call whose result in the store is forgotten.
    async fn claim_again(self: &Arc<Self>, key: &Key, right: Right, unwanted: Order) -> Claim {
        let found = self.ask(key, right.id, Some(unwanted)).await;
        self.claimed(key, right, found, None)
    }

    async fn ask(&self, key: &Key, right: RightId, unwanted: Option<Order>) -> Result<Found, StoreError> {
        let asking = Asking { right, lasts: LEASE, now: self.near.now(), unwanted };
        self.far.ask(self.store().claim(key, asking)).await
    }

    fn claimed(&self, key: &Key, right: Right, found: Result<Found, StoreError>, near: Option<Arc<Entry>>) -> Claim {
        let claim = match found {
            Ok(Found::Yours(entry)) => {
                return Claim::Lead(Lead::held(self.newer(key, entry, near), Box::new(right.given())));
            }
            // It may have been given though nobody has heard: so it is given back.
            Err(_) => return Claim::Lead(Lead::alone(near)),
            Ok(Found::Here(entry)) => match self.accept(key, entry) {
                Some(entry) => Claim::Here(entry),
                None => Claim::Lead(Lead::alone(near)),
            },
            Ok(Found::Theirs(entry)) => Claim::Theirs(self.newer(key, entry, near)),
            Ok(Found::Void) => Claim::Alone,
            Ok(Found::Unsaid) => Claim::Lead(Lead::alone(near)),
        };
        right.was_not_given();
        claim
    }

    /// Of two results that are stale, the store's and one's own, the newer one that may be shown.
    fn newer(&self, key: &Key, far: Option<Entry>, near: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        let newer = far.filter(|far| near.as_ref().is_none_or(|near| far.stored > near.stored));
        newer.and_then(|entry| self.accept(key, entry)).or(near)
    }

    /// Takes a result of the store over into the first level, if it may be shown.
    fn accept(&self, key: &Key, mut entry: Entry) -> Option<Arc<Entry>> {
        let forgotten = self.near.forgotten();
        // An order that is given here from now on is newer. (One of the store's that this instance does not know yet would
        // make the result look newer than it.)
        entry.stamp = entry.stamp.min(forgotten.newest());
        let is_good = !self.pending.has(&entry.tags) && forgotten.is_good(&entry.tags, entry.stamp);
        if !is_good || !entry.is_usable(self.near.now()) {
            return None;
        }
        let entry = Arc::new(entry);
        self.near.put(*key, Arc::clone(&entry));
        Some(entry)
    }

    async fn wait(self: &Arc<Self>, key: &Key, within: Duration) -> Claim {
        let waits = self.waiting.enter(*key);
        let deadline = tokio::time::sleep(within);
        tokio::pin!(deadline);
        let mut pause = SHORTEST;
        loop {
            let changed = waits.changed();
            tokio::pin!(changed);
            // From now on no news are missed.
            changed.as_mut().enable();
            let stale = match self.claim(key).await {
                Claim::Theirs(stale) => stale,
                claim => return claim,
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(pause) => {}
                () = &mut deadline => return Claim::Theirs(stale),
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Keeps a result here at once, and has it kept there.
    fn keep(&self, key: Key, entry: Arc<Entry>, right: Option<RightId>) {
        let is_good = self.near.forgotten().is_good(&entry.tags, entry.stamp);
        if is_good {
            self.near.put(key, Arc::clone(&entry));
            self.works.keep(key, entry, right);
        } else if let Some(right) = right {
            self.works.put(key, Work::Release(right));
        }
    }

    /// Forgets here. The number by which it is known whether the store was told.
    fn forget(&self, tags: &[Tag]) -> u64 {
        self.pending.add(tags, || {
            self.near.forget(tags);
        })
    }

    async fn forget_everywhere(&self, tags: &[Tag]) -> Result<(), StoreError> {
        let number = self.forget(tags);
        if self.far.is_open() {
            return Err(Away::Open.into());
        }
        let told = tokio::time::timeout(self.timeout * PATIENCE, self.pending.told(number));
        told.await.map_err(|_| Away::Slow.into())
    }
}

impl Results for Shared {
    fn is_shared(&self) -> bool {
        self.desk.is_believed()
    }

    fn is_good(&self, entry: &Entry) -> bool {
        self.desk.near.is_good(entry)
    }

    fn look(&self, key: &Key) -> Option<Arc<Entry>> {
        self.desk.near.look(key)
    }

    fn stamp(&self) -> Stamp {
        self.desk.near.stamp()
    }

    fn peek<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Option<Arc<Entry>>> {
        Box::pin(self.desk.peek(key))
    }

    fn claim<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Claim> {
        Box::pin(self.desk.claim(key))
    }

    fn wait<'a>(&'a self, key: &'a Key, within: Duration) -> BoxFuture<'a, Claim> {
        Box::pin(self.desk.wait(key, within))
    }

    fn keep(&self, key: Key, entry: Entry, lead: Option<Lead>) {
        self.desk.keep(key, Arc::new(entry), lead.and_then(Lead::hand_over));
    }

    fn forget(&self, tags: &[Tag]) {
        self.desk.forget(tags);
    }

    fn forget_everywhere<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()> {
        Box::pin(self.desk.forget_everywhere(tags))
    }

    fn usage(&self) -> Usage {
        self.desk.near.usage()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("usage", &self.usage()).field("away", &self.is_away()).finish_non_exhaustive()
    }
}
