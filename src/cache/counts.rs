//! What is counted of the cache, beside what each answer had to do with it.

use crate::meter::Counter;

/// What the cache has done on this instance.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answers that came of a call which another request had made, and that waited for it.
    pub coalesced: Counter,
    /// Results that were kept.
    pub kept: Counter,
    /// Results that could not be: failures, too large, not for keeping by their own word.
    pub void: Counter,
    /// Orders to forget: purges, calls that change something, and what servers say of their changes.
    pub orders: Counter,
}
