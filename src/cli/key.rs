//! `moorline key new`: makes an API key, shows it once, and writes its hash where Moorline looks for it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};

use super::say::say;
use crate::auth::{NewKey, append};
use crate::clock::Clock;
use crate::config::parse_duration;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key. It is printed once and kept nowhere; a file of keys needs its hash alone.
    New(NewArgs),
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// What the key is called, in logs and in rules.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What its holder may do; once for each scope.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// What else is said of its holder, such as org=acme; once for each.
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, String)>,
    /// After what time the key ends, such as 90d [default: never].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires: Option<Duration>,
    /// The file of keys (keys_file) to which its entry is added; without it the entry is printed.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn key(command: &KeyCommand) -> anyhow::Result<()> {
    let KeyCommand::New(args) = command;
    let new = NewKey {
        name: args.name.clone(),
        scopes: args.scope.clone(),
        claims: args.claim.clone(),
        expires: args.expires,
    };
    let minted = new.mint(Clock::system().unix())?;
    match &args.file {
        Some(file) => {
            append(file, &args.name, &minted.entry).with_context(|| file.display().to_string())?;
            eprintln!("added `{}` to {}; this is the only time that the key is shown:", args.name, file.display());
        }
        None => {
            eprintln!(
                "put this into the file of keys:\n\n{}\nthis is the only time that the key is shown:",
                minted.entry
            );
        }
    }
    // Alone on standard output, so that scripts can take it from there.
    say(&format!("{}\n", minted.reveal()))
        .map_err(|error| anyhow!("{error}; the key is made, and its secret lost: make another one"))
}

fn claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|length| !length.is_zero()).ok_or_else(|| "write it as 90d, 12h or 1h30m".to_owned())
}
