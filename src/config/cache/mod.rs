//! The settings of what is kept of results: plain data, checked.

mod check;
pub(super) mod form;
mod read;

use std::time::Duration;

use http::HeaderName;

use super::limit::Glob;
pub(super) use read::read;

/// Where results are kept, and what they may cost. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultsSettings {
    /// What the results in this instance's memory take at most (1 MiB to 64 GiB).
    pub memory: usize,
    /// The largest result that is kept where a rule says nothing else. At most `memory`.
    pub max_bytes: usize,
    /// Whether results are kept in the shared store too, where there is one.
    pub shared: bool,
    /// Results of this size and more are compressed in the shared store.
    pub compress: usize,
    /// How long a request waits for the same call made for another one, before it makes its own.
    pub wait: Duration,
}

/// What is kept, and what is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheSettings {
    /// What may be kept. The first that matches counts; what none matches is not kept by a rule.
    pub rules: Vec<CacheRule>,
    /// What successful calls make forgotten. All that match count.
    pub invalidations: Vec<CacheInvalidation>,
}

/// Whose results are kept, for whom and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// To what it applies.
    pub target: CacheTarget,
    /// For how long a result is fresh (1 s to 30 d).
    pub ttl: Duration,
    /// Who shares a result.
    pub scope: CacheScope,
    /// For how long after that it may be shown while it is fetched anew, or cannot be (up to 30 d).
    pub stale: Duration,
    /// For how long a result with `isError` is fresh; none is kept without.
    pub negative: Option<Duration>,
    /// The largest result that is kept, in bytes; `ResultsSettings::max_bytes` where it is not given. At most `memory`.
    pub max_bytes: Option<usize>,
    /// Which arguments make calls differ.
    pub arguments: CacheArguments,
    /// Header fields that make requests differ.
    pub vary: Vec<HeaderName>,
    /// Whether tools are believed to be safe to keep whose annotations do not say so.
    pub trust: bool,
    /// Whether a client may ask past what is kept.
    pub bypass: bool,
    /// Names under which the results can be forgotten; at most eight.
    pub tags: Vec<Box<str>>,
}

/// What a call that has succeeded makes forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheInvalidation {
    /// Which calls: of tools alone.
    pub target: CacheTarget,
    /// The tools whose results are forgotten, in the pool of the call.
    pub tools: Vec<Glob>,
    /// The tags whose results are forgotten.
    pub tags: Vec<Box<str>>,
}

/// To what a rule applies: everything that is given must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTarget {
    /// Methods; at least one.
    pub methods: Vec<CachedMethod>,
    /// Tools: there where the method is `tools/call`, and only there.
    pub tools: Vec<Glob>,
    /// Names of pools. Empty means all.
    pub pools: Vec<Box<str>>,
}

/// A method whose results may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CachedMethod {
    /// `tools/call`.
    ToolsCall,
    /// `tools/list`.
    ToolsList,
    /// `prompts/list`.
    PromptsList,
    /// `prompts/get`.
    PromptsGet,
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    ResourceTemplatesList,
    /// `resources/read`.
    ResourcesRead,
    /// `server/discover`.
    ServerDiscover,
}

/// Who shares a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Each caller has its own; where callers are not authenticated, each authorization context, or else each session.
    Caller,
    /// Each session has its own.
    Session,
    /// Whoever has the same value in a header field that a trusted proxy sets.
    Header(HeaderName),
    /// Callers of whom a claim says the same.
    Claim(Box<str>),
    /// Everybody.
    Public,
}

/// The segments of a JSON pointer (RFC 6901), decoded; at least one.
pub type Pointer = Vec<Box<str>>;

/// Which arguments make calls differ. All of them do, where nothing is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheArguments {
    /// Nothing else does. Empty means all; none of them is ignored.
    pub only: Vec<Pointer>,
    /// These do not.
    pub ignore: Vec<Pointer>,
    /// In these strings case does not. None of them is ignored.
    pub lowercase: Vec<Pointer>,
    /// In these strings white space at the ends does not. None of them is ignored.
    pub trim: Vec<Pointer>,
}

/// What becomes of the `ttlMs` and `cacheScope` that a server of the modern era gives its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolCache {
    /// Nothing: only rules say what is kept.
    Off,
    /// It is followed, and `public` is taken for `private`.
    Private,
    /// It is followed, and `public` is believed.
    Public,
}

