//! What an operator orders from the page: each behind a question that says what will happen, and done.

use serde_json::json;

use crate::browser::Browser;
use crate::support::session::call;
use crate::views::Scene;

#[test]
fn a_backend_is_drained_and_used_again() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    browser.open(&scene.gateway, &format!("#/backend/{}", scene.id(0)));
    browser.press_button("Drain …");
    browser.see_in(
        "dialog",
        "It takes no new sessions .*Its \\d sessions? move to other backends.*until somebody puts it back",
    );
    browser.confirm("Cancel");
    assert_eq!(scene.gateway.backends()[0]["state"], "up", "a question that was turned down does nothing");
    browser.press_button("Drain …");
    browser.confirm("Drain");
    browser.see(&format!("{} drains", scene.name(0)));
    browser.see("Draining: nobody new is sent there");
    assert_eq!(scene.gateway.backends()[0]["state"], "draining");
    browser.go("#/");
    browser.see_in("h1", "is draining");
    browser.go(&format!("#/backend/{}", scene.id(0)));
    browser.press_button("Use again …");
    browser.see_in("dialog", "Sessions that moved away stay where they are");
    browser.confirm("Use again");
    browser.see("Up: takes requests and new sessions");
    assert_eq!(scene.gateway.backends()[0]["state"], "up");
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn a_caller_runs_wild_is_seen_and_its_block_lifted() {
    let scene =
        Scene::limited(r#"{ name = "per-caller", rate = "40/min", algorithm = "fixed-window", block = "10m" }"#);
    let mut browser = Browser::start();
    browser.open(&scene.gateway, "");
    browser.see("All is well");
    for number in 0..200 {
        scene.sessions[number % 6].send(call(&number.to_string(), "session"), &[]);
    }
    browser.see("127.0.0.1 is blocked by limit per-caller");
    browser.see(r"Requests are refused.*limited \(");
    browser.follow("Limits");
    browser.see_in("main", "per-caller.*blocked for .*min");
    browser.press_button("Lift …");
    browser.see_in("dialog", "Lift the block of 127.0.0.1.*what was spent stays spent");
    browser.confirm("Lift");
    browser.see("The block is lifted");
    browser.see_in("main", "Blocked\\s.*no");
    let account = scene.gateway.admin("/api/v1/limits?subject=127.0.0.1").json();
    assert!(account["limits"][0]["accounts"][0]["standings"][0]["blocked_ms"].is_null(), "{account}");
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn results_are_forgotten_some_or_all() {
    let scene = Scene::new();
    let ask = || scene.sessions[0].call("catalog").header("moorline-cache").map(str::to_owned);
    let kept = || ask().is_some_and(|word| word.starts_with("hit"));
    ask();
    assert!(kept());
    let mut browser = Browser::start();
    browser.open(&scene.gateway, "#/cache");
    browser.press_button("Forget these …");
    browser.see("fill in at least one field");
    browser.order(&json!({"do": "fill", "label": "Tools", "value": "catalog, other"}));
    browser.press_button("Forget these …");
    browser.see_in("dialog", "Forget tools catalog, other.*go to the backends");
    browser.confirm("Forget");
    browser.see("Forgotten: tools catalog, other");
    assert!(!kept() && kept());
    browser.press_button("Forget everything …");
    browser.see_in("dialog", "every kept result.*cannot be undone");
    browser.confirm("Forget");
    browser.see("Forgotten: every kept result");
    assert!(!kept());
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn a_new_sealing_key_is_made_and_another_level_of_the_log_set() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    browser.open(&scene.gateway, "#/instances");
    browser.press_button("New sealing key …");
    browser.see_in("dialog", "Ids under the old keys stay valid");
    browser.confirm("Make a key");
    browser.see("A new sealing key is in use");
    assert_eq!(scene.sessions[0].call("session").status, 200);
    browser.see("Log level\\s+info");
    browser.press_button("Log level …");
    browser.see_in("dialog", "until it is told otherwise or ends");
    browser.order(&json!({"do": "select", "label": "Level", "value": "debug"}));
    browser.confirm("Set the level");
    browser.see("Log level\\s+debug");
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn a_session_is_looked_into_moved_and_ended() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    // The list is asked for again as the session ends, and what has ended is not there.
    browser.expect_complaint("404 (Not Found)");
    browser.open(&scene.gateway, "#/sessions");
    browser.see("6 on this page, 6 known in all");
    browser.order(&json!({"do": "click", "css": "main tbody th a"}));
    browser.see("The session.*Moored at.*Moves\\s+none: it lies where it began");
    let before = browser.eval("document.querySelector('main .facts a').textContent");
    browser.press_button("Move …");
    browser.see_in("dialog", "Its journal is replayed on another backend.*client notices a pause at most");
    browser.is_for_everybody("the question where to");
    browser.confirm("Move");
    browser.see("The session is moved");
    browser.see("Moves\\s+1 move");
    assert_ne!(browser.eval("document.querySelector('main .facts a').textContent"), before);
    browser.press_button("End …");
    browser.see_in("dialog", "Its client gets 404 .*cannot be undone");
    browser.confirm("End session");
    browser.see("The session has ended");
    browser.see("5 on this page, 5 known in all");
    let refused = scene.sessions.iter().filter(|session| session.call("session").status == 404).count();
    assert_eq!(refused, 1);
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn the_configuration_is_read_again_or_its_fault_is_told() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    browser.expect_complaint("Failed to load resource");
    browser.open(&scene.gateway, "#/instances");
    let good = std::fs::read_to_string(scene.gateway.config_path()).unwrap();
    scene.gateway.configure(&format!("nonsense = 1\n{good}"));
    browser.press_button("Reload the configuration …");
    browser.confirm("Reload");
    browser.see_in("dialog", "Not done: .*old configuration stays");
    scene.gateway.configure(&good);
    browser.confirm("Reload");
    browser.see("The configuration is reloaded");
    browser.part_in_peace(&[&scene.gateway]);
}
