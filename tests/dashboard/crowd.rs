//! Three hundred backends: found, sorted and told apart, and nothing is slow.

use serde_json::json;

use crate::browser::Browser;
use crate::support::{Backend, Gateway, Session, Setup, wait_for};

const MANY: usize = 300;

/// The longest that a tick may keep the page busy: one frame of sixty a second.
const FRAME_MS: f64 = 16.0;

fn crowd() -> (Vec<Backend>, Gateway) {
    let servers: Vec<_> = (0..MANY).map(|number| Backend::legacy(&number.to_string())).collect();
    let urls: Vec<_> = servers.iter().map(Backend::url).collect();
    let gateway = Setup::of(&urls).pool_key("health.every = \"1s\"").pool_key("health.eject_after = 2").start();
    (servers, gateway)
}

#[test]
fn three_hundred_backends_can_be_read_and_cost_no_frame() {
    let (servers, gateway) = crowd();
    let sessions: Vec<_> = (0..150).map(|_| Session::open(gateway.addr)).collect();
    servers[7].kill();
    servers[133].kill();
    wait_for("two backends down", || gateway.backends().iter().filter(|one| one["state"] == "down").count() == 2);
    let mut browser = Browser::start();
    browser.open(&gateway, "");
    browser.see_in("h1", "2 backends are down");
    browser.see("298 of 300 backends up, 150 sessions moored");
    browser.see_in(".picture", "down.*2 in mcp.*up.*298 in mcp");
    assert_eq!(browser.eval("document.querySelectorAll('.tile').length"), json!(MANY));
    // What needs somebody has its name; each of the others has one for who points or listens.
    browser.see_in(".picture", &servers[7].addr().to_string());
    browser.order(&json!({"do": "hover", "css": "li:nth-child(40) > .tile"}));
    let told = browser.eval("document.querySelector('.tile:hover').title");
    assert!(told.as_str().unwrap().contains("latency"), "{told}");

    browser.order(&json!({"do": "fill", "css": "[data-search]", "value": servers[9].addr().port().to_string()}));
    browser.until("document.querySelectorAll('.tile').length === 1");
    browser.order(&json!({"do": "fill", "css": "[data-search]", "value": ""}));
    browser.order(&json!({"do": "select", "label": "Sort by", "value": "value"}));
    let order = "[...document.querySelectorAll('.quay:last-child .tile b')].map((one) => Number(one.textContent))";
    browser.until(&format!("(() => {{ const all = {order}; return all.length === 298 && all.every((one, at) => at === 0 || one <= all[at - 1]); }})()"));

    is_quick(&mut browser, &sessions, "the picture");
    browser.picture("dashboard-300.png");
    browser.go("#/backends");
    browser.see("300 of 300 shown");
    is_quick(&mut browser, &sessions, "the table");
    browser.is_for_everybody("300 backends in a table");
    browser.order(&json!({"do": "select", "label": "State", "value": "down"}));
    browser.see("2 of 300 shown");
    browser.part_in_peace(&[&gateway]);
}

/// Ticks of busy backends for ten seconds. What drawing them takes is held; what the page's thread does besides (style, layout, and
/// painting without a graphics card) is told: it says as much of the machine as of the page.
fn is_quick(browser: &mut Browser, sessions: &[Session], what: &str) {
    let busy = std::thread::scope(|scope| {
        scope.spawn(|| sessions.iter().for_each(|session| drop(session.call("session"))));
        browser.eval("performance.clearMeasures('update')");
        browser.order(&json!({"do": "busy", "ms": 10_000}))
    });
    let draws = browser.eval(
        "(() => { const all = performance.getEntriesByName('update').map(({ duration }) => duration).sort((a, b) => a - b); return [all.length, all[all.length >> 1], all.at(-1)]; })()",
    );
    println!("{what} at {MANY}: drawings, median and longest in ms {draws}; seconds in ten: {busy}");
    assert!(draws[0].as_u64().unwrap() >= 5, "{what}: no ticks");
    assert!(draws[1].as_f64().unwrap() < FRAME_MS, "{what}: drawing takes {draws}");
}
