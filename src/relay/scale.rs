//! The scale: what a server asks of its client, where that costs the client (sampling spends its LLM), is weighed before
//! it passes. What follows in the stream waits for it. Who weighs, and by what, is not known here.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::mcp::frame::{Frame, frames};
use crate::mcp::needle::needle;
use crate::mcp::scanner::Piece;
use crate::mcp::sse;

needle!(
    /// What may be weighed: messages in which this stands, or anything escaped that could be it.
    WEIGHED = b"createMessage";
    ESCAPED = b"\\u00";
    ID = b"\"id\"";
    METHOD = b"\"method\"";
);

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It passes.
    Pass,
    /// It does not; whoever weighed it has told its sender.
    Drop,
    /// The client gets this message in its place.
    Instead(Vec<u8>),
}

/// Weighs one message.
pub type Weigh = Arc<dyn Fn(Vec<u8>) -> Pin<Box<dyn Future<Output = Fate> + Send>> + Send + Sync>;

/// The scale of one stream.
#[derive(Default)]
pub struct Scale {
    weigh: Option<Weigh>,
    weighing: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
    /// What came after it: at most what one read has brought, since nothing is read meanwhile.
    behind: VecDeque<Piece>,
}

impl Scale {
    pub fn set(&mut self, weigh: Option<Weigh>) {
        self.weigh = weigh;
    }

    /// Gives a piece back that need not be weighed, and waits for nothing.
    pub fn hold(&mut self, piece: Piece) -> Option<Piece> {
        let waits = self.weighing.is_some() || !self.behind.is_empty() || self.is_weighed(&piece);
        if !waits {
            return Some(piece);
        }
        self.behind.push_back(piece);
        None
    }

    /// The next piece that has been weighed, or had to wait; none if there is none.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        if self.weighing.is_none() {
            let Some(next) = self.behind.pop_front() else { return Poll::Ready(None) };
            match (next, &self.weigh) {
                (Piece::Events(block), Some(weigh)) if is_weighed(&block) => {
                    self.weighing = Some(Box::pin(weigh_block(Arc::clone(weigh), block)));
                }
                (next, _) => return Poll::Ready(Some(next)),
            }
        }
        let Some(weighing) = &mut self.weighing else { return Poll::Ready(None) };
        weighing.as_mut().poll(context).map(|block| {
            self.weighing = None;
            Some(Piece::Events(block))
        })
    }

    fn is_weighed(&self, piece: &Piece) -> bool {
        self.weigh.is_some() && matches!(piece, Piece::Events(block) if is_weighed(block))
    }
}

/// Whether a message, or one in a block of events, may have to be weighed: whoever weighs reads it properly.
pub fn is_weighed(text: &[u8]) -> bool {
    WEIGHED.is_in(text) || ESCAPED.is_in(text)
}

async fn weigh_block(weigh: Weigh, block: Bytes) -> Bytes {
    let mut out = Vec::with_capacity(block.len());
    for event in sse::events(&block) {
        let data = event.data.as_deref().filter(|data| is_weighed(data)).map(<[u8]>::to_vec);
        let fate = match data {
            Some(data) => weigh(data).await,
            None => Fate::Pass,
        };
        match fate {
            Fate::Pass => out.extend_from_slice(event.raw),
            Fate::Instead(message) => sse::rewrite(&event, None, Some(&message), &mut out),
            Fate::Drop => {}
        }
    }
    out.into()
}

/// Whether a block of events has a request in it that its client answers in one way or another; a ping has one answer.
pub fn asks(block: &[u8]) -> bool {
    if !(METHOD.is_in(block) && ID.is_in(block)) {
        return false;
    }
    let asks = |frame: &Frame<'_>| matches!(frame, Frame::Request { method, .. } if method != "ping");
    sse::events(block).filter_map(|event| event.data).any(|data| frames(&data).iter().any(asks))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::task::noop_waker_ref;
    use memchr::memmem;

    use super::*;

    fn refusing(message: &'static str) -> Scale {
        let mut scale = Scale::default();
        scale.set(Some(Arc::new(move |data| {
            let fate = if memmem::find(&data, b"\"ok\"").is_some() {
                Fate::Pass
            } else if message.is_empty() {
                Fate::Drop
            } else {
                Fate::Instead(message.into())
            };
            async move { fate }.boxed()
        })));
        scale
    }

    fn events(text: &'static str) -> Piece {
        Piece::Events(Bytes::from_static(text.as_bytes()))
    }

    fn next(scale: &mut Scale) -> Option<Bytes> {
        match scale.poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(Some(Piece::Events(bytes) | Piece::Part(bytes))) => Some(bytes),
            _ => None,
        }
    }

    #[test]
    fn what_is_refused_leaves_the_stream_and_the_rest_stays_in_order() {
        let mut scale = refusing("");
        assert!(scale.hold(events("data: before\n\n")).is_some());
        let asked = "data: a\n\ndata: {\"method\":\"sampling/createMessage\"}\n\ndata: {\"method\":\"sampling/createMessage\",\"ok\":1}\n\n";
        assert!(scale.hold(events(asked)).is_none());
        assert!(scale.hold(events("data: after\n\n")).is_none());
        let passed = "data: a\n\ndata: {\"method\":\"sampling/createMessage\",\"ok\":1}\n\n";
        assert_eq!(next(&mut scale).unwrap(), passed);
        assert_eq!(next(&mut scale).unwrap(), "data: after\n\n");
        assert_eq!(next(&mut scale), None);
        assert!(scale.hold(events("data: later\n\n")).is_some());
    }

    #[test]
    fn another_message_may_take_its_place() {
        let mut scale = refusing("no");
        assert!(scale.hold(events("id: 5\ndata: \"sampling/createMessage\"\n\n")).is_none());
        assert_eq!(next(&mut scale).unwrap(), "id: 5\ndata: no\n\n");
    }
}
