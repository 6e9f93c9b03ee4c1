//! The log and the access log of a running instance: new settings, files that were moved away, the last lines. Says where lines go, and
//! writes none.

use tokio::time::timeout;

use super::App;
use super::leaving::FLUSH;
use crate::config::Config;

impl App {
    /// Opens the access log anew, where it is a file: it may have been moved away.
    pub fn reopen_access_log(&self) {
        self.turn_access_log(&self.config.load());
    }

    pub(super) fn take_over_logs(&self, new: &Config) {
        self.log.reconfigure(&new.log);
        self.turn_access_log(new);
    }

    fn turn_access_log(&self, config: &Config) {
        if let Err(error) = self.shared.observe.access().turn(&config.log.access) {
            tracing::error!(%error, "the access log cannot be opened anew, it goes on where it was");
        }
    }

    /// Nothing that was to be told is lost with the process.
    pub(super) async fn settle_logs(&self) {
        self.log.tell_left_out();
        drop(timeout(FLUSH, self.shared.observe.access().settle()).await);
    }
}
