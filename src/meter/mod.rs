//! Instruments: what any part of the program counts and times itself with. To count is an atomic that no other thread writes to; only
//! whoever reads takes time. They know no names: what a number is called, and who may see it, is said where they are read.
//!
//! What one observation costs, in nanoseconds of one thread on a busy two-core machine: a [`Counter`] 3 (one relaxed add), a
//! [`Histogram`] 10 (two, and a table look-up); finding the series in a [`Family`] 8 more. Four threads that count the same slow each
//! other down no more than four that count nothing, for each has a copy of its own. `cargo bench --bench instruments` measures it.

mod counter;
mod family;
mod histogram;
pub mod scale;
mod sharded;

pub use counter::{Counter, Gauge};
pub use family::Family;
pub use histogram::{Exemplar, Histogram, Snapshot};
