//! One attempt at a backend, written down where the exchange is recorded. Sends nothing itself.

use std::sync::Arc;

use super::{Lost, Relay, Sent};
use crate::exchange::{Exchange, Heading, Moored};
use crate::reject::Cause;
use crate::wire::Outgoing;

impl Relay {
    /// Sends a request and waits for its answer's head (and for the body where it is short).
    ///
    /// # Errors
    /// [`Lost`] says whether the backend can have seen it.
    pub async fn send(
        &self,
        exchange: &Exchange,
        outgoing: &mut Outgoing,
        heading: &Heading,
        moored: Option<&Arc<Moored>>,
    ) -> Result<Sent, Lost> {
        let traced = exchange.traced.as_ref().map(|traced| (traced, traced.attempt(outgoing, &heading.backend)));
        let sent = self.dispatch(exchange, outgoing, heading, moored).await;
        if let Some((traced, attempt)) = traced {
            match &sent {
                Ok(sent) => traced.answered(attempt, sent.answer.status),
                Err(lost) => traced.failed(attempt, lost.word()),
            }
        }
        sent
    }
}

impl Lost {
    /// What has happened, in a word that a program can compare.
    fn word(&self) -> &'static str {
        match self {
            Self::Unsent { refused: true } => "connection_refused",
            Self::Unsent { refused: false } => "not_sent",
            Self::Broken(_) => "connection_lost",
            Self::Failed(Cause::GatewayTimeout(_)) => "timeout",
            Self::Failed(cause) => cause.name(),
        }
    }
}
