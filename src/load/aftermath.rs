//! What came after something had happened to a process, read from a run's points: errors, the worst of p99, and when all was well again.

use super::report::{EventReport, PointReport, rounded};
use super::run::Event;

/// Time in which errors and slowness count as an event's consequence.
const AFTERMATH_SECONDS: f64 = 15.0;

/// What happened to processes, each with what came after it.
pub fn aftermaths(events: &[Event], series: &[PointReport]) -> Vec<EventReport> {
    let next = |at: usize| events.get(at + 1).map_or(f64::INFINITY, |event| event.at.as_secs_f64());
    events.iter().enumerate().map(|(at, event)| aftermath(event, next(at), series)).collect()
}

fn aftermath(event: &Event, next: f64, series: &[PointReport]) -> EventReport {
    let at = event.at.as_secs_f64();
    let mut before: Vec<u64> = series
        .iter()
        .filter(|point| point.at <= at && point.at > at - AFTERMATH_SECONDS)
        .map(|point| point.p99_us)
        .collect();
    before.sort_unstable();
    let p99_before_us = before.get(before.len() / 2).copied().unwrap_or(0);
    // The point in which it happened is its consequence, too.
    let after: Vec<&PointReport> =
        series.iter().filter(|point| point.at > at && point.at - point.length < next).collect();
    let near = || after.iter().filter(|point| point.at - point.length <= at + AFTERMATH_SECONDS);
    // A millisecond more is no harm, however fast it was before.
    let is_well = |point: &&&PointReport| {
        point.errors.is_empty() && point.p99_us <= (2 * p99_before_us).max(p99_before_us + 1000)
    };
    let ill = after.iter().rposition(|point| !is_well(&point));
    let recovered_after = match ill {
        None => Some(0.0),
        Some(last) => after.get(last + 1).map(|_| rounded(after[last].at - at)),
    };
    EventReport {
        at: rounded(at),
        what: event.what.clone(),
        errors_after: near().flat_map(|point| point.errors.values()).sum(),
        p99_before_us,
        p99_worst_us: near().map(|point| point.p99_us).max().unwrap_or(0),
        recovered_after: recovered_after.filter(|_| !after.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn series(p99: &[u64], errors: &[(usize, u64)]) -> Vec<PointReport> {
        let point = |(at, p99_us): (usize, &u64)| PointReport {
            at: (at + 1) as f64,
            length: 1.0,
            p99_us: *p99_us,
            errors: errors
                .iter()
                .filter(|(when, _)| *when == at)
                .map(|(_, count)| ("HTTP 503".into(), *count))
                .collect(),
            ..PointReport::default()
        };
        p99.iter().enumerate().map(point).collect()
    }

    fn event(at: f64) -> Event {
        Event { at: Duration::from_secs_f64(at), what: "a killed".into() }
    }

    #[test]
    fn what_came_after_a_kill_is_told() {
        let series = series(&[5000, 5000, 5000, 90_000, 20_000, 6000, 5000], &[(3, 7), (4, 1)]);
        let told = aftermaths(&[event(3.2)], &series);
        assert_eq!(told[0].errors_after, 8);
        assert_eq!((told[0].p99_before_us, told[0].p99_worst_us), (5000, 90_000));
        assert_eq!(told[0].recovered_after, Some(1.8));
    }

    #[test]
    fn what_does_not_recover_is_not_said_to() {
        let sick = series(&[5000, 5000, 90_000, 90_000], &[]);
        assert_eq!(aftermaths(&[event(2.5)], &sick)[0].recovered_after, None);
        let well = series(&[5000, 5000, 5000, 5000], &[]);
        assert_eq!(aftermaths(&[event(2.5)], &well)[0].recovered_after, Some(0.0));
    }

    #[test]
    fn an_event_answers_for_no_more_than_the_time_up_to_the_next() {
        let series = series(&[5000; 6], &[(2, 3), (4, 5)]);
        let told = aftermaths(&[event(2.5), event(4.0)], &series);
        assert_eq!(told.iter().map(|one| one.errors_after).collect::<Vec<_>>(), [3, 5]);
    }
}
