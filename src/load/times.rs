//! How long things took: durations in whole microseconds, each known to a thousandth (HdrHistogram, three digits). It says
//! nothing of what was timed.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Three significant digits.
const DIGITS: u8 = 3;

/// Longer ones count as this long: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// Many durations.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let mut histogram = Histogram::new(DIGITS).expect("three digits are among those that it allows");
        histogram.auto(true);
        Self(histogram)
    }
}

impl Times {
    /// Counts one more.
    pub fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST_MICROS).min(LONGEST_MICROS);
        self.0.record(micros).expect("it grows as it must");
    }

    /// Counts all that another has counted.
    pub fn join(&mut self, other: &Self) {
        self.0.add(&other.0).expect("it grows as it must");
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// That share of them (0 to 1) took at most so many microseconds; 0 where there are none.
    #[must_use]
    pub fn at(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The longest, in microseconds; 0 where there are none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// Their mean, in microseconds; 0 where there are none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// Pairs of a duration in microseconds and how many took that long, the shortest first: few enough to be kept, so that
    /// runs can be laid over each other. Each is known to a hundredth.
    #[must_use]
    pub fn buckets(&self) -> Vec<[u64; 2]> {
        let mut coarse: Vec<[u64; 2]> = Vec::new();
        for step in self.0.iter_recorded() {
            let (micros, count) = (step.value_iterated_to(), step.count_at_value());
            match coarse.last_mut() {
                // A bucket's highest value stands for it, so that no percentile looks better than it was.
                Some(last) if within_a_hundredth(last[0], micros) => *last = [last[0], last[1] + count],
                _ => coarse.push([highest_of(micros).min(self.max().max(micros)), count]),
            }
        }
        coarse
    }
}

/// The end of the coarse bucket that begins at `micros`.
const fn highest_of(micros: u64) -> u64 {
    micros + micros / 100
}

const fn within_a_hundredth(end: u64, micros: u64) -> bool {
    micros <= end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(all: &[u64]) -> Times {
        let mut times = Times::default();
        all.iter().for_each(|micros| times.add(Duration::from_micros(*micros)));
        times
    }

    #[test]
    fn nothing_took_no_time() {
        let none = Times::default();
        assert_eq!((none.count(), none.at(0.99), none.max(), none.buckets().len()), (0, 0, 0, 0));
        assert_eq!(times(&[u64::MAX]).max() / 1_000_000, 3600);
    }

    proptest! {
        #[test]
        fn percentiles_are_known_to_a_thousandth(mut all in prop::collection::vec(1_u64..3_000_000_000, 1..300), share in 0.001_f64..1.0) {
            let times = times(&all);
            all.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let rank = ((share * all.len() as f64).ceil() as usize).clamp(1, all.len());
            let (exact, found) = (all[rank - 1] as f64, times.at(share) as f64);
            prop_assert!((found / exact - 1.0).abs() < 0.001 || (found - exact).abs() <= 1.0, "{exact} {found}");
        }

        #[test]
        fn joined_times_are_those_of_both(one in prop::collection::vec(1_u64..1 << 31, 0..80), other in prop::collection::vec(1_u64..1 << 31, 0..80)) {
            let (mut joined, both) = (times(&one), times(&[&one[..], &other[..]].concat()));
            joined.join(&times(&other));
            prop_assert_eq!((joined.count(), joined.max(), joined.at(0.5)), (both.count(), both.max(), both.at(0.5)));
        }

        #[test]
        fn buckets_keep_every_one_near_its_place(all in prop::collection::vec(1_u64..3_000_000_000, 1..300)) {
            let times = times(&all);
            let buckets = times.buckets();
            prop_assert_eq!(buckets.iter().map(|[_, count]| count).sum::<u64>(), all.len() as u64);
            prop_assert!(buckets.windows(2).all(|pair| pair[0][0] < pair[1][0]), "{buckets:?}");
            for micros in all {
                let end = buckets.iter().map(|[end, _]| *end).find(|end| *end as f64 >= micros as f64 * 0.999);
                prop_assert!(end.is_some_and(|end| end as f64 <= micros as f64 * 1.012 + 1.0), "{micros} {end:?}");
            }
        }
    }
}
