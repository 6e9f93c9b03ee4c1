//! Measures Moorline beside nginx and `HAProxy`: the same load, the same backends, in one interleaved run, told as
//! CPU time per request and as ratios. `README.md` says what the figures mean.

mod client;
mod clock;
mod collector;
mod configs;
mod count;
mod http;
mod keep;
mod keys;
mod load;
mod messages;
mod origin;
mod pace;
mod peers;
mod process;
mod report;
mod run;
mod works;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::load::Plan;
use crate::peers::{Peer, Yard};
use crate::run::{Origins, Schedule, Server};
use crate::works::Work;

#[derive(Parser)]
#[command(name = "moorline-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run works against peers, interleaved, and keep the figures
    Run(Box<Run>),
    /// Count the instructions that a request costs Moorline, by callgrind
    Count(CountArgs),
    /// Serve as the backend that all peers have
    Origin {
        /// Ports on 127.0.0.1
        #[arg(long, required = true, value_delimiter = ',')]
        port: Vec<u16>,
    },
    /// Write a kept run's summary again from its raw figures
    Report {
        /// The run's folder
        folder: PathBuf,
    },
}

#[derive(Args, Clone)]
struct Run {
    /// Moorline's binary
    #[arg(long, default_value = "../target/release/moorline")]
    moorline: PathBuf,
    /// File whose lines are put at the end of Moorline's configuration, inside its [[pool]] table at first
    #[arg(long)]
    moorline_extra: Option<PathBuf>,
    /// Works, in this order
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "json,sse,burst,list,modern,session,paced,crowd,idle"
    )]
    works: Vec<Work>,
    /// Who is compared
    #[arg(long, value_enum, value_delimiter = ',', default_value = "direct,nginx,moorline")]
    peers: Vec<Peer>,
    /// Rounds of each work; every peer has one slot in each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds measured in a slot
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds of load before that
    #[arg(long, default_value_t = 0.5)]
    warm: f64,
    /// One round of one second, 200 idle streams, nothing kept: for development
    #[arg(long)]
    quick: bool,
    /// Drive only this peer, tell its process id and keep nothing: for profilers
    #[arg(long, value_enum, value_name = "PEER")]
    profile_only: Option<Peer>,
    /// Name of the run's folder, after the date
    #[arg(long, default_value = "run")]
    label: String,
    /// Where runs are kept
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Connections of the closed loops
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Calls a second of the paced works
    #[arg(long, default_value_t = 3000)]
    rate: u32,
    /// Sessions of the paced works, and open streams of `crowd`
    #[arg(long, default_value_t = 500)]
    sessions: usize,
    /// Streams of `idle`
    #[arg(long, default_value_t = 2000)]
    streams: usize,
    /// Backends
    #[arg(long, default_value_t = 3)]
    origins: usize,
    /// What the backends are
    #[arg(long, value_enum, default_value_t = Server::Origin)]
    server: Server,
    /// nginx's buffers: its own 4k would cost it dear on the 8 KiB and burst answers
    #[arg(long, default_value = "16k")]
    nginx_buffers: String,
    /// Core of the proxies
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// Core of load generator and backends
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

