//! The spans of an exchange that has ended: one of its own (server), one for each attempt at a backend (client), one for each wait of
//! Moorline's own that was worth it. Names and attributes are those of OpenTelemetry's semantic conventions for MCP; what these do not
//! know begins with `moorline.`.

use std::time::Instant;

use super::super::{Done, Outcome};
use super::{Recorded, nanos_between};
use crate::exchange::{Step, What};
use crate::fleet::Backend;
use crate::mcp::raw;
use crate::mcp::trace_context::{SpanId, TraceId, TraceParent};

/// Characters of a tool's name, say, that stand in a span.
const LONGEST_NAME: usize = 128;

/// One span, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// The trace's flags.
    pub flags: u8,
    /// What tracing systems have added.
    pub state: Option<Box<str>>,
    /// Its own name in the trace.
    pub id: SpanId,
    /// Whose child it is; the second is whether that is another program's.
    pub parent: Option<(SpanId, bool)>,
    /// On which side of a request.
    pub side: Side,
    /// What people read.
    pub name: Box<str>,
    /// Nanoseconds since 1970 at its beginning and its end.
    pub times: (u64, u64),
    /// All else.
    pub attributes: Vec<(&'static str, Value)>,
    /// What is beside it.
    pub link: Option<TraceParent>,
    /// Whether it has failed.
    pub failed: bool,
}

/// On which side of a request a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It was asked.
    Server,
    /// It asks.
    Client,
    /// It does something of its own.
    Internal,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Box<str>),
    /// A number.
    Number(i64),
}

/// Makes the spans of one exchange.
pub struct Spans<'a> {
    pub recorded: &'a Recorded,
    pub done: &'a Done<'a>,
}

