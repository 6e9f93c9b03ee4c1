//! Going away in order: nobody new, then what is in flight, then what stays open, then what is not written yet.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::App;
use crate::drain::Phase;
use crate::fleet::Pool;

/// How often a drain looks whether requests are still in flight.
const LOOK: Duration = Duration::from_millis(50);

/// At the end of a drain the store has this long to write what it still holds.
pub(super) const FLUSH: Duration = Duration::from_secs(5);

impl App {
    /// Goes away in order, within `drain.deadline`: not ready; then no new connections and sessions; requests in flight
    /// end; notification streams get a clean close; what still runs at the deadline is told so.
    pub async fn drain(&self) {
        let settings = self.config.load().drain;
        let drain = &self.shared.drain;
        tracing::info!(deadline_ms = settings.deadline.as_millis(), "draining");
        drain.advance(Phase::Noticed);
        tokio::time::sleep(settings.notice).await;
        drain.advance(Phase::Closing);
        let left = settings.deadline.saturating_sub(settings.notice);
        let begun = self.shared.clock.now();
        // Half of what is left for requests, which may need answers from their clients; the rest for saying goodbye.
        drop(tokio::time::timeout(left / 2, self.all_answered()).await);
        drain.advance(Phase::Parting);
        self.workers.join(left.saturating_sub(self.shared.clock.now().saturating_duration_since(begun))).await;
        drain.advance(Phase::Over);
        self.workers.join(Duration::from_secs(1)).await;
        self.instances.leave().await;
        drop(self.shared.sessions.upkeep().await);
        if tokio::time::timeout(FLUSH, self.store.flush()).await.is_err() {
            tracing::error!("the store did not write everything in time");
        }
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.settle_logs().await;
        tracing::info!("drained");
    }

    /// Waits until no request is in flight.
    async fn all_answered(&self) {
        let now = self.shared.clock.now();
        let busy = || {
            let pools = self.shared.fleet.pools();
            let in_flight = |pool: &Arc<Pool>| pool.backends().iter().any(|backend| backend.load(now).in_flight > 0);
            pools.iter().any(in_flight)
        };
        while busy() {
            tokio::time::sleep(LOOK).await;
        }
    }
}
