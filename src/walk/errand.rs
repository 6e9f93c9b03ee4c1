//! One request on its way to a backend.

use std::sync::Arc;

use http::StatusCode;

use crate::cache::Fetch;
use crate::config::Rehome as Policy;
use crate::exchange::{Ask, Exchange, Moored};
use crate::limit::Permit;
use crate::relay::Sent;
use crate::wire::Outgoing;

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
