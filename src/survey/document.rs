//! The documentation of all metrics: `docs/metrics.md` is made of what is said here and beside each of them.

use std::fmt::Write as _;

use super::{backends, cache, connections, instance, limits, process, sessions, stores};
use crate::observe::metrics::REFUSALS;
use crate::observe::metrics::{Kind, Metric};
use crate::observe::requests::{BACKEND_DURATION, BYTES_IN, BYTES_OUT, DURATION, OWN_DURATION, REQUESTS_TOTAL};

/// Metrics that belong together.
pub struct Chapter {
    /// Its heading.
    pub title: &'static str,
    /// The metrics.
    pub metrics: &'static [&'static Metric],
}

/// All metrics.
pub const CHAPTERS: &[Chapter] = &[
    Chapter { title: "Requests", metrics: REQUESTS },
    Chapter { title: "Connections and streams", metrics: connections::METRICS },
    Chapter { title: "Backends", metrics: backends::METRICS },
    Chapter { title: "Sessions", metrics: sessions::METRICS },
    Chapter { title: "Limits", metrics: limits::METRICS },
    Chapter { title: "Cache", metrics: cache::METRICS },
    Chapter { title: "Store", metrics: stores::METRICS },
    Chapter { title: "Instance", metrics: instance::METRICS },
    Chapter { title: "Process", metrics: process::METRICS },
];

/// Those that the observe station tells of.
const REQUESTS: &[&Metric] =
    &[&REQUESTS_TOTAL, &DURATION, &OWN_DURATION, &BACKEND_DURATION, &REFUSALS, &BYTES_IN, &BYTES_OUT];

const OPENING: &str = include_str!("opening.md");
const QUERIES: &str = include_str!("queries.md");

/// The whole document.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(OPENING);
    for chapter in CHAPTERS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {}\n", chapter.title);
        chapter.metrics.iter().for_each(|metric| describe(&mut text, metric));
    }
    text.push('\n');
    text.push_str(QUERIES);
    text
}

fn describe(text: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "Counter".into(),
        Kind::Gauge => "Gauge".into(),
        Kind::Histogram(bounds) => {
            let ends = bounds.first().zip(bounds.last());
            let ends = ends.map(|(first, last)| format!(" from 2^{first} s to 2^{last} s")).unwrap_or_default();
            format!("Histogram, classic buckets{ends}")
        }
    };
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    let by = if labels.is_empty() { String::new() } else { format!(" by {}", labels.join(", ")) };
    let _ = write!(text, "\n### `{}`\n\n{kind}{by}.\n\n{}.\n", metric.name, metric.help);
    if !metric.advice.is_empty() {
        let _ = write!(text, "\n{}\n", metric.advice);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_labels_keep_to_the_conventions() {
        let all: Vec<_> = CHAPTERS.iter().flat_map(|chapter| chapter.metrics).collect();
        let names: BTreeSet<_> = all.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all.len(), "each name is there once");
        for metric in all {
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.name.starts_with("moorline_") || metric.name.starts_with("process_"), "{}", metric.name);
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(metric.name.ends_with("_seconds") && bounds.is_sorted(), "{}", metric.name);
            }
            let first = metric.help.chars().next().unwrap();
            assert!(!metric.help.ends_with('.') && (first.is_uppercase() || first.is_ascii_digit()), "{}", metric.name);
            assert!(metric.labels.iter().all(|label| !label.starts_with("__") && *label != "le" && *label != "job"));
        }
    }
}
