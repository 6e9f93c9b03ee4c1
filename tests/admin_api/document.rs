//! The OpenAPI document: it describes what the program serves, all of it, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::send;
use crate::support::{Backend, Session, Setup};

/// Methods that HTTP knows (RFC 9110 §9, RFC 5789), but for HEAD, whose answers have no body to look at, and one that it does not.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"];

/// Pages and their files are no part of the API.
const PAGES: [&str; 2] = ["/", "/assets/{*path}"];

fn document() -> Value {
    serde_json::from_str(include_str!("../../docs/openapi.json")).expect("the document is JSON")
}

fn documented() -> BTreeSet<String> {
    document()["paths"].as_object().expect("it has paths").keys().cloned().collect()
}

/// The paths in the source: what the routers are made of.
fn routed() -> BTreeSet<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin")];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("it can be read");
                let routes = text.split(".route(").skip(1);
                let named = routes.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                found.extend(named.map(str::to_owned));
            }
        }
    }
    found
}

#[test]
fn every_route_is_documented_and_nothing_else() {
    let mut routed = routed();
    assert!(PAGES.iter().all(|page| routed.remove(*page)), "{routed:?}");
    assert_eq!(routed, documented());
}

#[test]
fn every_path_takes_the_documented_methods_and_no_others() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    for (path, operations) in document()["paths"].as_object().expect("it has paths") {
        let mut taken: BTreeSet<String> =
            operations.as_object().expect("operations").keys().map(|method| method.to_uppercase()).collect();
        // HEAD is GET without its body (RFC 9110 §9.3.2).
        taken.extend(taken.contains("GET").then(|| "HEAD".to_owned()));
        let asked = path.replace("{id}", "0123456789abcdef").replace("{name}", "none");
        for method in METHODS.iter().filter(|method| !taken.contains(**method)) {
            let answer = send(&gateway, &format!("{method} {asked}"), "");
            assert_eq!(answer.status, 405, "{method} {path}");
            let allowed = answer.header("allow").unwrap_or_default().split(',').map(|word| word.trim().to_owned());
            assert_eq!(allowed.collect::<BTreeSet<_>>(), taken, "{method} {path}");
        }
    }
}

#[test]
fn the_document_is_served_as_it_lies_in_the_repository() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let served = gateway.admin("/api/v1/openapi.json");
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    assert_eq!(served.json(), document());
}

/// Schemathesis makes requests of the document, well formed ones and others, and holds every answer against it.
#[test]
fn every_answer_is_as_documented_whatever_is_asked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/admin");
    assert!(folder.join(".venv/.stamp").exists(), "schemathesis is not installed: run tests/admin/install.sh first");
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url(), b.url()])
        .key("admin_token = \"correct horse\"")
        .key("limit = [{ name = \"per-caller\", rate = \"1000/s\" }]")
        .start();
    let sessions: Vec<_> = (0..3).map(|_| Session::open(gateway.addr)).collect();
    sessions.iter().for_each(|session| assert_eq!(session.call("name").status, 200));
    let admin = gateway.admin.to_string();
    let asked = Command::new(folder.join(".venv/bin/python"))
        .arg(folder.join("check.py"))
        .args([&admin, "correct horse"])
        .output()
        .expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    assert!(asked.status.success(), "{said}");
    println!("{said}");
}
