//! The body of a response to a client, in its forms: whole, passed through, or a stream of events.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::events::Events;
use super::late::Late;
use super::listen::Listener;
use super::mend::Mend;
use super::signal::{Sign, Signal, Source};
use super::{LOOK, Open};
use crate::drain::Drain;
use crate::exchange::{Busy, Moored};
use crate::fleet::{Backend, Flight};
use crate::sweep::Sweep;
use crate::tasks;
use crate::wire::{Phase, WireBody, WireError};

/// What an answer keeps busy until its body has ended: the backend's count of requests in flight, and the session.
pub struct Hold {
    pub(super) backend: Arc<Backend>,
    pub(super) falls: u32,
    flight: Option<Flight>,
    pub(super) busy: Option<Busy>,
    open: Option<Open>,
    pub(super) stands: bool,
    kept: Kept,
}

/// What others want to last until the answer has ended. Only its end matters here.
pub type Kept = Vec<Box<dyn Any + Send + Sync>>;

impl Hold {
    pub(super) fn new(backend: &Arc<Backend>, moored: Option<&Arc<Moored>>) -> Self {
        Self {
            backend: Arc::clone(backend),
            falls: backend.falls(),
            flight: Some(backend.fly()),
            busy: moored.map(Moored::busy),
            open: None,
            stands: false,
            kept: Kept::new(),
        }
    }

    /// Whether the backend was found dead, or has left, since the request was sent.
    pub(super) fn has_fallen(&self) -> bool {
        self.backend.falls() != self.falls
    }

    /// Lets something last as long as this backend is busy with the answer.
    pub(super) fn keep(&mut self, kept: impl Any + Send + Sync) {
        self.kept.push(Box::new(kept));
    }

    /// The backend is done with it, though the answer is not at its end.
    pub(super) fn let_go(&mut self) {
        self.kept.clear();
    }

    /// An open notification stream is no load: it only keeps its session from being idle, and counts among its kind.
    pub(super) fn stands(&mut self, open: Open) {
        self.flight = None;
        self.stands = true;
        self.open = Some(open);
        if let Some(busy) = &mut self.busy {
            busy.stands();
        }
    }
}

/// The body of a response to a client.
pub enum RelayBody {
    /// All of it is here.
    Whole(Bytes),
    /// It passes as it comes.
    Pass(Box<Pass>),
    /// Events, looked at one by one.
    Events(Box<Events>),
    /// A client's share of a joined stream of change notifications.
    Listen(Box<Listener>),
    /// It goes on without its client, as long as somebody else wants it.
    Outliving(Box<Outliving>),
    /// It comes later; until then the client hears how far it has got.
    Late(Box<Late>),
}

/// Whether somebody else wants an answer that its client has left.
pub type Wanted = Box<dyn Fn() -> bool + Send + Sync>;

/// A body that is read to its end, by its client or, should that leave, by nobody.
pub struct Outliving {
    /// None when it is handed over.
    body: Option<RelayBody>,
    wanted: Wanted,
    /// For how long it may go on.
    limit: Duration,
}

impl Drop for Outliving {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream() && (self.wanted)()) else { return };
        let wanted = std::mem::replace(&mut self.wanted, Box::new(|| false));
        tasks::detach_if_running("the rest of an answer", self.limit, drain_while(body, wanted));
    }
}

/// Reads a body to its end, as long as it is wanted.
async fn drain_while(mut body: RelayBody, wanted: Wanted) {
    loop {
        match tokio::time::timeout(LOOK, body.frame()).await {
            Ok(Some(Ok(_))) => {}
            Err(_) if wanted() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Reads a body to its end, for those who learn from what passes.
pub async fn drain(mut body: RelayBody) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// A body that passes as it comes.
pub struct Pass {
    start: Bytes,
    rest: WireBody,
    hold: Hold,
    sweep: Arc<Sweep<Signal>>,
    drain: Drain,
    signal: Option<Arc<Signal>>,
}

impl Pass {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        if !self.start.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.start)))));
        }
        let polled = Pin::new(&mut self.rest).poll_frame(context);
        if polled.is_pending() && self.is_lost(context) {
            // Nothing can be said in the middle of a body: the connection is cut, so that nobody waits for ever.
            return Poll::Ready(Some(Err(WireError::Truncated { phase: Phase::Body })));
        }
        polled
    }

    /// Whether the rest will never come.
    fn is_lost(&mut self, context: &Context<'_>) -> bool {
        let signal = self.signal.get_or_insert_with(|| {
            let source = Some(Source::of(&self.hold));
            let signal = Arc::new(Signal::new((self.sweep.tick(), 0), source, None, self.drain.clone()));
            self.sweep.enter(&signal);
            signal
        });
        matches!(signal.listen(context), Some(Sign::Fallen | Sign::Over))
    }
}

