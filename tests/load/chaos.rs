//! Chaos: processes that the run has started are killed, paused and started again, and the report says what came of it.

use std::path::Path;

use crate::loaded::{begin, gateway, lives, load, options, replica, server, written};
use crate::support::backend::Kind;

#[test]
fn a_backend_that_is_killed_behind_a_moorline_is_marked_and_costs_its_users_no_session() {
    let options = options(
        &[replica("a"), replica("b"), gateway()],
        "--chaos kill:a@4s,restart@7s --users 12 --rate 3000 --duration 12s --ramp 1s --streams 50% \
         --session-calls 0 --tool look:{\"ms\":5} --max-errors 60",
    );
    let loaded = load("http://127.0.0.1:{gateway.port}/mcp", &options);
    loaded.adds_up();
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    let events = loaded.report["events"].as_array().unwrap();
    let what: Vec<&str> = events.iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["a killed", "a started again"], "{}", loaded.told);
    let at = events[0]["at"].as_f64().unwrap();
    assert!((4.0..7.0).contains(&at), "{at}");
    // Moorline moves the sessions: nobody has to begin anew. Calls that were under way at that very moment may fail.
    assert_eq!(loaded.count("/sessions/lost"), 0, "{}", loaded.said);
    assert!(loaded.count("/totals/answered") > 400, "{}", loaded.said);
    let series = loaded.report["series"].as_array().unwrap();
    let late =
        || series.iter().filter(|point| point["at"].as_f64() > Some(9.0) && point["planned"].as_u64() > Some(10));
    assert!(late().count() >= 2 && late().all(|point| point["answered"].as_u64() > Some(0)), "{series:?}");
    assert!(
        loaded.said.contains("what happened to processes") && loaded.said.contains("a killed: "),
        "{}",
        loaded.said
    );
    let page = std::fs::read_to_string(loaded.file("run.html")).unwrap();
    assert!(page.contains("a killed") && page.contains("class=\"flag\""), "the page marks it");
}

#[test]
fn a_bare_server_that_is_killed_loses_its_sessions_and_the_errors_say_so() {
    let options = options(
        &[replica("a")],
        "--chaos kill:a@2s,restart@3s --users 8 --rate 2400 --duration 8s --ramp 0s --session-calls 0 --tool look:{\"ms\":5} \
         --also none --max-errors 100000",
    );
    let loaded = load("http://127.0.0.1:{a.port}/mcp", &options);
    loaded.adds_up();
    assert!(loaded.errors("no connection") > 5, "{}", loaded.said);
    let after = &loaded.report["events"][0];
    assert!(after["errors_after"].as_u64().unwrap() > 5, "{after}");
    assert!(loaded.count("/sessions/lost") >= 1, "the server that comes back knows nobody: {}", loaded.said);
    let last = loaded.report["series"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .find(|point| point["planned"].as_u64() > Some(10))
        .unwrap();
    assert!(last["answered"].as_u64().unwrap() > 10, "and serves again: {last}");
}

#[test]
fn a_pause_shows_as_waiting_and_not_as_errors() {
    // What a machine that is busy with other tests adds to the pause may take some attempts.
    assert!((0..4).any(|_| a_pause_shows() < 1.5), "four times the machine itself stood still, too");
}

/// The p99 that a pause of a second makes, in seconds.
fn a_pause_shows() -> f64 {
    let options = options(
        &[replica("a")],
        "--chaos pause:a@3s+1s --users 8 --rate 2400 --duration 8s --ramp 0s --session-calls 0 --tool look:{\"ms\":5} \
         --also none --backlog 100",
    );
    let loaded = load("http://127.0.0.1:{a.port}/mcp", &options);
    loaded.adds_up();
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    // An eighth of the calls fell due in the pause: the share that waited over t is (1 - t) / 8.
    let p99 = loaded.number("/latency/p99_us") / 1e6;
    assert!(p99 > 0.86, "1 - 8 / 100, and never less: {p99}\n{}", loaded.said);
    let events: Vec<_> =
        loaded.report["events"].as_array().unwrap().iter().map(|event| event["what"].clone()).collect();
    assert_eq!(events, ["a paused", "a resumed"]);
    p99
}

#[test]
fn ctrl_c_ends_a_run_early_with_its_report_and_stops_what_was_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let stray = format!("stray=echo $$ > {}; exec sleep 1000", pid.display());
    let backend = server(Kind::Legacy, &["good"], |_, _| None);
    let loading = begin(
        &backend.url(),
        &["--start", &stray, "--users", "5", "--rate", "3000", "--duration", "10m", "--ramp", "0s"],
    );
    let pid = written(&pid);
    backend.wait_for("calls are made", |request| request.call() == "tools/call");
    assert!(lives(&pid));
    loading.interrupt();
    let loaded = loading.end();
    loaded.adds_up();
    assert_eq!(
        (loaded.code, loaded.report["cut_short"].as_bool()),
        (Some(0), Some(true)),
        "{}{}",
        loaded.said,
        loaded.told
    );
    assert!(loaded.said.contains("cut short"), "{}", loaded.said);
    assert!(!lives(&pid), "what was started is stopped");
    assert_eq!(backend.sessions(), 0, "and sessions are ended");
}

#[test]
fn a_process_that_ends_by_itself_is_marked() {
    let backend = server(Kind::Legacy, &["good"], |_, _| None);
    let loaded = load(
        &backend.url(),
        &["--start", "brief=sleep 1; exit 3", "--duration", "3s", "--ramp", "0s", "--think", "500ms"],
    );
    let what = loaded.report["events"][0]["what"].as_str().unwrap_or_else(|| panic!("{}{}", loaded.said, loaded.told));
    assert_eq!(what, "brief ended (exit status: 3)");
}

#[test]
fn what_processes_write_is_kept_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let backend = server(Kind::Legacy, &["good"], |_, _| None);
    let options = [
        "--start",
        "talker=echo heard; exec sleep 100",
        "--logs",
        logs.to_str().unwrap(),
        "--duration",
        "1s",
        "--think",
        "500ms",
    ];
    load(&backend.url(), &options);
    assert_eq!(std::fs::read_to_string(Path::new(&logs).join("talker.log")).unwrap(), "heard\n");
}
