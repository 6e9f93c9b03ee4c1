//! The cache station: whether an answer is there already, and if not, who makes the call. Owns the rules, the keys, and which calls
//! are under way. Where results are kept it does not know, nor how a call is made.
//!
//! Two callers share a result only where a rule, or the protocol, says so. Whatever is not understood goes past the cache.

mod counts;
mod fetch;
mod flight;
mod follow;
mod forget;
mod kept;
mod key;
mod lists;
mod rules;
mod tags;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use dashmap::DashSet;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use smallvec::SmallVec;

pub use counts::Counts;
pub use fetch::Fetch;
pub use follow::{Following, News, Onward};
pub use forget::{Change, Purge, UnknownPattern};
pub use kept::{MOORLINE_CACHE, Source};
pub use rules::{Policy, Settings};

use crate::clock::Clock;
use crate::exchange::{Answer, Ask, Call, Exchange, Moored};
use crate::mcp::accept::Accepts;
use crate::mcp::raw;
use crate::mcp::sse::as_event;
use crate::mcp::version::{Era, MCP_SESSION_ID};
use crate::names::PoolId;
use crate::store::results::{Claim, Entry, Lead, MOST_TAGS, Results, Tag, Usage};
use fetch::{Led, Voyage};
use flight::{Boarded, Flights, Leader, Outcome};
use follow::{Wait, token_of};
use kept::Word;
use key::Keys;
use lists::Lists;
use rules::Rules;

/// The cache station.
#[derive(Debug)]
pub struct Cache {
    rules: ArcSwap<Rules>,
    results: Arc<dyn Results>,
    flights: Arc<Flights>,
    /// Which calls are led for which request of which session, so that a client that cancels does not cancel for others.
    led: Led,
    lists: Lists,
    /// Pools of which a list of a modern server was kept here.
    listed: DashSet<PoolId>,
    clock: Clock,
    counts: Counts,
}

/// What the cache has to say of a request.
#[derive(Debug)]
pub enum Looked {
    /// Nothing: its result is not for keeping.
    Past,
    /// A server must be asked, and the result is not kept: so it is said.
    Bypass,
    /// Here is the answer. With it, where it is fresh no more, the call that fetches it anew.
    Found(Answer, Option<Arc<Fetch>>),
    /// The call is to be made, for all who wait for it.
    Lead(Arc<Fetch>),
    /// Another makes the call, and its server says how far it has got.
    Following(Box<Following>),
}

impl Looked {
    /// What clients and logs are told of it; none where the cache has nothing to do with the answer.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Past => None,
            Self::Bypass => Some(Source::Bypass.name()),
            Self::Found(answer, _) => {
                let said = answer.headers.get(MOORLINE_CACHE);
                let is_stale = said.is_some_and(|said| said.as_bytes().starts_with(b"stale"));
                Some(if is_stale { Source::Stale } else { Source::Hit }.name())
            }
            Self::Lead(fetch) => Some(fetch.source().name()),
            Self::Following(_) => Some("follow"),
        }
    }
}

/// What of a request the cache needs from here on.
#[derive(Clone, Debug)]
struct Plan {
    keys: Keys,
    policy: Policy,
}

impl Cache {
    /// A station whose results are kept there.
    #[must_use]
    pub fn new(settings: &Settings, results: Arc<dyn Results>, clock: Clock) -> Self {
        let rules = ArcSwap::from_pointee(Rules::new(settings));
        Self {
            rules,
            results,
            flights: Arc::default(),
            led: Led::default(),
            lists: Lists::default(),
            listed: DashSet::new(),
            clock,
            counts: Counts::default(),
        }
    }

    /// Takes a new configuration. What is kept stays, for as long as the rule said that it was kept by; unless things can be
    /// forgotten now by names that were not noted before.
    pub fn reconfigure(&self, settings: &Settings) {
        let new = Rules::new(settings);
        let grows = self.rules.load().lacks_names_of(&new);
        self.rules.store(Arc::new(new));
        if grows {
            // What is kept does not say that it hangs on these.
            self.forget(&[tags::all()]);
        }
    }

