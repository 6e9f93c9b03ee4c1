//! Drives one work against one address and measures what it cost. Knows neither which proxy stands there nor
//! how figures are compared.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{Call, Connection, Source};
use crate::clock;
use crate::keys::{Draw, Keys};
use crate::messages::Ask;
use crate::pace;
use crate::process::{self, Cpu, Memory, Tree};
use crate::works::{Drive, Work};

/// What to drive, and how hard.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The work.
    pub work: Work,
    /// Connections of the closed loops.
    pub connections: usize,
    /// Load before measuring begins.
    pub warm: Duration,
    /// How long is measured.
    pub measure: Duration,
    /// Requests a second of the paced works.
    pub rate: u32,
    /// Sessions of the paced works.
    pub sessions: usize,
    /// Streams of `idle`.
    pub streams: usize,
    /// The core that the proxy runs on.
    pub proxy_core: usize,
}

/// Whose CPU time and memory is read.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The proxy; empty where there is none.
    pub proxy: Tree,
    /// The load generator.
    pub harness: Tree,
    /// The origins.
    pub origins: Tree,
    /// What the proxy has beside it: a Redis; empty where it has none.
    pub beside: Tree,
}

/// What one slot of the run yields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Figures {
    /// Of all works but `idle`.
    Load(Load),
    /// Of `idle`.
    Idle(Idle),
}

/// What load cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Requests (or whole sessions) that ended in that time, every answer checked.
    pub requests: u64,
    /// CPU time of the proxy.
    pub proxy: Cpu,
    /// CPU time of the load generator.
    pub harness: Cpu,
    /// CPU time of the origins.
    pub origins: Cpu,
    /// CPU time of the proxy's Redis.
    #[serde(default)]
    pub beside: Cpu,
    /// Requests that a cache said it had the answer to.
    #[serde(default)]
    pub hits: u64,
    /// Ticks (10 ms) in which the hypervisor ran something else than the proxy's core.
    pub stolen_ticks: u64,
    /// Latency in microseconds.
    pub latency: Latency,
}

/// Latency in microseconds: from sending (closed loops) or from the planned time (paced) to the answer's last byte.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the requests took at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// 999 of a thousand.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// What idle streams cost in memory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Idle {
    /// Streams, each on a connection and with a session of its own.
    pub streams: usize,
    /// Before the first connection.
    pub before: Memory,
    /// With all sessions made and their connections open.
    pub sessions: Memory,
    /// With a stream open on each connection.
    pub open: Memory,
}

/// Where finished requests are noted while the window is open.
#[derive(Debug)]
pub struct Recorder {
    // Guards the histogram; all tasks run on one thread, so nobody ever waits for it.
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    open: bool,
    hits: u64,
    latency: Histogram<u64>,
}

impl Recorder {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
        Ok(Self { noted: Mutex::new(Noted { open: false, hits: 0, latency }) })
    }

    /// Notes a request that began at `since` and ends now.
    pub fn note(&self, since: Instant, source: Source) {
        let nanos = u64::try_from(clock::now().duration_since(since).as_nanos()).unwrap_or(u64::MAX);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.open {
            noted.latency.saturating_record(nanos);
            noted.hits += u64::from(source == Source::Cache);
        }
    }

    fn set_open(&self, open: bool) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).open = open;
    }

    fn requests_and_latency(&self) -> (u64, u64, Latency) {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(clippy::cast_precision_loss, reason = "three digits are kept")]
        let micros = |quantile| noted.latency.value_at_quantile(quantile) as f64 / 1e3;
        let latency =
            Latency { p50: micros(0.5), p90: micros(0.9), p99: micros(0.99), p999: micros(0.999), max: micros(1.0) };
        (noted.latency.len(), noted.hits, latency)
    }
}

/// Drives a work and measures it.
///
/// # Errors
/// If any answer is not the right one, or the plan takes far longer than it may.
pub async fn drive(addr: SocketAddr, plan: &Plan, watched: &Watched) -> Result<Figures> {
    let limit = plan.warm + plan.measure + Duration::from_secs(60);
    let driven = async {
        match plan.work.drive() {
            Drive::Idle => idle(addr, plan.streams, watched).await.map(Figures::Idle),
            _ => load(addr, plan, watched).await.map(Figures::Load),
        }
    };
    tokio::time::timeout(limit, driven).await.context("the work hangs")?
}

async fn load(addr: SocketAddr, plan: &Plan, watched: &Watched) -> Result<Load> {
    let recorder = Arc::new(Recorder::new()?);
    let mut tasks: JoinSet<Result<Infallible>> = JoinSet::new();
    // Held until the window has closed.
    let mut streams = Vec::new();
    match plan.work.drive() {
        Drive::Closed(ask) => {
            for _ in 0..plan.connections {
                let (connection, session) = ready(addr, ask).await?;
                tasks.spawn(repeat(connection, Call::new(ask, addr, session.as_deref()), Arc::clone(&recorder)));
            }
        }
        Drive::Drawn(draw) => drawn(addr, (draw, plan.connections), &recorder, &mut tasks).await?,
        Drive::Sessions => {
            for _ in 0..plan.connections {
                tasks.spawn(sessions(addr, Arc::clone(&recorder)));
            }
        }
        Drive::Paced { streams: with_streams } => {
            let mut callers = Vec::with_capacity(plan.sessions);
            for _ in 0..plan.sessions {
                let (connection, session) = ready(addr, Ask::Echo).await?;
                let session = session.context("a paced caller has a session")?;
                callers.push((connection, Call::new(Ask::Echo, addr, Some(&session))));
                if with_streams {
                    streams.push(stream(addr, &session).await?);
                }
            }
            pace::spawn(callers, plan.rate, &recorder, &mut tasks)?;
        }
        Drive::Idle => {}
    }
    let measured = window(&recorder, plan, watched);
    let figures = first_of(measured, &mut tasks).await?;
    ensure!(streams.iter().all(Connection::alive), "a stream was closed");
    Ok(figures)
}

