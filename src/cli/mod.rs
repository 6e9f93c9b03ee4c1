//! The command line: what the program can be asked to do, and how its outcome is told. It decides nothing else.

mod ask;
mod cache;
mod demo;
mod events;
mod key;
mod limits;
mod load;
mod orders;
mod plan;
mod say;
mod serve;
mod sessions;
mod status;
mod table;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use say::{NobodyReads, say};

use crate::config::{Colour, Config, ConfigError, Faults};

/// One endpoint in front of many MCP servers.
#[derive(Debug, Parser)]
#[command(name = "moorline", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: stand in front of the backends.
    Serve(ServeArgs),
    /// Say whether a configuration file is good; if not, everything that is wrong with it.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Ask a running instance how it is doing: instances, pools and backends.
    Status(status::StatusArgs),
    /// List the sessions that a running instance knows.
    Sessions(sessions::SessionsArgs),
    /// Look at one session, end it, or move it to another backend.
    Session(sessions::SessionArgs),
    /// Have a backend take nobody new; its sessions move away as they fall quiet.
    Drain(orders::BackendArgs),
    /// Have a drained backend take newcomers again.
    Undrain(orders::BackendArgs),
    /// Have a running instance read its configuration file anew, and say what is wrong with it.
    Reload(orders::ReloadArgs),
    /// Show from which level on a running instance logs, or set it.
    Log(orders::LogArgs),
    /// Show what has happened at a running instance lately.
    Events(events::EventsArgs),
    /// Ask a running instance how its limits stand, and who spends most.
    Limits(limits::LimitsArgs),
    /// Ask a running instance what its cache holds, or have results forgotten everywhere.
    Cache(cache::CacheArgs),
    /// Make keys by which callers are known (mode api_keys).
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Load an MCP endpoint with simulated users, and say what they met.
    Load(Box<load::LoadArgs>),
    /// Say what a number of users takes: tier, servers, instances, Redis, limits, cache; write the files for it.
    Plan(Box<plan::PlanArgs>),
    /// Start sample servers with Moorline in front of them, and tell what to try.
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The configuration file; it says everything, so no other option goes with it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "admin", "store", "backend"])]
    config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where the admin API listens, or "off" [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Where sessions are kept: "memory" or "disk:DIRECTORY" [default: memory].
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A replica of the MCP server, such as `http://127.0.0.1:3001/mcp`; once for each.
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    backend: Vec<String>,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Also drive it: clients connect, and the terminal shows who is moored where.
    #[arg(long)]
    scenario: bool,
    /// How many sample servers.
    #[arg(long, default_value_t = 3, value_name = "N")]
    servers: usize,
    /// How many clients the scenario has.
    #[arg(long, default_value_t = 9, value_name = "N")]
    clients: usize,
    /// Where Moorline listens [default: a free loopback port].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::serve(&args),
        Command::Check { config } => check(&config),
        Command::Status(args) => status::status(&args),
        Command::Sessions(args) => sessions::sessions(&args),
        Command::Session(args) => sessions::session(&args),
        Command::Drain(args) => orders::drain(&args),
        Command::Undrain(args) => orders::undrain(&args),
        Command::Reload(args) => orders::reload(&args),
        Command::Log(args) => orders::log(&args),
        Command::Events(args) => events::events(&args),
        Command::Limits(args) => limits::limits(&args),
        Command::Cache(args) => cache::cache(&args),
        Command::Key(command) => key::key(&command),
        Command::Load(args) => match load::load(&args) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Plan(args) => plan::plan(&args),
        Command::Demo(args) => demo::demo(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<NobodyReads>() => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong: faults of the configuration as they point into it, anything else with its causes.
fn complain(error: &anyhow::Error) {
    match error.downcast_ref::<ConfigError>() {
        Some(ConfigError::Faults(faults)) => point(faults),
        _ => eprintln!("error: {error:#}"),
    }
}

/// Points into the file, where there is anything to point at.
fn point(faults: &Faults) {
    let shown = faults.render(colour());
    if !shown.is_empty() {
        eprintln!("{shown}");
    }
}

fn check(path: &std::path::Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    crate::app::check(&config).context("cannot set up TLS")?;
    point(&config.warnings);
    say(&format!("{}: good\n", path.display()))
}

fn colour() -> Colour {
    let wanted = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { Colour::Ansi } else { Colour::Plain }
}
