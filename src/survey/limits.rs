//! Limits: what each has let through and refused, and who waits for it.

use super::Survey;
use crate::limit::Reason;
use crate::observe::metrics::{Kind, Metric, Page, SHORT};

pub(super) const METRICS: &[&Metric] = &[&ADMITTED, &REFUSED, &WAITING, &WAIT, &PAUSES];

const LABELS: &[&str] = &["limit", "key"];

const ADMITTED: Metric = Metric {
    name: "moorline_limit_admitted_total",
    kind: Kind::Counter,
    labels: LABELS,
    help: "Requests that the limit applied to and that were let through",
    advice: "`limit` is the name in the configuration, `key` whose accounts it keeps (`caller`, `address`, `tool`, …). An upstream is a limit too.",
};

const REFUSED: Metric = Metric {
    name: "moorline_limit_refused_total",
    kind: Kind::Counter,
    labels: &["limit", "key", "reason"],
    help: "Requests that the limit refused, by reason",
    advice: "`rate` and `tokens`: used up. `blocked`: somebody went on after that, and the limit has a `block`. `paused`: the upstream \
             itself has refused. `running`: as many run as may. `queue_full`, `queue_late`: and too many wait, or none ended in time. Who it \
             is: `moorline limits`, or the access log.",
};

const WAITING: Metric = Metric {
    name: "moorline_limit_waiting",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "Requests that wait for their turn, where only so many may run",
    advice: "Never empty: `concurrency` is too low for what is asked, or what runs is slow.",
};

const WAIT: Metric = Metric {
    name: "moorline_limit_wait_seconds",
    kind: SHORT,
    labels: LABELS,
    help: "How long requests waited for their turn, whatever came of it; those that did not wait left out",
    advice: "This is part of moorline_request_own_duration_seconds.",
};

const PAUSES: Metric = Metric {
    name: "moorline_limit_pauses_total",
    kind: Kind::Counter,
    labels: LABELS,
    help: "How often an upstream has said that it wants to be left alone, and was",
    advice: "The configured rate is above what the upstream really gives: lower it, so that callers are told before tools fail.",
};

pub(super) fn collect(survey: &Survey, page: &mut Page) {
    for (limit, key, counts) in survey.limit.counts() {
        let labels = [&*limit, key.as_str()];
        page.family(&ADMITTED).count(&labels, counts.admitted.get());
        for (reason, count) in Reason::ALL.iter().zip(&counts.refused) {
            page.family(&REFUSED).count(&[&limit, &key, reason.name()], count.get());
        }
        page.family(&WAITING).number(&labels, counts.waits.now.get() as f64);
        page.family(&WAIT).histogram(&labels, &counts.waits.took.snapshot());
        page.family(&PAUSES).count(&labels, counts.pauses.get());
    }
}
