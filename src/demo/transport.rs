//! The HTTP under the official SDK's client: hyper, one connection per exchange, so that no second HTTP stack
//! comes into the build. The SDK's own choice would bring one. It refuses https, redirects and proxies.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};
use thiserror::Error;
use tokio::net::TcpStream;

/// The most bytes that are read of one answer, stream or not; the samples stay far below.
const MAX_BODY: usize = 1024 * 1024;

/// How long the other side may take to accept a connection and to begin an answer. Longer than any tool takes,
/// since a server may keep its head back until it has a first event.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

const SESSION_ID: &str = "mcp-session-id";
const LAST_EVENT_ID: &str = "last-event-id";
const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";

/// Why an exchange with the endpoint failed.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The endpoint is not a URI that this client speaks to.
    #[error("not an http:// endpoint with a host")]
    Endpoint,
    /// No connection could be made.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    /// The request could not be built.
    #[error("not a valid request")]
    Request(#[from] http::Error),
    /// The answer did not begin in time.
    #[error("no answer within {} s", HEAD_TIMEOUT.as_secs())]
    Late,
    /// The answer could not be read, or was larger than this client takes.
    #[error("the answer could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The SDK's client on hyper. Has no state: every exchange has a connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct HyperClient;

type Failure = StreamableHttpError<TransportError>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// What every exchange carries beside its body.
struct Envelope {
    uri: Arc<str>,
    session: Option<Arc<str>>,
    bearer: Option<String>,
    headers: HashMap<HeaderName, HeaderValue>,
}

impl Envelope {
    fn request(self, method: Method, accept: &'static str, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder().method(method).uri(self.uri.as_ref()).header(ACCEPT, accept);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        if let Some(session) = self.session {
            request = request.header(SESSION_ID, session.as_ref());
        }
        if let Some(bearer) = self.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body))
    }
}

impl StreamableHttpClient for HyperClient {
    type Error = TransportError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let body = serde_json::to_vec(&message).map_err(StreamableHttpError::Deserialize)?;
        let in_session = session_id.is_some();
        let envelope = Envelope { uri, session: session_id, bearer: auth_header, headers: custom_headers };
        let request = envelope.request(Method::POST, "application/json, text/event-stream", body.into());
        let response = exchange(request.map_err(TransportError::from)?).await?;
        let session = header(&response, SESSION_ID).map(str::to_owned);
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(StreamableHttpPostResponse::Accepted),
            StatusCode::NOT_FOUND if in_session => Err(StreamableHttpError::SessionExpired),
            _ if is(&response, EVENT_STREAM) => Ok(StreamableHttpPostResponse::Sse(events(response), session)),
            status => {
                let body = whole(response).await?;
                // A refusal that carries a JSON-RPC error is an answer to the request, whatever its status.
                match serde_json::from_slice::<ServerJsonRpcMessage>(&body) {
                    Ok(message) => Ok(StreamableHttpPostResponse::Json(message, session)),
                    Err(_) => Err(unexpected(status, &body)),
                }
            }
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let envelope = Envelope { uri, session: Some(session_id), bearer: auth_header, headers: custom_headers };
        let request = envelope.request(Method::DELETE, JSON, Bytes::new()).map_err(TransportError::from)?;
        let response = exchange(request).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(());
        }
        Err(unexpected(status, &whole(response).await?))
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        mut custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, Failure> {
        if let Some(value) = last_event_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            custom_headers.insert(HeaderName::from_static(LAST_EVENT_ID), value);
        }
        let envelope = Envelope { uri, session: session_id, bearer: auth_header, headers: custom_headers };
        let request = envelope.request(Method::GET, EVENT_STREAM, Bytes::new()).map_err(TransportError::from)?;
        let response = exchange(request).await?;
        match response.status() {
            StatusCode::METHOD_NOT_ALLOWED => Err(StreamableHttpError::ServerDoesNotSupportSse),
            StatusCode::NOT_FOUND => Err(StreamableHttpError::SessionExpired),
            status if status.is_success() && is(&response, EVENT_STREAM) => Ok(events(response)),
            status => Err(unexpected(status, &whole(response).await?)),
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::Client(error)
    }
}

/// Sends a request on a connection of its own and waits for the head of the answer.
async fn exchange(mut request: Request<Full<Bytes>>) -> Result<Response<Driven>, TransportError> {
    let authority = request.uri().authority().cloned().ok_or(TransportError::Endpoint)?;
    if request.uri().scheme_str() != Some("http") {
        return Err(TransportError::Endpoint);
    }
    let host = HeaderValue::from_str(authority.as_str()).map_err(http::Error::from)?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().cloned().ok_or(TransportError::Endpoint)?;
    *request.uri_mut() = path.into();
    let port = authority.port_u16().unwrap_or(80);
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let answered = async move {
        let socket = TcpStream::connect((name.as_str(), port)).await.map_err(TransportError::Connect)?;
        let (mut sender, mut connection) = http1::handshake(TokioIo::new(socket)).await?;
        let mut sent = Box::pin(async move { sender.send_request(request).await });
        let response = tokio::select! {
            biased;
            response = &mut sent => response?,
            ended = &mut connection => {
                ended?;
                sent.await?
            }
        };
        Ok(response.map(|body| Driven { connection: Some(Box::pin(connection)), body }))
    };
    tokio::time::timeout(HEAD_TIMEOUT, answered).await.map_err(|_| TransportError::Late)?
}

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// A body that drives its own connection while it is read, so that no task has to, and closes it when dropped.
struct Driven {
    connection: Option<Pin<Box<Connection>>>,
    body: Incoming,
}

impl Body for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(cx).is_ready()
        {
            // Whatever ended the connection, the body tells it too.
            self.connection = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn events(response: Response<Driven>) -> Events {
    SseStream::new(Limited::new(response.into_body(), MAX_BODY).map_err(TransportError::Body)).boxed()
}

async fn whole(response: Response<Driven>) -> Result<Bytes, TransportError> {
    let read = tokio::time::timeout(HEAD_TIMEOUT, Limited::new(response.into_body(), MAX_BODY).collect()).await;
    let body = read.map_err(|_| TransportError::Late)?.map_err(TransportError::Body)?;
    Ok(body.to_bytes())
}

fn header<'a>(response: &'a Response<Driven>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn is(response: &Response<Driven>, media_type: &str) -> bool {
    let found = header(response, CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next());
    found.is_some_and(|found| found.trim().eq_ignore_ascii_case(media_type))
}

fn unexpected(status: StatusCode, body: &Bytes) -> Failure {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.trim().chars().take(200).collect();
    StreamableHttpError::UnexpectedServerResponse(format!("{status}: {shown}").into())
}
