//! What the instance says of itself, its backends, tools and callers.

use serde_json::json;

use crate::support::{Backend, Session, Setup, wait_for};
use crate::{only, send};

#[test]
fn an_instance_says_what_it_is() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let _session = Session::open(gateway.addr);
    let said = gateway.instance();
    assert_eq!((&said["phase"], &said["sessions"], &said["version"]), (&json!("serving"), &json!(1), &json!("0.1.0")));
    assert_eq!(said["store"], json!({"kind": "memory", "shared": false, "away": false}));
    assert!(said["started_at"].as_u64().is_some_and(|at| at > 1_600_000_000_000), "{said}");
    let listed = only(&gateway.admin("/api/v1/instances").json()["instances"]);
    assert_eq!((&listed["id"], &listed["own"]), (&said["id"], &json!(true)));
}

#[test]
fn backends_are_shown_by_pool_and_one_by_one() {
    let (a, b) = (Backend::legacy("a"), Backend::legacy("b"));
    let gateway = Setup::of(&[a.url()]).pool_of("/other", &format!("[{:?}]", b.url()));
    let gateway = gateway.pool_key("health.every = \"100ms\"").start();
    let all = gateway.admin("/api/v1/backends").json();
    assert_eq!(all["pools"].as_array().map(Vec::len), Some(2), "{all}");
    let other = only(&gateway.admin("/api/v1/backends?pool=other").json()["pools"]);
    assert_eq!((&other["name"], &other["path"]), (&json!("other"), &json!("/other")));
    let backend = only(&other["backends"]);
    assert_eq!((&backend["url"], &backend["state"]), (&json!(b.url()), &json!("up")));
    let id = backend["id"].as_str().expect("it has an id");
    let one = gateway.admin(&format!("/api/v1/backends/{id}")).json();
    assert_eq!((&one["pool"], &one["url"]), (&json!("other"), &backend["url"]));
    b.kill();
    let look = || gateway.admin(&format!("/api/v1/backends/{id}")).json();
    wait_for("its death is seen", || look()["state"] == "down");
    let dead = look();
    assert_eq!(
        (&dead["probe"]["kind"], &dead["probe"]["every_ms"], &dead["probe"]["last"]),
        (&json!("tcp"), &json!(100), &json!("failed"))
    );
    assert!(dead["failures_in_a_row"].as_u64().is_some_and(|failures| failures > 0), "{dead}");
    assert!(dead["back_in_ms"].is_u64() && dead["ejections_in_a_row"].as_u64() == Some(1), "{dead}");
    let trouble = &dead["troubles"][0];
    assert!(trouble["what"].as_str().is_some_and(|what| what.contains("refused")), "{dead}");
    assert!(trouble["times"].as_u64() > Some(1) && trouble["at"].as_u64() > Some(1_600_000_000_000), "{dead}");
}

#[test]
fn a_backend_drains_and_is_used_again() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let id = gateway.backends()[0]["id"].as_str().expect("it has an id").to_owned();
    for (verb, state) in [("drain", "draining"), ("drain", "draining"), ("undrain", "up")] {
        let said = send(&gateway, &format!("POST /api/v1/backends/{id}/{verb}"), "");
        assert_eq!((said.status, &said.json()["state"]), (200, &json!(state)), "{verb}");
        assert_eq!(gateway.backends()[0]["state"], state);
    }
    gateway.log.wait("an operator gave an order", 3);
}

#[test]
fn the_busiest_tools_and_callers_come_first() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let session = Session::open(gateway.addr);
    (0..3).for_each(|_| assert_eq!(session.call("busy").status, 200));
    assert_eq!(session.call("rare").status, 200);
    let tools = || gateway.admin("/api/v1/tools").json();
    wait_for("all is counted", || tools()["tools"].as_array().is_some_and(|tools| tools.len() == 2));
    let seen = tools();
    assert_eq!((&seen["tools"][0]["name"], &seen["tools"][0]["calls"]), (&json!("busy"), &json!(3)), "{seen}");
    assert_eq!(only(&gateway.admin("/api/v1/tools?most=1").json()["tools"])["name"], "busy");
    let caller = only(&gateway.admin("/api/v1/callers").json()["callers"]);
    assert_eq!((&caller["caller"], &caller["known"]), (&json!("127.0.0.1"), &json!(false)), "{caller}");
}
