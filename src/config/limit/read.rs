//! Reads the limits, and checks what must hold within each and among them. Upstreams are read beside; they share names.

use std::num::NonZeroU64;
use std::time::Duration;

use super::check::{self, Seen};
use super::{
    Algorithm, Glob, LimitCallers, LimitKey, LimitScope, LimitSettings, LimitsSettings, OnLimit, Rate,
    UpstreamSettings, slots, upstream,
};
use crate::config::fault::{Code, Fault, Span};
use crate::config::nearest::nearest;
use crate::config::schema::limit as rows;
use crate::config::tree::{Reader, Row, Sink};

/// What a method of a limit may be, as far as this version knows; servers may have others.
const METHODS: [&str; 21] = [
    "initialize",
    "ping",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
    "logging/setLevel",
    "server/discover",
    "subscriptions/listen",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/cancel",
    "GET",
    "replies",
];

/// Which limits there are without being declared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Preset {
    Off,
    Standard,
}

/// What limits have to fit to.
pub(in crate::config) struct Around<'a> {
    /// The names of the pools.
    pub pools: Vec<&'a str>,
    /// Whether there are proxies whose headers are believed.
    pub believes_headers: bool,
    /// Whether some pool asks its callers who they are.
    pub knows_callers: bool,
}

impl Around<'_> {
    /// Warns of a claim that nobody can have.
    pub fn check_claim(&self, sink: &mut Sink, at: Option<Span>, claim: &str) {
        let Some(at) = at.filter(|_| !self.knows_callers) else { return };
        let fault = Fault::new(Code::Careless, at, format!("no caller has the claim `{claim}`: none is authenticated"));
        sink.warn(fault.help("let `[auth]` say how callers are known"));
    }
}

/// Reads what limits share, the limits and the upstreams.
pub(in crate::config) fn read(
    top: &mut Reader<'_>,
    around: &Around<'_>,
) -> (LimitsSettings, Vec<LimitSettings>, Vec<UpstreamSettings>) {
    let mut section = top.below(&rows::LIMITS);
    let (limits, preset) = shared(&mut section);
    let preset_at = section.span(&rows::PRESET).unwrap_or_default();
    let mut limit = if preset == Preset::Standard { standard().to_vec() } else { Vec::new() };
    let mut seen = Seen::default();
    limit.iter().for_each(|limit| seen.push((limit.name.clone(), preset_at.clone(), "adds the first one")));
    for (at, table) in top.each_below(&rows::LIMIT) {
        let mut reader = Reader::new(&rows::LIMIT, Some(table), at, &mut *top.sink);
        let name = check::name(&mut reader, &rows::LIMIT_NAME, &mut seen);
        limit.push(one(&mut reader, name, around));
    }
    let mut upstreams = Vec::new();
    for (at, table) in top.each_below(&rows::UPSTREAM) {
        let mut reader = Reader::new(&rows::UPSTREAM, Some(table), at, &mut *top.sink);
        let name = check::name(&mut reader, &rows::UPSTREAM_NAME, &mut seen);
        upstreams.push(upstream::one(&mut reader, name, around));
    }
    (limits, limit, upstreams)
}

fn shared(reader: &mut Reader<'_>) -> (LimitsSettings, Preset) {
    let settings = LimitsSettings {
        when_away: reader.get(&rows::LIMITS_AWAY),
        max_counters: reader.get(&rows::MAX_COUNTERS),
        ipv6_prefix: reader.get(&rows::IPV6_PREFIX),
        sampling: reader.get(&rows::SAMPLING),
    };
    (settings, reader.get(&rows::PRESET))
}

impl Default for LimitsSettings {
    fn default() -> Self {
        shared(&mut Reader::new(&rows::LIMITS, None, 0..0, &mut Sink::default())).0
    }
}

/// The limits of the standard preset.
fn standard() -> [LimitSettings; 2] {
    let minute = Duration::from_secs(60);
    let limit = |name: &str, key, callers, count| LimitSettings {
        name: name.into(),
        scope: LimitScope { callers, ..LimitScope::default() },
        key,
        rate: NonZeroU64::new(count).map(|count| Rate { count, per: minute }),
        burst: None,
        algorithm: Algorithm::Gcra,
        block: None,
        block_max: None,
        cost: 1,
        costs: Vec::new(),
        concurrency: None,
        on_limit: OnLimit::Auto,
    };
    let caller = limit("per-caller", LimitKey::Caller, LimitCallers::Authenticated, 60);
    let address = limit("per-address", LimitKey::Address, LimitCallers::Anonymous, 100);
    [LimitSettings { block: Some(minute), block_max: Some(minute), ..caller }, address]
}

