//! What is done at the store in the background: results that are kept, rights that are given back, and saying of those that
//! are held that they are. One task does it all, one thing after the other. Nobody waits for it; what does not fit is not
//! done: a result that is not kept there is fetched once more, and a right that is not given back falls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::{Desk, Work};
use crate::store::results::{Entry, Held, Key, RightId};

/// Things that may wait to be done.
const WAITING: usize = 8192;
/// Of these, so many places are for rights to be given back alone.
const RESERVED: usize = WAITING / 2;
/// What results that wait may take together, in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// A result over this is not kept at the store.
const LARGEST: u64 = 8 << 20;
/// Things that are done at once,
const AT_ONCE: usize = 32;
/// and how many bytes of results, but for the last: few enough that nobody else waits for the store noticeably.
const BYTES_AT_ONCE: u64 = 1 << 20;
/// Rights that are renewed at once.
const RENEWED: usize = 256;

/// What waits to be done, and the rights that this instance holds.
#[derive(Debug)]
pub(super) struct Works {
    queue: mpsc::Sender<(Key, Work)>,
    /// Bytes of the results in it.
    bytes: AtomicU64,
    /// A shard is held for one insertion or removal. Bounded by the calls under way.
    pub(super) held: DashMap<RightId, Key>,
}

/// Where it arrives.
pub(super) type Queue = mpsc::Receiver<(Key, Work)>;

impl Works {
    /// A way for works, and its other end.
    pub fn new() -> (Self, Queue) {
        let (queue, receiver) = mpsc::channel(WAITING);
        (Self { queue, bytes: AtomicU64::new(0), held: DashMap::new() }, receiver)
    }

    /// Has something done, if there is room for that.
    pub fn put(&self, key: Key, work: Work) {
        let _ = self.queue.try_send((key, work));
    }

    /// Has a result kept. Where that cannot be, whoever waits for it goes on by himself.
    pub fn keep(&self, key: Key, entry: Arc<Entry>, right: Option<RightId>) {
        let size = entry.result.len() as u64;
        let has_room = size <= LARGEST
            && self.queue.capacity() > RESERVED
            && self.bytes.load(Ordering::Relaxed).saturating_add(size) <= MOST_BYTES;
        if has_room {
            self.bytes.fetch_add(size, Ordering::Relaxed);
            if self.queue.try_send((key, Work::Keep(entry, right))).is_err() {
                self.bytes.fetch_sub(size, Ordering::Relaxed);
            }
        } else if let Some(right) = right {
            self.put(key, Work::Void(right));
        }
    }
}

/// A right that was asked for, or is held. Given back when it is dropped.
pub(super) struct Right {
    desk: Arc<Desk>,
    key: Key,
    /// Its name.
    pub id: RightId,
    is_open: bool,
}

impl Right {
    /// A right that is about to be asked for.
    pub fn new(desk: &Arc<Desk>, key: Key) -> Self {
        let id = RightId(desk.rights.fetch_add(1, Ordering::Relaxed));
        Self { desk: Arc::clone(desk), key, id, is_open: true }
    }

    /// It was given: from now on it is renewed.
    pub fn given(self) -> Self {
        self.desk.works.held.insert(self.id, self.key);
        self
    }

    /// It was certainly not given.
    pub fn was_not_given(mut self) {
        self.is_open = false;
    }

    fn end(&mut self) {
        self.is_open = false;
        self.desk.works.held.remove(&self.id);
    }
}

impl Held for Right {
    fn is_void(mut self: Box<Self>) {
        self.end();
        self.desk.works.put(self.key, Work::Void(self.id));
    }

    fn hand_over(mut self: Box<Self>) -> RightId {
        self.end();
        self.id
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        if self.is_open {
            self.end();
            self.desk.works.put(self.key, Work::Release(self.id));
        }
    }
}

impl std::fmt::Debug for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Right").field("key", &self.key).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Does what is to be done, for ever.
pub(super) async fn keep(desk: Arc<Desk>, mut queue: Queue) {
    let (mut renewal, mut batch) = (interval(desk.pace.renewal), Vec::with_capacity(AT_ONCE));
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = renewal.tick() => desk.renew().await,
            _ = queue.recv_many(&mut batch, AT_ONCE) => {
                for some in parts(&batch) {
                    desk.work(some).await;
                }
                desk.works.bytes.fetch_sub(batch.iter().map(size).sum(), Ordering::Relaxed);
                batch.clear();
            }
        }
    }
}

fn size((_, work): &(Key, Work)) -> u64 {
    if let Work::Keep(entry, _) = work { entry.result.len() as u64 } else { 0 }
}

/// All of them in order, in parts that are not too large.
fn parts(works: &[(Key, Work)]) -> impl Iterator<Item = &[(Key, Work)]> {
    let mut bytes = 0;
    works.chunk_by(move |one, _| {
        bytes += size(one);
        let goes_on = bytes < BYTES_AT_ONCE;
        if !goes_on {
            bytes = 0;
        }
        goes_on
    })
}

impl Desk {
    /// Does some things. What fails is counted by the breaker, and not done again.
    async fn work(&self, works: &[(Key, Work)]) {
        let done = self.far.ask_at_length(self.store().work(works, self.near.now())).await;
        if let Err(error) = done {
            tracing::debug!(error = &error as &dyn std::error::Error, "results were not kept");
        }
    }

    /// Says of all rights that are held that they are.
    async fn renew(&self) {
        let held: Vec<(Key, Work)> =
            self.works.held.iter().map(|held| (*held.value(), Work::Renew(*held.key()))).collect();
        for some in held.chunks(RENEWED) {
            self.work(some).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::results::contract::{entry, key};
    use crate::store::results::near::Near;

    fn result(size: usize) -> Arc<Entry> {
        Arc::new(entry(&Near::new(1 << 20, Clock::manual()), 0, &"x".repeat(size), &[]))
    }

    #[tokio::test]
    async fn results_beyond_the_bounds_are_not_kept_and_rights_are_given_back_though() {
        let (works, mut queue) = Works::new();
        let (large, most) = (result(8 << 20), usize::try_from(MOST_BYTES >> 23).unwrap());
        (0..=most).for_each(|n| works.keep(key(n as u64), Arc::clone(&large), Some(RightId(n as u64))));
        for _ in 0..most {
            assert!(matches!(queue.recv().await, Some((_, Work::Keep(..)))));
        }
        let void = RightId(most as u64);
        assert!(matches!(queue.recv().await, Some((_, Work::Void(right))) if right == void));
        let (works, queue) = Works::new();
        let small = result(1);
        for n in 0..WAITING as u64 {
            works.keep(key(n), Arc::clone(&small), None);
        }
        works.put(key(0), Work::Release(RightId(1)));
        assert_eq!(queue.len(), WAITING - RESERVED + 1);
    }

    #[test]
    fn much_is_done_in_parts_and_little_in_one() {
        let lengths = |sizes: &[usize]| -> Vec<usize> {
            let works: Vec<_> = sizes.iter().map(|size| (key(1), Work::Keep(result(*size), None))).collect();
            parts(&works).map(<[_]>::len).collect()
        };
        assert_eq!(lengths(&[10; 30]), [30]);
        assert_eq!(lengths(&[600_000, 600_000, 600_000, 600_000, 10]), [2, 2, 1]);
        assert_eq!(lengths(&[10, 5 << 20, 10]), [2, 1]);
        assert_eq!(lengths(&[]), [0; 0]);
    }
}
