//! What is written down of an exchange whose trace is recorded, on its way: each attempt at a backend, and each wait that is worth
//! telling. Names spans, and says in what is sent who is the parent there. What is recorded, and where it goes, is decided elsewhere.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::Exchange;
use crate::clock::{Chance, Clock};
use crate::fleet::Backend;
use crate::mcp::trace_context::{self, SpanId, TRACEPARENT, TRACESTATE, TraceId, TraceParent};
use crate::wire::Outgoing;

/// Steps of one exchange that are written down at most; a stream may be mended many times.
const MOST_STEPS: usize = 64;

/// What a session's move is called. It is told however short it was: it says why the attempts around it went to different backends.
pub const MOVE: &str = "rehome";

/// Any other wait that is shorter is not worth a span.
const SHORT: Duration = Duration::from_millis(1);

/// Where a recorded exchange stands in its trace.
#[derive(Clone, Debug)]
pub struct Place {
    /// The trace.
    pub trace: TraceId,
    /// The flags that are passed on.
    pub flags: u8,
    /// Whose child it is; none where the trace begins here.
    pub parent: Option<SpanId>,
    /// What tracing systems have added.
    pub state: Option<Box<str>>,
    /// What the header field says, where the body says another thing.
    pub link: Option<TraceParent>,
}

/// What is written down of a recorded exchange.
#[derive(Debug)]
pub struct Traced {
    /// Where it stands.
    pub place: Place,
    /// Its own span.
    pub span: SpanId,
    /// When it began.
    pub began: Instant,
    clock: Clock,
    chance: Chance,
    /// Taken a few times on the way of this one exchange, by whatever task serves it then.
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    steps: Vec<Step>,
    meta: Meta,
}

/// What is done about `params._meta` in what is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Meta {
    /// It is left alone.
    #[default]
    Kept,
    /// The text at that place of the body is replaced.
    At(Range<usize>),
    /// It is written where there is none.
    Wanted,
}

/// One step on the way.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its span.
    pub span: SpanId,
    /// What was done.
    pub what: What,
    /// When it began.
    pub began: Instant,
    /// When it ended; none where it has not.
    pub ended: Option<Instant>,
    /// Why it has failed, in a word.
    pub failure: Option<Box<str>>,
}

/// What a step was.
#[derive(Clone, Debug)]
pub enum What {
    /// An attempt at a backend.
    Attempt {
        /// The backend.
        backend: Arc<Backend>,
        /// HTTP's status, once the head of the answer has come.
        status: Option<StatusCode>,
    },
    /// Work, or a wait, of Moorline's own.
    Own(&'static str),
}

/// An attempt that was written down.
#[derive(Clone, Copy, Debug)]
pub struct Attempt(Option<usize>);

impl Traced {
    /// A recorded exchange that begins at that time. `chance` decides the names of its spans.
    #[must_use]
    pub fn new(place: Place, meta: Meta, (clock, began): (Clock, Instant), chance: u64) -> Self {
        let chance = Chance::seeded(chance);
        let span = name(&chance);
        Self { place, span, began, clock, chance, notes: Mutex::new(Notes { steps: Vec::new(), meta }) }
    }

    /// Writes down that it is sent to a backend, and says in what is sent whose child it is there. Whatever was sent before has ended.
    pub fn attempt(&self, outgoing: &mut Outgoing, backend: &Arc<Backend>) -> Attempt {
        let (span, now) = (name(&self.chance), self.clock.now());
        let mut notes = self.notes();
        notes.part(now);
        self.tell(span, outgoing, &mut notes.meta);
        let what = What::Attempt { backend: Arc::clone(backend), status: None };
        Attempt(notes.add(Step { span, what, began: now, ended: None, failure: None }))
    }

    /// Writes down that the head of an answer has come.
    pub fn answered(&self, attempt: Attempt, answer: StatusCode) {
        let mut notes = self.notes();
        let Some(step) = attempt.0.and_then(|at| notes.steps.get_mut(at)) else { return };
        if let What::Attempt { status, .. } = &mut step.what {
            *status = Some(answer);
        }
        if answer.is_client_error() || answer.is_server_error() {
            step.failure = Some(answer.as_str().into());
        }
    }

    /// Writes down that no answer will come.
    pub fn failed(&self, attempt: Attempt, why: &str) {
        let (now, mut notes) = (self.clock.now(), self.notes());
        if let Some(step) = attempt.0.and_then(|at| notes.steps.get_mut(at)) {
            (step.ended, step.failure) = (Some(now), Some(why.into()));
        }
    }

    /// The time, for whoever measures a step.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Writes down what has taken until now, if it was long enough to be worth it.
    pub fn took(&self, what: &'static str, began: Instant) {
        let now = self.clock.now();
        if what == MOVE || now.saturating_duration_since(began) >= SHORT {
            let (span, what) = (name(&self.chance), What::Own(what));
            self.notes().add(Step { span, what, began, ended: Some(now), failure: None });
        }
    }

