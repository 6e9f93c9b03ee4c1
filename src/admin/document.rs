//! The document that describes the API to programs (OpenAPI 3.1), as it lies in `docs`. Tests hold it against the running program.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;

use super::Admin;

/// The document.
const TEXT: &str = include_str!("../../docs/openapi.json");

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/openapi.json", get(document))
}

async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], TEXT)
}
