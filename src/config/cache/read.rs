//! Reads where results are kept, and the rules. What must hold within a rule and among them is checked beside.

use super::check::{self, Memory};
use super::{
    CacheArguments, CacheInvalidation, CacheRule, CacheScope, CacheSettings, CacheTarget, CachedMethod, Pointer,
    ResultsSettings,
};
use crate::config::fault::{Code, Fault, Span};
use crate::config::form::{List, Text};
use crate::config::limit::Around;
use crate::config::limit::check::{globs, pools};
use crate::config::schema::cache as rows;
use crate::config::tree::{Optional, Reader, Sink};

/// Reads where results are kept, and the rules.
pub(in crate::config) fn read(top: &mut Reader<'_>, around: &Around<'_>) -> (ResultsSettings, CacheSettings) {
    let mut section = top.below(&rows::RESULTS);
    let results = results(&mut section);
    let memory = Memory { size: results.memory, at: section.span(&rows::MEMORY) };
    check::fits(&mut section, &rows::RESULTS_MAX, results.max_bytes, &memory);
    (results, rules(top, around, &memory))
}

fn results(reader: &mut Reader<'_>) -> ResultsSettings {
    ResultsSettings {
        memory: reader.get(&rows::MEMORY),
        max_bytes: reader.get(&rows::RESULTS_MAX),
        shared: reader.get(&rows::SHARED),
        compress: reader.get(&rows::COMPRESS),
        wait: reader.get(&rows::RESULTS_WAIT),
    }
}

impl Default for ResultsSettings {
    fn default() -> Self {
        results(&mut Reader::new(&rows::RESULTS, None, 0..0, &mut Sink::default()))
    }
}

fn rules(top: &mut Reader<'_>, around: &Around<'_>, memory: &Memory) -> CacheSettings {
    let mut settings = CacheSettings::default();
    let mut places = Vec::new();
    let mut tags = check::Tags::default();
    for (at, table) in top.each_below(&rows::CACHE) {
        let faults = top.sink.faults.len();
        let mut reader = Reader::new(&rows::CACHE, Some(table), at.clone(), &mut *top.sink);
        let target = target(&mut reader, around);
        check::says_what_to_do(&mut reader);
        let invalidation = invalidation(&mut reader, &target, &mut tags);
        settings.invalidations.extend(invalidation);
        let rule = rule(&mut reader, target, around, &mut tags);
        let Some(rule) = rule else { continue };
        check::fits(&mut reader, &rows::CACHE_MAX, rule.max_bytes.unwrap_or_default(), memory);
        if top.sink.faults.len() == faults {
            check::is_reached(top.sink, &settings.rules, &places, (&at, &rule.target));
        }
        settings.rules.push(rule);
        places.push(at);
    }
    tags.check(top.sink);
    settings
}

fn target(reader: &mut Reader<'_>, around: &Around<'_>) -> CacheTarget {
    let methods = reader.find(&rows::CACHE_METHODS).unwrap_or_default();
    check::target(reader, &methods);
    let is_of_tools = reader.span(&rows::CACHE_TOOLS).is_some();
    let mut methods: Vec<CachedMethod> = methods.into_iter().map(|(_, method)| method).collect();
    if is_of_tools && !methods.contains(&CachedMethod::ToolsCall) {
        methods.push(CachedMethod::ToolsCall);
    }
    CacheTarget {
        methods,
        tools: globs(reader.find(&rows::CACHE_TOOLS)),
        pools: pools(reader, &rows::CACHE_POOLS, around),
    }
}

fn invalidation(reader: &mut Reader<'_>, target: &CacheTarget, known: &mut check::Tags) -> Option<CacheInvalidation> {
    check::only_of_tools(reader, &rows::INVALIDATES);
    check::only_of_tools(reader, &rows::INVALIDATES_TAGS);
    let tools = globs(reader.find(&rows::INVALIDATES));
    let tags = reader.find(&rows::INVALIDATES_TAGS).unwrap_or_default();
    known.named.extend(tags.iter().cloned());
    let tags = without_places(Some(tags));
    (!tools.is_empty() || !tags.is_empty()).then(|| CacheInvalidation { target: target.clone(), tools, tags })
}

/// A rule; none where it only makes other results forgotten, or where it has a fault.
fn rule(
    reader: &mut Reader<'_>,
    target: CacheTarget,
    around: &Around<'_>,
    known: &mut check::Tags,
) -> Option<CacheRule> {
    let ttl = reader.find(&rows::TTL);
    check::trusts_tools(reader);
    let tags = without_places(reader.find(&rows::TAGS));
    known.given.extend(tags.iter().cloned());
    let rule = CacheRule {
        scope: scope(reader, around),
        stale: reader.get(&rows::STALE),
        negative: reader.find(&rows::NEGATIVE),
        max_bytes: reader.find(&rows::CACHE_MAX),
        arguments: arguments(reader, &target),
        vary: without_places(reader.find(&rows::VARY)),
        trust: reader.get(&rows::TRUST),
        bypass: reader.get(&rows::BYPASS),
        tags,
        ttl: ttl.unwrap_or_default(),
        target,
    };
    ttl.map(|_| rule)
}

fn scope(reader: &mut Reader<'_>, around: &Around<'_>) -> CacheScope {
    let scope = reader.get(&rows::SCOPE);
    if let (CacheScope::Header(name), Some(at), false) = (&scope, reader.span(&rows::SCOPE), around.believes_headers) {
        let fault = Fault::new(Code::Careless, at, format!("no proxy is trusted to set `{name}`"));
        reader
            .sink
            .warn(fault.help("any client could read another's results by it: name the proxy in `trusted_proxies`"));
    }
    if let CacheScope::Claim(claim) = &scope {
        around.check_claim(reader.sink, reader.span(&rows::SCOPE), claim);
    }
    scope
}

fn arguments(reader: &mut Reader<'_>, target: &CacheTarget) -> CacheArguments {
    check::have_arguments(reader, target);
    let mut reader = reader.below(&rows::ARGUMENTS);
    let mut pointers = |row: &Optional<List<Text<Pointer>>>| reader.find(row).unwrap_or_default();
    let [only, ignore, lowercase, trim] =
        [pointers(&rows::ONLY), pointers(&rows::IGNORE), pointers(&rows::LOWERCASE), pointers(&rows::TRIM)];
    for counted in [&only, &lowercase, &trim] {
        check::are_not_ignored(&mut reader, counted, &ignore);
    }
    let [only, ignore, lowercase, trim] = [only, ignore, lowercase, trim].map(|found| without_places(Some(found)));
    CacheArguments { only, ignore, lowercase, trim }
}

fn without_places<T>(found: Option<Vec<(Span, T)>>) -> Vec<T> {
    found.unwrap_or_default().into_iter().map(|(_, value)| value).collect()
}
