//! The catalogue: what the servers say of their tools, learnt from `tools/list` answers that pass. A tool that
//! is not in it counts as neither read-only nor idempotent.

use std::collections::HashMap;

use dashmap::DashMap;

use crate::mcp::catalogue;
use crate::names::PoolId;
use crate::seal::digest;

/// Tools that are remembered for one pool at most; further ones count as unknown.
const MOST_TOOLS: usize = 4096;

/// What is known of the tools of each pool.
#[derive(Debug, Default)]
pub struct Catalogue {
    pools: DashMap<PoolId, HashMap<Box<str>, ToolFacts>>,
}

/// What a server says of one tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolFacts {
    /// `readOnlyHint`: a call changes nothing.
    pub read_only: bool,
    /// `idempotentHint`: a second call with the same arguments changes nothing more.
    pub idempotent: bool,
    /// `destructiveHint`, which is assumed where it is absent (MCP 2025-06-18, `ToolAnnotations`).
    pub destructive: bool,
    /// Digest of the input schema's text.
    pub schema: [u8; 8],
}

impl ToolFacts {
    /// Whether a call may be repeated without harm, going by the server's own word.
    #[must_use]
    pub const fn is_repeatable(&self) -> bool {
        self.read_only || self.idempotent
    }
}

impl Catalogue {
    /// Learns from the answer to a `tools/list`. A page adds to what is known: lists may come in several.
    pub fn learn(&self, pool: PoolId, answer: &[u8]) {
        let Some(page) = catalogue::page(answer) else { return };
        let mut known = self.pools.entry(pool).or_default();
        for tool in page.tools {
            if known.len() >= MOST_TOOLS && !known.contains_key(&*tool.name) {
                continue;
            }
            let facts = ToolFacts {
                read_only: tool.read_only == Some(true),
                idempotent: tool.idempotent == Some(true),
                destructive: tool.destructive != Some(false),
                schema: digest(&[tool.input_schema.unwrap_or_default().as_bytes()]),
            };
            known.insert(tool.name.into_owned().into(), facts);
        }
    }

    /// What is known of a tool.
    #[must_use]
    pub fn tool(&self, pool: PoolId, name: &str) -> Option<ToolFacts> {
        self.pools.get(&pool)?.get(name).copied()
    }
}
