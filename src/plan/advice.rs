//! What whoever carries a plan out should know before, and what to do next. It changes no number.

use super::Plan;
use super::limits::a_minute;
use super::target::Scope;
use super::tier::Tier;
use super::words::{about, argument, bytes, number, real, seconds, share};

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// By what name programs know it.
    pub id: &'static str,
    /// In words.
    pub text: String,
}

impl Warning {
    /// A warning.
    #[must_use]
    pub fn new(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, text: text.into() }
    }
}

/// What is to be known of a plan.
#[must_use]
pub fn warnings(plan: &Plan) -> Vec<Warning> {
    let mut found = Vec::new();
    of_servers(plan, &mut found);
    of_instances(plan, &mut found);
    of_limits(plan, &mut found);
    of_the_store(plan, &mut found);
    of_the_cache(plan, &mut found);
    found
}

fn of_servers(plan: &Plan, found: &mut Vec<Warning>) {
    let (servers, target) = (&plan.servers, &plan.target);
    if servers.count == 1 {
        found.push(Warning::new(
            "one-server",
            "one server cannot stand its own loss: while it restarts nobody is served; a second one, and sessions go on there",
        ));
    }
    if target.server_concurrency.is_none() {
        let text = format!(
            "it is assumed that a server runs {} calls at the same time; load one by itself, and say --server-concurrency",
            servers.slots
        );
        found.push(Warning::new("concurrency-assumed", text));
    }
    let Some(there) = target.servers else { return };
    let slots = real(there) * real(servers.slots);
    if target.in_flight() >= slots {
        let text = format!(
            "calls a second × tool latency is {} in flight, and {there} servers × {} calls are {}: the line would only grow; {} servers are needed",
            number(target.in_flight()),
            servers.slots,
            number(slots),
            servers.count
        );
        found.push(Warning::new("servers-overloaded", text));
    } else if there < servers.count {
        let text = format!(
            "there are {there} servers, {} are needed: {} carry the calls with {} to spare, and the others may be lost",
            servers.count,
            servers.carrying,
            share(target.headroom)
        );
        found.push(Warning::new("servers-few", text));
    }
}

fn of_instances(plan: &Plan, found: &mut Vec<Warning>) {
    if plan.tier == Tier::Sticky {
        found.push(Warning::new(
            "one-instance",
            "one instance: clients wait for the second that its restart takes, and its machine's end is the end of service; --tier 3 has three",
        ));
    }
    if plan.front.is_some() && plan.tier != Tier::Sticky {
        found.push(Warning::new(
            "one-proxy",
            "the proxy is one machine: give it a second one with a shared address (keepalived), or take your cloud's balancer",
        ));
    }
    let streams = plan.target.open_streams();
    let allowed = plan.instances.bounds.map_or(1000, |bounds| bounds.streams_of_a_caller);
    if streams > 1000.0 {
        let text = format!(
            "where callers are not authenticated, an address counts as one: on one instance it may hold {} streams open (bounds.max_listen_streams_per_caller), and a large office may be behind one address",
            number(real(u32::try_from(allowed).unwrap_or(u32::MAX)))
        );
        found.push(Warning::new("streams-of-an-address", text));
    }
}

fn of_limits(plan: &Plan, found: &mut Vec<Warning>) {
    for quota in &plan.limits.quotas {
        if quota.refused > 0.0 {
            let text = format!(
                "the quota {} ({}) is below the {} calls a minute that want it: {} of them are refused; ask for more, or keep answers",
                quota.quota.name,
                quota.quota.rate,
                number(quota.wanted),
                share(quota.refused)
            );
            found.push(Warning::new("quota-below", text));
        }
        if real(plan.instances.count) > a_minute(&quota.quota) {
            let text = format!(
                "while Redis is away each instance has at least one call of {}: more than the quota together",
                quota.quota.name
            );
            found.push(Warning::new("quota-shares", text));
        }
    }
    if plan.limits.wild < 1.0 {
        let text = format!(
            "one session that runs wild ({} calls a minute) takes more slots than are free: give tools that are slow a limit of their own (concurrency), or keep more free (--headroom)",
            number(real(plan.limits.session))
        );
        found.push(Warning::new("wild-session", text));
    }
}

fn of_the_store(plan: &Plan, found: &mut Vec<Warning>) {
    let Some(store) = plan.store else { return };
    let remembered =
        plan.steps.get("sessions-ended").map_or(0.0, |step| step.result.value) * super::costs::GRAVE_STORED.get();
    if remembered > store.memory / 2.0 {
        let text = format!(
            "{} of the {} in Redis are for sessions that have ended, remembered for session.lifetime (24h): a shorter one takes less",
            bytes(remembered),
            bytes(store.memory)
        );
        found.push(Warning::new("ended-sessions", text));
    }
    if plan.tier != Tier::Scaled && store.busy > 0.5 {
        found.push(Warning::new("busy-store", format!("one Redis would be busy {} of its time", share(store.busy))));
    }
}

fn of_the_cache(plan: &Plan, found: &mut Vec<Warning>) {
    let Some(cache) = &plan.cache else { return };
    let Some(row) = cache.rows.iter().find(|row| (row.ttl - cache.ttl).abs() < f64::EPSILON) else { return };
    if row.hits < 0.2 && plan.target.cache.repeat > 0.0 {
        let advice = match plan.target.cache.scope {
            Scope::Caller => "answers that are the same for all (scope = \"public\") would be asked for more often",
            Scope::Public => "there are too many questions, or too few calls",
        };
        let text = format!(
            "with a TTL of {} only {} of those who repeat a question have an answer; {} would do for four of five; {advice}",
            seconds(cache.ttl),
            share(row.hits),
            if cache.ttl_for_most.is_finite() { about(cache.ttl_for_most) } else { "no time".to_owned() }
        );
        found.push(Warning::new("cache-does-little", text));
    }
}

/// What to do next, as commands. `written`: where the files are.
#[must_use]
pub fn next(plan: &Plan, written: Option<&str>) -> Vec<String> {
    let target = &plan.target;
    let mut next = Vec::new();
    match written {
        None => next.push("moorline plan … --write DIRECTORY      # the files for it".to_owned()),
        Some(folder) => {
            next.push(format!("less {folder}/README.md"));
            next.push(format!("moorline check --config {folder}/moorline.toml      # where its secrets lie"));
        }
    }
    next.push(format!(
        "deploy/tiers/run.sh {}      # the tier on this machine, with sample servers",
        plan.tier.number()
    ));
    next.push(format!(
        "moorline load URL --users {} --rate {} --streams {}% --session-calls {} --duration 5m --json load.json",
        target.users.min(28_000),
        argument(target.calls_per_minute * real(target.users.min(28_000)) / real(target.users)),
        argument(target.streams * 100.0),
        target.session_calls
    ));
    next.push("moorline plan --from load.json      # the same with the latency that was met".to_owned());
    next
}
