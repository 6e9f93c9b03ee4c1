//! The answer that is there already, and what asking for it spends. Owns the order of the two stations: limits on who asks, the cache,
//! limits on what serves. Makes no call.

use std::pin::pin;
use std::sync::Arc;

use super::Walk;
use crate::cache::Looked;
use crate::exchange::{Exchange, Moored};
use crate::limit::{Part, Permit};
use crate::observe::Trail;
use crate::reject::Cause;

impl Walk {
    /// Takes what the request spends of the limits, and looks whether its answer is there. Where no result is for keeping, all limits
    /// are one decision. Else those on who asks come first: who may not ask shall not make the cache look, which can cost a question to
    /// the store, or a wait.
    pub(super) async fn look(
        &self,
        exchange: &Exchange,
        moored: Option<&Arc<Moored>>,
        trail: &mut Trail,
    ) -> Result<(Looked, Option<Arc<Permit>>), Cause> {
        let session = moored.map(|moored| moored.id);
        self.observe.looked(trail, session, None);
        let Some(policy) = self.cache.policy(exchange) else {
            let admitting = pin!(self.limit.admit(exchange, session, Part::All));
            return Ok((Looked::Past, exchange.during("limit", admitting).await?));
        };
        let admitting = pin!(self.limit.admit(exchange, session, Part::Asking));
        let permit = exchange.during("limit", admitting).await?;
        let looking = pin!(self.cache.look(exchange, moored, policy));
        let looked = exchange.during("cache", looking).await;
        self.observe.looked(trail, session, looked.name());
        let permit = match looked {
            Looked::Found(..) | Looked::Following(_) => permit,
            _ => exchange.during("limit", self.limit.admit_further(permit, exchange, session)).await?,
        };
        Ok((looked, permit))
    }
}
