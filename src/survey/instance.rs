//! The instance itself: what it is, what it was told, and what will run out.

use std::sync::atomic::Ordering;

use super::Survey;
use crate::observe::metrics::{Kind, Metric, Page};

pub(super) const METRICS: &[&Metric] =
    &[&BUILD, &PHASE, &RELOADS, &LOADED, &CERTIFICATE, &KEYS, &KEYS_AGE, &KEYS_FAILED, &LINES_DROPPED, &SPANS];

const BUILD: Metric = Metric {
    name: "moorline_build_info",
    kind: Kind::Gauge,
    labels: &["version", "store"],
    help: "Always 1; says which version it is and where it keeps things",
    advice: "",
};

const PHASE: Metric = Metric {
    name: "moorline_going_away",
    kind: Kind::Gauge,
    labels: &[],
    help: "0 while all is served; on the way out 1 (not ready any more), 2 (no new sessions), 3 (no new connections), 4 (over)",
    advice: "Longer than `drain.deadline`: tell the project.",
};

const RELOADS: Metric = Metric {
    name: "moorline_config_reloads_total",
    kind: Kind::Counter,
    labels: &["result"],
    help: "Configurations that came after the first, by result: `taken` or `refused`",
    advice: "`refused`: the file has faults, and the old configuration stays; the log names them all, and so does `moorline check`.",
};

const LOADED: Metric = Metric {
    name: "moorline_config_loaded_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "When the configuration in use was taken over, as unix time",
    advice: "It differs between instances: one of them has not got the new file, or has refused it.",
};

const CERTIFICATE: Metric = Metric {
    name: "moorline_certificate_expiry_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &["file"],
    help: "When the certificate in the file runs out, as unix time; those shown to clients and to backends",
    advice: "Renew it in time: the file is read again by itself when it changes.",
};

const KEYS: Metric = Metric {
    name: "moorline_jwks_keys",
    kind: Kind::Gauge,
    labels: &["issuer"],
    help: "Keys of the issuer that tokens are verified by now",
    advice: "At 0 nobody can be known by a token of this issuer.",
};

const KEYS_AGE: Metric = Metric {
    name: "moorline_jwks_age_seconds",
    kind: Kind::Gauge,
    labels: &["issuer"],
    help: "How long ago the issuer's keys were had last",
    advice: "Above `refresh`: they cannot be fetched. At `stale` they are no longer believed, and every token is refused. Keys from a file \
             are as old as the last change of it.",
};

const KEYS_FAILED: Metric = Metric {
    name: "moorline_jwks_failures_total",
    kind: Kind::Counter,
    labels: &["issuer"],
    help: "Attempts to have the issuer's keys that failed",
    advice: "The log says why.",
};

const LINES_DROPPED: Metric = Metric {
    name: "moorline_access_log_dropped_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Lines of the access log that were dropped because too many waited to be written",
    advice: "Where the log is written to is too slow; requests are never held up by it.",
};

const SPANS: Metric = Metric {
    name: "moorline_spans_total",
    kind: Kind::Counter,
    labels: &["fate"],
    help: "Spans of traces: `sent` to the collector, `dropped` because too many waited, or `failed` because it did not take them",
    advice: "The log says why they failed. Many dropped: lower `traces.sample`, or give the collector more room.",
};

pub(super) fn collect(survey: &Survey, page: &mut Page) {
    page.family(&BUILD).count(&[env!("CARGO_PKG_VERSION"), survey.stores.kind], 1);
    page.count(&PHASE, survey.drain.phase() as u64);
    let readings = &survey.readings;
    page.family(&RELOADS).count(&["taken"], readings.taken.get());
    page.family(&RELOADS).count(&["refused"], readings.refused.get());
    page.count(&LOADED, readings.since.load(Ordering::Relaxed));
    for (file, ends) in readings.certificates.load().iter() {
        page.family(&CERTIFICATE).count(&[file], *ends);
    }
    for source in survey.gates.sources() {
        page.family(&KEYS).count(&[&source.issuer], source.keys as u64);
        if let Some(age) = source.age {
            page.family(&KEYS_AGE).number(&[&source.issuer], age.as_secs_f64());
        }
        page.family(&KEYS_FAILED).count(&[&source.issuer], source.failed);
    }
    page.count(&LINES_DROPPED, survey.observe.access().dropped());
    let spans = survey.observe.tracing().exported();
    for (fate, count) in [("sent", spans.sent), ("dropped", spans.dropped), ("failed", spans.failed)] {
        page.family(&SPANS).count(&[fate], count);
    }
}
