//! Messages of Moorline's own to a backend: one request, and the one response to it, whether it comes as JSON or in a stream.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::body::gather;
use super::outgoing::{MOORLINE_SESSION, X_FORWARDED_HOST};
use super::{Relay, is_stream};
use crate::config::HostPolicy;
use crate::fleet::{Backend, Pool};
use crate::mcp::frame::{Frame, peek_frame};
use crate::mcp::scanner::{Piece, Scanner};
use crate::mcp::sse;
use crate::mcp::version::{LAST_EVENT_ID, MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use crate::wire::{Incoming, Outgoing, WireBody, WireError};

/// A response up to this size is read.
const LARGEST: usize = 1024 * 1024;

/// What a backend answered to a message of our own.
#[derive(Debug)]
pub struct Reply {
    /// HTTP's status.
    pub status: StatusCode,
    /// The end-to-end header fields.
    pub headers: HeaderMap,
    /// The body, or out of a stream the response.
    pub body: Bytes,
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It could not be sent, or the connection broke.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The answer is too long, or its stream ended without a response.
    #[error("the answer holds no response")]
    Unusable,
}

impl Relay {
    /// Sends a message of our own to a backend and waits for the response, for at most `limit`.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(
        &self,
        pool: &Pool,
        backend: &Arc<Backend>,
        message: &Outgoing,
        limit: Duration,
    ) -> Result<Reply, AskError> {
        let settings = Arc::clone(&pool.settings());
        let host = match settings.host {
            HostPolicy::Client => message.headers.get(X_FORWARDED_HOST).and_then(|host| host.to_str().ok()),
            HostPolicy::Backend => None,
        };
        let Ok(target) = backend.target(settings.http_version, host) else { return Err(AskError::Unusable) };
        let wire = self.wire(pool, &settings);
        let message = Outgoing { path_and_query: backend.path.clone(), ..message.clone() };
        let asking = async {
            let incoming = wire.send(&target, &message).await?;
            backend.connected();
            read(incoming).await
        };
        let answered = timeout(limit, asking).await.unwrap_or(Err(AskError::Late(limit)));
        if let Err(AskError::Wire(error)) = &answered {
            self.suspect(pool, backend, error);
        }
        answered
    }
}

async fn read(incoming: Incoming) -> Result<Reply, AskError> {
    let Incoming { status, headers, body, .. } = incoming;
    if is_stream(&headers) && status.is_success() {
        let body = first_response(body).await?;
        return Ok(Reply { status, headers, body });
    }
    let (body, rest) = gather(body, LARGEST).await?;
    if rest.is_some() { Err(AskError::Unusable) } else { Ok(Reply { status, headers, body }) }
}

async fn first_response(mut body: WireBody) -> Result<Bytes, AskError> {
    let mut scanner = Scanner::new(LARGEST);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        for piece in scanner.feed(data) {
            let Piece::Events(block) = piece else { return Err(AskError::Unusable) };
            let found = sse::events(&block).filter_map(|event| event.data.map(Cow::into_owned));
            let response = |data: &Vec<u8>| matches!(peek_frame(data), Some(Frame::Response { .. }));
            if let Some(response) = { found }.find(response) {
                return Ok(response.into());
            }
        }
    }
    Err(AskError::Unusable)
}

/// A message for a session's backend: `theirs` is the backend's own session id, `ours` the stable one.
#[must_use]
pub fn message(body: Bytes, credentials: &HeaderMap, theirs: Option<&HeaderValue>, ours: &HeaderValue) -> Outgoing {
    let mut headers = credentials.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(MOORLINE_SESSION, ours.clone());
    if let Some(theirs) = theirs {
        headers.insert(MCP_SESSION_ID, theirs.clone());
    }
    let path_and_query = http::uri::PathAndQuery::from_static("/");
    Outgoing { method: Method::POST, path_and_query, headers, body, replayable: false }
}

/// What of a request's header fields says who sends it, for messages on its behalf.
#[must_use]
pub fn credentials_of(headers: &HeaderMap) -> HeaderMap {
    let mut credentials = headers.clone();
    let own: [HeaderName; 5] = [CONTENT_TYPE, ACCEPT, LAST_EVENT_ID, MCP_SESSION_ID, MCP_PROTOCOL_VERSION];
    for name in own {
        credentials.remove(name);
    }
    credentials
}
