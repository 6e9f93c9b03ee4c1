//! The files, each judged by the program that reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::asked::{TARGETS, refused, said, target};
use crate::fleet::free_addrs;
use crate::support::tls::{Authority, Files};
use crate::support_sdk::{Process, eventually};

/// The files of a tier, in a folder of their own.
struct Written {
    folder: tempfile::TempDir,
    json: Value,
}

impl Written {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder");
        let said = said(&[target(name), &["--json", "--write", path.to_str().unwrap()]].concat());
        Self { folder, json: serde_json::from_str(&said).unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("new/folder").join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn count(&self, of: &str) -> usize {
        usize::try_from(self.json[of]["count"].as_u64().unwrap()).unwrap()
    }

    /// All tiers that have such a file.
    fn all_with(name: &str) -> Vec<Self> {
        let all = TARGETS.iter().map(|(tier, _)| Self::of(tier));
        let all: Vec<Self> = all.filter(|written| written.has(name)).collect();
        assert!(!all.is_empty());
        all
    }
}

fn well(what: &str, run: std::io::Result<Output>) -> String {
    let run = run.unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{what}: {said}");
    said
}

fn program(name: &str) -> PathBuf {
    let found =
        ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: make needs"))
}

/// The certificate where the shipped files name it, in a folder of the test's own.
fn with_certificate(files: &Files, text: &str) -> String {
    let shown = Authority::new("front").server(&["mcp.example.com"]);
    let both = format!("{}{}", shown.cert, shown.key);
    let named = [
        ("/etc/haproxy/mcp.example.com.pem", &both),
        ("/etc/ssl/mcp.example.com.pem", &both),
        ("/etc/ssl/mcp.example.com.key", &shown.key),
    ];
    named
        .iter()
        .fold(text.to_owned(), |text, (path, pem)| text.replace(path, &files.write(&path.replace('/', "-"), pem)))
}

#[test]
fn each_tier_has_its_files() {
    for ((name, _), expected) in TARGETS.iter().zip([
        &["moorline.toml"][..],
        &["moorline.toml", "nginx.conf", "redis.conf"],
        &["moorline.toml", "nginx.conf", "haproxy.cfg", "redis.conf"],
        &["moorline.toml", "haproxy.cfg", "redis.conf", "values.yaml"],
    ]) {
        let written = Written::of(name);
        let mut found: Vec<_> = fs::read_dir(written.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut expected: Vec<&str> = [expected, &["README.md"]].concat();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{name}");
        for file in expected.iter().filter(|file| **file != "README.md") {
            assert!(written.text("README.md").contains(&format!("| `{file}` |")), "{name}: {file}");
        }
        for step in written.json["steps"].as_array().unwrap() {
            assert!(
                written.text("README.md").contains(&format!("| = {} |", step["formula"].as_str().unwrap())),
                "{name}: {step}"
            );
        }
    }
}

#[test]
fn moorline_takes_each_configuration() {
    for written in Written::all_with("moorline.toml") {
        let files = Files::new();
        let mut text = with_certificate(&files, &written.text("moorline.toml"));
        for secret in ["/etc/moorline/admin-token", "/etc/moorline/redis-password"] {
            text = text.replace(secret, &files.write(&secret.replace('/', "-"), &"x".repeat(40)));
        }
        let path = files.write("moorline.toml", &text);
        let said =
            well("check", Command::new(env!("CARGO_BIN_EXE_moorline")).args(["check", "--config", &path]).output());
        let warned = said.matches("warning").count();
        // Behind a proxy that ends TLS, the way from there to here is without.
        assert_eq!(warned, said.matches("can be reached from other machines, without TLS").count(), "{said}");
        let listed = text.matches(":3000/mcp\"").count();
        assert!(listed == written.count("servers") || text.contains("dns+http://servers.internal:3000/mcp"), "{text}");
    }
}

#[test]
fn nginx_takes_its_configuration_with_as_many_instances_as_are_planned() {
    for written in Written::all_with("nginx.conf") {
        let files = Files::new();
        let folder = files.path("").display().to_string();
        let text = written.text("nginx.conf");
        assert_eq!(text.matches(":8080 max_fails=").count(), written.count("instances"));
        let text = with_certificate(&files, &text)
            .replace("/var/log/nginx", &folder)
            .replace("/run/nginx.pid", &format!("{folder}/pid"));
        let path = files.write("nginx.conf", &text);
        well("nginx", Command::new(program("nginx")).args(["-t", "-p", &folder, "-c", &path]).output());
    }
}

#[test]
fn haproxy_takes_its_configuration_with_as_many_instances_as_are_planned() {
    for written in Written::all_with("haproxy.cfg") {
        let files = Files::new();
        let text = with_certificate(&files, &written.text("haproxy.cfg"));
        assert_eq!(text.matches("    server moorline-").count(), written.count("instances"));
        assert!(text.contains(&format!("maxconn {} ", written.json["front"]["maxconn"])), "{text}");
        let said = well(
            "haproxy",
            Command::new(program("haproxy")).args(["-c", "-f", &files.write("haproxy.cfg", &text)]).output(),
        );
        assert!(!said.contains("WARNING"), "{said}");
    }
}

#[test]
fn redis_starts_with_its_configuration() {
    for written in Written::all_with("redis.conf") {
        let [addr] = free_addrs();
        let port = addr.port().to_string();
        let bus = free_addrs::<1>()[0].port().to_string();
        let mut command = Command::new("redis-server");
        command.arg(written.path("redis.conf")).args([
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--cluster-port",
            &bus,
            "--dir",
        ]);
        command.arg(written.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let _redis = Process::spawn(command);
        let ask = || {
            let output = Command::new("redis-cli").args(["-p", &port, "config", "get", "max*"]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.contains("noeviction").then_some(text)
        };
        let text = eventually("Redis", ask);
        let allowed = text.lines().skip_while(|line| *line != "maxmemory").nth(1).unwrap().parse::<u64>().unwrap();
        let planned = written.json["redis"]["maxmemory_bytes"].as_u64().unwrap();
        let nodes =
            if written.text("redis.conf").contains("cluster-enabled yes") { planned.div_ceil(allowed) } else { 1 };
        assert!(allowed * nodes >= planned && planned > 0, "{allowed} × {nodes}, {planned}");
        assert!(nodes == 1 || nodes >= 3, "{nodes} primaries");
    }
}

#[test]
fn helm_takes_the_values_and_moorline_what_they_become() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let python = folder.join("kubernetes/.venv/bin/python");
    assert!(python.exists(), "Helm is missing: tests/kubernetes/install.sh");
    for written in Written::all_with("values.yaml") {
        let mut command = Command::new(&python);
        command
            .arg(folder.join("plan/chart.py"))
            .arg(written.path("values.yaml"))
            .env("MOORLINE", env!("CARGO_BIN_EXE_moorline"));
        let rendered: Value = serde_json::from_str(&well("chart", command.output())).unwrap();
        assert_eq!(rendered["minReplicas"].as_u64(), written.json["instances"]["count"].as_u64());
        assert_eq!(rendered["cpu"].as_str().unwrap(), written.json["instances"]["cores"].to_string());
    }
}

#[test]
fn nothing_is_written_over_unless_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let write = [target("tier-3"), &["--write", path]].concat();
    fs::write(folder.path().join("haproxy.cfg"), "mine").unwrap();
    let said_no = refused(&write);
    assert!(said_no.contains(&format!("{path}/haproxy.cfg is there already; --force writes over it")), "{said_no}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "part of the files was written");
    said(&[&write[..], &["--force"]].concat());
    assert!(fs::read_to_string(folder.path().join("haproxy.cfg")).unwrap().contains("backend moorline"));
    let said_no = refused(&[target("tier-1"), &["--write", &format!("{path}/haproxy.cfg")]].concat());
    assert!(said_no.contains("haproxy.cfg"), "{said_no}");
}
