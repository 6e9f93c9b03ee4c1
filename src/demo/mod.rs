//! `moorline demo`: sample servers, Moorline in front of them, and either a terminal that tells what arrives or the
//! scenario that drives it all. It owns the sample servers and the output. Moorline itself is given to it: how it
//! is built is not known here.

pub mod board;
mod hints;
pub mod sample;
pub mod scenario;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;
mod tools;
mod transport;
mod visitor;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::Uri;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use board::{Style, paint};
use sample::serve_sample;
use scenario::{Plan, ScenarioError};

/// The time between two clients of the scenario.
const PACE: Duration = Duration::from_millis(250);

/// How long Moorline may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The most sample servers that a demo starts.
pub const MAX_SERVERS: usize = 16;

/// Sessions whose place is remembered for the terminal; the oldest stay, later ones are told of all the same.
const MAX_REMEMBERED: usize = 10_000;

/// Any error of the part that starts Moorline.
pub type GatewayError = Box<dyn std::error::Error + Send + Sync>;

/// What a demo is to do.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// How many sample servers to start: 1 to [`MAX_SERVERS`].
    pub servers: usize,
    /// Whether to play the scenario and end, instead of waiting for clients.
    pub scenario: bool,
    /// How many clients the scenario has: 1 to [`scenario::MAX_CLIENTS`].
    pub clients: usize,
    /// Where Moorline shall listen, if not on a free loopback port. Read by whoever starts it.
    pub listen: Option<SocketAddr>,
    /// What the output can do: [`Style::of_stdout`] where it is the standard output.
    pub style: Style,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self { servers: 3, scenario: false, clients: 9, listen: None, style: Style::PLAIN }
    }
}

