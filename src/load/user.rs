//! One simulated user: takes its planned steps one after the other, as they fall due. It plans nothing itself, and what it cannot do at the
//! planned moment, since the step before still runs, it does as soon as it can; the time counts from the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::mpsc;

use super::line::Line;
use super::message::{self, INITIALIZED, Session};
use super::mix::Mix;
use super::plan::{Due, Step};
use super::record::{BEGIN, Call, END, FIRST, Happened, Recorder};
use super::stream::{Counted, Gauges, Stream};
use super::trouble::{Mishap, Trouble};
use crate::mcp::raw;
use crate::mcp::version::Era;
use crate::tasks::{self, Task};

/// What all users of a thread share.
#[derive(Debug)]
pub struct Around {
    /// What they do.
    pub mix: Mix,
    /// Where they count.
    pub recorder: Arc<Recorder>,
    /// What is open.
    pub gauges: Arc<Gauges>,
    /// The plan's moments count from here.
    pub start: Instant,
    /// Set when the run is cut short: nothing more is begun.
    pub cut: Arc<AtomicBool>,
}

/// A user.
#[derive(Debug)]
pub struct User {
    /// Which one.
    pub number: u32,
    /// In which era it lives.
    pub era: Era,
    /// Whether it holds a notification stream open.
    pub streams: Streams,
    /// Its connections.
    pub line: Line,
    /// What it shares.
    pub around: Arc<Around>,
}

/// Whether a user holds a notification stream open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// It does, while it is in a session.
    Held,
    /// It does not.
    None,
}

/// A session that a user is in.
#[derive(Debug)]
struct Moored {
    session: Session,
    lost: Arc<AtomicBool>,
    _stream: Option<Task>,
    _counted: Counted,
}

/// A user with its session.
struct Life {
    user: User,
    moored: Option<Moored>,
    last_id: u64,
    /// When the step before had ended.
    free_since: Instant,
}

impl User {
    /// Takes steps until no more are planned, and ends the last session.
    pub async fn live(self, mut steps: mpsc::Receiver<Due>) {
        let free_since = self.line.now();
        // Ids differ between users, so that an answer that went astray is seen to.
        let last_id = u64::from(self.number) * 10_000_000;
        let mut life = Life { user: self, moored: None, last_id, free_since };
        while let Some(due) = steps.recv().await {
            if !life.user.around.cut.load(Ordering::Relaxed) {
                life.step(due).await;
            }
        }
        life.end(life.user.line.now()).await;
    }
}

impl Life {
    async fn step(&mut self, due: Due) {
        let planned = self.user.around.start + due.at;
        match due.step {
            Step::Begin => {
                if let Err(mishap) = self.begin(planned).await {
                    self.count(BEGIN, (planned, self.free_since), (self.user.line.now(), Err(mishap)));
                }
            }
            Step::Call(number) => self.call(planned, number).await,
            Step::End => self.end(planned).await,
        }
        self.free_since = self.user.line.now();
    }

    fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Counts what ended at `at`; `free` is when it could have begun.
    fn count(
        &self,
        operation: usize,
        (planned, sent): (Instant, Instant),
        (at, outcome): (Instant, Result<(), Mishap>),
    ) {
        let could = planned.max(self.free_since);
        self.user.around.recorder.call(Call {
            user: self.user.number,
            operation,
            latency: at.saturating_duration_since(planned),
            service: at.saturating_duration_since(sent.max(could)),
            lag: sent.saturating_duration_since(could),
            outcome,
        });
    }

    /// Begins a session, if the era has any, and opens the stream. A success is counted here, a failure by the caller.
    async fn begin(&mut self, planned: Instant) -> Result<(), Mishap> {
        if self.moored.is_some() {
            return Ok(());
        }
        let mut session = Session::default();
        if self.user.era == Era::Legacy {
            let sent = self.user.line.now();
            session = self.shake_hands().await?;
            self.count(BEGIN, (planned, sent), (self.user.line.now(), Ok(())));
            self.user.around.recorder.happened(Happened::SessionBegun);
        }
        let lost = Arc::new(AtomicBool::new(false));
        let stream = (self.user.streams == Streams::Held).then(|| self.stream(&session, &lost));
        let counted = Counted::new(&self.user.around.gauges, |gauges| &gauges.users);
        self.moored = Some(Moored { session, lost, _stream: stream, _counted: counted });
        Ok(())
    }

