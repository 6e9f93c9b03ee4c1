//! Orders to a running instance: to drain a backend, to read its configuration, to log more or less.

use anyhow::bail;
use clap::{Args, ValueEnum};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::ask::Instance;
use super::status::{Backend, Pools};

#[derive(Debug, Args)]
pub(super) struct BackendArgs {
    #[command(flatten)]
    instance: Instance,
    /// The backend: its id, its URL, or its name, as `moorline status` shows them.
    #[arg(value_name = "BACKEND")]
    backend: String,
}

#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    instance: Instance,
}

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    #[command(flatten)]
    instance: Instance,
    /// The least severe level that is written from now on; without it the level is shown.
    #[arg(value_name = "LEVEL", value_enum)]
    level: Option<Level>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Deserialize)]
struct Placed {
    name: String,
    state: String,
    sessions: u64,
    everywhere: bool,
}

#[derive(Deserialize)]
struct Reloaded {
    needs_restart: Vec<String>,
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Warning {
    line: usize,
    column: usize,
    detail: String,
}

#[derive(Deserialize)]
struct Shown {
    level: String,
}

pub(super) fn drain(args: &BackendArgs) -> anyhow::Result<()> {
    order(args, "drain")
}

pub(super) fn undrain(args: &BackendArgs) -> anyhow::Result<()> {
    order(args, "undrain")
}

fn order(args: &BackendArgs, verb: &str) -> anyhow::Result<()> {
    let id = find(&args.instance, &args.backend)?;
    let path = format!("/api/v1/backends/{id}/{verb}");
    args.instance.order((Method::POST, &path), &json!({}), |placed: &Placed| {
        let alone =
            if placed.everywhere { "" } else { "the store is away: this holds here, and elsewhere when it is back\n" };
        format!("{} is {}; {} sessions lie there\n{alone}", placed.name, placed.state, placed.sessions)
    })
}

/// The id of a backend that is named by its id, its URL or its name.
pub(super) fn find(instance: &Instance, named: &str) -> anyhow::Result<String> {
    let pools: Pools = instance.get("/api/v1/backends")?;
    let is_it = |backend: &&Backend| {
        let authority = backend.name.split('/').next();
        [Some(&*backend.id), Some(&*backend.url), Some(&*backend.name), authority].contains(&Some(named))
    };
    let mut found: Vec<&str> =
        pools.pools.iter().flat_map(|pool| &pool.backends).filter(is_it).map(|one| &*one.id).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [id] => Ok(id.to_owned()),
        [] => bail!("no backend is called {named}; see moorline status"),
        _ => bail!("several backends are called {named}; name one by its id: {}", found.join(", ")),
    }
}

pub(super) fn reload(args: &ReloadArgs) -> anyhow::Result<()> {
    args.instance.order((Method::POST, "/api/v1/reload"), &json!({}), |reloaded: &Reloaded| {
        let warnings = reloaded.warnings.iter().map(|one| format!("{}:{}: {}\n", one.line, one.column, one.detail));
        let later = reloaded.needs_restart.iter().map(|key| format!("{key} takes effect at the next restart\n"));
        warnings.chain(later).chain(["reloaded\n".to_owned()]).collect()
    })
}

pub(super) fn log(args: &LogArgs) -> anyhow::Result<()> {
    let words = |shown: &Shown| format!("{}\n", shown.level);
    match args.level.and_then(|level| level.to_possible_value()) {
        None => args.instance.show("/api/v1/log", words),
        Some(level) => args.instance.order((Method::PUT, "/api/v1/log"), &json!({ "level": level.get_name() }), words),
    }
}
