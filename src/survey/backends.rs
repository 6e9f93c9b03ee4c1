//! Backends: how each is doing, what it has done, and the gate before it.

use super::Survey;
use crate::fleet::{Backend, Pool};
use crate::observe::metrics::{Kind, Metric, Page, SHORT};
use crate::observe::requests::{BACKEND_REQUESTS, BACKEND_TIMES};

pub(super) const METRICS: &[&Metric] = &[
    &UP,
    &EJECTED,
    &DRAINING,
    &IN_FLIGHT,
    &SESSIONS,
    &LATENCY,
    &BACKEND_REQUESTS,
    &BACKEND_TIMES,
    &EJECTIONS,
    &PROBES,
    &RUNNING,
    &MOST,
    &QUEUE,
    &QUEUE_REFUSED,
    &QUEUE_WAIT,
];

/// Backends that are told of at most, over all pools.
const MOST_BACKENDS: usize = 1024;

const LABELS: &[&str] = &["pool", "backend"];

const UP: Metric = Metric {
    name: "moorline_backend_up",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "1 where requests may go to the backend, 0 where it is out of use",
    advice: "At 0: it does not answer its probes, or failed too often; the log says which. moorline_backend_ejected tells whether it waits for its return.",
};

const EJECTED: Metric = Metric {
    name: "moorline_backend_ejected",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "1 while the backend is taken out of use because it failed",
    advice: "It comes back by itself when its probes pass again (`health`). Many at once: the network, or what they all depend on.",
};

const DRAINING: Metric = Metric {
    name: "moorline_backend_draining",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "1 while the backend takes nobody new and its sessions move away",
    advice: "By the configuration or an operator's order. Forgotten ones halve the pool: undrain them.",
};

const IN_FLIGHT: Metric = Metric {
    name: "moorline_backend_requests_in_flight",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "Requests of this instance that wait for the backend, notification streams left out",
    advice: "One much above the others: its answers are slow, or its weight is too high.",
};

const SESSIONS: Metric = Metric {
    name: "moorline_backend_sessions",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "Sessions that lie at the backend, as far as this instance knows",
    advice: "Uneven after a backend has come back: new sessions even it out, or `rebalance`.",
};

const LATENCY: Metric = Metric {
    name: "moorline_backend_latency_seconds",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "Average time until the backend's answers begin, as the choice of backends goes by it: quick to rise, slow to fall",
    advice: "For what really was, see moorline_backend_duration_seconds.",
};

const EJECTIONS: Metric = Metric {
    name: "moorline_backend_ejections_total",
    kind: Kind::Counter,
    labels: LABELS,
    help: "How often the backend was taken out of use because it failed",
    advice: "Again and again: it dies under load, or its probe asks for something that is flaky. Sessions move each time.",
};

const PROBES: Metric = Metric {
    name: "moorline_backend_probes_total",
    kind: Kind::Counter,
    labels: &["pool", "backend", "result"],
    help: "Probes of the backend, by result: `passed` or `failed`",
    advice: "Failures while requests go well: `health.timeout` is too short, or the probe's path is wrong.",
};

const RUNNING: Metric = Metric {
    name: "moorline_backend_concurrency",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "Requests of this instance that are past the gate before the backend, where its pool limits `concurrency`",
    advice: "At moorline_backend_concurrency_limit further ones wait.",
};

const MOST: Metric = Metric {
    name: "moorline_backend_concurrency_limit",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "As many requests may be past the gate now: this instance's share of the fixed number, or what the backend's latency shows that it can bear",
    advice: "A low adaptive limit: the backend is slower than it usually is; look at its own load.",
};

const QUEUE: Metric = Metric {
    name: "moorline_backend_queue",
    kind: Kind::Gauge,
    labels: LABELS,
    help: "Requests that wait at the gate before the backend",
    advice: "Never empty: the pool is too small for what is asked of it.",
};

const QUEUE_REFUSED: Metric = Metric {
    name: "moorline_backend_queue_refused_total",
    kind: Kind::Counter,
    labels: LABELS,
    help: "Requests that were refused at the gate before the backend: too many waited, or for too long",
    advice: "Add replicas, or let more wait (`concurrency.queue`), if the backend can bear it later.",
};

const QUEUE_WAIT: Metric = Metric {
    name: "moorline_backend_queue_wait_seconds",
    kind: SHORT,
    labels: LABELS,
    help: "How long requests waited at the gate before the backend, those that did not wait left out",
    advice: "This is part of moorline_request_own_duration_seconds.",
};

pub(super) fn collect(survey: &Survey, page: &mut Page) {
    let mut told = 0;
    for pool in survey.fleet.pools().iter() {
        for backend in pool.backends().iter() {
            if told >= MOST_BACKENDS {
                return;
            }
            let labels = [pool.settings().name.clone(), backend.name.to_string()];
            let labels = [labels[0].as_str(), labels[1].as_str()];
            standing(survey, (backend, labels), page);
            gate(survey, (pool, backend, labels), page);
            told += 1;
        }
    }
}

fn standing(survey: &Survey, (backend, labels): (&Backend, [&str; 2]), page: &mut Page) {
    let load = backend.load(survey.clock.now());
    let flag = |on: bool| u64::from(on);
    page.family(&UP).count(&labels, flag(backend.takes_requests()));
    page.family(&EJECTED).count(&labels, flag(backend.is_down()));
    page.family(&DRAINING).count(&labels, flag(backend.drains()));
    page.family(&IN_FLIGHT).count(&labels, load.in_flight.into());
    page.family(&SESSIONS).count(&labels, load.sessions.into());
    page.family(&LATENCY).number(&labels, load.latency);
    page.family(&EJECTIONS).count(&labels, backend.counts.ejections.get());
    let [pool, name] = labels;
    page.family(&PROBES).count(&[pool, name, "passed"], backend.counts.passed.get());
    page.family(&PROBES).count(&[pool, name, "failed"], backend.counts.stumbled.get());
}

fn gate(survey: &Survey, (pool, backend, labels): (&Pool, &Backend, [&str; 2]), page: &mut Page) {
    let Some(limit) = pool.settings().concurrency else { return };
    let Some(gate) = survey.limit.gate(backend.id, limit.most) else { return };
    page.family(&RUNNING).count(&labels, gate.running.into());
    page.family(&MOST).count(&labels, gate.most.into());
    page.family(&QUEUE).number(&labels, gate.waiting as f64);
    page.family(&QUEUE_REFUSED).count(&labels, gate.refused);
    page.family(&QUEUE_WAIT).histogram(&labels, &gate.waited);
}
