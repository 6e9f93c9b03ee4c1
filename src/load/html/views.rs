//! Which charts a page has, and what each of them says.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::chart::{Axis, Bars, Chart, Line, Scale};
use crate::load::report::{PointReport, Report, Spread};
use crate::load::words::{count, digits, micros, moment};

/// Kinds of errors that have a colour of their own; the others share one.
const MOST_KINDS: usize = 7;

/// The charts of one run.
pub fn of_run(report: &Report) -> Vec<Chart> {
    vec![
        over_time(report),
        percentiles(std::slice::from_ref(report)),
        rate(report),
        errors(report),
        moored(report),
        users(report),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
fn value(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds on an axis")]
fn shown_micros(micros_: f64) -> String {
    micros(micros_ as u64)
}

fn shown_count(number: f64) -> String {
    if number.fract() == 0.0 && number >= 100.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count on an axis")]
        return count(number as u64);
    }
    let text = digits(number);
    text.strip_suffix(".00").or_else(|| text.strip_suffix(".0")).map_or(text.clone(), str::to_owned)
}

pub(super) fn seconds(length: f64) -> Axis {
    Axis { name: "time in the run", scale: Scale::Linear, shown: moment, range: (0.0, length.max(1.0)) }
}

/// Powers of ten that hold all of them.
pub(super) fn latency(all: impl Iterator<Item = u64>) -> Axis {
    let (mut low, mut high) = (u64::MAX, 0);
    for micros in all.filter(|micros| *micros > 0) {
        (low, high) = (low.min(micros), high.max(micros));
    }
    let low = if high == 0 { 100.0 } else { 10_f64.powf(value(low).log10().floor()) };
    let high = 10_f64.powf(value(high.max(1)).log10().ceil()).max(low * 10.0);
    Axis { name: "latency", scale: Scale::Log, shown: shown_micros, range: (low, high) }
}

pub(super) fn upto(name: &'static str, highest: f64) -> Axis {
    Axis { name, scale: Scale::Linear, shown: shown_count, range: (0.0, (highest * 1.08).max(1.0)) }
}

fn marks(report: &Report) -> Vec<(f64, String)> {
    report.events.iter().map(|event| (event.at, event.what.clone())).collect()
}

/// What happened in a point, if anything did.
fn events_in(report: &Report, point: &PointReport) -> String {
    let inside = |at: f64| at <= point.at && at > point.at - point.length;
    report.events.iter().filter(|event| inside(event.at)).map(|event| format!("; {}", event.what)).collect()
}

/// Latency where there was none is not zero.
pub(super) fn known(micros: u64) -> f64 {
    if micros == 0 { f64::NAN } else { value(micros) }
}

pub(super) fn length(reports: &[Report]) -> f64 {
    let ends = reports.iter().map(|report| report.series.last().map_or(report.seconds, |point| point.at));
    ends.fold(1.0, f64::max)
}

fn headings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn over_time(report: &Report) -> Chart {
    let series = &report.series;
    let line = |name: &str, get: fn(&PointReport) -> u64| Line {
        name: name.to_owned(),
        points: series.iter().map(|point| (point.at, known(get(point)))).collect(),
    };
    let words = |point: &PointReport| {
        let all = [point.p50_us, point.p90_us, point.p99_us, point.max_us].map(micros);
        format!(
            "at {}: p50 {}, p90 {}, p99 {}, longest {}{}",
            moment(point.at),
            all[0],
            all[1],
            all[2],
            all[3],
            events_in(report, point)
        )
    };
    let row = |point: &PointReport| {
        let times = [point.p50_us, point.p90_us, point.p99_us, point.max_us];
        std::iter::once(moment(point.at)).chain(times.map(micros)).collect()
    };
    let worst = series.iter().max_by_key(|point| point.p99_us);
    let worst = worst
        .map_or_else(String::new, |point| format!(" Worst p99: {} at {}.", micros(point.p99_us), moment(point.at)));
    Chart {
        id: "latency",
        title: "Latency over time".into(),
        says: format!(
            "From the planned moment of a call to its whole answer, by when it was answered; a step up is ten times as long.{worst}"
        ),
        x: seconds(length(std::slice::from_ref(report))),
        y: latency(series.iter().flat_map(|point| [point.p50_us, point.max_us])),
        lines: vec![
            line("p50", |point| point.p50_us),
            line("p90", |point| point.p90_us),
            line("p99", |point| point.p99_us),
            line("longest", |point| point.max_us),
        ],
        bars: Vec::new(),
        marks: marks(report),
        places: series.iter().map(|point| (point.at, words(point))).collect(),
        table: (headings(&["until", "p50", "p90", "p99", "longest"]), series.iter().map(row).collect()),
    }
}

/// Where percentiles are drawn: each nine is as wide as the one before.
const SHARES: [f64; 17] =
    [0.0, 0.25, 0.5, 0.68, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 0.99999, 0.999_999, 1.0];

/// The place of a share: how many in which one is slower.
fn one_in(share: f64) -> f64 {
    1.0 / (1.0 - share).max(1e-9)
}

fn at_share(spread: &Spread, share: f64) -> u64 {
    let wanted = share * value(spread.count);
    let mut seen = 0.0;
    for [micros, count] in &spread.buckets {
        seen += value(*count);
        if seen >= wanted - 1e-6 && seen > 0.0 {
            return (*micros).min(spread.max_us);
        }
    }
    spread.max_us
}

/// Shares that so many calls can tell apart.
fn shares(spread: &Spread) -> impl Iterator<Item = f64> {
    let most = value(spread.count);
    SHARES.into_iter().filter(move |share| *share < 1.0 && one_in(*share) <= most.max(2.0) * 1.000_1)
}

pub(super) fn percentiles(reports: &[Report]) -> Chart {
    let line = |name: String, spread: &Spread| Line {
        name,
        points: shares(spread).map(|share| (one_in(share), known(at_share(spread, share)))).collect(),
    };
    let mut lines: Vec<(Line, &Spread)> = Vec::new();
    for report in reports {
        let named = |what: &str| if reports.len() == 1 { what.to_owned() } else { format!("{}: {what}", report.label) };
        lines.push((line(named("latency, from the planned moment"), &report.latency), &report.latency));
        if reports.len() == 1 {
            lines.push((line(named("service, from sending"), &report.service), &report.service));
        }
    }
    let most = reports.iter().map(|report| value(report.latency.count)).fold(100.0, f64::max);
    let all_shares: Vec<f64> = SHARES.into_iter().filter(|share| *share < 1.0 && one_in(*share) <= most).collect();
    let words = |share: &f64| {
        let said = lines.iter().map(|(line, spread)| format!("{} {}", line.name, micros(at_share(spread, *share))));
        format!("{} % took at most: {}", share_text(*share), said.collect::<Vec<_>>().join("; "))
    };
    let row = |share: &f64| {
        let times = lines.iter().map(|(_, spread)| micros(at_share(spread, *share)));
        std::iter::once(format!("{} %", share_text(*share))).chain(times).collect()
    };
    let heading = std::iter::once("share".to_owned()).chain(lines.iter().map(|(line, _)| line.name.clone())).collect();
    let range = lines.iter().flat_map(|(_, spread)| [at_share(spread, 0.0), spread.max_us]);
    Chart {
        id: "percentiles",
        title: "Percentiles".into(),
        says: "How long calls took at most, by what share of them: to the right, ever rarer ones. Where latency leaves service behind, calls waited for \
               the one before them."
            .into(),
        x: Axis { name: "percentile", scale: Scale::Log, shown: percentile_tick, range: (1.0, most.max(100.0)) },
        y: latency(range.collect::<Vec<_>>().into_iter()),
        places: all_shares.iter().map(|share| (one_in(*share), words(share))).collect(),
        table: (heading, all_shares.iter().map(row).collect()),
        lines: lines.into_iter().map(|(line, _)| line).collect(),
        bars: Vec::new(),
        marks: Vec::new(),
    }
}

fn share_text(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn percentile_tick(one_in: f64) -> String {
    format!("p{}", share_text(1.0 - 1.0 / one_in))
}

pub(super) fn a_second(number: u64, point: &PointReport) -> f64 {
    value(number) / point.length.max(0.001)
}

fn rate(report: &Report) -> Chart {
    let series = &report.series;
    let line = |name: &str, get: fn(&PointReport) -> u64| Line {
        name: name.to_owned(),
        points: series.iter().map(|point| (point.at, a_second(get(point), point))).collect(),
    };
    let lines = vec![line("answered", |point| point.answered), line("planned", |point| point.planned)];
    let highest = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
    let words = |point: &PointReport| {
        let (answered, planned) = (a_second(point.answered, point), a_second(point.planned, point));
        format!(
            "at {}: {} answered, {} planned{}",
            moment(point.at),
            digits(answered),
            digits(planned),
            events_in(report, point)
        )
    };
    let row = |point: &PointReport| {
        vec![moment(point.at), digits(a_second(point.answered, point)), digits(a_second(point.planned, point))]
    };
    Chart {
        id: "rate",
        title: "Calls a second".into(),
        says: "Calls that fell due, and calls that were answered. Where the second stays below the first, calls fail or wait.".into(),
        x: seconds(length(std::slice::from_ref(report))),
        y: upto("calls a second", highest),
        places: series.iter().map(|point| (point.at, words(point))).collect(),
        table: (headings(&["until", "answered a second", "planned a second"]), series.iter().map(row).collect()),
        lines,
        bars: Vec::new(),
        marks: marks(report),
    }
}

fn errors(report: &Report) -> Chart {
    let series = &report.series;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, number) in series.iter().flat_map(|point| &point.errors) {
        *kinds.entry(kind).or_default() += number;
    }
    let mut kinds: Vec<(&str, u64)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, number)| Reverse(*number));
    let own: Vec<&str> = kinds.iter().take(MOST_KINDS).map(|(kind, _)| *kind).collect();
    let bars_of = |name: &str, counts: &dyn Fn(&PointReport) -> u64| Bars {
        name: name.to_owned(),
        bars: series.iter().map(|point| (point.at - point.length, point.at, value(counts(point)))).collect(),
    };
    let of = |point: &PointReport, kind: &str| point.errors.get(kind).copied().unwrap_or(0);
    let mut bars: Vec<Bars> = own.iter().map(|kind| bars_of(kind, &|point| of(point, kind))).collect();
    if kinds.len() > MOST_KINDS {
        let rest = |point: &PointReport| {
            point.errors.iter().filter(|(kind, _)| !own.contains(&kind.as_str())).map(|(_, number)| number).sum()
        };
        bars.push(bars_of("all others", &rest));
    }
    let highest = series.iter().map(|point| value(point.errors.values().sum())).fold(0.0, f64::max);
    let said = |point: &PointReport| {
        let each: Vec<String> =
            point.errors.iter().map(|(kind, number)| format!("{} {kind}", count(*number))).collect();
        if each.is_empty() { "none".to_owned() } else { each.join(", ") }
    };
    let says = if kinds.is_empty() {
        "There were none.".to_owned()
    } else {
        "How many there were in each stretch of time, by kind, stacked.".into()
    };
    let rows = series
        .iter()
        .filter(|point| !point.errors.is_empty())
        .map(|point| vec![moment(point.at), said(point)])
        .collect();
    Chart {
        id: "errors",
        title: "Errors over time".into(),
        says,
        x: seconds(length(std::slice::from_ref(report))),
        y: upto("errors", highest),
        lines: Vec::new(),
        bars,
        marks: marks(report),
        places: series
            .iter()
            .map(|point| (point.at, format!("at {}: {}{}", moment(point.at), said(point), events_in(report, point))))
            .collect(),
        table: (headings(&["until", "errors"]), rows),
    }
}

