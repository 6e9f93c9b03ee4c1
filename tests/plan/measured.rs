//! The arithmetic against what was measured: reports of load runs at the tiers (`deploy/tiers/N-*/measured/NAME.json`, by `moorline load --json`),
//! each beside what the tier's processes have taken meanwhile (`NAME.processes.json`, by `run.sh --account`).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use moorline::load::keep;
use moorline::load::report::Report;
use moorline::plan::costs::{IDLE_CPU, INSTANCE_SCRIPTS, STORE_BASE};
use moorline::plan::instances::{cpu, memory};
use moorline::plan::reported::reported;
use moorline::plan::store::{Held, scripts};
use moorline::plan::target::{CacheTarget, Scope, Target};

/// How far a prediction may be from the measurement, up or down.
const FACTOR: f64 = 2.0;

/// What was predicted and what was measured.
#[derive(Debug)]
struct Compared {
    what: &'static str,
    predicted: f64,
    measured: f64,
    /// What may stand in the measurement beside what depends on the load.
    beside: f64,
}

impl Compared {
    fn holds(&self) -> bool {
        let least = self.predicted / FACTOR;
        let most = self.predicted * FACTOR + self.beside;
        self.measured >= least && self.measured <= most
    }
}

/// The target that a report is.
fn target(report: &Report) -> Target {
    let said = reported(report).unwrap();
    Target {
        users: said.users,
        calls_per_minute: said.calls_per_minute,
        tool_latency: said.latency,
        streams: said.streams,
        session_calls: said.session_calls,
        server_concurrency: None,
        servers: None,
        instance_cores: 2,
        answer_bytes: 8192,
        cache: CacheTarget {
            cacheable: 0.0,
            repeat: 0.0,
            questions: 1,
            ttl: std::time::Duration::from_secs(60),
            scope: Scope::Caller,
        },
        quotas: Vec::new(),
        headroom: 0.3,
        least_tier: 1,
    }
}

fn sum(account: &Value, of: &str, member: &str) -> f64 {
    let processes = account["processes"].as_array().unwrap().iter();
    processes
        .filter(|process| process["name"].as_str().unwrap().starts_with(of))
        .filter_map(|process| process[member].as_f64())
        .sum()
}

fn count(account: &Value, of: &str) -> usize {
    account["processes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|process| process["name"].as_str().unwrap().starts_with(of))
        .count()
}

fn compared(report: &Report, account: &Value) -> Vec<Compared> {
    let target = target(report);
    let seconds = account["seconds"].as_f64().unwrap();
    // Users arrive over the ramp, and the account goes on until the tier is told to end.
    let present = (report.options.duration_seconds - report.options.ramp_seconds / 2.0) / seconds;
    // What is done to sessions is no call.
    let calls = report.operations.iter().filter(|operation| !operation.name.ends_with("a session"));
    let in_flight = calls.map(|call| call.service.count as f64 * call.service.mean_us / 1e6).sum::<f64>();
    let instances = count(account, "instance") as f64;
    let (begun, ended) = (report.sessions.begun as f64, report.sessions.ended as f64);
    let redis = count(account, "redis") as f64;
    let charges = if redis > 0.0 { 1 } else { 0 };
    let mut all = vec![
        Compared {
            what: "calls in flight, times seconds",
            predicted: target.in_flight() * present * seconds,
            measured: in_flight,
            beside: 0.0,
        },
        Compared {
            what: "CPU seconds of all instances",
            predicted: cpu(&target, charges) * present * seconds,
            measured: sum(account, "instance", "cpu_seconds"),
            beside: instances * IDLE_CPU.get() * seconds,
        },
        Compared {
            what: "memory of all instances",
            predicted: instances * memory(begun, target.open_streams() / instances, target.in_flight() / instances),
            measured: sum(account, "instance", "memory_peak_kib") * 1024.0,
            beside: 0.0,
        },
    ];
    if redis > 0.0 {
        let held = Held { sessions: begun - ended, graves: ended, counters: target.users.into(), results: 0.0 };
        all.push(Compared {
            what: "memory of all Redis primaries",
            predicted: held.memory() - STORE_BASE.get(),
            measured: sum(account, "redis", "used_memory"),
            beside: redis * STORE_BASE.get(),
        });
        all.push(Compared {
            what: "scripts that Redis has run",
            predicted: (scripts(&target, 0) * present + instances * INSTANCE_SCRIPTS.get()) * seconds,
            measured: sum(account, "redis", "scripts"),
            beside: 0.0,
        });
    }
    all
}

/// Reports with their accounts.
fn measured() -> Vec<(PathBuf, Report, Value)> {
    let tiers = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/tiers")).unwrap();
    let folders = tiers.map(|entry| entry.unwrap().path().join("measured")).filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "json")
            && !path.to_str().unwrap().ends_with(".processes.json")
    });
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let report =
                keep::read_all(std::slice::from_ref(&path)).unwrap_or_else(|error| panic!("{error}")).remove(0);
            let account = fs::read_to_string(path.with_extension("processes.json"))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, report, serde_json::from_str(&account).unwrap())
        })
        .collect()
}

#[test]
fn what_was_measured_at_the_tiers_is_what_the_arithmetic_says() {
    for (path, report, account) in measured() {
        assert_eq!(
            (&account["format"], &account["version"]),
            (&"moorline-tier-account".into(), &1.into()),
            "{}",
            path.display()
        );
        let compared = compared(&report, &account);
        for one in &compared {
            println!("{}: {}: {:.3} predicted, {:.3} measured", path.display(), one.what, one.predicted, one.measured);
        }
        let wrong: Vec<_> = compared.iter().filter(|one| !one.holds()).collect();
        assert!(wrong.is_empty(), "{}: not within a factor of {FACTOR}: {wrong:#?}", path.display());
    }
}

#[test]
fn what_is_far_off_is_found() {
    let account = |cpu: f64, kib: u64, redis: u64| {
        json!({ "seconds": 60.0, "processes": [
            { "name": "server-1", "cpu_seconds": 9.0, "memory_peak_kib": 1 },
            { "name": "instance-1", "cpu_seconds": cpu, "memory_peak_kib": kib },
            { "name": "redis-1", "cpu_seconds": 0.1, "memory_peak_kib": 1, "used_memory": redis, "scripts": 700 }
        ]})
    };
    let report: Report = serde_json::from_value(crate::reports::report()).unwrap();
    let wrong = |account: &Value| {
        compared(&report, account).into_iter().filter(|one| !one.holds()).map(|one| one.what).collect::<Vec<_>>()
    };
    assert_eq!(wrong(&account(0.5, 50_000, 3_500_000)), [""; 0]);
    assert_eq!(wrong(&account(5.0, 50_000, 3_500_000)), ["CPU seconds of all instances"]);
    assert_eq!(wrong(&account(0.5, 500_000, 3_500_000)), ["memory of all instances"]);
    assert_eq!(wrong(&account(0.5, 50_000, 35_000_000)), ["memory of all Redis primaries"]);
}
