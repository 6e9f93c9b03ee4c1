//! The proxies that are compared: how each is configured, started on its own core and stopped.
//! A fresh process for every slot, so that none profits from what an earlier work left behind.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::client::Connection;
use crate::configs::{self, Rules, Seen};
use crate::process::Tree;
use crate::works::Work;

/// Somebody who takes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// No proxy: the first origin itself
    Direct,
    /// nginx, the one that ratios are to
    Nginx,
    /// `HAProxy`
    Haproxy,
    /// Moorline
    Moorline,
    /// Moorline without the rules that a work is about
    Plain,
    /// Moorline with a Redis, in which results are kept too
    Shared,
    /// Moorline that counts and times no requests
    Blind,
    /// Moorline with all that there is to see: requests counted, the access log in a file, one in a hundred traced
    Watched,
    /// A gateway in Node as people write one by hand: answers of calls kept in Redis, by ioredis
    Wrapper,
}

impl Peer {
    /// The name in files, tables and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Moorline => "moorline",
            Self::Plain => "plain",
            Self::Shared => "shared",
            Self::Blind => "blind",
            Self::Watched => "watched",
            Self::Wrapper => "wrapper",
        }
    }

    /// Whether it is Moorline's binary.
    pub const fn is_moorline(self) -> bool {
        matches!(self, Self::Moorline | Self::Plain | Self::Shared | Self::Blind | Self::Watched)
    }

    const fn has_redis(self) -> bool {
        matches!(self, Self::Shared | Self::Wrapper)
    }
}

/// What all peers are started with.
#[derive(Clone, Debug)]
pub struct Yard {
    /// Where configuration files are written.
    pub folder: PathBuf,
    /// The backends.
    pub origins: Vec<SocketAddr>,
    /// Where traces go.
    pub collector: SocketAddr,
    /// The core that proxies run on.
    pub core: usize,
    /// Moorline's binary.
    pub moorline: PathBuf,
    /// More lines for Moorline's configuration.
    pub moorline_extra: String,
    /// What proxies are started under: a program with its options, such as valgrind.
    pub under: Vec<String>,
    /// nginx's buffers for all works but `idle`, which has nginx's own default.
    pub nginx_buffers: String,
}

/// A process that ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// A peer that answers.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its processes; none for `direct`.
    pub tree: Tree,
    /// Its Redis, on the core of load and backends, where it has one.
    pub beside: Option<Process>,
    process: Option<Process>,
}

impl Process {
    /// Starts a program that ends with this one, on `core` if given. Its words go to `log`.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(line: &[String], core: Option<usize>, log: Stdio) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]);
        if let Some(core) = core {
            command.args(["taskset", "-c", &core.to_string()]);
        }
        let child = command.args(line).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Ok(Self { child: child.with_context(|| format!("start {line:?}"))? })
    }

    /// Its id: `setpriv` and `taskset` become the program that they start.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Running {
    /// Asks the peer to end, and waits until it has.
    ///
    /// # Errors
    /// If it has not by then.
    pub fn stop(mut self, within: Duration) -> Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(process.id())?), Signal::SIGTERM)?;
        let rounds = within.as_millis() / 10;
        for _ in 0..rounds {
            if process.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("has not ended within {within:?}")
    }
}