fn moored(report: &Report) -> Chart {
    let series = &report.series;
    let line = |name: &str, get: fn(&PointReport) -> u64| Line {
        name: name.to_owned(),
        points: series.iter().map(|point| (point.at, value(get(point)))).collect(),
    };
    let highest = series.iter().map(|point| value(point.users.max(point.streams))).fold(0.0, f64::max);
    let words = |point: &PointReport| {
        format!(
            "at {}: {} users in a session, {} streams open{}",
            moment(point.at),
            count(point.users),
            count(point.streams),
            events_in(report, point)
        )
    };
    let row = |point: &PointReport| vec![moment(point.at), count(point.users), count(point.streams)];
    Chart {
        id: "moored",
        title: "Users and streams".into(),
        says: "Users who are in a session, and notification streams that are open. Users between two sessions are not counted.".into(),
        x: seconds(length(std::slice::from_ref(report))),
        y: upto("at once", highest),
        lines: vec![line("users in a session", |point| point.users), line("open streams", |point| point.streams)],
        bars: Vec::new(),
        marks: marks(report),
        places: series.iter().map(|point| (point.at, words(point))).collect(),
        table: (headings(&["until", "users", "streams"]), series.iter().map(row).collect()),
    }
}

fn users(report: &Report) -> Chart {
    let fairness = &report.fairness;
    let last = value((fairness.mean_us.len().max(2) - 1) as u64);
    let part = |at: usize| value(at as u64) / last * 100.0;
    let points: Vec<(f64, f64)> =
        fairness.mean_us.iter().enumerate().map(|(at, micros)| (part(at), known(*micros))).collect();
    let words = |(at, micros_): (usize, &u64)| {
        (part(at), format!("{} % of the users waited {} on average, or less", digits(part(at)), micros(*micros_)))
    };
    let worst = fairness.worst.map_or_else(String::new, |worst| {
        format!(
            " Worst off was user {}: {} on average, {} at most.",
            worst.user,
            micros(worst.mean_us),
            micros(worst.max_us)
        )
    });
    let row = |(at, micros_): (usize, &u64)| vec![format!("{} %", digits(part(at))), micros(*micros_)];
    Chart {
        id: "users",
        title: "Fairness over users".into(),
        says: format!(
            "Each user's mean latency, the best served first: a flat line is fair. Jain's index is {:.3} over latency and {:.3} over answers (1 is equal for all).{worst}",
            fairness.latency, fairness.answered
        ),
        x: Axis {
            name: "share of the users",
            scale: Scale::Linear,
            shown: |value| format!("{value} %"),
            range: (0.0, 100.0),
        },
        y: latency(fairness.mean_us.iter().copied()),
        lines: vec![Line { name: "mean latency of a user".into(), points }],
        bars: Vec::new(),
        marks: Vec::new(),
        places: fairness.mean_us.iter().enumerate().map(words).collect(),
        table: (headings(&["users", "mean latency at most"]), fairness.mean_us.iter().enumerate().map(row).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_from_buckets() {
        let spread =
            Spread { count: 100, max_us: 5000, buckets: vec![[1000, 90], [2000, 9], [5050, 1]], ..Spread::default() };
        assert_eq!(
            [0.0, 0.5, 0.9, 0.95, 0.99, 0.995].map(|share| at_share(&spread, share)),
            [1000, 1000, 1000, 2000, 2000, 5000]
        );
        assert_eq!(shares(&spread).last(), Some(0.99));
        assert_eq!(percentile_tick(1000.0), "p99.9");
        assert_eq!(at_share(&Spread::default(), 0.5), 0);
    }

    #[test]
    fn an_axis_holds_what_it_shows() {
        assert_eq!(latency([850, 12_000].into_iter()).range, (100.0, 100_000.0));
        assert_eq!(latency(std::iter::empty()).range, (100.0, 1000.0));
        assert_eq!(shown_count(2500.0), "2,500");
        assert_eq!(shown_count(2.5), "2.50");
    }
}
