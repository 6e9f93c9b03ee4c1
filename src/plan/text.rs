//! A plan as text, for people: the numbers, the arithmetic, what limits and cache would do, what to know, what to do next. It computes nothing.

use std::fmt::Write as _;

use super::Plan;
use super::advice::next;
use super::cache::CachePlan;
use super::tier::Tier;
use super::words::{about, bytes, number, plain, real, seconds, share, small};

/// The plan. `written`: where the files are, if there are any.
#[must_use]
pub fn text(plan: &Plan, written: Option<&str>) -> String {
    let mut out = format!("{}\n\n", asked(plan));
    let _ = writeln!(out, "tier {}: {}\n  {}\n", plan.tier.number(), plan.why, plan.tier.what());
    columns(&mut out, &numbers(plan));
    out.push_str("\narithmetic\n");
    columns(&mut out, &arithmetic(plan));
    out.push_str("\nwhat limits would do\n");
    columns(&mut out, &limits(plan));
    if let Some(cache) = &plan.cache {
        out.push_str("\nwhat the cache would do\n");
        columns(&mut out, &of_the_cache(cache));
        let most = if cache.ttl_for_most.is_finite() { about(cache.ttl_for_most) } else { "no time".to_owned() };
        let _ = writeln!(
            out,
            "  four of five who repeat a question have an answer from a TTL of {most} on; servers are planned without the cache: it may be empty"
        );
    }
    out.push_str("\nconstants\n");
    columns(&mut out, &constants(plan));
    if !plan.warnings.is_empty() {
        out.push_str("\nwarnings\n");
        for warning in &plan.warnings {
            let _ = writeln!(out, "  - {}", warning.text);
        }
    }
    out.push_str("\nnext\n");
    for command in next(plan, written) {
        let _ = writeln!(out, "  {command}");
    }
    out
}

/// What was asked for, in a sentence.
#[must_use]
pub fn asked(plan: &Plan) -> String {
    let target = &plan.target;
    let sessions = match target.session_calls {
        0 => "sessions that last".to_owned(),
        calls => format!("{calls} calls in a session"),
    };
    format!(
        "{} users, {} calls a minute of {} each, {} of users with an open stream, {sessions}, {} headroom",
        number(real(target.users)),
        number(target.calls_per_minute),
        seconds(target.service()),
        share(target.streams),
        share(target.headroom)
    )
}

/// The numbers of the plan: what, and how much.
#[must_use]
pub fn numbers(plan: &Plan) -> Vec<[String; 2]> {
    let (servers, instances) = (&plan.servers, &plan.instances);
    let without = servers.busy_without_one.map_or_else(String::new, |busy| format!(", {} with one lost", share(busy)));
    let mut rows = vec![
        [
            "servers".to_owned(),
            format!(
                "{}, each runs {} calls at a time: {} busy{without}",
                servers.count,
                servers.slots,
                share(servers.busy)
            ),
        ],
        [
            "instances".to_owned(),
            format!(
                "{} of {} cores and {}: {} of a core together",
                instances.count,
                instances.cores,
                whole_bytes(instances.memory_given),
                small(instances.cpu)
            ),
        ],
    ];
    rows.push(match (&plan.store, plan.tier) {
        (None, _) => ["store".to_owned(), "a file; no Redis".to_owned()],
        (Some(store), Tier::Scaled) => [
            "Redis".to_owned(),
            format!(
                "a Cluster of {} primaries with a replica each, maxmemory {} each",
                primaries(plan),
                whole_bytes(store.maxmemory / primaries(plan))
            ),
        ],
        (Some(store), _) => [
            "Redis".to_owned(),
            format!("one, maxmemory {}: {} scripts a second", whole_bytes(store.maxmemory), number(store.scripts)),
        ],
    });
    let front = match (plan.front, plan.tier) {
        (None, _) => "nothing: Moorline ends TLS".to_owned(),
        (Some(front), Tier::Sticky) => format!("nginx on the same machine, {} connections", number(front.connections)),
        (Some(front), Tier::Shared) => format!("nginx or HAProxy, {} connections", number(front.connections)),
        (Some(front), _) => format!(
            "HAProxy, a Gateway or an Ingress, {} connections; an API gateway before it",
            number(front.connections)
        ),
    };
    rows.push(["in front".to_owned(), front]);
    rows
}

/// Primaries of a Redis Cluster: three at least, and so many that none has more than it should.
#[must_use]
pub fn primaries(plan: &Plan) -> u64 {
    let store = plan.store.map_or(0.0, |store| store.busy / plan.target.most_busy());
    #[expect(clippy::cast_precision_loss, reason = "a size")]
    let memory = plan.store.map_or(0.0, |store| store.maxmemory as f64 / super::costs::STORE_MOST.get());
    u64::from(super::words::up(store.max(memory)).max(3))
}

/// A size that is a whole number of mebibytes.
#[must_use]
pub fn whole_bytes(size: u64) -> String {
    match (size.div_ceil(1 << 20), size.is_multiple_of(1 << 30)) {
        (_, true) => format!("{} GiB", size >> 30),
        (mebibytes, _) => format!("{mebibytes} MiB"),
    }
}

/// The arithmetic: what, result, formula.
#[must_use]
pub fn arithmetic(plan: &Plan) -> Vec<[String; 3]> {
    plan.steps
        .0
        .iter()
        .map(|step| [step.what.to_owned(), step.result.to_string(), format!("= {}", plain(&step.formula))])
        .collect()
}

/// What limits would do: which, and what.
#[must_use]
pub fn limits(plan: &Plan) -> Vec<[String; 2]> {
    let limits = &plan.limits;
    let seldom = if limits.refused < 1e-9 {
        "never".to_owned()
    } else {
        format!("in {} of their minutes", share(limits.refused))
    };
    let mut rows = vec![[
        format!("per-session, {}/min", limits.session),
        format!(
            "users make {} a minute and meet it {seldom}; {} sessions may run wild before the servers are full",
            number(limits.user),
            number(limits.wild.floor())
        ),
    ]];
    rows.extend(limits.quotas.iter().map(|quota| {
        [
            format!("{}, {}", quota.quota.name, quota.quota.rate),
            format!(
                "{} a minute want it, {} are refused; {} at the same time{}",
                number(quota.wanted),
                share(quota.refused),
                quota.slots,
                if plan.store.is_none() {
                    String::new()
                } else {
                    format!("; {} a minute at each instance while Redis is away", number(quota.alone))
                }
            ),
        ]
    }));
    rows
}

/// Times to live side by side.
#[must_use]
pub fn of_the_cache(cache: &CachePlan) -> Vec<[String; 5]> {
    let heading =
        ["TTL", "hits of repeats", "calls spared", "servers that carry the rest", "results take"].map(str::to_owned);
    let row = |row: &super::cache::Row| {
        let mark = if (row.ttl - cache.ttl).abs() < f64::EPSILON { " (asked for)" } else { "" };
        [
            format!("{}{mark}", seconds(row.ttl)),
            share(row.hits),
            share(row.spared),
            row.servers.to_string(),
            bytes(row.memory),
        ]
    };
    std::iter::once(heading).chain(cache.rows.iter().map(row)).collect()
}

/// The constants: how much, what, from where.
#[must_use]
pub fn constants(plan: &Plan) -> Vec<[String; 3]> {
    plan.steps
        .costs()
        .iter()
        .map(|cost| [cost.value.to_string(), cost.what.to_owned(), cost.source.to_owned()])
        .collect()
}

/// Rows, each column but the last as wide as its widest cell.
fn columns<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(|column| if column + 1 < N { widest(column) } else { 0 });
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
