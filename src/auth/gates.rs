//! The gates of all pools, and what a gate says beside who may pass: how a credential is shown, and what backends are told. A
//! gate whose settings stay the same outlives a reload, with all that it has verified.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, HeaderName};

use super::Gate;
use crate::clock::Clock;
use crate::config::{AuthMode, AuthSettings, CredentialPolicy};
use crate::names::PoolId;

/// The gates of all pools that have one.
pub struct Gates {
    gates: ArcSwap<Vec<(PoolId, Arc<Gate>)>>,
    clock: Clock,
}

impl Gates {
    /// A gate for each pool that asks its callers who they are.
    #[must_use]
    pub fn new(pools: &[(PoolId, AuthSettings)], clock: &Clock) -> Self {
        let gates = Self { gates: ArcSwap::default(), clock: clock.clone() };
        gates.reconfigure(pools);
        gates
    }

    /// Takes a new configuration.
    pub fn reconfigure(&self, pools: &[(PoolId, AuthSettings)]) {
        let old = self.gates.load_full();
        let gate = |(pool, settings): &(PoolId, AuthSettings)| {
            let same = |(_, gate): &&(PoolId, Arc<Gate>)| gate.settings == *settings;
            let gate = old.iter().find(same).map(|(_, gate)| Arc::clone(gate));
            (*pool, gate.unwrap_or_else(|| Arc::new(Gate::new(settings, self.clock.clone()))))
        };
        let closed = pools.iter().filter(|(_, settings)| settings.mode != AuthMode::None);
        self.gates.store(Arc::new(closed.map(gate).collect()));
    }

    /// A pool's gate; none where nobody is asked.
    #[must_use]
    pub fn of(&self, pool: PoolId) -> Option<Arc<Gate>> {
        self.gates.load().iter().find(|(id, _)| *id == pool).map(|(_, gate)| Arc::clone(gate))
    }

    /// All gates, each once.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Gate>> {
        let mut all: Vec<Arc<Gate>> = Vec::new();
        for (_, gate) in self.gates.load().iter() {
            if !all.iter().any(|known| Arc::ptr_eq(known, gate)) {
                all.push(Arc::clone(gate));
            }
        }
        all
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates").field("pools", &self.gates.load().len()).finish_non_exhaustive()
    }
}

impl Gate {
    /// Whether it describes itself as a protected resource (RFC 9728), which anybody may read.
    #[must_use]
    pub const fn publishes(&self) -> bool {
        matches!(self.settings.mode, AuthMode::Jwt(_))
    }

    /// The header field in which callers show who they are; none where their connection says it.
    #[must_use]
    pub fn credential_header(&self) -> Option<HeaderName> {
        match &self.settings.mode {
            AuthMode::None | AuthMode::Mtls(_) => None,
            AuthMode::Jwt(_) => Some(AUTHORIZATION),
            AuthMode::ApiKeys(keys) => Some(keys.header.clone().unwrap_or(AUTHORIZATION)),
        }
    }

    /// What becomes of it toward backends.
    #[must_use]
    pub const fn credential(&self) -> CredentialPolicy {
        self.settings.credential
    }

    /// What a caller does who is not let in.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match &self.settings.mode {
            AuthMode::None => "try again",
            AuthMode::Jwt(_) => "log in as WWW-Authenticate says, and send the token as Authorization: Bearer",
            AuthMode::ApiKeys(keys) if keys.header.is_some() => {
                "send a key that is valid here in the header field for keys"
            }
            AuthMode::ApiKeys(_) => "send a key that is valid here as Authorization: Bearer",
            AuthMode::Mtls(_) => "show a client certificate that names you",
        }
    }
}
