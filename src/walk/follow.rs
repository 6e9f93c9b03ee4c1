//! A request that follows another's call of which there is news: its answer begins at once, as a stream of events, and goes on when
//! the call has ended.

use std::sync::Arc;

use futures_util::stream::unfold;
use http::Response;

use super::Walk;
use crate::cache::{Following, Looked};
use crate::exchange::{Exchange, Moored};
use crate::mcp::version::MCP_SESSION_ID;
use crate::observe::Trail;
use crate::relay::RelayBody;

impl Walk {
    /// Begins the answer with the news. Those who ask have been admitted.
    pub(super) fn follow(
        self: &Arc<Self>,
        exchange: Box<Exchange>,
        moored: Option<Arc<Moored>>,
        following: Following,
    ) -> Response<RelayBody> {
        let Following { news, onward } = following;
        let news = Box::pin(unfold(news, |mut news| async move { Some((news.next().await, news)) }));
        let claim = exchange.claim.clone().filter(|_| exchange.wants_session());
        let (walk, asker) = (Arc::clone(self), exchange.asker.clone());
        let waiting = asker.clone();
        let rest = Box::pin(async move {
            let looked = walk.cache.look_on(onward, &exchange, moored.as_ref()).await;
            let permit = match looked {
                Looked::Found(..) => None,
                _ => {
                    let session = moored.as_ref().map(|moored| moored.id);
                    walk.limit.admit_further(None, &exchange, session).await.map_err(|cause| cause.to(asker))?
                }
            };
            walk.answer(exchange, moored, (looked, permit), &mut Trail::default()).await
        });
        let mut response = self.relay.follow(waiting, news, rest);
        if let Some(claim) = claim {
            response.headers_mut().insert(MCP_SESSION_ID, claim);
        }
        response
    }
}
