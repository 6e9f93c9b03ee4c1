//! Sampling: a server that asks its client for a completion spends the client's LLM. How often it may is limited for each
//! session (without one, for each caller).

use super::Limit;
use super::words;
use crate::exchange::Caller;
use crate::names::SessionId;
use crate::reject::{Cause, Limited};
use crate::store::counters::{Charge, SlotId, Subject};

/// What a server may spend is called so where a limit's name is shown.
const NAME: &str = "sampling";

impl Limit {
    /// Whether sampling is limited at all.
    #[must_use]
    pub fn limits_sampling(&self) -> bool {
        self.rules.load().rules.sampling.is_some()
    }

    /// Takes so many sampling requests of a session's server, all or none.
    ///
    /// # Errors
    /// [`Cause::Limited`], and [`Cause::LimitsAway`] where the counters cannot be asked and the configuration wants that refused.
    pub async fn sampling(&self, caller: &Caller, session: Option<SessionId>, count: u64) -> Result<(), Cause> {
        let rules = std::sync::Arc::clone(&self.rules.load().rules);
        let Some((rate, budget)) = rules.sampling.as_ref().filter(|_| count > 0) else { return Ok(()) };
        let subject = session.map_or_else(|| rules.caller(caller), |session| Subject(session.0));
        let charge = [Charge { budget: std::sync::Arc::clone(budget), subject, cost: count }];
        let taken = self.counters.take(&charge, SlotId(0)).await.map_err(|_| Cause::LimitsAway)?;
        let (Some(_), Some(standing)) = (taken.refused, taken.standings.first()) else { return Ok(()) };
        let retry_after = words::whole_seconds(standing.retry_after).max(1);
        let used = words::rate_text(*rate, "sampling request");
        Err(Cause::Limited(Box::new(Limited {
            name: NAME.into(),
            text: format!("sampling/createMessage: {used} used up; try again in {retry_after} s"),
            limit: rate.count.get(),
            window: Some(rate.per.as_secs()),
            retry_after: u32::try_from(retry_after).unwrap_or(u32::MAX),
            form: crate::config::OnLimit::Auto,
            headers: Vec::new(),
        })))
    }
}
