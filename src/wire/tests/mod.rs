//! Tests of the wire against raw servers, which say exactly the bytes that a test wants, and against hyper's.

mod decoders;
mod differential;
mod hangups;
mod http2;
mod pooling;
mod responses;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{HttpVersion, Incoming, Outgoing, Settings, Target, Wire, WireError};
use crate::clock::Clock;
use crate::names::BackendId;

/// How long a test waits for what must happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

pub(super) fn wire() -> Wire {
    Wire::new(Settings::default(), Clock::system())
}

pub(super) fn target(addr: SocketAddr) -> Target {
    let authority = Authority::from_static("backend.test:3000");
    Target { backend: BackendId(1), addr, authority, version: HttpVersion::Http1, secure: None }
}

pub(super) fn post(body: &'static str) -> Outgoing {
    Outgoing {
        method: Method::POST,
        path_and_query: PathAndQuery::from_static("/mcp"),
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
        replayable: false,
    }
}

pub(super) fn get() -> Outgoing {
    Outgoing { method: Method::GET, replayable: true, ..post("") }
}

pub(super) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = in_time(listener.accept()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(super) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("must happen before the deadline")
}

/// Reads one request: its head, and a body as long as its `content-length` says.
pub(super) async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if request.len() >= end + 4 + length {
                return text;
            }
        }
        let mut more = [0; 4096];
        let read = in_time(stream.read(&mut more)).await.unwrap();
        assert!(read > 0, "client closed in the middle of a request: {text:?}");
        request.extend_from_slice(&more[..read]);
    }
}

/// Serves one connection: one request, then these bytes, then closes.
pub(super) async fn answer_once(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, addr) = listen().await;
    let bytes = bytes.into();
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        read_request(&mut stream).await;
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        // Reading on spares the client a reset.
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    });
    addr
}

pub(super) async fn whole(incoming: Incoming) -> Result<String, WireError> {
    let body = in_time(incoming.body.collect()).await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}
