//! In which form a page is wanted, and what it is called on the way: by the `Accept` header field (RFC 9110 §12.5.1) that Prometheus
//! sends. Whoever names none of the forms gets plain text.

use prost::Message;

use super::page::Page;
use super::text::Text;

/// The forms of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Plain,
    /// OpenMetrics 1.0, as text.
    OpenMetrics,
    /// Prometheus protobuf, each family after its length: the one with native histograms.
    Protobuf,
}

impl Format {
    /// The form that is wanted most.
    #[must_use]
    pub fn wanted(accept: &str) -> Self {
        let mut best = (Self::Plain, 0.0);
        for wish in accept.split(',') {
            let mut parts = wish.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let of = |name: &str| {
                let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.trim_matches('"'))
            };
            let Some(format) = Self::named(&kind, of) else { continue };
            let weight = of("q").and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }

    fn named<'a>(kind: &str, of: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        match kind {
            "application/vnd.google.protobuf" => {
                let families = of("proto").is_some_and(|proto| proto == "io.prometheus.client.MetricFamily");
                let delimited = of("encoding").is_some_and(|encoding| encoding == "delimited");
                (families && delimited).then_some(Self::Protobuf)
            }
            "application/openmetrics-text" => {
                of("version").is_none_or(|version| version.starts_with("1.")).then_some(Self::OpenMetrics)
            }
            "text/plain" => of("version").is_none_or(|version| version == "0.0.4").then_some(Self::Plain),
            "text/*" | "*/*" => Some(Self::Plain),
            _ => None,
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The page in this form.
    #[must_use]
    pub fn write(self, page: &Page) -> Vec<u8> {
        match self {
            Self::Plain => Text::Plain.write(page).into_bytes(),
            Self::OpenMetrics => Text::Open.write(page).into_bytes(),
            Self::Protobuf => {
                let filled = page.families.iter().filter(|family| !family.metric.is_empty());
                filled.flat_map(Message::encode_length_delimited_to_vec).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Prometheus 3 sends, with native histograms and without, and its elder.
    const NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
         application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    const CLASSIC: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

    #[test]
    fn the_most_wanted_form_that_there_is() {
        for (accept, format) in [
            (NATIVE, Format::Protobuf),
            (CLASSIC, Format::OpenMetrics),
            ("", Format::Plain),
            ("*/*", Format::Plain),
            ("text/html, */*;q=0.8", Format::Plain),
            ("text/plain;version=0.0.4, application/openmetrics-text;q=0.9", Format::Plain),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"; q=0.1", Format::OpenMetrics),
            ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Format::Plain),
            ("application/vnd.google.protobuf", Format::Plain),
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Format::Plain),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }
}
