//! `moorline cache`: asks a running instance what its cache holds, and has results forgotten, on every instance.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;

use super::ask::{Instance, escaped};

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how much is kept on the instance.
    Show {
        #[command(flatten)]
        instance: Instance,
    },
    /// Forget results, on every instance that shares the store.
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
struct PurgeArgs {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    what: What,
}

/// What is forgotten: all that any of these is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct What {
    /// Results of this tool, or of a pattern that a rule invalidates.
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
    /// Results of rules with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// What this caller has asked for: its address where callers are not authenticated.
    #[arg(long, value_name = "WHO")]
    caller: Vec<String>,
    /// What was asked for in this session (its name in logs, 32 hex digits).
    #[arg(long, value_name = "SESSION")]
    session: Vec<String>,
    /// Everything of this pool; with --tool only that pool's tool.
    #[arg(long, value_name = "POOL")]
    pool: Vec<String>,
    /// Everything.
    #[arg(long)]
    all: bool,
}

#[derive(Deserialize)]
struct Usage {
    entries: usize,
    bytes: u64,
    most: u64,
    under_way: usize,
    waiting: usize,
}

pub(super) fn cache(args: &CacheArgs) -> anyhow::Result<()> {
    match &args.command {
        Command::Show { instance } => {
            let answer = instance.ask(&Method::GET, "/cache")?;
            let usage: Usage =
                serde_json::from_slice(&answer).context("not the admin API of a Moorline of this version")?;
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            println!("{} results, {} of {} MiB", usage.entries, mib(usage.bytes), mib(usage.most));
            println!("{} calls under way, {} requests wait for them", usage.under_way, usage.waiting);
        }
        Command::Purge(purge) => {
            let said = purge.instance.ask(&Method::POST, &purge.what.path())?;
            print!("{}", String::from_utf8_lossy(&said));
        }
    }
    Ok(())
}

impl What {
    fn path(&self) -> String {
        let named = [
            ("tool", &self.tool),
            ("tag", &self.tag),
            ("caller", &self.caller),
            ("session", &self.session),
            ("pool", &self.pool),
        ];
        let pairs = named
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={}", escaped(value))));
        let pairs: Vec<String> = pairs.chain(self.all.then(|| "all=true".to_owned())).collect();
        format!("/cache/purge?{}", pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_forgotten_survives_the_way() {
        let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (tool, pool) = (text(&["a b", "search_*"]), text(&["mcp"]));
        let what = What { tool, pool, tag: vec![], caller: vec![], session: vec![], all: true };
        assert_eq!(what.path(), "/cache/purge?tool=a%20b&tool=search_%2A&pool=mcp&all=true");
    }
}
