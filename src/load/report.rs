//! The report of a run, as it is kept in a file: its form is `docs/load.md`'s matter, and has a version. What is drawn, shown or compared is
//! taken from it, so that a report that was kept shows the same as a run that has just ended.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::aftermath::aftermaths;
use super::fairness::{Fairness, fairness};
use super::record::{Operation, Tally};
use super::run::{Ending, Outcome};
use super::series::Point;
use super::times::Times;

/// What `format` says.
pub const FORMAT: &str = "moorline-load";

/// What `version` says. Grows when a reader of the version before would go wrong.
pub const VERSION: u32 = 1;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The version of Moorline that made it.
    pub moorline: String,
    /// What the run was called.
    pub label: String,
    /// The endpoint, as it was given.
    pub target: String,
    /// When it began, in seconds since 1970.
    pub started_unix: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether it was cut short.
    pub cut_short: bool,
    /// What was asked for.
    pub options: Options,
    /// Counts.
    pub totals: Totals,
    /// From the planned moment, of calls that went well.
    pub latency: Spread,
    /// From sending, of the same.
    pub service: Spread,
    /// Of calls that failed, from the planned moment.
    pub failed: Spread,
    /// How late the load generator itself was.
    pub lag: Spread,
    /// By operation.
    pub operations: Vec<OperationReport>,
    /// By kind, most first.
    pub errors: Vec<ErrorReport>,
    /// Over users.
    pub fairness: Fairness,
    /// Sessions.
    pub sessions: Sessions,
    /// Notification streams.
    pub streams: Streams,
    /// Over time.
    pub series: Vec<PointReport>,
    /// What was done to processes, and what they did.
    pub events: Vec<EventReport>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Simulated users.
    pub users: u32,
    /// `legacy`, `modern` or `mix`.
    pub era: String,
    /// Planned calls a minute, of all users together, once all have arrived.
    pub calls_a_minute: f64,
    /// Mean time between one user's planned calls.
    pub think_seconds: f64,
    /// `exponential`, `uniform` or `constant`.
    pub think_shape: String,
    /// Mean calls in a session; 0: a session lasts as long as the run.
    pub session_calls: u32,
    /// Share of users with an open stream.
    pub streams: f64,
    /// How long it was to take.
    pub duration_seconds: f64,
    /// Over how long users arrived.
    pub ramp_seconds: f64,
    /// Longest wait for an answer.
    pub timeout_seconds: f64,
    /// Calls that may wait for one user.
    pub backlog: usize,
    /// The plan's seed.
    pub seed: u64,
    /// Errors that were allowed.
    pub max_errors: u64,
}

/// Counts of calls. `planned` is the sum of `answered`, `failed`, `missed`, `unfinished` and `left_undone`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Calls whose moment came.
    pub planned: u64,
    /// Went well.
    pub answered: u64,
    /// Were sent (or their session could not be begun), and failed.
    pub failed: u64,
    /// Were never sent: too many waited for their user.
    pub missed: u64,
    /// Were neither answered nor given up when the run ended.
    pub unfinished: u64,
    /// Were not made since the run was cut short.
    pub left_undone: u64,
    /// Errors of every kind, those of sessions and streams included.
    pub errors: u64,
    /// Answered calls a minute.
    pub calls_a_minute: f64,
    /// Answers that came by another stream than their own, which broke.
    pub resumed: u64,
}

/// How durations are spread, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half took at most this.
    pub p50_us: u64,
    /// Nine of ten.
    pub p90_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// 999 of a thousand.
    pub p99_9_us: u64,
    /// The longest.
    pub max_us: u64,
    /// `[microseconds, count]`: so many took at most that, and longer than the pair before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<[u64; 2]>,
}

impl Spread {
    fn of(times: &Times) -> Self {
        Self {
            count: times.count(),
            mean_us: times.mean(),
            p50_us: times.at(0.5),
            p90_us: times.at(0.9),
            p99_us: times.at(0.99),
            p99_9_us: times.at(0.999),
            max_us: times.max(),
            buckets: Vec::new(),
        }
    }

    fn with_buckets(times: &Times) -> Self {
        Self { buckets: times.buckets(), ..Self::of(times) }
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationReport {
    /// A tool's name, a method, or what is done to sessions.
    pub name: String,
    /// Went well.
    pub answered: u64,
    /// Did not.
    pub failed: u64,
    /// From the planned moment.
    pub latency: Spread,
    /// From sending.
    pub service: Spread,
}

/// One kind of error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The kind.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// What was said about the first.
    pub example: String,
}

/// Sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// Begun.
    pub begun: u64,
    /// Ended by their users.
    pub ended: u64,
    /// Unknown to the server before their time.
    pub lost: u64,
}

/// Notification streams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    /// Opened.
    pub opened: u64,
    /// Not offered by the server.
    pub refused: u64,
    /// Ended by the server in good order.
    pub closed: u64,
    /// Broken.
    pub broken: u64,
    /// How long those that were opened again were gone.
    pub mended: Spread,
    /// Events that came.
    pub events: u64,
}

