//! What is counted of one backend beside its load: how often it was taken out of use, and what its probes have found.

use crate::meter::Counter;

/// What has happened to a backend since it was first seen.
#[derive(Debug, Default)]
pub struct Counts {
    /// It was taken out of use.
    pub ejections: Counter,
    /// A probe passed.
    pub passed: Counter,
    /// A probe failed.
    pub stumbled: Counter,
}
