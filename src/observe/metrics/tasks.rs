//! How many tasks run: a number that only grows is a leak.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

/// The tasks of this process.
#[derive(Debug)]
pub struct Alive;

impl Collector for Alive {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let alive = ConstGauge::new(i64::try_from(crate::tasks::alive()).unwrap_or(i64::MAX));
        let help = "Tasks that have begun and not ended: connections, HTTP/2 streams, and what runs beside them";
        alive.encode(encoder.encode_descriptor("tasks", help, None, alive.metric_type())?)
    }
}
