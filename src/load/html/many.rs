//! The charts that lay several runs over each other.

use super::chart::{Chart, Line};
use super::views::{a_second, known, latency, length, percentiles, seconds, upto};
use crate::load::report::{PointReport, Report};
use crate::load::words::{digits, micros, moment};

/// The charts of several runs.
pub fn of_many(reports: &[Report]) -> Vec<Chart> {
    vec![percentiles(reports), p99_of_many(reports), rate_of_many(reports)]
}

fn p99_of_many(reports: &[Report]) -> Chart {
    let line = |report: &Report| Line {
        name: report.label.clone(),
        points: report.series.iter().map(|point| (point.at, known(point.p99_us))).collect(),
    };
    Chart {
        id: "p99",
        title: "p99 over time".into(),
        says: "The 99th percentile of latency, from the planned moment, of each run.".into(),
        x: seconds(length(reports)),
        y: latency(reports.iter().flat_map(|report| &report.series).map(|point| point.p99_us)),
        lines: reports.iter().map(line).collect(),
        bars: Vec::new(),
        marks: Vec::new(),
        places: side_by_side(reports, |point| micros(point.p99_us)),
        table: table_of_many(reports, |point| micros(point.p99_us)),
    }
}

fn rate_of_many(reports: &[Report]) -> Chart {
    let line = |report: &Report| Line {
        name: report.label.clone(),
        points: report.series.iter().map(|point| (point.at, a_second(point.answered, point))).collect(),
    };
    let lines: Vec<Line> = reports.iter().map(line).collect();
    let highest = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
    Chart {
        id: "rates",
        title: "Answers a second".into(),
        says: "Calls that were answered well, of each run.".into(),
        x: seconds(length(reports)),
        y: upto("answers a second", highest),
        lines,
        bars: Vec::new(),
        marks: Vec::new(),
        places: side_by_side(reports, |point| digits(a_second(point.answered, point))),
        table: table_of_many(reports, |point| digits(a_second(point.answered, point))),
    }
}

/// The run with most points, whose moments stand for all.
fn longest(reports: &[Report]) -> &[PointReport] {
    reports.iter().map(|report| &report.series[..]).max_by_key(|series| series.len()).unwrap_or_default()
}

/// What each run says at the moment of a point.
fn cells(reports: &[Report], at: f64, shown: fn(&PointReport) -> String) -> Vec<String> {
    let of =
        |report: &Report| report.series.iter().find(|point| point.at + 0.5 >= at).map_or_else(|| "-".to_owned(), shown);
    reports.iter().map(of).collect()
}

fn side_by_side(reports: &[Report], shown: fn(&PointReport) -> String) -> Vec<(f64, String)> {
    let words = |point: &PointReport| {
        let each = cells(reports, point.at, shown)
            .into_iter()
            .zip(reports)
            .map(|(cell, report)| format!("{} {cell}", report.label));
        (point.at, format!("at {}: {}", moment(point.at), each.collect::<Vec<_>>().join(", ")))
    };
    longest(reports).iter().map(words).collect()
}

fn table_of_many(reports: &[Report], shown: fn(&PointReport) -> String) -> (Vec<String>, Vec<Vec<String>>) {
    let heading =
        std::iter::once("until".to_owned()).chain(reports.iter().map(|report| report.label.clone())).collect();
    let row = |point: &PointReport| std::iter::once(moment(point.at)).chain(cells(reports, point.at, shown)).collect();
    (heading, longest(reports).iter().map(row).collect())
}
