//! Traces: decides which exchanges are recorded, and makes spans of what was written down of them when they have ended. What is not
//! recorded costs a look at a header field. Spans say what was asked for and how it went, nothing that stands in a body (OpenTelemetry
//! semantic conventions for MCP, <https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md>).

mod export;
#[cfg(feature = "otlp")]
mod otlp;
mod sample;
mod span;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

pub use export::TraceError;
pub use words::error_code;

use super::Done;
use crate::clock::{Clock, chance_here};
use crate::config::TracesSettings;
use crate::exchange::{Ask, Call, Exchange, Meta, Place, Traced};
use crate::mcp::trace_context::{RANDOM, SAMPLED, TRACESTATE, TraceId, TraceParent};
use crate::mcp::version::MCP_PROTOCOL_VERSION;
use crate::names::InstanceId;
use export::{Counts, Export};
use sample::Share;
use span::Spans;

/// Traces of one instance, as the configuration wants them now.
#[derive(Debug)]
pub struct Tracing {
    clock: Clock,
    instance: InstanceId,
    tracer: ArcSwapOption<Tracer>,
    /// Whether there is a tracer, and the share that it takes of what is in no trace yet: most requests need know no more of it.
    on: AtomicBool,
    drawn: sample::Held,
    counts: Arc<Counts>,
}

/// What traces by one configuration.
#[derive(Debug)]
struct Tracer {
    settings: TracesSettings,
    share: Share,
    export: Export,
}

/// An exchange that is recorded.
#[derive(Debug)]
pub struct Recorded {
    /// What is written down on its way.
    pub traced: Arc<Traced>,
    /// Nanoseconds since 1970 at its beginning.
    began: u64,
    /// Its JSON-RPC id, raw JSON.
    id: Option<Box<str>>,
    /// The version of the protocol that it says it speaks.
    version: Option<Box<str>>,
    /// The client's port, where it is the client who has connected.
    port: Option<u16>,
}

/// How many spans went where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Sent, and taken.
    pub sent: u64,
    /// Left out: too many waited to be sent.
    pub dropped: u64,
    /// Sent, and not taken, or nobody was there.
    pub failed: u64,
}

impl Tracing {
    /// Traces as the settings say.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn new((clock, instance): (Clock, InstanceId), settings: &TracesSettings) -> Result<Self, TraceError> {
        let tracing = Self {
            clock,
            instance,
            tracer: ArcSwapOption::empty(),
            on: AtomicBool::new(false),
            drawn: sample::Held::default(),
            counts: Arc::default(),
        };
        tracing.reconfigure(settings)?;
        Ok(tracing)
    }

    /// Takes new settings. What was recorded under the old ones is still sent as they said.
    ///
    /// # Errors
    /// [`TraceError`]; then all stays as it was.
    pub fn reconfigure(&self, settings: &TracesSettings) -> Result<(), TraceError> {
        if self.tracer.load().as_ref().is_some_and(|tracer| tracer.settings == *settings) {
            return Ok(());
        }
        let tracer = match &settings.endpoint {
            None => None,
            Some(endpoint) => Some(Arc::new(Tracer {
                share: Share::of(settings.sample),
                export: Export::start(settings, endpoint, (&self.clock, self.instance), &self.counts)?,
                settings: settings.clone(),
            })),
        };
        self.drawn.hold(tracer.as_ref().map_or(Share::of(0.0), |tracer| tracer.share));
        self.on.store(tracer.is_some(), Ordering::Relaxed);
        self.tracer.store(tracer);
        Ok(())
    }

    /// Whether anything may be recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Decides whether an exchange is recorded, and says to which trace it belongs, if to any.
    pub fn judge(&self, exchange: &mut Exchange, began: Instant) -> (Option<TraceId>, Option<Box<Recorded>>) {
        let header = TraceParent::of(&exchange.headers);
        let parent = exchange.meta_trace.as_ref().map(|meta| meta.parent).or(header);
        let trace = parent.map(|parent| parent.trace);
        let chosen = match parent {
            None => self.drawn.get().draw(),
            Some(parent) => self.tracer.load().as_ref().and_then(|tracer| tracer.choose(parent)),
        };
        let Some(chosen) = chosen else { return (trace, None) };
        let tracer = self.tracer.load();
        let Some(tracer) = tracer.as_ref() else { return (trace, None) };
        let place = place_of(exchange, chosen, (parent, header));
        let meta = match &exchange.meta_trace {
            Some(meta) => Meta::At(meta.at.clone()),
            None if tracer.settings.meta && matches!(exchange.ask, Ask::Call(_) | Ask::Note(_)) => Meta::Wanted,
            None => Meta::Kept,
        };
        let now = self.clock.now();
        let nanos = self.clock.micros().saturating_mul(1000).saturating_sub(nanos_between(began, now));
        let traced = Arc::new(Traced::new(place, meta, (self.clock.clone(), began), chance_here()));
        exchange.traced = Some(Arc::clone(&traced));
        (Some(chosen), Some(Box::new(Recorded::of(exchange, traced, nanos))))
    }

    /// Makes spans of what was written down, and hands them over if there is room.
    pub fn end(&self, recorded: &Recorded, done: &Done<'_>) {
        let tracer = self.tracer.load();
        // Nobody is there any more who would take them.
        let Some(tracer) = tracer.as_ref() else { return };
        let steps = recorded.traced.take_steps();
        tracer.export.offer(1 + steps.len() as u64, || Spans { recorded, done }.all(steps));
    }

    /// How many spans went where since the process began.
    #[must_use]
    pub fn exported(&self) -> Exported {
        self.counts.exported()
    }

    /// Waits until all that was handed over is sent, or was given up.
    pub async fn settle(&self) {
        let tracer = self.tracer.load_full();
        if let Some(tracer) = tracer {
            tracer.export.settle().await;
        }
    }
}

