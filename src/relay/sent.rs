//! What became of a request that was sent: the head of its answer, or on which side it was lost.

use bytes::Bytes;

use super::body::Hold;
use super::scale::{Fate, Weigh, is_weighed};
use super::usable::is_stream;
use crate::exchange::Answer;
use crate::names::Mark;
use crate::reject::Cause;
use crate::wire::WireBody;

/// A request that did not get an answer.
#[derive(Debug)]
pub enum Lost {
    /// The backend has not seen it; whether it refused the connection, which a dead process does.
    Unsent {
        /// Whether the connection was refused.
        refused: bool,
    },
    /// The connection broke, or the backend was found dead: it may have seen it.
    Broken(Cause),
    /// The backend may have seen it, and answered uselessly or not in time.
    Failed(Cause),
}

/// An answer whose head has come.
pub struct Sent {
    /// What is known of it.
    pub answer: Answer,
    /// What has come, and is still to come, of a streamed body.
    pub(super) rest: Option<(Bytes, WireBody)>,
    pub(super) hold: Hold,
    /// The berth's mark, to which the ids in it belong.
    pub(super) mark: Mark,
    pub(super) weigh: Option<Weigh>,
}

impl Sent {
    /// Weighs what the server asks of its client: now, and what is still to come as it passes.
    pub async fn weigh(&mut self, weigh: Option<Weigh>) {
        if let (Some(weigh), Some(whole)) = (&weigh, &self.answer.whole)
            && is_weighed(whole)
            && let Fate::Instead(message) = weigh(whole.to_vec()).await
        {
            self.answer.whole = Some(message.into());
        }
        self.weigh = weigh;
    }

    /// Lets something last until the backend is done with the answer.
    pub fn keep(&mut self, kept: impl std::any::Any + Send + Sync) {
        self.hold.keep(kept);
    }

    /// Whether the body is a stream of events that is still to come.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.rest.is_some() && is_stream(&self.answer.headers)
    }
}
