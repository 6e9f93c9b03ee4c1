//! The same bytes to our client and to hyper's. The law: what ours accepts, hyper's accepts and reads alike; what
//! ours refuses and hyper's accepts falls into one of the classes in `stricter`, with the evidence in the bytes.

use http_body_util::{Empty, Full};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;

use super::super::{Fault, strip_hop_by_hop};
use super::*;

/// What a client made of a response: status, fields, body.
type Outcome<E> = Result<(u16, Vec<(String, Vec<u8>)>, Vec<u8>), E>;

/// Serves `raw` in pieces of the sizes `cuts` (repeated), then closes.
async fn serve(listener: TcpListener, raw: Vec<u8>, cuts: Vec<usize>) {
    let mut stream = accept(&listener).await;
    read_request(&mut stream).await;
    let mut rest = &raw[..];
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().unwrap()).clamp(1, rest.len()));
        rest = after;
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    drop(stream.shutdown().await);
    while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
}

async fn served(raw: &[u8], cuts: &[usize]) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let (listener, addr) = listen().await;
    (addr, tokio::spawn(serve(listener, raw.to_vec(), cuts.to_vec())))
}

fn fields(mut headers: HeaderMap) -> Vec<(String, Vec<u8>)> {
    strip_hop_by_hop(&mut headers);
    // Ours joins a repeated identical content-length.
    if let Some(length) = headers.get("content-length").cloned() {
        headers.insert("content-length", length);
    }
    let mut fields: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    fields.sort();
    fields
}

async fn ours(raw: &[u8], cuts: &[usize], method: &Method) -> Outcome<WireError> {
    let (addr, server) = served(raw, cuts).await;
    let request = Outgoing { method: method.clone(), ..get() };
    let outcome = async {
        let incoming = in_time(wire().send(&target(addr), &request)).await?;
        let (status, headers) = (incoming.status.as_u16(), fields(incoming.headers));
        let body = in_time(incoming.body.collect()).await?.to_bytes().to_vec();
        Ok((status, headers, body))
    };
    let outcome = outcome.await;
    server.abort();
    outcome
}

async fn hypers(raw: &[u8], cuts: &[usize], method: &Method) -> Outcome<hyper::Error> {
    let (addr, server) = served(raw, cuts).await;
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = http::Request::builder().method(method).uri("/mcp").header("host", "x");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let outcome = async {
        let response = in_time(sender.send_request(request)).await?;
        let (parts, body) = response.into_parts();
        let body = in_time(body.collect()).await?.to_bytes().to_vec();
        Ok((parts.status.as_u16(), fields(parts.headers), body))
    };
    let outcome = outcome.await;
    driver.abort();
    server.abort();
    outcome
}

/// Whether ours may refuse what hyper accepts: the fault, and the evidence for it.
fn stricter(error: &WireError, raw: &[u8]) -> bool {
    let WireError::Malformed { what, .. } = error else { return false };
    let text = String::from_utf8_lossy(raw).to_ascii_lowercase();
    let bare_lf = text.starts_with('\n') || text.as_bytes().windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
    match what {
        Fault::BareLf | Fault::Trailer | Fault::ChunkSize if bare_lf => true,
        Fault::Conflict => text.contains("content-length:") && text.contains("transfer-encoding:"),
        Fault::Encoding => text.contains("transfer-encoding:"),
        // A list of identical lengths; a length beyond i64; lengths that hyper does not look at (204, 304, HEAD).
        Fault::Length => text.contains("content-length:"),
        Fault::NotHttp1 => !text.starts_with("http/1."),
        Fault::Upgrade => text.contains(" 101"),
        // Hyper drops what follows a chunk's size unseen, and reads trailers less closely.
        Fault::ChunkSize => text.contains(';') || text.contains(char::is_whitespace),
        Fault::Trailer => text.contains("\r\n0"),
        Fault::HeadTooLarge | Fault::TooManyInterim | Fault::ChunkLineTooLong | Fault::TrailerTooLarge => {
            raw.len() > 1024
        }
        Fault::Head | Fault::TooManyHeaders | Fault::ChunkEnd | Fault::BareLf => false,
    }
}

async fn compare(raw: &[u8], cuts: &[usize], method: &Method) -> Result<(), String> {
    let (ours, hypers) = (ours(raw, cuts, method).await, hypers(raw, cuts, method).await);
    let agree = match (&ours, &hypers) {
        (Ok(ours), Ok(hypers)) => ours == hypers,
        (Err(_), Err(_)) => true,
        (Err(error), Ok(_)) => stricter(error, raw),
        (Ok(_), Err(_)) => false,
    };
    let raw = String::from_utf8_lossy(raw);
    if agree { Ok(()) } else { Err(format!("{method} {raw:?}\n ours:  {ours:?}\n hyper: {hypers:?}")) }
}

