//! Real redis-server processes: one alone, a primary with replica and Sentinels, a Cluster of six. All on free loopback ports, in
//! folders of their own, gone with the value that owns them.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::resp::{self, ask, text};
use crate::support_sdk::{Process, eventually};

/// The hash slots of a Cluster.
const SLOTS: u32 = 16_384;

/// Addresses that were free a moment ago, all different.
pub fn free_addrs<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

/// One server process. Where it is killed and started anew it is empty, or has what it had on disk.
pub struct Redis {
    pub addr: SocketAddr,
    process: Option<Process>,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// One server alone, which keeps all on disk.
    pub fn start() -> Self {
        let [addr] = free_addrs();
        Self::start_with(addr, &["--appendonly", "yes", "--appendfsync", "always"])
    }

    fn start_with(addr: SocketAddr, more: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let arguments = more.iter().map(|&word| word.to_owned()).collect();
        let mut server = Self { addr, process: None, folder, arguments };
        server.run();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }

    /// The live sessions that it holds a record of, by name: epoch and the backend's own session. Empty where it is not there.
    pub fn records(&self) -> BTreeMap<String, (u64, String)> {
        resp::Resp::to(self.addr).and_then(|mut connection| read_records(&mut connection)).unwrap_or_default()
    }

    /// How many results of calls it holds.
    pub fn results(&self) -> usize {
        ask(self.addr, &["KEYS", "moorline:*:r:*"]).as_array().map_or(0, Vec::len)
    }

    /// How many sealing keys all share.
    pub fn keys_in_ring(&self) -> u64 {
        ask(self.addr, &["HLEN", "moorline:{keys}:ring"]).as_u64().expect("it is a number")
    }

