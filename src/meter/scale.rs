//! The buckets of a histogram of durations: those of Prometheus's exponential schema 3, whose bounds are 2^(i/8) seconds, so that
//! each bucket is 9 % wider than the one before. Every eighth bound is a power of two, which makes the same buckets serve as
//! classic ones. Durations are whole microseconds, and for these the bounds are exact: no float is compared.

/// The schema (Prometheus native histograms).
pub const SCHEMA: i32 = 3;

/// Buckets between a power of two and the next.
const STEPS: usize = 1 << SCHEMA;

/// Below 2^-17 s (7.6 µs) nothing is told apart.
const LOWEST: i32 = -17;

/// Above 2^12 s (68 minutes) neither.
const HIGHEST: i32 = 12;

/// Powers of two that are told apart, each in eight buckets.
pub const OCTAVES: usize = (HIGHEST - LOWEST) as usize;

/// All buckets: that of nearly nothing, the exponential ones, and that of all longer ones.
pub const BUCKETS: usize = 2 + OCTAVES * STEPS;

/// The last bucket.
pub const LONGER: usize = BUCKETS - 1;

/// The upper bound of the first bucket, in seconds.
pub const ZERO_THRESHOLD: f64 = 1.0 / (1_u64 << -LOWEST) as f64;

/// 2^(k/8) in units of 2^-60.
const ROOTS: [u64; STEPS] = [
    1_152_921_504_606_846_976,
    1_257_269_815_929_830_108,
    1_371_062_456_318_104_877,
    1_495_154_210_581_915_421,
    1_630_477_228_166_597_776,
    1_778_048_025_250_290_523,
    1_938_975_120_585_633_118,
    2_114_467_362_444_183_333,
];

/// The longest duration in each bucket, in whole microseconds.
const BOUNDS: [u64; BUCKETS] = bounds();

/// Where the search in [`BOUNDS`] begins, by a duration's highest bit and the three below.
const FIRST: [u8; SLOTS] = first();

/// Slots of [`FIRST`]: 8 µs to 2^33 µs, more than the last bound.
const SLOTS: usize = 30 * 8;

#[expect(clippy::cast_possible_truncation, reason = "a bound is below 2^33")]
const fn bounds() -> [u64; BUCKETS] {
    let mut bounds = [u64::MAX; BUCKETS];
    let mut at = 0;
    while at < LONGER {
        let (octave, step) = (LOWEST + (at / STEPS) as i32, at % STEPS);
        let scaled = ROOTS[step] as u128 * 1_000_000;
        bounds[at] = (scaled >> (60 - octave)) as u64;
        at += 1;
    }
    bounds
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256 buckets")]
const fn first() -> [u8; SLOTS] {
    let mut first = [0; SLOTS];
    let (mut slot, mut bucket) = (0, 0);
    while slot < SLOTS {
        let lowest = (8 + slot as u64 % 8) << (slot / 8);
        while BOUNDS[bucket] < lowest {
            bucket += 1;
        }
        first[slot] = bucket as u8;
        slot += 1;
    }
    first
}

/// In which bucket a duration lies. A table look-up and two comparisons at most.
#[must_use]
pub fn bucket_of(micros: u64) -> usize {
    if micros <= BOUNDS[0] {
        return 0;
    }
    let octave = micros.ilog2() as usize - 3;
    let step = usize::from((micros >> octave).to_le_bytes()[0] & 7);
    let Some(first) = FIRST.get(octave * 8 + step) else { return LONGER };
    let mut bucket = usize::from(*first);
    while BOUNDS[bucket] < micros {
        bucket += 1;
    }
    bucket
}

/// The longest duration in a bucket, in microseconds; of the last one, the shortest.
#[must_use]
pub fn bound_of(bucket: usize) -> u64 {
    BOUNDS[bucket.min(LONGER - 1)]
}

/// The number of an exponential bucket in Prometheus's schema: its upper bound is 2^(number/8) s. The last bucket goes for the
/// first one beyond the highest bound.
#[must_use]
pub fn number_of(bucket: usize) -> i32 {
    i32::try_from(bucket).map_or(i32::MAX, |bucket| (LOWEST << SCHEMA) + bucket)
}

/// In which power of two a bucket lies, counted from the lowest.
#[must_use]
pub fn octave_of(bucket: usize) -> usize {
    (bucket.saturating_sub(1) / STEPS).min(OCTAVES)
}

/// Which buckets, from the first one up to but without this one, hold all durations of at most 2^`exponent` s.
#[must_use]
pub fn buckets_within(exponent: i32) -> usize {
    let octaves = (exponent.clamp(LOWEST, HIGHEST) - LOWEST).unsigned_abs() as usize;
    octaves * STEPS + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by the definition, in floats; for whole microseconds it is exact but where a bound is one, which only powers of
    /// two are.
    fn by_definition(micros: u64) -> usize {
        let seconds = micros as f64 / 1e6;
        (0..LONGER).find(|bucket| seconds <= (f64::from(number_of(*bucket)) / 8.0).exp2()).unwrap_or(LONGER)
    }

    #[test]
    fn bounds_grow_and_powers_of_two_are_exact() {
        assert!(BOUNDS.windows(2).all(|pair| pair[0] <= pair[1]), "{BOUNDS:?}");
        assert_eq!(BOUNDS[buckets_within(0) - 1], 1_000_000);
        assert_eq!(BOUNDS[buckets_within(-6) - 1], 15_625);
        assert_eq!(BOUNDS[LONGER - 1], 4_096_000_000);
        assert_eq!((number_of(buckets_within(0) - 1), number_of(1)), (0, -135));
        assert_eq!((bucket_of(1_000_000), bucket_of(1_000_001)), (buckets_within(0) - 1, buckets_within(0)));
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, LONGER));
        assert_eq!((octave_of(0), octave_of(LONGER - 1), octave_of(LONGER)), (0, OCTAVES - 1, OCTAVES));
    }

    #[test]
    fn each_bound_and_its_neighbours_lie_where_the_definition_says() {
        for bound in &BOUNDS[..LONGER] {
            for micros in [bound - 1, *bound, bound + 1] {
                assert_eq!(bucket_of(micros), by_definition(micros), "{micros} µs");
            }
        }
    }

    proptest! {
        #[test]
        fn every_duration_lies_where_the_definition_says(bits in 0_u32..40, chance: u64) {
            let micros = chance >> (63 - bits);
            prop_assert_eq!(bucket_of(micros), by_definition(micros));
        }
    }
}
