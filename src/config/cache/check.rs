//! What must hold within a rule and among rules: that it says what it is about and what to do, and that it can apply.

use super::{CacheRule, CacheTarget, CachedMethod, Pointer};
use crate::config::fault::{Code, Fault, Span};
use crate::config::nearest::nearest;
use crate::config::schema::cache as rows;
use crate::config::size;
use crate::config::tree::{Reader, Row, Sink};

/// The tags that rules give, and those that are to be forgotten.
#[derive(Default)]
pub(super) struct Tags {
    pub given: Vec<Box<str>>,
    pub named: Vec<(Span, Box<str>)>,
}

impl Tags {
    /// Warns of a tag that no result ever has.
    pub fn check(&self, sink: &mut Sink) {
        for (at, tag) in self.named.iter().filter(|(_, tag)| !self.given.contains(tag)) {
            let fault = Fault::new(Code::Careless, at.clone(), format!("no rule gives results the tag `{tag}`"));
            let help = match nearest(tag, self.given.iter().map(|tag| &**tag)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `tags = [\"{tag}\"]` to the rule whose results are to be forgotten"),
            };
            sink.warn(fault.help(help));
        }
    }
}

/// Checks that a rule names tools or other methods, not both.
pub(super) fn target(reader: &mut Reader<'_>, methods: &[(Span, CachedMethod)]) {
    let (tools_at, methods_at) = (reader.span(&rows::CACHE_TOOLS), reader.span(&rows::CACHE_METHODS));
    let names = (reader.name(&rows::CACHE_TOOLS), reader.name(&rows::CACHE_METHODS));
    if tools_at.is_none() && methods_at.is_none() {
        let fault = Fault::new(Code::Missing, reader.at.clone(), "the rule has neither `tools` nor `methods`");
        reader.sink.fault(fault.help("add for instance `tools = [\"get_*\"]`"));
    }
    for (at, method) in methods {
        let is_call = *method == CachedMethod::ToolsCall;
        let (message, help) = match (is_call, &tools_at) {
            (true, None) => (
                format!("{} has `tools/call`, but {} is not given", names.1, names.0),
                "name the tools: `tools = [\"get_*\"]`, or `tools = \"*\"` for all",
            ),
            (false, Some(_)) => (
                format!("{} is about calls of tools alone, and `{}` is none", names.0, method.name()),
                "leave it out, or write another rule for it",
            ),
            (true, Some(_)) | (false, None) => continue,
        };
        let fault = Fault::new(Code::Conflict, at.clone(), message).related(tools_at.clone(), "calls of these");
        reader.sink.fault(fault.help(help));
    }
}

/// Checks that a rule keeps something or makes something forgotten, and says nothing of keeping where it does not.
pub(super) fn says_what_to_do(reader: &mut Reader<'_>) {
    let forgets = reader.span(&rows::INVALIDATES).or(reader.span(&rows::INVALIDATES_TAGS));
    if reader.span(&rows::TTL).is_some() {
        return;
    }
    if forgets.is_none() {
        let fault = Fault::new(Code::Missing, reader.at.clone(), "the rule has neither a `ttl` nor `invalidates`");
        reader.sink.fault(fault.help("add for instance `ttl = \"5m\"`"));
        return;
    }
    let kept: [&dyn Row; 8] = [
        &rows::SCOPE,
        &rows::STALE,
        &rows::NEGATIVE,
        &rows::CACHE_MAX,
        &rows::VARY,
        &rows::TRUST,
        &rows::BYPASS,
        &rows::TAGS,
    ];
    let mut given: Vec<(String, Span)> =
        kept.iter().filter_map(|row| Some((reader.name(*row), reader.span(*row)?))).collect();
    given.extend(reader.place(&rows::ARGUMENTS).map(|at| (format!("`{}`", rows::ARGUMENTS.header), at)));
    let ttl = reader.name(&rows::TTL);
    for (name, at) in given {
        let fault = Fault::new(Code::Conflict, at, format!("{name} is given, but {ttl} is not"));
        let fault = fault.related(forgets.clone(), "without a ttl, this is all that the rule does");
        reader.sink.fault(fault.help("add for instance `ttl = \"5m\"`, or leave it out"));
    }
}

