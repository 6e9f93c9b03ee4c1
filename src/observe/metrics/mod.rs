//! What this instance counts of itself, for Prometheus to read: the instruments, the page that a scrape collects, and its forms. To
//! count is an atomic that no other thread writes to; only whoever reads takes time. Nothing that a client can choose freely becomes
//! a label, and every family has a bound on its series.
//!
//! What one observation costs: finding the series, 10 to 20 ns; a counter, one relaxed add; a histogram, two and a table look-up
//! (`cargo bench --bench instruments` measures it, with one thread and with four).

mod counter;
mod family;
mod format;
mod histogram;
mod page;
mod reasons;
pub mod scale;
mod sharded;
mod text;

pub use counter::{Counter, Gauge};
pub use family::Family;
pub use format::Format;
pub use histogram::{Exemplar, Histogram, Snapshot};
pub use page::{Collect, Kind, Metric, OTHER, Page, REQUESTS, SHORT, Samples};
pub use reasons::Reasons;
pub use sharded::Sharded;

/// Refusals of requests.
pub const REFUSALS: Metric = Metric {
    name: "moorline_refusals_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Requests that were refused, by reason",
    advice: "The reason is the word that the access log has as `refused`, and docs/operating.md explains each.",
};

/// Connections that ended badly.
pub const CONNECTIONS_REFUSED: Metric = Metric {
    name: "moorline_connections_refused_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Client connections that were refused, or ended because of what was sent or not taken, by reason",
    advice: "Many of one reason: somebody tests the bounds, or a bound is too narrow for honest clients.",
};

/// Tasks.
pub const TASKS: Metric = Metric {
    name: "moorline_tasks",
    kind: Kind::Gauge,
    labels: &[],
    help: "Tasks that have begun and not ended: connections, HTTP/2 streams, and what runs beside them",
    advice: "It follows the open connections. A number that only grows is a leak: tell the project.",
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

impl Metrics {
    /// All that there is to read.
    #[must_use]
    pub fn page(&self) -> Page {
        let mut page = Page::default();
        self.collect(&mut page);
        page
    }
}

impl Collect for Metrics {
    fn collect(&self, page: &mut Page) {
        self.refusals.collect(page);
        self.connections.collect(page);
        page.count(&TASKS, crate::tasks::alive() as u64);
    }
}
