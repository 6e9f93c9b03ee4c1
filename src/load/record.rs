//! What is counted while a run goes on. Each worker thread has a [`Recorder`] of its own; once a second the run takes what it holds and
//! adds it to the whole. It decides nothing: what counts as an error is said by whoever makes the calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::times::Times;
use super::trouble::{Mishap, Trouble};

/// JSON-RPC codes and HTTP statuses that are told apart; further codes count together.
const MOST_KINDS: usize = 64;

/// The operation that begins a session.
pub const BEGIN: usize = 0;

/// The one that ends it.
pub const END: usize = 1;

/// The first one of the mix.
pub const FIRST: usize = 2;

/// How one call went.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who made it.
    pub user: u32,
    /// Which of the run's operations it was.
    pub operation: usize,
    /// From its planned moment to its end.
    pub latency: Duration,
    /// From when it was sent to its end.
    pub service: Duration,
    /// How long it was sent after it could have been: what this program itself was late.
    pub lag: Duration,
    /// What went wrong, if anything.
    pub outcome: Result<(), Mishap>,
}

/// Something that happened to a session or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A session began.
    SessionBegun,
    /// It was ended by its user.
    SessionEnded,
    /// The server did not know it any more.
    SessionLost,
    /// A notification stream was opened.
    StreamOpened,
    /// The server has none to offer (405).
    StreamRefused,
    /// The server ended it in good order.
    StreamClosed,
    /// It broke.
    StreamBroken,
    /// It was open again, so long after it had ended.
    StreamMended(Duration),
    /// A call's own stream broke, and its answer came by another one.
    CallResumed,
    /// An event came on a notification stream.
    Event,
}

/// Counts of sessions and streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moorings {
    /// See [`Happened`].
    pub begun: u64,
    /// See [`Happened`].
    pub ended: u64,
    /// See [`Happened`].
    pub lost: u64,
    /// See [`Happened`].
    pub opened: u64,
    /// See [`Happened`].
    pub refused: u64,
    /// See [`Happened`].
    pub closed: u64,
    /// See [`Happened`].
    pub broken: u64,
    /// See [`Happened`].
    pub resumed: u64,
    /// See [`Happened`].
    pub events: u64,
}

/// What one operation took.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// From the planned moment, of calls that went well.
    pub latency: Times,
    /// From sending, of the same.
    pub service: Times,
    /// Calls that failed.
    pub failed: u64,
}

/// What became of one user's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Went well.
    pub answered: u64,
    /// Did not.
    pub failed: u64,
    /// Were never sent.
    pub missed: u64,
    /// Latencies of those that went well, together, in microseconds.
    pub latency_micros: u64,
    /// The longest of them, in microseconds.
    pub longest_micros: u64,
}

/// Everything that was counted in some time.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Calls whose moment has come.
    pub planned: u64,
    /// Latency from the planned moment, of calls that went well.
    pub latency: Times,
    /// The same from sending.
    pub service: Times,
    /// How long calls that failed took, from their planned moment.
    pub failed: Times,
    /// How late this program itself was.
    pub lag: Times,
    /// How long streams were gone before they were open again.
    pub mended: Times,
    /// By operation, in the order of the run's.
    pub operations: Vec<Operation>,
    /// By kind.
    pub errors: BTreeMap<Trouble, u64>,
    /// What was said about the first of each kind.
    pub said: BTreeMap<Trouble, String>,
    /// Sessions and streams.
    pub moorings: Moorings,
    /// By user.
    pub users: HashMap<u32, User>,
}

impl Tally {
    fn call(&mut self, call: Call) {
        if self.operations.len() <= call.operation {
            self.operations.resize_with(call.operation + 1, Operation::default);
        }
        let operation = &mut self.operations[call.operation];
        self.lag.add(call.lag);
        match (call.outcome, call.operation) {
            // They are no calls of the plan; what they take is told apart.
            (Ok(()), BEGIN | END) => {
                operation.latency.add(call.latency);
                operation.service.add(call.service);
            }
            (Err(mishap), BEGIN | END) => {
                operation.failed += 1;
                self.mishap(&mishap);
            }
            (Ok(()), _) => {
                let user = self.users.entry(call.user).or_default();
                let micros = u64::try_from(call.latency.as_micros()).unwrap_or(u64::MAX);
                user.answered += 1;
                user.latency_micros = user.latency_micros.saturating_add(micros);
                user.longest_micros = user.longest_micros.max(micros);
                self.latency.add(call.latency);
                self.service.add(call.service);
                operation.latency.add(call.latency);
                operation.service.add(call.service);
            }
            (Err(mishap), _) => {
                self.users.entry(call.user).or_default().failed += 1;
                operation.failed += 1;
                self.failed.add(call.latency);
                self.mishap(&mishap);
            }
        }
    }

    fn mishap(&mut self, mishap: &Mishap) {
        let is_new = !self.errors.contains_key(&mishap.kind);
        let kind = match mishap.kind {
            Trouble::JsonRpc(_) if is_new && self.errors.len() >= MOST_KINDS => Trouble::OtherJsonRpc,
            kind => kind,
        };
        *self.errors.entry(kind).or_default() += 1;
        self.said.entry(kind).or_insert_with(|| mishap.said.clone());
    }

