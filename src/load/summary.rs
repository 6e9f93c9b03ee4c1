//! A report as text: what stands in the terminal at a run's end, and how runs compare. It computes nothing that is not in the reports.

use std::fmt::Write as _;

use super::report::{ErrorReport, EventReport, Report, Spread};
use super::words::{count, digits, micros, moment, plain, share};

/// Operations and kinds of errors that are shown one by one.
const MOST_ROWS: usize = 20;

/// The summary of a run.
#[must_use]
pub fn summary(report: &Report) -> String {
    let mut out = String::new();
    heading(report, &mut out);
    latencies(report, &mut out);
    operations(report, &mut out);
    moorings(report, &mut out);
    errors(&report.errors, &mut out);
    events(&report.events, &mut out);
    let totals = &report.totals;
    let allowed = report.options.max_errors;
    let verdict = match (report.is_good(), totals.errors) {
        (true, 0) => "no errors".to_owned(),
        (true, errors) => format!("{} errors, {} were allowed", count(errors), count(allowed)),
        (false, errors) => format!("FAILED: {} errors, {} were allowed", count(errors), count(allowed)),
    };
    line(&mut out, &format!("\n{verdict}"));
    if generator_was_late(report) {
        let late = micros(report.lag.p99_us);
        line(
            &mut out,
            &format!(
                "note: this program itself sent one call in a hundred over {late} late: the machine it runs on has too little CPU left"
            ),
        );
    }
    out
}

/// Whether what was measured says more about the load generator than about the server.
#[must_use]
pub fn generator_was_late(report: &Report) -> bool {
    report.lag.p99_us > 10_000 && report.lag.p99_us > report.service.p50_us
}

fn line(out: &mut String, text: &str) {
    // A String takes all.
    let _ = writeln!(out, "{}", text.trim_end());
}

