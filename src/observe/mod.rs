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
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

pub use sink::{Pen, Sink};
pub use trail::{Done, Outcome, Trail};

use crate::clock::Clock;
use crate::config::{AccessLog, MetricsSettings};
use crate::exchange::Exchange;
use crate::fleet::Backend;
use crate::names::{InstanceId, SessionId};
use crate::reject::Cause;
use metrics::Metrics;
use tally::{Tallies, Tally};
use trace::Tracing;
use trail::Facts;
use verdict::Verdict;

/// The observe station of one worker thread.
#[derive(Debug)]
pub struct Observe {
    clock: Clock,
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
        Trail { began: kept.then(|| self.clock.now()), ..Trail::default() }
    }

    /// Writes down what the request is, and decides whether it is recorded in its trace.
    pub fn facts(&self, trail: &mut Trail, exchange: &mut Exchange) {
        let Some(began) = trail.began else { return };
        trail.facts = Some(Box::new(Facts::of(exchange, self.clock.now())));
        (trail.trace, trail.recorded) = self.tracing.judge(exchange, began);
    }

    /// Writes down in whose session it is, where its answer has to do with the cache, and what.
    pub fn looked(&self, trail: &mut Trail, session: Option<SessionId>, cached: Option<&'static str>) {
        (trail.session, trail.cached) = (session, cached);
    }

    /// Writes down where it goes, and when.
    pub fn sent(&self, trail: &mut Trail, session: Option<SessionId>, (backend, now): (&Arc<Backend>, Instant)) {
        if trail.began.is_none() {
            return;
        }
        trail.session = session;
        trail.legs.sent(backend, now);
    }

    /// Writes down that the backend's answer has begun, or will not come.
    pub fn answered(&self, trail: &mut Trail) {
        if trail.began.is_some() {
            trail.legs.arrived(self.clock.now());
        }
    }

    /// Writes down that it was refused, and counts it.
    pub fn refused(&self, trail: &mut Trail, cause: &Cause) {
        self.metrics.refusals.count(cause.name());
        trail.refusal = Some(cause.name());
        if let Cause::Limited(limited) = cause {
            trail.limit = Some(limited.name.clone());
        }
    }

    /// Lets the answer's body carry the trail to its end.
    #[must_use]
    pub fn watch<B: Body>(self: &Arc<Self>, mut trail: Trail, response: Response<B>) -> Response<Observed<B>> {
        if trail.began.is_none() {
            return response.map(Observed::unwatched);
        }
        let (parts, body) = response.into_parts();
        let head = self.clock.now();
        trail.legs.arrived(head);
        let watch = Watch {
            observe: Arc::clone(self),
            trail,
            status: parts.status,
            head,
            bytes: 0,
            ended: body.is_end_stream(),
            verdict: Verdict::default(),
            code: None,
        };
        Response::from_parts(parts, Observed { body, watch: Some(Box::new(watch)) })
    }

    fn end(&self, watch: &Watch) {
        let (trail, now) = (&watch.trail, self.clock.now());
        let read = trail.facts.as_ref().map_or(watch.head, |facts| facts.read);
        let backend = trail.legs.waited;
        let done = Done {
            trail,
            status: watch.status,
            bytes: watch.bytes,
            ended: watch.ended,
            outcome: Done::outcome(trail, watch.status, watch.verdict, watch.ended),
            whole: now.saturating_duration_since(trail.began.unwrap_or(now)),
            own: watch.head.saturating_duration_since(read).saturating_sub(backend),
            backend,
            code: watch.code,
        };
        if self.counts {
            self.tally.count(&done, &self.tallies.tools, now);
        }
        if let Some(recorded) = &trail.recorded {
            self.tracing.end(recorded, &done);
        }
        if self.access.is_on() {
            let when = (self.clock.unix_millis(), self.instance);
            self.pen.write(|line| access::line(line, &done, when));
        }
    }
}

/// A body that reports when it has ended, or was given up.
pub struct Observed<B> {
    body: B,
    watch: Option<Box<Watch>>,
}

impl<B> Observed<B> {
    /// A body that nobody keeps a trail of.
    pub const fn unwatched(body: B) -> Self {
        Self { body, watch: None }
    }
}

struct Watch {
    observe: Arc<Observe>,
    trail: Trail,
    status: StatusCode,
    /// When the answer's header fields were ready.
    head: Instant,
    bytes: u64,
    ended: bool,
    verdict: Verdict,
    /// The code of the JSON-RPC error that was answered, where anybody is told.
    code: Option<i64>,
}

impl Watch {
    fn pass(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.verdict.look(piece);
        let is_told = self.trail.recorded.is_some() || self.observe.access.is_on();
        if self.verdict == Verdict::Failed && is_told && self.code.is_none() {
            self.code = trace::error_code(piece);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.observe.end(self);
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
                Poll::Ready(None) => watch.ended = true,
                Poll::Ready(Some(Err(_))) | Poll::Pending => {}
            }
            watch.ended = watch.ended || this.body.is_end_stream();
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
