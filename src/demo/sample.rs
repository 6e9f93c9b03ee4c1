//! One sample MCP server: the official Rust SDK's Streamable HTTP service on a listener that somebody else opened.
//! It owns the connections and their ends; what the tools do is in `tools`. It knows nothing of Moorline.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};

use super::tools::{Berth, SampleSession};

/// The path that every sample server answers on.
pub const PATH: &str = "/mcp";

/// Connections that one sample server holds at a time; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 1024;

/// A session that nobody uses ends after this long.
const SESSION_IDLE: Duration = Duration::from_hours(1);

/// How long open exchanges may go on after the shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// How long a connection may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait before accepting again when the machine is out of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Mcp = StreamableHttpService<SampleSession, LocalSessionManager>;
type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves one sample MCP server called `name` on `listener` at [`PATH`], until `shutdown` ends.
///
/// It speaks the legacy era (2024-11-05 to 2025-11-25, with sessions kept in memory) and, on the same path, the
/// modern era (2026-07-28, without sessions). Only loopback `Host`s are answered, each with any port.
/// Dropping the future closes every connection at once.
///
/// # Errors
/// When the listener has no address, which no bound listener lacks.
pub async fn serve_sample(name: &str, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let address = listener.local_addr()?;
    let berth = Arc::new(Berth::new(name));
    let config = StreamableHttpServerConfig::default().with_allowed_hosts([
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        address.to_string(),
    ]);
    let ended = config.cancellation_token.clone();
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(SESSION_IDLE);
    let mcp = Mcp::new(move || Ok(SampleSession::new(Arc::clone(&berth))), Arc::new(sessions), config);

    let mut connections = accept_until(&listener, &mcp, shutdown).await;
    drop(listener);
    ended.cancel();
    let drained = tokio::time::timeout(GRACE, async { while connections.next().await.is_some() {} });
    // What is still open after the grace is closed by the drop of `connections`.
    let _late = drained.await;
    Ok(())
}

/// Takes and serves connections until `shutdown` ends, and hands over those still open.
async fn accept_until(
    listener: &TcpListener,
    mcp: &Mcp,
    shutdown: impl Future<Output = ()>,
) -> FuturesUnordered<Connection> {
    let mut shutdown = pin!(shutdown);
    let mut connections: FuturesUnordered<Connection> = FuturesUnordered::new();
    loop {
        let room = connections.len() < MAX_CONNECTIONS;
        tokio::select! {
            () = &mut shutdown => return connections,
            Some(()) = connections.next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((socket, _)) => connections.push(Box::pin(converse(socket, mcp.clone()))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// Serves one connection to its end. A broken one concerns nobody but its client.
async fn converse(socket: TcpStream, mcp: Mcp) {
    // Without this an event that follows another waits for the client's delayed acknowledgement.
    let _refused = socket.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| answer(mcp.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service);
    let _broken = connection.await;
}

async fn answer(mcp: Mcp, request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    if request.uri().path() == PATH {
        return Ok(mcp.handle(request).await);
    }
    let body = Full::new(Bytes::from_static(b"this server speaks MCP at /mcp\n")).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}
