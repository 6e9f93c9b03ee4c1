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
fn every_order_is_logged_with_whoever_gave_it() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    send(&gateway, "POST /api/v1/cache/purge", "{\"all\":true}");
    let line = gateway.log.wait("an operator gave an order", 1);
    assert!(line.contains("127.0.0.1") && line.contains("/api/v1/cache/purge") && line.contains("204"), "{line}");
}
