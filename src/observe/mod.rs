//! The observe station: reads the trail of an exchange when its answer's body has ended, counts it, and writes the access log. It
//! never keeps bodies or credentials, and never holds a request up: what cannot be written at once is counted and dropped.

mod access;
pub mod metrics;
pub mod names;
pub mod requests;
mod sink;
pub mod spread;
pub mod tally;
pub mod top;
pub mod trace;
mod trail;
mod verdict;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

pub use sink::{Pen, Sink};
pub use trail::{Done, Outcome, Trail};

use crate::clock::{Clock, Wall};
use crate::config::{AccessLog, MetricsSettings};
use crate::exchange::Exchange;
use crate::fleet::Backend;
use crate::names::{InstanceId, SessionId};
use crate::reject::Cause;
use metrics::Metrics;
use tally::{Tallies, Tally};
use trace::Tracing;
use trail::{Facts, Notes};
use verdict::Verdict;

/// The observe station of one worker thread.
#[derive(Debug)]
pub struct Observe {
    clock: Clock,
    wall: Wall,
    metrics: Arc<Metrics>,
    tallies: Arc<Tallies>,
    tally: Arc<Tally>,
    access: Arc<Sink>,
    pen: Pen,
    /// Whether requests are counted and timed.
    counts: bool,
    tracing: Arc<Tracing>,
    instance: InstanceId,
}

impl Observe {
    /// A station that counts what it is told to, writes the access log where the configuration says, and traces.
    ///
    /// # Errors
    /// If the access log is a file that cannot be opened.
    pub fn new(
        clock: Clock,
        counted: MetricsSettings,
        access: &AccessLog,
        tracing: Arc<Tracing>,
        instance: InstanceId,
    ) -> std::io::Result<Self> {
        let tallies = Arc::new(Tallies::new(counted.max_tools));
        let tally = tallies.tally(clock.now());
        let access = Arc::new(Sink::to(access)?);
        let pen = access.pen();
        Ok(Self {
            wall: Wall::of(&clock),
            clock,
            metrics: Arc::default(),
            tallies,
            tally,
            access,
            pen,
            counts: counted.requests,
            tracing,
            instance,
        })
    }

    /// Where the access log goes.
    #[must_use]
    pub const fn access(&self) -> &Arc<Sink> {
        &self.access
    }

    /// The traces.
    #[must_use]
    pub const fn tracing(&self) -> &Arc<Tracing> {
        &self.tracing
    }

    /// The same station on another thread, which counts for itself.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            wall: Wall::of(&self.clock),
            metrics: Arc::clone(&self.metrics),
            tallies: Arc::clone(&self.tallies),
            tally: self.tallies.tally(self.clock.now()),
            access: Arc::clone(&self.access),
            pen: self.access.pen(),
            counts: self.counts,
            tracing: Arc::clone(&self.tracing),
            instance: self.instance,
        }
    }

    /// What is counted by reason.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What was counted of exchanges that have ended, by all threads.
    #[must_use]
    pub const fn tallies(&self) -> &Arc<Tallies> {
        &self.tallies
    }

    /// A new trail; one that is kept by nobody stays empty.
    #[must_use]
    pub fn begin(&self) -> Trail {
        let kept = self.counts || self.access.is_on() || self.tracing.is_on();
        Trail(kept.then(|| Box::new(Notes::new(self.clock.now()))))
    }

    /// Writes down what the request is, and decides whether it is recorded in its trace.
    pub fn facts(&self, trail: &mut Trail, exchange: &mut Exchange) {
        let Some(notes) = &mut trail.0 else { return };
        notes.facts = Some(Facts::of(exchange, self.clock.now()));
        (notes.trace, notes.recorded) = self.tracing.judge(exchange, notes.began);
    }

    /// Writes down in whose session it is, where its answer has to do with the cache, and what.
    pub fn looked(&self, trail: &mut Trail, session: Option<SessionId>, cached: Option<&'static str>) {
        let Some(notes) = &mut trail.0 else { return };
        (notes.session, notes.cached) = (session, cached);
    }

    /// Writes down where it goes, and when.
    pub fn sent(&self, trail: &mut Trail, session: Option<SessionId>, (backend, now): (&Arc<Backend>, Instant)) {
        let Some(notes) = &mut trail.0 else { return };
        notes.session = session;
        notes.legs.sent(backend, now);
    }

    /// Writes down that the backend's answer has begun, or will not come.
    pub fn answered(&self, trail: &mut Trail, now: Instant) {
        if let Some(notes) = &mut trail.0 {
            notes.legs.arrived(now);
        }
    }

    /// Writes down that it was refused, and counts it.
    pub fn refused(&self, trail: &mut Trail, cause: &Cause) {
        self.metrics.refusals.count(cause.name());
        let Some(notes) = &mut trail.0 else { return };
        notes.refusal = Some(cause.name());
        if let Cause::Limited(limited) = cause {
            notes.limit = Some(limited.name.clone());
        }
    }

    /// Lets the answer's body carry the trail to its end.
    #[must_use]
    pub fn watch<B: Body>(self: &Arc<Self>, trail: Trail, response: Response<B>) -> Response<Observed<B>> {
        let Some(mut notes) = trail.0 else { return response.map(Observed::unwatched) };
        let head = self.clock.now();
        notes.legs.arrived(head);
        notes.seen.head = head;
        notes.seen.status = response.status();
        notes.seen.ended = response.body().is_end_stream();
        response.map(|body| Observed { body, watch: Some(Watch { observe: Arc::clone(self), notes }) })
    }

    fn end(&self, notes: &Notes) {
        let now = self.clock.now();
        let (head, backend) = (notes.seen.head, notes.legs.waited);
        let read = notes.facts.as_ref().map_or(head, |facts| facts.read);
        let done = Done {
            trail: notes,
            outcome: Done::outcome(notes),
            whole: now.saturating_duration_since(notes.began),
            own: head.saturating_duration_since(read).saturating_sub(backend),
            backend,
        };
        if self.counts {
            self.tally.count(&done, &self.tallies.tools, now);
        }
        if let Some(recorded) = &notes.recorded {
            self.tracing.end(recorded, &done);
        }
        if self.access.is_on() {
            let when = (self.wall.unix_millis(now), self.instance);
            self.pen.write(|line| access::line(line, &done, when));
        }
    }
}

/// A body that reports when it has ended, or was given up.
pub struct Observed<B> {
    body: B,
    watch: Option<Watch>,
}

impl<B> Observed<B> {
    /// A body that nobody keeps a trail of.
    pub const fn unwatched(body: B) -> Self {
        Self { body, watch: None }
    }
}

/// Keeps the trail until it is dropped: that is the end.
struct Watch {
    observe: Arc<Observe>,
    notes: Box<Notes>,
}

impl Watch {
    fn pass(&mut self, piece: &[u8]) {
        let Self { observe, notes } = self;
        let seen = &mut notes.seen;
        seen.bytes += piece.len() as u64;
        seen.verdict.look(piece);
        let is_told = || notes.recorded.is_some() || observe.access.is_on();
        if seen.verdict == Verdict::Failed && seen.code.is_none() && is_told() {
            seen.code = trace::error_code(piece);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.observe.end(&self.notes);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Observed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let Some(watch) = &mut this.watch {
            match &polled {
                Poll::Ready(Some(Ok(frame))) => watch.pass(frame.data_ref().map_or(&[], |data| data)),
                Poll::Ready(None) => watch.notes.seen.ended = true,
                Poll::Ready(Some(Err(_))) | Poll::Pending => {}
            }
            watch.notes.seen.ended |= this.body.is_end_stream();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
