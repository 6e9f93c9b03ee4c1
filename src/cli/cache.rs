//! `moorline cache`: asks a running instance what its cache holds, and has results forgotten, on every instance.

use clap::{Args, Subcommand};
use http::Method;
use serde::{Deserialize, Serialize};

use super::ask::Instance;

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
#[derive(Debug, Args, Serialize)]
#[group(required = true, multiple = true)]
struct What {
    /// Results of this tool, or of a pattern that a rule invalidates.
    #[arg(long, value_name = "NAME")]
    #[serde(rename = "tools")]
    tool: Vec<String>,
    /// Results of rules with this tag.
    #[arg(long, value_name = "TAG")]
    #[serde(rename = "tags")]
    tag: Vec<String>,
    /// What this caller has asked for: its address where callers are not authenticated.
    #[arg(long, value_name = "WHO")]
    #[serde(rename = "callers")]
    caller: Vec<String>,
    /// What was asked for in this session (its name in logs, 32 hex digits).
    #[arg(long, value_name = "SESSION")]
    #[serde(rename = "sessions")]
    session: Vec<String>,
    /// Everything of this pool; with --tool only that pool's tool.
    #[arg(long, value_name = "POOL")]
    #[serde(rename = "pools")]
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
        Command::Show { instance } => instance.show("/api/v1/cache", words),
        Command::Purge(purge) => {
            purge.instance.command((Method::POST, "/api/v1/cache/purge"), &purge.what, "forgotten")
        }
    }
}

fn words(usage: &Usage) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let kept = format!("{} results, {} of {} MiB\n", usage.entries, mib(usage.bytes), mib(usage.most));
    format!("{kept}{} calls under way, {} requests wait for them\n", usage.under_way, usage.waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_forgotten_is_said_as_the_api_wants_it() {
        let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (tool, pool) = (text(&["a b", "search_*"]), text(&["mcp"]));
        let what = What { tool, pool, tag: vec![], caller: vec![], session: vec![], all: true };
        let expected =
            r#"{"tools":["a b","search_*"],"tags":[],"callers":[],"sessions":[],"pools":["mcp"],"all":true}"#;
        assert_eq!(serde_json::to_string(&what).unwrap(), expected);
    }
}