    fn happened(&mut self, what: Happened) {
        let moorings = &mut self.moorings;
        match what {
            Happened::SessionBegun => moorings.begun += 1,
            Happened::SessionEnded => moorings.ended += 1,
            Happened::SessionLost => moorings.lost += 1,
            Happened::StreamOpened => moorings.opened += 1,
            Happened::StreamRefused => moorings.refused += 1,
            Happened::StreamClosed => moorings.closed += 1,
            Happened::StreamBroken => moorings.broken += 1,
            Happened::CallResumed => moorings.resumed += 1,
            Happened::Event => moorings.events += 1,
            Happened::StreamMended(after) => self.mended.add(after),
        }
    }

    /// Adds what another has counted.
    pub fn join(&mut self, other: &Self) {
        self.planned += other.planned;
        self.latency.join(&other.latency);
        self.service.join(&other.service);
        self.failed.join(&other.failed);
        self.lag.join(&other.lag);
        self.mended.join(&other.mended);
        if self.operations.len() < other.operations.len() {
            self.operations.resize_with(other.operations.len(), Operation::default);
        }
        for (own, other) in self.operations.iter_mut().zip(&other.operations) {
            own.latency.join(&other.latency);
            own.service.join(&other.service);
            own.failed += other.failed;
        }
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        for (kind, said) in &other.said {
            self.said.entry(*kind).or_insert_with(|| said.clone());
        }
        self.moorings.join(&other.moorings);
        for (user, other) in &other.users {
            self.users.entry(*user).or_default().join(other);
        }
    }

    /// Calls that went well.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.latency.count()
    }

    /// Errors of every kind.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Moorings {
    fn join(&mut self, other: &Self) {
        let Self { begun, ended, lost, opened, refused, closed, broken, resumed, events } = other;
        self.begun += begun;
        self.ended += ended;
        self.lost += lost;
        self.opened += opened;
        self.refused += refused;
        self.closed += closed;
        self.broken += broken;
        self.resumed += resumed;
        self.events += events;
    }
}

impl User {
    fn join(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.missed += other.missed;
        self.latency_micros = self.latency_micros.saturating_add(other.latency_micros);
        self.longest_micros = self.longest_micros.max(other.longest_micros);
    }
}

/// Where one thread counts.
#[derive(Debug, Default)]
pub struct Recorder {
    // Guards what was counted since the last taking. One thread writes; once a second another swaps it.
    tally: Mutex<Tally>,
}

impl Recorder {
    /// A call's moment has come.
    pub fn planned(&self) {
        self.lock().planned += 1;
    }

    /// A call will never be sent: its user has too many that wait.
    pub fn missed(&self, user: u32) {
        let mut tally = self.lock();
        tally.planned += 1;
        tally.users.entry(user).or_default().missed += 1;
        tally.mishap(&Mishap::new(Trouble::Missed, "its user had too many calls waiting already"));
    }

    /// A call has ended.
    pub fn call(&self, call: Call) {
        self.lock().call(call);
    }

    /// An error that belongs to no call of the plan.
    pub fn mishap(&self, mishap: &Mishap) {
        self.lock().mishap(mishap);
    }

    /// Something happened to a session or a stream.
    pub fn happened(&self, what: Happened) {
        self.lock().happened(what);
    }

    /// What was counted since the last time.
    #[must_use]
    pub fn take(&self) -> Tally {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(user: u32, millis: u64, outcome: Result<(), Mishap>) -> Call {
        let took = Duration::from_millis(millis);
        Call { user, operation: FIRST, latency: took, service: took / 2, lag: Duration::ZERO, outcome }
    }

    #[test]
    fn calls_count_under_their_user_their_operation_and_their_error() {
        let recorder = Recorder::default();
        recorder.call(call(3, 10, Ok(())));
        recorder.call(call(3, 30, Ok(())));
        recorder.call(call(4, 50, Err(Mishap::new(Trouble::ToolError, "no such file"))));
        recorder.missed(4);
        let tally = recorder.take();
        assert_eq!((tally.answered(), tally.failed(), tally.planned), (2, 2, 1));
        assert_eq!(
            tally.users[&3],
            User { answered: 2, latency_micros: 40_000, longest_micros: 30_000, ..User::default() }
        );
        assert_eq!(tally.users[&4], User { failed: 1, missed: 1, ..User::default() });
        assert_eq!((tally.operations[FIRST].latency.count(), tally.operations[FIRST].failed), (2, 1));
        assert_eq!(tally.said[&Trouble::ToolError], "no such file");
        assert!(tally.service.max() <= 15_100 && tally.failed.max() >= 49_900);
        assert_eq!(recorder.take().answered(), 0);
    }

    #[test]
    fn many_json_rpc_codes_count_together() {
        let recorder = Recorder::default();
        (0..200).for_each(|code| recorder.mishap(&Mishap::new(Trouble::JsonRpc(code), "")));
        let tally = recorder.take();
        assert_eq!((tally.errors.len(), tally.failed()), (MOST_KINDS + 1, 200));
    }

    #[test]
    fn tallies_add_up() {
        let (one, other) = (Recorder::default(), Recorder::default());
        one.call(call(1, 10, Ok(())));
        other.call(call(1, 20, Ok(())));
        other.happened(Happened::StreamBroken);
        other.happened(Happened::StreamMended(Duration::from_secs(1)));
        let mut whole = one.take();
        whole.join(&other.take());
        assert_eq!((whole.answered(), whole.users[&1].answered, whole.moorings.broken), (2, 2, 1));
        assert_eq!(whole.mended.count(), 1);
    }
}