fn heading(report: &Report, out: &mut String) {
    let options = &report.options;
    let totals = &report.totals;
    let cut = if report.cut_short { ", cut short" } else { "" };
    let took = moment(report.seconds);
    line(
        out,
        &format!(
            "\n{} for {took}{cut}: {} users, era {}",
            plain(&report.target),
            count(options.users.into()),
            options.era
        ),
    );
    line(
        out,
        &format!(
            "\n  planned    {:>10}   {} calls a minute asked for",
            count(totals.planned),
            count_of(options.calls_a_minute)
        ),
    );
    line(out, &format!("  answered   {:>10}   {} a minute", count(totals.answered), count_of(totals.calls_a_minute)));
    line(out, &format!("  failed     {:>10}", count(totals.failed)));
    line(
        out,
        &format!(
            "  missed     {:>10}   never sent: {} waited for their user already",
            count(totals.missed),
            options.backlog
        ),
    );
    line(out, &format!("  unfinished {:>10}", count(totals.unfinished)));
    if totals.left_undone > 0 {
        line(out, &format!("  left       {:>10}   not made, since the run was cut short", count(totals.left_undone)));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
fn count_of(rate: f64) -> String {
    if rate < 100.0 { digits(rate) } else { count(rate.round() as u64) }
}

fn spread(name: &str, spread: &Spread, what: &str) -> String {
    let columns = [spread.p50_us, spread.p90_us, spread.p99_us, spread.p99_9_us, spread.max_us];
    let cells: String = columns.iter().map(|value| format!("{:>10}", micros(*value))).collect();
    format!("  {name:<10} {cells}   {what}")
}

fn latencies(report: &Report, out: &mut String) {
    line(out, "\n                    p50       p90       p99     p99.9       max");
    line(out, &spread("latency", &report.latency, "from the planned moment"));
    line(out, &spread("service", &report.service, "from sending"));
    line(out, &spread("generator", &report.lag, "how late this program was"));
    if report.failed.count > 0 {
        line(out, &spread("failed", &report.failed, "calls that failed, until they did"));
    }
}

fn operations(report: &Report, out: &mut String) {
    let longest = report.operations.iter().map(|one| one.name.chars().count()).max().unwrap_or(0).clamp(9, 48);
    line(
        out,
        &format!(
            "\n  {:<longest$} {:>10} {:>8} {:>10} {:>10} {:>10}",
            "operation", "answered", "failed", "p50", "p99", "max"
        ),
    );
    for one in report.operations.iter().take(MOST_ROWS) {
        let name: String = plain(&one.name).chars().take(longest).collect();
        let (p50, p99, max) = (micros(one.latency.p50_us), micros(one.latency.p99_us), micros(one.latency.max_us));
        let (answered, failed) = (count(one.answered), count(one.failed));
        line(out, &format!("  {name:<longest$} {answered:>10} {failed:>8} {p50:>10} {p99:>10} {max:>10}"));
    }
    if report.operations.len() > MOST_ROWS {
        line(out, &format!("  … and {} more, in the JSON report", report.operations.len() - MOST_ROWS));
    }
}

fn moorings(report: &Report, out: &mut String) {
    let sessions = &report.sessions;
    let (begun, ended, lost) = (count(sessions.begun), count(sessions.ended), count(sessions.lost));
    line(out, &format!("\n  sessions   {begun} begun, {ended} ended, {lost} lost"));
    let streams = &report.streams;
    let refused = if streams.refused > 0 { format!(", {} not offered", count(streams.refused)) } else { String::new() };
    let mended = match streams.mended.count {
        0 => String::new(),
        mended => {
            let (p50, max) = (micros(streams.mended.p50_us), micros(streams.mended.max_us));
            format!("; {} open again after {p50} (p50), {max} at most", count(mended))
        }
    };
    let (opened, closed, broken) = (count(streams.opened), count(streams.closed), count(streams.broken));
    line(
        out,
        &format!("  streams    {opened} opened{refused}, {closed} closed by the server, {broken} broken{mended}"),
    );
    let fairness = &report.fairness;
    let worst = fairness.worst.map(|worst| {
        let (mean, max) = (micros(worst.mean_us), micros(worst.max_us));
        format!("; worst off: user {}, mean {mean}, longest {max}", worst.user)
    });
    let (latency, answered) = (fairness.latency, fairness.answered);
    let worst = worst.unwrap_or_default();
    line(out, &format!("  fairness   {latency:.3} over latency, {answered:.3} over answers (Jain's index){worst}"));
}

fn errors(errors: &[ErrorReport], out: &mut String) {
    if !errors.is_empty() {
        line(out, "\n  errors");
    }
    for error in errors.iter().take(MOST_ROWS) {
        let example: String = plain(&error.example).chars().take(100).collect();
        line(out, &format!("  {:>10}   {}: {example}", count(error.count), error.kind));
    }
}

fn events(events: &[EventReport], out: &mut String) {
    if !events.is_empty() {
        line(out, "\n  what happened to processes");
    }
    for event in events {
        line(out, &format!("  {:>10}   {}: {}", moment(event.at), plain(&event.what), aftermath(event)));
    }
}

/// What came after an event, in words.
#[must_use]
pub fn aftermath(event: &EventReport) -> String {
    let errors = match event.errors_after {
        0 => "no errors".to_owned(),
        1 => "1 error".to_owned(),
        errors => format!("{} errors", count(errors)),
    };
    let recovered = match event.recovered_after {
        Some(0.0) => "nothing to recover from".to_owned(),
        Some(seconds) => format!("well again after {}", moment(seconds)),
        None => "not well again before the next event or the end".to_owned(),
    };
    format!(
        "{errors}, p99 {} before and {} at worst, {recovered}",
        micros(event.p99_before_us),
        micros(event.p99_worst_us)
    )
}

/// One line of a comparison: what it is, each run's value, and how it reads.
struct Row {
    name: &'static str,
    values: Vec<f64>,
    shown: fn(f64) -> String,
}

/// What runs are compared by.
fn rows(reports: &[Report]) -> Vec<Row> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio of two digits is shown")]
    let number = |get: fn(&Report) -> u64| reports.iter().map(|report| get(report) as f64).collect::<Vec<_>>();
    let float = |get: fn(&Report) -> f64| reports.iter().map(get).collect::<Vec<_>>();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a count")]
    let time = |value: f64| micros(value as u64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a count")]
    let many = |value: f64| count(value as u64);
    let index = |value: f64| format!("{value:.3}");
    vec![
        Row { name: "users", values: number(|report| report.options.users.into()), shown: many },
        Row {
            name: "calls a minute asked for",
            values: float(|report| report.options.calls_a_minute),
            shown: count_of,
        },
        Row { name: "calls a minute answered", values: float(|report| report.totals.calls_a_minute), shown: count_of },
        Row { name: "answered", values: number(|report| report.totals.answered), shown: many },
        Row { name: "errors", values: number(|report| report.totals.errors), shown: many },
        Row { name: "missed", values: number(|report| report.totals.missed), shown: many },
        Row { name: "latency p50", values: number(|report| report.latency.p50_us), shown: time },
        Row { name: "latency p90", values: number(|report| report.latency.p90_us), shown: time },
        Row { name: "latency p99", values: number(|report| report.latency.p99_us), shown: time },
        Row { name: "latency p99.9", values: number(|report| report.latency.p99_9_us), shown: time },
        Row { name: "latency max", values: number(|report| report.latency.max_us), shown: time },
        Row { name: "service p50", values: number(|report| report.service.p50_us), shown: time },
        Row { name: "service p99", values: number(|report| report.service.p99_us), shown: time },
        Row { name: "sessions lost", values: number(|report| report.sessions.lost), shown: many },
        Row { name: "streams broken", values: number(|report| report.streams.broken), shown: many },
        Row { name: "fairness over latency", values: float(|report| report.fairness.latency), shown: index },
        Row { name: "fairness over answers", values: float(|report| report.fairness.answered), shown: index },
    ]
}

/// Names of lines, and for each run what it says there: the value, and from the second run on the ratio to the first.
#[must_use]
pub fn comparison(reports: &[Report]) -> Vec<(&'static str, Vec<String>)> {
    let cell = |row: &Row, at: usize| {
        let (value, first) = (row.values[at], row.values[0]);
        let shown = (row.shown)(value);
        if at == 0 || first == 0.0 { shown } else { format!("{shown} (×{})", digits(value / first)) }
    };
    let line = |row: &Row| (row.name, (0..reports.len()).map(|at| cell(row, at)).collect());
    rows(reports).iter().map(line).collect()
}

/// The comparison as text.
#[must_use]
pub fn compared(reports: &[Report]) -> String {
    let mut out = String::new();
    let lines = comparison(reports);
    let labels = reports.iter().map(|report| plain(&report.label)).collect::<Vec<_>>();
    let width = |at: usize| {
        let cells = lines.iter().map(|(_, cells)| cells[at].chars().count());
        cells.max().unwrap_or(0).max(labels[at].chars().count()) + 2
    };
    let widths: Vec<usize> = (0..reports.len()).map(width).collect();
    let columns = |cells: &[String]| {
        cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}", width = *width)).collect::<String>()
    };
    line(&mut out, &format!("{:<26}{}", "", columns(&labels)));
    for (name, cells) in &lines {
        line(&mut out, &format!("{name:<26}{}", columns(cells)));
    }
    let answered: Vec<String> = reports
        .iter()
        .map(|report| {
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let part = report.totals.answered as f64 / report.totals.planned.max(1) as f64;
            share(part)
        })
        .collect();
    line(&mut out, &format!("{:<26}{}", "answered of planned", columns(&answered)));
    out
}