/// A running Moorline, as the demo sees it.
pub struct Gateway {
    /// Where clients reach it, with its path.
    pub endpoint: Uri,
    /// What it sees. The sender should drop events rather than wait; when it is gone, Moorline counts as dead.
    pub events: mpsc::Receiver<DemoEvent>,
    /// Stops it and ends when it has stopped. Awaited once, at the end; without it, dropped.
    pub stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What Moorline tells the demo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DemoEvent {
    /// A session began.
    SessionOpened {
        /// A short form of the session's id, to tell sessions apart.
        session: String,
        /// The URL of the backend that it lies at.
        backend: String,
        /// What the client calls itself.
        client: String,
    },
    /// A session moved to another backend.
    SessionMoved {
        /// The same short form.
        session: String,
        /// The URL of the backend that it lies at now.
        backend: String,
    },
    /// A session ended.
    SessionEnded {
        /// The same short form.
        session: String,
    },
}

/// Why a demo failed.
#[derive(Debug, Error)]
pub enum DemoError {
    /// No sample servers, or too many.
    #[error("a demo has 1 to {MAX_SERVERS} sample servers, not {0}")]
    Servers(usize),
    /// A sample server could not be started.
    #[error("cannot start a sample server")]
    Sample(#[source] io::Error),
    /// Moorline could not be started.
    #[error("cannot start moorline")]
    Start(#[source] GatewayError),
    /// Moorline ended while the demo was still going on.
    #[error("moorline stopped by itself")]
    Died,
    /// The scenario failed.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The output could not be written.
    #[error("cannot write")]
    Output(#[from] io::Error),
}

/// Runs the demo: sample servers on free loopback ports, Moorline in front of them by way of `start_gateway`, which is
/// given the servers' URLs. Ends with the scenario, or when `interrupt` does (Ctrl-C, say), and stops everything.
///
/// # Errors
/// Any [`DemoError`]; an interrupt is none.
pub async fn demo<F>(
    options: &DemoOptions,
    out: &mut (dyn Write + Send),
    interrupt: impl Future<Output = ()> + Send,
    start_gateway: impl FnOnce(Vec<String>) -> F,
) -> Result<(), DemoError>
where
    F: Future<Output = Result<Gateway, GatewayError>>,
{
    let (listeners, names) = bind(options.servers).await?;
    let (stop, stopping) = watch::channel(false);
    let mut servers = FuturesUnordered::new();
    for (listener, name) in listeners.into_iter().zip(names.values()) {
        let mut stopping = stopping.clone();
        let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
        servers.push(serve_sample(name, listener, stopped));
    }
    let urls: Vec<String> = names.keys().cloned().collect();
    let mut front = pin!(front(options, out, interrupt, &names, start_gateway(urls)));
    let outcome = loop {
        tokio::select! {
            outcome = &mut front => break outcome,
            Some(ended) = servers.next() => ended.map_err(DemoError::Sample)?,
        }
    };
    stop.send_replace(true);
    while servers.next().await.is_some() {}
    outcome
}

/// What stands in front of the sample servers: Moorline, and the terminal.
async fn front<F>(
    options: &DemoOptions,
    out: &mut (dyn Write + Send),
    interrupt: impl Future<Output = ()> + Send,
    names: &BTreeMap<String, String>,
    starting: F,
) -> Result<(), DemoError>
where
    F: Future<Output = Result<Gateway, GatewayError>>,
{
    let style = options.style;
    let Gateway { endpoint, mut events, stop } = starting.await.map_err(DemoError::Start)?;
    greet(out, style, &endpoint, names)?;
    let going_on = async {
        if options.scenario {
            let servers = names.values().cloned().collect();
            let plan = Plan { clients: options.clients, servers, pace: PACE, style };
            let played = scenario::run(&endpoint, &plan, out);
            tokio::select! {
                played = played => Ok(played.map(drop)?),
                () = exhaust(&mut events) => Err(DemoError::Died),
            }
        } else {
            write!(out, "{}", hints::hints(&endpoint, style))?;
            tell(out, style, names, &mut events).await
        }
    };
    let outcome = tokio::select! {
        outcome = going_on => outcome,
        () = interrupt => Ok(()),
    };
    // Who does not stop in time is dropped.
    let _late = tokio::time::timeout(STOP_TIMEOUT, stop).await;
    outcome
}

/// Free loopback ports, and the name of the server behind each URL. Ordered alike.
async fn bind(servers: usize) -> Result<(Vec<TcpListener>, BTreeMap<String, String>), DemoError> {
    if servers == 0 || servers > MAX_SERVERS {
        return Err(DemoError::Servers(servers));
    }
    let mut bound = BTreeMap::new();
    for _ in 0..servers {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(DemoError::Sample)?;
        let address = listener.local_addr().map_err(DemoError::Sample)?;
        bound.insert(format!("http://{address}{}", sample::PATH), listener);
    }
    let names = bound.keys().zip(1..).map(|(url, number)| (url.clone(), format!("pier-{number}"))).collect();
    Ok((bound.into_values().collect(), names))
}

fn greet(out: &mut dyn Write, style: Style, endpoint: &Uri, names: &BTreeMap<String, String>) -> io::Result<()> {
    let title = style.paint(paint::BOLD, "moorline demo");
    writeln!(out, "{title}  {} sample MCP servers behind one endpoint\n", names.len())?;
    writeln!(out, "  endpoint  {}", style.paint(paint::BOLD, &endpoint.to_string()))?;
    for ((url, name), place) in names.iter().zip(0..) {
        let colour: u8 = paint::SERVERS[place % paint::SERVERS.len()];
        writeln!(out, "  {}  {url}", style.paint(colour, &format!("{name:<8}")))?;
    }
    writeln!(out)?;
    out.flush()
}

/// Takes events off the channel until it ends.
async fn exhaust(events: &mut mpsc::Receiver<DemoEvent>) {
    while events.recv().await.is_some() {}
}

/// Prints a line for each event, until Moorline ends.
async fn tell(
    out: &mut dyn Write,
    style: Style,
    names: &BTreeMap<String, String>,
    events: &mut mpsc::Receiver<DemoEvent>,
) -> Result<(), DemoError> {
    let mut watchman = Watchman { style, names, sessions: BTreeMap::new() };
    writeln!(out, "waiting for clients; Ctrl-C ends the demo\n")?;
    out.flush()?;
    while let Some(event) = events.recv().await {
        writeln!(out, "{}", watchman.line(&event))?;
        out.flush()?;
    }
    Err(DemoError::Died)
}

/// Knows who lies where, to say so.
struct Watchman<'a> {
    style: Style,
    names: &'a BTreeMap<String, String>,
    /// Client and server of each session.
    sessions: BTreeMap<String, (String, String)>,
}

impl Watchman<'_> {
    fn line(&mut self, event: &DemoEvent) -> String {
        match event {
            DemoEvent::SessionOpened { session, backend, client } => {
                let server = self.server(backend);
                if self.sessions.len() < MAX_REMEMBERED {
                    self.sessions.insert(session.clone(), (client.clone(), server.clone()));
                }
                let sign = self.style.paint(paint::GREEN, "+");
                format!("{sign} {session}  {client} is moored at {server}{}", self.tally())
            }
            DemoEvent::SessionMoved { session, backend } => {
                let server = self.server(backend);
                let known = self.sessions.get_mut(session);
                let client = known.map_or("a client".to_owned(), |(client, place)| {
                    place.clone_from(&server);
                    client.clone()
                });
                format!("> {session}  {client} moved to {server}{}", self.tally())
            }
            DemoEvent::SessionEnded { session } => {
                let (client, server) = self.sessions.remove(session).unwrap_or_default();
                let sign = self.style.paint(paint::DIM, "-");
                format!("{sign} {session}  {client} left {server}{}", self.tally())
            }
        }
    }

    fn server(&self, backend: &str) -> String {
        self.names.get(backend).map_or(backend, String::as_str).to_owned()
    }

    /// How many sessions lie at each server.
    fn tally(&self) -> String {
        let count = |server: &str| self.sessions.values().filter(|(_, place)| place == server).count();
        let each: Vec<String> = self.names.values().map(|server| format!("{server} {}", count(server))).collect();
        self.style.paint(paint::DIM, &format!("    [{}]", each.join(", ")))
    }
}
