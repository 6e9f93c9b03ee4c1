//! The rows of what is kept of results. Decides nothing else.

use std::time::Duration;

use http::HeaderName;

use super::limit::{ANY_NAMES, POOLS};
use super::{HOUR, KIB, MIB, MILLISECOND, SECOND, choice, days, key, period, size, text};
use crate::config::cache::{CacheScope, CachedMethod, Pointer, form};
use crate::config::form::{Choice, Flag, List, Text};
use crate::config::limit::Glob;
use crate::config::quantity::{Period, Size};
use crate::config::tree::{Key, Optional, Section, Shape};

const GIB: usize = 1 << 30;
/// The largest result that can be kept at all.
const LARGEST: usize = 64 * MIB;

const ARGUMENT: Text<Pointer> =
    text(form::argument, "an argument's name such as \"query\", or a JSON pointer (RFC 6901) such as \"/filter/name\"");
const SOME_ARGUMENTS: List<Text<Pointer>> = List { element: ARGUMENT, min: 1, max: 64, bare: true };
const SOME_TAGS: List<Text<Box<str>>> =
    List { element: text(form::tag, "up to 64 letters, digits, `-`, `_` and `.`"), min: 1, max: 8, bare: true };

section! { RESULTS: Table "results", "Where results are kept that rules or servers allow to be kept.", below [];
    MEMORY: Key<Size> = key("memory", r#""64MiB""#, size(MIB, 64 * GIB, 64 * GIB),
        "What the results in this instance's memory take at most. When it is full, those that are asked for least are dropped.");
    RESULTS_MAX: Key<Size> = key("max_bytes", r#""1MiB""#, size(KIB, LARGEST, LARGEST),
        "The largest result that is kept, where a rule says nothing else. At most memory.");
    SHARED: Key<Flag> = key("shared", "true", Flag,
        "Whether results are kept in the store too, where instances share one: what one instance has fetched, the others have then.");
    COMPRESS: Key<Size> = key("compress", r#""4KiB""#, size(256, LARGEST, LARGEST),
        "Results of this size and more are compressed in the shared store.");
    RESULTS_WAIT: Key<Period> = key("wait", r#""30s""#, period(MILLISECOND, HOUR),
        "How long a request waits for the same call that is being made for another one, before it makes its own.");
}

section! { CACHE: OptionalTables "cache", "A rule that says whose results are kept, for whom and for how long, or what calls make forgotten; any number of them. \
        Of the rules with a ttl the first that matches counts, of those with invalidates all do. A tool that no rule names is never kept.", below [&ARGUMENTS];
    CACHE_TOOLS: Optional<List<Text<Glob>>> = Optional { name: "tools", absent: "the rule is about methods", sample: r#"["get_*"]"#, form: ANY_NAMES,
        doc: "The tools whose calls the rule is about." };
    CACHE_METHODS: Optional<List<Choice<CachedMethod>>> = Optional { name: "methods", absent: "the rule is about calls of tools", sample: r#"["tools/call"]"#,
        form: List { element: choice(&CachedMethod::ALL), min: 1, max: 8, bare: true },
        doc: "The methods that the rule is about, in another rule than tools. Where a modern server says itself how long a result is good, that counts instead (a pool's protocol_cache)." };
    CACHE_POOLS: Optional<List<Text<String>>> = Optional { name: "pools", absent: "all", sample: r#"["mcp"]"#, form: POOLS,
        doc: "The pools that the rule is about." };
    TTL: Optional<Period> = Optional { name: "ttl", absent: "the rule keeps nothing; there must be an invalidates then", sample: r#""5m""#,
        form: period(SECOND, days(30)), doc: "How long a result is fresh." };
    SCOPE: Key<Text<CacheScope>> = key("scope", r#""caller""#,
        text(form::scope, "\"caller\", \"session\", \"public\", \"claim:\" and a claim's name such as \"claim:org\", or \"header:\" and a header's name such as \"header:x-tenant\""),
        "Who shares a result. A caller is who was authenticated, or all requests with the same credentials (and other header fields that may say who asks), else the session; where there is none of \
         these, or not the named claim or header, nothing is kept. A header is to be one that a trusted proxy sets, or clients choose whose results they see.");
    STALE: Key<Period> = key("stale", r#""0s""#, period(Duration::ZERO, days(30)),
        "How long after that a result may still be shown: while one request fetches it anew, and while the backends are down.");
    NEGATIVE: Optional<Period> = Optional { name: "negative", absent: "such results are not kept", sample: r#""10s""#, form: period(SECOND, days(30)),
        doc: "How long a result is fresh in which a tool says that it failed (isError)." };
    CACHE_MAX: Optional<Size> = Optional { name: "max_bytes", absent: "results.max_bytes", sample: r#""256KiB""#, form: size(KIB, LARGEST, LARGEST),
        doc: "The largest result that is kept. At most results.memory." };
    VARY: Optional<List<Text<HeaderName>>> = Optional { name: "vary", absent: "none", sample: r#"["accept-language"]"#,
        form: List { element: text(form::header, "a header's name such as \"accept-language\""), min: 1, max: 16, bare: true },
        doc: "Header fields that results depend on: requests with other values do not share." };
    TRUST: Key<Flag> = key("trust", "false", Flag,
        "Whether tools are kept that say that they are destructive (destructiveHint), or do not say that they only read (readOnlyHint).");
    BYPASS: Key<Flag> = key("bypass", "false", Flag,
        "Whether a client may ask past what is kept, with Cache-Control: no-cache, or \"moorline/cache\": \"no-cache\" in _meta.");
    TAGS: Optional<List<Text<Box<str>>>> = Optional { name: "tags", absent: "none", sample: r#"["products"]"#, form: SOME_TAGS,
        doc: "Names under which the results can be forgotten, at most eight." };
    INVALIDATES: Optional<List<Text<Glob>>> = Optional { name: "invalidates", absent: "nothing", sample: r#"["get_product", "search_*"]"#, form: ANY_NAMES,
        doc: "The tools whose results are forgotten, in the same pool and for all callers, when a call of tools has succeeded." };
    INVALIDATES_TAGS: Optional<List<Text<Box<str>>>> = Optional { name: "invalidates_tags", absent: "nothing", sample: r#"["products"]"#, form: SOME_TAGS,
        doc: "The tags whose results are forgotten then." };
}

section! { ARGUMENTS: OptionalTable "cache.arguments", "Which arguments make calls differ. Without it all of them do, by their values: the order of keys, \
        1 or 1.0, and how a string is escaped do not count. Or in braces: arguments = { ignore = [\"trace_id\"] }.", below [];
    ONLY: Optional<List<Text<Pointer>>> = Optional { name: "only", absent: "all", sample: r#"["query", "/filter/region"]"#, form: SOME_ARGUMENTS,
        doc: "Nothing but these does." };
    IGNORE: Optional<List<Text<Pointer>>> = Optional { name: "ignore", absent: "none", sample: r#"["trace_id"]"#, form: SOME_ARGUMENTS,
        doc: "These do not. A result must not depend on them." };
    LOWERCASE: Optional<List<Text<Pointer>>> = Optional { name: "lowercase", absent: "none", sample: r#"["query"]"#, form: SOME_ARGUMENTS,
        doc: "In these strings upper and lower case do not." };
    TRIM: Optional<List<Text<Pointer>>> = Optional { name: "trim", absent: "none", sample: r#"["query"]"#, form: SOME_ARGUMENTS,
        doc: "In these strings white space at the ends does not." };
}