const CORPUS: [&str; 41] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 3, 4\r\n\r\nabcd",
    "HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length:   3  \r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\na: b\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3 ;x\r\nabc\r\n00\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nabc",
    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\n\r\nabc",
    "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\na : b\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\na: b\0\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\na: b\rc: d\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\na: b\ncontent-length: 0\n\n",
    "HTTP/1.1 200 OK\r\na: \u{e9}\r\ncontent-length: 0\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-le",
    "",
];

#[tokio::test]
async fn the_corpus_is_read_as_hyper_reads_it_or_refused_for_a_reason() {
    let mut faults = Vec::new();
    for raw in CORPUS {
        for cuts in [&[usize::MAX][..], &[1], &[3, 7]] {
            for method in [Method::GET, Method::HEAD] {
                faults.extend(compare(raw.as_bytes(), cuts, &method).await.err());
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z-]{1,10}:[ -~]{0,16}",
        3 => (0..20_usize).prop_map(|n| format!("Content-Length: {n}")),
        3 => Just("Transfer-Encoding: chunked".to_owned()),
        1 => Just("Connection: close".to_owned()),
        1 => Just("Connection: keep-alive, x-a".to_owned()),
        1 => "Content-Length:[ \t]{0,2}[0-9+, -]{0,6}",
        1 => "Transfer-Encoding:[ \t]?(chunked|gzip|identity|x){1,2}[, ]{0,2}(chunked)?",
    ]
}

fn payload() -> impl Strategy<Value = String> {
    let chunk = ("[0-9a-z]{1,12}", "(;[a-z=\"]{0,6})?");
    let chunks = prop::collection::vec(chunk, 0..4).prop_map(|chunks| {
        let all: String = chunks.iter().map(|(data, ext)| format!("{:x}{ext}\r\n{data}\r\n", data.len())).collect();
        all + "0\r\n\r\n"
    });
    prop_oneof![3 => chunks, 2 => "[ -~]{0,24}"]
}

fn response() -> impl Strategy<Value = String> {
    let interim = prop_oneof![9 => Just(""), 1 => Just("HTTP/1.1 100 Continue\r\n\r\n")];
    let version = prop_oneof![9 => Just("1.1"), 1 => Just("1.0")];
    let status = prop_oneof![6 => Just(200_u16), 1 => Just(204), 1 => Just(304), 1 => Just(404), 1 => 100..600_u16];
    let end = prop_oneof![19 => Just("\r\n"), 1 => Just("\n")];
    (interim, version, status, prop::collection::vec(line(), 0..4), end, payload()).prop_map(
        |(interim, version, status, lines, end, payload)| {
            let lines: String = lines.iter().map(|line| format!("{line}{end}")).collect();
            format!("{interim}HTTP/{version} {status} X\r\n{lines}\r\n{payload}")
        },
    )
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_response_is_read_as_hyper_reads_it_or_refused_for_a_reason(
        raw in response(),
        cuts in prop::collection::vec(1_usize..60, 1..4),
        head in prop::bool::weighted(0.1),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        let result = runtime().block_on(compare(raw.as_bytes(), &cuts, &method));
        prop_assert_eq!(result, Ok(()));
    }

    #[test]
    fn a_damaged_response_is_read_as_hyper_reads_it_or_refused_for_a_reason(
        raw in response(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(0), any::<u8>()],
        cut_off in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        cuts in prop::collection::vec(1_usize..60, 1..4),
    ) {
        let mut raw = raw.into_bytes();
        let at = at.index(raw.len());
        raw[at] = byte;
        if let Some(cut_off) = cut_off {
            raw.truncate(cut_off.index(raw.len()));
        }
        let result = runtime().block_on(compare(&raw, &cuts, &Method::GET));
        prop_assert_eq!(result, Ok(()));
    }
}

#[tokio::test]
async fn a_hyper_server_is_understood() {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        loop {
            let stream = accept(&listener).await;
            let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let body = request.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>(http::Response::new(Full::new(body)))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let wire = wire();
    for body in ["", "{}", "a longer body"] {
        let incoming = in_time(wire.send(&target(addr), &post(body))).await.unwrap();
        assert_eq!(whole(incoming).await.unwrap(), body);
        assert_eq!(wire.idle_connections(), 1);
    }
}
