//! The responses that a stream still owes: who waits for which, and what is learnt from them as they pass.

use bytes::Bytes;

use super::veiled;
use crate::exchange::{Lesson, Veil};
use crate::mcp::frame::{Frame, peek_frame};
use crate::mcp::needle::needle;
use crate::mcp::{raw, sse};
use crate::reject::{Asker, Cause};

needle!(ID = b"\"id\"");

/// The notification by which a server says how far it has got.
const PROGRESS: &str = "notifications/progress";

/// The responses that are still to come.
pub struct Awaited {
    asker: Asker,
    lesson: Option<Lesson>,
    veil: Option<Veil>,
}

impl Awaited {
    pub const fn new(asker: Asker, lesson: Option<Lesson>, veil: Option<Veil>) -> Self {
        Self { asker, lesson, veil }
    }

    /// Whether nothing may pass that was not read.
    pub const fn reads_all(&self) -> bool {
        self.veil.is_some()
    }

    /// A block of events as the client is shown it.
    pub fn shown(&mut self, block: Bytes) -> Bytes {
        let block = self.look_at(&block).map_or(block, Bytes::from);
        match &self.veil {
            Some(veil) => veiled::block(veil, block),
            None => block,
        }
    }

    /// Whether all have come.
    pub const fn is_over(&self) -> bool {
        self.asker.ids.is_empty()
    }

    /// Whether anything is learnt from what passes.
    pub const fn learns(&self) -> bool {
        self.lesson.is_some()
    }

    /// Another answer goes on where this one has left off.
    pub fn learn(&mut self, lesson: Option<Lesson>) {
        self.lesson = lesson.or(self.lesson.take());
    }

    /// Looks for responses in a block of events. The block that takes its place, where a lesson says so.
    fn look_at(&mut self, block: &Bytes) -> Option<Vec<u8>> {
        // Responses and requests carry an id, notifications do not: most blocks need no second look.
        if self.is_over() || !ID.is_in(block) {
            return None;
        }
        let mut rewritten: Option<Vec<u8>> = None;
        for event in sse::events(block) {
            let change = event.data.as_deref().and_then(|data| self.respond(data));
            if change.is_some() && rewritten.is_none() {
                rewritten = Some(block[..event.range.start].to_vec());
            }
            match (&mut rewritten, change) {
                (Some(out), Some(change)) => sse::rewrite(&event, None, Some(&change), out),
                (Some(out), None) => out.extend_from_slice(event.raw),
                (None, _) => {}
            }
        }
        rewritten
    }

    /// Lets the lesson see what the server asks of the client, before any of that is held back.
    pub fn overhear(&mut self, block: &[u8]) {
        let Some(lesson) = &mut self.lesson else { return };
        for data in sse::events(block).filter_map(|event| event.data) {
            if matches!(peek_frame(&data), Some(Frame::Request { .. })) {
                lesson(&data);
            }
        }
    }

    /// Lets the lesson see how far the server says that it has got.
    pub fn hear(&mut self, block: &[u8]) {
        let Some(lesson) = &mut self.lesson else { return };
        for data in sse::events(block).filter_map(|event| event.data) {
            if matches!(peek_frame(&data), Some(Frame::Notification { method, .. }) if method == PROGRESS) {
                lesson(&data);
            }
        }
    }

    /// If it is a response that is waited for, strikes it off and lets the lesson see it.
    fn respond(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let Some(frame) = peek_frame(data) else {
            // Several messages at once (2025-03-26).
            let all = raw::utf8(data).and_then(raw::elements).unwrap_or_default();
            let asks = |message: &&&str| matches!(peek_frame(message.as_bytes()), Some(Frame::Request { .. }));
            if let Some(lesson) = &mut self.lesson {
                all.iter().filter(asks).for_each(|message| drop(lesson(message.as_bytes())));
            }
            return None;
        };
        if let (Frame::Request { .. }, Some(lesson)) = (&frame, &mut self.lesson) {
            lesson(data);
            return None;
        }
        let at = self.asker.ids.iter().position(|id| frame.answers(id))?;
        self.asker.ids.swap_remove(at);
        self.lesson.as_mut()?(data)
    }

    /// Tells each who waits that nothing will come: one event for each.
    pub fn fail(&mut self, cause: &Cause) -> impl Iterator<Item = Bytes> + use<> {
        let (ids, cause) = (std::mem::take(&mut self.asker.ids), cause.clone());
        ids.into_iter().map(move |id| {
            let asker = Asker { ids: vec![id], ..Asker::default() };
            cause.clone().to(asker).into_event()
        })
    }
}
