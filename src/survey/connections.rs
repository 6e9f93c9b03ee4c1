//! Connections, streams and tasks.

use super::Survey;
use crate::observe::metrics::{CONNECTIONS_REFUSED, Kind, Metric, Page};
use crate::relay::StreamKind;
use crate::tasks;

pub(super) const METRICS: &[&Metric] = &[&OPEN, &ACCEPTED, &CONNECTIONS_REFUSED, &STREAMS, &TASKS];

const OPEN: Metric = Metric {
    name: "moorline_connections",
    kind: Kind::Gauge,
    labels: &[],
    help: "Client connections that are open",
    advice: "Near `bounds.max_connections` new ones are refused: raise the bound, or add an instance.",
};

const ACCEPTED: Metric = Metric {
    name: "moorline_connections_accepted_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Client connections that came, those that were refused included",
    advice: "Much more than one for many requests: clients, or a balancer before this, do not keep connections.",
};

const STREAMS: Metric = Metric {
    name: "moorline_streams",
    kind: Kind::Gauge,
    labels: &["kind"],
    help: "Notification streams that are open: `session` by GET, `listen` by subscriptions/listen",
    advice: "Near `bounds.max_listen_streams` further ones are refused.",
};

const TASKS: Metric = Metric {
    name: "moorline_tasks",
    kind: Kind::Gauge,
    labels: &[],
    help: "Tasks that have begun and not ended: connections, HTTP/2 streams, and what runs beside them",
    advice: "It follows the open connections. A number that grows while they do not is a leak: tell the project.",
};

pub(super) fn collect(survey: &Survey, page: &mut Page) {
    page.count(&OPEN, survey.workers.connections() as u64);
    page.count(&ACCEPTED, survey.workers.accepted());
    let mut streams = page.family(&STREAMS);
    StreamKind::ALL.iter().for_each(|kind| streams.count(&[kind.name()], survey.streams.count(*kind) as u64));
    page.count(&TASKS, tasks::alive() as u64);
}
