//! The rows of limits and upstreams. Decides nothing else.

use regex::Regex;

use super::{HOUR, MILLISECOND, SECOND, choice, count, days, key, period, text};
use crate::config::form::{Choice, List, OffOr, Text};
use crate::config::limit::form::{self, Costs};
use crate::config::limit::{Algorithm, Glob, LimitCallers, LimitEra, LimitKey, LimitsAway, OnLimit, Preset, Rate};
use crate::config::quantity::{Count, Period};
use crate::config::tree::{Key, Needed, Optional, Section, Shape};
use crate::config::values;

/// What can be spent at once, at most.
const MOST_AT_ONCE: u64 = 1_000_000_000_000;
/// What runs or waits at the same time, at most.
const MOST_RUNNING: u32 = 100_000;
/// How many requests an adaptive limit finds out at most where nothing is said of it.
pub(super) const ADAPTIVE_MAX: u32 = 1000;

const RATE: Text<Rate> = text(form::rate, "a rate such as \"60/min\", \"5/s\" or \"10/30s\"");
const NAME: Text<Box<str>> = text(form::name, "up to 64 letters, digits, `-`, `_` and `.`");
pub(super) const ANY_NAMES: List<Text<Glob>> = names("a name, with `*` for any number of characters");
pub(super) const POOLS: List<Text<String>> =
    List { element: text(values::name, "the name of a pool"), min: 1, max: 256, bare: true };
const ON_LIMIT: Choice<OnLimit> = choice(&[
    ("auto", OnLimit::Auto),
    ("http", OnLimit::Http),
    ("jsonrpc", OnLimit::JsonRpc),
    ("tool_error", OnLimit::ToolError),
]);
const ON_LIMIT_DOC: &str = "In which form a client is refused: as `refusals` says (auto), with HTTP 429 (http), with a JSON-RPC error in a 200 (jsonrpc), \
    or with a result of the tool that says so, which the model reads (tool_error; what is no call of a tool is refused as with auto).";

const fn names(accepted: &'static str) -> List<Text<Glob>> {
    List { element: text(form::glob, accepted), min: 1, max: 256, bare: true }
}

const fn at_once() -> Count<u64> {
    count(1, MOST_AT_ONCE, MOST_AT_ONCE)
}

/// How many may run at the same time.
pub(super) const fn running() -> Count<u32> {
    count(1, MOST_RUNNING, MOST_RUNNING)
}

/// How many may wait for a turn.
pub(super) const fn waiting() -> Count<u32> {
    count(0, MOST_RUNNING, MOST_RUNNING)
}

section! { LIMITS: Table "limits", "What all limits share, and which there are without being declared.", below [];
    PRESET: Key<Choice<Preset>> = key("preset", r#""off""#, choice(&[("off", Preset::Off), ("standard", Preset::Standard)]),
        "Limits that need not be declared. standard adds two before the file's own: per-caller (60/min for each authenticated caller, who is blocked for \
         60s once that is exceeded) and per-address (100/min for each address from which callers come who are not authenticated).");
    LIMITS_AWAY: Key<Choice<LimitsAway>> = key("when_away", r#""share""#,
        choice(&[("share", LimitsAway::Share), ("refuse", LimitsAway::Refuse), ("admit", LimitsAway::Admit)]),
        "What applies while a store that instances share cannot be reached: each instance enforces its share, a limit divided by the instances last seen (share), \
         requests that have a limit are refused (refuse), or admitted (admit).");
    MAX_COUNTERS: Key<Count<usize>> = key("max_counters", "1_000_000", count(1000, 100_000_000, 10_000_000),
        "Counters that one instance's memory holds. When there are more, those that owe least are forgotten.");
    IPV6_PREFIX: Key<Count<u8>> = key("ipv6_prefix", "64", count(32, 128, 128),
        "How many bits of an IPv6 address name one client: whoever has one address of a network often has all of them.");
    SAMPLING: Key<OffOr<Text<Rate>>> = key("sampling", r#""off""#, OffOr(RATE),
        "How many sampling/createMessage requests a server may send to one session: each spends the client's LLM.");
}