impl RelayBody {
    /// A body that is all here.
    #[must_use]
    pub const fn whole(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }

    /// The rest of a stream is asked for by `mend`, should it be lost.
    #[must_use]
    pub fn mended_by(mut self, mend: Mend) -> Self {
        if let Self::Events(events) = &mut self {
            events.mended_by(mend);
        }
        self
    }

    /// Lets something last until the body has ended, or is given up.
    #[must_use]
    pub fn keeping(mut self, kept: Kept) -> Self {
        match &mut self {
            Self::Whole(_) => {}
            Self::Pass(pass) => pass.hold.kept.extend(kept),
            Self::Events(events) => events.keep(kept),
            Self::Listen(listener) => listener.keep(kept),
            Self::Late(late) => late.keep(kept),
            Self::Outliving(outliving) => {
                outliving.body = outliving.body.take().map(|body| body.keeping(kept));
            }
        }
        self
    }

    /// Lets it be read to its end, for at most `limit`, even if its client leaves, where somebody else wants it then.
    #[must_use]
    pub fn outliving(self, limit: Duration, wanted: Wanted) -> Self {
        if matches!(self, Self::Whole(_)) {
            return self;
        }
        Self::Outliving(Box::new(Outliving { body: Some(self), wanted, limit }))
    }

    pub(super) fn pass(
        (start, rest): (Bytes, WireBody),
        hold: Hold,
        (sweep, drain): (Arc<Sweep<Signal>>, Drain),
    ) -> Self {
        Self::Pass(Box::new(Pass { start, rest, hold, sweep, drain, signal: None }))
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Pass(pass) => pass.poll_next(context),
            Self::Events(events) => events.poll_next(context).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Listen(listener) => listener.poll_next(context).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Late(late) => late.poll_next(context),
            Self::Outliving(outliving) => match &mut outliving.body {
                Some(body) => Pin::new(body).poll_frame(context),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pass(pass) => pass.start.is_empty() && pass.rest.is_end_stream(),
            Self::Events(_) | Self::Listen(_) | Self::Late(_) => false,
            Self::Outliving(outliving) => outliving.body.as_ref().is_none_or(Self::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pass(pass) => match (pass.rest.size_hint().exact(), pass.start.len() as u64) {
                (Some(rest), start) => SizeHint::with_exact(rest + start),
                (None, _) => SizeHint::default(),
            },
            Self::Events(_) | Self::Listen(_) | Self::Late(_) => SizeHint::default(),
            Self::Outliving(outliving) => outliving.body.as_ref().map(Self::size_hint).unwrap_or_default(),
        }
    }
}

/// Waits for a body of up to `most` bytes. A longer one is returned as what has come, which is not nothing, and what is
/// still to come.
pub async fn gather(mut body: WireBody, most: usize) -> Result<(Bytes, Option<WireBody>), WireError> {
    // Of a body that is known to be too long the first piece is enough: whoever looks at its beginning must find one.
    let declared = body.size_hint().exact();
    let most = if declared.is_some_and(|length| length > most as u64) { 0 } else { most };
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        // The usual body comes in one piece and is never copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&first);
            first = Bytes::new();
            all.extend_from_slice(&data);
        }
        if first.len() + all.len() > most {
            return Ok((join(first, all), Some(body)));
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok((join(first, all), None))
}

fn join(first: Bytes, all: BytesMut) -> Bytes {
    if all.is_empty() { first } else { all.freeze() }
}
