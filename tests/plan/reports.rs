//! Plans by a load report: what it says is the target, what is said beside it wins, and what says nothing is refused.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::asked::{refused, said};

/// A report, as `moorline load --json` writes one.
pub fn report() -> Value {
    let spread = |mean: f64, p99: u64| json!({ "count": 520, "mean_us": mean, "p50_us": 40_000, "p90_us": 60_000, "p99_us": p99, "p99_9_us": p99, "max_us": p99 });
    json!({
        "format": "moorline-load", "version": 1, "moorline": "0.1.0", "label": "a", "target": "http://127.0.0.1:1/mcp", "started_unix": 1,
        "seconds": 60.0, "cut_short": false,
        "options": {
            "users": 90, "era": "legacy", "calls_a_minute": 540.0, "think_seconds": 10.0, "think_shape": "exponential", "session_calls": 30,
            "streams": 0.5, "duration_seconds": 60.0, "ramp_seconds": 6.0, "timeout_seconds": 30.0, "backlog": 16, "seed": 1, "max_errors": 0
        },
        "totals": { "planned": 520, "answered": 520, "failed": 0, "missed": 0, "unfinished": 0, "left_undone": 0, "errors": 0, "calls_a_minute": 520.0, "resumed": 0 },
        "latency": spread(50_500.0, 90_000), "service": spread(50_000.0, 90_000), "failed": spread(0.0, 0), "lag": spread(100.0, 900),
        "operations": [{ "name": "whoami", "answered": 520, "failed": 0, "latency": spread(50_500.0, 90_000), "service": spread(50_000.0, 90_000) }], "errors": [],
        "fairness": { "users": 90, "latency": 1.0, "answered": 1.0, "worst": null, "unserved": 0, "mean_us": [] },
        "sessions": { "begun": 110, "ended": 20, "lost": 0 },
        "streams": { "opened": 55, "refused": 0, "closed": 0, "broken": 0, "mended": spread(0.0, 0), "events": 0 },
        "series": [], "events": []
    })
}

/// The file of a report after a change.
fn file(change: impl Fn(&mut Value)) -> (TempDir, PathBuf) {
    let (folder, mut report) = (tempfile::tempdir().unwrap(), report());
    change(&mut report);
    let path = folder.path().join("run.json");
    std::fs::write(&path, report.to_string()).unwrap();
    (folder, path)
}

fn plan(change: impl Fn(&mut Value), more: &[&str]) -> Value {
    let (_folder, path) = file(change);
    serde_json::from_str(&said(&[&["--from", path.to_str().unwrap(), "--json"], more].concat())).unwrap()
}

fn close(value: &Value, expected: f64) {
    assert!((value.as_f64().unwrap() / expected - 1.0).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn a_report_is_the_target() {
    let target = &plan(|_| {}, &[])["target"];
    assert_eq!((&target["users"], &target["session_calls"]), (&90.into(), &30.into()));
    close(&target["calls_per_minute"], 540.0);
    close(&target["tool_latency_seconds"], 0.05);
    close(&target["streams"], 0.5);
}

#[test]
fn options_win_over_the_report_and_users_scale_its_calls() {
    let target = &plan(|_| {}, &["--users", "900", "--tool-latency", "1s"])["target"];
    close(&target["calls_per_minute"], 5400.0);
    close(&target["tool_latency_seconds"], 1.0);
    let target = &plan(
        |_| {},
        &["--users", "900", "--calls-per-minute", "100", "--streams", "10%", "--session-calls", "0"],
    )["target"];
    close(&target["calls_per_minute"], 100.0);
    close(&target["streams"], 0.1);
    assert_eq!(target["session_calls"], 0);
    close(&plan(|_| {}, &["--think", "30s"])["target"]["calls_per_minute"], 180.0);
}

#[test]
fn doubts_about_a_run_are_said() {
    for (id, change) in [
        ("report-errors", (|report: &mut Value| report["totals"]["errors"] = 3.into()) as fn(&mut Value)),
        ("report-generator", |report| report["lag"]["p99_us"] = 900_000.into()),
        ("report-cut", |report| report["cut_short"] = true.into()),
        ("report-short", |report| report["seconds"] = 5.0.into()),
        ("report-waiting", |report| report["latency"]["p50_us"] = 900_000.into()),
    ] {
        assert_eq!(plan(change, &[])["warnings"][0]["id"], id);
    }
    let ids = plan(|_| {}, &[])["warnings"].to_string();
    assert!(!ids.contains("report-"), "{ids}");
}

#[test]
fn what_says_nothing_is_refused() {
    let refused_after = |change: fn(&mut Value)| {
        let (_folder, path) = file(change);
        refused(&["--from", path.to_str().unwrap()])
    };
    assert!(
        refused_after(|report| report["totals"]["answered"] = 0.into()).contains("no call of the run was answered")
    );
    let broken = refused_after(|report| report["totals"]["missed"] = 52.into());
    assert!(broken.contains("52 of 520 calls of the run failed or were never made (10 %)"), "{broken}");
    let another = refused_after(|report| report["version"] = 2.into());
    assert!(another.contains("run.json is no report of moorline load") && another.contains("version"), "{another}");
    assert!(refused_after(|report| *report = json!({ "a": 1 })).contains("is no report of moorline load"));
    assert!(refused_after(|report| report["options"]["users"] = 0.into()).contains("users must be 1 to 5,000,000"));
}
