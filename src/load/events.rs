//! An event stream as a user reads it: messages one by one, the last event's id, and how long to wait before it is asked for again.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;

use super::trouble::{Mishap, Trouble};
use crate::mcp::scanner::{Piece, Scanner};
use crate::mcp::sse;
use crate::wire::WireBody;

/// Bytes of the largest event that is read.
const LARGEST: usize = 16 * 1024 * 1024;

/// The longest wait that a server may ask for.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// A message's bytes.
    Message(Bytes),
    /// A comment, or an event without data.
    Nothing,
    /// The server ended the stream in good order.
    Ended,
    /// The stream broke.
    Broken(Mishap),
}

/// An open stream.
#[derive(Debug)]
pub struct Events {
    body: WireBody,
    scanner: Scanner,
    ready: VecDeque<Next>,
    last: Option<String>,
    retry: Option<Duration>,
}

impl Events {
    /// A stream at its start.
    #[must_use]
    pub fn new(body: WireBody) -> Self {
        Self { body, scanner: Scanner::new(LARGEST), ready: VecDeque::new(), last: None, retry: None }
    }

    /// A stream that goes on where `before` ended.
    #[must_use]
    pub fn resumed(body: WireBody, before: &Self) -> Self {
        Self { last: before.last.clone(), retry: before.retry, ..Self::new(body) }
    }

    /// The last event's id; none where there was none.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// How long the server asked to wait before the stream is asked for again.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Waits for what comes next; after the end, the end again.
    pub async fn next(&mut self) -> Next {
        if let Some(ready) = self.ready.pop_front() {
            return ready;
        }
        match self.body.frame().await {
            None => Next::Ended,
            Some(Err(error)) => Next::Broken(error.into()),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.take(data);
                }
                self.ready.pop_front().unwrap_or(Next::Nothing)
            }
        }
    }

    fn take(&mut self, data: Bytes) {
        let pieces: Vec<Piece> = self.scanner.feed(data).collect();
        for piece in pieces {
            let block = match piece {
                Piece::Events(block) => block,
                Piece::Part(_) => {
                    let what = format!("an event of over {LARGEST} bytes");
                    self.ready.push_back(Next::Broken(Mishap::new(Trouble::Unreadable, &what)));
                    continue;
                }
            };
            for event in sse::events(&block) {
                if let Some(id) = &event.id {
                    self.last = Some(id.to_string());
                }
                if let Some(retry) = event.retry {
                    self.retry = Some(Duration::from_millis(retry).min(LONGEST_RETRY));
                }
                // An event without a message in it only says where the stream is (2025-11-25, Streamable HTTP).
                if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                    self.ready.push_back(Next::Message(Bytes::copy_from_slice(&data)));
                }
            }
        }
    }
}
