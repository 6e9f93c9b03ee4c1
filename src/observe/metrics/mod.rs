//! What this instance counts of itself, for Prometheus to read (OpenMetrics text). A count is an atomic; only whoever reads them
//! all takes time. Nothing that a client can choose becomes a label.

mod reasons;
mod tasks;

use std::sync::Arc;

use prometheus_client::registry::Registry;

pub use reasons::Reasons;

/// The type of the text (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests that were refused, by reason.
    pub refusals: Arc<Reasons>,
    /// Connections that were refused, or ended before their client did so, by reason.
    pub connections: Arc<Reasons>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("moorline");
        registry.register_collector(Box::new(tasks::Alive));
        let mut counted = |name, help| {
            let reasons = Arc::new(Reasons::new(name, help));
            registry.register_collector(Box::new(Arc::clone(&reasons)));
            reasons
        };
        let refusals = counted("refusals", "Requests that were refused, by reason");
        let connections = counted(
            "connections_refused",
            "Client connections that were refused, or ended because of what was sent or not taken, by reason",
        );
        Self { registry, refusals, connections }
    }
}

impl Metrics {
    /// The text for Prometheus.
    ///
    /// # Errors
    /// None that is known: a string takes all.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_each_reason_once() {
        let metrics = Metrics::default();
        metrics.refusals.count("not_json");
        metrics.refusals.count("not_json");
        metrics.connections.count("slow_head");
        let text = metrics.text().unwrap();
        assert!(text.contains("# TYPE moorline_refusals counter\n"), "{text}");
        assert!(text.contains("\nmoorline_refusals_total{reason=\"not_json\"} 2\n"), "{text}");
        assert!(text.contains("\nmoorline_connections_refused_total{reason=\"slow_head\"} 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
