//! Writes a page as text, in the two forms that are read: OpenMetrics 1.0, and Prometheus text 0.0.4, its elder, which knows neither
//! exemplars nor units.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;

use super::page::Page;

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// OpenMetrics 1.0.
    Open,
    /// Prometheus text 0.0.4.
    Plain,
}

/// Bytes that a line takes, about.
const LINE: usize = 96;

impl Text {
    /// The page as text.
    #[must_use]
    pub fn write(self, page: &Page) -> String {
        let samples: usize = page.families.iter().map(|family| family.metric.len()).sum();
        let mut text = String::with_capacity(samples * LINE);
        for family in page.families.iter().filter(|family| !family.metric.is_empty()) {
            self.family(&mut text, family);
        }
        if self == Self::Open {
            text.push_str("# EOF\n");
        }
        text
    }

    fn family(self, text: &mut String, family: &model::MetricFamily) {
        let kind = match family.r#type() {
            model::MetricType::Counter => "counter",
            model::MetricType::Histogram => "histogram",
            _ => "gauge",
        };
        // In OpenMetrics `_total` belongs to the sample, not to the family.
        let name = match self {
            Self::Open => family.name.trim_end_matches("_total"),
            Self::Plain => &family.name,
        };
        put(text, &["# HELP ", name, " "]);
        escape(text, &family.help, self == Self::Open);
        put(text, &[".\n# TYPE ", name, " ", kind, "\n"]);
        if self == Self::Open && !family.unit.is_empty() {
            put(text, &["# UNIT ", name, " ", &family.unit, "\n"]);
        }
        for sample in &family.metric {
            self.sample(text, &family.name, sample);
        }
    }

    fn sample(self, text: &mut String, name: &str, sample: &model::Metric) {
        let single = sample.counter.as_ref().map(|counter| counter.value);
        if let Some(value) = single.or(sample.gauge.as_ref().map(|gauge| gauge.value)) {
            line(text, (name, ""), &sample.label, None, &number(value));
            text.push('\n');
        }
        let Some(histogram) = &sample.histogram else { return };
        for bucket in &histogram.bucket {
            let bound = bound(bucket.upper_bound);
            line(text, (name, "_bucket"), &sample.label, Some(&bound), &bucket.cumulative_count.to_string());
            if let (Self::Open, Some(exemplar)) = (self, &bucket.exemplar) {
                put(text, &[" # "]);
                labels(text, &exemplar.label, None);
                let at = exemplar.timestamp.as_ref().map(|at| format!(" {}.{:03}", at.seconds, at.nanos / 1_000_000));
                put(text, &[" ", &number(exemplar.value), at.as_deref().unwrap_or_default()]);
            }
            text.push('\n');
        }
        line(text, (name, "_sum"), &sample.label, None, &number(histogram.sample_sum));
        text.push('\n');
        line(text, (name, "_count"), &sample.label, None, &histogram.sample_count.to_string());
        text.push('\n');
    }
}

fn line(text: &mut String, name: (&str, &str), pairs: &[model::LabelPair], bound: Option<&str>, value: &str) {
    put(text, &[name.0, name.1]);
    if !pairs.is_empty() || bound.is_some() {
        labels(text, pairs, bound);
    }
    put(text, &[" ", value]);
}

fn labels(text: &mut String, pairs: &[model::LabelPair], bound: Option<&str>) {
    text.push('{');
    let pairs = pairs.iter().map(|pair| (pair.name.as_str(), pair.value.as_str()));
    for (place, (name, value)) in pairs.chain(bound.map(|bound| ("le", bound))).enumerate() {
        put(text, &[if place > 0 { "," } else { "" }, name, "=\""]);
        escape(text, value, true);
        text.push('"');
    }
    text.push('}');
}

fn put(text: &mut String, words: &[&str]) {
    words.iter().for_each(|word| text.push_str(word));
}

fn escape(text: &mut String, words: &str, quotes: bool) {
    for c in words.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            _ => text.push(c),
        }
    }
}

/// A number as both forms want it.
fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        _ => value.to_string(),
    }
}

/// A bucket's bound, always with its point: it is a label, and must be the same in every form.
fn bound(value: f64) -> String {
    let text = number(value);
    if value.is_finite() && !text.contains('.') { text + ".0" } else { text }
}
