//! Calls that are made for all who wait for their result: they go on without the client whose request they are.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tokio::sync::oneshot;

use super::{Errand, Walk};
use crate::cache::Fetch;
use crate::exchange::{Exchange, Moored};
use crate::limit::Part;
use crate::observe::Trail;
use crate::reject::{Cause, Reject};
use crate::relay::{RelayBody, drain};
use crate::tasks;

/// A call whose client has left is given up within this time after the last who waited for it.
const LOOK_FOR_FOLLOWERS: Duration = Duration::from_millis(250);

impl Walk {
    /// Serves a request for all who wait for its result: it goes on should this client leave, as long as one of them is there.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        mut errand: Errand,
        fetch: Arc<Fetch>,
        trail: &mut Trail,
    ) -> Result<Response<RelayBody>, Reject> {
        let limit = errand.exchange.pool.settings().response_timeout.saturating_mul(2);
        let asker = errand.exchange.asker.clone();
        errand.fetch = Some(Arc::clone(&fetch));
        let (walk, mut own) = (Arc::clone(self), std::mem::take(trail));
        let (mut tell, told) = oneshot::channel();
        tasks::detach("fetch", limit, async move {
            let served = tokio::select! {
                served = walk.serve(errand, &mut own) => served.inspect_err(|_| fetch.is_void()),
                () = is_left(&mut tell, &fetch) => return,
            };
            let wanted = Arc::clone(&fetch);
            let served =
                served.map(|response| response.map(|body| body.outliving(limit, Box::new(move || wanted.is_wanted()))));
            // Where nobody hears it, it goes on by itself if it is wanted.
            drop(tell.send((served, own)));
        });
        match told.await {
            Ok((served, own)) => {
                *trail = own;
                served
            }
            Err(_) => Err(Cause::GatewayTimeout(limit).to(asker)),
        }
    }

    /// Fetches a result anew whose client has its answer.
    pub(super) fn refresh(
        self: &Arc<Self>,
        mut exchange: Box<Exchange>,
        moored: Option<Arc<Moored>>,
        fetch: Arc<Fetch>,
    ) {
        let limit = exchange.pool.settings().response_timeout.saturating_mul(2);
        let walk = Arc::clone(self);
        tasks::detach("refresh", limit, async move {
            let session = moored.as_ref().map(|moored| moored.id);
            let Ok(permit) = walk.limit.admit(&exchange, session, Part::Serving).await else { return };
            exchange.inspected = true;
            let outgoing = walk.relay.prepare(&mut exchange);
            let errand = Errand { exchange, outgoing, moored, permit, fetch: Some(fetch), ran: false };
            if let Ok(response) = walk.serve(errand, &mut Trail::default()).await {
                drain(response.into_body()).await;
            }
        });
    }
}

/// The client has left, and nobody else waits for what it has asked for.
async fn is_left<T>(tell: &mut oneshot::Sender<T>, fetch: &Fetch) {
    tell.closed().await;
    while fetch.is_wanted() {
        tokio::time::sleep(LOOK_FOR_FOLLOWERS).await;
    }
}
