//! Reads how many run at the same time and how many wait, for limits, upstreams and backends.

use std::time::Duration;

use super::{BackendLimit, BackendMost, Concurrency};
use crate::config::fault::{Code, Fault};
use crate::config::quantity::{Count, Period};
use crate::config::schema::{self, limit as rows};
use crate::config::tree::{Optional, Reader, Row};

/// How long each waits where nothing is said of it.
const WAIT: Duration = Duration::from_secs(10);
/// How many wait where nothing is said of it, but for limits, where nobody does.
const QUEUE: u32 = 100;

/// The rows that say how many run and wait, and how many wait where nothing is said of it.
pub(super) struct Rows {
    most: &'static Optional<Count<u32>>,
    queue: &'static Optional<Count<u32>>,
    wait: &'static Optional<Period>,
    waiting: u32,
}

/// Of limits: who wants others to wait says so.
pub(super) static LIMIT: Rows =
    Rows { most: &rows::LIMIT_CONCURRENCY, queue: &rows::LIMIT_QUEUE, wait: &rows::LIMIT_WAIT, waiting: 0 };

/// Of upstreams: a tool that waits its turn is better than one that fails.
pub(super) static UPSTREAM: Rows = Rows {
    most: &rows::UPSTREAM_CONCURRENCY,
    queue: &rows::UPSTREAM_QUEUE,
    wait: &rows::UPSTREAM_WAIT,
    waiting: QUEUE,
};

/// Reads how many run at the same time in a limit or upstream.
pub(super) fn read(reader: &mut Reader<'_>, rows: &Rows) -> Option<Concurrency> {
    let makes_sense = [rows.queue as &dyn Row, rows.wait].map(|row| reader.needs(row, rows.most));
    let queue = reader.find(rows.queue).unwrap_or(rows.waiting);
    let wait = reader.find(rows.wait).unwrap_or(WAIT);
    if makes_sense == [true; 2] && queue == 0 && !reader.is_bad(rows.queue) {
        nobody_waits(reader, rows.queue, rows.wait);
    }
    Some(Concurrency { most: reader.find(rows.most)?, queue, wait })
}

/// Checks that no time is given for those who wait where nobody does.
fn nobody_waits(reader: &mut Reader<'_>, queue: &dyn Row, wait: &dyn Row) {
    let Some(at) = reader.span(wait) else { return };
    let preset = if reader.span(queue).is_none() { ", its default" } else { "" };
    let message = format!("{} is given, but {} is 0{preset}: nobody waits", reader.name(wait), reader.name(queue));
    let fault = Fault::new(Code::Conflict, at, message).related(reader.span(queue), "nobody waits");
    reader.sink.fault(fault.help("write for instance `queue = 100`, or leave it out"));
}

/// Reads how many requests each backend of a pool works on.
pub(in crate::config) fn backend(reader: &mut Reader<'_>) -> Option<BackendLimit> {
    let most = reader.get(&schema::POOL_CONCURRENCY);
    let max = reader.find(&schema::CONCURRENCY_MAX);
    let queue = reader.find(&schema::POOL_QUEUE).unwrap_or(QUEUE);
    let wait = reader.find(&schema::POOL_WAIT).unwrap_or(WAIT);
    if !reader.is_bad(&schema::POOL_CONCURRENCY) {
        if !matches!(most, Some(BackendMost::Adaptive(_))) {
            without(reader, &schema::CONCURRENCY_MAX, "not \"adaptive\"");
        }
        if most.is_none() {
            without(reader, &schema::POOL_QUEUE, "\"off\"");
            without(reader, &schema::POOL_WAIT, "\"off\"");
        } else if queue == 0 {
            nobody_waits(reader, &schema::POOL_QUEUE, &schema::POOL_WAIT);
        }
    }
    let most = match most? {
        BackendMost::Adaptive(preset) => BackendMost::Adaptive(max.unwrap_or(preset)),
        fixed @ BackendMost::Fixed(_) => fixed,
    };
    Some(BackendLimit { most, queue, wait })
}

/// Checks that a key is not given that the pool's concurrency gives no meaning.
fn without(reader: &mut Reader<'_>, row: &dyn Row, is: &str) {
    let Some(at) = reader.span(row) else { return };
    let concurrency = reader.name(&schema::POOL_CONCURRENCY);
    let fault = Fault::new(Code::Conflict, at, format!("{} is given, but {concurrency} is {is}", reader.name(row)));
    let fault = fault.related(reader.span(&schema::POOL_CONCURRENCY), format!("is {is}"));
    reader.sink.fault(fault.help("write for instance `concurrency = \"adaptive\"`, or leave it out"));
}
