//! Clients that call in a loop, and what became of every single call: who called what, when it began and ended, which server
//! answered. Owns no opinion on what may fail; that is for the test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Outcome};
use super::tally::{Call, Tally};
use crate::support_sdk::{self, DEADLINE, eventually, now};

/// How long a tool works before it answers.
const WORK_MS: u64 = 40;

/// What a client does between two calls: it thinks.
const PAUSE: Duration = Duration::from_millis(40);

/// Answers that a client must have had before its session counts as begun.
const SETTLED: usize = 4;

/// The official clients that may be in a load, as `support_sdk` names them.
pub const OFFICIAL: [&str; 3] = ["ts1 legacy", "ts2 legacy", "py2 legacy"];

/// Who calls.
#[derive(Clone, Copy)]
pub struct Crowd {
    /// Plain clients.
    pub plain: usize,
    /// Whether the official ones are there too, with their notification streams.
    pub official: bool,
    /// Whether each plain client comes from another /24.
    pub spread: bool,
}

impl Crowd {
    /// Fifty, three of them official.
    pub const FIFTY: Self = Self { plain: 47, official: true, spread: false };

    /// Fifty plain ones.
    pub const PLAIN: Self = Self { plain: 50, official: false, spread: false };

    /// Fifty plain ones, each from another network.
    pub const FROM_EVERYWHERE: Self = Self { plain: 50, official: false, spread: true };

    fn count(self) -> usize {
        self.plain + if self.official { OFFICIAL.len() } else { 0 }
    }
}

struct Shared {
    stop: AtomicBool,
    settled: AtomicUsize,
    ended: AtomicUsize,
}

/// A running load.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<Call>>>,
}

impl Load {
    /// Begins all sessions at `addr`, and returns when each has been called in a few times.
    pub fn start(addr: SocketAddr, crowd: Crowd) -> Self {
        let shared = Shared { stop: AtomicBool::new(false), settled: AtomicUsize::new(0), ended: AtomicUsize::new(0) };
        let shared = Arc::new(shared);
        let mut load = Self { shared, threads: Vec::new() };
        // The official ones first: they take their time, and the others would call meanwhile.
        if crowd.official {
            load.add_official(addr, crowd.plain);
        }
        for number in 0..crowd.plain {
            let from = crowd.spread.then(|| IpAddr::V4(Ipv4Addr::new(127, 0, u8::try_from(number + 1).unwrap(), 1)));
            load.add(number, move || {
                let mut client = Client::new(addr, from, &[]);
                client.begin().unwrap_or_else(|refused| panic!("client {number} gets no session: {refused:?}"));
                move |tool: &str, arguments: &Value| client.call(tool, arguments)
            });
        }
        eventually("the sessions", || (load.shared.settled.load(Ordering::Acquire) == crowd.count()).then_some(()));
        load
    }

    fn add_official(&mut self, addr: SocketAddr, first: usize) {
        let url = format!("http://{addr}/mcp");
        let clients = support_sdk::Client::some(&url, |kind| OFFICIAL.contains(&kind.name));
        for (number, mut client) in (first..).zip(clients) {
            self.add(number, move || {
                for command in [json!({ "open_stream": true }), json!({ "list": "tools" })] {
                    client.expect(&command).unwrap_or_else(|error| panic!("{error}"));
                }
                move |tool: &str, arguments: &Value| official(&mut client, tool, arguments)
            });
        }
    }

    /// One client: `begin` gives its session, as something that makes calls.
    fn add<F>(&mut self, number: usize, begin: impl FnOnce() -> F + Send + 'static)
    where
        F: FnMut(&str, &Value) -> Outcome,
    {
        let shared = Arc::clone(&self.shared);
        self.threads.push(std::thread::spawn(move || run(number, begin(), &shared)));
    }

    /// Waits until so many more calls have ended.
    pub fn go_on_for(&self, calls: usize) {
        let goal = self.shared.ended.load(Ordering::Acquire) + calls;
        eventually("more calls", || (self.shared.ended.load(Ordering::Acquire) >= goal).then_some(()));
    }

    /// Lets every client make one last call, which tells whether its session is still alive.
    pub fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Release);
        let join = |thread: JoinHandle<Vec<Call>>| thread.join().expect("a client's thread does not panic");
        Tally::new(self.threads.into_iter().map(join).collect())
    }
}

fn run(number: usize, mut call: impl FnMut(&str, &Value) -> Outcome, shared: &Shared) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut berth = None;
    for round in 0.. {
        let stopping = shared.stop.load(Ordering::Acquire);
        // The last one is one that may run twice: a session that lives must answer it.
        let tool = if stopping || round % 2 == 1 { "look" } else { "record" };
        let label = format!("client {number} call {round}");
        let begun: Instant = now();
        let outcome = call(tool, &json!({ "label": label, "ms": WORK_MS }));
        let server = outcome.server();
        let ended: Instant = now();
        calls.push(Call { client: number, tool, label, begun, ended, outcome, berth: berth.clone() });
        berth = server.or(berth);
        shared.ended.fetch_add(1, Ordering::AcqRel);
        if round + 1 == SETTLED {
            shared.settled.fetch_add(1, Ordering::AcqRel);
        }
        if stopping {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    calls
}

/// A call by an official client, in the same words.
fn official(client: &mut support_sdk::Client, tool: &str, arguments: &Value) -> Outcome {
    let answer = client.ask(&json!({ "call": tool, "arguments": arguments }));
    let text = answer.to_string();
    match answer["outcome"].as_str() {
        None => Outcome::Done(answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()),
        Some("hang") => Outcome::Silence,
        Some("died") => Outcome::Gone(text),
        Some(_) if text.contains("outcome_unknown") => Outcome::Unknown,
        Some(_) if text.contains("session_lost") || text.contains("session_unknown") => Outcome::Gone(text),
        Some("network") => Outcome::Broken(text),
        Some(_) if answer["status"] == 503 || answer["code"] == 503 => Outcome::NotNow(text),
        // Python words every refusal without a JSON-RPC error so.
        Some(_) if text.contains("nginx") || answer["code"] == -32603 => Outcome::Balancer(text),
        Some(_) => Outcome::Other(text),
    }
}
