//! A stand-in for Moorline in the demo's tests: sends a session's requests to the backend that opened it and new
//! ones round robin, and tells the demo about it. Nothing else that Moorline does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{DemoEvent, Gateway, GatewayError};
use crate::tasks::{Task, spawn};

/// How the stand-in treats sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// As Moorline does.
    Kept,
    /// Everything to the first backend.
    OnePlace,
}

struct Proxy {
    backends: Vec<String>,
    next: AtomicUsize,
    affinity: Affinity,
    sessions: Mutex<BTreeMap<String, String>>,
    events: mpsc::Sender<DemoEvent>,
    relays: Mutex<Vec<Task>>,
}

/// Starts the stand-in on a free loopback port.
pub async fn start(backends: Vec<String>, affinity: Affinity) -> Result<Gateway, GatewayError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let endpoint: Uri = format!("http://{}/mcp", listener.local_addr()?).parse()?;
    let (tell, events) = mpsc::channel(64);
    let proxy = Arc::new(Proxy {
        backends,
        next: AtomicUsize::new(0),
        affinity,
        sessions: Mutex::default(),
        events: tell,
        relays: Mutex::default(),
    });
    let task = spawn("stand-in", accept(listener, proxy));
    Ok(Gateway { endpoint, events, stop: Box::pin(task.join(Duration::ZERO)) })
}

async fn accept(listener: TcpListener, proxy: Arc<Proxy>) {
    let mut clients = Vec::new();
    while let Ok((socket, _)) = listener.accept().await {
        let proxy = Arc::clone(&proxy);
        clients.push(spawn("stand-in client", async move {
            let service = service_fn(move |request| relay(Arc::clone(&proxy), request));
            let _ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        }));
    }
}

async fn relay(
    proxy: Arc<Proxy>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let session = head.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let known = session.as_ref().and_then(|id| proxy.sessions.lock().unwrap().get(id).cloned());
    let backend = known.unwrap_or_else(|| match proxy.affinity {
        Affinity::Kept => proxy.backends[proxy.next.fetch_add(1, Ordering::Relaxed) % proxy.backends.len()].clone(),
        Affinity::OnePlace => proxy.backends[0].clone(),
    });
    let uri: Uri = backend.parse().unwrap();
    let authority = uri.authority().unwrap().to_string();
    head.headers.insert("host", authority.parse().unwrap());
    let ended = head.method == Method::DELETE;
    let socket = TcpStream::connect(&authority).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    proxy.relays.lock().unwrap().push(spawn("stand-in relay", async move { drop(connection.await) }));
    let response = sender.send_request(Request::from_parts(head, Full::new(body.clone()))).await.unwrap();
    let event = match (session, response.headers().get("mcp-session-id")) {
        (None, Some(id)) => {
            let id = id.to_str().unwrap().to_owned();
            proxy.sessions.lock().unwrap().insert(id.clone(), backend.clone());
            let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let client = asked["params"]["clientInfo"]["name"].as_str().unwrap_or("a client").to_owned();
            Some(DemoEvent::SessionOpened { session: id[..8].to_owned(), backend, client })
        }
        (Some(id), _) if ended => Some(DemoEvent::SessionEnded { session: id[..8].to_owned() }),
        _ => None,
    };
    if let Some(event) = event {
        let _full = proxy.events.try_send(event);
    }
    Ok(response.map(BodyExt::boxed))
}
