//! The admin listener: what an operator asks an instance. Health for orchestrators, and the backends as this instance sees
//! them. It changes nothing yet, and serves nothing to clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;
use crate::drain::{Drain, Phase};
use crate::fleet::Fleet;
use crate::listener::{Workers, health};
use crate::session::Sessions;
use crate::tasks::Crew;

/// How long a request's header fields may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Admin connections at the same time.
const MOST_CONNECTIONS: usize = 256;

/// What the admin listener can look at.
pub struct Admin {
    /// The backends.
    pub fleet: Arc<Fleet>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The client connections.
    pub workers: Arc<Workers>,
    /// How far this instance has got with going away.
    pub drain: Drain,
    /// The time.
    pub clock: Clock,
}

#[derive(Serialize)]
struct Overview {
    sessions: usize,
    connections: usize,
    pools: Vec<PoolView>,
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
            let response = self.answer(request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::trace!(%error, "admin connection ended");
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        if let Some(healthy) = health::answer(path, &self.fleet, &self.drain) {
            return healthy.map(Full::new);
        }
        match (path, serde_json::to_vec_pretty(&self.overview())) {
            ("/backends", Ok(body)) => {
                let mut response = Response::new(Full::from(body));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            _ => plain(StatusCode::NOT_FOUND, "known here: /health /livez /readyz /backends\n"),
        }
    }

    fn overview(&self) -> Overview {
        let now = self.clock.now();
        let pools = self.fleet.pools();
        let pools = pools.iter().map(|pool| PoolView {
            name: pool.settings().name.clone(),
            path: pool.settings().path.clone(),
            backends: pool.backends().iter().map(|backend| view(backend, now)).collect(),
        });
        Overview { sessions: self.sessions.count(), connections: self.workers.connections(), pools: pools.collect() }
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

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
