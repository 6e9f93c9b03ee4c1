//! `moorline.toml` of a plan.

use super::super::Plan;
use super::super::costs;
use super::super::instances::RESULTS;
use super::super::limits::QuotaPlan;
use super::super::target::Scope;
use super::super::tier::Tier;
use super::super::words::{setting, whole};
use super::blocks::{Block, Blocks};
use super::{FilesError, TIERS, put};

/// Servers that are listed one by one; more are found by name.
const MOST_LISTED: u32 = 32;

/// The shipped file with the plan's numbers.
pub fn text(plan: &Plan) -> Result<String, FilesError> {
    let mut shared = Blocks::of(TIERS[2]);
    let mut file = Blocks::of(&shipped(plan)?);
    file.block("[[limit]]")?.set("rate", &format!("\"{}/min\"", plan.limits.session))?;
    for header in ["[[upstream]]", "[results]", "[[cache]]", "[bounds]"] {
        file.remove(header);
    }
    if let Some(bounds) = plan.instances.bounds {
        let mut block = Blocks::of(TIERS[3]).block("[bounds]")?.clone();
        block.set("max_connections", &bounds.streams.to_string())?;
        block.set("max_listen_streams", &bounds.streams.to_string())?;
        block.set("max_listen_streams_per_caller", &bounds.streams_of_a_caller.to_string())?;
        file.insert_before("[[limit]]", block)?;
    }
    for quota in &plan.limits.quotas {
        file.insert_before("[[pool]]", upstream(quota))?;
    }
    if let Some(cache) = &plan.cache {
        let mut results = shared.block("[results]")?.clone();
        results.set("memory", &format!("\"{}MiB\"", whole(RESULTS / 1_048_576.0)))?;
        file.insert_before("[[pool]]", results)?;
        let mut rule = Block::new(
            "[[cache]]                                           # tools that only read; put in the names of your own",
            &[
                "tools = [\"search_*\", \"get_*\"]".to_owned(),
                format!("ttl = \"{}\"", setting(cache.ttl)),
                format!("stale = \"{}\"", setting(costs::STALE.get())),
            ],
        );
        if plan.target.cache.scope == Scope::Public {
            rule.add("scope = \"public\"                                  # the same answer for everybody");
        }
        file.insert_before("[[pool]]", rule)?;
    }
    pool(plan, file.block("[[pool]]")?)?;
    Ok(file.text())
}

/// The tier's file; its first line says how many there are.
fn shipped(plan: &Plan) -> Result<String, FilesError> {
    let text = TIERS[usize::from(plan.tier.number()) - 1];
    match plan.tier {
        Tier::Single => Ok(text.to_owned()),
        Tier::Sticky => put(text, "three servers", &format!("{} servers", plan.servers.count)),
        Tier::Shared => put(text, "one of three instances", &format!("one of {} instances", plan.instances.count)),
        Tier::Scaled => {
            put(text, "one of three or more instances", &format!("one of {} instances or more", plan.instances.count))
        }
    }
}

fn upstream(quota: &QuotaPlan) -> Block {
    let name = &quota.quota.name;
    Block::new(
        "[[upstream]]                                        # what these tools share; put in the names of your own",
        &[
            format!("name = \"{name}\""),
            format!("tools = [\"{name}_*\"]"),
            format!("rate = \"{}\"", quota.quota.rate),
            format!("concurrency = {}", quota.slots),
        ],
    )
}

fn pool(plan: &Plan, block: &mut Block) -> Result<(), FilesError> {
    if plan.tier != Tier::Single {
        block.set("backends", &backends(plan.servers.count))?;
    }
    if let Some(slots) = plan.target.server_concurrency {
        block.add(format!("concurrency = {slots}"));
    }
    Ok(())
}

/// Each server by its address, or all by a name.
fn backends(count: u32) -> String {
    if count > MOST_LISTED {
        return "[\"dns+http://servers.internal:3000/mcp\"]".to_owned();
    }
    let servers = (0..count).map(|at| format!("    \"http://10.0.1.{}:3000/mcp\",\n", 11 + at));
    format!("[\n{}]", servers.collect::<String>())
}
