//! When a connection is used again, and when not.

use super::super::ConnectFailure;
use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";

async fn serve(stream: &mut TcpStream, answer: &[u8]) {
    read_request(stream).await;
    stream.write_all(answer).await.unwrap();
}

/// One exchange over a new connection, which is then idle in the pool; returns the server's side.
async fn warm(wire: &Wire, listener: &TcpListener, answer: &[u8]) -> TcpStream {
    let target = target(listener.local_addr().unwrap());
    let request = post("");
    let server = async {
        let mut stream = accept(listener).await;
        serve(&mut stream, answer).await;
        stream
    };
    let (incoming, stream) = tokio::join!(wire.send(&target, &request), server);
    whole(incoming.unwrap()).await.unwrap();
    stream
}

/// Waits until the runtime has noticed what happened on the idle connections.
async fn until_idle(wire: &Wire, count: usize) {
    in_time(async {
        while wire.idle_connections() != count {
            wire.sweep();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (listener, addr) = listen().await;
    let wire = wire();
    let mut stream = warm(&wire, &listener, OK).await;
    for _ in 0..3 {
        assert_eq!(wire.idle_connections(), 1);
        let (target, request) = (target(addr), post(""));
        let (incoming, ()) = tokio::join!(wire.send(&target, &request), serve(&mut stream, OK));
        assert_eq!(wire.in_flight(BackendId(1)), 0);
        assert_eq!(whole(incoming.unwrap()).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_streamed_body_gives_its_connection_back_at_the_end() {
    let (listener, addr) = listen().await;
    let wire = wire();
    let (target, request) = (target(addr), post(""));
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
    let server = async {
        let mut stream = accept(&listener).await;
        serve(&mut stream, head).await;
        stream
    };
    let (incoming, mut stream) = tokio::join!(wire.send(&target, &request), server);
    assert_eq!((wire.idle_connections(), wire.in_flight(BackendId(1))), (0, 1));
    stream.write_all(b"1\r\nb\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(whole(incoming.unwrap()).await.unwrap(), "ab");
    assert_eq!((wire.idle_connections(), wire.in_flight(BackendId(1))), (1, 0));
}

#[tokio::test]
async fn what_must_not_be_used_again_is_closed() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx"[..],
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nkeep-alive: timeout=1\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n0\r\n\r\n",
    ] {
        let (listener, _) = listen().await;
        let wire = wire();
        warm(&wire, &listener, answer).await;
        assert_eq!(wire.idle_connections(), 0, "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_not_used() {
    let (listener, addr) = listen().await;
    let wire = wire();
    drop(warm(&wire, &listener, OK).await);
    // One turn of the runtime, as between two requests; no sweep.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (target, request) = (target(addr), post(""));
    let server = async { serve(&mut accept(&listener).await, OK).await };
    let (incoming, ()) = tokio::join!(wire.send(&target, &request), server);
    assert_eq!(incoming.unwrap().status, 200);
}

#[tokio::test]
async fn stray_bytes_on_an_idle_connection_are_not_an_answer() {
    let (listener, addr) = listen().await;
    let wire = wire();
    let mut stream = warm(&wire, &listener, OK).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (target, request) = (target(addr), post(""));
    let server = async { serve(&mut accept(&listener).await, OK).await };
    let (incoming, ()) = tokio::join!(wire.send(&target, &request), server);
    assert_eq!(whole(incoming.unwrap()).await.unwrap(), "x");
}

#[tokio::test]
async fn a_close_that_crosses_with_the_request_is_retried_only_if_that_is_safe() {
    for replayable in [true, false] {
        let (listener, addr) = listen().await;
        let wire = wire();
        let mut stream = warm(&wire, &listener, OK).await;
        let server = tokio::spawn(async move {
            read_request(&mut stream).await;
            drop(stream);
            serve(&mut accept(&listener).await, OK).await;
        });
        let request = Outgoing { replayable, ..post("{}") };
        match in_time(wire.send(&target(addr), &request)).await {
            Ok(incoming) => assert!(replayable && incoming.status == 200),
            Err(error) => {
                assert!(!replayable && error.can_have_been_executed(), "{error:?}");
                assert!(matches!(error, WireError::NoAnswer { reused: true, .. }), "{error:?}");
            }
        }
        server.abort();
    }
}

#[tokio::test]
async fn a_fresh_connection_that_ends_without_an_answer_is_not_retried() {
    let (listener, addr) = listen().await;
    let (target, request) = (target(addr), get());
    let server = async { drop(accept(&listener).await) };
    let wire = wire();
    let (result, ()) = tokio::join!(wire.send(&target, &request), server);
    assert!(result.is_err());
}

#[tokio::test]
async fn idle_times_are_kept() {
    let stated = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=20\r\ncontent-length: 1\r\n\r\nx";
    let endless = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=9999\r\ncontent-length: 1\r\n\r\nx";
    for (answer, seconds) in [(OK, 4), (&stated[..], 19), (&endless[..], 55)] {
        let (listener, _) = listen().await;
        let clock = Clock::manual();
        let wire = Wire::new(Settings::default(), clock.clone());
        let _server = warm(&wire, &listener, answer).await;
        clock.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        wire.sweep();
        assert_eq!(wire.idle_connections(), 1, "{seconds}");
        clock.advance(Duration::from_millis(1));
        wire.sweep();
        assert_eq!(wire.idle_connections(), 0, "{seconds}");
    }
}

#[tokio::test]
async fn the_sweep_closes_what_the_backend_closed() {
    let (listener, _) = listen().await;
    let wire = wire();
    drop(warm(&wire, &listener, OK).await);
    until_idle(&wire, 0).await;
}

#[tokio::test]
async fn a_forgotten_backend_keeps_no_connection() {
    let (listener, addr) = listen().await;
    let wire = wire();
    let mut idle = warm(&wire, &listener, OK).await;
    wire.forget(BackendId(1));
    assert_eq!(wire.idle_connections(), 0);
    assert_eq!(in_time(idle.read(&mut [0; 1])).await.unwrap(), 0, "closed");

    let (target, request) = (target(addr), post(""));
    let server = async {
        let mut stream = accept(&listener).await;
        serve(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").await;
        stream
    };
    let (incoming, mut stream) = tokio::join!(wire.send(&target, &request), server);
    wire.forget(BackendId(1));
    stream.write_all(b"b").await.unwrap();
    assert_eq!(whole(incoming.unwrap()).await.unwrap(), "ab", "what is under way ends well");
    assert_eq!(in_time(stream.read(&mut [0; 1])).await.unwrap(), 0, "and is closed then");
}

#[tokio::test]
async fn a_backend_that_moved_is_not_reached_at_its_old_address() {
    let (old, _) = listen().await;
    let (new, _) = listen().await;
    let wire = wire();
    let _old = warm(&wire, &old, OK).await;
    let _new = warm(&wire, &new, OK).await;
    assert_eq!(wire.idle_connections(), 1);
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let (listener, addr) = listen().await;
    let settings =
        Settings { max_in_flight_per_backend: 1, busy_wait: Duration::from_millis(20), ..Settings::default() };
    let wire = Wire::new(settings, Clock::system());
    let (target, request) = (target(addr), post(""));
    let server = async {
        let mut stream = accept(&listener).await;
        serve(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").await;
        stream
    };
    let (open, mut stream) = tokio::join!(wire.send(&target, &request), server);
    let error = wire.send(&target, &request).await.unwrap_err();
    assert!(matches!(error, WireError::Busy { limit: 1 }) && !error.can_have_been_executed());
    stream.write_all(b"b").await.unwrap();
    whole(open.unwrap()).await.unwrap();
    let (again, ()) = tokio::join!(wire.send(&target, &request), serve(&mut stream, OK));
    assert!(again.is_ok());
}

#[tokio::test]
async fn idle_connections_are_bounded() {
    let settings = Settings { max_idle_per_backend: 2, ..Settings::default() };
    let wire = Wire::new(settings, Clock::system());
    let (listener, addr) = listen().await;
    let (target, request) = (target(addr), post(""));
    let mut streams = Vec::new();
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let server = async {
            let mut stream = accept(&listener).await;
            serve(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").await;
            stream
        };
        let (incoming, stream) = tokio::join!(wire.send(&target, &request), server);
        streams.push(stream);
        bodies.push(incoming.unwrap());
    }
    for (stream, body) in streams.iter_mut().zip(bodies) {
        stream.write_all(b"b").await.unwrap();
        whole(body).await.unwrap();
    }
    assert_eq!(wire.idle_connections(), 2);
}

#[tokio::test]
async fn a_connection_that_is_not_accepted_times_out() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    // Fill the kernel's queue of connections that nobody accepts.
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(addr)).await {
        waiting.push(stream.unwrap());
    }
    let settings = Settings { connect_timeout: Duration::from_millis(50), ..Settings::default() };
    let error = Wire::new(settings, Clock::system()).send(&target(addr), &post("")).await.unwrap_err();
    assert!(matches!(error, WireError::Connect { why: ConnectFailure::Timeout, .. }), "{error:?}");
    assert!(!error.can_have_been_executed() && !error.refused());
}
