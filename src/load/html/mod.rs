//! A report as a page: one file that asks nobody for anything, with its own style, script and charts in it. A policy in the page itself lets
//! the browser run exactly these. It computes nothing that is not in the reports.

pub mod chart;
mod many;
mod views;

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::chart::table;
use super::report::Report;
use super::summary::{aftermath, comparison, generator_was_late};
use super::words::{count, digits, micros, moment, plain};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page of one run.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::from("<header>");
    // Writing to a String cannot fail, here and below.
    let _ = write!(out, "<h1>{}</h1>", escaped(&report.target));
    let cut = if report.cut_short { ", cut short" } else { "" };
    let options = &report.options;
    let _ = write!(
        out,
        "<p class=\"soft\">{} users, era {}, {} calls a minute asked for, {}{cut}; <time datetime=\"{2}\">{}</time></p>",
        count(options.users.into()),
        escaped(&options.era),
        digits(options.calls_a_minute),
        moment(report.seconds),
        date(report.started_unix),
    );
    out.push_str(&verdict(report));
    out.push_str("</header>");
    out.push_str(&facts(report));
    if !report.events.is_empty() {
        out.push_str(&events(report));
    }
    out.push_str("<div class=\"grid-of\">");
    views::of_run(report).iter().for_each(|chart| out.push_str(&chart.figure()));
    out.push_str("</div><div class=\"grid-of\">");
    out.push_str(&operations(report));
    out.push_str(&errors(report));
    out.push_str("</div>");
    whole(&format!("Load test of {}", report.target), &out)
}

/// The page of several runs, side by side.
#[must_use]
pub fn page_of_many(reports: &[Report]) -> String {
    let mut out = String::from(
        "<header><h1>Load tests compared</h1><p class=\"soft\">The ratio behind a value is to the first run's.</p></header>",
    );
    let heading: Vec<String> =
        std::iter::once(String::new()).chain(reports.iter().map(|report| report.label.clone())).collect();
    let lines = comparison(reports);
    let rows: Vec<Vec<String>> =
        lines.into_iter().map(|(name, cells)| std::iter::once(name.to_owned()).chain(cells).collect()).collect();
    let rows: Vec<&Vec<String>> = rows.iter().collect();
    let _ = write!(out, "<section class=\"card\"><h2>Figures</h2>{}</section>", table("Figures", &heading, &rows));
    out.push_str("<div class=\"grid-of\">");
    many::of_many(reports).iter().for_each(|chart| out.push_str(&chart.figure()));
    out.push_str("</div>");
    whole("Load tests compared", &out)
}

fn whole(title: &str, main: &str) -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"referrer\" content=\"no-referrer\">\
         <title>{}</title><style>{STYLE}</style></head>\n<body><main>{main}</main><script>{SCRIPT}</script></body></html>\n",
        escaped(title)
    )
}

/// Text that is nothing but text.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Seconds since 1970 as `2026-11-23 17:07 UTC` (Howard Hinnant's `civil_from_days`).
fn date(unix: u64) -> String {
    let days = unix / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", unix / 3600 % 24, unix / 60 % 60)
}

fn verdict(report: &Report) -> String {
    let errors = report.totals.errors;
    let (class, words) = match (report.is_good(), errors) {
        (true, 0) => ("good", "No errors.".to_owned()),
        (true, _) => ("good", format!("{} errors, {} were allowed.", count(errors), count(report.options.max_errors))),
        (false, _) => {
            ("bad", format!("Failed: {} errors, {} were allowed.", count(errors), count(report.options.max_errors)))
        }
    };
    let late = if generator_was_late(report) {
        format!(
            "<p class=\"verdict bad\">The load generator itself sent one call in a hundred over {} late: its machine has too little CPU.</p>",
            micros(report.lag.p99_us)
        )
    } else {
        String::new()
    };
    format!("<p class=\"verdict {class}\">{words}</p>{late}")
}

fn facts(report: &Report) -> String {
    let (totals, fairness) = (&report.totals, &report.fairness);
    let mut out = String::from("<dl class=\"facts\">");
    let mut fact = |name: &str, value: String, more: String| {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>");
    };
    fact("Answered", count(totals.answered), format!("of {} planned", count(totals.planned)));
    fact("Throughput", format!("{} / min", digits(totals.calls_a_minute)), "answered calls".into());
    for (name, latency, service) in [
        ("p50", report.latency.p50_us, report.service.p50_us),
        ("p90", report.latency.p90_us, report.service.p90_us),
        ("p99", report.latency.p99_us, report.service.p99_us),
        ("p99.9", report.latency.p99_9_us, report.service.p99_9_us),
        ("Longest", report.latency.max_us, report.service.max_us),
    ] {
        fact(name, micros(latency), format!("service {}", micros(service)));
    }
    fact(
        "Errors",
        count(totals.errors),
        format!("{} missed, {} unfinished", count(totals.missed), count(totals.unfinished)),
    );
    fact("Sessions", count(report.sessions.begun), format!("{} lost", count(report.sessions.lost)));
    let mended = format!("{} broken, {} open again", count(report.streams.broken), count(report.streams.mended.count));
    fact("Streams", count(report.streams.opened), mended);
    let worst = fairness
        .worst
        .map_or_else(String::new, |worst| format!("worst off: user {}, mean {}", worst.user, micros(worst.mean_us)));
    fact("Fairness", format!("{:.3}", fairness.latency), worst);
    fact("Generator", micros(report.lag.p99_us), "late at p99".into());
    out.push_str("</dl>");
    out
}

fn events(report: &Report) -> String {
    let mut out = String::from("<section class=\"card\"><h2>What happened to processes</h2><ol class=\"events\">");
    for event in &report.events {
        let _ = write!(
            out,
            "<li><strong>{}: {}.</strong> {}.</li>",
            moment(event.at),
            escaped(&event.what),
            escaped(&aftermath(event))
        );
    }
    out.push_str("</ol><p class=\"soft\">The charts mark them by these numbers.</p></section>");
    out
}

fn operations(report: &Report) -> String {
    let heading =
        ["operation", "answered", "failed", "p50", "p90", "p99", "p99.9", "longest", "service p50"].map(str::to_owned);
    let row = |one: &super::report::OperationReport| {
        let spread = &one.latency;
        let times = [spread.p50_us, spread.p90_us, spread.p99_us, spread.p99_9_us, spread.max_us, one.service.p50_us];
        let mut row = vec![one.name.clone(), count(one.answered), count(one.failed)];
        row.extend(times.map(micros));
        row
    };
    let rows: Vec<Vec<String>> = report.operations.iter().map(row).collect();
    let rows: Vec<&Vec<String>> = rows.iter().collect();
    format!("<section class=\"card\"><h2>By operation</h2>{}</section>", table("By operation", &heading, &rows))
}

fn errors(report: &Report) -> String {
    if report.errors.is_empty() {
        return "<section class=\"card\"><h2>Errors</h2><p>None.</p></section>".to_owned();
    }
    let heading = ["kind", "count", "the first of them said"].map(str::to_owned);
    let rows: Vec<Vec<String>> =
        report.errors.iter().map(|error| vec![error.kind.clone(), count(error.count), error.example.clone()]).collect();
    let rows: Vec<&Vec<String>> = rows.iter().collect();
    format!("<section class=\"card\"><h2>Errors</h2>{}</section>", table("Errors", &heading, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(1_795_453_620), "2026-11-23 17:07 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<a b=\"c\">'&\u{1b}"), "&lt;a b=&quot;c&quot;&gt;&#39;&amp;\\u{1b}");
    }
}
