//! One call that is made for everybody who waits for its result. Owns what may be kept of it, and tells the followers. Dropped
//! without a result it leaves the lead to the next. Knows not how the call is made.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use smallvec::SmallVec;
use std::sync::Weak;

use super::flight::{Flight, Leader, Outcome};
use super::follow::PROGRESS;
use super::kept::{self, MOORLINE_CACHE, Source, Word};
use super::rules::Policy;
use super::{Cache, Plan, millis, tags};
use crate::exchange::{Answer, Ask, Call, Exchange, Lesson, Moored};
use crate::mcp::frame::{self, Frame, peek_frame};
use crate::mcp::raw;
use crate::names::{PoolId, SessionId};
use crate::store::results::{Entry, Lead, Stamp, Tag};

/// A result says of itself that it is good for so long at most.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// While no more calls than this are under way, one goes on that only others on other instances may wait for.
const MOST_ADRIFT: usize = 256;

/// A server asks this of everybody; the result does not depend on the answer.
const PING: &str = "ping";

/// Which calls are led for which request of which session.
pub type Led = DashMap<(SessionId, Box<str>), Weak<Fetch>>;

/// What is known of a call before it is made.
#[derive(Debug)]
pub struct Voyage {
    pub plan: Plan,
    pub tags: SmallVec<[Tag; 6]>,
    pub leader: Leader,
    pub lead: Lead,
    /// Whose request it is.
    pub request: Option<(SessionId, Box<str>)>,
    pub source: Source,
    /// Whether something is kept that is fresh no more.
    pub refreshes: bool,
    /// Under which token, raw, its client hears how far it has got.
    pub token: Option<Box<str>>,
    /// Its session.
    pub moored: Option<Arc<Moored>>,
    /// The pool, where it is a list of a modern server.
    pub listed: Option<PoolId>,
}

/// One call that is made for everybody.
#[derive(Debug)]
pub struct Fetch {
    cache: Arc<Cache>,
    plan: Plan,
    tags: SmallVec<[Tag; 6]>,
    flight: Arc<Flight>,
    request: Option<(SessionId, Box<str>)>,
    source: Source,
    /// Whether something is kept that is fresh no more.
    refreshes: bool,
    token: Option<Box<str>>,
    /// Its session, and how often its server had asked its client something before.
    session: Option<(Arc<Moored>, u32)>,
    listed: Option<PoolId>,
    stamp: Stamp,
    /// Guards what is taken once; never held across anything slow.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hands: Option<(Leader, Lead)>,
    /// The server has asked the client something: the result is an answer to that too.
    asked: bool,
}

/// How a result is kept.
struct Terms {
    ttl: Duration,
    stale: Duration,
    /// For everybody, whatever the scope says.
    public: bool,
    /// What the result itself says, in milliseconds.
    ttl_ms: Option<u64>,
}

impl Fetch {
    pub(super) fn begin(cache: &Arc<Cache>, voyage: Voyage) -> Arc<Self> {
        let Voyage { plan, tags, leader, lead, request, source, refreshes, token, moored, listed } = voyage;
        let fetch = Arc::new(Self {
            cache: Arc::clone(cache),
            plan,
            tags,
            flight: Arc::clone(leader.flight()),
            request,
            source,
            refreshes,
            token,
            listed,
            session: moored.map(|moored| (Arc::clone(&moored), moored.times_asked())),
            // Before the call: what is forgotten from now on is forgotten of its result too.
            stamp: cache.results.stamp(),
            state: Mutex::new(State { hands: Some((leader, lead)), asked: false }),
        });
        if let Some(request) = &fetch.request {
            cache.led.insert(request.clone(), Arc::downgrade(&fetch));
        }
        fetch
    }

