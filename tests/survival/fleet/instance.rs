//! One Moorline of several: it keeps its address over its lives, so that a balancer finds it again.

use std::net::SocketAddr;

use serde_json::Value;

use super::Moment;
use crate::support::http::request;
use crate::support::{Answer, Gateway, ask};
use crate::support_sdk::{eventually, now};

/// Lines of its log that a failed test shows.
const SHOWN: usize = 200;

/// An instance, running or not.
pub struct Instance {
    pub addr: SocketAddr,
    text: String,
    gateway: Option<Gateway>,
}

impl Instance {
    /// Starts one with this configuration, to which the address is added.
    pub fn start(addr: SocketAddr, text: &str) -> Self {
        let text = format!("listen = \"{addr}\"\n{text}");
        let gateway = Some(Gateway::start(&text));
        Self { addr, text, gateway }
    }

    pub fn start_again(&mut self) {
        self.gateway = Some(Gateway::start(&self.text));
    }

    /// kill -9. When that was.
    pub fn kill(&mut self) -> Moment {
        let before = now();
        self.gateway.take().expect("it runs").kill();
        Moment { before, after: now() }
    }

    /// SIGTERM, and waits until it is gone.
    pub fn terminate(&mut self) {
        let mut gateway = self.gateway.take().expect("it runs");
        gateway.signal("TERM");
        let status = gateway.wait();
        assert!(status.success(), "it ended with {status}:\n{}", gateway.log.text());
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it runs")
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    /// A POST to its admin address.
    pub fn post(&self, path: &str) -> Answer {
        ask(self.gateway().admin, &request(&format!("POST {path}"), &["Content-Type: application/json"], b""))
    }

    pub fn health(&self) -> Answer {
        self.gateway().admin("/health")
    }

    /// Waits until its health is this.
    pub fn wait_for_health(&self, status: &str) {
        eventually("another state of health", || (self.health().json()["status"] == *status).then_some(()));
    }

    /// What its admin address says of one backend.
    pub fn backend(&self, server: SocketAddr) -> Value {
        let port = format!(":{}", server.port());
        let mut backends = self.gateway().backends();
        let at = backends.iter().position(|backend| backend["name"].to_string().contains(&port));
        backends.swap_remove(at.unwrap_or_else(|| panic!("no backend {server} in {backends:?}")))
    }

    /// How many lines of its log contain `part`.
    pub fn said(&self, part: &str) -> usize {
        self.gateway().log.count(part)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let (true, Some(gateway)) = (std::thread::panicking(), &self.gateway) {
            let text = gateway.log.text();
            let lines: Vec<&str> = text.lines().collect();
            let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
            eprintln!("what the instance at {} said last:\n{shown}", self.addr);
        }
    }
}