#[derive(Args, Clone)]
struct CountArgs {
    /// Moorline's binary
    #[arg(long, default_value = "../target/release/moorline")]
    moorline: PathBuf,
    /// Works of single requests
    #[arg(long, value_enum, value_delimiter = ',', default_value = "json,sse,burst,list,modern,refused,hit")]
    works: Vec<Work>,
    /// Moorline, as it is set up
    #[arg(long, value_enum, value_delimiter = ',', default_value = "blind,moorline,watched")]
    peers: Vec<Peer>,
    /// Requests over which the cost is spread
    #[arg(long, default_value_t = 1000)]
    requests: u32,
    /// Kept figures: more than these is an error. Written where the file is not there
    #[arg(long)]
    against: Option<PathBuf>,
    /// How much dearer than that it may be, in percent. Another compiler, or another processor's own copy of `memcpy`, makes a difference too
    #[arg(long, default_value_t = 3.0)]
    slack: f64,
    /// Where callgrind's own files go
    #[arg(long, default_value = "target/callgrind")]
    folder: PathBuf,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    match cli.verb {
        Verb::Run(run) => {
            prepare(run.load_core)?;
            runtime()?.block_on(execute(*run))
        }
        Verb::Count(count) => runtime()?.block_on(count_all(count)),
        Verb::Origin { port } => runtime()?.block_on(origin::serve(&port)).map(|()| ExitCode::SUCCESS),
        Verb::Report { folder } => {
            println!("{}", keep::samples(&folder, &keep::read(&folder)?)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Moves this process to its core and allows it all the files it may have; children inherit both.
fn prepare(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core).context("--load-core")?;
    sched_setaffinity(Pid::from_raw(0), &set).context("move to --load-core")?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(())
}

async fn execute(mut run: Run) -> Result<ExitCode> {
    if run.quick {
        (run.rounds, run.seconds, run.streams) = (1, 1.0, 200);
    }
    let sdk_fits = run.server == Server::Origin || run.works.iter().all(|work| work.is_cached());
    ensure!(sdk_fits, "--server sdk knows the works hit, zipf and miss alone");
    let origins = Origins::start(run.origins, run.server).await?;
    let yard = yard(&run, &origins)?;
    let code = match run.profile_only {
        Some(peer) => profile(peer, &run, &yard, &origins).await.map(|()| ExitCode::SUCCESS),
        None => compare(&run, &yard, &origins).await,
    };
    // Kept where something failed: the logs are in it.
    if matches!(code, Ok(ExitCode::SUCCESS)) {
        fs::remove_dir_all(&yard.folder)?;
    }
    code
}

async fn compare(run: &Run, yard: &Yard, origins: &Origins) -> Result<ExitCode> {
    let kept = if run.quick { None } else { Some(keep::folder(&run.runs, &run.label)?) };
    let schedule = Schedule { works: run.works.clone(), peers: run.peers.clone(), rounds: run.rounds, plan: plan(run) };
    let samples = run::run(&schedule, yard, origins).await?;
    let void = samples.iter().any(|sample| sample.void.is_some());
    if let Some(folder) = kept {
        let raw = keep::Raw { label: run.label.clone(), ended: clock::date("%FT%TZ"), samples };
        println!("{}\nkept in {}", keep::samples(&folder, &raw)?, folder.display());
        keep::setup(&folder, &run.peers, yard)?;
    } else {
        println!("{}", report::summary("quick", &samples));
    }
    if void {
        eprintln!("some slots are void; the peers' logs are in {}", yard.folder.display());
    }
    Ok(if void { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn profile(peer: Peer, run: &Run, yard: &Yard, origins: &Origins) -> Result<()> {
    for work in &run.works {
        let plan = Plan { work: *work, ..plan(run) };
        let running = peers::start(peer, *work, yard).await?;
        eprintln!("{} {}: perf record -g -p {}", peer.name(), work.name(), running.tree);
        let figures = run::drive(&running, &plan, origins).await?;
        println!("{} {}: {}", peer.name(), work.name(), serde_json::to_string(&figures)?);
    }
    Ok(())
}

async fn count_all(args: CountArgs) -> Result<ExitCode> {
    let origins = Origins::start(3, Server::Origin).await?;
    let counted = count::Counted { peers: args.peers, works: args.works, requests: args.requests, folder: args.folder };
    // What is counted goes by itself, and at once.
    let yard = Yard { moorline_extra: "\n[drain]\nnotice = \"0s\"\n".into(), ..yard_of(&args.moorline, &origins)? };
    let counts = count::count(&counted, &yard).await?;
    let table = count::table(&counts);
    print!("{table}");
    let Some(against) = args.against else { return Ok(ExitCode::SUCCESS) };
    if !against.exists() {
        fs::write(&against, &table)?;
        return Ok(ExitCode::SUCCESS);
    }
    let dearer = count::dearer(&counts, &fs::read_to_string(&against)?, args.slack)?;
    dearer.iter().for_each(|what| eprintln!("dearer than it was: {what}"));
    Ok(if dearer.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(run: &Run) -> Plan {
    Plan {
        work: Work::Json,
        connections: run.connections,
        warm: Duration::from_secs_f64(run.warm),
        measure: Duration::from_secs_f64(run.seconds),
        rate: run.rate,
        sessions: run.sessions,
        streams: run.streams,
        proxy_core: run.proxy_core,
    }
}

fn yard(run: &Run, origins: &Origins) -> Result<Yard> {
    let used = run.profile_only.map_or_else(|| run.peers.iter().any(|peer| peer.is_moorline()), Peer::is_moorline);
    ensure!(
        !used || run.moorline.is_file(),
        "{} is not there: build it, or leave it out by --peers",
        run.moorline.display()
    );
    let moorline_extra = run.moorline_extra.as_ref().map(fs::read_to_string).transpose().context("--moorline-extra")?;
    Ok(Yard {
        core: run.proxy_core,
        moorline_extra: moorline_extra.unwrap_or_default(),
        nginx_buffers: run.nginx_buffers.clone(),
        ..yard_of(&run.moorline, origins)?
    })
}

/// Peers as they are where nothing else is said.
fn yard_of(moorline: &Path, origins: &Origins) -> Result<Yard> {
    let folder = std::env::temp_dir().join(format!("moorline-bench-{}", std::process::id()));
    // Beside the configuration, a log would have Moorline look whether that has changed.
    fs::create_dir_all(folder.join("log"))?;
    Ok(Yard {
        folder,
        origins: origins.addrs.clone(),
        collector: collector::start()?,
        core: 0,
        moorline: moorline.to_owned(),
        moorline_extra: String::new(),
        under: Vec::new(),
        nginx_buffers: String::new(),
    })
}
