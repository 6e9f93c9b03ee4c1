//! The observe station: reads the trail of an exchange when its answer's body has ended, and writes the access log. It
//! never sees bodies or credentials, and never holds a request up: what cannot be written at once is counted and dropped.

pub mod metrics;
mod sink;

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::clock::Clock;
use crate::config::AccessLog;
use crate::exchange::Exchange;
use crate::mcp::version::Era;
use crate::names::SessionId;
use metrics::Metrics;
use sink::Sink;

/// The observe station.
#[derive(Debug)]
pub struct Observe {
    clock: Clock,
    metrics: Arc<Metrics>,
    access: Option<Sink>,
}

/// What is known of an exchange when its answer begins.
#[derive(Debug, Default)]
pub struct Trail {
    started: Option<Instant>,
    facts: Option<Facts>,
    session: Option<SessionId>,
    cached: Option<&'static str>,
    backend: Option<Box<str>>,
    sent: Option<Instant>,
    answered: Option<Instant>,
    refusal: Option<&'static str>,
}

#[derive(Debug)]
struct Facts {
    era: Era,
    verb: Box<str>,
    name: Option<Box<str>>,
    pool: Box<str>,
    client: std::net::IpAddr,
    caller: Option<Arc<str>>,
}

impl Observe {
    /// A station that writes the access log where the configuration says.
    #[must_use]
    pub fn new(clock: Clock, access: AccessLog) -> Self {
        Self { clock, metrics: Arc::default(), access: Sink::to(access) }
    }

    /// What is counted.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// A new trail.
    #[must_use]
    pub fn begin(&self) -> Trail {
        Trail { started: self.access.is_some().then(|| self.clock.now()), ..Trail::default() }
    }

    /// Writes down what the request is.
    pub fn facts(&self, trail: &mut Trail, exchange: &Exchange) {
        if self.access.is_none() {
            return;
        }
        let name = match &exchange.ask {
            crate::exchange::Ask::Call(call) => call.name.clone(),
            _ => None,
        };
        trail.facts = Some(Facts {
            era: exchange.era,
            verb: exchange.verb().into(),
            name,
            pool: exchange.pool.settings().name.as_str().into(),
            client: exchange.caller.addr,
            caller: exchange.caller.principal.as_ref().map(|principal| Arc::clone(&principal.name)),
        });
    }

    /// Writes down in whose session it is, where its answer has to do with the cache, and what.
    pub fn looked(&self, trail: &mut Trail, session: Option<SessionId>, cached: Option<&'static str>) {
        (trail.session, trail.cached) = (session, cached);
    }

    /// Writes down where it goes.
    pub fn sent(&self, trail: &mut Trail, session: Option<SessionId>, backend: &str) {
        if self.access.is_some() {
            trail.session = session;
            trail.backend = Some(backend.into());
            trail.sent = Some(self.clock.now());
            trail.answered = None;
        }
    }

    /// Writes down that the backend's answer has begun.
    pub fn answered(&self, trail: &mut Trail) {
        if self.access.is_some() {
            trail.answered = Some(self.clock.now());
        }
    }

    /// Writes down that it was refused, and counts it.
    pub fn refused(&self, trail: &mut Trail, reason: &'static str) {
        self.metrics.refusals.count(reason);
        trail.refusal = Some(reason);
    }

    /// Lets the answer's body carry the trail to its end.
    #[must_use]
    pub fn watch<B: Body>(self: &Arc<Self>, trail: Trail, response: Response<B>) -> Response<Observed<B>> {
        let (parts, body) = response.into_parts();
        let ended = body.is_end_stream();
        let watch = self
            .access
            .is_some()
            .then(|| Box::new(Watch { observe: Arc::clone(self), trail, status: parts.status, bytes: 0, ended }));
        Response::from_parts(parts, Observed { body, watch })
    }

    fn write(&self, watch: &Watch) {
        if let Some(sink) = &self.access {
            sink.write(self.line(watch));
        }
    }

    fn line(&self, watch: &Watch) -> String {
        let trail = &watch.trail;
        let mut line = String::with_capacity(256);
        let now = self.clock.now();
        let micros = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from),
            _ => Duration::ZERO,
        };
        // Writing to a String cannot fail.
        let mut put = |text: std::fmt::Arguments<'_>| {
            let _ = line.write_fmt(text);
        };
        put(format_args!("{{\"at\":{},\"status\":{}", self.clock.unix(), watch.status.as_u16()));
        if let Some(facts) = &trail.facts {
            let era = if facts.era == Era::Modern { "modern" } else { "legacy" };
            let verb = serde_json::Value::from(&*facts.verb);
            put(format_args!(
                ",\"pool\":\"{}\",\"client\":\"{}\",\"era\":\"{era}\",\"method\":{verb}",
                facts.pool, facts.client
            ));
            if let Some(caller) = &facts.caller {
                put(format_args!(",\"caller\":{}", serde_json::Value::from(&**caller)));
            }
            if let Some(name) = &facts.name {
                put(format_args!(",\"name\":{}", serde_json::Value::from(&**name)));
            }
        }
        if let Some(session) = trail.session {
            put(format_args!(",\"session\":\"{session}\""));
        }
        if let Some(cached) = trail.cached {
            put(format_args!(",\"cache\":\"{cached}\""));
        }
        if let Some(backend) = &trail.backend {
            put(format_args!(
                ",\"backend\":\"{backend}\",\"backend_us\":{}",
                micros(trail.sent, trail.answered).as_micros()
            ));
        }
        if let Some(refusal) = trail.refusal {
            put(format_args!(",\"refused\":\"{refusal}\""));
        }
        let whole = micros(trail.started, Some(now)).as_micros();
        put(format_args!(",\"bytes\":{},\"us\":{whole},\"ended\":{}}}\n", watch.bytes, watch.ended));
        line
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
    bytes: u64,
    ended: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.observe.clone().write(self);
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
                Poll::Ready(Some(Ok(frame))) => watch.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
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
