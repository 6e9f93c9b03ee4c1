//! What one scrape has collected: families of samples, each under the description that it was declared with. A sample's labels are
//! given in the order of the description, so that none can be left out or made up on the way. How a page is written is said elsewhere.

use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;

use crate::meter::scale::{SCHEMA, ZERO_THRESHOLD};
use crate::meter::{Exemplar, Snapshot};

/// The description of a metric: `docs/metrics.md` is made of it.
#[derive(Debug)]
pub struct Metric {
    /// The whole name as Prometheus shows it, with unit and `_total`.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is, in one sentence without its full stop.
    pub help: &'static str,
    /// What to do, or to look at, when it is high; for the documentation.
    pub advice: &'static str,
}

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Grows and falls.
    Gauge,
    /// Durations; the powers of two, in seconds, that are the bounds of its classic buckets.
    Histogram(&'static [i32]),
}

/// What is collected at a scrape.
pub trait Collect: Send + Sync {
    /// Writes what it has on the page. It may not wait, nor take long.
    fn collect(&self, page: &mut Page);
}

/// The label value of a family's series for all that had no place of their own.
pub const OTHER: &str = "other";

/// What one scrape has collected.
#[derive(Debug, Default)]
pub struct Page {
    pub(super) families: Vec<model::MetricFamily>,
}

/// The samples of one family.
#[derive(Debug)]
pub struct Samples<'a> {
    metric: &'static Metric,
    samples: &'a mut Vec<model::Metric>,
}

impl Page {
    /// Begins a family; one that was begun before is gone on with.
    pub fn family(&mut self, metric: &'static Metric) -> Samples<'_> {
        let at = self.families.iter().position(|family| family.name == metric.name).unwrap_or_else(|| {
            self.families.push(metric.family());
            self.families.len() - 1
        });
        Samples { metric, samples: &mut self.families[at].metric }
    }

    /// A family of one number without labels.
    pub fn number(&mut self, metric: &'static Metric, value: f64) {
        self.family(metric).number(&[], value);
    }

    /// A family of one count without labels.
    pub fn count(&mut self, metric: &'static Metric, count: u64) {
        self.family(metric).count(&[], count);
    }
}

impl Metric {
    fn family(&self) -> model::MetricFamily {
        let kind = match self.kind {
            Kind::Counter => model::MetricType::Counter,
            Kind::Gauge => model::MetricType::Gauge,
            Kind::Histogram(_) => model::MetricType::Histogram,
        };
        model::MetricFamily {
            name: self.name.into(),
            help: self.help.into(),
            r#type: kind.into(),
            unit: self.unit().into(),
            metric: Vec::new(),
        }
    }

    /// The unit, which is the last word of its name; empty where it has none.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        let name = self.name.trim_end_matches("_total");
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)).unwrap_or_default()
    }
}

impl Samples<'_> {
    /// A count.
    pub fn count(&mut self, labels: &[&str], count: u64) {
        self.number(labels, count as f64);
    }

    /// A number.
    pub fn number(&mut self, labels: &[&str], value: f64) {
        let mut sample = self.sample(labels);
        match self.metric.kind {
            Kind::Counter => sample.counter = Some(model::Counter { value, ..Default::default() }),
            Kind::Gauge => sample.gauge = Some(model::Gauge { value }),
            Kind::Histogram(_) => debug_assert!(false, "{} is no single number", self.metric.name),
        }
        self.samples.push(sample);
    }

    /// A histogram.
    pub fn histogram(&mut self, labels: &[&str], snapshot: &Snapshot) {
        let mut sample = self.sample(labels);
        let Kind::Histogram(bounds) = self.metric.kind else {
            debug_assert!(false, "{} is no histogram", self.metric.name);
            return;
        };
        sample.histogram = Some(histogram(bounds, snapshot));
        self.samples.push(sample);
    }

    fn sample(&self, values: &[&str]) -> model::Metric {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "the labels of {}", self.metric.name);
        let pairs = self.metric.labels.iter().zip(values);
        let label = pairs.map(|(name, value)| model::LabelPair { name: (*name).into(), value: (*value).into() });
        model::Metric { label: label.collect(), ..Default::default() }
    }
}

/// Both forms of a histogram: whoever asks for text gets the classic buckets, and Prometheus takes the native ones where it may.
fn histogram(bounds: &[i32], snapshot: &Snapshot) -> model::Histogram {
    let count = snapshot.count();
    let bounds = bounds.iter().map(|bound| (f64::from(*bound).exp2(), snapshot.within(*bound)));
    let mut bucket: Vec<_> = bounds
        .chain([(f64::INFINITY, count)])
        .map(|(upper_bound, cumulative_count)| model::Bucket { upper_bound, cumulative_count, ..Default::default() })
        .collect();
    for (_, exemplar) in &snapshot.exemplars {
        let place = bucket.iter_mut().find(|bucket| exemplar.took.as_secs_f64() <= bucket.upper_bound);
        if let Some(place) = place {
            place.exemplar = Some(written(exemplar));
        }
    }
    let (positive_span, positive_delta) = spans(snapshot);
    model::Histogram {
        sample_count: count,
        sample_sum: snapshot.sum,
        bucket,
        schema: SCHEMA,
        zero_threshold: ZERO_THRESHOLD,
        zero_count: snapshot.buckets[0],
        positive_span,
        positive_delta,
        ..Default::default()
    }
}

