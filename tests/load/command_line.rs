//! What the command line refuses, and what it lays side by side.

use std::process::Command;

use crate::loaded::{load, server};
use crate::support::backend::Kind;

fn refused(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_moorline")).arg("load").args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn bad_input_is_refused_in_words_before_anything_is_started() {
    let url = "http://127.0.0.1:9/mcp";
    let started = tempfile::tempdir().unwrap();
    let trace = started.path().join("trace");
    let start = format!("a=touch {}", trace.display());
    for (arguments, part) in [
        (&[][..], "<URL>"),
        (&["ftp://a/b"], "begins with http:// or https://"),
        (&["http://me@a/b"], "give it with --header instead"),
        (&[url, "--users", "0"], "1..=28000"),
        (&[url, "--users", "30000"], "1..=28000"),
        (&[url, "--rate", "0"], "a number over 0"),
        (&[url, "--rate", "5", "--think", "1s"], "cannot be used with"),
        (&[url, "--duration", "10"], "write a time such as"),
        (&[url, "--duration", "10s", "--ramp", "10s"], "--ramp (10s) must be shorter than --duration (10s)"),
        (&[url, "--streams", "130%"], "a share such as 30%"),
        (&[url, "--tool", "a:{"], "no JSON object"),
        (&[url, "--also", "prompts=1"], "list, ping and resources can be asked for"),
        (&[url, "--header", "nothing"], "Authorization: Bearer"),
        (&[url, "--start", "=x"], "write NAME=COMMAND"),
        (&[url, "--start", "a=true", "--start", "a=true"], "each once"),
        (&[url, "--start", &start, "--chaos", "kill:b@5s"], "no process \"b\" is started"),
        (&[url, "--start", &start, "--chaos", "kill:a@5m"], "after the run's end"),
        (&["--compare", "/nowhere.json"], "/nowhere.json"),
    ] {
        let said = refused(arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert!(!trace.exists(), "a process was started for nothing");
}

#[test]
fn a_server_that_is_not_there_or_has_nothing_to_call_is_said_so() {
    let said = refused(&["http://127.0.0.1:9/mcp"]);
    assert!(said.contains("initialize failed (no connection)"), "{said}");
    let backend = server(Kind::Legacy, &["good"], |_, _| None);
    let said = refused(&[&backend.url(), "--tool", "better"]);
    assert!(said.contains("the server has no tool \"better\"; it has: good"), "{said}");
    let said = refused(&[&backend.url(), "--start", "a=exit 3; # {port}"]);
    assert!(said.contains("a ended before it listened on port") && said.contains("--logs"), "{said}");
}

#[test]
fn what_a_run_is_told_goes_with_every_request() {
    let backend = server(Kind::Legacy, &["good"], |_, _| None);
    let options = [
        "--header",
        "Authorization: Bearer secret",
        "--tool",
        "good=2:{\"n\":{unique}}",
        "--duration",
        "1s",
        "--rate",
        "3000",
        "--ramp",
        "0s",
        "--streams",
        "1",
    ];
    let loaded = load(&backend.url(), &options);
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    let received = backend.received();
    assert!(
        received.len() > 30 && received.iter().all(|request| request.header("authorization") == Some("Bearer secret"))
    );
    let mut numbers: Vec<_> =
        received.iter().filter_map(|request| request.json()["params"]["arguments"]["n"].as_u64()).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(all > 20 && numbers.len() == all, "{all} calls, {} numbers", numbers.len());
    for kept in ["run.json", "run.html"] {
        assert!(!std::fs::read_to_string(loaded.file(kept)).unwrap().contains("secret"), "{kept} tells a secret");
    }
}

#[test]
fn runs_are_laid_side_by_side() {
    let backend = server(Kind::Legacy, &["good"], |_, _| None);
    let run = |label: &str, rate: &str| {
        load(&backend.url(), &["--label", label, "--rate", rate, "--duration", "2s", "--ramp", "0s", "--also", "none"])
    };
    let (slow, fast) = (run("slow", "600"), run("fast <b>", "2400"));
    let page = slow.file("both.html");
    let output = Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["load", "--compare"])
        .args([slow.file("run.json"), fast.file("run.json")])
        .arg("--html")
        .arg(&page)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = said.lines().find(|line| line.starts_with("calls a minute asked for")).unwrap();
    assert!(line.contains("600") && line.contains("2,400 (×4.00)"), "{said}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("fast &lt;b&gt;: latency") && !page.contains("<b>"), "labels are text");
}
