//! Limits over several instances: floods on all of them, with clocks that differ, while Redis goes away and comes back, and
//! while an instance dies that holds slots.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Cluster, Redis, last_for};
use crate::support::backend::{After, Kind, reply};
use crate::support::http::{ask, post_to};
use crate::support::session::modern;
use crate::support::{Backend, Gateway, Setup};
use crate::support_sdk::{eventually, now};

/// Clients of each instance in a flood.
const CLIENTS: usize = 6;

/// What any request may take, also while Redis does not answer: a few timeouts of the store beside the work, on a busy machine.
const PROMPT: Duration = Duration::from_secs(3);

fn setup(backend: &Backend, store: &str, limits: &str) -> Setup {
    Setup::of(&[backend.url()])
        .key(&format!("store.url = {store:?}"))
        .key("trusted_proxies = [\"127.0.0.1\"]")
        .key(&format!("limit = [{limits}]"))
}

fn three(backend: &Backend, store: &str, limits: &str) -> Vec<Gateway> {
    let setup = setup(backend, store, limits).key("store.timeout = \"1s\"");
    let instances: Vec<_> = (0..3).map(|_| setup.start()).collect();
    wait_until_well(&instances);
    instances
}

fn wait_until_well(instances: &[Gateway]) {
    for instance in instances {
        eventually("the store", || (instance.admin("/health").json()["store"] == "well").then_some(()));
    }
}

fn call_to(addr: SocketAddr, from: &str, tool: &str) -> u16 {
    let forwarded = format!("X-Forwarded-For: {from}");
    ask(addr, &modern("/mcp", &[&forwarded], ("1", "tools/call"), &format!("\"name\":\"{tool}\""))).status
}

/// A flood from one address on all instances, until it is dropped.
struct Flood {
    admitted: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    other: Arc<Mutex<Vec<u16>>>,
    slowest: Arc<Mutex<Duration>>,
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn start(instances: &[Gateway]) -> Self {
        let mut flood = Self {
            admitted: Arc::default(),
            refused: Arc::default(),
            other: Arc::default(),
            slowest: Arc::default(),
            over: Arc::default(),
            threads: Vec::new(),
        };
        for addr in instances.iter().flat_map(|instance| [instance.addr; CLIENTS]) {
            let (admitted, refused, other) =
                (Arc::clone(&flood.admitted), Arc::clone(&flood.refused), Arc::clone(&flood.other));
            let (slowest, over) = (Arc::clone(&flood.slowest), Arc::clone(&flood.over));
            flood.threads.push(std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let begun = now();
                    match call_to(addr, "10.0.0.1", "search") {
                        200 => drop(admitted.fetch_add(1, Ordering::Relaxed)),
                        429 => drop(refused.fetch_add(1, Ordering::Relaxed)),
                        status => other.lock().unwrap().push(status),
                    }
                    let mut slowest = slowest.lock().unwrap();
                    *slowest = begun.elapsed().max(*slowest);
                }
            }));
        }
        flood
    }

    fn admitted(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Until so many more were refused: the flood is well above the limit.
    fn goes_on_for(&self, calls: usize) {
        let before = self.refused.load(Ordering::Relaxed);
        eventually("refusals", || (self.refused.load(Ordering::Relaxed) >= before + calls).then_some(()));
    }

    /// How many were admitted in all. Nothing took long, and nothing was answered otherwise.
    fn stop(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        let (slowest, other) = (*self.slowest.lock().unwrap(), self.other.lock().unwrap().clone());
        let (admitted, refused) = (self.admitted(), self.refused.load(Ordering::Relaxed));
        println!("flood: {admitted} admitted, {refused} refused, slowest {slowest:?}, others {other:?}");
        assert!(slowest < PROMPT, "{slowest:?}");
        assert!(other.is_empty(), "{other:?}");
        admitted
    }
}

