//! What the admin listener is given of a running instance.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::App;
use crate::admin::feed::Feed;
use crate::admin::{Admin, Gate};

impl App {
    /// What operators see and order who ask at this listener.
    pub(super) fn operated_at(&self, listener: &TcpListener) -> Admin {
        let (shared, config) = (&self.shared, self.config.load());
        Admin {
            fleet: Arc::clone(&shared.fleet),
            sessions: Arc::clone(&shared.sessions),
            rehome: Arc::clone(&self.mover.rehome),
            tallies: Arc::clone(shared.observe.tallies()),
            cache: Arc::clone(&shared.cache),
            limit: Arc::clone(&shared.limit),
            workers: Arc::clone(&self.workers),
            doors: Arc::clone(&shared.certificates.doors),
            drain: shared.drain.clone(),
            gate: Gate {
                token: config.admin_token.clone(),
                loopback: listener.local_addr().is_ok_and(|addr| addr.ip().is_loopback()),
            },
            instances: Arc::clone(&self.instances),
            feed: Feed::default(),
            survey: Arc::new(self.surveyed()),
            reloads: self.reloads.clone(),
            log: self.log.clone(),
            clock: shared.clock.clone(),
        }
    }
}
