//! What Prometheus is told of a running instance.

use std::sync::Arc;

use super::App;
use crate::survey::Survey;

impl App {
    /// Whoever can tell what was counted.
    pub(super) fn surveyed(&self) -> Survey {
        let shared = &self.shared;
        Survey {
            observe: Arc::clone(&shared.observe),
            fleet: Arc::clone(&shared.fleet),
            sessions: Arc::clone(&shared.sessions),
            rehomes: Arc::clone(&shared.rehomes),
            limit: Arc::clone(&shared.limit),
            cache: Arc::clone(&shared.cache),
            workers: Arc::clone(&self.workers),
            streams: shared.streams.clone(),
            gates: Arc::clone(&shared.gates),
            stores: self.store_parts.clone(),
            readings: Arc::clone(&shared.certificates.readings),
            drain: shared.drain.clone(),
            clock: shared.clock.clone(),
        }
    }
}
