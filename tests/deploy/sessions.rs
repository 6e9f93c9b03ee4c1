//! Whole sessions of the official TypeScript clients, over TLS, through each of the fronts as they are shipped: streams,
//! elicitation, resumption, both eras.

use std::process::Stdio;

use serde_json::Value;

use crate::front::{Front, Program};
use crate::installation::{Installation, as_shipped};
use crate::shipped::Shipped;
use crate::support_sdk::{program, replicas};

type Driver = &'static [&'static str];

const LEGACY: [Driver; 2] = [&["session-ts1.mjs"], &["session-ts2.mjs", "--era", "legacy"]];
const MODERN: Driver = &["session-ts2.mjs", "--era", "modern"];

/// The checks that matter most here.
const SHOWN: [&str; 8] =
    ["connect", "progress", "elicitation", "sampling", "subscription", "cancellation", "resume_call", "resume_stream"];

/// One whole session through a front.
fn session(front: &Front, driver: Driver) -> Result<(), String> {
    let mut command = program("node", driver);
    command.args(["--url", &front.url()]).env("NODE_EXTRA_CA_CERTS", front.ca_file()).stderr(Stdio::piped());
    let output = command.output().expect("it can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let who = format!("{driver:?} through {:?}", front.program);
    let report: Value = serde_json::from_str(&text)
        .map_err(|_| format!("{who}: {text}\n{}", String::from_utf8_lossy(&output.stderr)))?;
    let checks = report["checks"].as_array().ok_or_else(|| format!("{who}: {report}"))?;
    let failed: Vec<_> = checks.iter().filter(|check| check["ok"] != true).map(Value::to_string).collect();
    if !failed.is_empty() {
        return Err(format!("{who}: {}\nerrors: {}", failed.join("\n"), report["errors"]));
    }
    let is_modern = driver == MODERN;
    let wanted = SHOWN.iter().filter(|name| !(is_modern && name.starts_with("resume")));
    match wanted.into_iter().find(|name| !checks.iter().any(|check| check["name"] == **name)) {
        Some(missing) => Err(format!("{who}: no check named {missing}")),
        None => Ok(()),
    }
}

/// One after the other: at the same server, each would hear of what the other changes.
fn sessions(front: &Front, drivers: &[Driver]) {
    let failed: Vec<String> = drivers.iter().filter_map(|driver| session(front, driver).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn official_clients_run_whole_sessions_through_nginx_and_haproxy_before_three_instances() {
    let servers = replicas();
    let installation = Installation::start(&[servers[0].addr, servers[1].addr, servers[2].addr], "");
    for front in [installation.nginx(Program::Nginx), installation.nginx(Program::NewNginx), installation.haproxy()] {
        sessions(&front, &[LEGACY[0], LEGACY[1], MODERN]);
    }
    // Nobody was tied to one instance: each served requests of these few sessions.
    for instance in &installation.instances {
        assert!(instance.gateway().access.count("tools/call") > 10, "{}", instance.gateway().access.text());
    }
}

#[test]
fn official_clients_run_whole_sessions_through_nginx_alone() {
    let servers = replicas();
    let behind = as_shipped(&[servers[0].addr, servers[1].addr, servers[2].addr]);
    let fronts = [(Program::Nginx, "nginx-alone/nginx.conf"), (Program::NewNginx, "nginx-alone/nginx-sticky.conf")];
    for (program, file) in fronts {
        let front = Front::nginx(program, Shipped::read(file), &behind);
        sessions(&front, &LEGACY);
    }
}
