//! `moorline load`: what was asked for becomes a run, checked before anything is started; its report is shown and kept.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Uri};
use tokio::signal::unix::{SignalKind, signal};

use super::say::say;
use crate::clock::{Clock, chance_here};
use crate::config::{BackendTls, parse_duration};
use crate::load::board::Board;
use crate::load::chaos::Moment;
use crate::load::discover::Wish;
use crate::load::line::Endpoint;
use crate::load::message::Fields;
use crate::load::mix::{Also, Wanted, also, wanted};
use crate::load::plan::{Pace, Shape};
use crate::load::process::{Order, Troupe, order};
use crate::load::report::{Heading, Options, Report};
use crate::load::run::{Eras, Outcome, Settings, run};
use crate::load::{chaos, html, keep, summary};
use crate::tls::Client;
use crate::wire::Secure;

/// Users that a run has at most: their ports and descriptors are this machine's.
const MOST_USERS: u32 = 28_000;

/// What the command line asks for.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// The MCP endpoint, such as `http://127.0.0.1:8080/mcp`; `{NAME.port}` is the port of a process that --start starts.
    #[arg(required_unless_present = "compare")]
    url: Option<String>,
    /// Simulated users.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_USERS)))]
    users: u32,
    /// Calls a minute, of all users together; sets the think time.
    #[arg(long, value_name = "CALLS", conflicts_with = "think", value_parser = positive)]
    rate: Option<f64>,
    /// Mean time between one user's planned calls.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    think: Duration,
    /// How think times are spread around their mean.
    #[arg(long, default_value = "exponential", value_enum)]
    think_shape: ShapeArg,
    /// How long it takes.
    #[arg(long, default_value = "1m", value_name = "TIME", value_parser = time)]
    duration: Duration,
    /// Over how long users arrive [default: a tenth of the duration].
    #[arg(long, value_name = "TIME", value_parser = time_or_none)]
    ramp: Option<Duration>,
    /// In which era users live: with sessions (2025-11-25), without (2026-07-28), or every other one.
    #[arg(long, default_value = "legacy", value_enum)]
    era: EraArg,
    /// Share of the users who hold a notification stream open, such as 30%.
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = share)]
    streams: f64,
    /// Mean number of calls in a session; 0: a session lasts as long as the run.
    #[arg(long, default_value_t = 20, value_name = "CALLS")]
    session_calls: u32,
    /// A tool to call: NAME, NAME=WEIGHT or NAME=WEIGHT:{ARGUMENTS}; once for each. `{unique}` in arguments is another
    /// number each time [default: the tools that say they only read].
    #[arg(long, value_name = "TOOL", value_parser = wanted)]
    tool: Vec<Wanted>,
    /// What users do beside calling tools (weight 90), or "none".
    #[arg(long, default_value = "list=5,ping=3,resources=2", value_name = "WEIGHTS", value_parser = also)]
    also: Also,
    /// A header field for all requests, such as 'Authorization: Bearer …'; once for each.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Whom to trust over TLS (PEM) [default: this machine's list].
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Longest wait for a connection, and for a whole answer.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = time)]
    timeout: Duration,
    /// How long a user keeps a connection that it does not use, where the server does not say.
    #[arg(long, default_value = "4s", value_name = "TIME", value_parser = time_or_none)]
    keep_alive: Duration,
    /// Calls that may wait for one user; what comes on top is missed, and an error.
    #[arg(long, default_value = "16", value_name = "CALLS")]
    backlog: NonZeroUsize,
    /// Errors that are allowed; with more, the exit status is 1.
    #[arg(long, default_value_t = 0, value_name = "N")]
    max_errors: u64,
    /// The same seed gives the same plan [default: another one each time].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads that users are spread over [default: one for each core, four at most].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroU32>,
    /// What the run is called in comparisons [default: the name of the JSON report].
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Start a process first: NAME=COMMAND, in which `{port}` is a free port and `{NAME.port}` another one's; once for each, in order.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = order)]
    start: Vec<Order>,
    /// Where the processes' output goes, a file for each [default: nowhere].
    #[arg(long, value_name = "DIRECTORY")]
    logs: Option<PathBuf>,
    /// What happens to started processes, such as kill:NAME@30s,restart@35s or pause:NAME@40s+2s.
    #[arg(long, value_name = "PLAN", default_value = "", hide_default_value = true)]
    chaos: String,
    /// Lay reports side by side, instead of making a run.
    #[arg(long, value_name = "JSON", num_args = 1.., conflicts_with_all = ["url", "json", "start"])]
    compare: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShapeArg {
    Exponential,
    Uniform,
    Constant,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EraArg {
    Legacy,
    Modern,
    Mix,
}

fn time_or_none(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time such as 500ms, 30s or 1m30s".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = time_or_none(text)?;
    if time.is_zero() { Err("it must be more than nothing".to_owned()) } else { Ok(time) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "write a number over 0, such as 600".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let part = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    part.ok().filter(|part| (0.0..=1.0).contains(part)).ok_or_else(|| "write a share such as 30% or 0.3".to_owned())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "write a header field such as 'Authorization: Bearer …'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let mut value: HeaderValue = value.trim().parse().map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name.trim().parse().map_err(|_| wrong())?, value))
}

/// Makes the run, or the comparison. The exit status is 1 where there were too many errors.
pub(super) fn load(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    if !args.compare.is_empty() {
        return compare(args);
    }
    let clock = Clock::system();
    let troupe = Troupe::new(&args.start, args.logs.as_deref(), &clock)?;
    let target = troupe.filled(args.url.as_deref().unwrap_or_default());
    // All that can be wrong is found before anything is started.
    let place = Place::read(&target)?;
    let names: Vec<&str> = troupe.names().collect();
    let chaos = chaos::chaos(&args.chaos, &names, args.duration).map_err(anyhow::Error::msg)?;
    let pace = args.pace()?;
    let heading = Heading { label: args.label(), target, started_unix: clock.unix(), options: args.options(&pace) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (outcome, mut troupe) = runtime.block_on(attempt(args, troupe, (place, pace, chaos), &clock))?;
    troupe.stop();
    let report = Report::new(heading, &outcome);
    // What was kept first: whoever reads the summary may go before its end.
    if let Some(path) = &args.json {
        keep::write(path, &keep::text(&report))?;
    }
    if let Some(path) = &args.html {
        keep::write(path, &html::page(&report))?;
    }
    say(&summary::summary(&report))?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts what is to be started, and makes the run.
async fn attempt(
    args: &LoadArgs,
    troupe: Troupe,
    (place, pace, chaos): (Place, Pace, Vec<Moment>),
    clock: &Clock,
) -> anyhow::Result<(Outcome, Troupe)> {
    let mut interrupt = std::pin::pin!(interrupt()?);
    let mut troupe = start(troupe, &mut interrupt).await?;
    let settings = Settings {
        endpoint: place.endpoint(args).await?,
        pace,
        eras: args.eras(),
        streams: args.streams,
        wish: Wish { tools: args.tool.clone(), also: args.also },
        backlog: args.backlog.get(),
        threads: args.threads(),
        chaos,
    };
    let mut screen = std::io::stderr();
    let mut board = Board::new(&mut screen, args.duration.as_secs_f64());
    let outcome = run(&settings, &mut troupe, clock, interrupt, &mut |live| board.show(live)).await;
    board.close();
    Ok((outcome?, troupe))
}

fn compare(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let reports = keep::read_all(&args.compare)?;
    if let Some(path) = &args.html {
        keep::write(path, &html::page_of_many(&reports))?;
    }
    say(&summary::compared(&reports))?;
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C, or SIGTERM.
fn interrupt() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Starts all processes on a thread that may wait; where it is interrupted, what was started has ended when this returns.
async fn start(mut troupe: Troupe, interrupt: impl Future<Output = ()>) -> anyhow::Result<Troupe> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let halt = Arc::new(AtomicBool::new(false));
    let halted = Arc::clone(&halt);
    std::thread::spawn(move || {
        let started = troupe.start(&halted);
        drop(tell.send(started.map(|()| troupe)));
    });
    let mut told = std::pin::pin!(told);
    let started = tokio::select! {
        started = &mut told => started,
        () = interrupt => {
            halt.store(true, Ordering::Relaxed);
            // Dropped, the processes end.
            drop(told.await);
            bail!("stopped before the run began")
        }
    };
    Ok(started.context("the processes were not started")??)
}

impl LoadArgs {
    fn pace(&self) -> anyhow::Result<Pace> {
        let think = match self.rate {
            None => self.think,
            Some(rate) => {
                Duration::try_from_secs_f64(f64::from(self.users) * 60.0 / rate).context("--rate is too low")?
            }
        };
        let ramp = self.ramp.unwrap_or(self.duration / 10);
        ensure!(ramp < self.duration, "--ramp ({ramp:?}) must be shorter than --duration ({:?})", self.duration);
        let shape = match self.think_shape {
            ShapeArg::Exponential => Shape::Exponential,
            ShapeArg::Uniform => Shape::Uniform,
            ShapeArg::Constant => Shape::Constant,
        };
        let session_calls = (self.session_calls > 0).then_some(self.session_calls);
        let seed = self.seed.unwrap_or_else(|| chance_here() >> 32);
        Ok(Pace { users: self.users, think, shape, session_calls, ramp, duration: self.duration, seed })
    }

    const fn eras(&self) -> Eras {
        match self.era {
            EraArg::Legacy => Eras::Legacy,
            EraArg::Modern => Eras::Modern,
            EraArg::Mix => Eras::Mix,
        }
    }

    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(4);
        self.threads.map_or(cores, |threads| threads.get().min(64) as usize)
    }

    fn label(&self) -> String {
        let name = || self.json.as_ref()?.file_stem().map(|name| name.to_string_lossy().into_owned());
        self.label.clone().or_else(name).unwrap_or_default()
    }

    fn options(&self, pace: &Pace) -> Options {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        Options {
            users: self.users,
            era: name(self.era.to_possible_value()),
            calls_a_minute: f64::from(self.users) * 60.0 / pace.think.as_secs_f64(),
            think_seconds: pace.think.as_secs_f64(),
            think_shape: name(self.think_shape.to_possible_value()),
            session_calls: self.session_calls,
            streams: self.streams,
            duration_seconds: pace.duration.as_secs_f64(),
            ramp_seconds: pace.ramp.as_secs_f64(),
            timeout_seconds: self.timeout.as_secs_f64(),
            backlog: self.backlog.get(),
            seed: pace.seed,
            max_errors: self.max_errors,
        }
    }
}

/// Of the addresses of a name those that take connections, for a server need not listen on all; where none does, all.
async fn those_that_answer(addrs: Vec<SocketAddr>, within: Duration) -> Vec<SocketAddr> {
    let mut good = Vec::new();
    for addr in &addrs {
        let tried = tokio::time::timeout(within, tokio::net::TcpStream::connect(addr)).await;
        if matches!(tried, Ok(Ok(_))) && !good.contains(addr) {
            good.push(*addr);
        }
    }
    if good.is_empty() { addrs } else { good }
}

/// Where the load goes, as its URL says.
struct Place {
    authority: Authority,
    path: PathAndQuery,
    is_secure: bool,
}

impl Place {
    fn read(target: &str) -> anyhow::Result<Self> {
        let uri: Uri = target.parse().with_context(|| format!("{target:?} is no URL"))?;
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => bail!("{target:?} is no URL that begins with http:// or https://"),
        };
        let authority = uri.authority().with_context(|| format!("{target:?} names no host"))?.clone();
        ensure!(!authority.as_str().contains('@'), "{target:?} has a user name in it; give it with --header instead");
        Ok(Self { authority, path: uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")), is_secure })
    }

    async fn endpoint(self, args: &LoadArgs) -> anyhow::Result<Endpoint> {
        let port = self.authority.port_u16().unwrap_or(if self.is_secure { 443 } else { 80 });
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((host, port)).await.with_context(|| format!("no address for {host}"))?;
        let addrs = those_that_answer(found.collect(), args.timeout).await;
        ensure!(!addrs.is_empty(), "no address for {host}");
        let secure = self.is_secure.then(|| -> anyhow::Result<Secure> {
            let settings = BackendTls { ca_file: args.ca_file.clone(), client: None, server_name: None };
            Ok(Secure { client: Some(Arc::new(Client::new(&settings)?)), host: self.authority.clone() })
        });
        Ok(Endpoint {
            addrs,
            secure: secure.transpose()?,
            authority: self.authority,
            path: self.path,
            fields: Fields::new(&args.header),
            timeout: args.timeout,
            keep_alive: args.keep_alive,
        })
    }
}
