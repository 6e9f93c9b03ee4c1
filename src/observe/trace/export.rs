//! The way out for spans: a queue with a bound, and a count of what did not fit. Never holds anybody up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::Exported;
use super::span::Span;
use crate::clock::Clock;
use crate::config::{BackendUrl, TracesSettings};
use crate::names::InstanceId;
use crate::tls::TlsError;

/// Exchanges whose spans wait to be sent, at most; those of further ones are counted and dropped.
const MOST_WAITING: usize = 2048;

/// Why nothing can be traced.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Whom to trust cannot be read.
    #[error("cannot set up TLS for traces")]
    Tls(#[from] TlsError),
    /// There is no thread to be had.
    #[error("cannot start a thread for traces")]
    Thread(#[source] io::Error),
    /// What the environment says of traces cannot be used, say.
    #[error("traces cannot be sent: {0}")]
    Exporter(String),
}

/// What waits to be done.
#[derive(Debug)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nobody sends in such a build"))]
pub enum Order {
    /// To be sent.
    Send(Vec<Span>),
    /// Tells when all before it was sent, or given up.
    Tell(oneshot::Sender<()>),
}

/// Counts of spans.
#[derive(Debug, Default)]
pub struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub fn exported(&self) -> Exported {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Exported { sent: read(&self.sent), dropped: read(&self.dropped), failed: read(&self.failed) }
    }

    #[cfg(feature = "otlp")]
    pub fn sent(&self, spans: u64) {
        self.sent.fetch_add(spans, Ordering::Relaxed);
    }

    #[cfg(feature = "otlp")]
    pub fn failed(&self, spans: u64) {
        self.failed.fetch_add(spans, Ordering::Relaxed);
    }
}

/// The queue.
#[derive(Debug)]
pub struct Export {
    orders: mpsc::Sender<Order>,
    counts: Arc<Counts>,
}

impl Export {
    /// Starts what sends.
    #[cfg(feature = "otlp")]
    pub fn start(
        settings: &TracesSettings,
        endpoint: &BackendUrl,
        own: (&Clock, InstanceId),
        counts: &Arc<Counts>,
    ) -> Result<Self, TraceError> {
        let (orders, waiting) = mpsc::channel(MOST_WAITING);
        super::otlp::start(settings, endpoint, own, (waiting, Arc::clone(counts)))?;
        Ok(Self { orders, counts: Arc::clone(counts) })
    }

    /// Nobody sends in this build; the configuration refuses to ask for it.
    #[cfg(not(feature = "otlp"))]
    pub fn start(
        _: &TracesSettings,
        _: &BackendUrl,
        _: (&Clock, InstanceId),
        counts: &Arc<Counts>,
    ) -> Result<Self, TraceError> {
        let (orders, _) = mpsc::channel(MOST_WAITING);
        Ok(Self { orders, counts: Arc::clone(counts) })
    }

    /// Hands spans over, which are made only where there is room for them.
    pub fn offer(&self, count: u64, make: impl FnOnce() -> Vec<Span>) {
        match self.orders.try_reserve() {
            Ok(place) => place.send(Order::Send(make())),
            Err(_) => {
                let dropped = self.counts.dropped.fetch_add(count, Ordering::Relaxed) + count;
                if dropped == count {
                    tracing::warn!("spans are dropped: too many wait to be sent");
                }
            }
        }
    }

    /// Waits until all that was handed over before is sent, or was given up.
    pub async fn settle(&self) {
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Tell(tell)).await.is_ok() {
            // Whoever sends may have ended.
            drop(told.await);
        }
    }
}