impl Tracer {
    /// The trace of an exchange that is recorded, of one that has a parent.
    fn choose(&self, parent: TraceParent) -> Option<TraceId> {
        let is_taken = if self.settings.follow { parent.is_sampled() } else { self.share.takes(parent.trace) };
        is_taken.then_some(parent.trace)
    }
}

fn place_of(
    exchange: &Exchange,
    trace: TraceId,
    (parent, header): (Option<TraceParent>, Option<TraceParent>),
) -> Place {
    let own = if parent.is_none() { RANDOM } else { 0 };
    let state = match &exchange.meta_trace {
        Some(meta) => meta.state.clone(),
        None if header.is_some() => joined(exchange),
        None => None,
    };
    Place {
        trace,
        flags: SAMPLED | own | parent.map_or(0, |parent| parent.flags & RANDOM),
        parent: parent.map(|parent| parent.span),
        state,
        // Of the two, what the message says counts; what its transport says is only linked (semantic conventions, Context propagation).
        link: header.filter(|header| parent.is_some_and(|parent| parent != *header)),
    }
}

/// The header fields `tracestate`, which may stand there more than once, as one (§3.3.1).
fn joined(exchange: &Exchange) -> Option<Box<str>> {
    let values = exchange.headers.get_all(TRACESTATE).iter();
    let texts: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
    texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join(",").into())
}

impl Recorded {
    fn of(exchange: &Exchange, traced: Arc<Traced>, began: u64) -> Self {
        let version = exchange.headers.get(MCP_PROTOCOL_VERSION).and_then(|version| version.to_str().ok());
        let id = match &exchange.ask {
            Ask::Call(Call { id, .. }) => Some(id.clone()),
            _ => None,
        };
        let peer = exchange.origin.peer;
        let port = (peer.ip().to_canonical() == exchange.caller.addr.to_canonical()).then(|| peer.port());
        Self { traced, began, id, version: version.map(Box::from), port }
    }

    /// When it ended, in milliseconds since 1970.
    pub(super) fn ended_at(&self, whole: Duration) -> u64 {
        (self.began / 1_000_000).saturating_add(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Nanoseconds from one time to another that is not earlier.
fn nanos_between(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}
