//! Probes: asks every backend at regular times whether it is well, and keeps the fleet informed. Finds the dead that no
//! request has met, above all those that are frozen and hold their streams open.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{PoolSettings, Probe};
use crate::fleet::{Backend, Fleet, Pool};
use crate::mcp::version::{MCP_METHOD, MCP_PROTOCOL_VERSION, V2026_07_28};
use crate::wire::{Outgoing, Wire, WireError};

/// Asks a server of either era: the modern one answers, a legacy one refuses, and both are alive.
const DISCOVER: &str = "{\"jsonrpc\":\"2.0\",\"id\":\"moorline-probe\",\"method\":\"server/discover\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientInfo\":{\"name\":\"moorline\",\"version\":\"0\"},\"io.modelcontextprotocol/clientCapabilities\":{}}}}";

/// A backend that something has failed at is probed so many times as often.
const CLOSER: u32 = 4;

/// Probes every backend of `pool` for ever, `health.every` apart; those that something has failed at sooner, so that the dead are
/// known as such soon. Such a closer look counts only where it fails too: that a backend accepts connections says nothing of requests.
pub async fn watch(fleet: Arc<Fleet>, pool: Arc<Pool>, clock: Clock) {
    loop {
        let settings = Arc::clone(&pool.settings());
        if !fleet.holds(&pool) {
            return;
        }
        let backends = Arc::clone(&pool.backends());
        join_all(backends.iter().map(|backend| probe_and_tell(&pool, backend, &settings, &clock))).await;
        drop(backends);
        // A time that may end in the midst of a look: the next round comes right after it.
        drop(timeout(settings.health.every, look_closer_or_hope(&pool, &settings, &clock)).await);
    }
}

/// Probes those that something has failed at, until there is reason to probe all.
async fn look_closer_or_hope(pool: &Pool, settings: &PoolSettings, clock: &Clock) {
    tokio::select! {
        () = look_closer(pool, settings, clock) => {}
        () = pool.hope.notified() => {}
    }
}

/// Probes those that something has failed at, again and again, for ever.
async fn look_closer(pool: &Pool, settings: &PoolSettings, clock: &Clock) {
    loop {
        let suspects: Vec<_> = pool.backends().iter().filter(|backend| backend.is_suspect()).cloned().collect();
        if suspects.is_empty() {
            pool.suspicion.notified().await;
            continue;
        }
        let looks = suspects.iter().map(|backend| async move {
            if let Err(why) = try_once(backend, settings, clock).await {
                failed(pool, backend, &why, clock);
            }
        });
        join_all(looks).await;
        tokio::time::sleep(settings.health.every / CLOSER).await;
    }
}

async fn probe_and_tell(pool: &Pool, backend: &Backend, settings: &PoolSettings, clock: &Clock) {
    match try_once(backend, settings, clock).await {
        Err(why) => failed(pool, backend, &why, clock),
        Ok(()) if backend.passed(clock.now(), &settings.health) => {
            tracing::info!(backend = %backend.name, pool = settings.name, "backend is well again");
        }
        Ok(()) => {}
    }
}

/// One probe, in its time; if it failed, why.
async fn try_once(backend: &Backend, settings: &PoolSettings, clock: &Clock) -> Result<(), String> {
    let limit = settings.health.timeout;
    let probed = timeout(limit, probe(backend, settings, clock)).await;
    probed.unwrap_or_else(|_| Err(format!("probe not answered within {} ms", limit.as_millis())))
}

fn failed(pool: &Pool, backend: &Backend, why: &str, clock: &Clock) {
    let now = clock.now();
    backend.troubles.note(why, now);
    backend.stumbled();
    let was_out = !backend.takes_requests();
    pool.failed(backend, now, true);
    if was_out {
        backend.found_dead();
    }
}

/// Asks the backend whether it is well; if not, why not, for operators.
async fn probe(backend: &Backend, settings: &PoolSettings, clock: &Clock) -> Result<(), String> {
    let connected = match &settings.health.kind {
        Probe::Tcp if backend.is_secure() => shake_hands(backend, settings, clock).await,
        Probe::Tcp => return note(backend, TcpStream::connect(backend.addr()).await.map(drop)),
        Probe::Http { path } => ask(backend, settings, clock, get(path)).await,
        Probe::Mcp => ask(backend, settings, clock, discover(backend.path.clone())).await,
    };
    match connected {
        Ok(status) => {
            if status > 0 {
                backend.connected();
            }
            judge(&settings.health.kind, status)
        }
        Err(error) => {
            if error.refused() {
                backend.refused();
            }
            if error.is_tls() {
                tracing::warn!(backend = %backend.name, %error, "a backend cannot be asked; nothing was sent");
            }
            Err(format!("probe failed: {error}"))
        }
    }
}

fn judge(kind: &Probe, status: u16) -> Result<(), String> {
    let well = match kind {
        Probe::Http { .. } => (200..300).contains(&status),
        // An MCP server that does not know the method, or wants to be authenticated, is alive; a broken one says 5xx.
        Probe::Mcp | Probe::Tcp => status < 500,
    };
    if well { Ok(()) } else { Err(format!("probe answered with {status}")) }
}

/// Connects and shakes hands, which a backend with a bad certificate fails.
async fn shake_hands(backend: &Backend, settings: &PoolSettings, clock: &Clock) -> Result<u16, WireError> {
    let limits = crate::wire::Settings { connect_timeout: settings.health.timeout, ..crate::wire::Settings::default() };
    let Ok(target) = backend.target(settings.http_version, None) else { return Ok(0) };
    Wire::new(limits, clock.clone()).reach(&target).await.map(|()| 200)
}

fn note(backend: &Backend, connected: std::io::Result<()>) -> Result<(), String> {
    match connected {
        Ok(()) => {
            backend.connected();
            Ok(())
        }
        Err(error) => {
            if error.kind() == std::io::ErrorKind::ConnectionRefused {
                backend.refused();
            }
            Err(format!("probe failed: {error}"))
        }
    }
}

/// Each probe makes its own connection, so that it also proves that one can be made.
async fn ask(
    backend: &Backend,
    settings: &PoolSettings,
    clock: &Clock,
    request: Option<Outgoing>,
) -> Result<u16, WireError> {
    let Some(request) = request else { return Ok(0) };
    let limits = crate::wire::Settings { head_timeout: None, ..crate::wire::Settings::default() };
    let wire = Wire::new(limits, clock.clone());
    let Ok(target) = backend.target(settings.http_version, None) else { return Ok(0) };
    Ok(wire.send(&target, &request).await?.status.as_u16())
}

fn get(path: &str) -> Option<Outgoing> {
    let path_and_query = path.parse::<PathAndQuery>().ok()?;
    Some(Outgoing {
        method: Method::GET,
        path_and_query,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        replayable: true,
    })
}

fn discover(path_and_query: PathAndQuery) -> Option<Outgoing> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(V2026_07_28));
    headers.insert(MCP_METHOD, HeaderValue::from_static("server/discover"));
    let body = Bytes::from_static(DISCOVER.as_bytes());
    Some(Outgoing { method: Method::POST, path_and_query, headers, body, replayable: true })
}
