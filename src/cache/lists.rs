//! The lists of tools that pass, kept for the other instances: what a server says of its tools decides what may be kept of them,
//! and an instance may hear of a tool long before it hears the list. Knows nothing of what a list says.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dashmap::DashMap;
use smallvec::SmallVec;

use super::Cache;
use crate::exchange::Exchange;
use crate::names::PoolId;
use crate::seal::digest;
use crate::store::results::{Claim, Entry, Key};

/// How long a list is kept.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The same list is kept again after this time.
const KEPT_AGAIN: Duration = Duration::from_secs(60);

/// An instance that knows nothing of a tool asks for the list so often at most.
const ASKS: Duration = Duration::from_secs(2);

/// What was done with the list of each pool.
pub type Lists = DashMap<PoolId, Known>;

/// What was done with the list of one pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Digest of the list that was kept last, and when.
    kept: Option<([u8; 8], Instant)>,
    /// When it was last asked for.
    asked: Option<Instant>,
}

impl Cache {
    /// Keeps the raw result of a whole list of tools.
    pub(super) fn keep_list(&self, pool: PoolId, result: &str) {
        if !self.results.is_shared() {
            return;
        }
        let digest = digest(&[result.as_bytes()]);
        let mut known = self.lists.entry(pool).or_default();
        let now = self.clock.now();
        // Another instance may have heard another list meanwhile.
        if known.kept.is_some_and(|(kept, at)| kept == digest && now.saturating_duration_since(at) < KEPT_AGAIN) {
            return;
        }
        known.kept = Some((digest, now));
        drop(known);
        let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{result}}}");
        let (stored, stamp) = (self.clock.unix_millis(), self.results.stamp());
        let entry = Entry {
            result: Bytes::from(message),
            stored,
            ttl: KEPT,
            stale: Duration::ZERO,
            tags: SmallVec::new(),
            stamp,
        };
        self.results.keep(key(pool), entry, None);
    }

    /// The list that another instance has kept, for a tool of which nothing is known here though a rule speaks of it: a whole
    /// message. It is not asked for all the time.
    pub async fn list_for(&self, exchange: &Exchange) -> Option<Bytes> {
        let unknown = exchange.tool().is_some() && exchange.facts.is_none();
        if !unknown || !self.rules.load().is_kept_by_rule(exchange) || !self.results.is_shared() {
            return None;
        }
        let (pool, now) = (exchange.pool.id, self.clock.now());
        {
            let mut known = self.lists.entry(pool).or_default();
            if known.asked.is_some_and(|asked| now.saturating_duration_since(asked) < ASKS) {
                return None;
            }
            known.asked = Some(now);
        }
        match Box::pin(self.results.claim(&key(pool))).await {
            Claim::Here(entry) => Some(entry.result.clone()),
            _ => None,
        }
    }
}

fn key(pool: PoolId) -> Key {
    Key(digest(&[b"tools/list", &pool.0.to_be_bytes()]))
}
