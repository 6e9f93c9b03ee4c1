//! What Prometheus shows: the page that a scrape collects, its forms, and what is counted by reason. Nothing that a client can choose
//! freely becomes a label, and every family has a bound on its series. The instruments themselves are [`crate::meter`]'s.

mod format;
mod page;
mod reasons;
mod text;

pub use crate::meter::{Exemplar, Snapshot, scale};
pub use format::Format;
pub use page::{Collect, Kind, Metric, OTHER, Page, REQUESTS, SHORT, Samples};
pub use reasons::Reasons;

/// Refusals of requests.
pub const REFUSALS: Metric = Metric {
    name: "moorline_refusals_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Requests that were refused, by reason",
    advice: "The reason is the word that the access log has as `refused` and the refusal itself as `data.reason`.",
};

/// Connections that ended badly.
pub const CONNECTIONS_REFUSED: Metric = Metric {
    name: "moorline_connections_refused_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Client connections that were refused, or ended because of what was sent or not taken, by reason",
    advice: "Many of one reason: somebody tests the bounds, or a bound is too narrow for honest clients.",
};

/// What is counted at the doors and at the end of the walk.
#[derive(Debug)]
pub struct Metrics {
    /// Requests that were refused, by reason.
    pub refusals: Reasons,
    /// Connections that were refused, or ended before their client did so, by reason.
    pub connections: Reasons,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { refusals: Reasons::new(&REFUSALS), connections: Reasons::new(&CONNECTIONS_REFUSED) }
    }
}

impl Collect for Metrics {
    fn collect(&self, page: &mut Page) {
        self.refusals.collect(page);
        self.connections.collect(page);
    }
}
