//! A response's body on its way to the client: while it lasts, its request is under way, and in HTTP/2 it is known who waits for
//! whom. It changes no byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::guard::InExchange;
use super::taking::Taking;

/// What an HTTP/2 stream is given at a time, in bytes: what lies in its buffer is beyond our reach, and kept for a client who
/// opens no window.
const PIECE: usize = 16 * 1024;

/// A response's body, during which its request is under way.
pub struct During<B> {
    body: B,
    /// What of the last frame is still to be given.
    rest: Bytes,
    taking: Option<Arc<Taking>>,
    exchange: InExchange,
}

impl<B> During<B> {
    /// Ties the body to the exchange.
    pub fn new(body: B, exchange: InExchange) -> Self {
        Self { body, rest: Bytes::new(), taking: exchange.taking(), exchange }
    }
}

impl<B: Body<Data = Bytes> + Unpin> During<B> {
    /// The next piece, and the rest of its frame kept.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| data.len() > PIECE) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                other => return Poll::Ready(other),
            }
        }
        let piece = self.rest.split_to(PIECE.min(self.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for During<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let Some(taking) = this.taking.clone() else { return Pin::new(&mut this.body).poll_frame(context) };
        let polled = this.poll_piece(context);
        // Asked again only when the client has room for it.
        if polled.is_pending() {
            taking.is_awaited();
        } else {
            taking.waits(this.exchange.tick());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if rest > 0 {
            let upper = hint.upper();
            hint.set_lower(0);
            if let Some(upper) = upper {
                hint.set_upper(upper + rest);
            }
            hint.set_lower(rest);
        }
        hint
    }
}
