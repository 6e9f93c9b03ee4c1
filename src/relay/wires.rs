//! The connections to backends of one worker thread: a wire for each pool, made anew when its settings have changed.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::Relay;
use crate::config::PoolSettings;
use crate::fleet::Pool;
use crate::names::PoolId;
use crate::wire::Wire;

impl Relay {
    pub(super) fn wire(&self, pool: &Pool, settings: &Arc<PoolSettings>) -> Wire {
        let mut wires = self.wires();
        let made = wires.iter().find(|(id, made_for, _)| *id == pool.id && is_same(made_for, settings));
        if let Some((_, _, wire)) = made {
            return wire.clone();
        }
        wires.retain(|(id, _, _)| *id != pool.id);
        let wire = Wire::new(wire_settings(settings), self.clock.clone());
        wires.push((pool.id, Arc::clone(settings), wire.clone()));
        wire
    }

    pub(super) fn wires(&self) -> MutexGuard<'_, Vec<(PoolId, Arc<PoolSettings>, Wire)>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a wire that was made for one will do for the other. Usually it is the very same.
fn is_same(made_for: &Arc<PoolSettings>, settings: &Arc<PoolSettings>) -> bool {
    Arc::ptr_eq(made_for, settings) || **made_for == **settings
}

fn wire_settings(pool: &PoolSettings) -> crate::wire::Settings {
    crate::wire::Settings {
        connect_timeout: pool.connect_timeout,
        head_timeout: None,
        idle_timeout: pool.idle_timeout,
        max_in_flight_per_backend: pool.max_connections,
        idle_unstated: pool.idle_timeout,
        ..crate::wire::Settings::default()
    }
}
