//! The relay station: sends a request to the backend that the route named, and streams the answer back, never holding back
//! a whole event. Says of each failure whether the backend can have seen the request. Chooses nothing and knows no sessions.

mod ask;
mod attempt;
mod awaited;
mod body;
mod events;
mod late;
mod listen;
mod mend;
mod oauth;
mod outgoing;
mod scale;
mod sent;
mod signal;
mod streams;
mod usable;
mod veiled;
mod wires;

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::poll_immediate;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};

pub use ask::{AskError, Reply, credentials_of, message};
pub use body::{Hold, Kept, RelayBody, Wanted, drain};
pub use late::{News, Rest};
pub use mend::{Mend, Mended};
pub use scale::{Fate, Weigh};
pub use sent::{Lost, Sent};
pub use streams::{Kind as StreamKind, Streams};

use crate::clock::Clock;
use crate::config::{HostPolicy, PoolSettings};
use crate::drain::{Drain, Phase};
use crate::exchange::{Answer, Ask, Exchange, Heading, Introduce, Lesson, Moored};
use crate::fleet::{Backend, Pool};
use crate::mcp::crossing::{ReplyFate, unwrap_reply};
use crate::mcp::version::X_ACCEL_BUFFERING;
use crate::names::PoolId;
use crate::reject::{Asker, Cause};
use crate::sweep::{Sweep, TICK, ticks};
use crate::wire::{Incoming, Outgoing, Wire, WireError};
use events::Events;
use late::Late;
use listen::Hub;
use signal::{Signal, Watch, Welcome};
use streams::{Kind, Open};
use usable::{check, has_type, is_stream, looks_inside};

/// A plain answer up to this size is waited for, so that a broken one can still be refused properly.
const WAITED_FOR: usize = 64 * 1024;

/// How often a request that waits for its answer looks whether its backend and this instance are still there.
const LOOK: Duration = Duration::from_millis(250);

/// The relay station of one worker thread: connections belong to the thread that polls them.
pub struct Relay {
    settings: Arc<ArcSwap<Settings>>,
    clock: Clock,
    drain: Drain,
    streams: Streams,
    sweep: Arc<Sweep<Signal>>,
    /// One wire per pool, with the settings that it was made for. Taken by this worker alone, never across an await.
    wires: Mutex<Vec<(PoolId, Arc<PoolSettings>, Wire)>>,
    hub: Hub,
    ear: Ear,
}

/// Hears what the servers of a pool say of themselves: events in which a notification stands, or a message.
pub type Ear = Arc<dyn Fn(PoolId, &[u8]) + Send + Sync>;

/// What the relay needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// After how much quiet a stream gets a comment; none for never.
    pub heartbeat: Option<Duration>,
    /// When clients are told to come back after a notification stream has ended.
    pub retry: Duration,
    /// Bytes of an incomplete event that are held back at most.
    pub max_event: usize,
    /// The largest answer that is buffered because ids in it may have to be rewritten.
    pub inspect: usize,
    /// Notification streams open at the same time, per instance.
    pub max_listen_streams: usize,
    /// Those of one caller.
    pub max_listen_streams_per_caller: usize,
    /// How clients reach this instance, where that is configured.
    pub public_url: Option<http::Uri>,
}

impl Relay {
    /// A station for one worker thread.
    #[must_use]
    pub fn new(settings: Arc<ArcSwap<Settings>>, streams: Streams, (clock, drain): (Clock, Drain), ear: Ear) -> Self {
        let sweep = Arc::new(Sweep::default());
        let hub = Hub::new(clock.clone(), Arc::clone(&ear));
        Self { settings, clock, drain, streams, sweep, wires: Mutex::default(), hub, ear }
    }