    /// What its client is told of it.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Whether anybody waits for it but the client whose request it is.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.flight.is_followed()
    }

    /// Whether it shall go on without that client.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let may_be_elsewhere = || self.cache.results.is_shared() && self.cache.flights.count() <= MOST_ADRIFT;
        self.state().hands.is_some() && (self.is_followed() || may_be_elsewhere())
    }

    /// Its client has given it up, and nobody else waits: nobody new shall.
    pub(super) fn takes_nobody(&self) {
        if let Some((leader, _)) = &self.state().hands {
            leader.takes_nobody();
        }
    }

    /// Takes in the answer, now or when the result passes; `others` is what the rest of the program still wants to learn of it.
    #[must_use]
    pub fn learn(self: &Arc<Self>, exchange: &Exchange, answer: &mut Answer, others: Option<Lesson>) -> Option<Lesson> {
        let Ask::Call(Call { id, .. }) = &exchange.ask else { return others };
        answer.headers.insert(MOORLINE_CACHE, Word::of(self.source).header());
        if !answer.status.is_success() {
            if !answer.status.is_server_error() && answer.status != StatusCode::TOO_MANY_REQUESTS {
                self.replaces_nothing();
            }
            self.is_void();
            return others;
        }
        if let Some(whole) = &answer.whole {
            if let Some(said) = self.heed(whole, id) {
                answer.whole = Some(said.into());
            }
            self.is_void();
            return others;
        }
        if !is_events(&answer.headers) {
            // Longer than anything that is looked into.
            self.is_void();
            return others;
        }
        let (fetch, id, mut others) = (Arc::clone(self), id.clone(), others);
        Some(Box::new(move |message| {
            let changed = others.as_mut().and_then(|others| others(message));
            let said = fetch.heed(changed.as_deref().unwrap_or(message), &id);
            said.or(changed)
        }))
    }

    /// Looks at a message of the server's: the result is kept if it may be. What is said to the client in its place.
    fn heed(&self, message: &[u8], id: &str) -> Option<Vec<u8>> {
        let frame = peek_frame(message)?;
        match &frame {
            Frame::Request { method, .. } => {
                self.state().asked |= method != PING;
                None
            }
            Frame::Notification { method, params } => {
                let told =
                    params.filter(|_| method == PROGRESS).and_then(|params| raw::pick(params, ["progressToken"]));
                if let (Some([Some(named)]), Some(token), Some(params)) = (told, &self.token, params)
                    && raw::same_id(named, token)
                {
                    self.flight.tell(params);
                }
                None
            }
            Frame::Response { outcome: frame::Outcome::Result(result), .. } if frame.answers(id) => {
                self.land(result, id)
            }
            Frame::Response { .. } if frame.answers(id) => {
                self.replaces_nothing();
                self.is_void();
                None
            }
            _ => None,
        }
    }

    fn land(&self, result: &str, id: &str) -> Option<Vec<u8>> {
        let (hands, asked) = {
            let mut state = self.state();
            (state.hands.take(), state.asked)
        };
        let asked = asked || self.session.as_ref().is_some_and(|(moored, before)| moored.times_asked() != *before);
        let (leader, lead) = hands?;
        let terms = terms(&self.plan.policy, result).filter(|_| !asked);
        let kept = terms.and_then(|terms| Some((terms, Bytes::from(kept::keep(result)?))));
        let Some((terms, kept)) = kept.filter(|(_, kept)| kept.len() <= self.plan.policy.max_bytes()) else {
            self.replaces_nothing();
            self.cache.counts.void.increment();
            void(leader, lead);
            return None;
        };
        if let Some(pool) = self.listed.filter(|pool| !self.cache.listed.contains(pool)) {
            self.cache.listed.insert(pool);
        }
        self.cache.counts.kept.increment();
        let said = kept::response(id, &kept, &Word { ttl_ms: terms.ttl_ms, ..Word::of(self.source) });
        let stored = self.cache.clock.unix_millis();
        let Terms { ttl, stale, public, .. } = terms;
        let entry = Entry { result: kept, stored, ttl, stale, tags: self.tags.clone(), stamp: self.stamp };
        if let Some(key) = self.plan.keys.public.filter(|_| public) {
            self.cache.results.keep(key, entry.clone(), None);
        }
        self.cache.results.keep(self.plan.keys.own, entry.clone(), Some(lead));
        // Who has asked since something was forgotten must not be shown what was fetched before.
        let is_good = self.cache.results.is_good(&entry);
        leader.ends(if is_good { Outcome::Landed(Arc::new(entry)) } else { Outcome::Lost });
        Some(said)
    }

    /// The server has answered, and not with anything that can be kept: what was kept before is out of date.
    fn replaces_nothing(&self) {
        if self.refreshes {
            self.cache.forget(&[tags::result(&self.plan.keys.own)]);
        }
    }

    /// The answer cannot be kept: whoever waits for it calls for himself.
    pub fn is_void(&self) {
        let hands = self.state().hands.take();
        if let Some((leader, lead)) = hands {
            self.cache.counts.void.increment();
            void(leader, lead);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds it leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if let Some(request) = &self.request {
            // Not another call's that came after it under the same id.
            self.cache.led.remove_if(request, |_, led| led.strong_count() == 0);
        }
    }
}

fn is_events(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

fn void(leader: Leader, lead: Lead) {
    lead.is_void();
    leader.ends(Outcome::Alone);
}

/// For how long a result is kept and for whom, if at all.
fn terms(policy: &Policy, result: &str) -> Option<Terms> {
    let [kind, is_error, ttl_ms, scope] = raw::pick(result, ["resultType", "isError", "ttlMs", "cacheScope"])?;
    let text = |value: Option<&str>, wanted: &str| value.and_then(raw::text).is_some_and(|text| text == wanted);
    if kind.is_some() && !text(kind, "complete") {
        return None;
    }
    match policy {
        Policy::Rule(rule) => {
            let (public, ttl_ms) = (false, None);
            match is_error.unwrap_or("false") {
                "false" => Some(Terms { ttl: rule.ttl, stale: rule.stale, public, ttl_ms }),
                "true" => Some(Terms { ttl: rule.negative?, stale: Duration::ZERO, public, ttl_ms }),
                _ => None,
            }
        }
        Policy::Protocol { public, .. } => {
            let ttl = Duration::from_millis(ttl_ms?.parse().ok()?).min(LONGEST);
            let public = *public && text(scope, "public");
            (!ttl.is_zero()).then(|| Terms { ttl, stale: Duration::ZERO, public, ttl_ms: Some(millis(ttl)) })
        }
    }
}
