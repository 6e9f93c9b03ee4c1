//! One request on its way to a backend.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::cache::Fetch;
use crate::config::Rehome as Policy;
use crate::exchange::{Ask, Exchange, Moored};
use crate::limit::Permit;
use crate::relay::Sent;
use crate::wire::Outgoing;

/// How long a request lets its session's notification stream go first after a move, and how often it looks.
const STREAM_FIRST: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

/// One request on its way: who asks what, what is sent, and the session that it belongs to.
pub(super) struct Errand {
    pub exchange: Box<Exchange>,
    pub outgoing: Outgoing,
    pub moored: Option<Arc<Moored>>,
    pub permit: Option<Arc<Permit>>,
    /// The call is made for all who wait for its result.
    pub fetch: Option<Arc<Fetch>>,
    /// Whether some backend may have executed it, though the answer was lost.
    pub ran: bool,
}

impl Errand {
    pub fn is_stream(&self) -> bool {
        matches!(self.exchange.ask, Ask::Stream)
    }

    /// Whether it may be sent again in the middle of its answer.
    pub fn can_be_mended(&self) -> bool {
        let keeps = self.moored.is_none() || self.exchange.pool.settings().rehome != Policy::Never;
        keeps && self.outgoing.replayable && (self.is_stream() || matches!(self.exchange.ask, Ask::Call(_)))
    }

    /// Whether a server refuses a notification stream because it still has the one before it, whose end it has not noticed yet.
    pub fn is_second_stream(&self, sent: &Sent) -> bool {
        self.is_stream() && sent.answer.status == StatusCode::CONFLICT
    }
}

/// Lets the notification stream of a session that has moved go first: what its new server asks there would be lost.
pub(super) async fn stream_follows(moored: &Moored) {
    for _ in 0..STREAM_FIRST.as_millis() / LOOK.as_millis() {
        if !moored.awaits_stream() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
