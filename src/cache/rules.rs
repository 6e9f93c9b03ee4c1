//! The rules made ready: which of them says that a result may be kept, and what a successful call makes others forget. The
//! first rule with a time that fits counts; of those that only forget, all.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::tags;
use crate::config::{
    CacheArguments, CacheInvalidation, CacheRule, CacheScope, CacheSettings, CacheTarget, Glob, ProtocolCache,
};
use crate::exchange::{Ask, Exchange, Said};
use crate::mcp::canonical::{Mark, Selection};
use crate::mcp::version::Era;
use crate::names::PoolId;
use crate::store::results::Tag;

/// Methods whose results say by themselves how long they are good, in the modern era (2026-07-28, Caching).
const BY_PROTOCOL: [&str; 6] =
    ["server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"];

/// What the cache station needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules.
    pub cache: CacheSettings,
    /// The largest result that is kept where a rule says nothing, in bytes.
    pub max_bytes: usize,
    /// How long a request waits for the same call made by another before it makes its own.
    pub wait: Duration,
}

/// The rules, made ready.
#[derive(Debug)]
pub struct Rules {
    keeping: Vec<Arc<Rule>>,
    forgetting: Vec<Writer>,
    max_bytes: usize,
    /// How long a request waits for the same call made by another.
    pub wait: Duration,
}

/// One rule by which results are kept.
#[derive(Debug)]
pub struct Rule {
    target: CacheTarget,
    /// Keeps them apart.
    pub scope: CacheScope,
    /// For how long a result is fresh.
    pub ttl: Duration,
    /// For how long after that it may be shown while it is fetched anew.
    pub stale: Duration,
    /// For how long a result that says that it is an error is fresh.
    pub negative: Option<Duration>,
    /// The largest result, in bytes.
    pub max_bytes: usize,
    /// Which arguments count.
    pub selection: Selection,
    /// Header fields that count too.
    pub vary: Vec<HeaderName>,
    trust: bool,
    /// Whether a client may ask past the cache.
    pub bypass: bool,
    /// What else its results hang on.
    pub tags: Vec<Tag>,
}

/// What a successful call makes others forget.
#[derive(Debug)]
struct Writer {
    target: CacheTarget,
    globs: Vec<Glob>,
    tags: Vec<Tag>,
}

/// By what a result may be kept.
#[derive(Clone, Debug)]
pub enum Policy {
    /// By a rule.
    Rule(Arc<Rule>),
    /// By what the result itself says, of at most so many bytes; whether its word that it is public is believed.
    Protocol {
        /// The largest result, in bytes.
        max_bytes: usize,
        /// Whether `public` is believed.
        public: bool,
    },
}

impl Rules {
    /// Makes the settings ready.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let keeping = settings.cache.rules.iter().map(|rule| Arc::new(Rule::new(rule, settings.max_bytes))).collect();
        let forgetting = settings.cache.invalidations.iter().map(Writer::new).collect();
        Self { keeping, forgetting, max_bytes: settings.max_bytes, wait: settings.wait }
    }

    /// By what the result of a request may be kept, if it may.
    #[must_use]
    pub fn policy(&self, exchange: &Exchange) -> Option<Policy> {
        let Ask::Call(call) = &exchange.ask else { return None };
        let protocol = exchange.pool.settings().protocol_cache;
        if exchange.era == Era::Modern && protocol != ProtocolCache::Off && BY_PROTOCOL.contains(&&*call.method) {
            let public = protocol == ProtocolCache::Public;
            return Some(Policy::Protocol { max_bytes: self.max_bytes, public });
        }
        if self.keeping.is_empty() {
            return None;
        }
        let tool = exchange.tool();
        let rule = self.keeping.iter().find(|rule| fits(&rule.target, exchange))?;
        // What a server says of a tool is believed for the worse; for the better only as far as it goes.
        let harmless = exchange.facts.is_some_and(|facts| facts.read_only && !facts.destructive);
        (tool.is_none() || rule.trust || harmless).then(|| Policy::Rule(Arc::clone(rule)))
    }

    /// Whether a rule by which results are kept is about the request.
    #[must_use]
    pub fn is_kept_by_rule(&self, exchange: &Exchange) -> bool {
        self.keeping.iter().any(|rule| fits(&rule.target, exchange))
    }

    /// What is forgotten when the call has succeeded.
    #[must_use]
    pub fn forgotten_by(&self, exchange: &Exchange) -> Vec<Tag> {
        let writers = self.forgetting.iter().filter(|writer| is_about(&writer.target, exchange));
        let mut forgotten: Vec<Tag> = writers
            .flat_map(|writer| {
                let globs = writer.globs.iter().map(|glob| tag_of(exchange.pool.id, glob));
                let any = writer.globs.iter().any(is_pattern).then(|| tags::any_glob(exchange.pool.id));
                globs.chain(any).chain(writer.tags.iter().copied())
            })
            .collect();
        forgotten.sort_unstable();
        forgotten.dedup();
        forgotten
    }

    /// Whether a rule has this pattern among what it makes others forget.
    #[must_use]
    pub fn has_glob(&self, pattern: &str) -> bool {
        self.forgetting.iter().any(|writer| writer.globs.iter().any(|glob| glob.as_str() == pattern))
    }

    /// Whether others have patterns or tags by which results are forgotten that these have not.
    #[must_use]
    pub fn lacks_names_of(&self, others: &Self) -> bool {
        let patterns = |rules: &Self| -> Vec<String> {
            let globs = rules.forgetting.iter().flat_map(|writer| &writer.globs).filter(|glob| is_pattern(glob));
            globs.map(|glob| glob.as_str().to_owned()).collect()
        };
        let tags = |rules: &Self| -> Vec<Tag> { rules.keeping.iter().flat_map(|rule| rule.tags.clone()).collect() };
        let (own_patterns, own_tags) = (patterns(self), tags(self));
        patterns(others).iter().any(|pattern| !own_patterns.contains(pattern))
            || tags(others).iter().any(|tag| !own_tags.contains(tag))
    }

    /// The patterns by which somebody may have the results of a tool forgotten.
    pub fn globs_over<'a>(&'a self, tool: &'a str) -> impl Iterator<Item = &'a Glob> {
        self.forgetting
            .iter()
            .flat_map(|writer| &writer.globs)
            .filter(move |glob| is_pattern(glob) && glob.matches(tool))
    }
}

