//! Streams: hang-ups, bursts and backpressure.

use std::pin::pin;
use std::time::Instant;

use super::super::WireBody;
use super::*;

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Opens a stream; returns its body and the server's side.
async fn open(wire: &Wire) -> (WireBody, TcpStream) {
    let (listener, addr) = listen().await;
    let (target, request) = (target(addr), get());
    let server = async {
        let mut stream = accept(&listener).await;
        read_request(&mut stream).await;
        stream.write_all(STREAM).await.unwrap();
        stream
    };
    let (incoming, stream) = tokio::join!(wire.send(&target, &request), server);
    (incoming.unwrap().body, stream)
}

#[expect(clippy::disallowed_methods, reason = "a test that measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// How long until the server sees the end.
async fn time_to_end(stream: &mut TcpStream) -> Duration {
    let start = now();
    let read = in_time(stream.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    now() - start
}

#[tokio::test]
async fn dropping_a_body_hangs_up_at_once() {
    let (body, mut stream) = open(&wire()).await;
    drop(body);
    assert!(time_to_end(&mut stream).await < Duration::from_millis(50));
}

#[tokio::test]
async fn dropping_a_request_hangs_up_at_once() {
    let (listener, addr) = listen().await;
    let wire = wire();
    let mut stream = {
        let (target, request) = (target(addr), post("{}"));
        let mut asked = pin!(wire.send(&target, &request));
        tokio::select! {
            biased;
            _ = &mut asked => panic!("nobody answered"),
            stream = async { let mut stream = accept(&listener).await; read_request(&mut stream).await; stream } => stream,
        }
    };
    assert!(time_to_end(&mut stream).await < Duration::from_millis(50));
    assert_eq!(wire.in_flight(BackendId(1)), 0);
}

#[tokio::test]
async fn a_burst_arrives_in_few_frames() {
    let (mut body, mut stream) = open(&wire()).await;
    let burst: String = (0..100).map(|n| format!("a\r\ndata: {n:02}\n\n\r\n")).collect();
    stream.write_all(burst.as_bytes()).await.unwrap();
    let mut frames = Vec::new();
    while frames.iter().map(Bytes::len).sum::<usize>() < 1000 {
        frames.push(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap());
    }
    assert!(frames.len() <= 2, "{} frames", frames.len());
    let text: String = (0..100).map(|n| format!("data: {n:02}\n\n")).collect();
    assert_eq!(frames.concat(), text.as_bytes());
}

#[tokio::test]
async fn an_event_is_passed_on_at_once() {
    let (mut body, mut stream) = open(&wire()).await;
    for n in 0..3 {
        stream.write_all(b"a\r\ndata: 00\n\n\r\n").await.unwrap();
        let frame = in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&frame[..], b"data: 00\n\n", "{n}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stalls_the_server() {
    let (mut body, mut stream) = open(&wire()).await;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(7 + 65536, b'x');
    chunk.extend_from_slice(b"\r\n");
    let mut written = 0;
    // The kernel's buffers fill, and then nothing moves.
    while let Ok(done) = tokio::time::timeout(Duration::from_millis(200), stream.write(&chunk)).await {
        written += done.unwrap();
        assert!(written < 64 << 20, "nothing holds the server back");
    }
    let mut most = 0;
    for _ in 0..8 {
        most = most.max(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap().len());
    }
    assert!(most <= 32 * 1024, "a frame is one read: {most}");
}

#[test]
fn an_idle_stream_is_small() {
    // Beside the kernel's socket and the runtime's registration.
    let size = size_of::<WireBody>();
    assert!(size <= 256, "{size}");
}
