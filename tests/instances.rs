//! Several instances share one Redis, real processes all: each sees the others, misses one that dies, and obeys what was ordered on
//! any of them, whether it was there, starts later, or could not reach the store.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "survival/fleet/resp.rs"]
#[expect(dead_code, reason = "these tests ask little of Redis")]
mod resp;
mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use support::session::initialize;
use support::{Backend, Gateway, Session, Setup, now, until, wait_for};

/// How soon instances see each other, and obey what another was told: two periods, and what a busy machine adds to them.
const SOON: Duration = Duration::from_secs(5);

/// A Redis that keeps all on disk.
struct Redis {
    addr: SocketAddr,
    folder: TempDir,
    process: Option<Child>,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let mut redis = Self { addr, folder: tempfile::tempdir().unwrap(), process: None };
        redis.start_again();
        redis
    }

    fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.addr.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(self.folder.path()).args(["--appendonly", "yes", "--appendfsync", "always"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(child.expect("these tests need redis-server: apt-get install redis-server"));
        wait_for("redis-server", || resp::text(self.addr, &["PING"]).as_deref() == Some("PONG"));
    }

    fn start_again_empty(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
        self.start_again();
    }

    fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().and_then(|()| process.wait()).expect("it is our child");
    }

    /// The orders, as they stand there.
    fn orders(&self) -> Vec<String> {
        let all = resp::ask(self.addr, &["HVALS", "moorline:{roster}:orders"]);
        all.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            let _ = process.kill().and_then(|()| process.wait());
        }
    }
}

fn setup(redis: &Redis, name: &str, backends: &[&Backend]) -> Setup {
    let urls: Vec<String> = backends.iter().map(|backend| backend.url()).collect();
    let url = format!("store.url = \"redis://{}/0\"", redis.addr);
    // Machines that run tests are busy: a store that is there shall not count as away.
    Setup::of(&urls).key(&url).key("store.timeout = \"1s\"").key(&format!("instance.name = \"{name}\""))
}

fn three(redis: &Redis, backends: &[&Backend]) -> [Gateway; 3] {
    ["a", "b", "c"].map(|name| setup(redis, name, backends).start())
}

/// The cards that an instance shows.
fn cards(gateway: &Gateway) -> Vec<Value> {
    gateway.admin("/api/v1/instances").json()["instances"].as_array().expect("it lists instances").clone()
}

fn names(gateway: &Gateway) -> Vec<String> {
    cards(gateway).iter().map(|card| card["name"].as_str().expect("each has a name").to_owned()).collect()
}

/// For how long an instance has not heard of the others, if it has not.
fn old_ms(gateway: &Gateway) -> Option<u64> {
    gateway.admin("/api/v1/instances").json()["old_ms"].as_u64()
}

