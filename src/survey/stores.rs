//! The store: whether it is there, and how its operations go.

use super::Survey;
use crate::observe::metrics::{Kind, Metric, Page, SHORT};

pub(super) const METRICS: &[&Metric] = &[&UP, &OPERATION, &FAILED, &INSTANCES, &LOST];

const UP: Metric = Metric {
    name: "moorline_store_up",
    kind: Kind::Gauge,
    labels: &["part"],
    help: "1 while the part of the store can be reached, 0 while it is taken to be away; only where it is more than memory",
    advice: "At 0 this instance goes on by itself: sessions by what it knows, limits as `limits.when_away` says, the cache by its own \
             memory. Nothing needs a restart when the store is back.",
};

const OPERATION: Metric = Metric {
    name: "moorline_store_operation_seconds",
    kind: SHORT,
    labels: &["part", "operation"],
    help: "How long operations on the store took, well or badly",
    advice: "A disk store waits for its commit; a shared one for the network and the server. Near `store.timeout` operations are given up.",
};

const FAILED: Metric = Metric {
    name: "moorline_store_operations_failed_total",
    kind: Kind::Counter,
    labels: &["part", "operation"],
    help: "Operations on the store that failed, or were given up because nobody could wait longer",
    advice: "A few in a row make the store count as away (moorline_store_up). Now and then: the server is busy, or `store.timeout` short.",
};

const INSTANCES: Metric = Metric {
    name: "moorline_instances",
    kind: Kind::Gauge,
    labels: &[],
    help: "Instances that share the counters of limits, as this one knows, itself included",
    advice: "Fewer than are running: some cannot reach the store, or use another prefix.",
};

const LOST: Metric = Metric {
    name: "moorline_store_news_lost_total",
    kind: Kind::Counter,
    labels: &[],
    help: "News of other instances that was lost because too much waited to be heard",
    advice: "Nothing is wrong for long: what was lost is found out within half a minute. Growing: this instance has too little processor time.",
};

pub(super) fn collect(survey: &Survey, page: &mut Page) {
    for part in &survey.stores.parts {
        page.family(&UP).count(&[part.name], u64::from(!(part.away)()));
        for (name, operation) in part.pulse.operations() {
            page.family(&OPERATION).histogram(&[part.name, name], &operation.took.snapshot());
            page.family(&FAILED).count(&[part.name, name], operation.failed.get());
        }
    }
    page.count(&INSTANCES, survey.limit.instances().into());
    page.count(&LOST, survey.stores.lost.get());
}
