//! Numbers that many threads add to: each thread has its own copy, made at its first use, and only whoever reads them all adds
//! them up. It knows nothing of what the numbers mean.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Copies at most. Where more threads add, some share a copy: slower, and as right.
const SHARDS: usize = 16;

/// The place of the next thread that asks for one.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which copy this thread adds to, of everything that is sharded.
    static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// One copy of `T` for each thread that adds to it.
#[derive(Debug)]
pub struct Sharded<T> {
    shards: [OnceLock<Box<Padded<T>>>; SHARDS],
}

/// Two cache lines at least, since processors fetch them in pairs: no two threads write into the same.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> Sharded<T> {
    /// The copy of this thread.
    #[must_use]
    pub fn mine(&self) -> &T {
        let place = MINE.with(|mine| *mine);
        &self.shards[place].get_or_init(Box::default).0
    }

    /// All copies that were made, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().filter_map(OnceLock::get).map(|padded| &padded.0)
    }
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| OnceLock::new()) }
    }
}
