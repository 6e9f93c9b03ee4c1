//! One client's share of a joined stream: the acknowledgement first, then each frame under the client's own
//! subscription id.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::super::signal::{Sign, Signal, Watch};
use super::super::{Kept, Open};
use super::joined::{Joined, Next, Outlet};
use crate::mcp::listen::{acknowledged, complete_result, resync_frames, stamp};
use crate::mcp::sse::{Event, HEARTBEAT};
use crate::sweep::Sweep;

/// One listening client.
pub struct Listener {
    id: Box<str>,
    joined: Arc<Joined>,
    outlet: Arc<Outlet>,
    out: VecDeque<Bytes>,
    over: bool,
    _open: Open,
    kept: Kept,
    signal: Option<(Arc<Signal>, Arc<Sweep<Signal>>)>,
}

impl Listener {
    pub(super) fn new(joined: &Arc<Joined>, id: &str, honoured: &str, open: Open) -> Self {
        let outlet = joined.enter();
        let out = VecDeque::from([event(&acknowledged(honoured, id))]);
        Self {
            id: id.into(),
            joined: Arc::clone(joined),
            outlet,
            out,
            over: false,
            signal: None,
            _open: open,
            kept: Kept::new(),
        }
    }

    /// Lets something last as long as the stream.
    pub(in super::super) fn keep(&mut self, kept: Kept) {
        self.kept.extend(kept);
    }

    pub(super) fn watched(self, watch: &Watch) -> Self {
        let signal = watch.over(None);
        Self { signal: Some((signal, Arc::clone(&watch.sweep))), ..self }
    }

    pub(in super::super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(next) = self.out.pop_front() {
                if let Some((signal, sweep)) = &self.signal {
                    signal.touch(sweep.tick());
                }
                return Poll::Ready(Some(next));
            }
            if self.over {
                return Poll::Ready(None);
            }
            self.outlet.waker.register(context.waker());
            match self.outlet.pop() {
                Some(Next::Frame(frame)) => self.out.push_back(event(&stamp(&frame, &self.id))),
                Some(Next::Resync) => {
                    self.out.extend(resync_frames(&self.joined.filter, &self.id).iter().map(|frame| event(frame)));
                }
                None if !self.joined.is_alive() => self.end(),
                None => {
                    if !self.heed(context) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn heed(&mut self, context: &Context<'_>) -> bool {
        match self.signal.as_ref().and_then(|(signal, _)| signal.listen(context)) {
            None => return false,
            Some(Sign::Quiet) => self.out.push_back(Bytes::from_static(HEARTBEAT)),
            Some(Sign::Fallen | Sign::Adrift | Sign::Ended | Sign::Withdrawn | Sign::Parting | Sign::Over) => {
                self.end();
            }
        }
        true
    }

    /// A graceful end: the response to the request, which makes the client listen again.
    fn end(&mut self) {
        self.over = true;
        self.out.push_back(event(&complete_result(&self.id)));
    }
}

fn event(data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 24);
    Event { event: Some("message"), data: Some(data), ..Event::default() }.encode(&mut out);
    out.into()
}