impl Drop for Process {
    /// Asks it to end, and after two seconds makes it.
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a peer for a work and waits until it answers.
///
/// # Errors
/// If it can't be started or answers nothing for ten seconds.
pub async fn start(peer: Peer, work: Work, yard: &Yard) -> Result<Running> {
    if peer == Peer::Direct {
        let addr = *yard.origins.first().context("no origin")?;
        return Ok(Running { addr, tree: Tree::default(), beside: None, process: None });
    }
    let addrs = free_addrs(3)?;
    let [addr, admin, redis] = addrs[..] else { bail!("no free ports") };
    let file = yard.folder.join(format!("{}-{}.conf", peer.name(), work.name()));
    fs::write(&file, configuration(peer, work, yard, [addr, admin, redis]))?;
    let log = yard.folder.join(format!("{}.log", peer.name()));
    let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
    let beside = if peer.has_redis() { Some(start_redis(redis).await?) } else { None };
    let process =
        Process::start(&[yard.under.clone(), command(peer, yard, &file)].concat(), Some(yard.core), log.into())?;
    let (process, tree) = until_it_answers(process, addr)
        .await
        .with_context(|| format!("{} (its log is in {})", peer.name(), yard.folder.display()))?;
    Ok(Running { addr, tree, beside, process: Some(process) })
}

/// Starts a Redis that writes nothing to disk and waits until it takes connections.
async fn start_redis(addr: SocketAddr) -> Result<Process> {
    let words = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"];
    let line: Vec<String> = words.iter().map(|word| (*word).to_owned()).chain([addr.port().to_string()]).collect();
    let process = Process::start(&line, None, Stdio::inherit())?;
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(addr).await.is_ok() {
            return Ok(process);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("redis-server takes no connections")
}

/// What a peer says of its version.
pub fn version(peer: Peer, yard: &Yard) -> String {
    let (program, flag) = match peer {
        Peer::Direct => return String::new(),
        Peer::Nginx => ("nginx".into(), "-v"),
        Peer::Haproxy => ("haproxy".into(), "-v"),
        Peer::Wrapper => ("node".into(), "--version"),
        Peer::Moorline | Peer::Plain | Peer::Shared | Peer::Blind | Peer::Watched => {
            (yard.moorline.display().to_string(), "--version")
        }
    };
    let Ok(out) = Command::new(&program).arg(flag).output() else { return format!("{program}: can't be run") };
    let text = [out.stdout, out.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

fn command(peer: Peer, yard: &Yard, file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    let words: [String; 4] = match peer {
        Peer::Direct => return Vec::new(),
        Peer::Nginx => ["nginx".into(), "-e".into(), "stderr".into(), "-c".into()],
        Peer::Haproxy => return vec!["haproxy".into(), "-db".into(), "-f".into(), file],
        Peer::Wrapper => return vec!["node".into(), "cache/wrapper.mjs".into(), file],
        Peer::Moorline | Peer::Plain | Peer::Shared | Peer::Blind | Peer::Watched => {
            return vec![yard.moorline.display().to_string(), "serve".into(), "--config".into(), file];
        }
    };
    words.into_iter().chain([file]).collect()
}

fn configuration(peer: Peer, work: Work, yard: &Yard, [addr, admin, redis]: [SocketAddr; 3]) -> String {
    let rules = match work {
        _ if peer == Peer::Plain => Rules::None,
        Work::Limited | Work::Refused => Rules::Limits,
        _ if work.is_cached() => Rules::Cache,
        _ => Rules::None,
    };
    let seen = |redis, seen: &Seen<'_>| {
        configs::moorline([addr, admin], &yard.origins, (&yard.moorline_extra, redis), (rules, seen))
    };
    let moorline = |redis| seen(redis, &Seen::Default);
    match peer {
        Peer::Direct => String::new(),
        Peer::Nginx => {
            let buffers = (work != Work::Idle).then_some(yard.nginx_buffers.as_str());
            configs::nginx(addr, &yard.origins, buffers, (&yard.folder, rules))
        }
        Peer::Haproxy => configs::haproxy(addr, &yard.origins),
        Peer::Moorline | Peer::Plain => moorline(None),
        Peer::Shared => moorline(Some(redis)),
        Peer::Blind => seen(None, &Seen::Nothing),
        Peer::Watched => seen(None, &Seen::All { folder: &yard.folder, collector: yard.collector }),
        Peer::Wrapper => configs::wrapper(addr, &yard.origins, redis),
    }
}

async fn until_it_answers(mut process: Process, addr: SocketAddr) -> Result<(Process, Tree)> {
    let mut last = None;
    for _ in 0..200 {
        if let Some(status) = process.child.try_wait()? {
            bail!("ended at once: {status}");
        }
        match hello(addr).await {
            Ok(()) => {
                let tree = Tree::of(process.id())?;
                return Ok((process, tree));
            }
            Err(fault) => last = Some(fault),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("does not answer: {:#}", last.context("never asked")?)
}

/// One session from beginning to end.
///
/// # Errors
/// If it does not come off within a second.
pub async fn hello(addr: SocketAddr) -> Result<()> {
    let asked = async {
        let mut connection = Connection::open(addr).await?;
        let session = connection.initialize().await?;
        connection.delete(&session).await
    };
    tokio::time::timeout(Duration::from_secs(1), asked).await?
}

/// Loopback addresses that nobody listens on.
///
/// # Errors
/// If there are none left.
pub fn free_addrs(count: usize) -> Result<Vec<SocketAddr>> {
    // All are held at once, so that no two are the same.
    let held = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>()?;
    Ok(held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
}
