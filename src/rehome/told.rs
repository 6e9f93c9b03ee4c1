//! What an operator is told of moves. Moves nothing.

use super::Move;
use crate::exchange::Moored;
use crate::fleet::{Backend, Pool};
use crate::names::Epoch;

/// A session lies elsewhere now.
pub(super) fn moved(task: &Move<'_>, to: &Backend, epoch: Epoch, took_ms: u128) {
    let (session, pool, from) = (task.moored.id, task.pool.settings(), name_of(task));
    let (to, why, epoch) = (&to.name, task.why.name(), epoch.0);
    tracing::info!(%session, pool = pool.name, from, %to, why, epoch, took_ms, "session rehomed");
}

/// A session lies where it lay: nobody takes it now, or, worse, nobody is what its client was promised.
pub(super) fn stays(task: &Move<'_>, ends: bool) {
    let (session, pool, from) = (task.moored.id, task.pool.settings(), name_of(task));
    let why = task.why.name();
    tracing::warn!(%session, pool = pool.name, from, why, ends, "a session could not be moved");
}

/// A session of a pool that moves none has lost its backend.
pub(super) fn ended(pool: &Pool, moored: &Moored) {
    tracing::info!(session = %moored.id, pool = pool.settings().name, "a session ended with its backend");
}

/// What the backend is called that it lay at.
fn name_of(task: &Move<'_>) -> String {
    let from = task.from.backend;
    let known = task.pool.everybody().into_iter().find(|backend| backend.id == from);
    known.map_or_else(|| from.to_string(), |backend| backend.name.to_string())
}
