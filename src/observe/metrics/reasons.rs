//! Counts by reason. Reasons are words of this program, so there are few of them, and each keeps its place once it has one:
//! counting takes no lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::page::{Collect, Metric, OTHER, Page};

/// Reasons that are told apart at most; further ones would be counted together.
const MOST: usize = 96;

/// Counts by reason.
#[derive(Debug)]
pub struct Reasons {
    metric: &'static Metric,
    places: [Place; MOST],
    others: AtomicU64,
}

#[derive(Debug, Default)]
struct Place {
    reason: OnceLock<&'static str>,
    count: AtomicU64,
}

impl Reasons {
    /// Nothing counted yet; the metric has one label, the reason.
    #[must_use]
    pub fn new(metric: &'static Metric) -> Self {
        Self { metric, places: std::array::from_fn(|_| Place::default()), others: AtomicU64::new(0) }
    }

    /// Counts one more.
    pub fn count(&self, reason: &'static str) {
        let place = self.places.iter().find(|place| *place.reason.get_or_init(|| reason) == reason);
        place.map_or(&self.others, |place| &place.count).fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was this reason.
    #[must_use]
    pub fn of(&self, reason: &str) -> u64 {
        self.all().find(|(known, _)| *known == reason).map_or(0, |(_, count)| count)
    }

    /// All reasons there have been, and how often.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named =
            self.places.iter().map_while(|place| Some((*place.reason.get()?, place.count.load(Ordering::Relaxed))));
        let others = self.others.load(Ordering::Relaxed);
        named.chain((others > 0).then_some((OTHER, others)))
    }
}

impl Collect for Reasons {
    fn collect(&self, page: &mut Page) {
        let mut samples = page.family(self.metric);
        self.all().for_each(|(reason, count)| samples.count(&[reason], count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_count_and_there_is_an_end_of_them() {
        let reasons = Reasons::new(&super::super::REFUSALS);
        let names: Vec<&'static str> = (0..MOST + 2).map(|number| &*format!("r{number}").leak()).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| names.iter().for_each(|name| reasons.count(name)));
            }
        });
        let all: Vec<_> = reasons.all().collect();
        assert_eq!(all.len(), MOST + 1);
        assert_eq!(all.iter().map(|(_, count)| count).sum::<u64>(), 4 * (MOST as u64 + 2));
        assert_eq!(reasons.of("none"), 0);
    }
}
