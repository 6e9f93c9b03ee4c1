//! What machines ask the admin listener: orchestrators for health, Prometheus for the metrics.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Uri};

use super::Admin;
use crate::listener::health;
use crate::observe::metrics::Format;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/livez", get(healthy))
        .route("/readyz", get(healthy))
        .route("/health", get(healthy))
        .route("/metrics", get(measured))
}

async fn healthy(State(admin): State<Arc<Admin>>, uri: Uri) -> Response {
    let answer = health::answer(uri.path(), &admin.fleet, &admin.drain, &admin.sessions);
    answer.map_or_else(|| super::unknown_path().into_response(), |answer| answer.map(Body::from))
}

/// In the form that is wanted.
async fn measured(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::wanted(accept.unwrap_or_default());
    ([(CONTENT_TYPE, format.content_type())], format.write(&admin.survey.page())).into_response()
}
