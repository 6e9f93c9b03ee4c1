//! Each view shows what is there, has an address of its own, and tells what to do where there is nothing.

use serde_json::json;

use crate::browser::Browser;
use crate::support::session::modern_call;
use crate::support::{Backend, Gateway, Session, Setup};

/// Three servers of sessions behind one instance that has all there is to see: a limit, and results that are kept.
pub struct Scene {
    pub servers: Vec<Backend>,
    pub gateway: Gateway,
    pub sessions: Vec<Session>,
}

impl Scene {
    pub fn new() -> Self {
        Self::limited(r#"{ name = "per-caller", rate = "1000/min" }"#)
    }

    pub fn limited(limit: &str) -> Self {
        let servers: Vec<_> = ["a", "b", "c"].map(Backend::legacy).into();
        let urls: Vec<_> = servers.iter().map(Backend::url).collect();
        let gateway = Setup::of(&urls)
            .key(&format!("limit = [{limit}]"))
            .key(r#"cache = [{ tools = ["catalog"], ttl = "1h", scope = "public", trust = true }]"#)
            .pool_key("health.every = \"250ms\"")
            .pool_key("health.eject_after = 2")
            .start();
        let sessions = (0..6).map(|_| Session::open(gateway.addr)).collect();
        Self { servers, gateway, sessions }
    }

    /// Where the server stands in the instance's list.
    pub fn id(&self, at: usize) -> String {
        self.gateway.backends()[at]["id"].as_str().unwrap().to_owned()
    }

    pub fn name(&self, at: usize) -> String {
        self.gateway.backends()[at]["name"].as_str().unwrap().to_owned()
    }
}

#[test]
fn every_view_tells_what_is_there_and_has_its_own_address() {
    let scene = Scene::new();
    for session in &scene.sessions {
        (0..3).for_each(|_| assert_eq!(session.call("catalog").status, 200));
        assert_eq!(session.call("session").status, 200);
    }
    let mut browser = Browser::start();
    // For the backend that there is none of.
    browser.expect_complaint("404 (Not Found)");
    let here = format!("http://{}/", scene.gateway.admin);
    browser.open(&scene.gateway, "");
    browser.see("All is well");
    browser.see("3 backends are up, 6 sessions moored");
    browser.see_in(".picture", &format!(r"{}\s*/mcp.*\d\s+sessions?", scene.servers[0].addr()));
    browser.see_in(".figures", "Requests.*Moorline's own time.*Sessions\\s+6");
    browser.see("Busiest tools.*session.*6");
    browser.see("Busiest callers.*127.0.0.1");
    browser.see("Cache.*hits.*misses");
    browser.see("Limits.*per-caller");
    browser.see("Store.*memory, of this instance alone.*answers");

    browser.follow("Backends");
    browser.see_in("main table", &scene.name(2));
    browser.follow(&scene.name(1));
    browser.see(&format!("{}.*Up: takes requests and new sessions", scene.name(1)));
    assert_eq!(browser.eval("location.href"), json!(format!("{here}#/backend/{}", scene.id(1))));
    browser.order(&json!({"do": "back"}));
    browser.see_in("main table", &scene.name(2));
    browser.order(&json!({"do": "back"}));
    browser.see("All is well");

    for (view, text) in [
        ("#/traffic", "Tools.*session.*Callers.*127.0.0.1.*Nothing was refused"),
        ("#/limits", "per-caller.*1000 calls.*127.0.0.1.*left"),
        ("#/cache", "Answered without a backend.*% of.*calls.*Held.*1 result"),
        ("#/instances", "This instance.*serving.*Started.*Store.*memory"),
        ("#/caller/127.0.0.1", "What it asks.*Calls.*per-caller"),
        ("#/backends?state=down", "No backend is like that"),
        ("#/backend/0000000000000000", "not in any pool"),
        ("#/nowhere", "There is no such view"),
    ] {
        browser.open(&scene.gateway, view);
        browser.see_in("main", text);
        browser.go("#/");
        browser.see("moored");
    }
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn where_there_is_nothing_yet_it_tells_what_to_do() {
    let server = Backend::modern("a");
    let gateway = Setup::of(&[server.url()]).start();
    let mut browser = Browser::start();
    browser.open(&gateway, "");
    browser.see("No tool has been called yet");
    browser.see("Nobody has called yet");
    browser.see("Nothing was refused in the last 15 minutes");
    browser.see("none are configured");
    browser.open(&gateway, "#/limits");
    browser.see(r"No limits are configured. They are written as \[\[limit\]\]");
    assert_eq!(gateway.ask(&modern_call("1", "search")).status, 200);
    browser.open(&gateway, "");
    browser.see("Busiest tools.*search\\s+1");
    browser.part_in_peace(&[&gateway]);
}
