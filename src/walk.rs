//! The walk: the program. One call per station, in order; whoever reads only this file knows what happens to a request.

mod errand;
mod fetch;
mod follow;
mod look;
mod mend;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::authorize::Authorize;
use crate::cache::{Cache, Change, Looked, MOORLINE_CACHE, Source};
use crate::drain::{Drain, Phase};
use crate::exchange::{Answer, Ask, Exchange, Heading, Lesson, Moored, during};
use crate::identify::{Connection, Identify};
use crate::limit::{Limit, Pass, Permit};
use crate::names::BackendId;
use crate::observe::{Observe, Observed, Trail};
use crate::rehome::{Rehome, Stop, Trouble};
use crate::reject::{Cause, Reject};
use crate::relay::{Lost, Relay, RelayBody, Sent};
use crate::route::Route;
use crate::session::Sessions;
use crate::toll::Toll;
use errand::{Errand, stream_follows};

/// How often a request is sent at most, as long as it provably was not executed or may be executed twice.
const MOST_TRIES: usize = 3;

/// A connection that breaks sooner than this, before anything was sent, is made once more after as long.
const DYING: Duration = Duration::from_millis(50);

/// How long a notification stream waits before it looks for its session again; doubled each time.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// How often a notification stream that its server takes for a second one is asked for again: a client may come back before the
/// end of its earlier stream has got through to the server. One and a half seconds in all.
const SECOND_STREAM_TRIES: usize = 4;

/// The stations, in the order of the walk. Each worker thread has its own walk; all but the relay are shared.
pub struct Walk {
    /// Turns bytes into facts.
    pub identify: Arc<Identify>,
    /// Decides what a caller may do.
    pub authorize: Arc<Authorize>,
    /// Finds the session, and settles what an answer means for it.
    pub sessions: Arc<Sessions>,
    /// Looks whether the answer is there already, and keeps it.
    pub cache: Arc<Cache>,
    /// Decides once over all limits.
    pub limit: Arc<Limit>,
    /// Names the backend.
    pub route: Arc<Route>,
    /// Sends and streams.
    pub relay: Arc<Relay>,
    /// Moves sessions whose backend is lost.
    pub rehome: Rehome,
    /// Weighs what servers ask of clients.
    pub toll: Toll,
    /// Reads the trail.
    pub observe: Arc<Observe>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// How refusals are dressed.
    pub refusals: Arc<arc_swap::ArcSwap<crate::config::Refusals>>,
}

/// The head of an answer, and what is still to be learnt from the rest.
type Settled = (Sent, Option<Lesson>);

