//! The admin listener: what an operator asks an instance. Health for orchestrators, and the backends as this instance sees
//! them. It drains backends and makes new sealing keys on demand, and serves nothing to clients.

mod cache;
mod gate;
mod limits;
mod query;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

pub use gate::Gate;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::drain::{Drain, Phase};
use crate::fleet::Fleet;
use crate::limit::Limit;
use crate::listener::{Doors, Workers, health};
use crate::observe::metrics::{Format, Metrics};
use crate::session::Sessions;
use crate::tasks::Crew;

/// How long a request's header fields may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Admin connections at the same time.
const MOST_CONNECTIONS: usize = 256;

const KNOWN: &str = "known here: GET /health /livez /readyz /backends /limits /cache /metrics, POST /backends/ID/drain /backends/ID/undrain \
     /limits/NAME/lift?subject=WHOSE /cache/purge?tool=NAME /keys/rotate\n";

/// What the admin listener can look at.
pub struct Admin {
    /// The backends.
    pub fleet: Arc<Fleet>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The cache.
    pub cache: Arc<Cache>,
    /// The limits.
    pub limit: Arc<Limit>,
    /// The client connections.
    pub workers: Arc<Workers>,
    /// How they come in.
    pub doors: Arc<Doors>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// Who may ask.
    pub gate: Gate,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

#[derive(Serialize)]
struct Overview {
    store: &'static str,
    sessions: usize,
    connections: usize,
    turned_away: TurnedAway,
    pools: Vec<PoolView>,
}

/// Connections that did not come in, since the start.
#[derive(Serialize)]
struct TurnedAway {
    tls_handshake: u64,
    proxy_header: u64,
}

#[derive(Serialize)]
struct PoolView {
    name: String,
    path: String,
    backends: Vec<BackendView>,
}

#[derive(Serialize)]
struct BackendView {
    name: String,
    id: String,
    up: bool,
    draining: bool,
    sessions: u32,
    in_flight: u32,
    latency_ms: f64,
    weight: u32,
}

impl Admin {
    /// Answers until the instance is gone.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut crew = Crew::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.drain.reached(Phase::Over) => return,
            };
            match accepted {
                Ok((stream, _)) if crew.len() < MOST_CONNECTIONS => {
                    let admin = Arc::clone(&self);
                    crew.spawn(async move { admin.connection(stream).await });
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "an admin connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move {
                Ok::<_, Infallible>(match admin.gate.refusal(request.uri().path(), request.headers()) {
                    Some(refusal) => refusal,
                    None if request.uri().path() == "/metrics" => admin.measured(request.headers()),
                    None => admin.answer(request.method(), request.uri()).await,
                })
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::trace!(%error, "admin connection ended");
        }
    }

    async fn answer(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        match *method {
            Method::POST => return self.order(path, query).await,
            Method::GET | Method::HEAD => {}
            _ => return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are answered here\n"),
        }
        if let Some(healthy) = health::answer(path, &self.fleet, &self.drain, &self.sessions) {
            return healthy.map(Full::new);
        }
        match path {
            "/backends" => json(&self.overview()),
            "/limits" => self.limits(query).await,
            "/cache" => self.cached(),
            _ => plain(StatusCode::NOT_FOUND, KNOWN),
        }
    }

    /// `GET /metrics`, in the form that is wanted.
    fn measured(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Format::wanted(accept.unwrap_or_default());
        let mut response = Response::new(Full::from(format.write(&self.metrics.page())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        response
    }

    /// Does what an operator wants. A drain counts on this instance alone, and until the next start.
    async fn order(&self, path: &str, query: &str) -> Response<Full<Bytes>> {
        let mut words = path.trim_start_matches('/').split('/');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("keys"), Some("rotate"), None, None) => match self.sessions.rotate_key().await {
                Ok(()) => plain(StatusCode::OK, "a new sealing key is in use; ids under the old ones stay valid\n"),
                Err(error) => {
                    tracing::warn!(%error, "no new sealing key");
                    plain(StatusCode::SERVICE_UNAVAILABLE, "the store did not take a new key; try again\n")
                }
            },
            (Some("limits"), Some(name), Some("lift"), None) => self.lift(name, query).await,
            (Some("cache"), Some("purge"), None, None) => self.purge(query).await,
            (Some("backends"), Some(id), Some(what @ ("drain" | "undrain")), None) => self.drain(id, what == "drain"),
            _ => plain(StatusCode::NOT_FOUND, KNOWN),
        }
    }

    fn drain(&self, id: &str, on: bool) -> Response<Full<Bytes>> {
        let pools = self.fleet.pools();
        let found = pools.iter().find_map(|pool| pool.backends().iter().find(|one| one.id.to_string() == id).cloned());
        let Some(backend) = found else { return plain(StatusCode::NOT_FOUND, "no such backend; see /backends\n") };
        backend.drain(on);
        tracing::info!(backend = %backend.name, on, "an operator drains a backend");
        plain(StatusCode::OK, if on { "draining\n" } else { "in use again\n" })
    }

    fn overview(&self) -> Overview {
        let now = self.clock.now();
        let pools = self.fleet.pools();
        let pools = pools.iter().map(|pool| PoolView {
            name: pool.settings().name.clone(),
            path: pool.settings().path.clone(),
            backends: pool.backends().iter().map(|backend| view(backend, now)).collect(),
        });
        let turned_away = self.doors.turned_away();
        let store = if self.sessions.store_is_away() { "away" } else { "well" };
        Overview {
            store,
            sessions: self.sessions.count(),
            connections: self.workers.connections(),
            turned_away: TurnedAway {
                tls_handshake: turned_away.handshakes.load(Ordering::Relaxed),
                proxy_header: turned_away.proxied.load(Ordering::Relaxed),
            },
            pools: pools.collect(),
        }
    }
}

fn view(backend: &crate::fleet::Backend, now: std::time::Instant) -> BackendView {
    let load = backend.load(now);
    BackendView {
        name: backend.name.to_string(),
        id: backend.id.to_string(),
        up: backend.takes_requests(),
        draining: backend.drains(),
        sessions: load.sessions,
        in_flight: load.in_flight,
        latency_ms: (load.latency * 1_000_000.0).round() / 1000.0,
        weight: load.weight,
    }
}

fn plain(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    text(status, words.into())
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    let Ok(body) = serde_json::to_vec_pretty(value) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written\n");
    };
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