    /// Looks after waiting streams and idle connections, for ever.
    pub async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut turn = 0_u32;
        loop {
            ticks.tick().await;
            self.sweep.turn();
            turn = turn.wrapping_add(1);
            if turn.is_multiple_of(4) {
                self.wires().iter().for_each(|(_, _, wire)| wire.sweep());
            }
        }
    }

    /// Takes the request out of the exchange and makes it ready for any backend.
    #[must_use]
    pub fn prepare(&self, exchange: &mut Exchange) -> Outgoing {
        outgoing::prepare(exchange)
    }

    async fn dispatch(
        &self,
        exchange: &Exchange,
        outgoing: &mut Outgoing,
        heading: &Heading,
        moored: Option<&Arc<Moored>>,
    ) -> Result<Sent, Lost> {
        let backend = &heading.backend;
        let mut hold = Hold::new(backend, moored);
        if matches!(exchange.ask, Ask::Stream) {
            let open = self.streams.open(Kind::Session, &exchange.caller, &self.settings.load());
            hold.stands(open.map_err(Lost::Failed)?);
        }
        if let Some(late) = self.late_reply(exchange, outgoing, heading) {
            return Ok(Sent { answer: late, rest: None, hold, mark: heading.mark(), weigh: None });
        }
        let settings = Arc::clone(&exchange.pool.settings());
        let host = match settings.host {
            HostPolicy::Client => exchange.host.as_ref().and_then(|host| host.to_str().ok()),
            HostPolicy::Backend => None,
        };
        let target = backend.target(settings.http_version, host);
        let target = target.map_err(|_| Lost::Failed(Cause::BadGateway("its name cannot be a Host".into())))?;
        if !outgoing::address(outgoing, exchange, heading, moored.map(Arc::as_ref)) {
            return Err(Lost::Failed(Cause::BadGateway("its path or session id cannot be sent".into())));
        }
        let wire = self.wire(&exchange.pool, &settings);
        let sending = pin!(wire.send(&target, outgoing));
        let incoming = self.first_sign(sending, &hold, settings.response_timeout).await;
        let incoming = incoming?.map_err(|error| self.lost(exchange, heading, &error))?;
        self.receive((exchange, heading), incoming, hold, settings.response_timeout).await
    }

    /// The client's answer to a server's request goes to the berth that asked; one for an earlier berth is taken and dropped.
    fn late_reply(&self, exchange: &Exchange, outgoing: &mut Outgoing, heading: &Heading) -> Option<Answer> {
        if !matches!(exchange.ask, Ask::Reply | Ask::Batch(_)) {
            return None;
        }
        match unwrap_reply(&exchange.body, heading.mark()) {
            ReplyFate::Unchanged => None,
            ReplyFate::Rewritten(body) => {
                outgoing.body = body.into();
                None
            }
            ReplyFate::Stale(_) => {
                tracing::info!(backend = %heading.backend.name, "a reply to a request of an earlier berth was dropped");
                Some(Answer::accepted())
            }
        }
    }

    async fn receive(
        &self,
        (exchange, heading): (&Exchange, &Heading),
        incoming: Incoming,
        hold: Hold,
        limit: Duration,
    ) -> Result<Sent, Lost> {
        let Incoming { status, headers, body, .. } = incoming;
        let mut answer = Answer { status, headers, whole: None };
        let backend = &heading.backend;
        if matches!(answer.status.as_u16(), 502..=504) {
            exchange.pool.failed(backend, self.clock.now(), false);
        }
        if is_stream(&answer.headers) || matches!(exchange.ask, Ask::Stream) && answer.status.is_success() {
            return Ok(Sent { answer, rest: Some((Bytes::new(), body)), hold, mark: heading.mark(), weigh: None });
        }
        let most = if looks_inside(exchange) { self.settings.load().inspect } else { WAITED_FOR };
        let mut gathering = pin!(body::gather(body, most));
        // Mostly it has come with its head: no timer is made then.
        let gathered = match poll_immediate(gathering.as_mut()).await {
            Some(gathered) => gathered,
            None => self.first_sign(gathering, &hold, limit).await?,
        };
        let (start, rest) = gathered.map_err(|error| self.lost(exchange, heading, &error))?;
        if rest.is_none() {
            answer.whole = Some(start.clone());
        }
        check(exchange, &answer, &start).map_err(Lost::Failed)?;
        if rest.is_some() && exchange.veil.is_some() {
            return Err(Lost::Failed(Cause::BadGateway(
                "its list of tools is longer than bounds.inspect, and cannot be read".into(),
            )));
        }
        let rest = rest.map(|body| (start, body));
        Ok(Sent { answer, rest, hold, mark: heading.mark(), weigh: None })
    }

    /// Waits for an answer for at most `limit`, but not on a backend that was found dead meanwhile (a frozen one would never
    /// answer), nor beyond the deadline of the drain.
    async fn first_sign<T>(
        &self,
        mut answer: Pin<&mut impl Future<Output = T>>,
        hold: &Hold,
        limit: Duration,
    ) -> Result<T, Lost> {
        let mut left = limit;
        loop {
            let step = left.min(LOOK);
            if let Ok(answered) = tokio::time::timeout(step, answer.as_mut()).await {
                return Ok(answered);
            }
            left -= step;
            if hold.has_fallen() {
                return Err(Lost::Broken(Cause::OutcomeUnknown));
            }
            if self.drain.phase() >= Phase::Over {
                return Err(Lost::Failed(Cause::OutcomeUnknown));
            }
            if left.is_zero() {
                return Err(Lost::Failed(Cause::GatewayTimeout(limit)));
            }
        }
    }

    fn lost(&self, exchange: &Exchange, heading: &Heading, error: &WireError) -> Lost {
        let backend = &heading.backend;
        if error.is_tls() {
            tracing::warn!(backend = %backend.name, %error, "a backend cannot be asked; nothing was sent");
        } else {
            tracing::debug!(backend = %backend.name, %error, "no answer");
        }
        self.suspect(&exchange.pool, backend, error);
        if !error.can_have_been_executed() {
            return Lost::Unsent { refused: error.refused() };
        }
        match error {
            WireError::HeadTimeout { after } => Lost::Failed(Cause::GatewayTimeout(*after)),
            WireError::Malformed { .. } | WireError::Truncated { .. } => {
                Lost::Failed(Cause::BadGateway(error.to_string()))
            }
            _ if exchange.waiting().is_empty() => Lost::Broken(Cause::BadGateway(error.to_string())),
            _ => Lost::Broken(Cause::OutcomeUnknown),
        }
    }

    /// Counts a failure against its backend.
    fn suspect(&self, pool: &Pool, backend: &Backend, error: &WireError) {
        if error.refused() {
            backend.refused();
        }
        if is_suspicious(error) {
            backend.troubles.note(&error.to_string(), self.clock.now());
            pool.failed(backend, self.clock.now(), error.refused());
        }
    }

    /// Turns an answer into the response for the client.
    #[must_use]
    pub fn respond(&self, exchange: &Exchange, sent: Sent, lesson: Option<Lesson>) -> Response<RelayBody> {
        let Sent { answer: Answer { status, mut headers, whole }, rest, hold, mark, weigh } = sent;
        let settings = self.settings.load_full();
        let whole =
            oauth::translate((exchange, &hold.backend), settings.public_url.as_ref(), status, &mut headers, whole);
        let body = match (whole, rest) {
            (Some(whole), _) => {
                headers.remove(CONTENT_LENGTH);
                RelayBody::whole(veiled::whole(exchange, whole, false))
            }
            (None, Some((start, body))) if is_stream(&headers) => {
                headers.remove(CONTENT_LENGTH);
                headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
                let learns = (lesson, weigh, Arc::clone(&self.ear));
                let events = Events::new(exchange, (hold, mark), (start, body), learns, &settings);
                RelayBody::Events(Box::new(events.watched(self.look_after(Some(exchange)))))
            }
            (None, Some((start, body))) => {
                RelayBody::pass((start, body), hold, (Arc::clone(&self.sweep), self.drain.clone()))
            }
            (None, None) => RelayBody::whole(Bytes::new()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// An answer of our own.
    #[must_use]
    pub fn say(&self, answer: Answer) -> Response<RelayBody> {
        let mut response = Response::new(RelayBody::whole(answer.whole.unwrap_or_default()));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    /// An answer that a backend has given before, as this caller is shown it.
    #[must_use]
    pub fn show(&self, exchange: &Exchange, answer: Answer) -> Response<RelayBody> {
        let is_stream = is_stream(&answer.headers);
        let whole = answer.whole.map(|whole| veiled::whole(exchange, whole, is_stream));
        self.say(Answer { whole, ..answer })
    }

    /// An answer that comes later, in a stream of events that begins now.
    #[must_use]
    pub fn follow(&self, asker: Asker, news: News, rest: Rest) -> Response<RelayBody> {
        let late = Late::new((news, rest), asker, self.look_after(None));
        let mut response = Response::new(RelayBody::Late(Box::new(late)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        response
    }

    /// Answers `subscriptions/listen`: one stream that hears every backend of the pool.
    ///
    /// # Errors
    /// [`Cause::NoBackend`] where nobody can be heard now, [`Cause::Full`] where too many listen already.
    pub async fn listen(
        &self,
        exchange: &Exchange,
        outgoing: &Outgoing,
        introduce: Introduce,
    ) -> Result<Response<RelayBody>, Cause> {
        let settings = self.settings.load_full();
        let pool = Arc::clone(&exchange.pool.settings());
        let wire = self.wire(&exchange.pool, &pool);
        let open = self.streams.open(Kind::Listen, &exchange.caller, &settings)?;
        self.hub
            .listen((exchange, outgoing, introduce), (&wire, open), &settings, &self.look_after(Some(exchange)))
            .await
    }

    /// Hears what the servers of a pool say of their lists, though no client listens. Returns when nobody can be heard.
    pub async fn watch(&self, pool: &Arc<Pool>, credentials: HeaderMap) {
        let settings = self.settings.load_full();
        let wire = self.wire(pool, &pool.settings());
        self.hub.watch(pool, credentials, &wire, &settings).await;
    }

    /// When a request was sent, for whoever measures.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Looks after what waits: a stream for whoever has asked for it, as long as that one is welcome.
    fn look_after(&self, exchange: Option<&Exchange>) -> Watch {
        Watch {
            sweep: Arc::clone(&self.sweep),
            drain: self.drain.clone(),
            heartbeat: self.settings.load().heartbeat.map_or(0, ticks),
            welcome: exchange.and_then(|exchange| Welcome::of(exchange, &self.clock)),
        }
    }
}

/// Whether a failure says something of the backend's health. What one call alone can bring about does not: else one bad
/// tool would take a backend from everybody.
const fn is_suspicious(error: &WireError) -> bool {
    !matches!(
        error,
        WireError::HeadTimeout { .. }
            | WireError::Busy { .. }
            | WireError::Malformed { .. }
            | WireError::Truncated { .. }
            | WireError::NoAnswer { reused: true, .. }
    )
}
