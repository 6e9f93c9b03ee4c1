//! The interleaved run: works one after the other, and within each work rounds in which every peer has one slot.
//! The order of peers is another in every round, so that a machine that slows down harms all alike.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::load::{self, Figures, Plan, Watched};
use crate::peers::{self, Peer, Process, Running, Yard};
use crate::process::Tree;
use crate::works::Work;

/// One slot of the run: one peer under one work in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The work.
    pub work: Work,
    /// The peer.
    pub peer: Peer,
    /// The round, from 0.
    pub round: usize,
    /// The place in the round, from 0.
    pub place: usize,
    /// What was measured.
    pub figures: Option<Figures>,
    /// Why nothing was, if nothing was.
    pub void: Option<String>,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The works in order.
    pub works: Vec<Work>,
    /// Who is compared.
    pub peers: Vec<Peer>,
    /// Rounds of each work.
    pub rounds: usize,
    /// How each slot is driven; the work is filled in.
    pub plan: Plan,
}

/// What the backends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// The cheapest there can be
    Origin,
    /// A server made with the official TypeScript SDK; only for works of the cache
    Sdk,
}

/// The backends, all in one process.
#[derive(Debug)]
pub struct Origins {
    /// Where they listen.
    pub addrs: Vec<SocketAddr>,
    process: Process,
}

impl Origins {
    /// Starts backends on the load generator's core (inherited) and waits until they answer.
    ///
    /// # Errors
    /// If one does not.
    pub async fn start(count: usize, server: Server) -> Result<Self> {
        let addrs = peers::free_addrs(count)?;
        let ports = addrs.iter().map(|addr| addr.port().to_string()).collect::<Vec<_>>().join(",");
        let line = match server {
            Server::Origin => {
                vec![std::env::current_exe()?.display().to_string(), "origin".into(), "--port".into(), ports]
            }
            Server::Sdk => vec!["node".into(), "cache/server.mjs".into(), ports],
        };
        let process = Process::start(&line, None, Stdio::inherit())?;
        for addr in &addrs {
            until_up(*addr).await?;
        }
        Ok(Self { addrs, process })
    }
}

async fn until_up(addr: SocketAddr) -> Result<()> {
    for _ in 0..100 {
        if peers::hello(addr).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the origin at {addr} does not answer")
}

/// Runs the schedule, telling of each slot on standard error.
///
/// # Errors
/// If `/proc` can't be read. A peer's failure only makes its slot void.
pub async fn run(schedule: &Schedule, yard: &Yard, origins: &Origins) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for work in &schedule.works {
        for round in 0..schedule.rounds {
            for (place, peer) in order(&schedule.peers, round).into_iter().enumerate() {
                if peer == Peer::Direct && *work == Work::Idle {
                    continue;
                }
                let plan = Plan { work: *work, ..schedule.plan.clone() };
                let outcome = slot(peer, &plan, yard, origins).await;
                let void = outcome.as_ref().err().map(|fault| format!("{fault:#}"));
                let sample = Sample { work: *work, peer, round, place, figures: outcome.ok(), void };
                eprintln!("{}", told(&sample));
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

async fn slot(peer: Peer, plan: &Plan, yard: &Yard, origins: &Origins) -> Result<Figures> {
    let running = peers::start(peer, plan.work, yard).await?;
    drive(&running, plan, origins).await
}

/// Drives a peer under one work.
///
/// # Errors
/// If any answer is wrong.
pub async fn drive(running: &Running, plan: &Plan, origins: &Origins) -> Result<Figures> {
    let watched = Watched {
        proxy: running.tree.clone(),
        harness: Tree::own(),
        origins: Tree::of(origins.process.id())?,
        beside: running.beside.as_ref().map_or_else(|| Ok(Tree::default()), |redis| Tree::of(redis.id()))?,
    };
    load::drive(running.addr, plan, &watched).await
}

/// The peers turned by one place a round, and backwards in every other round.
fn order(peers: &[Peer], round: usize) -> Vec<Peer> {
    let mut order = peers.to_vec();
    if !order.is_empty() {
        order.rotate_left((round / 2) % peers.len());
    }
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn told(sample: &Sample) -> String {
    let slot = format!("{:8} round {} {:9}", sample.work.name(), sample.round + 1, sample.peer.name());
    match (&sample.figures, &sample.void) {
        (Some(Figures::Load(load)), _) => format!(
            "{slot} {:9.0} {}s/s, proxy {:8.2} µs each and {:3.0} % busy, p50 {:.0} µs, p99 {:.0} µs",
            load.units_per_second(sample.work),
            sample.work.unit(),
            load.proxy_micros_per_unit(sample.work),
            100.0 * load.proxy_busy(),
            load.latency.p50,
            load.latency.p99
        ),
        (Some(Figures::Idle(idle)), _) => format!("{slot} {:.2} KiB a stream", idle.kib_per_stream()),
        (None, void) => format!("{slot} VOID: {}", void.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_stands_in_every_place() {
        let peers = [Peer::Direct, Peer::Nginx, Peer::Moorline];
        let first = (0..6).map(|round| order(&peers, round)[0].name()).collect::<Vec<_>>();
        assert_eq!(first, ["direct", "moorline", "nginx", "direct", "moorline", "nginx"]);
    }
}
