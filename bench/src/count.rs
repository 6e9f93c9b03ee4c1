//! Counts the instructions that a request costs Moorline outside the kernel, by callgrind: the same figure again and again, however busy
//! the machine is. Says nothing of time, and nothing of what the kernel does.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::client::{Call, Connection};
use crate::messages::Ask;
use crate::peers::{self, Peer, Running, Yard};
use crate::works::{Drive, Work};

/// Connections that take turns.
const CONNECTIONS: u32 = 8;

/// Requests on each connection before anything is counted: until all that is learned and kept is there.
const WARM: u32 = 25;

/// What one request of a work costs a peer.
pub struct Count {
    pub peer: Peer,
    pub work: Work,
    pub instructions: u64,
}

/// What is to be counted.
pub struct Counted {
    pub peers: Vec<Peer>,
    pub works: Vec<Work>,
    /// Requests over which the cost is spread.
    pub requests: u32,
    /// Where callgrind's files go, for `callgrind_annotate`.
    pub folder: PathBuf,
}

/// Counts each work on each peer.
///
/// # Errors
/// If a peer is none that can be counted, cannot be started under callgrind, or answers wrongly.
pub async fn count(counted: &Counted, yard: &Yard) -> Result<Vec<Count>> {
    fs::create_dir_all(&counted.folder)?;
    let mut counts = Vec::new();
    for &work in &counted.works {
        for &peer in &counted.peers {
            ensure!(peer.is_moorline(), "{} has processes of its own: only Moorline is counted", peer.name());
            let few = cost((peer, work), WARM, counted, yard).await?;
            let many = cost((peer, work), WARM + counted.requests / CONNECTIONS, counted, yard).await?;
            let spread = u64::from(counted.requests / CONNECTIONS * CONNECTIONS);
            let instructions = many.saturating_sub(few) / spread.max(1);
            eprintln!("{:8} {:9} {instructions:8} instructions a request", work.name(), peer.name());
            counts.push(Count { peer, work, instructions });
        }
    }
    Ok(counts)
}

/// The instructions of a whole process that serves so many requests on each connection.
async fn cost((peer, work): (Peer, Work), each: u32, counted: &Counted, yard: &Yard) -> Result<u64> {
    let file = counted.folder.join(format!("{}-{}.{each}.callgrind", work.name(), peer.name()));
    let yard = Yard { under: callgrind(&file), ..yard.clone() };
    let running = peers::start(peer, work, &yard).await?;
    serve(&running, work, each).await.with_context(|| format!("{} {}", peer.name(), work.name()))?;
    running.stop(Duration::from_secs(30))?;
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind tells no totals")?;
    Ok(totals.trim().parse()?)
}

fn callgrind(file: &Path) -> Vec<String> {
    let file = format!("--callgrind-out-file={}", file.display());
    ["valgrind", "--quiet", "--tool=callgrind", &file].map(str::to_owned).into()
}

async fn serve(running: &Running, work: Work, each: u32) -> Result<()> {
    let ask = match work.drive() {
        Drive::Closed(ask) => ask,
        Drive::Drawn(_) if work == Work::Hit => Ask::Kept,
        _ => bail!("not a work of single requests that are all alike"),
    };
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(running.addr).await?;
        let session = connection.initialize().await?;
        connection.initialized(&session).await?;
        all.push((connection, Call::new(ask, running.addr, Some(&session))));
    }
    for _ in 0..each {
        for (connection, call) in &mut all {
            connection.call(call).await?;
        }
    }
    Ok(())
}

/// The counts as they are kept.
pub fn table(counts: &[Count]) -> String {
    let mut text = "work\tpeer\tinstructions\n".to_owned();
    for Count { peer, work, instructions } in counts {
        let _ = writeln!(text, "{}\t{}\t{instructions}", work.name(), peer.name());
    }
    text
}

/// What has become dearer than it was, by more than so many percent.
///
/// # Errors
/// If one that was counted has no figure in what was kept.
pub fn dearer(counts: &[Count], kept: &str, slack: f64) -> Result<Vec<String>> {
    let mut dearer = Vec::new();
    for Count { peer, work, instructions } in counts {
        let row = format!("{}\t{}\t", work.name(), peer.name());
        let before = kept.lines().find_map(|line| line.strip_prefix(&row));
        let before: u64 = before.with_context(|| format!("no figure is kept of {row:?}"))?.trim().parse()?;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let more = 100.0 * (*instructions as f64 / before as f64 - 1.0);
        if more > slack {
            dearer.push(format!(
                "{} {}: {before} were kept, now {instructions} ({more:+.1} %)",
                work.name(),
                peer.name()
            ));
        }
    }
    Ok(dearer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_more_than_it_did_is_told() {
        let count = |instructions| [Count { peer: Peer::Moorline, work: Work::Json, instructions }];
        let kept = table(&count(1000));
        assert!(dearer(&count(1029), &kept, 3.0).unwrap().is_empty());
        assert_eq!(dearer(&count(1031), &kept, 3.0).unwrap(), ["json moorline: 1000 were kept, now 1031 (+3.1 %)"]);
        assert!(dearer(&[Count { peer: Peer::Blind, work: Work::Json, instructions: 1 }], &kept, 3.0).is_err());
    }
}
