//! Counts by reason. Reasons are words of this program, so there are few of them.

use super::page::{Collect, Metric, OTHER, Page};
use crate::meter::{Counter, Family};

/// Reasons that are told apart at most; further ones are counted together.
const MOST: usize = 96;

/// Counts by reason.
#[derive(Debug)]
pub struct Reasons {
    metric: &'static Metric,
    counts: Family<&'static str, Counter>,
}

impl Reasons {
    /// Nothing counted yet; the metric has one label, the reason.
    #[must_use]
    pub fn new(metric: &'static Metric) -> Self {
        Self { metric, counts: Family::new(MOST) }
    }

    /// Counts one more.
    pub fn count(&self, reason: &'static str) {
        self.counts.of(reason).increment();
    }

    /// How often it was this reason.
    #[must_use]
    pub fn of(&self, reason: &str) -> u64 {
        self.all().find(|(known, _)| *known == reason).map_or(0, |(_, count)| count)
    }

    /// All reasons there have been, and how often.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.all().map(|(reason, count)| (reason.copied().unwrap_or(OTHER), count.get()))
    }
}

impl Collect for Reasons {
    fn collect(&self, page: &mut Page) {
        let mut samples = page.family(self.metric);
        self.all().for_each(|(reason, count)| samples.count(&[reason], count));
    }
}
