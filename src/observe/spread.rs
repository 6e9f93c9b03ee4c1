//! How a number of durations is spread: counts in buckets each of which is 9 % wider than the one before, so that any percentile is known
//! that well, and spreads can be added and subtracted. The bounds are those of Prometheus' native histograms, schema 3.

use std::time::Duration;

/// Buckets to a doubling.
const TO_A_DOUBLING: usize = 8;

/// The exponent of the lowest bound: durations up to 2⁻²⁰ s (0.95 µs) are one.
const LOWEST: i32 = -20;

/// How many doublings are told apart, up to 2¹² s (68 min); what takes longer is in the last bucket.
const DOUBLINGS: usize = 32;

/// How many buckets there are.
pub const BUCKETS: usize = TO_A_DOUBLING * DOUBLINGS + 1;

/// 2^(k/8) for k of 0 to 7: where the buckets of one doubling begin.
const STEPS: [f64; TO_A_DOUBLING] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

/// How durations are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    sum_micros: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), count: 0, sum_micros: 0 }
    }
}

impl Spread {
    /// Counts one more.
    pub fn add(&mut self, duration: Duration) {
        self.counts[bucket_of(duration)] += 1;
        self.count += 1;
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Counts what another has counted.
    pub fn join(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(own, other)| *own += other);
        self.count += other.count;
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }

    /// What was counted since it stood at `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts.clone();
        counts.iter_mut().zip(earlier.counts.iter()).for_each(|(now, then)| *now = now.saturating_sub(*then));
        Self {
            counts,
            count: self.count.saturating_sub(earlier.count),
            sum_micros: self.sum_micros.saturating_sub(earlier.sum_micros),
        }
    }

    /// How many were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All of them together, in microseconds.
    #[must_use]
    pub const fn sum_micros(&self) -> u64 {
        self.sum_micros
    }

    /// The counts of the buckets, each up to and with its [`bound`].
    #[must_use]
    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// How long that share (0 to 1) of them took at most, to within a bucket's width; none where nothing was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share of a count needs no more than 52 bits")]
        let wanted = share.clamp(0.0, 1.0) * self.count as f64;
        let mut seen = 0_u64;
        let at = self.counts.iter().position(|count| {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let enough = *count > 0 && seen as f64 >= wanted;
            enough
        });
        Some(Duration::from_secs_f64(bound(at.unwrap_or(BUCKETS - 1))))
    }
}

/// The longest duration, in seconds, that the bucket takes.
#[must_use]
pub fn bound(bucket: usize) -> f64 {
    let doubling = i32::try_from(bucket / TO_A_DOUBLING).unwrap_or(i32::MAX);
    2_f64.powi(LOWEST.saturating_add(doubling)) * STEPS[bucket % TO_A_DOUBLING]
}

/// The first bucket whose bound the duration does not exceed.
fn bucket_of(duration: Duration) -> usize {
    let seconds = duration.as_secs_f64();
    if seconds <= bound(0) {
        return 0;
    }
    // An IEEE 754 double that is normal and positive: 52 bits below the exponent, which is biased by 1023.
    let bits = seconds.to_bits();
    let exponent = i32::try_from(bits >> 52).unwrap_or(i32::MAX) - 1023;
    let fraction = f64::from_bits(bits & ((1 << 52) - 1) | (1023 << 52));
    let above = STEPS.iter().filter(|step| **step < fraction).count();
    let doublings = usize::try_from(exponent - LOWEST).unwrap_or(0);
    (doublings * TO_A_DOUBLING + above).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bucket_lies_between_two_bounds() {
        // Below, nanoseconds are too coarse for a bucket's width.
        for bucket in 32..BUCKETS {
            let middle = f64::midpoint(bound(bucket - 1), bound(bucket));
            assert_eq!(bucket_of(Duration::from_secs_f64(middle)), bucket, "{middle}");
        }
        // Powers of two are exact, and belong to the bucket below them.
        assert_eq!(bucket_of(Duration::from_secs(1)), (-LOWEST).unsigned_abs() as usize * TO_A_DOUBLING);
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::from_secs(1_000_000)), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn percentiles_are_known_to_a_tenth(mut micros in prop::collection::vec(1_u64..4_000_000_000, 1..200), share in 0.01_f64..1.0) {
            let mut spread = Spread::default();
            micros.iter().for_each(|micros| spread.add(Duration::from_micros(*micros)));
            micros.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
            let rank = ((share * micros.len() as f64).ceil() as usize).clamp(1, micros.len());
            let (exact, found) = (Duration::from_micros(micros[rank - 1]), spread.quantile(share).unwrap());
            prop_assert!(found >= exact.mul_f64(0.999) && found <= exact.mul_f64(1.1), "{exact:?} {found:?}");
            prop_assert_eq!(spread.sum_micros(), micros.iter().sum::<u64>());
        }

        #[test]
        fn what_was_joined_can_be_taken_out_again(left in prop::collection::vec(1_u64..1 << 40, 0..50), right in prop::collection::vec(1_u64..1 << 40, 0..50)) {
            let of = |all: &[u64]| {
                let mut spread = Spread::default();
                all.iter().for_each(|micros| spread.add(Duration::from_micros(*micros)));
                spread
            };
            let (left, right) = (of(&left), of(&right));
            let mut both = left.clone();
            both.join(&right);
            prop_assert_eq!(both.since(&left), right);
        }
    }
}
