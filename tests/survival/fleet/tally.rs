//! The books of a load: every call, and the figures that tests assert.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::client::Outcome;

/// One call, as its client saw it.
#[derive(Clone, Debug)]
pub struct Call {
    pub client: usize,
    /// `record` must not run twice, `look` may.
    pub tool: &'static str,
    pub label: String,
    pub begun: Instant,
    pub ended: Instant,
    pub outcome: Outcome,
    /// The server that answered the call before.
    pub berth: Option<String>,
}

/// From just before something was done until it was done for certain.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub before: Instant,
    pub after: Instant,
}

impl Moment {
    /// Whether the call was under way then.
    pub fn is_within(&self, call: &Call) -> bool {
        call.begun <= self.after && call.ended >= self.before
    }
}

/// All calls of a load.
pub struct Tally {
    clients: Vec<Vec<Call>>,
}

impl Tally {
    pub fn new(clients: Vec<Vec<Call>>) -> Self {
        Self { clients }
    }

    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.clients.iter().flatten()
    }

    pub fn count(&self) -> usize {
        self.calls().count()
    }

    pub fn failed(&self) -> Vec<&Call> {
        self.calls().filter(|call| !call.outcome.is_done()).collect()
    }

    /// The calls that failed though they must not have, in this test's opinion.
    pub fn failed_but(&self, may: impl Fn(&Call) -> bool) -> Vec<&Call> {
        self.failed().into_iter().filter(|call| !may(call)).collect()
    }

    /// The last calls of clients whose sessions do not answer any more.
    pub fn lost(&self) -> Vec<&Call> {
        let last = self.clients.iter().map(|calls| calls.last().expect("each client calls"));
        last.filter(|call| !call.outcome.is_done()).collect()
    }

    /// Calls that must not run twice, and were under way at `moment` in a session that lay at `berth`.
    pub fn at_risk(&self, moment: Moment, berth: Option<&str>) -> Vec<&Call> {
        let lay_there = |call: &&Call| berth.is_none() || call.berth.as_deref() == berth;
        self.calls().filter(|call| call.tool == "record" && moment.is_within(call)).filter(lay_there).collect()
    }

    /// Calls under way at `moment`, of any kind.
    pub fn under_way(&self, moment: Moment) -> usize {
        self.calls().filter(|call| moment.is_within(call)).count()
    }

    /// How many of each outcome.
    pub fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut outcomes = BTreeMap::new();
        for call in self.calls() {
            let name = format!("{:?}", call.outcome);
            let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
            *outcomes.entry(name).or_default() += 1;
        }
        outcomes
    }

    /// The longest that a call took that was answered, in milliseconds.
    pub fn longest(&self) -> u128 {
        let done = self.calls().filter(|call| call.outcome.is_done());
        done.map(|call| (call.ended - call.begun).as_millis()).max().unwrap_or(0)
    }

    /// One line for the test's output.
    pub fn summary(&self) -> String {
        format!(
            "{} clients, {} calls, {} failed, {} sessions lost, the longest answer after {} ms; {:?}",
            self.clients.len(),
            self.count(),
            self.failed().len(),
            self.lost().len(),
            self.longest(),
            self.outcomes()
        )
    }
}

/// Some of many calls, for a message.
pub fn some(calls: &[&Call]) -> String {
    let lines = calls.iter().take(8).map(|call| {
        let took = (call.ended - call.begun).as_millis();
        format!(
            "{} at {}: {} after {took} ms: {:?}",
            call.label,
            call.berth.as_deref().unwrap_or("?"),
            call.tool,
            call.outcome
        )
    });
    let clients: BTreeSet<usize> = calls.iter().map(|call| call.client).collect();
    format!("{} calls of {} clients, such as\n{}", calls.len(), clients.len(), lines.collect::<Vec<_>>().join("\n"))
}