impl CachedMethod {
    /// All of them, by their names in JSON-RPC.
    pub const ALL: [(&'static str, Self); 8] = [
        ("tools/call", Self::ToolsCall),
        ("tools/list", Self::ToolsList),
        ("prompts/list", Self::PromptsList),
        ("prompts/get", Self::PromptsGet),
        ("resources/list", Self::ResourcesList),
        ("resources/templates/list", Self::ResourceTemplatesList),
        ("resources/read", Self::ResourcesRead),
        ("server/discover", Self::ServerDiscover),
    ];

    /// The method of this name; `None` where its results are never kept.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, method)| *method)
    }

    /// The name in JSON-RPC.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// Whether its requests have `arguments`.
    #[must_use]
    pub const fn has_arguments(self) -> bool {
        matches!(self, Self::ToolsCall | Self::PromptsGet)
    }
}

impl CacheTarget {
    /// Whether it is such a request; `tool` is the tool that a `tools/call` names.
    #[must_use]
    pub fn matches(&self, pool: &str, method: CachedMethod, tool: Option<&str>) -> bool {
        self.methods.contains(&method)
            && (self.pools.is_empty() || self.pools.iter().any(|own| **own == *pool))
            && (method != CachedMethod::ToolsCall
                || tool.is_some_and(|tool| self.tools.iter().any(|own| own.matches(tool))))
    }

    /// Whether it matches all that the other one does, as far as their patterns show it.
    fn covers(&self, other: &Self) -> bool {
        // A pattern that matches another one's text matches all that this one does: a star can stand only for a star.
        let has_tool = |tool: &Glob| self.tools.iter().any(|own| own.matches(tool.as_str()));
        let has_pools = self.pools.is_empty()
            || !other.pools.is_empty() && other.pools.iter().all(|pool| self.pools.contains(pool));
        has_pools
            && other.methods.iter().all(|method| self.methods.contains(method))
            && other.tools.iter().all(has_tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(methods: &[CachedMethod], tools: &[&str], pools: &[&str]) -> CacheTarget {
        CacheTarget {
            methods: methods.to_vec(),
            tools: tools.iter().map(|tool| tool.parse().unwrap()).collect(),
            pools: pools.iter().map(|pool| (*pool).into()).collect(),
        }
    }

    #[test]
    fn methods_have_names() {
        for (name, method) in CachedMethod::ALL {
            assert_eq!((CachedMethod::of(name), method.name()), (Some(method), name));
        }
        assert_eq!(CachedMethod::of("ping"), None);
    }

    #[test]
    fn a_target_matches_what_has_all_that_it_names() {
        use CachedMethod::{ResourcesRead, ToolsCall, ToolsList};
        let tools = target(&[ToolsCall], &["get_*", "find"], &["a"]);
        assert!(tools.matches("a", ToolsCall, Some("get_x")) && tools.matches("a", ToolsCall, Some("find")));
        assert!(!tools.matches("b", ToolsCall, Some("find")) && !tools.matches("a", ToolsCall, Some("put")));
        assert!(!tools.matches("a", ToolsCall, None) && !tools.matches("a", ToolsList, None));
        let others = target(&[ResourcesRead, ToolsList], &[], &[]);
        assert!(others.matches("a", ToolsList, None) && others.matches("b", ResourcesRead, None));
        assert!(!others.matches("a", ToolsCall, Some("find")));
    }

    #[test]
    fn a_target_covers_what_it_matches_anyway() {
        use CachedMethod::{ToolsCall, ToolsList};
        let of = |tools: &[&str], pools: &[&str]| target(&[ToolsCall], tools, pools);
        for (wide, narrow) in [
            (of(&["get_*"], &[]), of(&["get_a*", "get_b"], &["a"])),
            (of(&["*"], &["a", "b"]), of(&["x*y"], &["b"])),
            (of(&["a", "b"], &[]), of(&["b", "a"], &[])),
        ] {
            assert!(wide.covers(&narrow), "{wide:?} {narrow:?}");
        }
        for (one, other) in [
            (of(&["get_a"], &[]), of(&["get_*"], &[])),
            (of(&["*"], &["a"]), of(&["x"], &[])),
            (of(&["*"], &["a"]), of(&["x"], &["a", "b"])),
            (of(&["*"], &[]), target(&[ToolsList], &[], &[])),
            (of(&["a*"], &[]), of(&["a", "b"], &[])),
        ] {
            assert!(!one.covers(&other), "{one:?} {other:?}");
        }
    }
}