    /// The steps so far; none of them is told again.
    #[must_use]
    pub fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.notes().steps)
    }

    fn tell(&self, span: SpanId, outgoing: &mut Outgoing, meta: &mut Meta) {
        let parent = TraceParent { trace: self.place.trace, span, flags: self.place.flags };
        if let Ok(value) = HeaderValue::try_from(parent.to_string()) {
            outgoing.headers.insert(TRACEPARENT, value);
        }
        match self.place.state.as_deref().map(HeaderValue::from_str) {
            Some(Ok(state)) => drop(outgoing.headers.insert(TRACESTATE, state)),
            // What belongs to another trace must not stand beside this one.
            _ => drop(outgoing.headers.remove(TRACESTATE)),
        }
        match meta {
            Meta::Kept => {}
            Meta::At(at) => {
                if let Some(body) = trace_context::replace(&outgoing.body, at, &parent) {
                    outgoing.body = Bytes::from(body);
                }
            }
            Meta::Wanted => {
                *meta = Meta::Kept;
                if let Some((body, at)) = trace_context::insert(&outgoing.body, &parent) {
                    (outgoing.body, *meta) = (Bytes::from(body), Meta::At(at));
                }
            }
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn add(&mut self, step: Step) -> Option<usize> {
        let has_room = self.steps.len() < MOST_STEPS;
        has_room.then(|| {
            self.steps.push(step);
            self.steps.len() - 1
        })
    }

    /// What is still under way was given up.
    fn part(&mut self, now: Instant) {
        for step in self.steps.iter_mut().filter(|step| step.ended.is_none()) {
            step.ended = Some(now);
            step.failure.get_or_insert_with(|| "lost".into());
        }
    }
}

impl Exchange {
    /// Does a piece of work, and writes down how long it took if the exchange is recorded.
    pub async fn during<T>(&self, what: &'static str, work: impl Future<Output = T>) -> T {
        during(self.traced.as_ref(), what, work).await
    }
}

/// Does a piece of work, and writes down how long it took where something is recorded.
pub async fn during<T>(traced: Option<&Arc<Traced>>, what: &'static str, work: impl Future<Output = T>) -> T {
    let Some(traced) = traced else { return work.await };
    let began = traced.now();
    let done = work.await;
    traced.took(what, began);
    done
}

/// A name that is not zero.
fn name(chance: &Chance) -> SpanId {
    SpanId(chance.next().max(1).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use http::{HeaderMap, Method};

    use super::*;

    fn outgoing(body: &str) -> Outgoing {
        Outgoing {
            method: Method::POST,
            path_and_query: PathAndQuery::from_static("/mcp"),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
            replayable: true,
        }
    }

    fn backend(clock: &Clock) -> Arc<Backend> {
        let name = http::uri::Authority::from_static("b:1");
        let addr = ([127, 0, 0, 1], 1).into();
        Arc::new(Backend::new("b:1", name, PathAndQuery::from_static("/mcp"), (addr, clock.now())))
    }

    fn traced(clock: &Clock, meta: Meta, state: Option<&str>) -> Traced {
        let place = Place {
            trace: TraceId([7; 16]),
            flags: trace_context::SAMPLED,
            parent: None,
            state: state.map(Box::from),
            link: None,
        };
        Traced::new(place, meta, (clock.clone(), clock.now()), 1)
    }

    #[test]
    fn each_attempt_is_the_parent_of_what_happens_there() {
        let clock = Clock::manual();
        let traced = traced(&clock, Meta::Wanted, None);
        let mut outgoing = outgoing(r#"{"params":{"name":"a"}}"#);
        outgoing.headers.insert(TRACESTATE, HeaderValue::from_static("of=another"));
        let mut seen = Vec::new();
        for _ in 0..2 {
            let attempt = traced.attempt(&mut outgoing, &backend(&clock));
            clock.advance(SHORT);
            traced.answered(attempt, StatusCode::NOT_FOUND);
            let header = outgoing.headers[TRACEPARENT].to_str().unwrap().to_owned();
            let body = std::str::from_utf8(&outgoing.body).unwrap().to_owned();
            assert_eq!(body, format!(r#"{{"params":{{"_meta":{{"traceparent":"{header}"}},"name":"a"}}}}"#));
            assert!(!outgoing.headers.contains_key(TRACESTATE));
            seen.push(TraceParent::parse(header.as_bytes()).unwrap());
        }
        let steps = traced.take_steps();
        assert_eq!(seen.iter().map(|parent| parent.span).collect::<Vec<_>>(), [steps[0].span, steps[1].span]);
        assert_ne!(steps[0].span, steps[1].span);
        assert_eq!((steps[0].ended, steps[1].ended), (Some(steps[1].began), None));
        assert_eq!(steps[0].failure.as_deref(), Some("404"));
    }

    #[test]
    fn what_is_kept_stays_and_state_goes_along() {
        let clock = Clock::manual();
        let body = r#"{"params":{"name":"a"}}"#;
        let mut outgoing = outgoing(body);
        let traced = traced(&clock, Meta::Kept, Some("a=1"));
        let attempt = traced.attempt(&mut outgoing, &backend(&clock));
        traced.failed(attempt, "refused");
        assert_eq!((&outgoing.body[..], outgoing.headers[TRACESTATE].to_str().unwrap()), (body.as_bytes(), "a=1"));
        assert_eq!(traced.take_steps()[0].failure.as_deref(), Some("refused"));
    }

    #[test]
    fn steps_are_bounded_and_short_waits_left_out() {
        let clock = Clock::manual();
        let traced = traced(&clock, Meta::Kept, None);
        traced.took("cache", clock.now());
        assert!(traced.take_steps().is_empty());
        traced.took(MOVE, clock.now());
        assert_eq!(traced.take_steps().len(), 1, "a move is told however short it was");
        let began = clock.now();
        clock.advance(SHORT);
        (0..1000).for_each(|_| traced.took("cache", began));
        assert_eq!(traced.take_steps().len(), MOST_STEPS);
    }
}
