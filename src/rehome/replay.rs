//! Rebuilding one session on one backend: `initialize` as the client sent it, `initialized`, the log level, each subscription.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join_all};
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::{Move, Rehome, Why};
use crate::config::Rehome as Policy;
use crate::exchange::Answer;
use crate::fleet::Backend;
use crate::mcp::capabilities::worse;
use crate::mcp::dialect::is_unknown_session;
use crate::mcp::frame::{Frame, peek_frame};
use crate::mcp::raw::quote;
use crate::mcp::version::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use crate::relay::{AskError, Reply, message};
use crate::store::record::MAX_BACKEND_SESSION;
use crate::store::{Berth, Journal, Record};

/// Subscriptions that are renewed at the same time.
const AT_ONCE: usize = 16;

/// What came of rebuilding a session on a backend.
pub(super) enum Replayed {
    /// It is there; the backend's own id for it.
    Here(Box<str>),
    /// The backend refuses these credentials: its own word, for the client.
    Word(Answer),
    /// The backend cannot do what the client was promised.
    Worse,
    /// The backend could not be reached, or does not keep sessions.
    Failed,
}

/// A session in the making, and what to say on its behalf.
struct Site<'a> {
    task: &'a Move<'a>,
    backend: &'a Arc<Backend>,
    theirs: HeaderValue,
    version: Option<HeaderValue>,
}

impl Rehome {
    /// Rebuilds a session on `backend`.
    pub(super) async fn rebuild(&self, task: &Move<'_>, backend: &Arc<Backend>, record: &Record) -> Replayed {
        let resumes = task.pool.settings().rehome == Policy::Resume && task.why != Why::Forgotten;
        if resumes && let Some(theirs) = self.resume(task, backend, record).await {
            return Replayed::Here(theirs);
        }
        let reply = match self.initialize(task, backend, &record.journal).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(backend = %backend.name, %error, "a session could not be rebuilt");
                return Replayed::Failed;
            }
        };
        if matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Replayed::Word(word(reply));
        }
        let issued = reply.headers.get(MCP_SESSION_ID).cloned().filter(|id| id.len() <= MAX_BACKEND_SESSION);
        let (Some(theirs), true) = (issued, reply.status.is_success()) else {
            tracing::warn!(backend = %backend.name, status = reply.status.as_u16(), "it opens no session for a journal");
            return Replayed::Failed;
        };
        let version =
            record.journal.protocol_version.as_deref().and_then(|version| HeaderValue::from_str(version).ok());
        let site = Site { task, backend, theirs, version };
        if !is_as_promised(&record.journal, &reply, backend) {
            self.demolish(&site);
            return Replayed::Worse;
        }
        if let Err(error) = self.furnish(&site, &record.journal).await {
            tracing::debug!(backend = %backend.name, %error, "a session could not be rebuilt");
            self.demolish(&site);
            return Replayed::Failed;
        }
        site.theirs.to_str().map_or(Replayed::Failed, |theirs| Replayed::Here(theirs.into()))
    }

    /// Servers that share their sessions among themselves know it already.
    async fn resume(&self, task: &Move<'_>, backend: &Arc<Backend>, record: &Record) -> Option<Box<str>> {
        let theirs = HeaderValue::from_str(&record.berth.backend_session).ok()?;
        let version =
            record.journal.protocol_version.as_deref().and_then(|version| HeaderValue::from_str(version).ok());
        let site = Site { task, backend, theirs, version };
        let ping = Bytes::from_static(br#"{"jsonrpc":"2.0","id":"moorline-resume","method":"ping"}"#);
        let reply = self.say(&site, ping).await.ok()?;
        let known = reply.status.is_success() && !is_unknown_session(reply.status.as_u16(), &reply.body);
        known.then(|| record.berth.backend_session.clone())
    }

    async fn initialize(&self, task: &Move<'_>, backend: &Arc<Backend>, journal: &Journal) -> Result<Reply, AskError> {
        let params = &journal.initialize;
        let body = format!(r#"{{"jsonrpc":"2.0","id":"moorline-replay","method":"initialize","params":{params}}}"#);
        let message = message(body.into(), task.credentials, None, &task.moored.stable_id);
        self.relay.ask(task.pool, backend, &message, self.left(task)).await
    }

    /// All that the client did to its session after `initialize`.
    async fn furnish(&self, site: &Site<'_>, journal: &Journal) -> Result<(), AskError> {
        if journal.initialized {
            let note = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
            self.say(site, note).await?;
        }
        if let Some(level) = &journal.log_level {
            self.say(site, request("logging/setLevel", "level", level)).await?;
        }
        let subscriptions: Vec<&str> = journal.subscriptions.iter().map(|uri| &**uri).collect();
        for some in subscriptions.chunks(AT_ONCE) {
            let renewing: Vec<BoxFuture<'_, _>> = some.iter().map(|uri| self.renew(site, uri)).collect();
            try_join_all(renewing).await?;
        }
        Ok(())
    }

    fn renew<'a>(&'a self, site: &'a Site<'_>, uri: &'a str) -> BoxFuture<'a, Result<(), AskError>> {
        Box::pin(async move {
            let reply = self.say(site, request("resources/subscribe", "uri", uri)).await?;
            if peek_frame(&reply.body).is_none_or(|frame| frame.result().is_none()) {
                tracing::warn!(backend = %site.backend.name, ?uri, "a subscription could not be renewed");
            }
            Ok(())
        })
    }

    async fn say(&self, site: &Site<'_>, body: Bytes) -> Result<Reply, AskError> {
        let mut message = message(body, site.task.credentials, Some(&site.theirs), &site.task.moored.stable_id);
        if let Some(version) = &site.version {
            message.headers.insert(MCP_PROTOCOL_VERSION, version.clone());
        }
        self.relay.ask(site.task.pool, site.backend, &message, self.left(site.task)).await
    }

    /// A session that was begun in vain.
    fn demolish(&self, site: &Site<'_>) {
        let Ok(backend_session) = site.theirs.to_str() else { return };
        let berth =
            Berth { backend: site.backend.id, backend_session: backend_session.into(), ..(*site.task.from).clone() };
        self.cast_off((site.task.pool, Duration::ZERO), &berth, &site.task.moored.stable_id, site.task.credentials);
    }

    fn left(&self, task: &Move<'_>) -> Duration {
        task.until.saturating_duration_since(self.clock.now())
    }
}

fn is_as_promised(journal: &Journal, reply: &Reply, backend: &Backend) -> bool {
    let frame = peek_frame(&reply.body);
    let Some(offered) = frame.as_ref().and_then(Frame::result) else {
        tracing::warn!(backend = %backend.name, "it refuses to initialize a session as it was");
        return false;
    };
    let lacks = journal.result.as_deref().and_then(|promised| worse(promised, offered));
    if let Some(lacks) = &lacks {
        tracing::warn!(backend = %backend.name, %lacks, "it cannot take a session: another server promised more");
    }
    lacks.is_none()
}

fn request(method: &str, key: &str, value: &str) -> Bytes {
    let value = quote(value);
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":"moorline-replay","method":"{method}","params":{{"{key}":{value}}}}}"#);
    body.into()
}

/// A backend's refusal of credentials, as its client shall see it.
fn word(reply: Reply) -> Answer {
    let kept = [WWW_AUTHENTICATE, http::header::CONTENT_TYPE];
    let headers = kept.iter().filter_map(|name| Some((name.clone(), reply.headers.get(name)?.clone())));
    Answer { status: reply.status, headers: headers.collect::<HeaderMap>(), whole: Some(reply.body) }
}
