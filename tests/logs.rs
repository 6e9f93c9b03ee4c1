//! The log and the access log: what stands in a line, where lines go, and what changes while Moorline runs.

mod support;

use std::fs;
use std::process::Command;

use serde_json::Value;
use support::session::call;
use support::{Backend, Gateway, Session, Setup, until, wait_for};

fn fields(line: &str) -> Vec<String> {
    let line: Value = serde_json::from_str(line).expect("a line is one JSON object");
    line.as_object().expect("it is an object").keys().cloned().collect()
}

/// The names, in the order of the alphabet, which a parsed object has.
const ALWAYS: [&str; 8] = ["at", "bytes_out", "ended", "instance", "outcome", "own_us", "status", "us"];
const UNDERSTOOD: [&str; 5] = ["bytes_in", "client", "era", "method", "pool"];
const SENT: [&str; 3] = ["backend", "backend_us", "tries"];

fn sorted(parts: &[&[&str]]) -> Vec<String> {
    let mut names: Vec<String> = parts.concat().into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn an_exchange_is_one_line_with_the_fields_that_are_documented() {
    let backend = Backend::legacy("a");
    let limit = "limit = [{ name = \"few\", tools = [\"limited\"], rate = \"1/h\" }]";
    let gateway = Setup::of(&[backend.url()]).key(limit).start();
    let session = Session::open(gateway.addr);
    session.call("look");
    let line = gateway.access.wait("\"look\"", 1);
    assert_eq!(fields(&line), sorted(&[&ALWAYS, &UNDERSTOOD, &SENT, &["name", "session"]]));
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&read["outcome"], &read["tries"], &read["status"]), (&"ok".into(), &1.into(), &200.into()));
    assert_eq!(read["instance"], gateway.instance()["id"]);
    let started = gateway.instance()["started_at"].as_u64().unwrap();
    assert!((started..started + 3_600_000).contains(&read["at"].as_u64().unwrap()), "unix milliseconds: {line}");
    session.call("limited");
    assert_ne!(session.call("limited").status, 0);
    let refused: Value = serde_json::from_str(&gateway.access.wait("\"refused\"", 1)).unwrap();
    assert_eq!((&refused["refused"], &refused["limit"]), (&"limited".into(), &"few".into()));
    gateway.ask(&support::http::post(&[], "{"));
    let unread = gateway.access.wait("\"refused\":\"not_json\"", 1);
    assert_eq!(fields(&unread), sorted(&[&ALWAYS, &["refused", "error"]]));
    assert!(unread.contains("\"error\":-32700"), "{unread}");
    let documented = fs::read_to_string("docs/logs.md").unwrap();
    for name in sorted(&[
        &ALWAYS,
        &UNDERSTOOD,
        &SENT,
        &["name", "session", "caller", "trace", "cache", "error", "refused", "limit"],
    ]) {
        assert!(documented.contains(&format!("`{name}`")), "docs/logs.md does not explain {name}");
    }
}

#[test]
fn a_file_is_opened_anew_on_sighup() {
    let (backend, folder) = (Backend::stateless("a"), tempfile::tempdir().unwrap());
    let (log, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let gateway = Setup::of(&[backend.url()]).key(&format!("log.access = {log:?}")).start();
    let ask = |tool: &str| gateway.ask(&support::http::post(&[], call("1", tool)));
    let holds = |path: &std::path::Path, tool: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(tool));
    ask("first");
    wait_for("the first line", || holds(&log, "first"));
    fs::rename(&log, &moved).unwrap();
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
    until("a line in a new file", || {
        ask("second");
        holds(&log, "second").then_some(())
    });
    assert!(!holds(&log, "first") && holds(&moved, "first"));
    assert!(gateway.access.text().is_empty(), "nothing goes to standard output");
}

#[test]
fn a_file_that_cannot_be_opened_is_said_at_the_start() {
    let backend = Backend::stateless("a");
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::of(&[backend.url()]).key("log.access = \"/nowhere/at/all/access.log\"");
    let config = folder.path().join("moorline.toml");
    fs::write(&config, setup.text()).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_moorline")).arg("serve").arg("--config").arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("cannot open the access log"), "{said}");
}

#[test]
fn level_and_place_change_with_a_reload() {
    let backend = Backend::stateless("a");
    let quiet = Setup::of(&[backend.url()]).key("log.access = \"off\"");
    let gateway = quiet.start();
    let ask = || gateway.ask(&support::http::post(&[], call("1", "look")));
    let refuse = || gateway.ask(&support::http::post(&[], "{"));
    refuse();
    gateway.configure(&Setup::of(&[backend.url()]).key("log.level = \"debug\"").text());
    gateway.log.wait("configuration reloaded", 1);
    ask();
    gateway.access.wait("\"look\"", 1);
    refuse();
    gateway.log.wait("refused", 1);
    gateway.access.wait("\"refused\"", 1);
    assert_eq!(gateway.access.count("\"refused\""), 1, "what came before was not logged");
}

#[test]
fn a_block_is_told_once() {
    let backend = Backend::stateless("a");
    let limit = "limit = [{ name = \"calls\", rate = \"1/h\", block = \"1h\" }]";
    let gateway: Gateway = Setup::of(&[backend.url()]).key(limit).start();
    for _ in 0..20 {
        gateway.ask(&support::http::post(&[], call("1", "look")));
    }
    gateway.access.wait("\"refused\"", 19);
    let line = gateway.log.wait("a limit blocks", 1);
    assert!(line.contains("limit=calls") && line.contains("caller=127.0.0.1") && line.contains("for_ms="), "{line}");
    assert_eq!(gateway.log.count("a limit blocks"), 1);
}
