//! The chart's values of a plan: the shipped example for thousands of users, with the plan's numbers.

use std::fmt::Write as _;

use super::super::Plan;
use super::super::target::Scope;
use super::super::words::{real, setting, up_to};
use super::{FilesError, put};

const SHIPPED: &str = include_str!("../../../deploy/helm/moorline/examples/values-thousands.yaml");

/// Instances that the autoscaler may make at most (the chart's schema).
const MOST_REPLICAS: u32 = 256;

/// The values.
pub fn text(plan: &Plan) -> Result<String, FilesError> {
    let (instances, target) = (&plan.instances, &plan.target);
    let least = instances.count.min(MOST_REPLICAS);
    let most = least.saturating_mul(3).clamp(least, MOST_REPLICAS);
    let serving = real(instances.count.saturating_sub(plan.tier.spare_instances()).max(1));
    let streams = up_to(instances.streams / target.most_busy(), 1000).max(10_000);
    let sessions = up_to(real(target.users) / serving / target.most_busy(), 1000).max(10_000);
    let in_flight = up_to(target.in_flight() / serving / target.most_busy(), 100).max(500);
    let bounds = instances.bounds.map_or(20_000, |bounds| bounds.streams.max(20_000));
    let per_caller = instances.bounds.map_or(1000, |bounds| bounds.streams_of_a_caller);
    let mebibytes = instances.memory_given.div_ceil(1 << 20);
    let mut text = SHIPPED.to_owned();
    for (shipped, instead) in [
        ("# Thousands of users: as many instances", "# Made by moorline plan: as many instances".to_owned()),
        ("  threads: 4\n", format!("  threads: {}\n", instances.cores)),
        ("    max_connections: 20000\n", format!("    max_connections: {bounds}\n")),
        (
            "    max_listen_streams: 20000\n",
            format!("    max_listen_streams: {bounds}\n    max_listen_streams_per_caller: {per_caller}\n"),
        ),
        ("  limits:\n    preset: standard\n", limits(plan)),
        ("      ttl: 1m\n", format!("      ttl: 1m\n{}", cache(plan))),
        ("  minReplicas: 4\n", format!("  minReplicas: {least}\n")),
        ("  maxReplicas: 24\n", format!("  maxReplicas: {most}\n")),
        (
            "  streams: 10000\n",
            format!("  sessions: {sessions}\n  streams: {streams}\n  requestsInFlight: {in_flight}\n"),
        ),
        ("cpu: \"2\", memory: 1Gi", format!("cpu: \"{}\", memory: {mebibytes}Mi", instances.cores)),
        ("limits: { memory: 2Gi }", format!("limits: {{ memory: {}Mi }}", 2 * mebibytes)),
    ] {
        text = put(&text, shipped, &instead)?;
    }
    if let Some(slots) = target.server_concurrency {
        text = put(&text, "      concurrency: adaptive\n", &format!("      concurrency: {slots}\n"))?;
    }
    Ok(text)
}

fn limits(plan: &Plan) -> String {
    let mut out = format!("  limit:\n    - {{ name: per-session, key: session, rate: {}/min }}\n", plan.limits.session);
    if !plan.limits.quotas.is_empty() {
        out.push_str("  # What these tools share; put in the names of your own.\n  upstream:\n");
    }
    for quota in &plan.limits.quotas {
        let (name, rate) = (&quota.quota.name, quota.quota.rate);
        let _ = writeln!(
            out,
            "    - {{ name: \"{name}\", tools: [\"{name}_*\"], rate: {rate}, concurrency: {} }}",
            quota.slots
        );
    }
    out
}

fn cache(plan: &Plan) -> String {
    let Some(cache) = &plan.cache else { return String::new() };
    let scope = if plan.target.cache.scope == Scope::Public { "      scope: public\n" } else { "" };
    format!(
        "    # Tools that only read; put in your own.\n    - tools: [\"search_*\", \"get_*\"]\n      ttl: {}\n      stale: 5m\n{scope}",
        setting(cache.ttl)
    )
}