impl Rule {
    fn new(settings: &CacheRule, max_bytes: usize) -> Self {
        Self {
            target: settings.target.clone(),
            scope: settings.scope.clone(),
            ttl: settings.ttl,
            stale: settings.stale,
            negative: settings.negative,
            max_bytes: settings.max_bytes.unwrap_or(max_bytes),
            selection: selection(&settings.arguments),
            vary: settings.vary.clone(),
            trust: settings.trust,
            bypass: settings.bypass,
            tags: settings.tags.iter().map(|tag| tags::named(tag)).collect(),
        }
    }
}

impl Writer {
    fn new(settings: &CacheInvalidation) -> Self {
        let tags = settings.tags.iter().map(|tag| tags::named(tag)).collect();
        Self { target: settings.target.clone(), globs: settings.tools.clone(), tags }
    }
}

fn selection(arguments: &CacheArguments) -> Selection {
    let CacheArguments { only, ignore, lowercase, trim } = arguments;
    let mut selection = Selection::default();
    for (mark, pointers) in
        [(Mark::Only, only), (Mark::Ignore, ignore), (Mark::Lowercase, lowercase), (Mark::Trim, trim)]
    {
        pointers.iter().for_each(|pointer| selection.mark(mark, pointer));
    }
    selection
}

/// What a call forgets that names tools so: what hangs on a whole name is always noted.
fn tag_of(pool: PoolId, glob: &Glob) -> Tag {
    if is_pattern(glob) { tags::glob(pool, glob.as_str()) } else { tags::tool(pool, glob.as_str()) }
}

fn is_pattern(glob: &Glob) -> bool {
    glob.as_str().contains('*')
}

/// Whether a request is one of those that a rule is about.
fn fits(target: &CacheTarget, exchange: &Exchange) -> bool {
    match &exchange.ask {
        Ask::Call(call) => is_named(target, &call.method, call.name.as_deref()) && is_in(target, exchange),
        _ => false,
    }
}

/// The same, or whether one of several messages is.
fn is_about(target: &CacheTarget, exchange: &Exchange) -> bool {
    let named =
        |said: &Said| said.method.as_deref().is_some_and(|method| is_named(target, method, said.name.as_deref()));
    match &exchange.ask {
        Ask::Batch(all) => all.iter().any(named) && is_in(target, exchange),
        _ => fits(target, exchange),
    }
}

fn is_named(target: &CacheTarget, method: &str, name: Option<&str>) -> bool {
    let tool = || name.is_some_and(|name| target.tools.iter().any(|glob| glob.matches(name)));
    target.methods.iter().any(|known| known.name() == method) && (method != "tools/call" || tool())
}

fn is_in(target: &CacheTarget, exchange: &Exchange) -> bool {
    target.pools.is_empty() || target.pools.iter().any(|pool| **pool == *exchange.pool.settings().name)
}

impl Policy {
    /// The largest result that is kept, in bytes of its kept form.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        match self {
            Self::Rule(rule) => rule.max_bytes,
            Self::Protocol { max_bytes, .. } => *max_bytes,
        }
    }
}
