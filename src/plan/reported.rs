//! What a report of `moorline load` says about a target: users, calls, how long these took. It judges whether the run says anything at all.

use std::time::Duration;

use crate::load::report::Report;
use crate::load::summary::generator_was_late;

use super::advice::Warning;
use super::words::{number, share};

/// Above this part of failed calls a run says how a broken system behaves.
const MOST_FAILED: f64 = 0.05;

/// What a report says.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// Users of the run.
    pub users: u32,
    /// Calls a minute that were asked for.
    pub calls_per_minute: f64,
    /// Mean time from sending a call to its answer.
    pub latency: Duration,
    /// Share of users with an open stream.
    pub streams: f64,
    /// Calls in a session.
    pub session_calls: u32,
    /// What makes the run say less.
    pub warnings: Vec<Warning>,
}

/// Why a report is none to plan by.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ReportedError {
    /// Nothing went well.
    #[error("no call of the run was answered: there is nothing to plan by")]
    Nothing,
    /// Too much failed.
    #[error(
        "{failed} of {planned} calls of the run failed or were never made ({share}): its latencies are those of a system that is broken; find out why \
         (the report's errors) and run it again"
    )]
    Broken {
        /// Calls that failed.
        failed: String,
        /// Calls that were planned.
        planned: String,
        /// Which part that is.
        share: String,
    },
}

/// What a report says.
///
/// # Errors
/// [`ReportedError`]: it says nothing.
pub fn reported(report: &Report) -> Result<Reported, ReportedError> {
    let totals = &report.totals;
    if totals.answered == 0 {
        return Err(ReportedError::Nothing);
    }
    let lost = totals.failed + totals.missed + totals.unfinished;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let (part, shown) =
        (lost as f64 / totals.planned.max(1) as f64, [lost, totals.planned].map(|count| number(count as f64)));
    if part > MOST_FAILED {
        let [failed, planned] = shown;
        return Err(ReportedError::Broken { failed, planned, share: share(part) });
    }
    Ok(Reported {
        users: report.options.users,
        calls_per_minute: report.options.calls_a_minute,
        latency: Duration::from_secs_f64((report.service.mean_us / 1e6).max(1e-6)),
        streams: report.options.streams,
        session_calls: report.options.session_calls,
        warnings: doubts(report),
    })
}

fn doubts(report: &Report) -> Vec<Warning> {
    let mut found = Vec::new();
    let totals = &report.totals;
    #[expect(clippy::cast_precision_loss, reason = "a count that is shown")]
    if totals.errors > 0 {
        let text = format!(
            "the run had {} errors; its latencies are those of calls that went well",
            number(totals.errors as f64)
        );
        found.push(Warning::new("report-errors", text));
    }
    if generator_was_late(report) {
        let text = "the load generator itself had too little CPU: the run measured its own machine, and its latencies are too long";
        found.push(Warning::new("report-generator", text));
    }
    if report.cut_short {
        found.push(Warning::new("report-cut", "the run was cut short"));
    }
    if report.seconds < 30.0 {
        found.push(Warning::new(
            "report-short",
            "the run took less than 30 s: users were still arriving for part of it",
        ));
    }
    if report.latency.p50_us > 2 * report.service.p50_us.max(1000) {
        let text = "calls waited for their own user's earlier calls in this run: users would have called more often than they could";
        found.push(Warning::new("report-waiting", text));
    }
    found
}
