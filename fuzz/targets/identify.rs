//! A request's bytes become facts or a refusal, which names the request's id wherever the body was read and the id can be.
#![no_main]

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use http::Response;
use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use moorline::auth::Gates;
use moorline::clock::Clock;
use moorline::config::Config;
use moorline::exchange::{Ask, Exchange, Hop};
use moorline::fleet::{Fleet, pool_id};
use moorline::identify::{Connection, Identify, Settings};
use moorline::reject::{Cause, Reject};
use tokio::io::AsyncWriteExt;

/// Heads that chance would not find; the first byte of an input chooses one.
const HEADS: [&str; 6] = [
    "",
    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: a\r\n",
    "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n",
    "DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n",
    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Type: application/json\r\nUser-Agent: python-httpx/1\r\n",
];

fn station() -> &'static Arc<Identify> {
    static STATION: OnceLock<Arc<Identify>> = OnceLock::new();
    STATION.get_or_init(|| {
        let text = "bounds.max_depth = 20\nbounds.max_batch = 5\nbounds.body_timeout = \"1s\"\n[[pool]]\nbackends = [\"http://127.0.0.1:9/mcp\"]\n";
        let config = Config::parse("fuzz", text).map_err(|_| ()).expect("the configuration is good");
        let settings = Settings {
            bounds: config.bounds,
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            public_url: None,
        };
        let gates = Gates::new(Clock::system());
        let doors: Vec<_> = config.pools.iter().map(|pool| (pool_id(&pool.path), &pool.auth)).collect();
        gates.reconfigure(&doors).map_err(|_| ()).expect("nobody is asked who it is");
        Arc::new(Identify::new(settings, (Arc::new(Fleet::new(&config.pools)), Arc::new(gates))))
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let head = HEADS[usize::from(*first) % HEADS.len()];
    // With a head of ours, the rest is a body of the length that the head says.
    let (request, body) = match head {
        "" => (rest.to_vec(), None),
        head if head.starts_with("POST") => (
            format!("{head}Content-Length: {}\r\n\r\n", rest.len())
                .into_bytes()
                .into_iter()
                .chain(rest.iter().copied())
                .collect(),
            Some(rest),
        ),
        head => ([head.as_bytes(), rest].concat(), None),
    };
    for outcome in read(request) {
        judge(&outcome, body);
    }
});

/// What the station makes of all requests in these bytes.
fn read(request: Vec<u8>) -> Vec<Result<Box<Exchange>, Reject>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcomes = RefCell::new(Vec::new());
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let connection =
            Connection { peer, hop: Arc::new(Hop::new(peer)), loopback: true, secure: false, certificate: None };
        let service = service_fn(|request| {
            let (connection, outcomes) = (connection.clone(), &outcomes);
            async move {
                let outcome = station().read(request, connection).await;
                outcomes.borrow_mut().push(outcome);
                Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
            }
        });
        let say = async {
            // It may have heard enough before the end.
            let _ = client.write_all(&request).await;
            let _ = client.shutdown().await;
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        };
        let _ = tokio::join!(http1::Builder::new().serve_connection(TokioIo::new(server), service), say);
    });
    outcomes.into_inner()
}

fn judge(outcome: &Result<Box<Exchange>, Reject>, body: Option<&[u8]>) {
    let id = body
        .and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok())
        .filter(|said| said["method"].is_string());
    let id = id.and_then(|said| said.get("id").filter(|id| id.is_string() || id.is_u64()).cloned());
    match outcome {
        Ok(exchange) => {
            assert_eq!(exchange.asker.batch, matches!(exchange.ask, Ask::Batch(_)));
            if let (Ask::Call(call), Some(id)) = (&exchange.ask, &id) {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&call.id).ok().as_ref(), Some(id));
            }
            if let Some(body) = body {
                assert_eq!(&exchange.body[..], body, "bytes stay as they came");
            }
        }
        Err(reject) => {
            for id in &reject.asker.ids {
                assert!(serde_json::from_str::<serde::de::IgnoredAny>(id).is_ok(), "an id that is no JSON: {id}");
            }
            let read = matches!(reject.cause, Cause::HeaderMismatch(_) | Cause::MediaType | Cause::NotAcceptable);
            if let (true, Some(id)) = (read, id) {
                let told: Vec<serde_json::Value> =
                    reject.asker.ids.iter().filter_map(|id| serde_json::from_str(id).ok()).collect();
                assert_eq!(told, [id], "{:?}", reject.cause);
            }
            let status = reject.cause.status().as_u16();
            assert!((400..500).contains(&status), "a client's fault: {:?}", reject.cause);
        }
    }
}