type Attributes = Vec<(&'static str, Value)>;

impl Spans<'_> {
    /// All of them, its own first.
    pub fn all(&self, steps: Vec<Step>) -> Vec<Span> {
        let last = steps.iter().rposition(|step| matches!(step.what, What::Attempt { .. }));
        let mut spans = vec![self.own()];
        spans.extend(steps.into_iter().enumerate().map(|(at, step)| self.step(step, last == Some(at))));
        spans
    }

    fn own(&self) -> Span {
        let (place, done) = (&self.recorded.traced.place, self.done);
        let mut attributes = self.what();
        if let Some(facts) = &done.trail.facts {
            put(&mut attributes, "client.address", facts.client.to_canonical().to_string());
            put(&mut attributes, "moorline.pool", facts.pool.settings().name.as_str());
        }
        attributes.extend(self.recorded.port.map(|port| ("client.port", Value::Number(port.into()))));
        attributes.push(("http.response.status_code", Value::Number(done.trail.seen.status.as_u16().into())));
        put(&mut attributes, "moorline.outcome", done.outcome.name());
        if let Some(cached) = done.trail.cached {
            put(&mut attributes, "moorline.cache", cached);
        }
        if let Some(refusal) = done.trail.refusal {
            put(&mut attributes, "moorline.refused", refusal);
        }
        let failure = self.failure();
        self.fail(&mut attributes, failure.as_deref());
        Span {
            id: self.recorded.traced.span,
            parent: place.parent.map(|parent| (parent, true)),
            side: Side::Server,
            times: (self.recorded.began, self.recorded.began.saturating_add(nanos(done.whole.as_nanos()))),
            link: place.link,
            failed: failure.is_some(),
            ..self.span(attributes)
        }
    }

    fn step(&self, step: Step, is_last_attempt: bool) -> Span {
        let ended = step.ended.map_or_else(|| self.end(), |ended| self.at(ended));
        let times = (self.at(step.began), ended);
        let shared =
            Span { id: step.span, parent: Some((self.recorded.traced.span, false)), times, ..self.span(Vec::new()) };
        let What::Attempt { backend, status } = step.what else {
            let What::Own(name) = step.what else { return shared };
            return Span { name: name.into(), failed: step.failure.is_some(), ..shared };
        };
        let mut attributes = self.what();
        attributes.extend(place_of(&backend));
        attributes.extend(status.map(|status| ("http.response.status_code", Value::Number(status.as_u16().into()))));
        // What the last attempt was answered with is what the client was told, unless that was Moorline's own word.
        let told = || self.failure().filter(|_| is_last_attempt && self.done.trail.refusal.is_none());
        let failure = told().or(step.failure.map(String::from));
        self.fail(&mut attributes, failure.as_deref());
        Span { side: Side::Client, attributes, failed: failure.is_some(), ..shared }
    }

    fn span(&self, attributes: Attributes) -> Span {
        let place = &self.recorded.traced.place;
        Span {
            trace: place.trace,
            flags: place.flags,
            state: place.state.clone(),
            id: self.recorded.traced.span,
            parent: None,
            side: Side::Internal,
            name: self.name(),
            times: (0, 0),
            attributes,
            link: None,
            failed: false,
        }
    }

    /// The method, and the tool or prompt. The name of a resource is left out, since there may be any number of them.
    fn name(&self) -> Box<str> {
        let Some(facts) = &self.done.trail.facts else { return "request".into() };
        match &facts.name {
            Some(name) if matches!(facts.verb(), "tools/call" | "prompts/get") => {
                format!("{} {}", short(facts.verb()), short(name)).into()
            }
            _ => short(facts.verb()).into(),
        }
    }

    /// What was asked for, on both sides.
    fn what(&self) -> Attributes {
        let mut attributes = Vec::with_capacity(20);
        let out = &mut attributes;
        if let Some(facts) = &self.done.trail.facts {
            let verb = facts.verb();
            let is_method = !verb.bytes().all(|byte| byte.is_ascii_uppercase());
            put(out, if is_method { "mcp.method.name" } else { "http.request.method" }, short(verb));
            match (verb, &facts.name) {
                ("tools/call", Some(name)) => {
                    put(out, "gen_ai.operation.name", "execute_tool");
                    put(out, "gen_ai.tool.name", short(name));
                }
                ("prompts/get", Some(name)) => put(out, "gen_ai.prompt.name", short(name)),
                ("resources/read", Some(uri)) => put(out, "mcp.resource.uri", short(uri)),
                _ => {}
            }
        }
        if let Some(id) = &self.recorded.id {
            put(out, "jsonrpc.request.id", short(&raw::text(id).unwrap_or_else(|| (&**id).into())));
        }
        if let Some(version) = &self.recorded.version {
            put(out, "mcp.protocol.version", short(version));
        }
        if let Some(session) = self.done.trail.session {
            put(out, "mcp.session.id", session.to_string());
        }
        put(out, "network.protocol.name", "http");
        put(out, "network.transport", "tcp");
        attributes
    }

    fn fail(&self, attributes: &mut Attributes, failure: Option<&str>) {
        let Some(failure) = failure else { return };
        put(attributes, "error.type", failure);
        if let Some(code) = self.done.trail.seen.code.filter(|code| code.to_string() == failure) {
            put(attributes, "rpc.response.status_code", code.to_string());
        }
    }

    /// Why it has failed, as the conventions call it; none where it has not. That a client leaves is no failure.
    fn failure(&self) -> Option<String> {
        match self.done.outcome {
            Outcome::Good | Outcome::Left => None,
            Outcome::ToolFailed => Some("tool_error".to_owned()),
            Outcome::Failed | Outcome::Refused => Some(
                self.done
                    .trail
                    .seen
                    .code
                    .map_or_else(|| self.done.trail.seen.status.as_str().to_owned(), |code| code.to_string()),
            ),
        }
    }

    fn at(&self, time: Instant) -> u64 {
        self.recorded.began.saturating_add(nanos_between(self.recorded.traced.began, time))
    }

    fn end(&self) -> u64 {
        self.recorded.began.saturating_add(nanos(self.done.whole.as_nanos()))
    }
}

/// Where a backend is.
fn place_of(backend: &Backend) -> Attributes {
    let mut attributes = Vec::new();
    put(&mut attributes, "server.address", backend.authority.host());
    let port = backend.authority.port_u16().unwrap_or(if backend.is_secure() { 443 } else { 80 });
    attributes.push(("server.port", Value::Number(port.into())));
    put(&mut attributes, "moorline.backend", &*backend.name);
    attributes
}

fn put(attributes: &mut Attributes, name: &'static str, text: impl Into<Box<str>>) {
    attributes.push((name, Value::Text(text.into())));
}

/// The text, or its beginning.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_NAME)]
}

fn nanos(long: u128) -> u64 {
    u64::try_from(long).unwrap_or(u64::MAX)
}
