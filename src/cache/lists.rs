//! The lists of tools that pass, kept for the other instances: what a server says of its tools decides what may be kept of them,
//! and an instance may hear of a tool long before it hears the list. Knows nothing of what a list says.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dashmap::DashMap;
use smallvec::SmallVec;

use super::Cache;
use crate::exchange::Exchange;
use crate::mcp::raw;
use crate::names::PoolId;
use crate::seal::digest;
use crate::store::results::{Entry, Key};

/// How long a list is kept.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The same list is kept again after this time.
const KEPT_AGAIN: Duration = Duration::from_secs(60);

/// An instance that knows nothing of a tool asks for the list so often at most.
const ASKS: Duration = Duration::from_secs(2);

/// Pages of one list that are kept, and read again.
const MOST_PAGES: usize = 64;

/// What was done with the list of each pool.
pub type Lists = DashMap<PoolId, Known>;

/// What was done with the list of one pool.
#[derive(Clone, Debug, Default)]
pub struct Known {
    kept: SmallVec<[Page; 1]>,
    /// When it was last asked for.
    asked: Option<Instant>,
}

/// What was kept last of one page, and when.
#[derive(Clone, Copy, Debug)]
struct Page {
    /// Digest of its cursor.
    cursor: [u8; 8],
    /// Digest of what it says.
    digest: [u8; 8],
    at: Instant,
}

impl Cache {
    /// Keeps the raw result of one page of a list of tools; `cursor` is the one that was asked with, if any.
    pub(super) fn keep_list(&self, pool: PoolId, cursor: &str, result: &str) {
        if !self.results.is_shared() || !self.is_news(pool, digest(&[cursor.as_bytes()]), digest(&[result.as_bytes()]))
        {
            return;
        }
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
        self.results.keep(key(pool, cursor), entry, None);
    }

    /// Whether a page is to be kept: it is another one, or was kept long ago, since another instance may have heard another list
    /// meanwhile.
    fn is_news(&self, pool: PoolId, cursor: [u8; 8], digest: [u8; 8]) -> bool {
        let (mut known, now) = (self.lists.entry(pool).or_default(), self.clock.now());
        let is_old = |at: Instant| now.saturating_duration_since(at) >= KEPT_AGAIN;
        let page = Page { cursor, digest, at: now };
        match known.kept.iter_mut().find(|kept| kept.cursor == cursor) {
            Some(kept) if kept.digest == digest && !is_old(kept.at) => return false,
            Some(kept) => *kept = page,
            None => {
                if known.kept.len() >= MOST_PAGES {
                    known.kept.remove(0);
                }
                known.kept.push(page);
            }
        }
        true
    }

    /// The list that another instance has kept, for a tool of which nothing is known here though a rule speaks of it: whole
    /// messages, one for each page from the first. It is not asked for all the time.
    pub async fn list_for(&self, exchange: &Exchange) -> Vec<Bytes> {
        let unknown = exchange.tool().is_some() && exchange.facts.is_none();
        if !unknown || !self.rules.load().is_kept_by_rule(exchange) || !self.results.is_shared() {
            return Vec::new();
        }
        let (pool, now) = (exchange.pool.id, self.clock.now());
        {
            let mut known = self.lists.entry(pool).or_default();
            if known.asked.is_some_and(|asked| now.saturating_duration_since(asked) < ASKS) {
                return Vec::new();
            }
            known.asked = Some(now);
        }
        Box::pin(self.pages(pool)).await
    }

    async fn pages(&self, pool: PoolId) -> Vec<Bytes> {
        let (mut pages, mut cursor) = (Vec::new(), Box::<str>::default());
        while pages.len() < MOST_PAGES {
            let Some(entry) = self.results.peek(&key(pool, &cursor)).await else { break };
            let next = raw::utf8(&entry.result).and_then(|page| raw::at(page, &["result", "nextCursor"]));
            let next = next.and_then(raw::text).map(Box::from);
            pages.push(entry.result.clone());
            let Some(next) = next else { break };
            cursor = next;
        }
        pages
    }
}

/// The cursor of a request for a list; nothing where it asks for the first page.
pub fn cursor_of(exchange: &Exchange) -> Box<str> {
    let cursor = raw::utf8(&exchange.body).and_then(|body| raw::at(body, &["params", "cursor"]));
    cursor.and_then(raw::text).unwrap_or_default().into()
}

fn key(pool: PoolId, cursor: &str) -> Key {
    Key(digest(&[b"tools/list", &pool.0.to_be_bytes(), cursor.as_bytes()]))
}