impl Walk {
    /// Takes a request all the way. Every early end is a [`Reject`], and becomes a response here and nowhere else.
    ///
    /// # Errors
    /// None: a refusal is a response too.
    pub async fn walk(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response<Observed<RelayBody>>, Infallible> {
        let mut trail = self.observe.begin();
        let cors = self.identify.cors(&request, &connection);
        let mut response = match cors.preflight() {
            Some(answer) => self.relay.say(answer),
            None => match self.stations(request, connection, &mut trail).await {
                Ok(response) => response,
                Err(reject) => self.refuse(reject, &mut trail),
            },
        };
        cors.tell(response.headers_mut());
        Ok(self.observe.watch(trail, response))
    }

    async fn stations(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
        trail: &mut Trail,
    ) -> Result<Response<RelayBody>, Reject> {
        let mut exchange = self.identify.read(request, connection).await?;
        self.observe.facts(trail, &mut exchange);
        if let Some(document) = self.authorize.document(&exchange) {
            return Ok(self.relay.say(document));
        }
        if let Err(cause) = self.authorize.admit(&mut exchange) {
            return Err(cause.to(exchange.asker));
        }
        let moored = match self.find(&mut exchange).await {
            Ok(moored) => moored,
            Err(cause) => return Err(cause.to(exchange.asker)),
        };
        if self.cache.holds_back(&exchange, moored.as_ref()) {
            return Ok(self.relay.say(Answer::accepted()));
        }
        for page in self.cache.list_for(&exchange).await {
            self.sessions.learn_list(&mut exchange, &page);
        }
        let (looked, permit) = match self.look(&exchange, moored.as_ref(), trail).await {
            Ok(looked) => looked,
            Err(cause) => return Err(cause.to(exchange.asker)),
        };
        self.answer(exchange, moored, (looked, permit), trail).await
    }

    /// Gives the answer that is there, or has it made.
    async fn answer(
        self: &Arc<Self>,
        mut exchange: Box<Exchange>,
        moored: Option<Arc<Moored>>,
        (looked, permit): (Looked, Option<Arc<Permit>>),
        trail: &mut Trail,
    ) -> Result<Response<RelayBody>, Reject> {
        let bypasses = matches!(looked, Looked::Bypass);
        let fetch = match looked {
            Looked::Found(answer, refresh) => {
                self.sessions.overhear(&exchange, &answer);
                let response = permitted(permit, self.relay.show(&exchange, answer));
                if let Some(fetch) = refresh {
                    self.refresh(exchange, moored, fetch);
                }
                return Ok(response);
            }
            Looked::Following(following) => {
                return Ok(permitted(permit, self.follow(exchange, moored, *following)));
            }
            Looked::Lead(fetch) => Some(fetch),
            Looked::Past | Looked::Bypass => None,
        };
        let learns = permit.as_ref().is_some_and(|permit| permit.learns());
        exchange.inspected = learns || fetch.is_some() || self.cache.may_change(&exchange);
        let outgoing = self.relay.prepare(&mut exchange);
        if exchange.listens() {
            // Boxed, like all that is rare here: the walk's future is moved, and the usual one shall be small.
            let listening = Box::pin(self.relay.listen(&exchange, &outgoing, self.identify.introduce(&exchange))).await;
            return match listening {
                Ok(response) => Ok(permitted(permit, response)),
                Err(cause) => Err(refunded(permit, cause).to(exchange.asker)),
            };
        }
        let errand = Errand { exchange, outgoing, moored, permit, fetch: None, ran: false };
        match fetch {
            Some(fetch) => Box::pin(self.fetch(errand, fetch, trail)).await,
            None => self.serve(errand, trail).await.map(|mut response| {
                if bypasses {
                    response.headers_mut().insert(MOORLINE_CACHE, Source::Bypass.header());
                }
                response
            }),
        }
    }

    /// From the choice of a backend to the response.
    async fn serve(self: &Arc<Self>, mut errand: Errand, trail: &mut Trail) -> Result<Response<RelayBody>, Reject> {
        let permit = errand.permit.clone();
        match self.deliver_stream_too(&mut errand, trail).await {
            Ok((sent, lesson)) => Ok(permitted(permit, self.respond(errand, sent, lesson))),
            Err(Stop::Answered(answer)) => Ok(permitted(permit, self.relay.show(&errand.exchange, answer))),
            Err(Stop::Refused(cause)) => {
                let permit = permit.filter(|_| !errand.ran);
                Err(refunded(permit, cause).to(errand.exchange.asker))
            }
        }
    }

    async fn find(&self, exchange: &mut Exchange) -> Result<Option<Arc<Moored>>, Cause> {
        // A session that other instances know outlives this one.
        let closing = self.drain.phase() >= Phase::Closing && !self.sessions.are_shared();
        if closing && exchange.opens_session() {
            return Err(Cause::Draining);
        }
        let traced = exchange.traced.clone();
        // Pinned here, and everywhere on the usual way: a future is moved with all that it holds whenever it is handed on.
        let finding = pin!(self.sessions.find(exchange));
        during(traced.as_ref(), "session", finding).await
    }

    /// Delivers it; a notification stream more patiently.
    async fn deliver_stream_too(&self, errand: &mut Errand, trail: &mut Trail) -> Result<Settled, Stop> {
        match self.deliver(errand, trail).await {
            Ok((sent, _)) if errand.is_second_stream(&sent) => {
                drop(sent);
                Box::pin(self.deliver_at_last(errand, trail)).await
            }
            delivered => delivered,
        }
    }

    async fn deliver_at_last(&self, errand: &mut Errand, trail: &mut Trail) -> Result<Settled, Stop> {
        let mut rest = SHORTEST_REST;
        for _ in 1..SECOND_STREAM_TRIES {
            tokio::time::sleep(rest).await;
            rest *= 2;
            match self.deliver(errand, trail).await {
                Ok((sent, _)) if errand.is_second_stream(&sent) => {}
                delivered => return delivered,
            }
        }
        tokio::time::sleep(rest).await;
        self.deliver(errand, trail).await
    }

    /// From the choice of a backend to the head of its answer, and once more where that may be.
    async fn deliver(&self, errand: &mut Errand, trail: &mut Trail) -> Result<Settled, Stop> {
        let mut tried = Vec::new();
        let mut last = None;
        for round in 0..MOST_TRIES {
            let begun = self.relay.now();
            let (heading, trouble) = match self.route.choose(&errand.exchange, errand.moored.as_ref(), &tried) {
                Ok(heading) => {
                    let heading = self.leave(errand, heading).await;
                    let trouble = match self.attempt(errand, &heading, trail).await? {
                        Ok(settled) => return Ok(settled),
                        Err(trouble) => trouble,
                    };
                    (Some(heading), trouble)
                }
                Err(unplaced) => (None, Trouble::Unplaced(unplaced)),
            };
            if let Trouble::Broken(cause) = &trouble {
                last = Some(cause.clone());
            }
            let took = self.relay.now().saturating_duration_since(begun);
            if round == 0 && errand.moored.is_some() && trouble == (Trouble::Unsent { refused: false }) && took < DYING
            {
                // A process that is just dying resets whom it has not accepted; a moment later it refuses, and the session moves.
                tokio::time::sleep(DYING).await;
                continue;
            }
            Box::pin(self.overcome(trouble, errand, heading, &mut tried)).await?;
        }
        let nobody = || if errand.exchange.pool.is_up() { Cause::BackendLost } else { Cause::NoBackend };
        Err(last.unwrap_or_else(nobody).into())
    }

    /// Sends it to one backend. What went wrong on the way there may be overcome.
    async fn attempt(
        &self,
        errand: &mut Errand,
        heading: &Heading,
        trail: &mut Trail,
    ) -> Result<Result<Settled, Trouble>, Stop> {
        let Errand { exchange, outgoing, moored, permit, fetch, ran } = errand;
        let moored = moored.as_ref();
        if let Some(moored) = moored.filter(|moored| !matches!(exchange.ask, Ask::Stream) && moored.awaits_stream()) {
            Box::pin(stream_follows(moored)).await;
        }
        let passing = pin!(self.limit.pass(exchange, &heading.backend));
        let pass = exchange.during("backend queue", passing).await?;
        let mut change = self.cache.change(exchange);
        let sending = self.relay.now();
        self.observe.sent(trail, moored.map(|moored| moored.id), (&heading.backend, sending));
        let sent = self.relay.send(exchange, outgoing, heading, moored).await;
        let back = self.relay.now();
        self.observe.answered(trail, back);
        if matches!(sent, Err(Lost::Broken(_) | Lost::Failed(_))) {
            *ran = true;
            pass.iter().for_each(Pass::failed);
        }
        Ok(Err(match sent {
            Ok(mut sent) => {
                self.route.answered(&heading.backend, (sending, back), sent.answer.status);
                if let Some(pass) = pass {
                    pass.answered(back, sent.answer.status);
                    sent.keep(pass);
                }
                sent.weigh(self.toll.of(exchange, &outgoing.headers, heading, moored)).await;
                match self.sessions.settle(exchange, moored, heading, &mut sent.answer).await {
                    Ok(lesson) => {
                        let lesson = match permit {
                            Some(permit) => permit.learn(exchange, &sent.answer, lesson),
                            None => lesson,
                        };
                        let lesson = self.cache.learn(exchange, &sent.answer, lesson);
                        let lesson = match change {
                            Some(change) => change.learn(&sent.answer, lesson),
                            None => lesson,
                        };
                        let lesson = match fetch {
                            Some(fetch) => fetch.learn(exchange, &mut sent.answer, lesson),
                            None => lesson,
                        };
                        return Ok(Ok((sent, lesson)));
                    }
                    Err(Cause::SessionLost) => {
                        change.iter_mut().for_each(Change::did_not_happen);
                        Trouble::Forgotten
                    }
                    Err(cause) => return Err(cause.into()),
                }
            }
            Err(Lost::Unsent { refused }) => {
                change.iter_mut().for_each(Change::did_not_happen);
                Trouble::Unsent { refused }
            }
            Err(Lost::Broken(cause)) if outgoing.replayable || matches!(exchange.ask, Ask::Reply) => {
                Trouble::Broken(cause)
            }
            Err(Lost::Failed(cause) | Lost::Broken(cause)) => return Err(cause.into()),
        }))
    }

    /// A session moves away from a backend that takes nobody new, when nothing else of it is in flight. If it cannot, it stays.
    async fn leave(&self, errand: &Errand, heading: Heading) -> Heading {
        let (Some(moored), Some(berth)) = (&errand.moored, &heading.berth) else { return heading };
        if !heading.backend.is_parting() || moored.flying() > 0 || !errand.exchange.is_worth_a_move() {
            return heading;
        }
        let from = (moored, Arc::clone(berth));
        let moving = self.rehome.after(Trouble::Parting, &errand.exchange, from, &errand.outgoing.headers);
        match Box::pin(moving).await {
            Ok(()) => self.route.choose(&errand.exchange, Some(moored), &[]).unwrap_or(heading),
            Err(_) => heading,
        }
    }

    /// What needs no particular backend goes to another one; a session is moved.
    async fn overcome(
        &self,
        trouble: Trouble,
        errand: &Errand,
        heading: Option<Heading>,
        tried: &mut Vec<BackendId>,
    ) -> Result<(), Stop> {
        tried.extend(heading.as_ref().map(|heading| heading.backend.id));
        if let Some(moored) = &errand.moored {
            let from = heading.and_then(|heading| heading.berth).unwrap_or_else(|| moored.berth());
            return self.rehome.after(trouble, &errand.exchange, (moored, from), &errand.outgoing.headers).await;
        }
        if heading.is_none() {
            return Err(Cause::NoBackend.into());
        }
        Ok(())
    }

    fn respond(self: &Arc<Self>, errand: Errand, sent: Sent, lesson: Option<Lesson>) -> Response<RelayBody> {
        let is_stream = sent.is_stream();
        let response = self.relay.respond(&errand.exchange, sent, lesson);
        if !is_stream || !errand.can_be_mended() {
            return response;
        }
        let mend = self.mend(errand);
        response.map(|body| body.mended_by(mend))
    }

    fn refuse(&self, reject: Reject, trail: &mut Trail) -> Response<RelayBody> {
        self.observe.refused(trail, &reject.cause);
        tracing::debug!(reason = reject.cause.name(), "refused");
        reject.into_response(**self.refusals.load()).map(RelayBody::whole)
    }
}

/// Says in an answer how the limits stand, and keeps what it has taken until it has ended.
fn permitted(permit: Option<Arc<Permit>>, mut response: Response<RelayBody>) -> Response<RelayBody> {
    let Some(permit) = permit else { return response };
    permit.tell(response.headers_mut());
    response.map(|body| body.keeping(vec![Box::new(permit)]))
}

/// What was not executed costs nothing.
fn refunded(permit: Option<Arc<Permit>>, cause: Cause) -> Cause {
    if let Some(permit) = permit.filter(|_| cause.proves_unexecuted()) {
        permit.refund();
    }
    cause
}
