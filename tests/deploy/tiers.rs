//! `deploy/tiers/run.sh` starts each tier from its own files: users come, keep their sessions, and when it is told to stop
//! nothing of it is left.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::fleet::{Client, Stream};
use crate::shipped::folder;
use crate::support_sdk::{Process, eventually, lines};

/// Up to sixteen processes start one after the other, on a machine that is busy with other tests.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// A running tier.
struct Tier {
    process: Option<Process>,
    plain: Option<SocketAddr>,
    /// Where the instances themselves listen.
    instances: Vec<SocketAddr>,
}

impl Tier {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(folder().join("tiers/run.sh"));
        command.args(arguments).env("MOORLINE", env!("CARGO_BIN_EXE_moorline"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::spawn(command);
        let said = lines(process.take_output());
        // From here on it is told to stop, whatever happens.
        let mut tier = Self { process: Some(process), plain: None, instances: Vec::new() };
        while tier.plain.is_none() {
            let line = said.recv_timeout(STARTS_WITHIN);
            tier.hear(&line.unwrap_or_else(|_| panic!("tier {arguments:?} does not start")));
        }
        tier
    }

    fn hear(&mut self, line: &str) {
        let addr = line.split_once("http://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        match line.split(':').next() {
            Some("URL") => self.plain = addr,
            Some(name) if name.starts_with("instance") => self.instances.extend(addr),
            _ => {}
        }
    }

    fn addr(&self) -> SocketAddr {
        self.plain.expect("it has started")
    }

    /// SIGTERM. It must end well, and take everything with it.
    fn stop(mut self) {
        let mut process = self.process.take().unwrap();
        process.signal("-TERM");
        assert!(process.ended_well());
        for addr in self.instances.iter().chain(&self.plain) {
            eventually("the end of all", || TcpStream::connect(addr).is_err().then_some(()));
        }
    }
}

impl Drop for Tier {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Killed, it would leave its children behind.
            process.signal("-TERM");
            process.ended_well();
        }
    }
}

fn users_keep_their_sessions(arguments: &[&str], instances: usize, users: usize) {
    let tier = Tier::start(arguments);
    assert_eq!(tier.instances.len(), instances);
    let mut clients: Vec<Client> = (0..users).map(|_| Client::open(tier.addr())).collect();
    let streams: Vec<Stream> = clients.iter().map(|client| Stream::open(client, None)).collect();
    for round in 1..=3 {
        for client in &mut clients {
            let counted = client.call("count", &json!({})).text();
            assert!(counted.contains(&round.to_string()), "tier {arguments:?}: a session's own count is {counted:?}");
        }
    }
    assert!(streams.iter().all(|stream| stream.status() == Some(200) && stream.is_open()));
    drop(streams);
    tier.stop();
}

#[test]
fn an_account_says_what_each_process_has_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.json");
    let read = || serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(&path).ok()?).ok();
    let tier = Tier::start(&["2", "--account", path.to_str().unwrap()]);
    assert!(read().is_none(), "nobody has asked yet");
    let mut client = Client::open(tier.addr());
    client.call("count", &json!({}));
    tier.process.as_ref().unwrap().signal("-USR1");
    let first = eventually("an account", read);
    // It goes on after that.
    client.call("count", &json!({}));
    tier.stop();
    let last = read().unwrap();
    assert!(last["seconds"].as_f64() > first["seconds"].as_f64());
    let processes = last["processes"].as_array().unwrap();
    let names: Vec<&str> = processes.iter().map(|process| process["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["server-1", "server-2", "server-3", "redis-1", "instance-1", "nginx"]);
    assert!(
        processes
            .iter()
            .all(|process| process["memory_peak_kib"].as_u64() > Some(1000) && process["cpu_seconds"].is_number())
    );
    assert!(
        processes[3]["used_memory"].as_u64() > Some(500_000) && processes[3]["scripts"].as_u64() > Some(3),
        "{last}"
    );
}

#[test]
fn under_10_users() {
    users_keep_their_sessions(&["1"], 1, 9);
}

#[test]
fn up_to_100_users() {
    users_keep_their_sessions(&["2"], 1, 12);
}

#[test]
fn up_to_1000_users_behind_nginx_or_haproxy() {
    users_keep_their_sessions(&["3", "nginx"], 3, 12);
    users_keep_their_sessions(&["3", "haproxy"], 3, 12);
}

#[test]
fn over_1000_users() {
    users_keep_their_sessions(&["4"], 3, 12);
}

#[test]
fn the_proxies_of_the_tiers_are_those_that_are_shipped_alone() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    assert_eq!(read("tiers/3-100-to-1000/nginx.conf"), read("nginx/nginx.conf"));
    assert_eq!(read("tiers/3-100-to-1000/haproxy.cfg"), read("haproxy/haproxy.cfg"));
    assert_eq!(read("tiers/4-over-1000/haproxy.cfg"), read("haproxy/haproxy.cfg"));
}
