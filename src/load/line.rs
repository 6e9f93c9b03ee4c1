//! One user's line to the endpoint: connections of its own, as real clients have, requests out and answers in, each within the run's
//! time limit. It follows a call's own event stream, by `Last-Event-ID` if that breaks, and answers what the server asks meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use super::answer::{self, Form, Heard};
use super::events::{Events, Next};
use super::message::{self, Fields, Session};
use super::trouble::{Mishap, Trouble};
use crate::clock::Clock;
use crate::mcp::version::{Era, MCP_SESSION_ID};
use crate::names::BackendId;
use crate::wire::{HttpVersion, Incoming, Outgoing, Secure, Settings, Target, Wire, WireBody, WireError};

/// Bytes of the largest answer that is read.
pub const LARGEST: usize = 16 * 1024 * 1024;

/// What follows the answer in its event stream is waited for so long.
const TAIL: Duration = Duration::from_secs(1);

/// The wait before a broken stream is asked for again, where the server does not say.
pub const RETRY: Duration = Duration::from_secs(1);

/// Where the load goes, and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its addresses; users are spread over them. Never empty.
    pub addrs: Vec<SocketAddr>,
    /// What it is called.
    pub authority: Authority,
    /// Path and query.
    pub path: PathAndQuery,
    /// How it is met over TLS.
    pub secure: Option<Secure>,
    /// What all requests carry.
    pub fields: Fields,
    /// Longest wait for a connection, and for a whole answer.
    pub timeout: Duration,
    /// How long a user keeps a connection that it does not use, where the server does not say.
    pub keep_alive: Duration,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answered {
    /// When it was whole.
    pub at: Instant,
    /// The raw result, or what was wrong.
    pub outcome: Result<String, Mishap>,
    /// The session that its head names.
    pub session: Option<HeaderValue>,
    /// What else came that should not have.
    pub strays: Vec<Mishap>,
    /// Whether it came by another stream than its own, which broke.
    pub resumed: bool,
}

/// A request that is awaited.
struct Awaited<'a> {
    /// Its raw id.
    id: String,
    era: Era,
    session: &'a Session,
    strays: Vec<Mishap>,
    resumed: bool,
}

/// One user's connections.
#[derive(Clone, Debug)]
pub struct Line {
    wire: Wire,
    target: Target,
    endpoint: Arc<Endpoint>,
    clock: Clock,
}

impl Line {
    /// A line without connections yet.
    #[must_use]
    pub fn new(endpoint: &Arc<Endpoint>, user: usize, clock: &Clock) -> Self {
        let settings = Settings {
            connect_timeout: endpoint.timeout,
            // The whole exchange has a limit.
            head_timeout: None,
            busy_wait: endpoint.timeout,
            max_idle_per_backend: 2,
            idle_timeout: Duration::from_secs(3600),
            idle_unstated: endpoint.keep_alive,
            max_in_flight_per_backend: 8,
        };
        let target = Target {
            backend: BackendId(0),
            addr: endpoint.addrs[user % endpoint.addrs.len()],
            authority: endpoint.authority.clone(),
            version: HttpVersion::Http1,
            secure: endpoint.secure.clone(),
        };
        let wire = Wire::new(settings, clock.clone());
        Self { wire, target, endpoint: Arc::clone(endpoint), clock: clock.clone() }
    }

    /// The header fields that the run's requests carry.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.endpoint.fields
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Posts the request of that id, and waits for its whole answer.
    ///
    /// # Errors
    /// What went wrong is within the answer: it has a moment, too.
    pub async fn ask(&self, headers: HeaderMap, body: Bytes, id: u64, (era, session): (Era, &Session)) -> Answered {
        let mut awaited = Awaited { id: id.to_string(), era, session, strays: Vec::new(), resumed: false };
        let mut named = None;
        let answering = self.answering(headers, body, &mut awaited, &mut named);
        let outcome = timeout(self.endpoint.timeout, answering).await;
        let (outcome, tail) = match outcome {
            Ok(Ok((heard, tail))) => (heard, tail),
            Ok(Err(mishap)) => (Err(mishap), None),
            Err(_) => (Err(self.late()), None),
        };
        let at = self.clock.now();
        if let Some(mut tail) = tail {
            // So that the connection can be used again, and a second answer is seen.
            drop(timeout(TAIL, self.rest(&mut tail, &mut awaited)).await);
        }
        Answered { at, outcome, session: named, strays: awaited.strays, resumed: awaited.resumed }
    }

    /// The outcome, and the event stream that it came by.
    async fn answering(
        &self,
        headers: HeaderMap,
        body: Bytes,
        awaited: &mut Awaited<'_>,
        named: &mut Option<HeaderValue>,
    ) -> Result<(Result<String, Mishap>, Option<Events>), Mishap> {
        let incoming = self.send(Method::POST, headers, body).await?;
        *named = incoming.headers.get(MCP_SESSION_ID).cloned();
        let (status, form) = (incoming.status, answer::form(&incoming.headers));
        if !status.is_success() {
            let body = whole(incoming.body).await.unwrap_or_default();
            return Err(answer::refusal(status.as_u16(), &body, awaited.session.id.as_ref()));
        }
        if form != Form::Events {
            let body = whole(incoming.body).await?;
            let outcome = self.sort(&body, awaited).await;
            let unreadable = || Err(Mishap::new(Trouble::Unreadable, &String::from_utf8_lossy(&body)));
            // Where there is but a stray answer, that is what is wrong.
            let nothing = || awaited.strays.pop().map_or_else(unreadable, Err);
            return Ok((outcome.unwrap_or_else(nothing), None));
        }
        self.follow(Events::new(incoming.body), awaited).await
    }