#[test]
fn three_instances_admit_a_window_exactly() {
    let (backend, redis) = (Backend::modern("a"), Redis::start());
    let instances = three(&backend, &redis.url(), r#"{ name = "w", rate = "100/d", algorithm = "fixed-window" }"#);
    let flood = Flood::start(&instances);
    flood.goes_on_for(300);
    assert_eq!(flood.stop(), 100);
}

#[test]
fn three_instances_admit_a_burst_and_what_has_refilled() {
    let (backend, redis) = (Backend::modern("a"), Redis::start());
    let instances = three(&backend, &redis.url(), r#"{ name = "g", rate = "20/s", burst = 30 }"#);
    let begun = now();
    let flood = Flood::start(&instances);
    last_for(Duration::from_secs(3));
    let most = |begun: Instant| 30 + usize::try_from(begun.elapsed().as_millis() / 50).unwrap();
    let least = most(begun) - 30;
    let admitted = flood.stop();
    assert!(admitted <= most(begun) + 1, "{admitted} of {}", most(begun));
    assert!(admitted >= least.min(60), "{admitted}, though {least} were refilled");
}

/// The library that makes a program's clock wrong, where Debian keeps it.
fn faketime() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let mut places = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let place = places.find(|place| place.exists()).expect("scripts/install-test-needs.sh installs it");
    place.into_os_string().into_string().unwrap()
}

#[test]
fn instances_whose_clocks_are_hours_apart_agree() {
    let (backend, redis) = (Backend::modern("a"), Redis::start());
    let setup = setup(&backend, &redis.url(), r#"{ name = "w", rate = "100/d", algorithm = "fixed-window" }"#);
    let setup = setup.key("store.timeout = \"1s\"");
    let library = faketime();
    let skewed = |by: &str| {
        let wrong = [("LD_PRELOAD", library.as_str()), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        Gateway::start_in(&setup.text(), &wrong)
    };
    let instances = [skewed("-1h"), setup.start(), skewed("+1h")];
    wait_until_well(&instances);
    let date = |instance: &Gateway| call_date(instance.addr);
    assert_ne!(date(&instances[0]), date(&instances[2]), "their clocks differ");
    let flood = Flood::start(&instances);
    flood.goes_on_for(300);
    assert_eq!(flood.stop(), 100);
}

/// What an instance believes the hour to be.
fn call_date(addr: SocketAddr) -> String {
    let answer = ask(addr, &post_to("/mcp", &[], "{"));
    answer.header("date").unwrap_or_default().split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn redis_gone_in_the_middle_of_a_flood_costs_one_share_each_and_nobody_hangs() {
    let (backend, mut redis) = (Backend::modern("a"), Redis::start());
    let limits = r#"{ name = "w", rate = "90/d", algorithm = "fixed-window" }"#;
    let instances: Vec<_> = (0..3).map(|_| setup(&backend, &redis.url(), limits).start()).collect();
    wait_until_well(&instances);
    // Each has heard of the others.
    last_for(Duration::from_secs(5));
    let flood = Flood::start(&instances);
    flood.goes_on_for(100);
    let before = flood.admitted();
    redis.kill();
    flood.goes_on_for(300);
    let away = flood.admitted();
    redis.start_again();
    wait_until_well(&instances);
    flood.goes_on_for(300);
    let back = flood.admitted();
    let all = flood.stop();
    println!("admitted: {before} before, {} while it was away, {} after", away - before, back - away);
    assert!((85..=93).contains(&before), "{before}: a busy machine may have taken a stall for an outage");
    assert!(all <= 90 + 90, "{all}: one share of 30 for each of three");
    assert_eq!(all, back, "it is exact again");
}

#[test]
fn a_frozen_redis_holds_nobody_up() {
    let (backend, redis) = (Backend::modern("a"), Redis::start());
    let limits = r#"{ name = "w", rate = "60/d", algorithm = "fixed-window" }"#;
    let instances: Vec<_> = (0..3).map(|_| setup(&backend, &redis.url(), limits).start()).collect();
    wait_until_well(&instances);
    last_for(Duration::from_secs(5));
    let flood = Flood::start(&instances);
    flood.goes_on_for(50);
    redis.freeze();
    flood.goes_on_for(300);
    redis.thaw();
    wait_until_well(&instances);
    flood.goes_on_for(100);
    let all = flood.stop();
    assert!((60..=60 + 60).contains(&all), "{all}");
}

#[test]
fn while_redis_is_away_limited_requests_are_refused_or_admitted_where_that_is_wanted() {
    let (backend, mut redis) = (Backend::modern("a"), Redis::start());
    let limits = r#"{ name = "w", rate = "2/d" }"#;
    let with = |away: &str| setup(&backend, &redis.url(), limits).key(&format!("limits.when_away = {away:?}")).start();
    let instances = [with("refuse"), with("admit")];
    wait_until_well(&instances);
    let call = |instance: &Gateway| call_to(instance.addr, "10.0.0.1", "search");
    redis.kill();
    eventually("a refusal", || (call(&instances[0]) == 503).then_some(()));
    assert!((0..10).all(|_| call(&instances[1]) == 200));
    redis.start_again();
    wait_until_well(&instances);
    eventually("the limit", || (call(&instances[0]) == 429).then_some(()));
    eventually("the limit", || (call(&instances[1]) == 429).then_some(()));
}

#[test]
fn in_a_cluster_nothing_is_charged_when_one_limit_refuses() {
    let (backend, cluster) = (Backend::modern("a"), Cluster::start());
    let limits = r#"{ name = "wide", rate = "1000/d", algorithm = "fixed-window" },
                    { name = "narrow", key = "tool", rate = "5/d", algorithm = "fixed-window" }"#;
    let instances = three(&backend, &cluster.url(), &limits.replace('\n', " "));
    // Callers and tools lie in different slots, most of them on different servers.
    for tool in ["a", "b", "c", "d", "e", "f"] {
        for number in 0..30 {
            call_to(instances[number % 3].addr, "10.0.0.1", tool);
        }
    }
    let left = || {
        let seen = instances[1].admin("/api/v1/limits?subject=10.0.0.1").json();
        seen["limits"][0]["accounts"][0]["standings"][0]["remaining"].clone()
    };
    eventually("what was refused is given back", || (left() == 970).then_some(()));
}

#[test]
fn a_caller_at_one_instance_may_have_all_slots() {
    let running = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&running);
    let backend = Backend::new("a", Kind::Modern, move |request, _| {
        (request.tool() == "slow").then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            After::AwaitHangup
        })
    });
    let redis = Redis::start();
    let instances = three(&backend, &redis.url(), r#"{ name = "slow", key = "global", concurrency = 6, queue = 5 }"#);
    last_for(Duration::from_secs(5));
    let slow = modern("/mcp", &[], ("1", "tools/call"), "\"name\":\"slow\"");
    let mut held: Vec<_> = (0..6).map(|_| instances[0].connect()).collect();
    held.iter_mut().for_each(|connection| connection.send(&slow));
    eventually("all run", || (running.load(Ordering::SeqCst) == 6).then_some(()));
}

#[test]
fn slots_count_over_all_instances_and_those_of_a_dead_one_fall() {
    let (running, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, told) = (Arc::clone(&running), Arc::clone(&go));
    let backend = Backend::new("a", Kind::Modern, move |request, stream| {
        if request.tool() != "slow" {
            return None;
        }
        count.fetch_add(1, Ordering::SeqCst);
        if !told.load(Ordering::SeqCst) {
            return Some(After::AwaitHangup);
        }
        Some(reply(stream, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"content": []}})))
    });
    let redis = Redis::start();
    let limit = r#"{ name = "slow", key = "global", tools = ["slow"], concurrency = 2 }"#;
    let mut instances = three(&backend, &redis.url(), limit);
    let slow = modern("/mcp", &[], ("1", "tools/call"), "\"name\":\"slow\"");
    let mut held: Vec<_> = instances[..2].iter().map(Gateway::connect).collect();
    held.iter_mut().for_each(|connection| connection.send(&slow));
    eventually("both run", || (running.load(Ordering::SeqCst) == 2).then_some(()));
    assert_eq!(call_to(instances[2].addr, "10.0.0.1", "slow"), 429, "two run, if on other instances");
    go.store(true, Ordering::SeqCst);
    instances.remove(0).kill();
    let begun = now();
    // A lease lasts for 15 s.
    let served = || (call_to(instances[1].addr, "10.0.0.1", "slow") == 200).then_some(());
    while served().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(25), "the slot of a dead instance never fell");
        last_for(Duration::from_millis(250));
    }
    println!("the slot of a dead instance fell after {:?}", begun.elapsed());
}
