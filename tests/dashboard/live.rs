//! What happens is seen while it happens: a server dies and its sessions move, the store goes and comes back, the feed breaks.

use serde_json::json;

use crate::browser::Browser;
use crate::fleet::Redis;
use crate::support::{Backend, Gateway, Session, Setup, until, wait_for};
use crate::views::Scene;

#[test]
fn a_server_dies_and_its_sessions_are_seen_to_move() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    browser.open(&scene.gateway, "");
    browser.see("3 backends are up, 6 sessions moored");
    browser.eval("window.flights = 0; new MutationObserver((all) => all.forEach(({ addedNodes }) => addedNodes.forEach((node) => { if (node.classList?.contains('flying')) window.flights += 1; }))).observe(document.querySelector('.air'), { childList: true })");
    scene.servers[1].kill();
    // Its sessions move as their clients ask.
    for session in &scene.sessions {
        assert_eq!(session.call("session").status, 200);
    }
    browser.see_in(".picture", r"−\d moved away");
    browser.see_in(".picture", r"\+\d moved in");
    browser.until("window.flights > 0");
    browser.see_in("h1", "is (down|ejected)");
    browser.see(&format!("{} is (down|ejected).*nothing is sent there", scene.name(1)));
    browser.see("2 of 3 backends up, 6 sessions moored");
    browser.see(r"\d moved in 15 min");
    // The state stands in a word and a shape, and what screen readers are told is the same.
    browser.see_in("#said", "is (down|ejected)");
    browser.picture("dashboard-rehomed.png");
    browser.follow(&format!("{} is", scene.name(1)));
    browser.see("No sessions");
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn where_less_motion_is_wanted_nothing_flies_and_all_is_told() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    browser.open_as(&scene.gateway, "", &json!({"motion": "reduce"}));
    browser.see("6 sessions moored");
    browser.eval("window.flights = 0; new MutationObserver((all) => { window.flights += all.length; }).observe(document.querySelector('.air'), { childList: true })");
    scene.servers[1].kill();
    scene.sessions.iter().for_each(|session| assert_eq!(session.call("session").status, 200));
    browser.see_in(".picture", r"−\d moved away");
    assert_eq!(browser.eval("window.flights"), json!(0));
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn the_store_goes_and_comes_back() {
    let mut redis = Redis::start();
    let server = Backend::legacy("a");
    let start = || Setup::of(&[server.url()]).key(&format!("store.url = {:?}", redis.url())).start();
    let (one, other) = (start(), start());
    let session = Session::open(one.addr);
    let mut browser = Browser::start();
    browser.open(&one, "");
    browser.see("All is well");
    browser.see("Store.*redis, shared by instances.*answers");
    redis.kill();
    // Whoever asks finds out.
    wait_for("the news that the store is away", || {
        session.call("session");
        one.instance()["store"]["away"] == true
    });
    browser.see_in("h1", "The redis store is away");
    browser.see("It has not answered for .*Known sessions go on");
    browser.see("State\\s+away, since");
    redis.start_again();
    browser.see_in("h1", "All is well");
    browser.see("State\\s+answers");
    drop(other);
    browser.part_in_peace(&[&one]);
}

#[test]
fn who_shares_the_store_is_seen_and_what_one_is_told_holds_on_all() {
    let redis = Redis::start();
    let servers: Vec<_> = ["a", "b"].map(Backend::legacy).into();
    let urls: Vec<_> = servers.iter().map(Backend::url).collect();
    // Machines that run tests are busy: a store that is there shall not count as away.
    let store = format!("store = {{ url = {:?}, timeout = \"1s\" }}", redis.url());
    let start = |name: &str| Setup::of(&urls).key(&store).key(&format!("instance.name = {name:?}")).start();
    let (one, other, third) = (start("quay-one"), start("quay-two"), start("quay-three"));
    let mut browser = Browser::start();
    browser.open(&one, "");
    browser.see("3 instances share the store");
    browser.see_in(".picture .instances", "quay-one.*this instance, serving.*quay-three.*quay-two");
    browser.see("Store.*answers.*Latency\\s+p50 .*Instances\\s+3 instances");
    let id = one.backends()[1]["id"].as_str().unwrap().to_owned();
    assert_eq!(other.order(&format!("/api/v1/backends/{id}/drain"), "").status, 200);
    browser.see_in("h1", "is draining");
    browser.go(&format!("#/backend/{id}"));
    browser.see("Drained\\s+since .*by an operator at quay-two");
    browser.see("Probe\\s+.*every .*the last one passed");
    assert_eq!(third.order(&format!("/api/v1/backends/{id}/undrain"), "").status, 200);
    browser.see("Up: takes requests and new sessions");
    browser.until("!document.querySelector('main').textContent.includes('Drained')");
    other.kill();
    browser.go("#/instances");
    browser.until("document.querySelectorAll('main tbody tr').length === 2");
    browser.go("#/events");
    browser.see("an instance is gone without a word.*quay-two");
    drop(third);
    browser.part_in_peace(&[&one]);
}

#[test]
fn what_is_old_says_so_and_since_when() {
    let server = Backend::legacy("a");
    let setup = Setup::of(&[server.url()]).key("admin = \"127.0.0.1:0\"");
    let gateway = setup.start();
    let admin = gateway.admin;
    let text = setup.text().replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{admin}\""));
    let mut browser = Browser::start();
    for part in
        ["ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET"]
    {
        browser.expect_complaint(part);
    }
    browser.open(&gateway, "");
    browser.see("All is well");
    gateway.kill();
    browser.see_in("#banner", r"No news since \d\d:\d\d:\d\d, .* ago. What you see is from then.*Trying again");
    browser.see_in("#feed", "no news");
    assert_eq!(browser.eval("getComputedStyle(document.querySelector('main')).filter"), json!("grayscale(1)"));
    let again = Gateway::start(&text);
    assert_eq!(again.admin, admin);
    browser.see_in("#feed", "live");
    browser.until("document.getElementById('banner').hidden");
    browser.see("All is well");
    browser.part_in_peace(&[&again]);
}

#[test]
fn a_frozen_instance_is_not_taken_for_a_quiet_one() {
    let server = Backend::legacy("a");
    let gateway = Setup::of(&[server.url()]).start();
    let mut browser = Browser::start();
    browser.expect_complaint("ERR_");
    browser.open(&gateway, "");
    browser.see("All is well");
    gateway.signal("STOP");
    browser.see_in("#banner", "No news since");
    gateway.signal("CONT");
    until("news", || {
        browser.eval("document.documentElement.dataset.feed").as_str().filter(|feed| *feed == "live").map(drop)
    });
    browser.part_in_peace(&[&gateway]);
}
