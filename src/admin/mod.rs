//! The admin listener: what an operator asks an instance, and orders. A topic has a file of its own with its routes; who may ask
//! is decided in one place, `gate.rs`, before any of them. It serves nothing to clients.

mod asked;
mod backend_view;
mod backends;
mod bounded;
mod cache;
mod document;
pub mod feed;
mod gate;
mod guard;
mod instance;
mod keys;
mod limits;
mod logs;
mod pages;
mod probes;
mod problem;
mod reload;
mod session_view;
mod sessions;
mod top;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

pub use gate::Gate;
pub use reload::{NotReloaded, Order as ReloadOrder, Reloaded, Reloads};

use feed::Feed;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::drain::{Drain, Phase};
use crate::fleet::Fleet;
use crate::instances::Instances;
use crate::limit::Limit;
use crate::listener::{Doors, Workers};
use crate::log::Log;
use crate::observe::tally::Tallies;
use crate::rehome::Rehome;
use crate::session::Sessions;
use crate::survey::Survey;
use crate::tasks::Crew;
use problem::Problem;

/// How long a request's header fields may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Admin connections at the same time.
const MOST_CONNECTIONS: usize = 256;

/// How long the head of any answer may take; whatever an answer waits for has a bound of its own, which is shorter.
const LONGEST: Duration = Duration::from_secs(60);

/// What the admin listener can look at.
pub struct Admin {
    /// The backends.
    pub fleet: Arc<Fleet>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// Moves sessions.
    pub rehome: Arc<Rehome>,
    /// What was counted of requests.
    pub tallies: Arc<Tallies>,
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
    /// All instances that share the store, this one among them.
    pub instances: Arc<Instances>,
    /// The live feed.
    pub feed: Feed,
    /// The way to whoever reads the configuration.
    pub reloads: Reloads,
    /// The log of this process.
    pub log: Log,
    /// What is counted.
    pub survey: Arc<Survey>,
    /// The time.
    pub clock: Clock,
}

/// The routes, behind the gate.
type Api = TowerToHyperService<Router>;

impl Admin {
    /// Answers until the instance is gone.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let api = TowerToHyperService::new(self.routes());
        let mut crew = Crew::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.drain.reached(Phase::Over) => return,
            };
            match accepted {
                Ok((stream, peer)) if crew.len() < MOST_CONNECTIONS => {
                    let (admin, api) = (Arc::clone(&self), api.clone());
                    crew.spawn(async move { admin.connection(stream, peer, &api).await });
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "an admin connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Every topic's routes.
    fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .merge(probes::routes())
            .merge(instance::routes())
            .merge(backends::routes())
            .merge(sessions::routes())
            .merge(top::routes())
            .merge(limits::routes())
            .merge(cache::routes())
            .merge(keys::routes())
            .merge(feed::routes())
            .merge(pages::routes())
            .merge(logs::routes())
            .merge(reload::routes())
            .merge(document::routes())
            .fallback(async || unknown_path())
            .method_not_allowed_fallback(async || {
                let words = "this path is not asked so; see the header field Allow";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", words)
            })
            .with_state(Arc::clone(self))
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, api: &Api) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request, peer, api).await));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::trace!(%error, "admin connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, api: &Api) -> Response {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut response = match self.gate.refusal(&method, &path, request.headers()) {
            Some(refusal) => refusal,
            None => match tokio::time::timeout(LONGEST, api.call(request)).await {
                Ok(Ok(response)) => response,
                Err(_) => Problem::away("slow", "the answer took too long; try again").into_response(),
            },
        };
        if !matches!(method, Method::GET | Method::HEAD) {
            tracing::info!(%peer, %method, path, status = response.status().as_u16(), "an operator gave an order");
        }
        guard::guard(&mut response);
        response
    }
}

/// There is nothing at the path that was asked for.
fn unknown_path() -> Problem {
    Problem::unknown("unknown_path", "nothing is here; what there is stands in /api/v1/openapi.json")
}