/// One stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PointReport {
    /// When it ended, in seconds from the start.
    pub at: f64,
    /// How long it was, in seconds.
    pub length: f64,
    /// Calls whose moment came.
    pub planned: u64,
    /// Calls that went well.
    pub answered: u64,
    /// By kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// Latency in microseconds.
    pub p50_us: u64,
    /// Latency in microseconds.
    pub p90_us: u64,
    /// Latency in microseconds.
    pub p99_us: u64,
    /// Latency in microseconds.
    pub max_us: u64,
    /// Users in a session, at its end.
    pub users: u64,
    /// Open notification streams, at its end.
    pub streams: u64,
}

/// What happened to a process, and what came after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventReport {
    /// When, in seconds from the start.
    pub at: f64,
    /// What.
    pub what: String,
    /// Errors in the 15 s after it, or up to the next event if that is sooner.
    pub errors_after: u64,
    /// The 99th percentile's median in the 15 s before it.
    pub p99_before_us: u64,
    /// The worst 99th percentile of a point after it, in the same time as the errors.
    pub p99_worst_us: u64,
    /// Seconds until a point without errors, with a 99th percentile of at most twice that before it, and with no worse one
    /// behind it before the next event; none: it did not come to that.
    pub recovered_after: Option<f64>,
}

/// What a run was called, where it went, and what it was to be.
#[derive(Clone, Debug, Default)]
pub struct Heading {
    /// What it is called.
    pub label: String,
    /// The endpoint.
    pub target: String,
    /// In seconds since 1970.
    pub started_unix: u64,
    /// What was asked for.
    pub options: Options,
}

impl Report {
    /// The report of a run.
    #[must_use]
    pub fn new(heading: Heading, outcome: &Outcome) -> Self {
        let whole = &outcome.whole;
        let series: Vec<PointReport> = outcome.series.iter().map(PointReport::of).collect();
        let events = aftermaths(&outcome.events, &series);
        let moorings = whole.moorings;
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            moorline: env!("CARGO_PKG_VERSION").to_owned(),
            seconds: outcome.took.as_secs_f64(),
            cut_short: outcome.ending == Ending::Cut,
            totals: totals(outcome),
            latency: Spread::with_buckets(&whole.latency),
            service: Spread::with_buckets(&whole.service),
            failed: Spread::of(&whole.failed),
            lag: Spread::of(&whole.lag),
            operations: operations(whole, &outcome.operations),
            errors: errors(whole),
            fairness: fairness(&whole.users, heading.options.users),
            sessions: Sessions { begun: moorings.begun, ended: moorings.ended, lost: moorings.lost },
            streams: Streams {
                opened: moorings.opened,
                refused: moorings.refused,
                closed: moorings.closed,
                broken: moorings.broken,
                mended: Spread::of(&whole.mended),
                events: moorings.events,
            },
            label: heading.label,
            target: heading.target,
            started_unix: heading.started_unix,
            options: heading.options,
            series,
            events,
        }
    }

    /// Whether there were no more errors than allowed.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.totals.errors <= self.options.max_errors
    }
}

fn totals(outcome: &Outcome) -> Totals {
    use super::trouble::Trouble;
    let whole = &outcome.whole;
    let users = || whole.users.values();
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let calls_a_minute = whole.answered() as f64 * 60.0 / outcome.took.as_secs_f64().max(0.001);
    Totals {
        planned: whole.planned,
        answered: whole.answered(),
        failed: users().map(|user| user.failed).sum(),
        missed: users().map(|user| user.missed).sum(),
        unfinished: whole.errors.get(&Trouble::Unfinished).copied().unwrap_or(0),
        left_undone: outcome.left_undone,
        errors: whole.failed(),
        calls_a_minute,
        resumed: whole.moorings.resumed,
    }
}

fn operations(whole: &Tally, names: &[String]) -> Vec<OperationReport> {
    let none = Operation::default();
    let report = |(at, name): (usize, &String)| {
        let operation = whole.operations.get(at).unwrap_or(&none);
        OperationReport {
            name: name.clone(),
            answered: operation.latency.count(),
            failed: operation.failed,
            latency: Spread::of(&operation.latency),
            service: Spread::of(&operation.service),
        }
    };
    let all = names.iter().enumerate().map(report);
    all.filter(|operation| operation.answered + operation.failed > 0).collect()
}

fn errors(whole: &Tally) -> Vec<ErrorReport> {
    let report = |(kind, count): (&super::trouble::Trouble, &u64)| ErrorReport {
        kind: kind.to_string(),
        count: *count,
        example: whole.said.get(kind).cloned().unwrap_or_default(),
    };
    let mut errors: Vec<ErrorReport> = whole.errors.iter().map(report).collect();
    errors.sort_by_key(|error| Reverse(error.count));
    errors
}

impl PointReport {
    fn of(point: &Point) -> Self {
        let [p50_us, p90_us, p99_us, max_us] = point.latency;
        Self {
            at: rounded(point.at.as_secs_f64()),
            length: rounded(point.length.as_secs_f64()),
            planned: point.planned,
            answered: point.answered,
            errors: point.errors.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
            p50_us,
            p90_us,
            p99_us,
            max_us,
            users: point.users,
            streams: point.streams,
        }
    }
}

/// To a millisecond.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
