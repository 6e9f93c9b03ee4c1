//! The rest of a stream whose backend was lost: the request is sent again, wherever its session lies then.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Mutex;

use super::{Errand, SHORTEST_REST, Walk};
use crate::exchange::Exchange;
use crate::mcp::version::LAST_EVENT_ID;
use crate::observe::Trail;
use crate::rehome::Stop;
use crate::reject::{Cause, Challenge};
use crate::relay::{Mend, Mended};

/// How long a stream waits at most before it looks for its session again.
const LONGEST_REST: Duration = Duration::from_secs(2);

impl Walk {
    /// How the rest of a stream is found if its backend is lost: by sending the request again, wherever its session lies then.
    pub(super) fn mend(self: &Arc<Self>, errand: Errand) -> Mend {
        let (walk, errand) = (Arc::clone(self), Arc::new(Mutex::new(errand)));
        Box::new(move |last_id| {
            let (walk, errand) = (Arc::clone(&walk), Arc::clone(&errand));
            Box::pin(async move { walk.again(&mut *errand.lock().await, last_id).await })
        })
    }

    async fn again(&self, errand: &mut Errand, last_id: Option<Box<str>>) -> Mended {
        errand.outgoing.headers.remove(LAST_EVENT_ID);
        if let Some(seen) = last_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            errand.outgoing.headers.insert(LAST_EVENT_ID, seen);
        }
        let introduce = self.identify.introduce(&errand.exchange);
        let mut rest = SHORTEST_REST;
        loop {
            self.is_still_welcome(&errand.exchange)?;
            introduce(&mut errand.outgoing.headers);
            match self.deliver(errand, &mut Trail::default()).await {
                // The server has not noticed yet that the stream before it is gone.
                Ok((sent, _)) if errand.is_second_stream(&sent) => {}
                Err(Stop::Refused(cause)) if errand.is_stream() && cause.retry_after().is_some() => {}
                Ok(settled) => return Ok(settled),
                Err(Stop::Refused(cause)) => return Err(cause),
                Err(Stop::Answered(_)) => return Err(Cause::SessionLost),
            }
            tokio::time::sleep(rest).await;
            rest = LONGEST_REST.min(rest * 2);
        }
    }

    /// What was admitted may end, but nothing is begun for a caller whose credential has ended meanwhile.
    fn is_still_welcome(&self, exchange: &Exchange) -> Result<(), Cause> {
        let principal = exchange.caller.principal.as_ref();
        if !principal.is_some_and(|principal| principal.validity.ended(self.relay.now())) {
            return Ok(());
        }
        let text = "your credential has ended while this was being answered, and the server that answered was lost; ask \
                    again with one that is valid";
        Err(Cause::Unauthenticated(Box::new(Challenge { header: None, text: text.into() })))
    }
}