    /// Cuts off all who listen to its channels.
    pub fn silence(&self) {
        ask(self.addr, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    fn run(&mut self) {
        let mut command = program();
        command.args(["--port", &self.addr.port().to_string(), "--bind", "127.0.0.1", "--save", ""]);
        // A primary waits for more replicas to come before it lets the first one copy; there are no more.
        command.args(["--repl-diskless-sync-delay", "0", "--dir"]);
        command.arg(self.folder.path()).args(&self.arguments);
        self.process = Some(Process::spawn(command));
        self.wait_until_there();
    }

    fn wait_until_there(&self) {
        eventually("redis-server", || (text(self.addr, &["PING"])? == "PONG").then_some(()));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts a killed one with what it had on disk.
    pub fn start_again(&mut self) {
        self.run();
    }

    /// Starts a killed one with nothing.
    pub fn start_again_empty(&mut self) {
        self.folder = TempDir::new().unwrap();
        self.run();
    }

    /// Answers nothing, and keeps its connections.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("it was not killed").signal(name);
    }
}

/// A record is a hash with an `epoch`; a tombstone has none.
fn read_records(connection: &mut resp::Resp) -> io::Result<BTreeMap<String, (u64, String)>> {
    let keys = connection.ask(&["KEYS", "moorline:*:s:*"])?;
    let mut records = BTreeMap::new();
    for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let fields = connection.ask(&["HMGET", key, "epoch", "backend_session"])?;
        if let (Some(epoch), Some(session)) = (fields[0].as_str(), fields[1].as_str()) {
            let name = key.rsplit(':').next().unwrap_or_default();
            records.insert(name.to_owned(), (epoch.parse().unwrap_or(0), session.to_owned()));
        }
    }
    Ok(records)
}

/// Redis, or Valkey where that is installed instead.
fn program() -> Command {
    let folders = ["/usr/bin", "/usr/local/bin", "/usr/sbin"];
    let names = ["redis-server", "valkey-server"];
    let all = names.iter().flat_map(|name| folders.map(|folder| Path::new(folder).join(name)));
    let program = all.into_iter().find(|path| path.exists());
    let mut command = Command::new(program.expect("these tests need redis-server: apt-get install redis-server"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A primary, a replica and three Sentinels that agree quickly.
pub struct Sentinels {
    pub primary: Redis,
    pub replica: Redis,
    sentinels: [SocketAddr; 3],
    _processes: Vec<Process>,
    _folder: TempDir,
}

impl Sentinels {
    pub fn start() -> Self {
        let primary = Redis::start();
        let [addr] = free_addrs();
        let port = primary.addr.port().to_string();
        let replica = Redis::start_with(addr, &["--replicaof", "127.0.0.1", &port]);
        eventually("the replica", || {
            let report = text(primary.addr, &["INFO", "replication"])?;
            report.contains("state=online").then_some(())
        });
        let folder = TempDir::new().unwrap();
        let sentinels = free_addrs();
        let processes = sentinels.map(|sentinel| sentinel_process(sentinel, primary.addr, folder.path()));
        let this = Self { primary, replica, sentinels, _processes: processes.into(), _folder: folder };
        this.wait_until_agreed();
        this
    }

    pub fn url(&self) -> String {
        let all = self.sentinels.map(|addr| addr.to_string()).join(",");
        format!("redis+sentinel://{all}/moor")
    }

    fn wait_until_agreed(&self) {
        for sentinel in self.sentinels {
            eventually("the Sentinels", || {
                let report = text(sentinel, &["INFO", "sentinel"])?;
                report.contains("slaves=1,sentinels=3").then_some(())
            });
        }
    }

    /// Waits until the Sentinels have made the replica the primary.
    pub fn wait_for_failover(&self) {
        let port = self.replica.addr.port().to_string();
        for sentinel in self.sentinels {
            eventually("the failover", || {
                let master = ask(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "moor"]);
                (master[1] == *port).then_some(())
            });
        }
        eventually("the new primary", || text(self.replica.addr, &["SET", "proof", "1"]).map(drop));
    }
}

fn sentinel_process(addr: SocketAddr, primary: SocketAddr, folder: &Path) -> Process {
    let port = addr.port();
    let path = folder.join(format!("{port}.conf"));
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor moor 127.0.0.1 {} 2\nsentinel down-after-milliseconds moor 500\n\
         sentinel failover-timeout moor 3000\n",
        folder.display(),
        primary.port()
    );
    std::fs::write(&path, text).unwrap();
    let mut command = program();
    command.arg(path).arg("--sentinel");
    let process = Process::spawn(command);
    eventually("a Sentinel", || (resp::text(addr, &["PING"])? == "PONG").then_some(()));
    process
}

/// Three primaries, each with a replica.
pub struct Cluster {
    pub nodes: Vec<Redis>,
    ids: Vec<String>,
}

impl Cluster {
    pub fn start() -> Self {
        let ports: [SocketAddr; 6] = free_addrs();
        let buses: [SocketAddr; 6] = free_addrs();
        let node = |(addr, bus): (&SocketAddr, &SocketAddr)| {
            let more =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-announce-ip", "127.0.0.1"];
            Redis::start_with(*addr, &[&more[..], &["--cluster-port", &bus.port().to_string()]].concat())
        };
        let nodes: Vec<Redis> = ports.iter().zip(&buses).map(node).collect();
        let ids = nodes.iter().map(|node| text(node.addr, &["CLUSTER", "MYID"]).unwrap()).collect();
        let cluster = Self { nodes, ids };
        cluster.introduce(&ports, &buses);
        cluster.wait_until_agreed();
        cluster
    }

    fn introduce(&self, ports: &[SocketAddr], buses: &[SocketAddr]) {
        let third = SLOTS / 3;
        for (at, first) in [0, third, 2 * third].into_iter().enumerate() {
            let last = if at == 2 { SLOTS - 1 } else { first + third - 1 };
            ask(ports[at], &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            // Config epochs that differ from the start spare the nodes a quarrel.
            ask(ports[at], &["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        for (port, bus) in ports.iter().zip(buses).skip(1) {
            let (port, bus) = (port.port().to_string(), bus.port().to_string());
            ask(ports[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        for (replica, primary) in ports[3..].iter().zip(&self.ids) {
            eventually("the primary is known to its replica", || {
                let answer = resp::Resp::to(*replica).ok()?.ask(&["CLUSTER", "REPLICATE", primary]);
                (answer.ok()? == "OK").then_some(())
            });
        }
    }

    fn wait_until_agreed(&self) {
        for node in &self.nodes {
            eventually("the Cluster", || {
                let info = text(node.addr, &["CLUSTER", "INFO"])?;
                let nodes = text(node.addr, &["CLUSTER", "NODES"])?;
                let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
                (info.contains("cluster_state:ok") && replicas == 3).then_some(())
            });
        }
        for replica in &self.nodes[3..] {
            eventually("the replicas", || {
                text(replica.addr, &["INFO", "replication"])?.contains("master_link_status:up").then_some(())
            });
        }
    }

    pub fn url(&self) -> String {
        let seeds = self.nodes[..3].iter().map(|node| node.addr.to_string()).collect::<Vec<_>>().join(",");
        format!("redis+cluster://{seeds}")
    }

    /// Moves every slot that holds a key from the first primary to the second, one after the other. How many they were.
    pub fn migrate_slots(&self) -> usize {
        let (from, to) = (self.nodes[0].addr, self.nodes[1].addr);
        let holds_keys = |slot: &u32| ask(from, &["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]) != 0;
        let slots: Vec<u32> = (0..SLOTS / 3).filter(holds_keys).collect();
        for slot in &slots {
            self.migrate(&slot.to_string(), from, to);
        }
        slots.len()
    }

    fn migrate(&self, slot: &str, from: SocketAddr, to: SocketAddr) {
        ask(to, &["CLUSTER", "SETSLOT", slot, "IMPORTING", &self.ids[0]]);
        ask(from, &["CLUSTER", "SETSLOT", slot, "MIGRATING", &self.ids[1]]);
        let port = to.port().to_string();
        loop {
            let keys = ask(from, &["CLUSTER", "GETKEYSINSLOT", slot, "10"]);
            let Some(key) = keys[0].as_str() else { break };
            ask(from, &["MIGRATE", "127.0.0.1", &port, key, "0", "2000"]);
        }
        for owner in [to, from, self.nodes[2].addr] {
            ask(owner, &["CLUSTER", "SETSLOT", slot, "NODE", &self.ids[1]]);
        }
    }

    /// Waits until the replica of a primary that was killed has taken its place.
    pub fn wait_for_failover(&self, primary: usize) {
        let replica = self.nodes[primary + 3].addr;
        eventually("the replica is the primary", || {
            let report = text(replica, &["INFO", "replication"])?;
            let info = text(replica, &["CLUSTER", "INFO"])?;
            (report.contains("role:master") && info.contains("cluster_state:ok")).then_some(())
        });
    }
}
