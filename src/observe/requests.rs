//! The metrics of requests: what was counted of them, in the names that Prometheus shows. Knows how pools and backends are called now;
//! what was counted of one that is gone is left out.

use std::sync::Arc;

use super::metrics::{Collect, Kind, Metric, Page, REQUESTS, SHORT};
use super::names::Method;
use super::tally::{Counts, ERAS, Tallies, Times};
use super::trail::Outcome;
use crate::fleet::Fleet;
use crate::mcp::version::Era;
use crate::names::PoolId;

/// Requests.
pub const REQUESTS_TOTAL: Metric = Metric {
    name: "moorline_requests_total",
    kind: Kind::Counter,
    labels: &["pool", "method", "tool", "era", "outcome"],
    help: "Requests whose answers have ended, by what was asked for and how they ended",
    advice: "`tool_error`: a tool said that it failed; `error`: the server answered by an error; `refused`: Moorline refused, \
             see moorline_refusals_total; `client_left`: the client went before the end.",
};

/// How long requests took.
pub const DURATION: Metric = Metric {
    name: "moorline_request_duration_seconds",
    kind: REQUESTS,
    labels: &["pool", "method", "tool"],
    help: "From a request's header fields to the end of its answer, without refusals and without streams that stay open",
    advice: "Compare with the two parts of it below: they say whether to look at Moorline or at the servers.",
};

/// How long they took in backends.
pub const BACKEND_DURATION: Metric = Metric {
    name: "moorline_request_backend_duration_seconds",
    kind: REQUESTS,
    labels: &["pool", "method", "tool"],
    help: "How long backends took to begin their answers, all tries of a request together",
    advice: "High for one tool: the tool is slow. High for all: add servers, or look at moorline_backend_duration_seconds for one that is.",
};

/// How long they took here.
pub const OWN_DURATION: Metric = Metric {
    name: "moorline_request_own_duration_seconds",
    kind: SHORT,
    labels: &["pool", "method"],
    help: "Moorline's part: from the end of a request's body to the beginning of its answer, without what backends took",
    advice: "It holds waits for a turn (limits), for the store, and for a session that moves. High without these: this machine is short of CPU.",
};

/// What backends did.
pub const BACKEND_REQUESTS: Metric = Metric {
    name: "moorline_backend_requests_total",
    kind: Kind::Counter,
    labels: &["pool", "backend", "outcome"],
    help: "Requests by the backend that they were sent to last, and how they ended",
    advice: "One backend with more errors than its neighbours is sick, though its health checks pass.",
};

/// How long backends took, one by one.
pub const BACKEND_TIMES: Metric = Metric {
    name: "moorline_backend_duration_seconds",
    kind: Kind::Histogram(&[-8, -6, -4, -2, 0, 2, 4, 6]),
    labels: &["pool", "backend"],
    help: "How long each backend took to begin its answers",
    advice: "One that is slower than its neighbours gets fewer requests by itself; find out why.",
};

/// What the cache had to do with answers.
pub const CACHED: Metric = Metric {
    name: "moorline_cache_answers_total",
    kind: Kind::Counter,
    labels: &["how"],
    help: "Answers of what may be cached, by where they came from",
    advice: "Many misses: the time to live is too short, or the arguments differ more than they need to.",
};

/// Bytes of requests.
pub const BYTES_IN: Metric = Metric {
    name: "moorline_request_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Bytes of the bodies of requests whose answers have ended",
    advice: "For capacity planning.",
};

/// Bytes of answers.
pub const BYTES_OUT: Metric = Metric {
    name: "moorline_response_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Bytes of the bodies of answers that have ended",
    advice: "For capacity planning.",
};

/// All of them, in the order of the documentation.
pub const ALL: [&Metric; 9] = [
    &REQUESTS_TOTAL,
    &DURATION,
    &BACKEND_DURATION,
    &OWN_DURATION,
    &BACKEND_REQUESTS,
    &BACKEND_TIMES,
    &CACHED,
    &BYTES_IN,
    &BYTES_OUT,
];

/// What was counted of requests, as metrics.
pub struct Requests {
    /// What was counted.
    pub tallies: Arc<Tallies>,
    /// How pools and backends are called.
    pub fleet: Arc<Fleet>,
}

impl Collect for Requests {
    fn collect(&self, page: &mut Page) {
        let counts = self.tallies.counts();
        self.kinds(&counts, page);
        self.times(&counts, page);
        self.backends(&counts, page);
        let mut cached: Vec<_> = counts.cached.iter().collect();
        cached.sort_unstable();
        let mut family = page.family(&CACHED);
        cached.into_iter().for_each(|(how, count)| family.count(&[how], *count));
        page.count(&BYTES_IN, counts.bytes_in);
        page.count(&BYTES_OUT, counts.bytes_out);
    }
}

impl Requests {
    fn name(&self, pool: PoolId) -> Option<Box<str>> {
        self.fleet.pool(pool).map(|pool| pool.settings().name.as_str().into())
    }

    fn kinds(&self, counts: &Counts, page: &mut Page) {
        let mut family = page.family(&REQUESTS_TOTAL);
        let some = |outcomes: [u64; Outcome::ALL.len()]| {
            Outcome::ALL.into_iter().zip(outcomes).filter(|(_, count)| *count > 0)
        };
        for (outcome, count) in some(counts.unread) {
            family.count(&["", Method::OTHER.name(), "", "", outcome.name()], count);
        }
        for ((pool, method, tool), requests) in &counts.requests {
            let Some(pool) = self.name(*pool) else { continue };
            let tool = self.tallies.tools.name(*tool).unwrap_or_default();
            for (era, outcomes) in ERAS.into_iter().zip(requests.outcomes) {
                let era = if era == Era::Modern { "modern" } else { "legacy" };
                for (outcome, count) in some(outcomes) {
                    family.count(&[&pool, method.name(), &tool, era, outcome.name()], count);
                }
            }
        }
    }

    fn times(&self, counts: &Counts, page: &mut Page) {
        let mut own = std::collections::HashMap::<_, Times>::new();
        let timed = counts.requests.iter().filter(|(_, requests)| requests.times.whole.count() > 0);
        for ((pool, method, tool), requests) in timed {
            let (name, times) = (self.name(*pool), &requests.times);
            let Some(name) = name else { continue };
            let tool = self.tallies.tools.name(*tool).unwrap_or_default();
            page.family(&DURATION).histogram(&[&name, method.name(), &tool], &times.whole.snapshot());
            if times.backend.count() > 0 {
                page.family(&BACKEND_DURATION).histogram(&[&name, method.name(), &tool], &times.backend.snapshot());
            }
            own.entry((name, *method)).or_default().own.join(&times.own);
        }
        let mut family = page.family(&OWN_DURATION);
        own.iter().for_each(|((pool, method), times)| family.histogram(&[pool, method.name()], &times.own.snapshot()));
    }

    fn backends(&self, counts: &Counts, page: &mut Page) {
        for pool in self.fleet.pools().iter() {
            let name = pool.settings().name.clone();
            for backend in pool.everybody() {
                let Some(work) = counts.backends.get(&backend.id) else { continue };
                for (outcome, count) in Outcome::ALL.iter().zip(work.outcomes).filter(|(_, count)| *count > 0) {
                    page.family(&BACKEND_REQUESTS).count(&[name.as_str(), &backend.name, outcome.name()], count);
                }
                page.family(&BACKEND_TIMES).histogram(&[name.as_str(), &backend.name], &work.times.snapshot());
            }
        }
    }
}
