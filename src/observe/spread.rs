//! How a number of durations is spread, counted by one thread: in the buckets of the histograms (each 9 % wider than the one before), so
//! that any percentile is known that well, and spreads can be added and subtracted.

use std::time::Duration;

use super::metrics::scale::{self, BUCKETS};
use super::metrics::{Exemplar, Snapshot};

/// How durations are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    counts: Box<[u64; BUCKETS]>,
    sum_micros: u64,
    /// The latest traced one of each power of two.
    exemplars: Vec<(usize, Exemplar)>,
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), sum_micros: 0, exemplars: Vec::new() }
    }
}

impl From<&Snapshot> for Spread {
    /// The same durations as a histogram holds, without its examples.
    fn from(held: &Snapshot) -> Self {
        let micros = Duration::try_from_secs_f64(held.sum).unwrap_or_default().as_micros();
        let sum_micros = u64::try_from(micros).unwrap_or(u64::MAX);
        Self { counts: Box::new(held.buckets), sum_micros, exemplars: Vec::new() }
    }
}

impl Spread {
    /// Counts one more.
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[scale::bucket_of(micros)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Keeps one that was counted as an example.
    pub fn keep(&mut self, exemplar: Exemplar) {
        let micros = u64::try_from(exemplar.took.as_micros()).unwrap_or(u64::MAX);
        let octave = scale::octave_of(scale::bucket_of(micros));
        match self.exemplars.iter_mut().find(|(known, _)| *known == octave) {
            Some((_, known)) if known.at > exemplar.at => {}
            Some((_, known)) => *known = exemplar,
            None => self.exemplars.push((octave, exemplar)),
        }
    }

    /// Counts what another has counted.
    pub fn join(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(own, other)| *own += other);
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
        other.exemplars.iter().for_each(|(_, exemplar)| self.keep(*exemplar));
    }

    /// What was counted since it stood at `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts.clone();
        counts.iter_mut().zip(earlier.counts.iter()).for_each(|(now, then)| *now = now.saturating_sub(*then));
        Self { counts, sum_micros: self.sum_micros.saturating_sub(earlier.sum_micros), exemplars: Vec::new() }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in microseconds.
    #[must_use]
    pub const fn sum_micros(&self) -> u64 {
        self.sum_micros
    }

    /// The same as a metric.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            buckets: *self.counts,
            sum: Duration::from_micros(self.sum_micros).as_secs_f64(),
            exemplars: self.exemplars.clone(),
        }
    }

    /// How long that share (0 to 1) of them took at most, to within a bucket's width; none where nothing was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "a share of a count needs no more than 52 bits")]
        let wanted = share.clamp(0.0, 1.0) * self.count() as f64;
        let mut seen = 0_u64;
        let at = self.counts.iter().position(|count| {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let enough = *count > 0 && seen as f64 >= wanted;
            enough
        })?;
        Some(Duration::from_micros(scale::bound_of(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spread(all: &[u64]) -> Spread {
        let mut spread = Spread::default();
        all.iter().for_each(|micros| spread.add(Duration::from_micros(*micros)));
        spread
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Spread::default().quantile(0.5), None);
        assert_eq!(spread(&[u64::MAX]).quantile(0.5), Some(Duration::from_secs(4096)));
    }

    #[test]
    fn the_latest_example_of_each_size_is_kept() {
        let example = |took, at| Exemplar { trace: 1, took: Duration::from_millis(took), at };
        let (mut one, mut other) = (Spread::default(), Spread::default());
        [example(100, 1), example(101, 2), example(900, 1)].into_iter().for_each(|one_of| one.keep(one_of));
        other.keep(example(102, 0));
        one.join(&other);
        assert_eq!(
            one.snapshot().exemplars.iter().map(|(_, kept)| *kept).collect::<Vec<_>>(),
            [example(101, 2), example(900, 1)]
        );
    }

    proptest! {
        #[test]
        fn percentiles_are_known_to_a_tenth(mut micros in prop::collection::vec(16_u64..4_000_000_000, 1..200), share in 0.01_f64..1.0) {
            let spread = spread(&micros);
            micros.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
            let rank = ((share * micros.len() as f64).ceil() as usize).clamp(1, micros.len());
            let (exact, found) = (Duration::from_micros(micros[rank - 1]), spread.quantile(share).unwrap());
            prop_assert!(found >= exact && found <= exact.mul_f64(1.1), "{exact:?} {found:?}");
            prop_assert_eq!((spread.count(), spread.sum_micros()), (micros.len() as u64, micros.iter().sum::<u64>()));
        }

        #[test]
        fn what_was_joined_can_be_taken_out_again(left in prop::collection::vec(1_u64..1 << 40, 0..50), right in prop::collection::vec(1_u64..1 << 40, 0..50)) {
            let (left, right) = (spread(&left), spread(&right));
            let mut both = left.clone();
            both.join(&right);
            prop_assert_eq!(both.since(&left), right);
        }
    }
}
