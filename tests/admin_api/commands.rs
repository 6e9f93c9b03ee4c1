//! The commands that ask the admin API, as an operator types them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, Session, Setup};
use crate::{only, send};

fn command(gateway: &Gateway, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
    command.args(arguments).args(["--admin", &gateway.admin.to_string()]).env_remove("MOORLINE_ADMIN_TOKEN");
    command
}

/// What a command prints; it must say that all is well.
fn said(gateway: &Gateway, arguments: &[&str]) -> String {
    let out = command(gateway, arguments).output().expect("it was built");
    let words = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{arguments:?}: {words}{}", String::from_utf8_lossy(&out.stderr));
    words
}

fn as_json(gateway: &Gateway, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(gateway, &[arguments, &["--json"]].concat())).expect("it prints JSON")
}

/// Why a command fails.
fn complaint(gateway: &Gateway, arguments: &[&str]) -> String {
    let out = command(gateway, arguments).output().expect("it was built");
    assert!(!out.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

struct Pair {
    gateway: Gateway,
    a: Backend,
    b: Backend,
}

fn pair() -> Pair {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url(), b.url()]).start();
    Pair { gateway, a, b }
}

#[test]
fn status_shows_instances_and_backends() {
    let Pair { gateway, a, b } = pair();
    let words = said(&gateway, &["status"]);
    for part in
        ["INSTANCE", "serving", "memory", "itself", "BACKEND", &a.addr().to_string(), &b.addr().to_string(), " up "]
    {
        assert!(words.contains(part), "{part} in {words}");
    }
    let all = as_json(&gateway, &["status"]);
    assert_eq!((&all["instances"][0]["own"], &all["pools"][0]["name"]), (&json!(true), &json!("mcp")));
}

#[test]
fn a_backend_is_drained_by_whatever_it_is_called() {
    let Pair { gateway, a, .. } = pair();
    let id = gateway.backends()[0]["id"].as_str().expect("it has an id").to_owned();
    for name in [id, a.url(), a.addr().to_string()] {
        assert!(said(&gateway, &["drain", &name]).contains("is draining"), "{name}");
        assert_eq!(as_json(&gateway, &["undrain", &name])["state"], "up", "{name}");
    }
    assert!(complaint(&gateway, &["drain", "nobody"]).contains("no backend is called nobody"));
}

#[test]
fn sessions_are_listed_looked_at_moved_and_ended() {
    let Pair { gateway, a, b } = pair();
    let session = Session::open(gateway.addr);
    let listed = as_json(&gateway, &["sessions", "--caller", "127.0.0.1"]);
    let id = only(&listed["sessions"])["id"].as_str().expect("it has an id").to_owned();
    assert!(said(&gateway, &["sessions"]).contains(&id));
    assert!(said(&gateway, &["sessions", "--caller", "nobody"]).contains("of 1 sessions"));
    let one = said(&gateway, &["session", &id]);
    assert!(one.contains("test 1") && one.contains("2025-11-25"), "{one}");
    let (from, to) = if session.call("name").said() == "a" { (&a, &b) } else { (&b, &a) };
    assert!(said(&gateway, &["session", &id, "--move", &to.url()]).starts_with("moved from"));
    assert_eq!(only(&as_json(&gateway, &["sessions", "--backend", &to.url()])["sessions"])["id"], id.as_str());
    assert!(complaint(&gateway, &["session", &id, "--move", &to.url()]).contains("it lies at that backend already"));
    assert!(said(&gateway, &["session", &id, "--move"]).contains(&from.addr().to_string()));
    assert!(said(&gateway, &["session", &id, "--end"]).starts_with("ended; "));
    assert!(complaint(&gateway, &["session", &id]).contains("the session has ended"));
    assert!(!complaint(&gateway, &["session", &id, "--end", "--move"]).is_empty());
}

#[test]
fn a_reload_prints_what_is_wrong_with_the_file() {
    let Pair { gateway, .. } = pair();
    assert_eq!(said(&gateway, &["reload"]), "reloaded\n");
    gateway.configure("thread = 1\n");
    let words = complaint(&gateway, &["reload"]);
    assert!(words.contains("\n  1:1: "), "{words}");
}

#[test]
fn the_log_level_is_shown_and_set() {
    let Pair { gateway, .. } = pair();
    assert_eq!(said(&gateway, &["log"]), "info\n");
    assert_eq!(as_json(&gateway, &["log", "debug"]), json!({"level": "debug"}));
    assert!(complaint(&gateway, &["log", "loud"]).contains("loud"));
}

#[test]
fn events_are_followed_as_they_happen() {
    let Pair { gateway, .. } = pair();
    assert!(said(&gateway, &["events"]).contains("serving"));
    let mut following =
        command(&gateway, &["events", "--follow"]).stdout(Stdio::piped()).spawn().expect("it was built");
    let mut lines = BufReader::new(following.stdout.take().expect("it is piped")).lines();
    let mut next = |part: &str| lines.by_ref().map_while(Result::ok).find(|line| line.contains(part));
    assert!(next("serving").is_some());
    assert_eq!(send(&gateway, "POST /api/v1/keys/rotate", "").status, 204);
    let order = next("/api/v1/keys/rotate");
    following.kill().expect("it runs");
    following.wait().expect("it is ours");
    assert!(order.is_some_and(|line| line.contains("an operator gave an order")));
}
