//! New sealing keys, for all instances that share the store.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;

use super::Admin;
use super::bounded::in_time;
use super::problem::Problem;

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/keys/rotate", post(rotate))
}

/// Ids under the old keys stay valid.
async fn rotate(State(admin): State<Arc<Admin>>) -> Result<StatusCode, Problem> {
    in_time(admin.sessions.rotate_key()).await?.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "no new sealing key");
        Problem::away("store_away", "the store did not take a new key; try again")
    })?;
    Ok(StatusCode::NO_CONTENT)
}