    /// What it has done.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How much is kept on this instance.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.results.usage()
    }

    /// Whether a list of a modern server of the pool was ever kept here: then its changes are worth hearing of.
    #[must_use]
    pub fn keeps_lists_of(&self, pool: PoolId) -> bool {
        self.listed.contains(&pool)
    }

    /// How many calls are under way whose results are kept, and how many requests of this instance wait for them.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        (self.flights.count(), self.flights.waiting())
    }

    /// By what the result of a request may be kept, if it may. Asks nobody.
    #[must_use]
    pub fn policy(&self, exchange: &Exchange) -> Option<Policy> {
        self.rules.load().policy(exchange)
    }

    /// Looks for the answer. Where it is not there, and the same call is being made, waits for that, within bounds.
    pub async fn look(self: &Arc<Self>, exchange: &Exchange, moored: Option<&Arc<Moored>>, policy: Policy) -> Looked {
        let Some(keys) = key::of(exchange, moored.map(Arc::as_ref), &policy) else { return Looked::Bypass };
        let plan = Plan { keys, policy };
        let wait = self.rules.load().wait;
        if plan.is_asked_past(exchange) {
            return self.refetch(plan, exchange, moored);
        }
        match self.find(&plan) {
            Some(entry) if entry.is_fresh(self.clock.unix_millis()) => {
                Looked::Found(self.answer(exchange, &entry, &plan.policy), None)
            }
            Some(entry) => self.show_stale(&plan, &entry, exchange, moored).await,
            None => {
                let wait = Wait::new(self.clock.now() + wait);
                Box::pin(self.join(plan, (exchange, moored), wait)).await
            }
        }
    }

    fn find(&self, plan: &Plan) -> Option<Arc<Entry>> {
        let own = self.results.look(&plan.keys.own);
        own.or_else(|| plan.keys.public.and_then(|public| self.results.look(&public)))
    }

    /// Shows what is fresh no more, and fetches it anew unless somebody does already.
    async fn show_stale(
        self: &Arc<Self>,
        plan: &Plan,
        entry: &Entry,
        exchange: &Exchange,
        moored: Option<&Arc<Moored>>,
    ) -> Looked {
        let answer = self.answer(exchange, entry, &plan.policy);
        let Boarded::Leading(leader) = self.flights.board(plan.keys.own) else { return Looked::Found(answer, None) };
        match self.results.claim(&plan.keys.own).await {
            Claim::Lead(lead) => {
                Looked::Found(answer, Some(self.fetch(plan.clone(), (exchange, moored), (leader, lead), Source::Miss)))
            }
            // Another instance has it fresh, or is about to.
            Claim::Here(fresh) => {
                leader.ends(Outcome::Landed(Arc::clone(&fresh)));
                Looked::Found(self.answer(exchange, &fresh, &plan.policy), None)
            }
            Claim::Theirs(_) | Claim::Alone => Looked::Found(answer, None),
        }
    }

    /// The client wants it fetched anew: for itself, and for whoever asks next.
    fn refetch(self: &Arc<Self>, plan: Plan, exchange: &Exchange, moored: Option<&Arc<Moored>>) -> Looked {
        match self.flights.board(plan.keys.own) {
            Boarded::Leading(leader) => {
                Looked::Lead(self.fetch(plan, (exchange, moored), (leader, Lead::alone(None)), Source::Bypass))
            }
            Boarded::Following(_) => Looked::Bypass,
        }
    }

    async fn lead(
        self: &Arc<Self>,
        plan: Plan,
        (exchange, moored): (&Exchange, Option<&Arc<Moored>>),
        leader: Leader,
        left: Duration,
    ) -> Looked {
        let claim = match self.claim(&plan.keys).await {
            Claim::Theirs(None) => {
                let claim = self.results.wait(&plan.keys.own, left).await;
                if matches!(claim, Claim::Here(_)) {
                    self.counts.coalesced.increment();
                }
                claim
            }
            claim => claim,
        };
        match claim {
            Claim::Here(entry) => {
                let answer = self.answer(exchange, &entry, &plan.policy);
                leader.ends(Outcome::Landed(entry));
                Looked::Found(answer, None)
            }
            Claim::Lead(mut lead) => match lead.stale.take() {
                Some(stale) => {
                    let answer = self.answer(exchange, &stale, &plan.policy);
                    Looked::Found(answer, Some(self.fetch(plan, (exchange, moored), (leader, lead), Source::Miss)))
                }
                None => Looked::Lead(self.fetch(plan, (exchange, moored), (leader, lead), Source::Miss)),
            },
            Claim::Theirs(Some(stale)) => {
                let answer = self.answer(exchange, &stale, &plan.policy);
                leader.ends(Outcome::Landed(stale));
                Looked::Found(answer, None)
            }
            // Or it has taken too long: who waited with us shall not wait for one after the other.
            Claim::Alone | Claim::Theirs(None) => {
                leader.ends(Outcome::Alone);
                Looked::Bypass
            }
        }
    }

    /// Asks for the lead; and at the same time whether there is a result for everybody, where there may be.
    async fn claim(&self, keys: &Keys) -> Claim {
        let Some(public) = &keys.public else { return self.results.claim(&keys.own).await };
        let (claim, shared) = tokio::join!(self.results.claim(&keys.own), self.results.peek(public));
        // A right that was given falls with the claim.
        shared.map_or(claim, Claim::Here)
    }

    fn fetch(
        self: &Arc<Self>,
        plan: Plan,
        (exchange, moored): (&Exchange, Option<&Arc<Moored>>),
        (leader, lead): (Leader, Lead),
        source: Source,
    ) -> Arc<Fetch> {
        let request = match (&exchange.ask, moored) {
            (Ask::Call(call), Some(moored)) => Some((moored.id, call.id.clone())),
            _ => None,
        };
        let mut tags = self.tags(&plan.policy, exchange, moored);
        tags.push(tags::result(&plan.keys.own));
        let refreshes = self.results.look(&plan.keys.own).is_some();
        let lists = |call: &Call| exchange.era == Era::Modern && call.method.ends_with("/list");
        let listed = matches!(&exchange.ask, Ask::Call(call) if lists(call)).then_some(exchange.pool.id);
        let (token, moored) = (token_of(exchange), moored.cloned());
        Fetch::begin(self, Voyage { plan, tags, leader, lead, request, source, refreshes, token, moored, listed })
    }

    /// What its result will hang on.
    fn tags(&self, policy: &Policy, exchange: &Exchange, moored: Option<&Arc<Moored>>) -> SmallVec<[Tag; 6]> {
        let pool = exchange.pool.id;
        let mut tags = SmallVec::from_slice(&[tags::all(), tags::pool(pool)]);
        tags.push(tags::caller(&exchange.caller.label()));
        tags.extend(moored.map(|moored| tags::session(moored.id)));
        let Ask::Call(call) = &exchange.ask else { return tags };
        match exchange.tool() {
            Some(tool) => tags.push(tags::tool(pool, tool)),
            None => tags.push(tags::method(pool, &call.method)),
        }
        if let ("resources/read", Some(uri)) = (&*call.method, &call.name) {
            tags.push(tags::resource(pool, uri));
        }
        if let Policy::Rule(rule) = policy {
            tags.extend(rule.tags.iter().copied());
        }
        if let Some(tool) = exchange.tool() {
            let room = MOST_TAGS.saturating_sub(tags.len() + 1);
            let rules = self.rules.load();
            if rules.globs_over(tool).nth(room).is_some() {
                tags.push(tags::any_glob(pool));
            } else {
                tags.extend(rules.globs_over(tool).map(|glob| tags::glob(pool, glob.as_str())));
            }
        }
        tags
    }

    /// The answer to a request, of a result that is kept.
    fn answer(&self, exchange: &Exchange, entry: &Entry, policy: &Policy) -> Answer {
        let now = self.clock.unix_millis();
        let age = entry.age(now);
        let left = entry.ttl.saturating_sub(age);
        let source = if entry.is_fresh(now) { Source::Hit } else { Source::Stale };
        let ttl_ms = matches!(policy, Policy::Protocol { .. }).then(|| millis(left));
        let word = Word { source, age, ttl: left, ttl_ms };
        let id = match &exchange.ask {
            Ask::Call(Call { id, .. }) => id,
            _ => "null",
        };
        let response = kept::response(id, &entry.result, &word);
        let mut headers = HeaderMap::with_capacity(4);
        let (kind, whole) = if Accepts::of(&exchange.headers).json {
            ("application/json", Bytes::from(response))
        } else {
            ("text/event-stream", as_event(&response).into())
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(MOORLINE_CACHE, word.header());
        if let Some(claim) = exchange.claim.as_ref().filter(|_| exchange.wants_session()) {
            headers.insert(MCP_SESSION_ID, claim.clone());
        }
        Answer { status: StatusCode::OK, headers, whole: Some(whole) }
    }
}

impl Plan {
    /// Whether the client asks past the cache, and may.
    fn is_asked_past(&self, exchange: &Exchange) -> bool {
        let Policy::Rule(rule) = &self.policy else { return false };
        if !rule.bypass {
            return false;
        }
        let wish = raw::utf8(&exchange.body).and_then(|body| raw::at(body, &["params", "_meta", kept::META_KEY]));
        let mut directives = exchange
            .headers
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        wish == Some("\"no-cache\"") || directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
    }
}

fn millis(lasts: Duration) -> u64 {
    u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)
}
