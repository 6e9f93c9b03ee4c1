//! The walk: the program. One call per station, in order; whoever reads only this file knows what happens to a request.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::drain::{Drain, Phase};
use crate::exchange::{Exchange, Moored};
use crate::identify::{Connection, Identify};
use crate::names::BackendId;
use crate::observe::{Observe, Observed, Trail};
use crate::reject::{Cause, Reject};
use crate::relay::{Lost, Relay, RelayBody};
use crate::route::Route;
use crate::session::Sessions;

/// Backends that a request is offered at most, as long as it provably was not executed.
const MOST_TRIES: usize = 3;

/// The stations, in the order of the walk. Each worker thread has its own walk; all but the relay are shared.
pub struct Walk {
    /// Turns bytes into facts.
    pub identify: Arc<Identify>,
    /// Finds the session, and settles what an answer means for it.
    pub sessions: Arc<Sessions>,
    /// Names the backend.
    pub route: Arc<Route>,
    /// Sends and streams.
    pub relay: Arc<Relay>,
    /// Reads the trail.
    pub observe: Arc<Observe>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// How refusals are dressed.
    pub refusals: Arc<arc_swap::ArcSwap<crate::config::Refusals>>,
}

impl Walk {
    /// Takes a request all the way. Every early end is a [`Reject`], and becomes a response here and nowhere else.
    ///
    /// # Errors
    /// None: a refusal is a response too.
    pub async fn walk(
        &self,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response<Observed<RelayBody>>, Infallible> {
        let mut trail = self.observe.begin();
        let response = match self.stations(request, connection, &mut trail).await {
            Ok(response) => response,
            Err(reject) => self.refuse(reject, &mut trail),
        };
        Ok(self.observe.watch(trail, response))
    }

    async fn stations(
        &self,
        request: Request<Incoming>,
        connection: Connection,
        trail: &mut Trail,
    ) -> Result<Response<RelayBody>, Reject> {
        let mut exchange = self.identify.read(request, connection).await?;
        self.observe.facts(trail, &exchange);
        let result = self.answer(&mut exchange, trail).await;
        result.map_err(|cause| cause.to(exchange.asker))
    }

    async fn answer(&self, exchange: &mut Exchange, trail: &mut Trail) -> Result<Response<RelayBody>, Cause> {
        if self.drain.phase() >= Phase::Closing && exchange.opens_session() {
            return Err(Cause::Draining);
        }
        let moored = self.sessions.find(exchange).await?;
        let mut outgoing = self.relay.prepare(exchange);
        if exchange.listens() {
            // Boxed, like all that is rare here: the walk's future is moved, and the usual one shall be small.
            return Box::pin(self.relay.listen(exchange, &outgoing)).await;
        }
        let mut tried = Vec::new();
        loop {
            let heading = match self.route.choose(exchange, moored.as_ref(), &tried) {
                Ok(heading) => heading,
                Err(cause) => return Err(Box::pin(self.sessions.unplaced(moored.as_ref(), cause)).await),
            };
            self.observe.sent(trail, moored.as_ref().map(|moored| moored.id), &heading.backend.name);
            let sending = self.relay.now();
            match self.relay.send(exchange, &mut outgoing, &heading, moored.as_ref()).await {
                Ok(mut sent) => {
                    self.route.answered(&heading.backend, sending, sent.answer.status);
                    self.observe.answered(trail);
                    let settled = self.sessions.settle(exchange, moored.as_ref(), &heading, &mut sent.answer).await?;
                    return Ok(self.relay.respond(exchange, sent, settled));
                }
                Err(Lost::Failed(cause)) => return Err(cause),
                Err(Lost::Unsent { refused }) => {
                    let lost = (heading.backend.id, refused);
                    Box::pin(self.elsewhere(exchange, moored.as_ref(), &mut tried, lost)).await?;
                }
            }
        }
    }

    /// The backend has not seen the request: what needs no particular backend goes to another one.
    async fn elsewhere(
        &self,
        exchange: &Exchange,
        moored: Option<&Arc<Moored>>,
        tried: &mut Vec<BackendId>,
        (backend, refused): (BackendId, bool),
    ) -> Result<(), Cause> {
        if let Some(moored) = moored {
            return Err(self.sessions.stranded(exchange, moored, refused).await);
        }
        tried.push(backend);
        if tried.len() >= MOST_TRIES { Err(Cause::BackendLost) } else { Ok(()) }
    }

    fn refuse(&self, reject: Reject, trail: &mut Trail) -> Response<RelayBody> {
        self.observe.refused(trail, reject.cause.name());
        tracing::debug!(reason = reject.cause.name(), "refused");
        reject.into_response(**self.refusals.load()).map(RelayBody::whole)
    }
}
