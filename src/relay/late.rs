//! An answer that comes later, in a stream of events that has begun: until then the client hears how far it has got. Whatever the
//! answer's own form is, it becomes the last of the stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::Response;
use http_body::{Body, Frame};

use super::body::{Kept, RelayBody};
use super::signal::{Sign, Signal, Watch};
use super::usable::{has_type, is_stream};
use crate::mcp::sse::HEARTBEAT;
use crate::reject::{Asker, Cause, Reject};
use crate::wire::WireError;

/// What the client hears until its answer comes: whole events.
pub type News = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The answer itself.
pub type Rest = Pin<Box<dyn Future<Output = Result<Response<RelayBody>, Reject>> + Send>>;

/// An answer that comes later.
pub struct Late {
    news: News,
    then: Then,
    asker: Asker,
    kept: Kept,
    signal: Option<Arc<Signal>>,
    watch: Watch,
}

/// How far it has got.
enum Then {
    Awaited(Rest),
    /// It is a stream itself.
    Events(RelayBody),
    /// It becomes the data of one event.
    Json(RelayBody),
    Over,
}

impl Late {
    pub(super) fn new((news, rest): (News, Rest), asker: Asker, watch: Watch) -> Self {
        let then = Then::Awaited(rest);
        Self { news, then, asker, kept: Kept::new(), signal: None, watch }
    }

    /// Lets something last as long as the stream.
    pub(super) fn keep(&mut self, kept: Kept) {
        self.kept.extend(kept);
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        loop {
            let rest = match &mut self.then {
                Then::Over => return Poll::Ready(None),
                Then::Events(body) => return Pin::new(body).poll_frame(context),
                Then::Json(body) => {
                    let Some(frame) = ready!(Pin::new(body).poll_frame(context)) else {
                        self.then = Then::Over;
                        return event(Bytes::from_static(b"\n\n"));
                    };
                    return Poll::Ready(Some(frame.map(|frame| frame.map_data(|data| one_line(&data)))));
                }
                Then::Awaited(rest) => rest,
            };
            if let Poll::Ready(Some(news)) = self.news.as_mut().poll_next(context) {
                if let Some(signal) = &self.signal {
                    signal.touch(self.watch.tick());
                }
                return event(news);
            }
            let Poll::Ready(answer) = rest.as_mut().poll(context) else { return self.quiet(context) };
            if let Some(first) = self.begin(answer) {
                return event(first);
            }
        }
    }

    /// The answer is there: what of it comes first.
    fn begin(&mut self, answer: Result<Response<RelayBody>, Reject>) -> Option<Bytes> {
        self.then = Then::Over;
        let response = match answer {
            Ok(response) => response,
            Err(reject) => return Some(reject.into_event()),
        };
        let (head, body) = response.into_parts();
        if is_stream(&head.headers) {
            self.then = Then::Events(body);
            return None;
        }
        if has_type(&head.headers, b"application/json") {
            self.then = Then::Json(body);
            return Some(Bytes::from_static(b"event: message\ndata: "));
        }
        let cause = Cause::BadGateway("a response to a request must be JSON or an event stream".into());
        Some(cause.to(self.asker.clone()).into_event())
    }

    /// Nothing comes: a comment where that was so for long.
    fn quiet(&mut self, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let signal = self.signal.get_or_insert_with(|| self.watch.over(None));
        match signal.listen(context) {
            Some(Sign::Quiet) => event(Bytes::from_static(HEARTBEAT)),
            Some(Sign::Over) => {
                self.then = Then::Over;
                event(Cause::OutcomeUnknown.to(self.asker.clone()).into_event())
            }
            _ => Poll::Pending,
        }
    }
}

fn event(bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
    Poll::Ready(Some(Ok(Frame::data(bytes))))
}

/// JSON has line ends only between its tokens, where spaces do as well.
fn one_line(json: &Bytes) -> Bytes {
    if !json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return json.clone();
    }
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_over_several_lines_becomes_one() {
        let one = one_line(&Bytes::from_static(b"{\r\n  \"a\": \"b\\n\"\n}\n"));
        assert_eq!(one, "{    \"a\": \"b\\n\" } ");
        let same = Bytes::from_static(b"{\"a\":1}");
        assert_eq!(one_line(&same).as_ptr(), same.as_ptr(), "not copied");
    }
}