section! { LIMIT: OptionalTables "limit", "A limit; any number of them. It counts what matches everything that it names, in accounts of their own for each key. \
        A request is admitted if all limits that count it admit it, and charged to all of them or to none.", below [];
    LIMIT_NAME: Needed<Text<Box<str>>> = Needed { name: "name", sample: r#""search""#, form: NAME,
        doc: "The name that refused clients, logs and metrics see. No two limits or upstreams share one" };
    LIMIT_KEY: Key<Text<LimitKey>> = key("key", r#""caller""#,
        text(form::key, "\"caller\", \"address\", \"session\", \"tool\", \"caller+tool\", \"global\", \"claim:\" and a claim's name such as \"claim:org\", or \"header:\" and a header's name such as \"header:x-tenant\""),
        "Who has an account of its own. A caller who is not authenticated is an address; where there is no session, claim or header of that name, the caller counts. A header is to be \
         one that a trusted proxy sets, or clients choose their accounts.");
    LIMIT_RATE: Optional<Text<Rate>> = Optional { name: "rate", absent: "no rate is limited; there must be a concurrency then", sample: r#""60/min""#,
        form: RATE, doc: "How much in how long." };
    LIMIT_BURST: Optional<Count<u64>> = Optional { name: "burst", absent: "the rate's count", sample: "100", form: at_once(),
        doc: "How much can be spent at once, with gcra alone. It refills at the rate, within 365 days." };
    ALGORITHM: Key<Choice<Algorithm>> = key("algorithm", r#""gcra""#, choice(&[("gcra", Algorithm::Gcra), ("fixed-window", Algorithm::FixedWindow),
        ("sliding-window", Algorithm::SlidingWindow)]),
        "How a rate is counted: refilled evenly (gcra), in windows one after the other, which lets up to twice the count pass around their border (fixed-window), \
         or in a window that moves on (sliding-window).");
    BLOCK: Optional<Period> = Optional { name: "block", absent: "refused only until there is something to spend again", sample: r#""60s""#,
        form: period(SECOND, days(30)), doc: "How long everything that the limit counts is refused once the rate was exceeded." };
    BLOCK_MAX: Optional<Period> = Optional { name: "block_max", absent: "the same as block, which is then always as long", sample: r#""1h""#,
        form: period(SECOND, days(30)), doc: "The longest block: each that follows soon on another is twice as long, up to this." };
    COST: Key<Count<u64>> = key("cost", "1", at_once(),
        "What a message costs. At most what can be spent at once.");
    COSTS: Optional<Costs> = Optional { name: "costs", absent: "every call costs cost", sample: r#"{ summarize = 10, "ask_*" = 5 }"#,
        form: Costs { cost: count(0, MOST_AT_ONCE, MOST_AT_ONCE), max: 256 },
        doc: "What calls of particular tools cost instead; the first pattern that matches counts, and 0 is free." };
    METHODS: Optional<List<Text<Glob>>> = Optional { name: "methods", absent: "tools/call, prompts/get, resources/read and completion/complete", sample: r#"["tools/*"]"#,
        form: names("a method, with `*` for any number of characters; GET for opening a notification stream; replies for answers to a server's requests"),
        doc: "What is counted. Lists, pings and notifications count only where they are named." };
    LIMIT_TOOLS: Optional<List<Text<Glob>>> = Optional { name: "tools", absent: "all", sample: r#"["search_*"]"#, form: ANY_NAMES,
        doc: "The tools whose calls are counted, and then nothing but calls." };
    LIMIT_POOLS: Optional<List<Text<String>>> = Optional { name: "pools", absent: "all", sample: r#"["mcp"]"#, form: POOLS,
        doc: "The pools whose requests are counted." };
    ERA: Optional<Choice<LimitEra>> = Optional { name: "era", absent: "both", sample: r#""modern""#,
        form: choice(&[("legacy", LimitEra::Legacy), ("modern", LimitEra::Modern)]),
        doc: "The protocol whose requests are counted: with sessions, up to 2025-11-25 (legacy), or without (modern)." };
    CALLERS: Key<Choice<LimitCallers>> = key("callers", r#""all""#, choice(&[("all", LimitCallers::All), ("authenticated", LimitCallers::Authenticated),
        ("anonymous", LimitCallers::Anonymous)]),
        "Whose requests are counted.");
    LIMIT_CONCURRENCY: Optional<Count<u32>> = Optional { name: "concurrency", absent: "any number", sample: "10", form: running(),
        doc: "How many requests of one key run at the same time, over all instances." };
    LIMIT_QUEUE: Optional<Count<u32>> = Optional { name: "queue", absent: "nobody waits, what is too many is refused at once", sample: "100", form: waiting(),
        doc: "How many requests wait for their turn, on one instance. Callers take turns." };
    LIMIT_WAIT: Optional<Period> = Optional { name: "wait", absent: "10s", sample: r#""10s""#, form: period(MILLISECOND, HOUR),
        doc: "How long each waits at most." };
    LIMIT_ON: Key<Choice<OnLimit>> = key("on_limit", r#""auto""#, ON_LIMIT, ON_LIMIT_DOC);
}

