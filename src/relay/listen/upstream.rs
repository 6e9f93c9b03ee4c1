//! The upstream side of a joined stream: one `subscriptions/listen` per backend, opened again as backends come and go. A
//! frame may come as an event or, from some servers, as a line of JSON.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::{BoxStream, SelectAll, unfold};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::body::gather;
use super::super::has_type;
use super::super::outgoing::with_query;
use super::joined::{Opening, Shared};
use crate::clock::Clock;
use crate::config::HostPolicy;
use crate::exchange::{Answer, Introduce};
use crate::fleet::{Backend, Pool};
use crate::mcp::listen::{Filter, acknowledged_filter};
use crate::mcp::scanner::{Piece, Scanner};
use crate::mcp::sse;
use crate::names::BackendId;
use crate::relay::Ear;
use crate::wire::{Outgoing, Wire, WireBody};

/// How long a backend may take to answer and to acknowledge.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// How often the list of backends is compared with the list of streams.
const RECONCILE: Duration = Duration::from_secs(1);

/// The longest time until a backend that refuses is asked again.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What the feeding task needs.
pub struct Source {
    pub pool: Arc<Pool>,
    pub wire: Wire,
    pub request: Outgoing,
    /// Says who listens, each time that a stream is opened; nobody is said to where Moorline listens for itself.
    pub introduce: Option<Introduce>,
    /// The client's query, which goes to every backend.
    pub query: Option<Box<str>>,
    /// The host that the client asked for.
    pub host: Option<HeaderValue>,
    pub filter: Filter,
    pub clock: Clock,
    pub max_event: usize,
    pub ear: Ear,
}

/// What an upstream stream says.
enum Said {
    Frame(Bytes),
    /// It has ended, whichever way.
    Ended(BackendId),
}

type Streams = SelectAll<BoxStream<'static, Said>>;

/// How opening one stream went.
enum Attempt {
    Open { honoured: Arc<str>, stream: BoxStream<'static, Said> },
    Refused(Answer),
    Unreached,
}

impl Source {
    /// Opens a stream to every backend, says how it went, and then feeds until it is aborted.
    pub async fn feed(self, shared: &Shared, tell: &watch::Sender<Option<Opening>>) {
        let mut streams = SelectAll::new();
        let mut heard = HashMap::new();
        let opening = self.open_all(&mut streams, &mut heard, &mut Resting::default()).await;
        let open = matches!(opening, Opening::Open(_));
        tell.send_replace(Some(opening));
        if !open {
            return;
        }
        let mut reconcile = interval(RECONCILE);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resting = Resting::default();
        loop {
            tokio::select! {
                Some(said) = streams.next() => match said {
                    Said::Frame(frame) => {
                        (self.ear)(self.pool.id, &frame);
                        pass(shared, &frame);
                    }
                    Said::Ended(backend) => {
                        heard.remove(&backend);
                        resting.failed(backend, self.clock.now());
                    }
                },
                _ = reconcile.tick() => {
                    let before = heard.len();
                    let opening = self.open_all(&mut streams, &mut heard, &mut resting).await;
                    // What a backend said before it was heard (again) is lost: clients look for themselves.
                    if matches!(opening, Opening::Open(_)) && heard.len() > before {
                        shared.resync();
                    }
                }
            }
        }
    }

    /// Opens what is not open yet, and forgets what has gone.
    async fn open_all(
        &self,
        streams: &mut Streams,
        heard: &mut HashMap<BackendId, u32>,
        resting: &mut Resting,
    ) -> Opening {
        let backends = Arc::clone(&self.pool.backends());
        let fit = |backend: &&Arc<Backend>| backend.takes_requests();
        heard.retain(|id, falls| backends.iter().filter(fit).any(|known| known.id == *id && known.falls() == *falls));
        let now = self.clock.now();
        resting.0.retain(|id, _| backends.iter().any(|backend| backend.id == *id));
        let missing = backends.iter().filter(fit).filter(|backend| !heard.contains_key(&backend.id));
        let missing = missing.filter(|backend| !resting.is_resting(backend.id, now));
        let attempts = missing.map(|backend| async move { (backend, self.open(backend).await) });
        let mut result = Opening::Nobody;
        for (backend, attempt) in join_all(attempts).await {
            if !matches!(attempt, Attempt::Open { .. }) {
                resting.failed(backend.id, now);
            }
            match attempt {
                Attempt::Open { honoured, stream } => {
                    streams.push(stream);
                    heard.insert(backend.id, backend.falls());
                    result = Opening::Open(honoured);
                }
                Attempt::Refused(answer) if matches!(result, Opening::Nobody) => {
                    result = Opening::Refused(Arc::new(answer));
                }
                Attempt::Refused(_) | Attempt::Unreached => {}
            }
        }
        result
    }

    async fn open(&self, backend: &Arc<Backend>) -> Attempt {
        timeout(OPEN_LIMIT, self.try_open(backend)).await.unwrap_or(Attempt::Unreached)
    }

