//! A user's open notification stream: GET in the legacy era, `subscriptions/listen` in the modern one. Opened again when it ends, from the
//! last event on, after the time that the server asks for; how long it was gone is counted. It outlives no session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;

use super::answer::{self, Heard};
use super::events::{Events, Next};
use super::line::{Line, RETRY};
use super::message::{Ask, Session};
use super::record::{Happened, Recorder};
use super::trouble::{Mishap, Trouble};
use crate::mcp::version::{Era, METHOD_NOT_FOUND};

/// The longest wait between two attempts to open a stream again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What is open right now, over all threads.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Users who are in a session.
    pub users: AtomicU64,
    /// Notification streams.
    pub streams: AtomicU64,
}

/// Counts one more for as long as it lives.
#[derive(Debug)]
pub struct Counted {
    gauges: Arc<Gauges>,
    which: fn(&Gauges) -> &AtomicU64,
}

impl Counted {
    /// Counts one more.
    #[must_use]
    pub fn new(gauges: &Arc<Gauges>, which: fn(&Gauges) -> &AtomicU64) -> Self {
        which(gauges).fetch_add(1, Ordering::Relaxed);
        Self { gauges: Arc::clone(gauges), which }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.which)(&self.gauges).fetch_sub(1, Ordering::Relaxed);
    }
}

/// One user's stream.
#[derive(Debug)]
pub struct Stream {
    /// The user's line.
    pub line: Line,
    /// The user's era.
    pub era: Era,
    /// The user's session.
    pub session: Session,
    /// Set by whoever finds out first that the session is gone.
    pub lost: Arc<AtomicBool>,
    /// Where to count.
    pub recorder: Arc<Recorder>,
    /// What is open.
    pub gauges: Arc<Gauges>,
    /// The id of the request that opens it, in the modern era.
    pub id: u64,
}

impl Stream {
    /// Keeps it open, until there is none to be had any more.
    pub async fn hold(self) {
        let mut gone: Option<Instant> = None;
        let mut before: Option<Events> = None;
        let mut wait = RETRY;
        loop {
            match self.open(before.as_ref()).await {
                Ok(events) => {
                    self.recorder.happened(match gone {
                        None => Happened::StreamOpened,
                        Some(since) => Happened::StreamMended(self.line.now().duration_since(since)),
                    });
                    let Some(events) = self.listen(events).await else { return };
                    gone = Some(self.line.now());
                    wait = events.retry().unwrap_or(RETRY);
                    before = Some(events);
                }
                Err(mishap) => {
                    if self.is_hopeless(&mishap, gone) {
                        return;
                    }
                    gone = gone.or_else(|| Some(self.line.now()));
                    wait = (wait * 2).clamp(RETRY, LONGEST_WAIT);
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn open(&self, before: Option<&Events>) -> Result<Events, Mishap> {
        let fields = self.line.fields();
        let (method, headers, body) = match self.era {
            Era::Legacy => (Method::GET, fields.stream(&self.session, before.and_then(Events::last_id)), Bytes::new()),
            Era::Modern => (Method::POST, fields.modern(&Ask::Listen), Ask::Listen.body(self.era, self.id)),
        };
        let body = self.line.open(method, headers, body).await?;
        Ok(match before {
            Some(before) => Events::resumed(body, before),
            None => Events::new(body),
        })
    }

    /// Whether it is no use to try again; counts what went wrong, once for each time that the stream is gone.
    fn is_hopeless(&self, mishap: &Mishap, gone: Option<Instant>) -> bool {
        match mishap.kind {
            Trouble::Status(405) => self.recorder.happened(Happened::StreamRefused),
            Trouble::SessionLost => {
                if !self.lost.swap(true, Ordering::Relaxed) {
                    self.recorder.happened(Happened::SessionLost);
                    self.recorder.mishap(mishap);
                }
            }
            _ => {
                if gone.is_none() {
                    self.recorder.mishap(mishap);
                }
                return false;
            }
        }
        true
    }

    /// Listens until the stream is gone, and is to be opened again; none where there is no stream to be had.
    async fn listen(&self, mut events: Events) -> Option<Events> {
        let _open = Counted::new(&self.gauges, |gauges| &gauges.streams);
        let own = self.id.to_string();
        let awaited = (self.era == Era::Modern).then_some(own.as_str());
        loop {
            match events.next().await {
                Next::Nothing => {}
                Next::Message(data) => {
                    self.recorder.happened(Happened::Event);
                    if !self.hear(&data, awaited).await {
                        return None;
                    }
                }
                Next::Ended => {
                    self.recorder.happened(Happened::StreamClosed);
                    return Some(events);
                }
                Next::Broken(mishap) => {
                    self.recorder.happened(Happened::StreamBroken);
                    self.recorder.mishap(&Mishap { kind: Trouble::StreamBroken, ..mishap });
                    return Some(events);
                }
            }
        }
    }

    /// Whether the stream is worth being listened to further.
    async fn hear(&self, data: &[u8], awaited: Option<&str>) -> bool {
        for heard in answer::read(data, awaited) {
            match heard {
                Heard::Asked(id, method) => self.line.reply(&id, &method, &self.session).await,
                // A modern server that cannot be listened to.
                Heard::Failure(Mishap { kind: Trouble::JsonRpc(METHOD_NOT_FOUND), .. }) => {
                    self.recorder.happened(Happened::StreamRefused);
                    return false;
                }
                Heard::Stray(mishap) | Heard::Failure(mishap) => self.recorder.mishap(&mishap),
                // A listen request's result is its graceful end.
                Heard::Result(_) | Heard::Told => {}
            }
        }
        true
    }
}
