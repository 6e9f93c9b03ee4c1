//! nginx and HAProxy of a plan: as many instances as there are, and as many connections as are needed.

use super::super::Plan;
use super::{FilesError, put};

const SAME_MACHINE: &str = include_str!("../../../deploy/tiers/2-10-to-100/nginx.conf");
const NGINX: &str = include_str!("../../../deploy/tiers/3-100-to-1000/nginx.conf");
const HAPROXY: &str = include_str!("../../../deploy/tiers/4-over-1000/haproxy.cfg");

/// What begins the line of an instance in the shipped files.
const NGINX_SERVER: &str = "        server 10.0.0.";
const HAPROXY_SERVER: &str = "    server moorline-";

/// nginx before the one instance on its machine.
pub fn nginx_on_the_same_machine(plan: &Plan) -> Result<String, FilesError> {
    nginx_connections(plan, SAME_MACHINE)
}

/// nginx before several instances.
pub fn nginx(plan: &Plan) -> Result<String, FilesError> {
    let server = |at: u32| format!("{NGINX_SERVER}{}:8080 max_fails=1 fail_timeout=2s;", 11 + at);
    nginx_connections(plan, &servers(NGINX, NGINX_SERVER, (0..plan.instances.count).map(server))?)
}

/// HAProxy before several instances.
pub fn haproxy(plan: &Plan) -> Result<String, FilesError> {
    let server = |at: u32| format!("{HAPROXY_SERVER}{} 10.0.0.{}:8080 check", at + 1, 11 + at);
    let text = servers(HAPROXY, HAPROXY_SERVER, (0..plan.instances.count).map(server))?;
    put(&text, "maxconn 8192 ", &format!("maxconn {} ", most(plan)))
}

fn most(plan: &Plan) -> u64 {
    plan.front.map_or(0, |front| front.most)
}

/// One connection to the client and one to Moorline; twice as many descriptors, since old workers live on after a reload.
fn nginx_connections(plan: &Plan, text: &str) -> Result<String, FilesError> {
    let connections = 2 * most(plan);
    let text = put(text, "worker_connections 16384;", &format!("worker_connections {connections};"))?;
    put(&text, "worker_rlimit_nofile 65536;", &format!("worker_rlimit_nofile {};", (2 * connections).max(65_536)))
}

/// Puts lines in the place of those that begin so, which follow each other.
fn servers(text: &str, begin: &str, lines: impl Iterator<Item = String>) -> Result<String, FilesError> {
    let mut instead = Some(lines.collect::<Vec<_>>().join("\n"));
    let mut out = String::new();
    for line in text.lines() {
        if !line.starts_with(begin) {
            out.push_str(line);
            out.push('\n');
        } else if let Some(lines) = instead.take() {
            out.push_str(&lines);
            out.push('\n');
        }
    }
    if instead.is_some() { Err(FilesError::Shipped(begin.to_owned())) } else { Ok(out) }
}