fn one(reader: &mut Reader<'_>, name: Box<str>, around: &Around<'_>) -> LimitSettings {
    if reader.span(&rows::LIMIT_RATE).is_none() && reader.span(&rows::LIMIT_CONCURRENCY).is_none() {
        let fault = Fault::new(Code::Missing, reader.at.clone(), "the limit has neither a `rate` nor a `concurrency`");
        reader.sink.fault(fault.help("add for instance `rate = \"60/min\"`"));
    }
    let spent: [&dyn Row; 5] = [&rows::LIMIT_BURST, &rows::ALGORITHM, &rows::BLOCK, &rows::COST, &rows::COSTS];
    for row in spent {
        reader.needs(row, &rows::LIMIT_RATE);
    }
    let rate = reader.find(&rows::LIMIT_RATE);
    let algorithm = reader.get(&rows::ALGORITHM);
    let (block, block_max) = block(reader);
    let limit = LimitSettings {
        name,
        scope: scope(reader, around),
        key: key(reader, around),
        rate,
        burst: check::burst(reader, &rows::LIMIT_BURST, rate),
        algorithm,
        block,
        block_max,
        cost: reader.get(&rows::COST),
        costs: Vec::new(),
        concurrency: slots::read(reader, &slots::LIMIT),
        on_limit: reader.get(&rows::LIMIT_ON),
    };
    if burst_in_windows(reader, algorithm) {
        return limit;
    }
    let costs = costs(reader, &limit);
    LimitSettings { costs, ..limit }
}

/// The first and the longest block: both, or none.
fn block(reader: &mut Reader<'_>) -> (Option<Duration>, Option<Duration>) {
    let (first, most) = (reader.find(&rows::BLOCK), reader.find(&rows::BLOCK_MAX));
    reader.needs(&rows::BLOCK_MAX, &rows::BLOCK);
    if let (Some(first), Some(most)) = (first, most) {
        reader.at_most((&rows::BLOCK, first), (&rows::BLOCK_MAX, most));
    }
    (first, first.and(most.or(first)))
}

/// Whether a burst is given that windows would not heed, which is a fault.
fn burst_in_windows(reader: &mut Reader<'_>, algorithm: Algorithm) -> bool {
    let is_heeded = algorithm == Algorithm::Gcra || reader.span(&rows::LIMIT_RATE).is_none();
    let Some(at) = reader.span(&rows::LIMIT_BURST).filter(|_| !is_heeded) else { return false };
    let message = format!("{} is given, but windows have none", reader.name(&rows::LIMIT_BURST));
    let fault = Fault::new(Code::Conflict, at, message).related(reader.span(&rows::ALGORITHM), "counts in windows");
    reader.sink.fault(fault.help("leave it out, or count with \"gcra\""));
    true
}

/// What calls of particular tools cost. No cost is more than can ever be spent.
fn costs(reader: &mut Reader<'_>, limit: &LimitSettings) -> Vec<(Glob, u64)> {
    let costs = reader.find(&rows::COSTS).unwrap_or_default();
    let most = check::at_once(reader, (limit.rate, &rows::LIMIT_RATE), (limit.burst, &rows::LIMIT_BURST));
    if let Some(at) = reader.span(&rows::COST) {
        check::affordable(reader, (at, limit.cost), &rows::COST, most);
    }
    for (at, (_, cost)) in &costs {
        check::affordable(reader, (at.clone(), *cost), &rows::COSTS, most);
    }
    costs.into_iter().map(|(_, cost)| cost).collect()
}

fn key(reader: &mut Reader<'_>, around: &Around<'_>) -> LimitKey {
    let key = reader.get(&rows::LIMIT_KEY);
    if let (LimitKey::Header(name), Some(at), false) = (&key, reader.span(&rows::LIMIT_KEY), around.believes_headers) {
        let fault = Fault::new(Code::Careless, at, format!("no proxy is trusted to set `{name}`"));
        reader
            .sink
            .warn(fault.help("any client could choose its own account by it: name the proxy in `trusted_proxies`"));
    }
    if let LimitKey::Claim(claim) = &key {
        around.check_claim(reader.sink, reader.span(&rows::LIMIT_KEY), claim);
    }
    key
}

fn scope(reader: &mut Reader<'_>, around: &Around<'_>) -> LimitScope {
    let methods = reader.find(&rows::METHODS).unwrap_or_default();
    for (at, method) in &methods {
        check_method(reader, at, method);
    }
    LimitScope {
        methods: methods.into_iter().map(|(_, method)| method).collect(),
        tools: check::globs(reader.find(&rows::LIMIT_TOOLS)),
        pools: check::pools(reader, &rows::LIMIT_POOLS, around),
        era: reader.find(&rows::ERA),
        callers: reader.get(&rows::CALLERS),
    }
}

fn check_method(reader: &mut Reader<'_>, at: &Span, method: &Glob) {
    let tools = reader.span(&rows::LIMIT_TOOLS);
    if tools.is_some() && !method.matches("tools/call") {
        let message =
            format!("{} counts calls of tools alone, and `{method}` is none", reader.name(&rows::LIMIT_TOOLS));
        let fault = Fault::new(Code::Conflict, at.clone(), message).related(tools, "calls of these");
        reader.sink.fault(fault.help("leave it out, or declare another limit for it"));
    }
    let is_known = method.as_str().contains('*') || METHODS.contains(&method.as_str());
    if let (false, Some(near)) = (is_known, nearest(method.as_str(), METHODS)) {
        let fault = Fault::new(Code::Careless, at.clone(), format!("no known method is called `{method}`"));
        reader.sink.warn(fault.help(format!("did you mean `{near}`?")));
    }
}
