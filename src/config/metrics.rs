//! What is counted of requests: the settings, and how they are read. Counts nothing.

use super::read::preset;
use super::schema::metrics;
use super::tree::Reader;

/// What is counted of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Whether they are counted and timed at all.
    pub requests: bool,
    /// Tools that are counted by name.
    pub max_tools: usize,
}

pub(super) fn read(reader: &mut Reader<'_>) -> MetricsSettings {
    MetricsSettings { requests: reader.get(&metrics::REQUESTS), max_tools: reader.get(&metrics::MAX_TOOLS) }
}

impl Default for MetricsSettings {
    fn default() -> Self {
        preset(&metrics::METRICS, read)
    }
}
