//! One backend's stream of events on its way to one client. Whole events pass as they come, many in one piece; ids that cross
//! a move are rewritten, the final response is noticed, quiet is filled with comments, and a stream that its backend
//! leaves unfinished is continued elsewhere where that is possible, and else ended with an error for whoever waits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;

use super::awaited::Awaited;
use super::body::{Hold, Kept};
use super::mend::{Mend, Mended, Mending, Mends, is_there};
use super::scale::{Scale, Weigh, asks, is_weighed};
use super::signal::{Sign, Signal, Source, Watch};
use super::{Ear, Sent, Settings};
use crate::exchange::{Ask, Exchange, Lesson};
use crate::mcp::crossing::{needs_rewrite, rewrite_block};
use crate::mcp::needle::needle;
use crate::mcp::scanner::{Piece, Scanner};
use crate::mcp::sse::{self, HEARTBEAT, retry_frame};
use crate::names::{Mark, PoolId};
use crate::reject::Cause;
use crate::wire::WireBody;

needle!(
    /// How a notification is named, whether or not the slash after it is escaped.
    NOTIFICATION = b"notifications";
);

/// One stream of events.
pub struct Events {
    body: Option<WireBody>,
    scanner: Scanner,
    scale: Scale,
    out: VecDeque<Bytes>,
    mark: Mark,
    pool: PoolId,
    ear: Ear,
    awaited: Awaited,
    resumable: bool,
    /// An event was too large to be read: it may have been the response.
    unread: bool,
    standing: bool,
    /// The id of the last event that the client has, in a standing stream that can be mended.
    last_id: Option<Box<str>>,
    looking: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    mend: Option<Mend>,
    mending: Option<Mending>,
    mends: Mends,
    /// The berth that it could not leave, though its backend takes nobody new.
    stuck_at: Option<Mark>,
    hold: Hold,
    /// What lasts until the end, wherever the rest comes from.
    kept: Kept,
    signal: Option<Arc<Signal>>,
    watch: Watch,
    retry: Duration,
}

impl Events {
    pub(super) fn new(
        exchange: &Exchange,
        (hold, mark): (Hold, Mark),
        (start, body): (Bytes, WireBody),
        (lesson, weigh, ear): (Option<Lesson>, Option<Weigh>, Ear),
        settings: &Settings,
    ) -> Self {
        let standing = matches!(exchange.ask, Ask::Stream);
        let mut out = VecDeque::new();
        if let Some(resumed) = &exchange.resumes {
            // Measured: TypeScript clients forget the id that they resume from, and hang if a resumed stream ends before it has one.
            out.push_back(Bytes::from(format!("id: {resumed}\ndata: \n\n")));
        }
        if standing {
            // Measured: with this, every client comes back after an outage of some seconds; without, it gives up for good.
            out.push_back(retry_frame(u64::try_from(settings.retry.as_millis()).unwrap_or(u64::MAX)));
        }
        let reads = lesson.is_some() || weigh.is_some() || exchange.veil.is_some();
        let bound = if reads { settings.inspect } else { settings.max_event };
        let mut events = Self {
            body: Some(body),
            scanner: Scanner::new(bound),
            scale: Scale::default(),
            out,
            mark,
            pool: exchange.pool.id,
            ear,
            awaited: Awaited::new(exchange.asker.clone(), lesson, exchange.veil.clone()),
            resumable: false,
            unread: false,
            standing,
            last_id: None,
            looking: None,
            mend: None,
            mending: None,
            mends: Mends::default(),
            stuck_at: None,
            hold,
            kept: Kept::new(),
            signal: None,
            watch: Watch::default(),
            retry: settings.retry,
        };
        events.scale.set(weigh);
        events.attach();
        events.feed(start);
        events
    }

    /// Lets the session's requests know that what its server says on the side is heard again.
    fn attach(&self) {
        if let Some(busy) = self.hold.busy.as_ref().filter(|_| self.standing) {
            busy.session().attach(self.mark);
        }
    }

    /// The rest is asked for elsewhere, should it be lost.
    pub(super) fn mended_by(&mut self, mend: Mend) {
        self.mend = Some(mend);
    }

    /// Lets something last as long as the stream.
    pub(super) fn keep(&mut self, kept: Kept) {
        self.kept.extend(kept);
    }

