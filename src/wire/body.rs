//! A response's body, polled straight from the socket. What one read brings becomes one frame. Between reads it
//! holds no buffer: bytes are read into the thread's shared space and only what was decoded is copied out.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

use super::chunked::{Chunked, Decoded};
use super::error::{Fault, Phase, WireError};
use super::h2::Http2Body;
use super::head::{Framing, Keep};
use super::pool::Lease;
use super::stream::Stream;

/// Largest read, and so the largest frame, in bytes.
const SPACE: usize = 32 * 1024;

/// Decodes a body according to its framing.
#[derive(Debug)]
pub(super) enum Decoder {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Decoder {
    pub(super) const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Decodes what has arrived, in place.
    pub(super) fn decode(&mut self, input: &mut [u8]) -> Result<Decoded, Fault> {
        match self {
            Self::Length(left) => {
                let consumed = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= consumed as u64;
                Ok(Decoded { data: 0..consumed, consumed, done: *left == 0 })
            }
            Self::Chunked(chunked) => chunked.decode(input),
            Self::UntilClose => Ok(Decoded { data: 0..input.len(), consumed: input.len(), done: false }),
        }
    }
}

/// The body of a response. Dropped before its end it closes the connection (HTTP/2: resets the stream) at once, so
/// that the backend learns of a hang-up.
#[derive(Debug)]
pub struct WireBody(Kind);

#[derive(Debug)]
enum Kind {
    /// Nothing more to come.
    Ended,
    /// All of it came with the head.
    Whole(Bytes),
    Http1(Http1Body),
    Http2(Http2Body),
}

/// A body that is still arriving on its own connection.
#[derive(Debug)]
pub(super) struct Http1Body {
    pub(super) lease: Lease,
    pub(super) decoder: Decoder,
    pub(super) keep: Keep,
    /// What came with the head; may be empty.
    pub(super) first: Bytes,
}

impl WireBody {
    /// A body that is there already.
    pub(super) fn whole(data: Bytes) -> Self {
        Self(if data.is_empty() { Kind::Ended } else { Kind::Whole(data) })
    }

    pub(super) fn http1(body: Http1Body) -> Self {
        Self(Kind::Http1(body))
    }

    pub(super) fn http2(body: Http2Body) -> Self {
        Self(Kind::Http2(body))
    }

    fn poll_http1(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let Kind::Http1(body) = &mut self.0 else { return Poll::Ready(None) };
        if !body.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut body.first)))));
        }
        let step = ready!(body.poll_step(cx));
        let (data, end) = match step {
            Ok(Step { data, end }) => (data, end),
            Err(error) => {
                self.0 = Kind::Ended;
                return Poll::Ready(Some(Err(error)));
            }
        };
        if let Some(keep) = end
            && let Kind::Http1(body) = std::mem::replace(&mut self.0, Kind::Ended)
        {
            body.lease.release(keep);
        }
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }
}

/// One step of a body: data, or its end, or both.
struct Step {
    data: Bytes,
    /// At the end: what may become of the connection.
    end: Option<Keep>,
}

impl Http1Body {
    /// Reads until there is data or the end.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, WireError>> {
        loop {
            let step = with_space(|space| {
                let input = ready!(poll_read(&mut self.lease.stream, cx, space))
                    .map_err(|source| WireError::Read { phase: Phase::Body, source })?;
                Poll::Ready(self.step(input))
            });
            let step = ready!(step)?;
            if step.end.is_some() || !step.data.is_empty() {
                return Poll::Ready(Ok(step));
            }
        }
    }

    fn step(&mut self, input: &mut [u8]) -> Result<Step, WireError> {
        if input.is_empty() {
            return match self.decoder {
                Decoder::UntilClose => Ok(Step { data: Bytes::new(), end: Some(Keep::Close) }),
                Decoder::Length(_) | Decoder::Chunked(_) => Err(WireError::Truncated { phase: Phase::Body }),
            };
        }
        let decoded = self.decoder.decode(input).map_err(|what| WireError::Malformed { phase: Phase::Body, what })?;
        // Bytes after the end belong to no request: nothing on this connection can be trusted any more.
        let keep = if decoded.consumed < input.len() { Keep::Close } else { self.keep };
        Ok(Step { data: Bytes::copy_from_slice(&input[decoded.data]), end: decoded.done.then_some(keep) })
    }
}

impl Body for WireBody {
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        match &mut self.0 {
            Kind::Ended => Poll::Ready(None),
            Kind::Whole(data) => {
                let data = std::mem::take(data);
                self.0 = Kind::Ended;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Kind::Http1(_) => self.poll_http1(cx),
            Kind::Http2(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Ended => true,
            Kind::Whole(_) | Kind::Http1(_) => false,
            Kind::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Ended => SizeHint::with_exact(0),
            Kind::Whole(data) => SizeHint::with_exact(data.len() as u64),
            Kind::Http1(body) => match body.decoder {
                Decoder::Length(left) => SizeHint::with_exact(left.saturating_add(body.first.len() as u64)),
                Decoder::Chunked(_) | Decoder::UntilClose => SizeHint::default(),
            },
            Kind::Http2(body) => body.size_hint(),
        }
    }
}

/// Lends the thread's read space. Only ever used within one poll, so two uses cannot meet.
pub(super) fn with_space<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        static READ_SPACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; SPACE].into_boxed_slice());
    }
    READ_SPACE.with(|space| match space.try_borrow_mut() {
        Ok(mut space) => work(&mut space),
        Err(_) => work(&mut vec![0; SPACE]),
    })
}

/// Reads once; nothing means the end.
pub(super) fn poll_read<'a>(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    space: &'a mut [u8],
) -> Poll<std::io::Result<&'a mut [u8]>> {
    let mut buffer = ReadBuf::new(space);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    let filled = buffer.filled().len();
    Poll::Ready(Ok(&mut space[..filled]))
}
