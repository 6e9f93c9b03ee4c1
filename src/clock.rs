//! Time and chance. The only place that reads the clock or asks for randomness that need not be
//! secret, so that tests own both. Secret randomness (keys, session ids) comes from `aws-lc-rs` in `seal`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Cheap to clone; every part that needs time holds one.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant, unix_micros: u64 },
    Manual { start: Instant, unix_start: u64, advanced_nanos: Arc<AtomicU64> },
}

impl Clock {
    /// The machine's own clocks.
    #[must_use]
    pub fn system() -> Self {
        Self { source: Source::System { start: system_instant(), unix_micros: micros(system_unix()) } }
    }

    /// A clock that stands still until [`Clock::advance`] moves it. For tests.
    #[must_use]
    pub fn manual() -> Self {
        let source = Source::Manual {
            start: system_instant(),
            unix_start: 1_800_000_000,
            advanced_nanos: Arc::new(AtomicU64::new(0)),
        };
        Self { source }
    }

    /// Monotonic time, for durations and deadlines.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.source {
            Source::System { .. } => system_instant(),
            Source::Manual { start, advanced_nanos, .. } => {
                *start + Duration::from_nanos(advanced_nanos.load(Ordering::Relaxed))
            }
        }
    }

    /// Wall time in whole seconds since 1970, for what outlives the process.
    #[must_use]
    pub fn unix(&self) -> u64 {
        match &self.source {
            Source::System { .. } => system_unix().as_secs(),
            Source::Manual { unix_start, advanced_nanos, .. } => {
                unix_start + Duration::from_nanos(advanced_nanos.load(Ordering::Relaxed)).as_secs()
            }
        }
    }

    /// Wall time in milliseconds since 1970, for leases that several processes share.
    #[must_use]
    pub fn unix_millis(&self) -> u64 {
        match &self.source {
            Source::System { .. } => u64::try_from(system_unix().as_millis()).unwrap_or(u64::MAX),
            Source::Manual { unix_start, advanced_nanos, .. } => {
                unix_start * 1000 + advanced_nanos.load(Ordering::Relaxed) / 1_000_000
            }
        }
    }

    /// Microseconds since 1970 that never go back: what the wall clock said when this clock was made, and monotonic time
    /// since. For what only this process counts; clocks that were made apart differ by how the wall clock was set between.
    #[must_use]
    pub fn micros(&self) -> u64 {
        match &self.source {
            Source::System { start, unix_micros } => unix_micros + micros(system_instant().duration_since(*start)),
            Source::Manual { unix_start, advanced_nanos, .. } => {
                unix_start * 1_000_000 + advanced_nanos.load(Ordering::Relaxed) / 1000
            }
        }
    }

    /// Moves a manual clock forward; the system's clock does not listen.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { advanced_nanos, .. } = &self.source {
            let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            advanced_nanos.fetch_add(nanos, Ordering::Relaxed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn system_instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

fn micros(since: Duration) -> u64 {
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// For how long wall time is reckoned from monotonic time before it is read anew.
const RECKONED: u64 = 1_000_000;

/// Wall time for whoever needs it often and knows what monotonic time it is: read once a second, and reckoned in between. It is off by
/// a millisecond, and by what the wall clock was set by within that second.
#[derive(Debug)]
pub struct Wall {
    clock: Clock,
    start: Instant,
    /// Microseconds since the start at which wall time was read last.
    read: AtomicU64,
    /// What it was then, in milliseconds since 1970.
    was: AtomicU64,
}

impl Wall {
    /// The wall time that belongs to this clock.
    #[must_use]
    pub fn of(clock: &Clock) -> Self {
        let (start, was) = (clock.now(), AtomicU64::new(clock.unix_millis()));
        Self { clock: clock.clone(), start, read: AtomicU64::new(0), was }
    }

    /// Milliseconds since 1970, at what [`Clock::now`] has just told. Threads that share one may each be told what another has read.
    #[must_use]
    pub fn unix_millis(&self, now: Instant) -> u64 {
        let at = micros(now.saturating_duration_since(self.start));
        let since = at.saturating_sub(self.read.load(Ordering::Acquire));
        if since < RECKONED {
            return self.was.load(Ordering::Relaxed) + since / 1000;
        }
        let unix = self.clock.unix_millis();
        self.was.store(unix, Ordering::Relaxed);
        self.read.store(at, Ordering::Release);
        unix
    }
}

/// A source of fast randomness for choices that nobody must be able to repeat but that guard no secret.
#[derive(Debug)]
pub struct Chance {
    state: AtomicU64,
}

thread_local! {
    static HERE: Chance = Chance::system();
}

/// The next 64 random bits of this thread's own source, which no other thread waits for.
#[must_use]
pub fn chance_here() -> u64 {
    HERE.with(Chance::next)
}

impl Chance {
    /// Starts from the process's own entropy.
    #[must_use]
    pub fn system() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self::seeded(RandomState::new().hash_one(0x6d6f_6f72_u32))
    }

    /// The same seed gives the same choices. For tests.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// The next 64 random bits (`SplitMix64`, Steele, Lea and Flood 2014).
    pub fn next(&self) -> u64 {
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero (multiply-shift, Lemire 2019; the bias is below 2^-32 here).
    #[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below `bound`")]
    pub fn below(&self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * (bound as u128);
        (wide >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_the_wall_clocks_and_never_go_back() {
        let clock = Clock::system();
        let mut last = clock.micros();
        assert!(last.abs_diff(clock.unix_millis() * 1000) < 60_000_000, "{last}");
        for _ in 0..1000 {
            let next = clock.clone().micros();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn reckoned_wall_time_is_the_clocks() {
        let clock = Clock::manual();
        let wall = Wall::of(&clock);
        for step in [0, 1, 999_000, 999, 1, 1_000_000, 7_000_000_000, 500_000] {
            clock.advance(Duration::from_micros(step));
            assert_eq!(wall.unix_millis(clock.now()), clock.unix_millis(), "{step}");
        }
        let (clock, wall) = (Clock::system(), Wall::of(&Clock::system()));
        assert!(wall.unix_millis(clock.now()).abs_diff(clock.unix_millis()) < 1000);
    }

    #[test]
    fn a_manual_clock_tells_the_same_in_all_units() {
        let clock = Clock::manual();
        let (unix, micros) = (clock.unix(), clock.micros());
        assert_eq!(micros, unix * 1_000_000);
        clock.advance(Duration::from_micros(2_000_003));
        assert_eq!((clock.unix(), clock.micros()), (unix + 2, micros + 2_000_003));
    }
}
