//! A whole installation on loopback: real SDK servers, real Moorline instances that share a real Redis, nginx in front that knows
//! nothing of sessions, and clients that count. Every process ends with the value that owns it.
#![allow(dead_code, unused_imports, reason = "a harness offers more than each scenario takes")]

mod client;
mod cut;
mod instance;
mod ledger;
mod load;
mod nginx;
mod redis;
mod resp;
mod stream;
mod tally;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

pub use client::{Client, Outcome, messages};
pub use cut::Cable;
pub use instance::Instance;
pub use ledger::Ledger;
pub use load::{Crowd, Load, OFFICIAL};
pub use nginx::Nginx;
pub use redis::{Cluster, Redis, Sentinels, free_addrs};
pub use resp::Watch;
pub use stream::{Event, Stream};
pub use tally::{Call, Moment, Tally, some};

use crate::support_sdk::{self, DEADLINE, Server, eventually, now};

/// The servers' names; a server is found by its place.
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// Dead backends are found quickly, and believed soon when they are back.
const WATCHFUL: &str = "[pool.health]\nevery = \"250ms\"\ntimeout = \"1s\"\neject_after = 2\neject_for = \"500ms\"\neject_max = \"1s\"\nrecover_after = 1\n";

/// On a machine that is busy with everything at once, a Redis that is there may take longer than the 50 ms that it has by default.
/// Where the test is not about its absence it shall not count as away.
pub const PATIENT: &str = "store.timeout = \"1s\"";

/// What a fleet shall consist of.
pub struct Plan<'a> {
    /// The `store.url` of each instance.
    pub stores: Vec<String>,
    /// Further lines of the configuration: keys of tables, dotted.
    pub keys: &'a str,
    /// The kind of probe.
    pub probe: &'a str,
    /// Further arguments of each server.
    pub arguments: &'a [&'a str],
}

/// The installation.
pub struct Fleet {
    pub nginx: Nginx,
    pub instances: Vec<Instance>,
    pub servers: Vec<Server>,
    pub ledger: Ledger,
}

impl Fleet {
    /// Three servers behind so many instances, all with the same store.
    pub fn start(store: &str, instances: usize) -> Self {
        Self::of(&Plan { stores: vec![store.to_owned(); instances], keys: PATIENT, probe: "tcp", arguments: &[] })
    }

    /// The same, for a store that goes away: it is waited for as long as by default.
    pub fn start_impatient(store: &str, instances: usize) -> Self {
        Self::of(&Plan { stores: vec![store.to_owned(); instances], keys: "", probe: "tcp", arguments: &[] })
    }

    pub fn of(plan: &Plan<'_>) -> Self {
        let ledger = Ledger::new();
        let servers = servers(&ledger, plan.arguments);
        let addrs: [SocketAddr; 3] = free_addrs();
        let start = |(addr, store): (&SocketAddr, &String)| Instance::start(*addr, &config(store, plan, &servers));
        let instances: Vec<Instance> = addrs.iter().zip(&plan.stores).map(start).collect();
        let nginx = Nginx::round_robin(&instances.iter().map(|instance| instance.addr).collect::<Vec<_>>());
        Self { nginx, instances, servers, ledger }
    }

    /// kill -9 of a server. When that was.
    pub fn kill_server(&mut self, at: usize) -> Moment {
        kill(&mut self.servers[at])
    }

    /// kill -9 of each instance, which is started again with nothing in its memory, one after the other. When that was.
    pub fn restart_instances(&mut self, between: impl Fn()) -> Vec<Moment> {
        let restart = |instance: &mut Instance| {
            let killed = instance.kill();
            instance.start_again();
            between();
            killed
        };
        self.instances.iter_mut().map(restart).collect()
    }

    /// Waits until every instance sees the server so.
    pub fn wait_for_sight(&self, at: usize, up: bool) {
        for instance in &self.instances {
            let is_out = |state: &Value| *state == "down" || *state == "ejected";
            let sees = || is_out(&instance.backend(self.servers[at].addr)["state"]) != up;
            eventually("the news of a server", || sees().then_some(()));
        }
    }

    /// The sessions that are alive on these servers: each one's stable name, and the server's own.
    pub fn alive(&self, servers: &[usize]) -> Vec<(String, String)> {
        let sessions = servers.iter().map(|at| support_sdk::get(self.servers[*at].addr, "/sessions"));
        let sessions = sessions.flat_map(|sessions| sessions.as_array().cloned().unwrap_or_default());
        let text = |value: &Value| value.as_str().unwrap_or("(never named)").to_owned();
        sessions.map(|session| (text(&session["moored"]), text(&session["session"]))).collect()
    }

    /// On how many of these servers each session is alive, by its stable name.
    pub fn lie(&self, servers: &[usize]) -> BTreeMap<String, usize> {
        let mut lie = BTreeMap::new();
        for (name, _) in self.alive(servers) {
            *lie.entry(name).or_default() += 1;
        }
        lie
    }

    /// Waits until every instance says that no session lies on a drained server, and nothing is in flight there. The server
    /// itself may remember sessions for longer: they are ended there when certainly nobody waits for an answer any more.
    pub fn wait_until_left(&self, at: usize) {
        for instance in &self.instances {
            eventually("nobody at a drained server", || {
                let backend = instance.backend(self.servers[at].addr);
                (backend["sessions"] == 0 && backend["in_flight"] == 0).then_some(())
            });
        }
    }
}

/// Lets time pass, while whatever was done is in force: an outage has a length, and nothing is waited for.
pub fn last_for(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until there are none of these any more; where the deadline passes, names them.
pub fn until_none<T: std::fmt::Debug>(what: &str, left: impl Fn() -> Vec<T>) {
    let begun = now();
    loop {
        let left = left();
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "there are still {what}: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// kill -9, and waits until it is gone.
pub fn kill(server: &mut Server) -> Moment {
    let before = now();
    server.kill();
    Moment { before, after: now() }
}

/// Three servers that share a ledger.
pub fn servers(ledger: &Ledger, more: &[&str]) -> Vec<Server> {
    let start = |name| {
        let arguments = [&["--name", name, "--ledger", ledger.path()], more].concat();
        Server::start("server.mjs", &arguments)
    };
    std::thread::scope(|scope| {
        let starting = NAMES.map(|name| scope.spawn(move || start(name)));
        starting.map(|server| server.join().expect("it starts")).into()
    })
}

/// The same for every instance, but for its own address.
fn config(store: &str, plan: &Plan<'_>, servers: &[Server]) -> String {
    let Plan { keys, probe, .. } = plan;
    let backends = servers.iter().map(Server::url).collect::<Vec<_>>();
    format!(
        "admin = \"127.0.0.1:0\"\nstore.url = \"{store}\"\ndrain.deadline = \"8s\"\nlog.access = \"off\"\nlog.level = \"debug\"\n{keys}\n\
         [[pool]]\nbackends = {backends:?}\nresponse_timeout = \"8s\"\n{WATCHFUL}kind = \"{probe}\"\n"
    )
}
