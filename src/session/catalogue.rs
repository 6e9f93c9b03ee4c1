//! The catalogue: what the servers say of their tools, learnt from `tools/list` answers that pass. A tool that
//! is not in it counts as neither read-only nor idempotent.

use std::collections::HashMap;

use dashmap::DashMap;
use memchr::memmem;

use crate::exchange::ToolFacts;
use crate::mcp::catalogue;
use crate::names::PoolId;
use crate::seal::digest;

/// Tools that are remembered for one pool at most; further ones count as unknown.
const MOST_TOOLS: usize = 4096;

/// An id is looked for in this many bytes of an answer's beginning; servers write it there.
const LOOK_FOR_ID: usize = 128;

/// What is known of the tools of each pool.
#[derive(Debug, Default)]
pub struct Catalogue {
    pools: DashMap<PoolId, Known>,
}

/// What is known of one pool's tools.
#[derive(Debug, Default)]
struct Known {
    tools: HashMap<Box<str>, ToolFacts>,
    /// The last answer, so that one that only differs in its id need not be read again.
    seen: Option<Seen>,
}

/// An answer without its id.
#[derive(Debug)]
struct Seen {
    before: Box<[u8]>,
    after: Box<[u8]>,
}

impl Seen {
    fn of(answer: &[u8], id: &str) -> Option<Self> {
        let at = memmem::find(answer.get(..LOOK_FOR_ID.min(answer.len()))?, id.as_bytes())?;
        let (before, rest) = answer.split_at(at);
        Some(Self { before: before.into(), after: rest.get(id.len()..)?.into() })
    }

    fn is(&self, answer: &[u8], id: &str) -> bool {
        let after = self.before.len() + id.len();
        answer.starts_with(&self.before)
            && answer.get(self.before.len()..after) == Some(id.as_bytes())
            && answer.get(after..) == Some(&self.after)
    }
}

impl Catalogue {
    /// Learns from the answer to the `tools/list` with the raw id `id`. A page adds to what is known: lists may come in
    /// several.
    pub fn learn(&self, pool: PoolId, answer: &[u8], id: &str) {
        if self.pools.get(&pool).is_some_and(|known| known.seen.as_ref().is_some_and(|seen| seen.is(answer, id))) {
            return;
        }
        let Some(page) = catalogue::page(answer) else { return };
        let mut known = self.pools.entry(pool).or_default();
        known.seen = Seen::of(answer, id);
        let known = &mut known.tools;
        for tool in page.tools {
            if known.len() >= MOST_TOOLS && !known.contains_key(&*tool.name) {
                continue;
            }
            let facts = ToolFacts {
                read_only: tool.read_only == Some(true),
                idempotent: tool.idempotent == Some(true),
                destructive: tool.destructive == Some(true),
                schema: digest(&[tool.input_schema.unwrap_or_default().as_bytes()]),
            };
            known.insert(tool.name.into_owned().into(), facts);
        }
    }

    /// Whether no tool of the pool is known.
    #[must_use]
    pub fn is_empty(&self, pool: PoolId) -> bool {
        self.pools.get(&pool).is_none_or(|known| known.tools.is_empty())
    }

    /// What is known of a tool.
    #[must_use]
    pub fn tool(&self, pool: PoolId, name: &str) -> Option<ToolFacts> {
        self.pools.get(&pool)?.tools.get(name).copied()
    }
}