/// Checks that only calls of tools make anything forgotten.
pub(super) fn only_of_tools(reader: &mut Reader<'_>, row: &dyn Row) {
    let Some(at) = reader.span(row).filter(|_| reader.span(&rows::CACHE_TOOLS).is_none()) else { return };
    let Some(methods_at) = reader.span(&rows::CACHE_METHODS) else { return };
    let message = format!("{} is given, but {} is not", reader.name(row), reader.name(&rows::CACHE_TOOLS));
    let fault = Fault::new(Code::Conflict, at, message).related(Some(methods_at), "these change nothing");
    reader.sink.fault(fault.help("name the tools whose calls change something, or leave it out"));
}

/// Checks that trust is put in tools, not in what has no annotations.
pub(super) fn trusts_tools(reader: &mut Reader<'_>) {
    let Some(at) = reader.span(&rows::TRUST).filter(|_| reader.span(&rows::CACHE_TOOLS).is_none()) else { return };
    let Some(methods_at) = reader.span(&rows::CACHE_METHODS) else { return };
    let message = format!("{} is given, but {} is not", reader.name(&rows::TRUST), reader.name(&rows::CACHE_TOOLS));
    let fault = Fault::new(Code::Conflict, at, message).related(Some(methods_at), "these only read");
    reader.sink.fault(fault.help("leave it out: only tools say of themselves what they change"));
}

/// Checks that all that the rule is about has arguments, if it says something of them.
pub(super) fn have_arguments(reader: &mut Reader<'_>, target: &CacheTarget) {
    let Some(method) = target.methods.iter().find(|method| !method.has_arguments()) else { return };
    let Some(at) = reader.place(&rows::ARGUMENTS) else { return };
    let message = format!("`{}` is given, but `{}` has no arguments", rows::ARGUMENTS.header, method.name());
    let fault =
        Fault::new(Code::Conflict, at, message).related(reader.span(&rows::CACHE_METHODS), "the rule is about these");
    reader.sink.fault(fault.help("leave it out, or write another rule for what has arguments"));
}

/// Checks that nothing is said of arguments that are ignored.
pub(super) fn are_not_ignored(reader: &mut Reader<'_>, counted: &[(Span, Pointer)], ignored: &[(Span, Pointer)]) {
    for (at, pointer) in counted {
        let Some((other, _)) = ignored.iter().find(|(_, other)| pointer.starts_with(other)) else { continue };
        let message = format!("`/{}` is ignored, whatever is said of it here", pointer.join("/"));
        let fault = Fault::new(Code::Conflict, at.clone(), message).related(Some(other.clone()), "ignored by this");
        reader.sink.fault(fault.help("leave one of them out"));
    }
}

/// What all results together may take, in bytes, and where that is said.
pub(super) struct Memory {
    pub size: usize,
    pub at: Option<Span>,
}

/// Checks that one result of the largest size, in bytes, fits into the memory for all.
pub(super) fn fits(reader: &mut Reader<'_>, row: &dyn Row, size: usize, memory: &Memory) {
    let Some(at) = reader.span(row).filter(|_| size > memory.size && !reader.is_bad(row)) else { return };
    let all = size::text(memory.size);
    let message = format!("{} is more than all results together may take, {all}", reader.name(row));
    let fault = Fault::new(Code::Conflict, at, message).related(memory.at.clone(), "all together");
    reader.sink.fault(fault.help("lower it, or raise `results.memory`"));
}

/// Warns of a rule that an earlier one leaves nothing to.
pub(super) fn is_reached(sink: &mut Sink, earlier: &[CacheRule], places: &[Span], (at, target): (&Span, &CacheTarget)) {
    let Some(index) = earlier.iter().position(|rule| rule.target.covers(target)) else { return };
    let fault = Fault::new(Code::Careless, at.clone(), "the rule never applies");
    let fault = fault.related(places.get(index).cloned(), "this one matches all of it first");
    sink.warn(fault.help("put it before that one, or leave it out"));
}
