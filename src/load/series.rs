//! A run over time: one point for each second, or for a few where the run is long. Calls count where they ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Tally;
use super::trouble::Trouble;

/// Points that are kept at most, about.
const MOST: u64 = 900;

/// A tick that comes so much before its time is on time: the one before was late.
const EARLY: Duration = Duration::from_millis(250);

/// What was counted in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// When it ended, from the run's start.
    pub at: Duration,
    /// How long it was.
    pub length: Duration,
    /// Calls whose moment came.
    pub planned: u64,
    /// Calls that went well.
    pub answered: u64,
    /// Errors by kind.
    pub errors: BTreeMap<Trouble, u64>,
    /// Latency in microseconds, of those that went well: p50, p90, p99, the longest. Zeros where there was none.
    pub latency: [u64; 4],
    /// Users in a session, at its end.
    pub users: u64,
    /// Open notification streams, at its end.
    pub streams: u64,
}

/// The points so far.
#[derive(Debug)]
pub struct Series {
    /// Of each point.
    stretch: Duration,
    begun: Duration,
    gathered: Tally,
    points: Vec<Point>,
    open: (u64, u64),
    last: Duration,
}

impl Series {
    /// For a run of that length.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        let stretch = Duration::from_secs(duration.as_secs().div_ceil(MOST).max(1));
        let begun = Duration::ZERO;
        Self { stretch, begun, gathered: Tally::default(), points: Vec::new(), open: (0, 0), last: begun }
    }

    /// Adds what was counted up to now; `open` are users in a session and streams.
    pub fn add(&mut self, now: Duration, tally: &Tally, open: (u64, u64)) {
        self.gathered.join(tally);
        (self.open, self.last) = (open, now);
        if now + EARLY >= self.begun + self.stretch {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let tally = std::mem::take(&mut self.gathered);
        self.points.push(Point {
            at: self.last,
            length: self.last.saturating_sub(self.begun),
            planned: tally.planned,
            answered: tally.answered(),
            latency: [0.5, 0.9, 0.99, 1.0].map(|share| tally.latency.at(share)),
            errors: tally.errors,
            users: self.open.0,
            streams: self.open.1,
        });
        self.begun = self.last;
    }

    /// All of them.
    #[must_use]
    pub fn points(mut self) -> Vec<Point> {
        if self.gathered.planned + self.gathered.answered() + self.gathered.failed() > 0 {
            self.cut();
        }
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::record::{Call, FIRST, Recorder};

    fn tally(calls: u32) -> Tally {
        let recorder = Recorder::default();
        for _ in 0..calls {
            recorder.planned();
            let took = Duration::from_millis(8);
            let lag = Duration::ZERO;
            recorder.call(Call { user: 0, operation: FIRST, latency: took, service: took, lag, outcome: Ok(()) });
        }
        recorder.take()
    }

    #[test]
    fn a_short_run_has_a_point_a_second_and_loses_none() {
        let mut series = Series::new(Duration::from_secs(60));
        for second in 1..=3_u32 {
            series.add(Duration::from_millis(u64::from(second) * 1010), &tally(second), (5, 2));
        }
        series.add(Duration::from_millis(3_100), &tally(9), (0, 0));
        let points = series.points();
        assert_eq!(points.iter().map(|point| point.answered).collect::<Vec<_>>(), [1, 2, 3, 9]);
        assert_eq!((points[2].users, points[2].streams), (5, 2));
        assert!(points[0].latency.iter().all(|micros| (7_990..=8_010).contains(micros)), "{:?}", points[0]);
    }

    #[test]
    fn a_long_run_has_no_more_points_than_are_kept() {
        let mut series = Series::new(Duration::from_hours(1));
        (1..=3600).for_each(|second| series.add(Duration::from_secs(second), &tally(1), (1, 0)));
        let points = series.points();
        assert_eq!((points.len(), points[0].answered), (900, 4));
    }
}