    /// Reads a call's event stream until the answer is there, and goes on with another one where it breaks before.
    async fn follow(
        &self,
        mut events: Events,
        awaited: &mut Awaited<'_>,
    ) -> Result<(Result<String, Mishap>, Option<Events>), Mishap> {
        loop {
            match events.next().await {
                Next::Message(data) => {
                    if let Some(outcome) = self.sort(&data, awaited).await {
                        return Ok((outcome, Some(events)));
                    }
                }
                Next::Nothing => {}
                Next::Ended | Next::Broken(_) if awaited.era == Era::Legacy && events.last_id().is_some() => {
                    awaited.resumed = true;
                    tokio::time::sleep(events.retry().unwrap_or(RETRY)).await;
                    events = self.resume(&events, awaited.session).await?;
                }
                Next::Ended => return Err(Mishap::new(Trouble::StreamBroken, "the stream ended without an answer")),
                Next::Broken(mishap) => return Err(Mishap { kind: Trouble::StreamBroken, ..mishap }),
            }
        }
    }

    async fn resume(&self, events: &Events, session: &Session) -> Result<Events, Mishap> {
        let headers = self.fields().stream(session, events.last_id());
        Ok(Events::resumed(self.open(Method::GET, headers, Bytes::new()).await?, events))
    }

    /// What follows the answer.
    async fn rest(&self, events: &mut Events, awaited: &mut Awaited<'_>) {
        loop {
            match events.next().await {
                Next::Message(data) => {
                    if self.sort(&data, awaited).await.is_some() {
                        let what = format!("a second answer to {}", awaited.id);
                        awaited.strays.push(Mishap::new(Trouble::WrongAnswer, &what));
                    }
                }
                Next::Nothing => {}
                Next::Ended | Next::Broken(_) => return,
            }
        }
    }

    /// The outcome, if it is among these messages. What the server asks is answered.
    async fn sort(&self, data: &[u8], awaited: &mut Awaited<'_>) -> Option<Result<String, Mishap>> {
        let mut outcome = None;
        for heard in answer::read(data, Some(&awaited.id)) {
            match heard {
                Heard::Result(_) | Heard::Failure(_) if outcome.is_some() => {
                    let what = format!("a second answer to {}", awaited.id);
                    awaited.strays.push(Mishap::new(Trouble::WrongAnswer, &what));
                }
                Heard::Result(result) => outcome = Some(Ok(result)),
                Heard::Failure(mishap) => outcome = Some(Err(mishap)),
                Heard::Stray(mishap) => awaited.strays.push(mishap),
                Heard::Asked(id, method) => self.reply(&id, &method, awaited.session).await,
                Heard::Told => {}
            }
        }
        outcome
    }

    /// Answers a request of the server's.
    pub async fn reply(&self, id: &str, method: &str, session: &Session) {
        // What becomes of it shows in what the server does next.
        drop(self.post(self.fields().legacy(session), message::reply(id, method)).await);
    }

    /// Posts what has no answer but a status.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<(), Mishap> {
        self.brief(Method::POST, headers, body).await
    }

    /// Ends a session. That the server does not let clients do so (405) is no error.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn delete(&self, session: &Session) -> Result<(), Mishap> {
        match self.brief(Method::DELETE, self.fields().bare(session), Bytes::new()).await {
            Err(Mishap { kind: Trouble::Status(405), .. }) => Ok(()),
            outcome => outcome,
        }
    }

    async fn brief(&self, method: Method, headers: HeaderMap, body: Bytes) -> Result<(), Mishap> {
        let session = headers.get(MCP_SESSION_ID).cloned();
        let exchange = async {
            let incoming = self.send(method, headers, body).await?;
            let status = incoming.status;
            let body = whole(incoming.body).await?;
            if status.is_success() { Ok(()) } else { Err(answer::refusal(status.as_u16(), &body, session.as_ref())) }
        };
        timeout(self.endpoint.timeout, exchange).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// Asks for an event stream, and waits for its head.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn open(&self, method: Method, headers: HeaderMap, body: Bytes) -> Result<WireBody, Mishap> {
        let session = headers.get(MCP_SESSION_ID).cloned();
        let opening = async {
            let incoming = self.send(method, headers, body).await?;
            let status = incoming.status;
            if status.is_success() && answer::form(&incoming.headers) == Form::Events {
                return Ok(incoming.body);
            }
            let body = whole(incoming.body).await.unwrap_or_default();
            if status.is_success() {
                return Err(Mishap::new(Trouble::Unreadable, &String::from_utf8_lossy(&body)));
            }
            Err(answer::refusal(status.as_u16(), &body, session.as_ref()))
        };
        timeout(self.endpoint.timeout, opening).await.unwrap_or_else(|_| Err(self.late()))
    }

    async fn send(&self, method: Method, headers: HeaderMap, body: Bytes) -> Result<Incoming, Mishap> {
        let path_and_query = self.endpoint.path.clone();
        let outgoing = Outgoing { method, path_and_query, headers, body, replayable: false };
        Ok(self.wire.send(&self.target, &outgoing).await?)
    }

    fn late(&self) -> Mishap {
        Mishap::new(Trouble::Timeout, &format!("no whole answer within {:?}", self.endpoint.timeout))
    }
}

async fn whole(body: WireBody) -> Result<Bytes, Mishap> {
    match Limited::new(body, LARGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(match error.downcast::<WireError>() {
            Ok(error) => Mishap::from(*error),
            Err(error) => Mishap::new(Trouble::Unreadable, &error.to_string()),
        }),
    }
}
