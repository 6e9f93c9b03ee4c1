//! HTTP/2 against hyper's server.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Notify, mpsc};

use super::super::{Phase, WireBody};
use super::*;

fn h2_target(addr: SocketAddr) -> Target {
    Target { version: HttpVersion::Http2, ..target(addr) }
}

/// A body that is fed by a channel, and that tells when it is dropped.
struct Fed {
    feed: mpsc::Receiver<Bytes>,
    dropped: Arc<Notify>,
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.feed.poll_recv(cx).map(|data| data.map(|data| Ok(http_body::Frame::data(data))))
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.dropped.notify_one();
    }
}

/// Echoes bodies; a body `stream` opens a stream that says `hello` and then endless data as far as it is taken.
struct Server {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    dropped: Arc<Notify>,
    /// Tells every open connection to end gracefully (GOAWAY).
    goaway: Arc<Notify>,
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    dropped: Arc<Notify>,
) -> Result<Response<Either<Full<Bytes>, Fed>>, hyper::Error> {
    assert_eq!(request.uri().authority().unwrap(), "backend.test:3000");
    let body = request.into_body().collect().await?.to_bytes();
    if body != "stream" {
        tokio::time::sleep(Duration::from_millis(5)).await;
        return Ok(Response::new(Either::Left(Full::new(body))));
    }
    let (sender, feed) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut next = Bytes::from_static(b"hello");
        while sender.send(next).await.is_ok() {
            next = Bytes::from_static(&[b'x'; 16 * 1024]);
        }
    });
    Ok(Response::new(Either::Right(Fed { feed, dropped })))
}

async fn server(max_streams: u32) -> Server {
    let (listener, addr) = listen().await;
    let server = Server { addr, connections: Arc::default(), dropped: Arc::default(), goaway: Arc::default() };
    let (connections, dropped, goaway) = (server.connections.clone(), server.dropped.clone(), server.goaway.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (dropped, goaway) = (dropped.clone(), goaway.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, dropped.clone()));
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(max_streams);
                let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = goaway.notified() => connection.as_mut().graceful_shutdown(),
                }
                drop(connection.await);
            });
        }
    });
    server
}

async fn echo(wire: &Wire, server: &Server, body: &'static str) -> Result<String, WireError> {
    whole(in_time(wire.send(&h2_target(server.addr), &post(body))).await?).await
}

async fn open_stream(wire: &Wire, server: &Server) -> WireBody {
    in_time(wire.send(&h2_target(server.addr), &post("stream"))).await.unwrap().body
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let server = server(200).await;
    let wire = wire();
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let (wire, target) = (wire.clone(), h2_target(server.addr));
            tokio::spawn(async move { whole(wire.send(&target, &post("{}")).await?).await })
        })
        .collect();
    for asked in asked {
        assert_eq!(in_time(asked).await.unwrap().unwrap(), "{}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    assert_eq!(wire.in_flight(BackendId(1)), 0);
}

#[tokio::test]
async fn another_connection_is_opened_when_the_peers_limit_is_reached() {
    let server = server(2).await;
    let wire = wire();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(open_stream(&wire, &server).await);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
    assert_eq!(wire.http2_connections(), 3);
    drop(streams);
    wire.sweep();
    assert_eq!(wire.http2_connections(), 1, "idle connections but one are closed");
    assert_eq!(echo(&wire, &server, "{}").await.unwrap(), "{}");
}

#[tokio::test]
async fn a_connection_that_was_sent_away_is_replaced() {
    let server = server(100).await;
    let wire = wire();
    assert_eq!(echo(&wire, &server, "a").await.unwrap(), "a");
    for round in 2..5 {
        server.goaway.notify_waiters();
        // Whether the news has arrived or not, no request is lost.
        assert_eq!(echo(&wire, &server, "b").await.unwrap(), "b", "{round}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(echo(&wire, &server, "c").await.unwrap(), "c", "{round}");
        assert_eq!(server.connections.load(Ordering::SeqCst), round);
    }
}

#[tokio::test]
async fn dropping_a_stream_resets_it_at_once() {
    let server = server(100).await;
    let wire = wire();
    let mut body = open_stream(&wire, &server).await;
    let first = in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"hello"));
    drop(body);
    tokio::time::timeout(Duration::from_millis(200), server.dropped.notified()).await.unwrap();
    assert_eq!(echo(&wire, &server, "{}").await.unwrap(), "{}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "the connection lives on");
}

#[tokio::test]
async fn streams_that_nobody_reads_do_not_stall_the_others() {
    let server = server(100).await;
    let wire = wire();
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(open_stream(&wire, &server).await);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(echo(&wire, &server, "{}").await.unwrap(), "{}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_peer_that_does_not_speak_http2_was_asked_nothing() {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        drop(stream);
    });
    let error = in_time(wire().send(&h2_target(addr), &post("{}"))).await.unwrap_err();
    assert!(!error.can_have_been_executed(), "{error:?}");
    assert_eq!(error.phase(), Phase::Connect);
}

#[tokio::test]
async fn a_refused_http2_connection_says_so() {
    let (listener, addr) = listen().await;
    drop(listener);
    let error = in_time(wire().send(&h2_target(addr), &post("{}"))).await.unwrap_err();
    assert!(error.refused(), "{error:?}");
}

#[tokio::test]
async fn a_forgotten_backends_streams_go_on() {
    let server = server(100).await;
    let wire = wire();
    let mut body = open_stream(&wire, &server).await;
    wire.forget(BackendId(1));
    for _ in 0..3 {
        in_time(body.frame()).await.unwrap().unwrap();
    }
}
