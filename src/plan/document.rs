//! A plan as JSON, for programs: its form is `docs/plan.md`'s matter, and has a version.

use serde_json::{Value, json};

use super::Plan;
use super::advice::next;
use super::cache::CachePlan;
use super::limits::Limits;
use super::queue::Wait;
use super::store::Store;

/// What `format` says.
pub const FORMAT: &str = "moorline-plan";

/// What `version` says. Grows when a reader of the version before would go wrong.
pub const VERSION: u32 = 1;

/// The plan. `written`: where the files are, if there are any.
#[must_use]
pub fn document(plan: &Plan, written: Option<&str>) -> Value {
    json!({
        "format": FORMAT,
        "version": VERSION,
        "moorline": env!("CARGO_PKG_VERSION"),
        "target": target(plan),
        "tier": { "number": plan.tier.number(), "users": plan.tier.users(), "why": plan.why },
        "servers": servers(plan),
        "instances": instances(plan),
        "redis": plan.store.as_ref().map(store),
        "front": plan.front.map(|front| json!({ "connections": front.connections, "maxconn": front.most })),
        "limits": limits(&plan.limits),
        "cache": plan.cache.as_ref().map(cache),
        "steps": steps(plan),
        "constants": constants(plan),
        "warnings": plan.warnings.iter().map(|warning| json!({ "id": warning.id, "text": warning.text })).collect::<Vec<_>>(),
        "next": next(plan, written),
    })
}

fn target(plan: &Plan) -> Value {
    let target = &plan.target;
    let quotas = target
        .quotas
        .iter()
        .map(|quota| json!({ "name": quota.name, "rate": quota.rate.to_string(), "share": quota.share }));
    json!({
        "users": target.users,
        "calls_per_minute": target.calls_per_minute,
        "tool_latency_seconds": target.service(),
        "streams": target.streams,
        "session_calls": target.session_calls,
        "server_concurrency": target.server_concurrency,
        "servers": target.servers,
        "instance_cores": target.instance_cores,
        "answer_bytes": target.answer_bytes,
        "cacheable": target.cache.cacheable,
        "repeat": target.cache.repeat,
        "questions": target.cache.questions,
        "ttl_seconds": target.cache.ttl.as_secs_f64(),
        "scope": target.cache.scope,
        "quotas": quotas.collect::<Vec<_>>(),
        "headroom": target.headroom,
    })
}

fn wait(wait: Option<Wait>) -> Option<Value> {
    wait.map(|wait| json!({ "share": wait.share, "mean_seconds": wait.mean, "p99_seconds": wait.p99 }))
}

fn servers(plan: &Plan) -> Value {
    let servers = &plan.servers;
    json!({
        "count": servers.count,
        "carrying": servers.carrying,
        "concurrency": servers.slots,
        "busy": servers.busy,
        "busy_without_one": servers.busy_without_one,
        "wait": wait(servers.wait),
        "wait_without_one": wait(servers.wait_without_one),
    })
}

fn instances(plan: &Plan) -> Value {
    let instances = &plan.instances;
    json!({
        "count": instances.count,
        "carrying": instances.carrying,
        "cores": instances.cores,
        "cpu_cores_of_all": instances.cpu,
        "streams": instances.streams,
        "memory_bytes": instances.memory,
        "memory_given_bytes": instances.memory_given,
        "descriptors": instances.descriptors,
        "bounds": instances.bounds.map(|bounds| json!({
            "max_connections": bounds.streams,
            "max_listen_streams": bounds.streams,
            "max_listen_streams_per_caller": bounds.streams_of_a_caller,
        })),
    })
}

fn store(store: &Store) -> Value {
    json!({
        "memory_bytes": store.memory,
        "maxmemory_bytes": store.maxmemory,
        "scripts_per_second": store.scripts,
        "busy": store.busy,
    })
}

fn limits(limits: &Limits) -> Value {
    let quotas = limits.quotas.iter().map(|plan| {
        json!({
            "name": plan.quota.name,
            "wanted_per_minute": plan.wanted,
            "refused": plan.refused,
            "concurrency": plan.slots,
            "per_minute_of_each_instance_alone": plan.alone,
        })
    });
    json!({
        "session_per_minute": limits.session,
        "user_per_minute": limits.user,
        "refused_of_a_user": limits.refused,
        "wild_sessions": limits.wild,
        "upstreams": quotas.collect::<Vec<_>>(),
    })
}

fn cache(cache: &CachePlan) -> Value {
    let rows = cache.rows.iter().map(|row| {
        json!({
            "ttl_seconds": row.ttl,
            "hits": row.hits,
            "calls_spared": row.spared,
            "servers_carrying": row.servers,
            "memory_bytes": row.memory,
        })
    });
    json!({
        "ttl_seconds": cache.ttl,
        "ttl_for_four_of_five_seconds": cache.ttl_for_most.is_finite().then_some(cache.ttl_for_most),
        "by_ttl": rows.collect::<Vec<_>>(),
    })
}

fn steps(plan: &Plan) -> Vec<Value> {
    let step = |step: &super::step::Step| {
        json!({
            "id": step.id,
            "what": step.what,
            "formula": step.formula,
            "value": step.result.value,
            "unit": step.result.unit.name(),
            "constants": step.costs.iter().map(|cost| cost.id).collect::<Vec<_>>(),
        })
    };
    plan.steps.0.iter().map(step).collect()
}

fn constants(plan: &Plan) -> Vec<Value> {
    let constant = |cost: &&super::costs::Cost| json!({ "id": cost.id, "value": cost.get(), "unit": cost.value.unit.name(), "what": cost.what, "source": cost.source });
    plan.steps.costs().iter().map(constant).collect()
}