section! { UPSTREAM: OptionalTables "upstream", "A quota of something that tools call, such as an LLM's API: they share it, over all callers and instances. \
        At least one of rate, concurrency and tokens is needed.", below [&TOKENS, &REFUSED];
    UPSTREAM_NAME: Needed<Text<Box<str>>> = Needed { name: "name", sample: r#""openai""#, form: NAME,
        doc: "The name that refused clients, logs and metrics see. No two limits or upstreams share one" };
    UPSTREAM_TOOLS: Needed<List<Text<Glob>>> = Needed { name: "tools", sample: r#"["summarize", "ask_*"]"#, form: ANY_NAMES,
        doc: "The tools whose calls spend it" };
    UPSTREAM_POOLS: Optional<List<Text<String>>> = Optional { name: "pools", absent: "all", sample: r#"["mcp"]"#, form: POOLS,
        doc: "The pools whose tools these are." };
    UPSTREAM_RATE: Optional<Text<Rate>> = Optional { name: "rate", absent: "any number", sample: r#""500/min""#, form: RATE,
        doc: "How many calls in how long." };
    UPSTREAM_BURST: Optional<Count<u64>> = Optional { name: "burst", absent: "the rate's count", sample: "100", form: at_once(),
        doc: "How many calls at once. They refill at the rate, within 365 days." };
    UPSTREAM_CONCURRENCY: Optional<Count<u32>> = Optional { name: "concurrency", absent: "any number", sample: "20", form: running(),
        doc: "How many calls run at the same time, over all instances." };
    UPSTREAM_QUEUE: Optional<Count<u32>> = Optional { name: "queue", absent: "100", sample: "100", form: waiting(),
        doc: "How many calls wait for their turn, on one instance. Callers take turns; 0 refuses at once." };
    UPSTREAM_WAIT: Optional<Period> = Optional { name: "wait", absent: "10s", sample: r#""10s""#, form: period(MILLISECOND, HOUR),
        doc: "How long each waits at most." };
    UPSTREAM_ON: Key<Choice<OnLimit>> = key("on_limit", r#""auto""#, ON_LIMIT, ON_LIMIT_DOC);
}

section! { TOKENS: OptionalTable "upstream.tokens", "The tokens that calls spend at an LLM. Each call reserves an estimate, and its result says what it was. \
        Or in braces: tokens = { rate = \"200000/min\", estimate = 1500 }.", below [];
    TOKENS_RATE: Needed<Text<Rate>> = Needed { name: "rate", sample: r#""200000/min""#, form: RATE,
        doc: "How many tokens in how long" };
    TOKENS_BURST: Optional<Count<u64>> = Optional { name: "burst", absent: "the rate's count", sample: "200_000", form: at_once(),
        doc: "How many tokens at once. They refill at the rate, within 365 days." };
    ESTIMATE: Needed<Count<u64>> = Needed { name: "estimate", sample: "1500", form: at_once(),
        doc: "How many tokens a call reserves until its result is there. At most what can be spent at once" };
    FROM: Key<Text<Vec<String>>> = key("from", r#""/_meta/usage/totalTokens""#,
        text(form::pointer, "a JSON pointer (RFC 6901) such as \"/_meta/usage/totalTokens\""),
        "Where a result says how many it spent. Where there is no number, the estimate stands.");
}

section! { REFUSED: OptionalTable "upstream.refused", "How it is recognised that the upstream itself has refused. It is then left alone for a while, by all callers and \
        instances. Or in braces: refused = { pause = \"1m\" }.", below [];
    PATTERN: Optional<Text<Regex>> = Optional { name: "pattern",
        absent: "a status 429, \"too many requests\" or \"rate limit\", with the seconds to wait where they are said",
        sample: r"'quota exceeded, wait (?<seconds>\d+) s'",
        form: text(form::pattern, "a regular expression of up to 1024 bytes, not found in an empty text"),
        doc: "What is found in the error of a call, or in a result that is one. A group named seconds says for how long. Callers who can choose what an error says could \
              pause the upstream for all: where tools repeat their arguments in errors, look for something that only the upstream says." };
    PAUSE: Key<Period> = key("pause", r#""30s""#, period(SECOND, days(1)),
        "For how long, where the error does not say it.");
    PAUSE_MAX: Key<Period> = key("most", r#""1h""#, period(SECOND, days(1)),
        "For how long at most, whatever an error says. At least pause.");
}
