//! What the command line refuses, and in which words.

use crate::asked::{refused, target};

#[test]
fn bad_input_is_refused_with_what_is_accepted() {
    let good = target("tier-2");
    for (arguments, part) in [
        (&[][..], "--users <N>"),
        (&["--users", "5"], "--calls-per-minute <CALLS>"),
        (&["--users", "0"], "1..=5000000"),
        (&["--users", "many"], "invalid digit"),
        (&["--calls-per-minute=-1"], "a number over 0"),
        (&["--calls-per-minute", "inf"], "a number over 0"),
        (&["--think", "0s"], "more than nothing"),
        (&["--tool-latency", "800"], "write a time such as"),
        (&["--streams", "130%"], "a share such as 30%"),
        (&["--answer-size", "8"], "such as 8KiB"),
        (&["--server-concurrency", "0"], "1..=10000"),
        (&["--cache-scope", "world"], "[possible values: caller, public]"),
        (&["--quota", "llm"], "NAME=RATE"),
        (&["--quota", "llm=5000"], "`5000` is not a rate"),
        (&["--quota", "llm=5/min:200%"], "a share such as 30%"),
        (&["--quota", "L L=5/min"], "a name has 1 to 32 of"),
        (&["--tier", "5"], "1..=4"),
        (&["--force"], "--write <DIRECTORY>"),
        (&["--from", "/nowhere.json"], "/nowhere.json"),
    ] {
        let said = refused(arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    for (more, part) in [
        (&["--calls-per-minute", "5"][..], "cannot be used with"),
        (&["--repeat", "20%"], "--cacheable <SHARE>"),
        (&["--ttl", "5m"], "--cacheable <SHARE>"),
        (&["--headroom", "95%"], "headroom must be 0 % to 90 %, not 0.95"),
        (&["--quota", "llm=1/s"], "--quota names \"llm\" twice"),
    ] {
        let said = refused(&[good, more].concat());
        assert!(said.contains(part), "{more:?}: {said}");
    }
}

#[test]
fn targets_that_contradict_themselves_are_explained() {
    let said = refused(&["--users", "5", "--calls-per-minute", "6000", "--tool-latency", "10s"]);
    assert!(
        said.contains("5 users with 6,000 calls a minute of 10 s each would have 200 calls in flight each"),
        "{said}"
    );
    let said = refused(&["--users", "5", "--calls-per-minute", "60", "--tool-latency", "2h"]);
    assert!(said.contains("tool latency must be 1us to 1h"), "{said}");
    let said = refused(&[
        "--users",
        "5",
        "--calls-per-minute",
        "60",
        "--tool-latency",
        "1s",
        "--cacheable",
        "1",
        "--ttl",
        "10ms",
    ]);
    assert!(said.contains("ttl must be 1s to 30d"), "{said}");
}
