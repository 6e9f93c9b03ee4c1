//! Three Moorline instances with the shipped file, a Redis that asks for a password, and servers behind them.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::fleet::{Redis, free_addrs};
use crate::front::{Front, Program};
use crate::shipped::Shipped;
use crate::support::Gateway;
use crate::support::tls::Files;
use crate::support_sdk::eventually;

const ADMIN_TOKEN: &str = "a token of sixteen letters and more";
const PASSWORD: &str = "a password of Redis";

/// What the shipped files call the servers.
const SERVERS: [&str; 3] = ["10.0.1.11:3000", "10.0.1.12:3000", "10.0.1.13:3000"];

/// What the shipped files call the instances.
const INSTANCES: [&str; 3] = ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"];

/// The servers' addresses with the names that they have in the shipped files.
pub fn as_shipped(servers: &[SocketAddr]) -> Vec<(&'static str, SocketAddr)> {
    SERVERS.into_iter().zip(servers.iter().copied()).collect()
}

/// One instance, which keeps its addresses over its lives.
pub struct Instance {
    pub addr: SocketAddr,
    text: String,
    gateway: Option<Gateway>,
}

impl Instance {
    fn start(text: String, addr: SocketAddr) -> Self {
        let gateway = Some(Gateway::start(&text));
        Self { addr, text, gateway }
    }

    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it runs")
    }

    /// SIGTERM, waits until it is gone, and starts it again.
    pub fn restart(&mut self) {
        let mut gateway = self.gateway.take().expect("it runs");
        gateway.signal("TERM");
        // Two waits, each with its deadline: a drain has one of its own, and a busy machine adds to it.
        gateway.log.wait("draining", 1);
        gateway.log.wait("drained", 1);
        let status = gateway.wait();
        assert!(status.success(), "it ended with {status}:\n{}", gateway.log.text());
        self.gateway = Some(Gateway::start(&self.text));
        eventually("readiness", || (self.gateway().admin("/readyz").status == 200).then_some(()));
    }
}

pub struct Installation {
    pub instances: Vec<Instance>,
    _redis: Redis,
    _files: Files,
}

impl Installation {
    /// In front of these servers; `more` is added to the shipped file.
    pub fn start(servers: &[SocketAddr], more: &str) -> Self {
        Self::with(servers, |shipped| shipped.and(more))
    }

    /// The same, but a drain takes 6 s at most instead of 30: under load nobody waits for the last request.
    pub fn quick_to_drain(servers: &[SocketAddr]) -> Self {
        Self::with(servers, |shipped| {
            shipped.put("notice = \"3s\"", "notice = \"5s\"").put("deadline = \"6s\"", "deadline = \"30s\"")
        })
    }

    fn with(servers: &[SocketAddr], change: impl Fn(Shipped) -> Shipped) -> Self {
        let (redis, files) = (Redis::start(), Files::new());
        let port = redis.addr.port().to_string();
        let set = ["-p", &port, "CONFIG", "SET", "requirepass", PASSWORD];
        assert!(Command::new("redis-cli").args(set).stdout(Stdio::null()).status().unwrap().success());
        let token = files.write("admin-token", ADMIN_TOKEN);
        let password = files.write("redis-password", PASSWORD);
        let addrs: [SocketAddr; 6] = free_addrs();
        let instances = [0, 1, 2].map(|at| {
            let own = (addrs[2 * at], addrs[2 * at + 1]);
            let shipped = Shipped::read("nginx/moorline.toml")
                .put(own.0, "0.0.0.0:8080")
                .put(own.1, "0.0.0.0:9090")
                .put(&token, "/etc/moorline/admin-token")
                .put(&password, "/etc/moorline/redis-password")
                .put("127.0.0.1", "10.0.0.2")
                .put("[\"mcp.example.com\", \"127.0.0.1\", \"localhost\"]", "[\"mcp.example.com\"]")
                // On a machine that is busy with everything at once, a Redis that is there may take longer than 50 ms.
                .put(format!("{}/0\"\ntimeout = \"1s", redis.addr), "10.0.2.11:6379/0");
            let shipped = as_shipped(servers).into_iter().fold(shipped, |file, (name, addr)| file.put(addr, name));
            Instance::start(change(shipped).text(), own.0)
        });
        Self { instances: instances.into(), _redis: redis, _files: files }
    }

    pub fn nginx(&self, program: Program) -> Front {
        Front::nginx(program, Shipped::read("nginx/nginx.conf"), &self.as_shipped())
    }

    pub fn haproxy(&self) -> Front {
        Front::haproxy(Shipped::read("haproxy/haproxy.cfg"), &self.as_shipped())
    }

    fn as_shipped(&self) -> Vec<(&'static str, SocketAddr)> {
        INSTANCES.into_iter().zip(self.instances.iter().map(|instance| instance.addr)).collect()
    }
}
