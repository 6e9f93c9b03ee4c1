//! The cache: what became of its answers, and what it holds.

use super::Survey;
use crate::observe::metrics::{Kind, Metric, Page};
use crate::observe::requests::CACHED;

pub(super) const METRICS: &[&Metric] =
    &[&CACHED, &COALESCED, &RESULTS, &DROPPED, &ORDERS, &ENTRIES, &BYTES, &MOST_BYTES, &CALLS, &WAITING];

const COALESCED: Metric = Metric {
    name: "moorline_cache_coalesced_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Answers that waited for a call which another request had made, and share its result",
    advice: "So many calls the servers were spared although nothing was kept yet.",
};

const RESULTS: Metric = Metric {
    name: "moorline_cache_results_total",
    kind: Kind::Counter,
    labels: &["kept"],
    help: "Results of calls that the cache led, by whether they were kept",
    advice: "Many of `no`: failures, results over `max_bytes`, or servers that mark them as not to be kept.",
};

const DROPPED: Metric = Metric {
    name: "moorline_cache_dropped_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Results that had to make room for others in this instance's memory",
    advice: "Growing while the share of hits is low: raise `results.memory`.",
};

const ORDERS: Metric = Metric {
    name: "moorline_cache_forget_orders_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Orders of this instance to forget results: purges, calls that change something, servers that say so",
    advice: "More than calls that really change something: a rule's `invalidates` is too wide.",
};

const ENTRIES: Metric = Metric {
    name: "moorline_cache_entries",
    kind: Kind::Gauge,
    labels: &[],
    help: "Results in this instance's memory",
    advice: "",
};

const BYTES: Metric = Metric {
    name: "moorline_cache_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "What the results in memory take, index included",
    advice: "It stays below moorline_cache_max_bytes by dropping what is asked for least.",
};

const MOST_BYTES: Metric = Metric {
    name: "moorline_cache_max_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "What the results in memory may take (`results.memory`)",
    advice: "",
};

const CALLS: Metric = Metric {
    name: "moorline_cache_calls",
    kind: Kind::Gauge,
    labels: &[],
    help: "Calls under way whose results shall be kept",
    advice: "",
};

const WAITING: Metric = Metric {
    name: "moorline_cache_waiting",
    kind: Kind::Gauge,
    labels: &[],
    help: "Requests that wait for such a call of another",
    advice: "High: a slow call that many want. They wait for `cache.wait` at most, then call for themselves.",
};

pub(super) fn collect(survey: &Survey, page: &mut Page) {
    let counts = survey.cache.counts();
    page.count(&COALESCED, counts.coalesced.get());
    let mut results = page.family(&RESULTS);
    results.count(&["yes"], counts.kept.get());
    results.count(&["no"], counts.void.get());
    let usage = survey.cache.usage();
    page.count(&DROPPED, usage.dropped);
    page.count(&ORDERS, counts.orders.get());
    page.count(&ENTRIES, usage.entries as u64);
    page.count(&BYTES, usage.bytes);
    page.count(&MOST_BYTES, usage.most);
    let (calls, waiting) = survey.cache.under_way();
    page.count(&CALLS, calls as u64);
    page.count(&WAITING, waiting as u64);
}
