//! What an operator has to find out within five seconds, by the page, by the metrics and by the log each: a server that dies, a caller
//! who runs wild, a Redis that goes. Two instances share the Redis, and all is as it comes out of the box but for one limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::browser::Browser;
use crate::fleet::Redis;
use crate::support::session::call;
use crate::support::{Backend, Gateway, Session, Setup, now, until};

const SOON: Duration = Duration::from_secs(5);

/// People who call now and then, until this is dropped.
struct Users<'a>(&'a AtomicBool);

impl Drop for Users<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The value of a series, by the whole of its name and labels.
fn value(gateway: &Gateway, series: &str) -> Option<f64> {
    let page = gateway.admin("/metrics").text();
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().split(' ').next()?.parse().ok())
}

/// Waits until all three have told it, and says how long each took.
fn told(
    (what, begun): (&str, Instant),
    mut seen: impl FnMut(),
    (gateway, name, is_right): (&Gateway, &str, &dyn Fn(f64) -> bool),
    line: &str,
) {
    until(what, || value(gateway, name).filter(|value| is_right(*value)).map(drop));
    let metric = begun.elapsed();
    gateway.log.wait(line, 1);
    let log = begun.elapsed();
    seen();
    let page = begun.elapsed();
    println!("{what}: {name} after {metric:?}, the log after {log:?}, the page after {page:?}");
    assert!(page < SOON, "{what} was seen after {page:?} only");
}

#[test]
fn whatever_goes_wrong_is_told_within_five_seconds() {
    let mut redis = Redis::start();
    let servers: Vec<_> = ["a", "b", "c"].map(Backend::legacy).into();
    let urls: Vec<_> = servers.iter().map(Backend::url).collect();
    let limit =
        "limit = [{ name = \"per-session\", key = \"session\", rate = \"300/min\", burst = 50, block = \"1m\" }]";
    let start = || {
        let setup = Setup::of(&urls).key(&format!("store.url = {:?}", redis.url())).key(limit);
        // As it comes out of the box, not as quick as tests like it.
        setup.pool_key("health.every = \"5s\"").pool_key("health.eject_after = 3").start()
    };
    let (one, other) = (start(), start());
    let sessions: Vec<_> = (0..6).map(|_| Session::open(one.addr)).collect();
    let wild = Session::open(one.addr);
    let mut browser = Browser::start();
    browser.open(&one, "");
    browser.see("All is well");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let users = Users(&over);
        for session in &sessions {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    session.send(call("1", "session"), &[]);
                    std::thread::sleep(Duration::from_millis(400));
                }
            });
        }
        let dead = one.backends()[1]["name"].as_str().unwrap().to_owned();
        let begun = now();
        servers[1].kill();
        let up = format!("moorline_backend_up{{pool=\"mcp\",backend=\"{dead}\"}}");
        let see = || drop(browser.see_in("h1", "is (down|ejected)"));
        told(("a dead server", begun), see, (&one, &up, &|up| up == 0.0), &format!("backend ejected backend={dead}"));
        let line = one.log.wait("backend ejected", 1);
        assert!(line.contains("why="), "{line}");

        let begun = now();
        (0..400).for_each(|number| drop(wild.send(call(&number.to_string(), "session"), &[])));
        let refused = "moorline_limit_refused_total{limit=\"per-session\",key=\"session\",reason=\"blocked\"}";
        let account = one.log.wait("a limit blocks", 1);
        let account = account.split("account=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let see = || drop(browser.see(&format!("{account} is blocked by limit per-session")));
        told(("a caller run wild", begun), see, (&one, refused, &|refused| refused > 100.0), "a limit blocks");
        browser.see(r"Requests are refused.*limited \(");

        let begun = now();
        redis.kill();
        let see = || drop(browser.see_in("body", "The redis store is away"));
        let line = "no connection to the store; this instance goes on by itself";
        told(("a Redis that goes", begun), see, (&one, "moorline_store_up{part=\"counters\"}", &|up| up == 0.0), line);
        browser.see("Blocked now\\s+not known while the counters cannot be asked");
        drop(users);
    });
    drop(other);
    browser.part_in_peace(&[&one]);
}