/// The window's figures, or the first task's error.
async fn first_of<T>(measured: impl Future<Output = Result<T>>, tasks: &mut JoinSet<Result<Infallible>>) -> Result<T> {
    tokio::select! {
        figures = measured => figures,
        Some(ended) = tasks.join_next() => match ended {
            Ok(Err(fault)) => Err(fault),
            Ok(Ok(never)) => match never {},
            Err(panicked) => Err(anyhow!(panicked)),
        },
    }
}

async fn window(recorder: &Recorder, plan: &Plan, watched: &Watched) -> Result<Load> {
    sleep(plan.warm).await;
    let cpu =
        || anyhow::Ok((watched.proxy.cpu()?, watched.harness.cpu()?, watched.origins.cpu()?, watched.beside.cpu()?));
    let before = cpu()?;
    let stolen = process::stolen_ticks(plan.proxy_core)?;
    let begun = clock::now();
    recorder.set_open(true);
    sleep(plan.measure).await;
    recorder.set_open(false);
    let seconds = clock::now().duration_since(begun).as_secs_f64();
    let (requests, hits, latency) = recorder.requests_and_latency();
    ensure!(requests > 0, "no request ended");
    let after = cpu()?;
    Ok(Load {
        seconds,
        requests,
        hits,
        proxy: after.0 - before.0,
        harness: after.1 - before.1,
        origins: after.2 - before.2,
        beside: after.3 - before.3,
        stolen_ticks: process::stolen_ticks(plan.proxy_core)? - stolen,
        latency,
    })
}

/// A connection that is ready for `ask`: with a session of its own where the era has any.
async fn ready(addr: SocketAddr, ask: Ask) -> Result<(Connection, Option<String>)> {
    let mut connection = Connection::open(addr).await?;
    if matches!(ask, Ask::Modern | Ask::Refused | Ask::Kept) {
        return Ok((connection, None));
    }
    let session = connection.initialize().await?;
    connection.initialized(&session).await?;
    Ok((connection, Some(session)))
}

/// Calls whose answers may be kept; those that come again and again are made once before.
async fn drawn(
    addr: SocketAddr,
    (draw, connections): (Draw, usize),
    recorder: &Arc<Recorder>,
    tasks: &mut JoinSet<Result<Infallible>>,
) -> Result<()> {
    let keys = Keys::new(draw);
    let (mut first, _) = ready(addr, Ask::Kept).await?;
    let mut call = Call::new(Ask::Kept, addr, None);
    for key in keys.known() {
        call.set_key(key);
        first.call(&mut call).await?;
    }
    for number in 0..connections {
        let (connection, _) = ready(addr, Ask::Kept).await?;
        let call = Call::new(Ask::Kept, addr, None).drawn(keys.of(number));
        tasks.spawn(repeat(connection, call, Arc::clone(recorder)));
    }
    Ok(())
}

async fn stream(addr: SocketAddr, session: &str) -> Result<Connection> {
    let mut connection = Connection::open(addr).await?;
    connection.listen(session).await?;
    Ok(connection)
}

async fn repeat(mut connection: Connection, mut call: Call, recorder: Arc<Recorder>) -> Result<Infallible> {
    loop {
        let begun = clock::now();
        let source = connection.call(&mut call).await?;
        recorder.note(begun, source);
    }
}

async fn sessions(addr: SocketAddr, recorder: Arc<Recorder>) -> Result<Infallible> {
    loop {
        let begun = clock::now();
        let mut connection = Connection::open(addr).await?;
        let session = connection.initialize().await?;
        connection.call(&mut Call::new(Ask::Echo, addr, Some(&session))).await?;
        connection.delete(&session).await?;
        recorder.note(begun, Source::Server);
    }
}

async fn idle(addr: SocketAddr, streams: usize, watched: &Watched) -> Result<Idle> {
    const SETTLE: Duration = Duration::from_secs(1);
    // One whole session first, so that what a proxy allocates once is not counted.
    let (mut first, session) = ready(addr, Ask::Echo).await?;
    let session = session.context("a legacy connection has a session")?;
    stream(addr, &session).await?;
    first.delete(&session).await?;
    drop(first);
    sleep(SETTLE).await;

    let before = watched.proxy.memory()?;
    let mut held = Vec::with_capacity(streams);
    for _ in 0..streams {
        held.push(ready(addr, Ask::Echo).await?);
    }
    sleep(SETTLE).await;
    let sessions = watched.proxy.memory()?;
    for (connection, session) in &mut held {
        connection.listen(session.as_deref().context("a legacy connection has a session")?).await?;
    }
    sleep(SETTLE).await;
    let open = watched.proxy.memory()?;
    ensure!(held.iter().all(|(connection, _)| connection.alive()), "a stream was closed");
    Ok(Idle { streams, before, sessions, open })
}
