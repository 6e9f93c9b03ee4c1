//! What a client is told of its limits: the sentence of a refusal, and the header fields of every answer (`RateLimit` and
//! `RateLimit-Policy` as in draft-ietf-httpapi-ratelimit-headers-10, `X-RateLimit-*` as many clients know them).

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::counts::Reason;
use super::queue::Turned;
use super::rules::{Account, Bill, Rule, Rules, Unit};
use crate::config::Rate;
use crate::exchange::Exchange;
use crate::reject::{Cause, Limited};
use crate::store::counters::{Standing, Taken};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Characters of a tool's name that a sentence repeats.
const LONGEST_NAME: usize = 64;

/// Where nobody knows when a slot will be free: soon.
const SOON: Duration = Duration::from_secs(1);

/// The refusal of a charge, which is counted.
pub fn refusal(
    rules: &Rules,
    bill: &Bill,
    (refused, taken): (usize, &Taken),
    exchange: &Exchange,
    turned: Option<Turned>,
) -> Cause {
    let found = bill.of.get(refused).and_then(|at| rules.at(*at)).zip(taken.standings.get(refused));
    let Some(((rule, account), standing)) = found else { return Cause::LimitsAway };
    let wait = if matches!(account.unit, Unit::Running(..)) && !standing.blocked { SOON } else { standing.retry_after };
    let retry_after = whole_seconds(wait).max(1);
    let what: String = exchange.tool().unwrap_or_else(|| exchange.verb()).chars().take(LONGEST_NAME).collect();
    let (limit, window) = match account.unit {
        Unit::Calls(rate) | Unit::Tokens(rate, _) => (rate.count.get(), Some(rate.per.as_secs())),
        Unit::Running(most, _) => (u64::from(most), None),
        Unit::Pause => (0, None),
    };
    let can_block = account.budget.block.is_some();
    rule.counts.refuse(Reason::of(account.unit, standing.blocked, can_block, turned));
    let reason = reason((rule, account), standing, turned);
    Cause::Limited(Box::new(Limited {
        name: rule.name.clone(),
        text: format!("{what}: {reason}; try again in {retry_after} s"),
        limit,
        window,
        retry_after: u32::try_from(retry_after).unwrap_or(u32::MAX),
        form: rule.form,
        headers: fields([(rules, bill, taken)].into_iter()),
    }))
}

fn reason((rule, account): (&Rule, &Account), standing: &Standing, turned: Option<Turned>) -> String {
    let paused = || format!("{} has asked to be left alone for a while", rule.name);
    match account.unit {
        Unit::Pause => paused(),
        Unit::Calls(_) | Unit::Tokens(..) if standing.blocked && account.budget.block.is_none() => paused(),
        Unit::Calls(rate) if standing.blocked => format!("blocked for more than {}", rate_text(rate, "call")),
        Unit::Calls(rate) => format!("{} used up", rate_text(rate, "call")),
        Unit::Tokens(rate, _) => format!("{} of {} used up", rate_text(rate, "token"), rule.name),
        Unit::Running(most, _) => {
            let running = format!("{} running already", are(u64::from(most), "call"));
            match turned {
                Some(Turned::Full) => format!("{running} and too many waiting"),
                Some(Turned::Late) => format!("{running} and none ended in time"),
                None => running,
            }
        }
    }
}

/// A rate in words.
pub fn rate_text(rate: Rate, what: &str) -> String {
    let per = match rate.per.as_secs() {
        1 => "second".into(),
        60 => "minute".into(),
        3600 => "hour".into(),
        86_400 => "day".into(),
        secs => format!("{secs} s"),
    };
    format!("{} per {per}", many(rate.count.get(), what))
}

fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn are(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what} is") } else { format!("{count} {what}s are") }
}

/// What an answer says of the limits that apply to its request.
pub fn fields<'a>(parts: impl Iterator<Item = (&'a Rules, &'a Bill, &'a Taken)>) -> Vec<(HeaderName, HeaderValue)> {
    let (mut policy, mut state) = (String::with_capacity(64), String::with_capacity(64));
    let mut tightest: Option<(u64, &Standing)> = None;
    let standings = parts.flat_map(|(rules, bill, taken)| bill.of.iter().map(|at| rules.at(*at)).zip(&taken.standings));
    for (found, standing) in standings {
        let Some((_, account)) = found else { continue };
        let Some(told) = &account.policy else { continue };
        if !policy.is_empty() {
            policy.push_str(", ");
            state.push_str(", ");
        }
        policy.push_str(told);
        // Writing to a string cannot fail.
        let _ = write!(state, "\"{}\";r={}", account.budget.name, standing.remaining);
        if let Unit::Calls(rate) = account.unit {
            let _ = write!(state, ";t={}", whole_seconds(standing.reset.max(standing.retry_after)));
            let share = |(limit, standing): (u64, &Standing)| {
                u128::from(standing.remaining) * u128::from(u64::MAX) / u128::from(limit.max(1))
            };
            let this = (rate.count.get(), standing);
            if tightest.is_none_or(|tightest| share(this) < share(tightest)) {
                tightest = Some(this);
            }
        }
    }
    let mut fields = Vec::with_capacity(5);
    if policy.is_empty() {
        return fields;
    }
    fields.extend(HeaderValue::try_from(policy).ok().map(|policy| (RATELIMIT_POLICY, policy)));
    fields.extend(HeaderValue::try_from(state).ok().map(|state| (RATELIMIT, state)));
    if let Some((limit, standing)) = tightest {
        fields.push((X_LIMIT, HeaderValue::from(limit)));
        fields.push((X_REMAINING, HeaderValue::from(standing.remaining)));
        fields.push((X_RESET, HeaderValue::from(whole_seconds(standing.reset.max(standing.retry_after)))));
    }
    fields
}

/// Rounded up: whoever waits so long has waited long enough.
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
