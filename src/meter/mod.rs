//! Instruments: what any part of the program counts and times itself with. To count is an atomic that no other thread writes to; only
//! whoever reads takes time. They know no names: what a number is called, and who may see it, is said where they are read.
//!
//! What one observation costs: finding the series of a [`Family`], a hash and a comparison; a [`Counter`], one relaxed add; a
//! [`Histogram`], two and a table look-up. `cargo bench --bench instruments` measures it, with one thread and with four.

mod counter;
mod family;
mod histogram;
pub mod scale;
mod sharded;

pub use counter::{Counter, Gauge};
pub use family::Family;
pub use histogram::{Exemplar, Histogram, Snapshot};