    async fn shake_hands(&mut self) -> Result<Session, Mishap> {
        let id = self.id();
        let line = &self.user.line;
        let none = Session::default();
        let answered = line.ask(line.fields().legacy(&none), message::initialize(id), id, (Era::Legacy, &none)).await;
        answered.strays.iter().for_each(|mishap| self.user.around.recorder.mishap(mishap));
        let result = answered.outcome?;
        let version = raw::at(&result, &["protocolVersion"]).and_then(raw::text);
        let version = version.ok_or_else(|| Mishap::new(Trouble::Unreadable, &result))?;
        let session = Session { id: answered.session, version: HeaderValue::from_str(&version).ok() };
        line.post(line.fields().legacy(&session), Bytes::from_static(INITIALIZED)).await?;
        Ok(session)
    }

    fn stream(&mut self, session: &Session, lost: &Arc<AtomicBool>) -> Task {
        let id = self.id();
        let stream = Stream {
            line: self.user.line.clone(),
            era: self.user.era,
            session: session.clone(),
            lost: Arc::clone(lost),
            recorder: Arc::clone(&self.user.around.recorder),
            gauges: Arc::clone(&self.user.around.gauges),
            id,
        };
        tasks::spawn("a user's stream", stream.hold())
    }

    async fn call(&mut self, planned: Instant, number: u64) {
        let around = Arc::clone(&self.user.around);
        let Some((operation, part)) = around.mix.pick(number) else { return };
        let operation = operation + FIRST;
        // What the stream found out, or somebody else who looked.
        if self.moored.as_ref().is_some_and(|moored| moored.lost.load(Ordering::Relaxed)) {
            self.moored = None;
        }
        let begun = self.user.line.now();
        if let Err(mishap) = self.begin(planned).await {
            self.count(operation, (planned, begun), (self.user.line.now(), Err(mishap)));
            return;
        }
        let id = self.id();
        let era = self.user.era;
        let line = &self.user.line;
        let session = self.moored.as_ref().map(|moored| moored.session.clone()).unwrap_or_default();
        let headers = match era {
            Era::Legacy => line.fields().legacy(&session),
            Era::Modern => line.fields().modern(&part.ask),
        };
        let answered = line.ask(headers, part.ask.body(era, id), id, (era, &session)).await;
        answered.strays.iter().for_each(|mishap| around.recorder.mishap(mishap));
        if answered.resumed && answered.outcome.is_ok() {
            around.recorder.happened(Happened::CallResumed);
        }
        if matches!(&answered.outcome, Err(mishap) if mishap.kind == Trouble::SessionLost) {
            self.lose();
        }
        self.count(operation, (planned, begun), (answered.at, answered.outcome.map(drop)));
    }

    /// The server does not know the session any more.
    fn lose(&mut self) {
        let known = self.moored.take().is_some_and(|moored| moored.lost.swap(true, Ordering::Relaxed));
        if !known {
            self.user.around.recorder.happened(Happened::SessionLost);
        }
    }

    /// Ends the session, if there is one.
    async fn end(&mut self, planned: Instant) {
        let Some(moored) = self.moored.take() else { return };
        let session = moored.session.clone();
        let is_lost = moored.lost.load(Ordering::Relaxed);
        // Its stream ends first, so that it is not the server who ends it.
        drop(moored);
        if session.id.is_none() || is_lost {
            return;
        }
        let sent = self.user.line.now();
        let outcome = self.user.line.delete(&session).await;
        match &outcome {
            Ok(()) => self.user.around.recorder.happened(Happened::SessionEnded),
            Err(mishap) if mishap.kind == Trouble::SessionLost => {
                self.user.around.recorder.happened(Happened::SessionLost);
            }
            Err(_) => {}
        }
        self.count(END, (planned, sent), (self.user.line.now(), outcome));
    }
}

/// The longest that a user's last step may take after the plan's end: two whole exchanges.
#[must_use]
pub fn longest_farewell(timeout: Duration) -> Duration {
    timeout * 2 + Duration::from_secs(2)
}
