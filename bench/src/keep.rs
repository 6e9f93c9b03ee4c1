//! Keeps a run: its folder, the samples, the summary, and what somebody needs to repeat or to doubt it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::peers::{self, Peer, Yard};
use crate::report;
use crate::run::Sample;

/// The contents of `raw.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Raw {
    /// The run's name.
    pub label: String,
    /// When it ended, in UTC.
    pub ended: String,
    /// Every slot in the order in which it was run.
    pub samples: Vec<Sample>,
}

/// Makes the run's folder below `runs`.
///
/// # Errors
/// If it can't be made, or is there already.
pub fn folder(runs: &Path, label: &str) -> Result<PathBuf> {
    let folder = runs.join(format!("{}-{label}", clock::date("%Y-%m-%d")));
    fs::create_dir_all(runs)?;
    fs::create_dir(&folder).with_context(|| format!("make {} (choose another --label)", folder.display()))?;
    Ok(folder)
}

/// Writes samples and summary.
///
/// # Errors
/// If a file can't be written.
pub fn samples(folder: &Path, raw: &Raw) -> Result<String> {
    fs::write(folder.join("raw.json"), serde_json::to_string_pretty(raw)? + "\n")?;
    let summary = report::summary(&raw.label, &raw.samples);
    fs::write(folder.join("summary.md"), &summary)?;
    Ok(summary)
}

/// Reads the samples of a run again.
///
/// # Errors
/// If there are none that can be read.
pub fn read(folder: &Path) -> Result<Raw> {
    let file = folder.join("raw.json");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))
}

/// Writes down machine, versions, command and configurations.
///
/// # Errors
/// If the file can't be written.
pub fn setup(folder: &Path, peers: &[Peer], yard: &Yard) -> Result<()> {
    let mut text = String::new();
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let revision = asked("git", &["describe", "--always", "--dirty", "--abbrev=40"]);
    let _ = writeln!(text, "command:  {command}\nrevision: {revision}\nkernel:   {}", asked("uname", &["-srvm"]));
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let _ = writeln!(text, "cpu:      {} cores,{model}", asked("nproc", &["--all"]));
    let _ = writeln!(text, "load:     {} (averages of 1, 5 and 15 minutes as the run ended)", load.trim());
    for peer in peers.iter().filter(|peer| **peer != Peer::Direct) {
        let _ = writeln!(text, "{:10}{}", format!("{}:", peer.name()), peers::version(*peer, yard));
    }
    let mut files = fs::read_dir(&yard.folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "conf")) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let _ = write!(text, "\n---- {name}\n{}", fs::read_to_string(file)?);
    }
    fs::write(folder.join("setup.txt"), text)?;
    Ok(())
}

fn asked(program: &str, words: &[&str]) -> String {
    let out = Command::new(program).args(words).output();
    out.map_or_else(|fault| fault.to_string(), |out| String::from_utf8_lossy(&out.stdout).trim().into())
}
