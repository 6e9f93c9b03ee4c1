//! The log, the access log and the traces of a running instance: new settings, files that were moved away, the last lines and spans.
//! Says where they go, and writes none.

use std::sync::Arc;

use tokio::time::timeout;

use super::leaving::FLUSH;
use super::{App, StartError};
use crate::clock::Clock;
use crate::config::Config;
use crate::names::InstanceId;
use crate::observe::Observe;
use crate::observe::trace::Tracing;

/// The station that counts, writes the access log, and traces.
pub(super) fn observe(config: &Config, clock: &Clock, instance: InstanceId) -> Result<Observe, StartError> {
    let tracing = Arc::new(Tracing::new((clock.clone(), instance), &config.traces)?);
    let observe = Observe::new(clock.clone(), config.metrics, &config.log.access, tracing, instance);
    observe.map_err(StartError::AccessLog)
}

impl App {
    /// Opens the access log anew, where it is a file: it may have been moved away.
    pub fn reopen_access_log(&self) {
        self.turn_access_log(&self.config.load());
    }

    pub(super) fn take_over_logs(&self, new: &Config) {
        self.log.reconfigure(&new.log);
        self.turn_access_log(new);
        if let Err(error) = self.shared.observe.tracing().reconfigure(&new.traces) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the new settings of traces cannot be used, the old ones stay"
            );
        }
    }

    fn turn_access_log(&self, config: &Config) {
        if let Err(error) = self.shared.observe.access().turn(&config.log.access) {
            tracing::error!(%error, "the access log cannot be opened anew, it goes on where it was");
        }
    }

    /// Nothing that was to be told is lost with the process.
    pub(super) async fn settle_logs(&self) {
        self.log.tell_left_out();
        let observe = &self.shared.observe;
        drop(timeout(FLUSH, async { tokio::join!(observe.access().settle(), observe.tracing().settle()) }).await);
    }
}
