//! The settings of who may do what: plain data, checked. Decides about nobody.

mod form;
mod read;

use super::limit::Glob;
pub(super) use form::Claims;
pub(super) use read::read;

/// Who may do what: those who fulfil everything that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowRule {
    /// What the rule speaks of.
    pub target: AllowTarget,
    /// The scopes that a caller must have: all of them.
    pub scopes: Vec<Box<str>>,
    /// The claims that a caller must have, each with one of these values.
    pub claims: Vec<(Box<str>, Vec<Glob>)>,
    /// The names of callers, of which one must match. Empty means any.
    pub callers: Vec<Glob>,
}

/// What a rule speaks of: calls of the tools, and the methods. At least one of both is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowTarget {
    /// Tools whose calls are meant.
    pub tools: Vec<Glob>,
    /// JSON-RPC methods, and `GET` (notification streams).
    pub methods: Vec<Glob>,
    /// Names of pools. Empty means all.
    pub pools: Vec<Box<str>>,
}
