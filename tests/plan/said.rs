//! What is said, for people and for programs: golden files, one for each tier.

use serde_json::Value;

use crate::asked::{TARGETS, said, target};
use crate::support::golden;

#[test]
fn each_tiers_plan_is_said_as_its_golden_file_says() {
    for (name, arguments) in TARGETS {
        golden(&format!("plan/{name}.txt"), &said(arguments));
        golden(&format!("plan/{name}.json"), &said(&[arguments, &["--json"]].concat()));
    }
}

#[test]
fn the_page_shows_what_is_said() {
    let page = include_str!("../../docs/plan.md");
    assert!(page.contains(&said(target("tier-3"))), "the example of docs/plan.md is not what is said");
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&said(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn both_forms_say_the_same() {
    for (name, arguments) in TARGETS {
        let (text, json) = (said(arguments), json(arguments));
        assert_eq!((&json["format"], &json["version"]), (&"moorline-plan".into(), &1.into()));
        assert_eq!(json["tier"]["number"].to_string(), name.trim_start_matches("tier-"));
        for step in json["steps"].as_array().unwrap() {
            let formula = format!("= {}", step["formula"].as_str().unwrap());
            let line =
                text.lines().find(|line| line.contains(step["what"].as_str().unwrap()) && line.ends_with(&formula));
            assert!(line.is_some(), "{name}: {step}");
        }
        for constant in json["constants"].as_array().unwrap() {
            assert!(text.contains(constant["source"].as_str().unwrap()), "{name}: {constant}");
        }
        for warning in json["warnings"].as_array().unwrap() {
            assert!(text.contains(warning["text"].as_str().unwrap()), "{name}: {warning}");
        }
    }
}

#[test]
fn what_can_go_wrong_is_warned_of() {
    let warned = |more: &[&str]| {
        let plan = json(&[target("tier-3"), more].concat());
        plan["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|warning| warning["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let always = warned(&["--server-concurrency", "10"]);
    for (more, id) in [
        (&["--server-concurrency", "10", "--servers", "7"][..], "servers-overloaded"),
        (&["--server-concurrency", "10", "--servers", "10"], "servers-few"),
        (&["--server-concurrency", "10", "--quota", "slow=1/min"], "quota-shares"),
        (&["--server-concurrency", "1", "--headroom", "0", "--tier", "3", "--quota", "mail=1/s"], "quota-below"),
        (&[], "concurrency-assumed"),
    ] {
        assert!(warned(more).iter().any(|warned| warned == id), "{more:?}: {:?}", warned(more));
    }
    assert!(!always.iter().any(|id| id.starts_with("servers-") || id == "concurrency-assumed"), "{always:?}");
    let one = json(&[
        "--users",
        "5",
        "--calls-per-minute",
        "30",
        "--tool-latency",
        "20s",
        "--server-concurrency",
        "15",
        "--headroom",
        "0",
    ]);
    let ids: Vec<_> =
        one["warnings"].as_array().unwrap().iter().map(|warning| warning["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"one-server") && ids.contains(&"wild-session"), "{ids:?}");
}

#[test]
fn whoever_has_read_enough_ends_it_without_a_failure() {
    for arguments in [
        &["plan", "--users", "5", "--calls-per-minute", "9", "--tool-latency", "9ms"][..],
        &["key", "new", "--name", "a"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_moorline")).args(arguments).stdout(writer).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        match arguments[0] {
            "plan" => assert!(output.status.success() && told.is_empty(), "{told}"),
            // Its secret is told this once.
            _ => assert!(output.status.code() == Some(1) && told.contains("its secret lost"), "{told}"),
        }
    }
}
