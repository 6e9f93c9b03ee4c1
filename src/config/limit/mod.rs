//! The settings of limits and upstreams: plain data, checked.

pub(super) mod check;
pub(super) mod form;
mod glob;
mod rate;
mod read;
mod refusal;
mod slots;
mod upstream;

use std::num::NonZeroU64;
use std::time::Duration;

pub use glob::{Glob, GlobError};
pub use rate::{Rate, RateError};
pub(super) use read::{Around, Preset, read};
pub use refusal::UpstreamRefusal;
pub(super) use slots::backend;

/// Settings that all limits share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsSettings {
    /// What applies while the shared store is away.
    pub when_away: LimitsAway,
    /// Counters that this instance's memory holds at most. When it is full those that owe least are forgotten.
    pub max_counters: usize,
    /// How many bits of an IPv6 address name one client (32 to 128).
    pub ipv6_prefix: u8,
    /// Sampling requests: what a server may spend of its client's LLM.
    pub sampling: Option<Rate>,
}

/// What applies while the shared store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsAway {
    /// Each instance enforces its share: the limit divided by the instances last seen.
    Share,
    /// Limited requests are refused.
    Refuse,
    /// Limited requests are admitted.
    Admit,
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSettings {
    /// Its name, unique among limits and upstreams.
    pub name: Box<str>,
    /// To what it applies.
    pub scope: LimitScope,
    /// Who has an account of its own.
    pub key: LimitKey,
    /// How much in how long; at least one of this and `concurrency` is there.
    pub rate: Option<Rate>,
    /// How much at once (`gcra` alone); the rate's count where it is not given. Refills within 365 days.
    pub burst: Option<NonZeroU64>,
    /// How it is counted.
    pub algorithm: Algorithm,
    /// For how long a subject is refused once it has exceeded the rate.
    pub block: Option<Duration>,
    /// The longest block: each in a row is twice as long as the one before. At least `block`; the same means no
    /// escalation. There where `block` is, and only there.
    pub block_max: Option<Duration>,
    /// What one message costs; never more than `burst` or the window's count.
    pub cost: u64,
    /// What calls of particular tools cost instead, first match wins; 0 is free. Never more than `burst` or the
    /// window's count.
    pub costs: Vec<(Glob, u64)>,
    /// How many at the same time.
    pub concurrency: Option<Concurrency>,
    /// In which form a client is refused.
    pub on_limit: OnLimit,
}

/// To what a limit applies: everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitScope {
    /// JSON-RPC methods, and `GET` (notification streams), `replies`. Empty means the default: see `DEFAULT_METHODS`.
    pub methods: Vec<Glob>,
    /// Tools; then only `tools/call` matches. Empty means any.
    pub tools: Vec<Glob>,
    /// Names of pools. Empty means all.
    pub pools: Vec<Box<str>>,
    /// One family of protocol versions; none means both.
    pub era: Option<LimitEra>,
    /// Which callers.
    pub callers: LimitCallers,
}

/// The methods that count where a limit names none: what makes a server work.
pub const DEFAULT_METHODS: [&str; 4] = ["tools/call", "prompts/get", "resources/read", "completion/complete"];

/// A family of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitEra {
    /// 2025-03-26 to 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// Which callers a limit applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitCallers {
    /// Everybody.
    #[default]
    All,
    /// Those who are authenticated.
    Authenticated,
    /// Those who are not.
    Anonymous,
}

/// Who has an account of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// The caller; where nobody is authenticated, the address.
    Caller,
    /// The client's address.
    Address,
    /// The session; where there is none, the caller.
    Session,
    /// The tool (for other methods the name of what they ask for, or the method).
    Tool,
    /// Caller and tool together.
    CallerTool,
    /// The value of a header field that a trusted proxy sets; without one, the caller.
    Header(http::HeaderName),
    /// What a claim says of the caller; where none does, the caller.
    Claim(Box<str>),
    /// All together.
    Global,
}

/// How a rate is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Evenly refilled, up to a burst.
    Gcra,
    /// Windows one after the other.
    FixedWindow,
    /// A window that moves on.
    SlidingWindow,
}

/// How many at the same time, and who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// How many run.
    pub most: u32,
    /// How many wait for a turn at most, on one instance; 0 refuses at once.
    pub queue: u32,
    /// How long each waits at most.
    pub wait: Duration,
}

/// In which form a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLimit {
    /// As all refusals are (`refusals`).
    Auto,
    /// HTTP 429.
    Http,
    /// A JSON-RPC error in a 200.
    JsonRpc,
    /// A `tools/call` result with `isError`, so that the model reads it; other methods as `auto`.
    ToolError,
}

/// A quota that several tools share, over all callers and instances.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Its name, unique among limits and upstreams.
    pub name: Box<str>,
    /// The tools that spend it.
    pub tools: Vec<Glob>,
    /// Names of pools. Empty means all.
    pub pools: Vec<Box<str>>,
    /// Calls in so long.
    pub rate: Option<Rate>,
    /// Calls at once; the rate's count where it is not given.
    pub burst: Option<NonZeroU64>,
    /// Calls at the same time.
    pub concurrency: Option<Concurrency>,
    /// Tokens in so long.
    pub tokens: Option<Tokens>,
    /// How a result is recognised in which the upstream itself has refused, and what happens then.
    pub refusal: UpstreamRefusal,
    /// In which form a client is refused.
    pub on_limit: OnLimit,
}

/// Tokens of an LLM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// How many in how long.
    pub rate: Rate,
    /// How many at once; the rate's count where it is not given.
    pub burst: Option<NonZeroU64>,
    /// How many one call is taken to need until its result says it. At most `burst`.
    pub estimate: u64,
    /// Where in the result the number stands: the segments of a JSON pointer (RFC 6901), decoded.
    pub from: Vec<String>,
}

/// How many requests one backend works on at the same time for this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendLimit {
    /// How many.
    pub most: BackendMost,
    /// How many wait for a turn at most, on one instance and for one backend; 0 refuses at once.
    pub queue: u32,
    /// How long each waits at most.
    pub wait: Duration,
}

/// How many requests one backend works on at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendMost {
    /// So many, over all instances: each takes its share.
    Fixed(u32),
    /// As many as its latency shows that it can bear, found out by each instance; at most so many.
    Adaptive(u32),
}