    async fn try_open(&self, backend: &Arc<Backend>) -> Attempt {
        let settings = Arc::clone(&self.pool.settings());
        let host = match settings.host {
            HostPolicy::Client => self.host.as_ref().and_then(|host| host.to_str().ok()),
            HostPolicy::Backend => None,
        };
        let path = with_query(&backend.path, self.query.as_deref());
        let (Ok(target), Some(path_and_query)) = (backend.target(settings.http_version, host), path) else {
            return Attempt::Unreached;
        };
        let mut request = Outgoing { path_and_query, ..self.request.clone() };
        self.introduce.iter().for_each(|introduce| introduce(&mut request.headers));
        let incoming = match self.wire.send(&target, &request).await {
            Ok(incoming) => incoming,
            Err(error) => {
                if error.refused() {
                    backend.refused();
                }
                self.pool.failed(backend, self.clock.now(), error.refused());
                return Attempt::Unreached;
            }
        };
        let events = has_type(&incoming.headers, b"text/event-stream");
        let lines = has_type(&incoming.headers, b"application/x-ndjson");
        if incoming.status != StatusCode::OK || !(events || lines) {
            return match gather(incoming.body, self.max_event).await {
                Ok((whole, None)) => {
                    Attempt::Refused(Answer { status: incoming.status, headers: incoming.headers, whole: Some(whole) })
                }
                _ => Attempt::Unreached,
            };
        }
        let frames = if lines { Frames::Lines(BytesMut::new()) } else { Frames::Events(Scanner::new(self.max_event)) };
        self.acknowledge(Stream { body: incoming.body, frames, ready: Vec::new(), most: self.max_event }, backend).await
    }

    /// Waits for the first frame, which must be the acknowledgement.
    async fn acknowledge(&self, mut stream: Stream, backend: &Arc<Backend>) -> Attempt {
        let Some(first) = stream.next().await else { return Attempt::Unreached };
        let Some(honoured) = acknowledged_filter(&first).map(Arc::from) else { return Attempt::Unreached };
        let (id, falls, backend) = (backend.id, backend.falls(), Arc::clone(backend));
        let frames = unfold(Some(stream), move |stream| {
            let backend = Arc::clone(&backend);
            async move {
                let mut stream = stream?;
                tokio::select! {
                    frame = stream.next() => match frame {
                        Some(frame) => Some((Said::Frame(frame), Some(stream))),
                        None => Some((Said::Ended(id), None)),
                    },
                    () = fallen(&backend, falls) => Some((Said::Ended(id), None)),
                }
            }
        });
        Attempt::Open { honoured, stream: frames.boxed() }
    }
}

/// Backends that refused, fell silent or closed their stream are asked again after a while that doubles each time.
#[derive(Default)]
struct Resting(HashMap<BackendId, (Instant, Duration)>);

impl Resting {
    fn failed(&mut self, backend: BackendId, now: Instant) {
        let (next, rest) = self.0.entry(backend).or_insert((now, RECONCILE / 2));
        // A stream that held for long has earned a quick return.
        *rest =
            if now.saturating_duration_since(*next) > LONGEST_REST { RECONCILE } else { (*rest * 2).min(LONGEST_REST) };
        *next = now + *rest;
    }

    fn is_resting(&self, backend: BackendId, now: Instant) -> bool {
        self.0.get(&backend).is_some_and(|(next, _)| now < *next)
    }
}

/// Resolves when the backend was found dead: a frozen one never ends its streams by itself.
async fn fallen(backend: &Backend, falls: u32) {
    let mut look = interval(RECONCILE);
    while backend.falls() == falls {
        look.tick().await;
    }
}

/// Only notifications are for the clients: the response that ends one upstream stream does not end theirs.
fn pass(shared: &Shared, frame: &[u8]) {
    let notification = crate::mcp::frame::peek_frame(frame).is_some_and(|frame| frame.id().is_none());
    if notification && acknowledged_filter(frame).is_none() {
        shared.hand_out(&Arc::from(frame));
    }
}

/// One upstream body, cut into frames.
struct Stream {
    body: WireBody,
    frames: Frames,
    /// Frames that have come and wait, last first.
    ready: Vec<Bytes>,
    most: usize,
}

enum Frames {
    Events(Scanner),
    Lines(BytesMut),
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop() {
                return Some(frame);
            }
            let data = self.body.frame().await?.ok()?.into_data().ok();
            let mut ready = data.map_or_else(Vec::new, |data| self.cut(data));
            ready.reverse();
            self.ready = ready;
            if matches!(&self.frames, Frames::Lines(line) if line.len() > self.most) {
                return None;
            }
        }
    }

    fn cut(&mut self, data: Bytes) -> Vec<Bytes> {
        match &mut self.frames {
            Frames::Events(scanner) => {
                let whole = scanner.feed(data).filter_map(|piece| match piece {
                    Piece::Events(bytes) => Some(bytes),
                    // Larger than anything that a notification may be: passed over.
                    Piece::Part(_) => None,
                });
                let frames = |block: Bytes| -> Vec<Bytes> {
                    let data = sse::events(&block).filter_map(|event| Some(Bytes::copy_from_slice(&event.data?)));
                    data.filter(|data| !data.is_empty()).collect()
                };
                whole.flat_map(frames).collect()
            }
            Frames::Lines(line) => {
                line.extend_from_slice(&data);
                let mut ready = Vec::new();
                while let Some(end) = memchr::memchr(b'\n', line) {
                    let whole = line.split_to(end + 1).freeze();
                    ready.push(Bytes::copy_from_slice(whole.trim_ascii()));
                }
                ready.retain(|frame| !frame.is_empty());
                ready
            }
        }
    }
}