    /// Lets the sweep look after the stream while it waits. A call that was admitted may end, whatever becomes of its caller.
    pub(super) fn watched(self, mut watch: Watch) -> Self {
        watch.welcome = watch.welcome.filter(|_| self.standing);
        Self { watch, ..self }
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(next) = self.out.pop_front() {
                if let Some(signal) = &self.signal {
                    signal.touch(self.watch.tick());
                }
                return Poll::Ready(Some(next));
            }
            match self.scale.poll(context) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(piece)) => {
                    self.take(piece);
                    continue;
                }
                Poll::Pending => return Poll::Pending,
            }
            if let Some(looking) = &mut self.looking {
                match looking.as_mut().poll(context) {
                    Poll::Ready(there) => self.looked(there),
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            if let Some(mending) = &mut self.mending {
                match mending.as_mut().poll(context) {
                    Poll::Ready(mended) => self.mended(mended),
                    Poll::Pending if self.heed(context) => {}
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.feed(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(backend = %self.hold.backend.name, %error, "stream broke");
                    self.broke();
                }
                Poll::Ready(None) => self.ended(),
                Poll::Pending => {
                    if !self.heed(context) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn feed(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        for piece in self.scanner.feed(chunk) {
            if let Piece::Events(block) = &piece {
                if self.awaited.learns() && is_weighed(block) {
                    self.awaited.overhear(block);
                }
                self.heed_questions(block);
            }
            if let Some(piece) = self.scale.hold(piece) {
                self.take(piece);
            }
        }
    }

    /// Lets the session know that its server asks its client something: whatever it answers meanwhile may hang on that.
    fn heed_questions(&self, block: &[u8]) {
        let Some(busy) = &self.hold.busy else { return };
        if asks(block) {
            busy.session().is_asked();
        }
    }

    fn take(&mut self, piece: Piece) {
        let bytes = match piece {
            Piece::Events(bytes) => self.look_at(bytes),
            Piece::Part(_) if self.awaited.reads_all() => {
                return self
                    .fail(&Cause::BadGateway("an event is longer than bounds.inspect, and cannot be read".into()));
            }
            Piece::Part(bytes) => {
                self.unread = true;
                bytes
            }
        };
        if !bytes.is_empty() {
            self.out.push_back(bytes);
        }
    }

    /// Whole events: usually passed as they are, in one piece.
    fn look_at(&mut self, block: Bytes) -> Bytes {
        self.resumable = self.resumable || sse::carries_ids(&block);
        if NOTIFICATION.is_in(&block) {
            (self.ear)(self.pool, &block);
            self.awaited.hear(&block);
        }
        let block = if needs_rewrite(&block, self.mark) { rewrite_block(self.mark, &block).into() } else { block };
        if self.standing && sse::carries_ids(&block) {
            let last = sse::events(&block).filter_map(|event| event.id.map(|id| Box::from(&*id))).last();
            self.last_id = last.or(self.last_id.take());
        }
        self.awaited.shown(block)
    }

    /// The backend ended the stream in good order.
    fn ended(&mut self) {
        self.body = None;
        if self.standing && self.can_mend() {
            // One that goes away ends its streams in good order too; else it had its reasons, and the client comes back.
            return self.look();
        }
        // A server that gave event ids may end a stream early: the client fetches the rest with Last-Event-ID. Not where the
        // session has left it meanwhile.
        let stayed = self.hold.busy.as_ref().is_none_or(|busy| busy.session().mark() == self.mark);
        if !(self.is_answered() || self.resumable && stayed) {
            self.fail_or_mend();
        }
    }

    /// The connection broke.
    fn broke(&mut self) {
        self.body = None;
        if self.standing {
            // The backend may have set a shorter time, for ends of its own choosing: there would be nobody yet.
            return if self.can_mend() { self.begin_to_mend() } else { self.part() };
        }
        if self.is_answered() {
            return;
        }
        if !self.resumable {
            return self.fail_or_mend();
        }
        // Resuming is only worth while if the backend is still there; else the client would wait for ever.
        self.look();
    }

    fn look(&mut self) {
        self.looking = Some(Box::pin(is_there(self.hold.backend.addr())));
    }

    fn looked(&mut self, there: bool) {
        self.looking = None;
        match (there, self.standing) {
            (true, _) => {}
            (false, true) => self.begin_to_mend(),
            (false, false) => self.fail_or_mend(),
        }
    }

    /// Whether the rest may come from elsewhere: not where the client has half an event already, and not again and again.
    fn can_mend(&self) -> bool {
        self.mend.is_some() && self.scanner.at_boundary() && self.mends.may(self.watch.tick(), self.standing)
    }

    fn fail_or_mend(&mut self) {
        if self.can_mend() { self.begin_to_mend() } else { self.fail(&Cause::OutcomeUnknown) }
    }

    fn begin_to_mend(&mut self) {
        self.mends.begin(self.watch.tick(), self.standing);
        (self.body, self.signal) = (None, None);
        // Another place at a backend is asked for.
        self.hold.let_go();
        self.mending = self.mend.as_ref().map(|mend| mend(self.last_id.clone()));
    }

    fn mended(&mut self, mended: Mended) {
        (self.mending, self.signal) = (None, None);
        self.mends.last = self.watch.tick();
        match mended {
            Ok((Sent { answer, rest, hold, mark, weigh }, lesson)) if answer.status.is_success() => {
                self.stuck_at = (self.mark == mark).then_some(mark);
                (self.hold, self.mark) = (hold, mark);
                self.awaited.learn(lesson);
                self.attach();
                self.scanner.start_over();
                self.scale.set(weigh);
                match (rest, answer.whole) {
                    (Some((start, body)), _) => {
                        self.body = Some(body);
                        self.feed(start);
                    }
                    (None, Some(whole)) => self.frame(&whole),
                    (None, None) => self.ended(),
                }
            }
            _ if self.standing => self.part(),
            Ok(_) => self.fail(&Cause::OutcomeUnknown),
            Err(cause) => self.fail(&cause),
        }
    }

    /// A response that came as plain JSON, in a stream that has begun.
    fn frame(&mut self, message: &[u8]) {
        let event = self.look_at(sse::as_event(message).into());
        self.out.push_back(event);
        if !self.is_answered() {
            self.fail(&Cause::OutcomeUnknown);
        }
    }

    fn is_answered(&self) -> bool {
        self.awaited.is_over() || self.unread && self.scanner.at_boundary()
    }

    /// Tells whoever waits that no response will come, and ends.
    fn fail(&mut self, cause: &Cause) {
        (self.body, self.mending, self.mend) = (None, None, None);
        if !self.scanner.at_boundary() {
            self.out.push_back(Bytes::from_static(b"\n\n"));
        }
        self.out.extend(self.awaited.fail(cause));
    }

    /// Nothing came: does what the sweep asks for. Returns whether there is something to do now.
    fn heed(&mut self, context: &Context<'_>) -> bool {
        if self.signal.is_none() {
            self.signal = Some(self.watch.over(self.source()));
        }
        let Some(sign) = self.signal.as_ref().and_then(|signal| signal.listen(context)) else { return false };
        match sign {
            Sign::Quiet if self.scanner.at_boundary() => self.out.push_back(Bytes::from_static(HEARTBEAT)),
            Sign::Adrift | Sign::Fallen if self.standing && self.can_mend() => self.begin_to_mend(),
            Sign::Parting | Sign::Fallen | Sign::Adrift | Sign::Ended | Sign::Withdrawn | Sign::Over
                if self.standing =>
            {
                self.part();
            }
            Sign::Quiet | Sign::Parting | Sign::Adrift | Sign::Ended | Sign::Withdrawn => return false,
            Sign::Fallen => self.fail_or_mend(),
            Sign::Over => self.fail(&Cause::OutcomeUnknown),
        }
        true
    }

    /// What the sweep compares while it waits; nothing while the rest is asked for elsewhere.
    fn source(&self) -> Option<Source> {
        if self.mending.is_some() {
            return None;
        }
        let source = Source::of(&self.hold);
        let follows = self.standing && self.mend.is_some();
        Some(if follows { source.following(self.mark, self.stuck_at != Some(self.mark)) } else { source })
    }

    /// A clean end of a notification stream: the client is told when to come back.
    fn part(&mut self) {
        (self.body, self.mending, self.mend) = (None, None, None);
        if self.scanner.at_boundary() {
            self.out.push_back(retry_frame(u64::try_from(self.retry.as_millis()).unwrap_or(u64::MAX)));
        }
    }
}
