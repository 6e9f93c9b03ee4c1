//! What goes out, byte for byte, and what is made of what comes in.

use super::super::{Fault, Phase};
use super::*;

async fn ask(addr: SocketAddr, request: &Outgoing) -> Result<(u16, String), WireError> {
    let incoming = in_time(wire().send(&target(addr), request)).await?;
    let status = incoming.status.as_u16();
    Ok((status, whole(incoming).await?))
}

#[tokio::test]
async fn a_request_goes_out_as_it_should() {
    let (listener, addr) = listen().await;
    let mut request = post("{}");
    for (name, value) in [
        ("x-a", "1"),
        ("host", "evil"),
        ("content-length", "7"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("expect", "100-continue"),
        ("x-b", "2"),
    ] {
        request.headers.append(name, value.parse().unwrap());
    }
    let wire = wire();
    let asked = tokio::spawn(async move { wire.send(&target(addr), &request).await });
    let seen = read_request(&mut accept(&listener).await).await;
    assert_eq!(
        seen,
        "POST /mcp HTTP/1.1\r\nhost: backend.test:3000\r\nx-a: 1\r\nx-b: 2\r\ncontent-length: 2\r\n\r\n{}"
    );
    assert!(matches!(asked.await.unwrap(), Err(WireError::NoAnswer { reused: false, .. })));
}

#[tokio::test]
async fn a_get_says_no_length_and_an_empty_post_says_zero() {
    for (request, said) in [(get(), false), (post(""), true)] {
        let (listener, addr) = listen().await;
        let wire = wire();
        tokio::spawn(async move { wire.send(&target(addr), &request).await });
        let seen = read_request(&mut accept(&listener).await).await;
        assert_eq!(seen.contains("content-length: 0\r\n"), said, "{seen}");
    }
}

#[tokio::test]
async fn a_whole_answer_in_one_read_is_one_ready_frame() {
    let addr = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=9\r\nx-a: 1\r\n\r\n{}").await;
    let wire = wire();
    let incoming = in_time(wire.send(&target(addr), &post("{}"))).await.unwrap();
    assert_eq!(wire.idle_connections(), 1, "the connection is free before the body is read");
    assert_eq!(incoming.headers.len(), 2, "keep-alive is gone: {:?}", incoming.headers);
    assert_eq!(http_body::Body::size_hint(&incoming.body).exact(), Some(2));
    assert_eq!(whole(incoming).await.unwrap(), "{}");
}

#[tokio::test]
async fn empty_answers_end_at_once() {
    for answer in [
        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n",
    ] {
        let wire = wire();
        let incoming = in_time(wire.send(&target(answer_once(answer).await), &post(""))).await.unwrap();
        assert!(http_body::Body::is_end_stream(&incoming.body), "{answer}");
        assert_eq!(wire.idle_connections(), 1, "{answer}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let addr = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
    assert_eq!(ask(addr, &Outgoing { method: Method::HEAD, ..get() }).await.unwrap(), (200, String::new()));
}

#[tokio::test]
async fn interim_responses_are_passed_over_within_a_bound() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
    let addr = answer_once(format!("{interim}{last}")).await;
    assert_eq!(ask(addr, &post("")).await.unwrap(), (200, "x".into()));
    let addr = answer_once(format!("{}{last}", interim.repeat(17))).await;
    let refused = ask(addr, &post("")).await;
    assert!(matches!(refused, Err(WireError::Malformed { what: Fault::TooManyInterim, .. })), "{refused:?}");
    let addr = answer_once("HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
    let refused = ask(addr, &post("")).await;
    assert!(matches!(refused, Err(WireError::Malformed { what: Fault::Upgrade, .. })), "{refused:?}");
    let addr = answer_once("HTTP/1.1 100 Continue\r\n\r\n").await;
    let refused = ask(addr, &post("")).await;
    assert!(matches!(refused, Err(WireError::Truncated { phase: Phase::Head })), "{refused:?}");
}

#[tokio::test]
async fn an_answer_may_arrive_byte_by_byte() {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        read_request(&mut stream).await;
        let answer =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for byte in answer {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(ask(addr, &post("")).await.unwrap(), (200, "abc".into()));
}

#[tokio::test]
async fn a_body_without_framing_ends_with_the_connection() {
    let addr = answer_once("HTTP/1.0 200 OK\r\n\r\nabc").await;
    assert_eq!(ask(addr, &post("")).await.unwrap(), (200, "abc".into()));
}

#[tokio::test]
async fn a_body_cut_short_is_truncated() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        let result = ask(answer_once(answer).await, &post("")).await;
        assert!(matches!(result, Err(WireError::Truncated { phase: Phase::Body })), "{answer}: {result:?}");
    }
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_found_out_at_once() {
    for banner in [&b"SSH-2.0-x\r\n"[..], b"\0\0\x12\x04\0\0\0\0\0", b"HTTP/2.0 200\r\n", b"\r\nHTTP/1.1 200 OK\r\n"] {
        let (listener, addr) = listen().await;
        tokio::spawn(async move {
            let mut stream = accept(&listener).await;
            stream.write_all(banner).await.unwrap();
            // Not closed: the client must not wait for more.
            std::future::pending::<()>().await;
        });
        let result = ask(addr, &post("")).await;
        assert!(matches!(result, Err(WireError::Malformed { what: Fault::NotHttp1, .. })), "{result:?}");
    }
}

#[tokio::test]
async fn a_large_body_passes_unchanged() {
    let data: String = (0..300_000).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect();
    let plain = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{data}", data.len());
    assert_eq!(ask(answer_once(plain).await, &post("")).await.unwrap().1, data);
    let chunks: String = data.as_bytes().chunks(777).fold(String::new(), |mut out, chunk| {
        out += &format!("{:x}\r\n{}\r\n", chunk.len(), str::from_utf8(chunk).unwrap());
        out
    });
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(ask(answer_once(chunked).await, &post("")).await.unwrap().1, data);
}

/// Larger than any socket's buffers.
fn huge() -> Outgoing {
    Outgoing { body: vec![b'x'; 32 << 20].into(), ..post("") }
}

#[tokio::test]
async fn a_large_request_is_sent_whole() {
    let (listener, addr) = listen().await;
    let served = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let mut read = Vec::new();
        let head = loop {
            assert!(in_time(stream.read_buf(&mut read)).await.unwrap() > 0);
            let head = read.iter().take(200).position(|&byte| byte == b'x').unwrap_or(read.len());
            if read.len() - head >= 32 << 20 {
                break head;
            }
        };
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!").await.unwrap();
        assert_eq!(read.len() - head, 32 << 20);
        assert!(read[head..].iter().all(|&byte| byte == b'x'));
    });
    assert_eq!(ask(addr, &huge()).await.unwrap(), (200, "!".into()));
    served.await.unwrap();
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_is_taken() {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        stream.read_exact(&mut [0; 10]).await.unwrap();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 1\r\n\r\n!").await.unwrap();
        // It reads no further and does not close either.
        std::future::pending::<()>().await;
    });
    let wire = wire();
    let incoming = in_time(wire.send(&target(addr), &huge())).await.unwrap();
    assert_eq!(incoming.status, 413);
    assert_eq!(whole(incoming).await.unwrap(), "!");
    assert_eq!(wire.idle_connections(), 0, "a request was left half sent on it");
}

#[tokio::test]
async fn a_head_that_does_not_come_times_out() {
    let (listener, addr) = listen().await;
    let settings = Settings { head_timeout: Some(Duration::from_millis(30)), ..Settings::default() };
    let wire = Wire::new(settings, Clock::system());
    let (target, request) = (target(addr), post(""));
    let (result, stream) = tokio::join!(wire.send(&target, &request), accept(&listener));
    let error = result.unwrap_err();
    assert!(matches!(error, WireError::HeadTimeout { .. }) && error.can_have_been_executed(), "{error:?}");
    drop(stream);
}

#[tokio::test]
async fn a_refused_connection_was_not_executed() {
    let (listener, addr) = listen().await;
    drop(listener);
    let error = wire().send(&target(addr), &post("")).await.unwrap_err();
    assert!(error.refused() && !error.can_have_been_executed(), "{error:?}");
    assert_eq!(error.phase(), Phase::Connect);
}
