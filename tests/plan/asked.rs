//! The binary asked for a plan, and the targets that the tests share: one for each tier.

use std::process::{Command, Output};

/// A name, and what is asked for.
pub const TARGETS: [(&str, &[&str]); 4] = [
    ("tier-1", &["--users", "8", "--calls-per-minute", "48", "--tool-latency", "800ms", "--streams", "50%"]),
    (
        "tier-2",
        &[
            "--users",
            "90",
            "--think",
            "10s",
            "--tool-latency",
            "1500ms",
            "--streams",
            "50%",
            "--server-concurrency",
            "12",
            "--quota",
            "llm=500/min:40%",
        ],
    ),
    (
        "tier-3",
        &[
            "--users",
            "900",
            "--calls-per-minute",
            "5400",
            "--tool-latency",
            "800ms",
            "--streams",
            "50%",
            "--session-calls",
            "50",
            "--cacheable",
            "30%",
            "--repeat",
            "60%",
            "--questions",
            "200",
            "--ttl",
            "5m",
            "--cache-scope",
            "public",
            "--quota",
            "llm=500/min:20%",
        ],
    ),
    (
        "tier-4",
        &[
            "--users",
            "25000",
            "--calls-per-minute",
            "150000",
            "--tool-latency",
            "600ms",
            "--streams",
            "80%",
            "--server-concurrency",
            "32",
            "--instance-cores",
            "4",
            "--cacheable",
            "40%",
            "--quota",
            "llm=50000/min:30%",
            "--quota",
            "mail=100/s:1%",
        ],
    ),
];

/// The target of a tier.
pub fn target(name: &str) -> &'static [&'static str] {
    TARGETS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Runs the binary.
pub fn plan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moorline")).arg("plan").args(arguments).output().unwrap()
}

/// What it says; it must end well.
pub fn said(arguments: &[&str]) -> String {
    let output = plan(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it refuses, and how.
pub fn refused(arguments: &[&str]) -> String {
    let output = plan(arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?} was not refused");
    String::from_utf8(output.stderr).unwrap()
}
