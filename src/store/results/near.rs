//! The first level: results in this instance's memory. Owns its bound, in bytes, and what is dropped when it is reached.
//! All that a lone instance needs. Asks nobody.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use smallvec::SmallVec;

use super::forgotten::Forgotten;
use super::{Claim, Entry, Key, Lead, Results, Stamp, Tag, Usage};
use crate::clock::Clock;
use crate::meter::Counter;
use crate::store::{Answer, BoxFuture};

/// What a result takes beside its own bytes: what is said of it (160 bytes), the counts of its bytes (32), the header that
/// stands before them in a second level (97), and what the allocator adds.
const BESIDE: u64 = 320;
/// No result counts for less, so that there are not so many small ones that the index outgrows its part.
const LEAST: u64 = 512;
/// The part of the memory that the index has: one in so many. A place in it takes 64 bytes, twice that while it grows, a
/// result has one, and there are remembered (without their results) as many more as [`USUAL`] ones would be by half.
const INDEX_PART: u64 = 4;
/// A usual result, with all that it takes. Only what is remembered of those that were dropped goes by it.
const USUAL: u64 = 2048;
/// A single result takes one in so many of all bytes at most.
const LARGEST_PART: u64 = 8;
/// Each shard of the index has so many bytes to look after, or more.
const SHARD: u64 = 8 << 20;
/// And there are no more shards than this.
const SHARDS: u64 = 64;

/// Results in this instance's memory.
pub struct Near {
    /// Sharded, and bounded by weight; dropped is what was asked for least of late (CLOCK-Pro, Jiang, Chen and Zhang 2005). A
    /// shard is locked for one look, which others may share, or one insertion.
    kept: Cache<Key, Arc<Entry>, Weight, DefaultHashBuilder, Dropping>,
    forgotten: Forgotten,
    /// What a single result may weigh.
    largest: u64,
    most: u64,
    dropped: Arc<Counter>,
    clock: Clock,
}

/// Counts what has to make room.
#[derive(Clone, Debug)]
struct Dropping(Arc<Counter>);

impl Lifecycle<Key, Arc<Entry>> for Dropping {
    /// What was dropped: it is let go of when no shard is locked any more.
    type RequestState = SmallVec<[Arc<Entry>; 2]>;

    fn on_evict(&self, state: &mut Self::RequestState, _key: Key, entry: Arc<Entry>) {
        self.0.increment();
        state.push(entry);
    }
}

/// How much a result takes, in bytes.
#[derive(Clone, Copy, Debug)]
struct Weight;

impl Weighter<Key, Arc<Entry>> for Weight {
    fn weight(&self, _key: &Key, entry: &Arc<Entry>) -> u64 {
        weight(entry)
    }
}

fn weight(entry: &Entry) -> u64 {
    let tags = if entry.tags.spilled() { entry.tags.capacity() * size_of::<Tag>() } else { 0 };
    (BESIDE + entry.result.len() as u64 + tags as u64).max(LEAST)
}

impl Near {
    /// Keeps results of `most_bytes` together, all included but for a fixed table of a MiB. Results over an eighth of that are
    /// not kept.
    #[must_use]
    pub fn new(most_bytes: u64, clock: Clock) -> Self {
        let room = most_bytes - most_bytes / INDEX_PART;
        let shards = (room / SHARD).clamp(1, SHARDS);
        // Rounded down to a power of two: the index would round it up.
        let shards = 1 << shards.ilog2();
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .estimated_items_capacity(usize::try_from(room / USUAL).unwrap_or(usize::MAX))
            .weight_capacity(room)
            .build()
            .expect("both capacities are set");
        let dropped = Arc::<Counter>::default();
        let kept = Cache::with_options(options, Weight, DefaultHashBuilder::default(), Dropping(Arc::clone(&dropped)));
        let largest = (room / LARGEST_PART).min(kept.shard_capacity() / 2);
        Self { kept, forgotten: Forgotten::new(), largest, most: most_bytes, dropped, clock }
    }

    /// What was forgotten.
    pub(super) const fn forgotten(&self) -> &Forgotten {
        &self.forgotten
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.clock.unix_millis()
    }

    /// Keeps a result that others hold too.
    pub(super) fn put(&self, key: Key, entry: Arc<Entry>) {
        if !self.is_good(&entry) {
            return;
        }
        if weight(&entry) <= self.largest {
            self.kept.insert(key, entry);
        } else {
            // What stands there is out of date.
            self.kept.remove(&key);
        }
    }
}

impl Results for Near {
    fn is_shared(&self) -> bool {
        false
    }

    fn is_good(&self, entry: &Entry) -> bool {
        self.forgotten.is_good(&entry.tags, entry.stamp)
    }

    fn look(&self, key: &Key) -> Option<Arc<Entry>> {
        let entry = self.kept.get(key)?;
        if self.is_good(&entry) && entry.is_usable(self.now()) {
            return Some(entry);
        }
        // Not what somebody has put there meanwhile.
        self.kept.remove_if(key, |there| Arc::ptr_eq(there, &entry));
        None
    }

    fn stamp(&self) -> Stamp {
        self.forgotten.newest()
    }

    fn peek<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Option<Arc<Entry>>> {
        Box::pin(ready(self.look(key).filter(|entry| entry.is_fresh(self.now()))))
    }

    fn claim<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Claim> {
        let claim = match self.look(key) {
            Some(entry) if entry.is_fresh(self.now()) => Claim::Here(entry),
            stale => Claim::Lead(Lead::alone(stale)),
        };
        Box::pin(ready(claim))
    }

    fn wait<'a>(&'a self, key: &'a Key, _within: Duration) -> BoxFuture<'a, Claim> {
        self.claim(key)
    }

    fn keep(&self, key: Key, entry: Entry, _lead: Option<Lead>) {
        self.put(key, Arc::new(entry));
    }

    fn forget(&self, tags: &[Tag]) {
        self.forgotten.forget(tags);
    }

    fn forget_everywhere<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()> {
        self.forget(tags);
        Box::pin(ready(Ok(())))
    }

    fn usage(&self) -> Usage {
        let index = self.kept.memory_used();
        let index = index.entries as u64 + index.map as u64;
        Usage {
            entries: self.kept.len(),
            bytes: self.kept.weight() + index,
            most: self.most,
            dropped: self.dropped.get(),
        }
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
