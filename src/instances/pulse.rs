//! How fast this instance has worked of late: looks at what was counted now and then, and compares. Counts nothing itself, and keeps
//! a bounded number of looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::observe::Outcome;
use crate::observe::spread::Spread;
use crate::observe::tally::Totals;

/// Rates and latencies are those of about so long.
const SPAN: Duration = Duration::from_secs(10);
/// Looks closer together than this are one.
const APART: Duration = Duration::from_millis(1500);

/// What was counted, as it stood at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Everything that is counted, by name.
    pub totals: BTreeMap<Box<str>, u64>,
    own: Spread,
    backend: Spread,
}

/// The looks of late, the oldest first.
#[derive(Debug, Default)]
pub struct Pulse {
    looks: VecDeque<(Instant, Look)>,
}

impl Look {
    /// What was counted.
    #[must_use]
    pub fn of(counted: Totals) -> Self {
        let of = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| counted.outcomes[*outcome as usize]).sum();
        let mut totals = BTreeMap::from([
            ("requests".into(), of(&Outcome::ALL)),
            ("errors".into(), of(&[Outcome::Failed, Outcome::ToolFailed])),
            ("refused".into(), of(&[Outcome::Refused])),
        ]);
        totals.extend(counted.cached.iter().map(|(word, count)| (format!("cache_{word}").into(), *count)));
        Self { totals, own: counted.own, backend: counted.backend }
    }
}

impl Pulse {
    /// Remembers a look.
    pub fn note(&mut self, look: Look, now: Instant) {
        let is_due = |(last, _): &(Instant, Look)| now.saturating_duration_since(*last) >= APART;
        if !self.looks.back().is_none_or(is_due) {
            return;
        }
        self.looks.push_back((now, look));
        // One that is older than the span stays, so that there is always that much to compare with.
        while self.looks.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= SPAN) {
            self.looks.pop_front();
        }
    }

    /// What grew how fast since the oldest look, in a second. Nothing while there is nothing to compare with.
    #[must_use]
    pub fn rates(&self, look: &Look, now: Instant) -> BTreeMap<Box<str>, f64> {
        let Some((since, before)) = self.looks.front() else { return BTreeMap::new() };
        let seconds = now.saturating_duration_since(*since).as_secs_f64();
        if seconds < 0.5 {
            return BTreeMap::new();
        }
        let rate = |name: &str, total: u64| {
            let grown = total.saturating_sub(before.totals.get(name).copied().unwrap_or_default());
            #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
            let rate = grown as f64 / seconds;
            (rate * 100.0).round() / 100.0
        };
        look.totals.iter().map(|(name, total)| (name.clone(), rate(name, *total))).collect()
    }

    /// How long requests took since the oldest look, in microseconds.
    #[must_use]
    pub fn latency_us(&self, look: &Look) -> BTreeMap<Box<str>, u64> {
        let Some((_, before)) = self.looks.front() else { return BTreeMap::new() };
        let (own, backend) = (look.own.since(&before.own), look.backend.since(&before.backend));
        let asked = [
            ("own_p50", &own, 0.5),
            ("own_p99", &own, 0.99),
            ("backend_p50", &backend, 0.5),
            ("backend_p99", &backend, 0.99),
        ];
        let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        asked
            .into_iter()
            .filter_map(|(name, spread, share)| Some((name.into(), micros(spread.quantile(share)?))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(requests: u64, took: &[u64]) -> Look {
        let mut look = Look::default();
        look.totals.insert("requests".into(), requests);
        took.iter().for_each(|millis| look.own.add(Duration::from_millis(*millis)));
        look
    }

    #[test]
    fn rates_and_latencies_are_those_of_the_last_seconds() {
        let (start, mut pulse) = (crate::clock::Clock::manual().now(), Pulse::default());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(pulse.rates(&look(5, &[]), start).is_empty(), "nothing to compare with");
        for second in 0..60_u64 {
            let took: Vec<u64> = (0..second).map(|n| if n < 40 { 1 } else { 100 }).collect();
            pulse.note(look(second * second, &took), at(second));
        }
        assert!(pulse.looks.len() <= 7, "{}", pulse.looks.len());
        // From 48 or 50 to 60: 48² = 2304, 50² = 2500.
        let rate = pulse.rates(&look(3600, &[]), at(60))["requests"];
        assert!((108.0..=110.0).contains(&rate), "{rate}");
        let took: Vec<u64> = (0..60).map(|n| if n < 40 { 1 } else { 100 }).collect();
        let latency = pulse.latency_us(&look(3600, &took));
        assert!(latency["own_p50"] >= 100_000, "the quick ones were before: {latency:?}");
        assert!(!latency.contains_key("backend_p50"));
    }
}
