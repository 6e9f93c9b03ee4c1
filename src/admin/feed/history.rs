//! The last 15 minutes: one sample each five seconds, of what was counted between. Owns how counts become samples; counts only grow,
//! so a sample is the difference of two looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::observe::Outcome;
use crate::observe::spread::Spread;
use crate::observe::tally::Totals;

/// Samples that are kept.
const KEPT: usize = 180;

/// What was counted so far, and how things stand.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What was counted of exchanges that have ended.
    pub totals: Totals,
    /// Refusals by reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Requests that had to wait for their turn.
    pub waited: Waited,
    /// How long operations on the store took.
    pub store: Spread,
    /// Sessions that moved.
    pub moved: u64,
    /// Sessions that are known.
    pub sessions: usize,
    /// Requests in flight to backends.
    pub in_flight: u32,
}

/// How often requests had to wait, and for how long in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waited {
    pub requests: u64,
    pub took: Duration,
}

/// What has happened between two looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    at: u64,
    span_ms: u64,
    requests: u64,
    errors: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refusals: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_us: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_us: Option<Times>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    cache: BTreeMap<&'static str, u64>,
    /// Where the store is more than memory and was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_us: Option<Times>,
    /// Requests that had to wait for their turn, and how long.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<&'static str, u64>,
    /// About how long backends would have taken for what they were not asked.
    saved_ms: u64,
    moved: u64,
    sessions: usize,
    in_flight: u32,
}

/// How long half of all took at most, and 99 of 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Times(u64, u64);

/// The samples, the oldest first.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
}

impl History {
    /// Adds one; the oldest goes where there are too many.
    pub fn add(&mut self, sample: Sample) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// A copy of all.
    pub fn all(&self) -> Vec<Sample> {
        self.samples.iter().cloned().collect()
    }
}

impl Look {
    /// What has happened since an earlier look.
    pub fn since(&self, earlier: &Self) -> Sample {
        let (now, then) = (&self.totals, &earlier.totals);
        let of = |outcome: Outcome| now.outcomes[outcome as usize].saturating_sub(then.outcomes[outcome as usize]);
        Sample {
            at: self.at,
            span_ms: self.at.saturating_sub(earlier.at).max(1),
            requests: Outcome::ALL.into_iter().map(of).sum(),
            errors: of(Outcome::Failed) + of(Outcome::ToolFailed),
            refusals: grown(&self.refusals, &earlier.refusals),
            own_us: times(&now.own.since(&then.own)),
            backend_us: times(&now.backend.since(&then.backend)),
            store_us: times(&self.store.since(&earlier.store)),
            limits: self.waited.since(earlier.waited),
            cache: grown(&now.cached, &then.cached),
            saved_ms: now.saved_us.saturating_sub(then.saved_us) / 1000,
            moved: self.moved.saturating_sub(earlier.moved),
            sessions: self.sessions,
            in_flight: self.in_flight,
        }
    }
}

impl Waited {
    fn since(self, earlier: Self) -> BTreeMap<&'static str, u64> {
        let requests = self.requests.saturating_sub(earlier.requests);
        if requests == 0 {
            return BTreeMap::new();
        }
        let millis = u64::try_from(self.took.saturating_sub(earlier.took).as_millis()).unwrap_or(u64::MAX);
        BTreeMap::from([("queued", requests), ("waited_ms", millis)])
    }
}

fn times(spread: &Spread) -> Option<Times> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Some(Times(micros(spread.quantile(0.5)?), micros(spread.quantile(0.99)?)))
}

/// The counts that have grown, by how much.
fn grown(now: &BTreeMap<&'static str, u64>, then: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
    let by = |name: &str, count: u64| count.saturating_sub(then.get(name).copied().unwrap_or(0));
    now.iter().map(|(name, count)| (*name, by(name, *count))).filter(|(_, by)| *by > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: u64, good: u64, limited: u64) -> Look {
        let mut look = Look { at, refusals: BTreeMap::from([("limited", limited)]), ..Look::default() };
        look.totals.outcomes[Outcome::Good as usize] = good;
        look.totals.outcomes[Outcome::Refused as usize] = limited;
        (0..good).for_each(|_| look.totals.own.add(Duration::from_micros(100)));
        look
    }

    #[test]
    fn a_sample_is_what_happened_between_two_looks() {
        let (before, after) = (look(1000, 10, 1), look(6000, 40, 3));
        let sample = after.since(&before);
        assert_eq!((sample.span_ms, sample.requests, sample.errors), (5000, 32, 0));
        assert_eq!(sample.refusals, BTreeMap::from([("limited", 2)]));
        let Times(half, most) = sample.own_us.unwrap();
        assert!((100..=110).contains(&half) && half == most, "{half} {most}");
        assert_eq!(sample.backend_us, None, "nothing is known of what nobody was asked");
        let quiet = after.since(&after);
        assert_eq!((quiet.requests, quiet.own_us, quiet.refusals.len()), (0, None, 0));
    }

    #[test]
    fn there_is_an_end_of_samples() {
        let mut history = History::default();
        (0..2 * KEPT as u64).for_each(|at| history.add(look(at, 0, 0).since(&look(at, 0, 0))));
        let all = history.all();
        assert_eq!((all.len(), all[0].at, all[KEPT - 1].at), (KEPT, KEPT as u64, 2 * KEPT as u64 - 1));
    }
}