/// Orders something about a backend, by its place in the configuration.
fn order(gateway: &Gateway, which: usize, what: &str) -> Value {
    let id = gateway.backends()[which]["id"].as_str().expect("a backend has an id").to_owned();
    let answer = gateway.order(&format!("/api/v1/backends/{id}/{what}"), "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn drains(gateway: &Gateway, which: usize) -> bool {
    gateway.backends()[which]["draining"].as_bool().expect("it says so")
}

fn all_drain(gateways: &[Gateway], which: usize, drained: bool) {
    let what = format!("drained {drained} on all");
    wait_for(&what, || gateways.iter().all(|gateway| drains(gateway, which) == drained));
}

#[test]
fn three_instances_see_each_other_and_miss_those_that_go() {
    let (redis, backend) = (Redis::start(), Backend::stateless("x"));
    let [a, b, c] = three(&redis, &[&backend]);
    let begun = now();
    wait_for("each sees all", || [&a, &b, &c].iter().all(|gateway| cards(gateway).len() == 3));
    println!("three instances saw each other after {:?}", begun.elapsed());
    assert!(begun.elapsed() < SOON);
    assert_eq!((names(&a), names(&b), names(&c)).0, ["a", "b", "c"]);
    assert_eq!(names(&b), ["b", "a", "c"], "its own comes first");
    let seen = cards(&a);
    let [own, other] = [&seen[0], &seen[1]];
    assert_eq!((own["own"].as_bool(), other["own"].as_bool()), (Some(true), Some(false)));
    assert_eq!(other["admin"], b.admin.to_string());
    assert_eq!((&other["store"]["kind"], &other["store"]["away"]), (&"redis".into(), &false.into()));
    assert_eq!((&other["phase"], &other["pools"][0]["backends"][0]["state"]), (&"serving".into(), &"up".into()));
    assert_eq!(other["id"], b.instance()["id"]);
    // What one counts the others are told.
    assert_eq!(b.ask(&support::http::post(&[], initialize("1"))).status, 200);
    wait_for("its requests are seen", || cards(&c)[2]["totals"]["requests"].as_u64() >= Some(1));
    b.kill();
    let killed = now();
    wait_for("its card ages", || {
        cards(&a).iter().any(|card| card["name"] == "b" && card["age_ms"].as_u64() > Some(3000))
    });
    wait_for("its card falls", || names(&a) == ["a", "c"] && names(&c) == ["c", "a"]);
    println!("one that was killed was gone after {:?}", killed.elapsed());
    a.log.wait("another instance shares the store", 2);
    let lost = a.log.wait("an instance is gone without a word", 1);
    assert!(lost.contains("instance=b"), "{lost}");
    let mut c = c;
    c.signal("TERM");
    assert!(c.wait().success());
    let ended = now();
    wait_for("whoever leaves says so", || names(&a) == ["a"]);
    assert!(ended.elapsed() < SOON, "{:?}", ended.elapsed());
    assert!(a.log.wait("an instance has left", 1).contains("instance=c"));
    assert_eq!(a.log.count("gone without a word"), 1);
}

#[test]
fn a_drain_on_one_holds_on_all_and_on_those_that_come_later() {
    let (redis, x, y) = (Redis::start(), Backend::legacy("x"), Backend::legacy("y"));
    let mut all = Vec::from(three(&redis, &[&x, &y]));
    let ordered = order(&all[0], 0, "drain");
    let given = now();
    assert_eq!(ordered["everywhere"], true);
    assert!(drains(&all[0], 0), "here at once");
    all_drain(&all, 0, true);
    println!("a drain on one held on all after {:?}", given.elapsed());
    assert!(given.elapsed() < SOON);
    let by = all[1].backends()[0]["order"]["by"].as_str().unwrap_or_default().to_owned();
    assert!(by.ends_with(" at a"), "{by}");
    all.push(setup(&redis, "d", &[&x, &y]).start());
    assert!(drains(&all[3], 0), "before it serves anybody");
    (0..20).for_each(|_| drop(Session::open(all[3].addr)));
    assert_eq!((x.sessions(), y.sessions()), (0, 20));
    // It outlives all who knew it.
    all.drain(..).for_each(Gateway::kill);
    all.extend(three(&redis, &[&x, &y]));
    assert!(all.iter().all(|gateway| drains(gateway, 0)));
    order(&all[2], 0, "undrain");
    all_drain(&all, 0, false);
    assert!(all[1].backends()[0]["order"].is_null());
}

#[test]
fn an_order_holds_for_a_backend_that_leaves_and_comes_back() {
    let (redis, x, y) = (Redis::start(), Backend::legacy("x"), Backend::legacy("y"));
    let gateway = setup(&redis, "a", &[&x, &y]).start();
    order(&gateway, 0, "drain");
    let id = gateway.backends()[0]["id"].as_str().unwrap().to_owned();
    for (round, backends) in [&[&y][..], &[&x, &y]].into_iter().enumerate() {
        gateway.configure(&setup(&redis, "a", backends).text());
        gateway.log.wait("configuration reloaded", round + 1);
    }
    assert!(drains(&gateway, 0) && !drains(&gateway, 1));
    // What is not there can be used again, too.
    gateway.configure(&setup(&redis, "a", &[&y]).text());
    gateway.log.wait("configuration reloaded", 3);
    assert_eq!(gateway.order(&format!("/api/v1/backends/{id}/undrain"), "").status, 200);
    assert_eq!(gateway.order("/api/v1/backends/0123456789abcdef/drain", "").status, 404);
    gateway.configure(&setup(&redis, "a", &[&x, &y]).text());
    gateway.log.wait("configuration reloaded", 4);
    assert!(!drains(&gateway, 0));
}

#[test]
fn while_redis_is_away_all_go_on_and_say_that_the_picture_is_old() {
    for loses in [false, true] {
        let (mut redis, x, y) = (Redis::start(), Backend::legacy("x"), Backend::legacy("y"));
        let all = three(&redis, &[&x, &y]);
        order(&all[0], 0, "drain");
        all_drain(&all, 0, true);
        wait_for("each sees all", || all.iter().all(|gateway| cards(gateway).len() == 3));
        redis.kill();
        wait_for("all say that it is old", || all.iter().all(|gateway| old_ms(gateway).is_some()));
        assert!(all.iter().all(|gateway| cards(gateway).len() == 3 && drains(gateway, 0)), "the last picture stands");
        assert_eq!(cards(&all[1])[0]["store"]["away"], true);
        let ordered = order(&all[1], 1, "drain");
        assert_eq!(ordered["everywhere"], false, "nobody else can know");
        assert!(drains(&all[1], 1) && !drains(&all[2], 1));
        assert_eq!(Session::open(all[2].addr).call("name").said(), "y", "it serves");
        if loses {
            redis.start_again_empty();
        } else {
            redis.start_again();
        }
        wait_for("all is right again", || {
            all.iter().all(|gateway| old_ms(gateway).is_none() && cards(gateway).len() == 3)
        });
        all_drain(&all, 1, true);
        all_drain(&all, 0, true);
        wait_for("the store knows all", || {
            redis.orders().iter().filter(|order| order.contains(" drain ")).count() == 2
        });
        let late = setup(&redis, "d", &[&x, &y]).start();
        assert!(drains(&late, 0) && drains(&late, 1));
    }
}

#[test]
fn of_two_orders_at_the_same_time_the_later_counts_everywhere() {
    let (redis, x, y) = (Redis::start(), Backend::stateless("x"), Backend::stateless("y"));
    let all = three(&redis, &[&x, &y]);
    let mut drained = 0;
    for round in 0..10 {
        std::thread::scope(|scope| {
            let drain = scope.spawn(|| order(&all[round % 3], 0, "drain"));
            let undrain = scope.spawn(|| order(&all[(round + 1) % 3], 0, "undrain"));
            (drain.join().unwrap(), undrain.join().unwrap())
        });
        // What the store has entered last.
        let stands = redis.orders().iter().any(|order| order.contains(" drain "));
        all_drain(&all, 0, stands);
        drained += usize::from(stands);
    }
    println!("of ten pairs of orders at the same time, {drained} ended drained");
}

#[test]
fn the_orders_of_a_lone_instance_outlive_its_end_on_disk() {
    let (folder, x, y) = (tempfile::tempdir().unwrap(), Backend::legacy("x"), Backend::legacy("y"));
    let store = format!("store.url = \"disk:{}\"", folder.path().display());
    let start = || Setup::of(&[x.url(), y.url()]).key(&store).start();
    let first = start();
    let ordered = order(&first, 0, "drain");
    assert_eq!((&ordered["everywhere"], cards(&first).len(), old_ms(&first)), (&true.into(), 1, None));
    first.kill();
    let second = start();
    assert!(drains(&second, 0) && !drains(&second, 1));
    let host = until("it is called as the machine is", || cards(&second)[0]["name"].as_str().map(str::to_owned));
    assert!(!host.is_empty());
    order(&second, 0, "undrain");
    second.kill();
    assert!(!drains(&start(), 0));
}
