//! What the kernel says about a process and its descendants: CPU time and memory. Reads `/proc` only.

use std::ops::Sub;
use std::{fmt, fs};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A process and those that descend from it, as they were when it was made.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pids: Vec<u32>,
}

/// CPU time of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Nanoseconds on a CPU, of all threads (`schedstat`).
    pub run_ns: u64,
    /// Nanoseconds in which a thread could have run and another process had the core (`schedstat`).
    pub wait_ns: u64,
    /// Ticks (10 ms) in user mode.
    pub user_ticks: u64,
    /// Ticks (10 ms) in the kernel.
    pub system_ticks: u64,
}

/// Memory of a tree, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Pages mapped, those shared with others divided among them.
    pub pss_kib: u64,
    /// Pages mapped, those shared within the tree counted more than once.
    pub rss_kib: u64,
}

impl Tree {
    /// The process and all its descendants now.
    ///
    /// # Errors
    /// If `/proc` can't be read.
    pub fn of(root: u32) -> Result<Self> {
        let parents = parents()?;
        let mut pids = vec![root];
        let mut at = 0;
        while let Some(&parent) = pids.get(at) {
            pids.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            at += 1;
        }
        Ok(Self { pids })
    }

    /// This process alone.
    pub fn own() -> Self {
        Self { pids: vec![std::process::id()] }
    }

    /// CPU time so far. A running thread's last tick (at most 4 ms) may be missing.
    ///
    /// # Errors
    /// If one of the processes is gone.
    pub fn cpu(&self) -> Result<Cpu> {
        let mut sum = Cpu::default();
        for pid in &self.pids {
            add_stat(*pid, &mut sum)?;
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let text = fs::read_to_string(task?.path().join("schedstat")).context("schedstat")?;
                let mut fields = text.split_whitespace().filter_map(|field| field.parse::<u64>().ok());
                sum.run_ns += fields.next().unwrap_or_default();
                sum.wait_ns += fields.next().unwrap_or_default();
            }
        }
        Ok(sum)
    }

    /// Memory now.
    ///
    /// # Errors
    /// If one of the processes is gone or belongs to somebody else.
    pub fn memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for pid in &self.pids {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("smaps_rollup")?;
            sum.pss_kib += kib(&text, "Pss:");
            sum.rss_kib += kib(&text, "Rss:");
        }
        Ok(sum)
    }
}

impl fmt::Display for Tree {
    /// The processes' ids as `perf` takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            run_ns: self.run_ns.saturating_sub(earlier.run_ns),
            wait_ns: self.wait_ns.saturating_sub(earlier.wait_ns),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }
}

/// Ticks (10 ms) so far in which the hypervisor kept a core for itself.
///
/// # Errors
/// If `/proc` can't be read.
pub fn stolen_ticks(core: usize) -> Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).context("no such core")?;
    Ok(line.split_whitespace().nth(7).and_then(|field| field.parse().ok()).unwrap_or_default())
}

fn kib(rollup: &str, name: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Every process with its parent.
fn parents() -> Result<Vec<(u32, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end between listing and reading.
        if let Ok(fields) = stat_fields(pid)
            && let Some(parent) = fields.get(1).and_then(|field| field.parse().ok())
        {
            found.push((pid, parent));
        }
    }
    Ok(found)
}

fn add_stat(pid: u32, sum: &mut Cpu) -> Result<()> {
    let fields = stat_fields(pid)?;
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    sum.user_ticks += ticks(11);
    sum.system_ticks += ticks(12);
    Ok(())
}

/// The fields of `/proc/PID/stat` after the command's name: state first, then the parent.
fn stat_fields(pid: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let (_, rest) = text.rsplit_once(')').context("stat without a command")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let tree = Tree::of(std::process::id()).unwrap();
        assert!(tree.cpu().unwrap().run_ns > 0);
        assert!(tree.memory().unwrap().rss_kib > 100);
    }
}
