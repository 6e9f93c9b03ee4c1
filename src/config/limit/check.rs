//! What must hold of limits and of upstreams alike: names, pools, and that what is asked can ever be had.

use std::num::NonZeroU64;

use super::{Around, Glob, Rate};
use crate::config::fault::{Code, Fault, Span};
use crate::config::form::{List, Text};
use crate::config::nearest::nearest;
use crate::config::quantity::Count;
use crate::config::tree::{Needed, Optional, Reader, Row};

/// A burst refills within this, in seconds: a counter that remembers for years would be a slip.
const LONGEST_REFILL: u64 = 365 * 86_400;

/// Each name of a limit or upstream, where it stands first, and what to say of that place.
pub(super) type Seen = Vec<(Box<str>, Span, &'static str)>;

/// A name that no other limit or upstream has.
pub(super) fn name(reader: &mut Reader<'_>, row: &Needed<Text<Box<str>>>, seen: &mut Seen) -> Box<str> {
    let at = reader.span(row).unwrap_or(reader.at.clone());
    let Some(name) = reader.need(row) else { return Box::default() };
    let Some((_, first, label)) = seen.iter().find(|(earlier, ..)| *earlier == name) else {
        seen.push((name.clone(), at, "the first one"));
        return name;
    };
    let fault = Fault::new(Code::Duplicate, at, format!("two limits or upstreams have the name `{name}`"));
    let fault = fault.related(Some(first.clone()), *label);
    reader.sink.fault(fault.help("give each a `name` of its own"));
    name
}

/// Names of pools that there are.
pub(in crate::config) fn pools(
    reader: &mut Reader<'_>,
    row: &Optional<List<Text<String>>>,
    around: &Around<'_>,
) -> Vec<Box<str>> {
    let named = reader.find(row).unwrap_or_default();
    for (at, name) in named.iter().filter(|(_, name)| !around.pools.contains(&name.as_str())) {
        let fault = Fault::new(Code::BadValue, at.clone(), format!("no pool has the name `{name}`"));
        let help = match nearest(name, around.pools.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if around.pools.is_empty() => "add a line `[[pool]]`".to_owned(),
            None => format!("the pools: {}", around.pools.join(", ")),
        };
        reader.sink.fault(fault.help(help));
    }
    named.into_iter().map(|(_, name)| name.into_boxed_str()).collect()
}

/// Patterns without their places.
pub(in crate::config) fn globs(found: Option<Vec<(Span, Glob)>>) -> Vec<Glob> {
    found.unwrap_or_default().into_iter().map(|(_, glob)| glob).collect()
}

/// A burst, which refills in a time that somebody can wait for.
pub(super) fn burst(reader: &mut Reader<'_>, row: &Optional<Count<u64>>, rate: Option<Rate>) -> Option<NonZeroU64> {
    let burst = reader.find(row).and_then(NonZeroU64::new)?;
    let (Some(rate), Some(at)) = (rate, reader.span(row)) else { return Some(burst) };
    let seconds = u128::from(burst.get()) * u128::from(rate.per.as_secs()) / u128::from(rate.count.get());
    if seconds > u128::from(LONGEST_REFILL) {
        let message = format!("{} takes more than 365d to refill at {rate}", reader.name(row));
        reader.sink.fault(Fault::new(Code::OutOfRange, at, message).help("lower it, or raise the rate"));
    }
    Some(burst)
}

/// The most that can be spent at once, and the row that says so.
pub(super) type AtOnce<'r> = (NonZeroU64, &'r dyn Row);

/// What a rate and its burst let be spent at once; none where either has a fault, or there is no rate.
pub(super) fn at_once<'r>(
    reader: &Reader<'_>,
    (rate, rate_row): (Option<Rate>, &'r dyn Row),
    (burst, burst_row): (Option<NonZeroU64>, &'r dyn Row),
) -> Option<AtOnce<'r>> {
    if reader.is_bad(burst_row) {
        return None;
    }
    let count = rate.map(|rate| (rate.count, rate_row));
    count.and(burst.map(|burst| (burst, burst_row)).or(count))
}

/// Checks that a cost is not more than can be spent at once.
pub(super) fn affordable(reader: &mut Reader<'_>, (at, cost): (Span, u64), row: &dyn Row, most: Option<AtOnce<'_>>) {
    let Some((most, said_by)) = most.filter(|(most, _)| cost > most.get()) else { return };
    let message = format!("{}: {cost} is more than can be spent at once", reader.name(row));
    let fault = Fault::new(Code::Conflict, at, message).related(reader.span(said_by), format!("{most} at once"));
    reader.sink.fault(fault.help("such a call would never be admitted: lower this, or raise the burst or the rate"));
}
