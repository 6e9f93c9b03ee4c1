//! Orders to the instance as a whole.

use serde_json::json;

use crate::support::{Backend, Gateway, Setup};
use crate::{problem, send};

#[test]
fn a_reload_says_what_needs_a_restart() {
    let backend = Backend::legacy("a");
    let setup = |more: &str| Setup::of(&[backend.url()]).key(more);
    let gateway = setup("threads = 1").start();
    gateway.configure(&setup("threads = 2").text());
    let reloaded = send(&gateway, "POST /api/v1/reload", "");
    assert_eq!((reloaded.status, reloaded.json()), (200, json!({"needs_restart": ["threads"], "warnings": []})));
}

#[test]
fn a_reload_tells_every_fault_with_its_place() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    gateway.configure(&format!(
        "thread = 1\nadmin_token = \"s3cret\"\n[[pool]]\nbackends = [{:?}]\nrehome_timeout = \"1\"\n",
        backend.url()
    ));
    let refused = send(&gateway, "POST /api/v1/reload", "");
    assert_eq!(problem(&refused), (422, "faults".into()));
    let errors = refused.json()["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(2), "{errors}");
    assert_eq!(
        (&errors[0]["line"], &errors[0]["column"], &errors[0]["code"]),
        (&json!(1), &json!(1), &json!("unknown-key"))
    );
    assert_eq!(errors[1]["line"], 5, "{errors}");
    assert!(!refused.text().contains("s3cret"), "{errors}");
    assert_eq!(gateway.instance()["phase"], "serving", "the old configuration stays");
    std::fs::remove_file(gateway.config_path()).expect("it is there");
    assert_eq!(problem(&send(&gateway, "POST /api/v1/reload", "")), (422, "unreadable".into()));
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let backend = Backend::legacy("a");
    let gateway = Gateway::quick(&["--backend", &backend.url()]);
    assert_eq!(problem(&send(&gateway, "POST /api/v1/reload", "")), (409, "no_file".into()));
}

#[test]
fn new_keys_leave_old_sessions_valid() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let session = crate::support::Session::open(gateway.addr);
    assert_eq!(send(&gateway, "POST /api/v1/keys/rotate", "").status, 204);
    assert_eq!(session.call("name").status, 200);
}

#[test]
fn the_log_level_changes_while_it_runs() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let level = || gateway.admin("/api/v1/log").json();
    let set = |level: &str| send(&gateway, "PUT /api/v1/log", &json!({ "level": level }).to_string());
    assert_eq!(level(), json!({"level": "info"}));
    let quiet = set("error");
    assert_eq!((quiet.status, quiet.json(), level()), (200, json!({"level": "error"}), json!({"level": "error"})));
    assert_eq!(send(&gateway, "POST /api/v1/keys/rotate", "").status, 204);
    assert_eq!(set("debug").status, 200);
    gateway.log.wait("an operator gave an order", 1);
    assert!(!gateway.log.text().contains("/api/v1/keys/rotate"), "{}", gateway.log.text());
    for bad in ["{\"level\":\"loud\"}", "{}", "{\"level\":\"debug\",\"for\":1}"] {
        assert_eq!(problem(&send(&gateway, "PUT /api/v1/log", bad)), (400, "malformed".into()), "{bad}");
    }
}

#[test]
fn recent_events_are_told_from_where_the_last_answer_ended() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let first = gateway.admin("/api/v1/events").json();
    let newest = first["newest"].as_u64().expect("it is a number");
    assert_eq!(
        first["events"].as_array().and_then(|events| events.last()).map(|last| last["number"].clone()),
        Some(json!(newest))
    );
    send(&gateway, "POST /api/v1/keys/rotate", "");
    let next = gateway.admin(&format!("/api/v1/events?after={newest}")).json();
    let order = &next["events"][0];
    assert_eq!((&order["number"], &order["level"]), (&json!(newest + 1), &json!("info")), "{next}");
    assert_eq!(order["fields"]["path"], "/api/v1/keys/rotate", "{next}");
    assert_eq!(gateway.admin("/api/v1/events?most=1").json()["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(problem(&gateway.admin("/api/v1/events?most=513")), (400, "malformed".into()));
}

#[test]
fn every_order_is_logged_with_whoever_gave_it() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    send(&gateway, "POST /api/v1/cache/purge", "{\"all\":true}");
    let line = gateway.log.wait("an operator gave an order", 1);
    assert!(line.contains("127.0.0.1") && line.contains("/api/v1/cache/purge") && line.contains("204"), "{line}");
}