fn written(exemplar: &Exemplar) -> model::Exemplar {
    let label = model::LabelPair { name: "trace_id".into(), value: format!("{:032x}", exemplar.trace) };
    let at = UNIX_EPOCH + Duration::from_millis(exemplar.at);
    model::Exemplar { label: vec![label], value: exemplar.took.as_secs_f64(), timestamp: Some(at.into()) }
}

/// Runs of buckets, and how much each bucket differs from the one before it.
fn spans(snapshot: &Snapshot) -> (Vec<model::BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<model::BucketSpan>::new(), Vec::new());
    let (mut next, mut before) = (0, 0_i64);
    for (number, count) in snapshot.exponential() {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        match spans.last_mut() {
            Some(span) if number == next => span.length += 1,
            _ => spans.push(model::BucketSpan { offset: number - next, length: 1 }),
        }
        deltas.push(count - before);
        (next, before) = (number + 1, count);
    }
    (spans, deltas)
}

/// What takes a request's time: classic buckets from 0.5 ms to 64 s.
pub const REQUESTS: Kind = Kind::Histogram(&[-11, -9, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 4, 6]);

/// What takes little: classic buckets from 0.06 ms to 1 s.
pub const SHORT: Kind = Kind::Histogram(&[-14, -13, -12, -11, -10, -9, -8, -6, -4, -2, 0]);

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use crate::meter::Histogram;

    const COUNTED: Metric = Metric {
        name: "moorline_things_total",
        kind: Kind::Counter,
        labels: &["pool", "what"],
        help: "Things, by \"kind\"",
        advice: "",
    };
    const HELD: Metric =
        Metric { name: "moorline_held_bytes", kind: Kind::Gauge, labels: &[], help: "Held", advice: "" };
    const TOOK: Metric = Metric {
        name: "moorline_took_seconds",
        kind: Kind::Histogram(&[-3, 0, 1]),
        labels: &["pool"],
        help: "Took",
        advice: "",
    };
    const EMPTY: Metric = Metric { name: "moorline_none", kind: Kind::Gauge, labels: &["x"], help: "None", advice: "" };

    fn page() -> Page {
        let mut page = Page::default();
        page.family(&COUNTED).count(&["a", "x\"\\\n"], 3);
        page.number(&HELD, 0.5);
        page.family(&EMPTY);
        page.family(&COUNTED).count(&["b", "y"], 1 << 40);
        let histogram = Histogram::default();
        for micros in [1, 125_000, 999_000, 5_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let took = Duration::from_micros(999_000);
        let exemplars = vec![(0, Exemplar { trace: 0xabc, took, at: 1_700_000_000_250 })];
        page.family(&TOOK).histogram(&["a"], &Snapshot { exemplars, ..histogram.snapshot() });
        page
    }

    #[test]
    fn plain_text_is_as_prometheus_reads_it() {
        let text = String::from_utf8(Format::Plain.write(&page())).unwrap();
        let expected = r#"# HELP moorline_things_total Things, by "kind".
# TYPE moorline_things_total counter
moorline_things_total{pool="a",what="x\"\\\n"} 3
moorline_things_total{pool="b",what="y"} 1099511627776
# HELP moorline_held_bytes Held.
# TYPE moorline_held_bytes gauge
moorline_held_bytes 0.5
# HELP moorline_took_seconds Took.
# TYPE moorline_took_seconds histogram
moorline_took_seconds_bucket{pool="a",le="0.125"} 2
moorline_took_seconds_bucket{pool="a",le="1.0"} 3
moorline_took_seconds_bucket{pool="a",le="2.0"} 3
moorline_took_seconds_bucket{pool="a",le="+Inf"} 4
moorline_took_seconds_sum{pool="a"} 6.124001
moorline_took_seconds_count{pool="a"} 4
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn openmetrics_has_units_exemplars_and_an_end() {
        let text = String::from_utf8(Format::OpenMetrics.write(&page())).unwrap();
        assert!(
            text.starts_with("# HELP moorline_things Things, by \\\"kind\\\".\n# TYPE moorline_things counter\n"),
            "{text}"
        );
        assert!(text.contains("\nmoorline_things_total{pool=\"b\",what=\"y\"} 1099511627776\n"), "{text}");
        assert!(text.contains("\n# TYPE moorline_held_bytes gauge\n# UNIT moorline_held_bytes bytes\n"), "{text}");
        let exemplar =
            "{pool=\"a\",le=\"1.0\"} 3 # {trace_id=\"00000000000000000000000000000abc\"} 0.999 1700000000.250\n";
        assert!(text.contains(exemplar), "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn protobuf_has_both_kinds_of_buckets() {
        use prost::Message;
        let bytes = Format::Protobuf.write(&page());
        let mut rest = bytes.as_slice();
        let mut families = Vec::new();
        while !rest.is_empty() {
            families.push(model::MetricFamily::decode_length_delimited(&mut rest).unwrap());
        }
        let names: Vec<_> = families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names, ["moorline_things_total", "moorline_held_bytes", "moorline_took_seconds"]);
        let histogram = families[2].metric[0].histogram.as_ref().unwrap();
        assert_eq!((histogram.schema, histogram.zero_count, histogram.sample_count), (3, 1, 4));
        let spans: Vec<_> = histogram.positive_span.iter().map(|span| (span.offset, span.length)).collect();
        // 2^-3 s, the bucket below 1 s, and the one that holds 5 s.
        assert_eq!(spans, [(-24, 1), (23, 1), (18, 1)]);
        assert_eq!(histogram.positive_delta, [1, 0, 0]);
        assert_eq!(histogram.bucket.len(), 4);
        assert!(histogram.bucket[1].exemplar.is_some());
    }
}
