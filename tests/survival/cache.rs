//! The cache over several instances: who makes the call when all ask at once, what is forgotten where and when, and that no
//! caller ever sees what is another's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::{Cluster, Redis, last_for};
use crate::support::backend::{Kind, reply};
use crate::support::http::ask;
use crate::support::session::modern;
use crate::support::{Answer, Backend, Gateway, Setup};
use crate::support_sdk::{DEADLINE, eventually, now};

const PUBLIC: &str = r#"{ tools = ["read*"], ttl = "1h", scope = "public", trust = true }, { tools = ["write"], invalidates = ["read*"] }"#;

/// How soon an order to forget is known to all instances.
const SOON: Duration = Duration::from_millis(100);

/// Holds calls up while it is shut.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let shut = self.shut.lock().unwrap();
        let (shut, late) = self.opened.wait_timeout_while(shut, 2 * DEADLINE, |shut| *shut).unwrap();
        assert!(!late.timed_out(), "nobody opens the gate");
        drop(shut);
    }
}

/// A server whose every result is new, and says whose question it answers.
struct Shop {
    backend: Backend,
    given: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

impl Shop {
    fn new() -> Self {
        let (given, gate) = (Arc::new(AtomicUsize::new(0)), Arc::<Gate>::default());
        let (count, door) = (Arc::clone(&given), Arc::clone(&gate));
        let backend = Backend::new("shop", Kind::Modern, move |request, stream| {
            let id = request.json()["id"].clone();
            if request.call() == "tools/list" {
                let result = page(request.json()["params"]["cursor"].as_str());
                return Some(reply(stream, &json!({ "jsonrpc": "2.0", "id": id, "result": result })));
            }
            if request.call() == "prompts/list" {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let result = json!({ "prompts": [], "number": number, "ttlMs": 600_000, "cacheScope": "public", "resultType": "complete" });
                return Some(reply(stream, &json!({ "jsonrpc": "2.0", "id": id, "result": result })));
            }
            if request.call() != "tools/call" {
                return None;
            }
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            door.pass();
            let who = request.header("authorization").unwrap_or_default().to_owned();
            let asked = request.json()["params"]["arguments"].to_string();
            let text = json!({ "who": who, "asked": asked, "tool": request.tool(), "number": number }).to_string();
            let result = json!({ "content": [{ "type": "text", "text": text }], "resultType": "complete" });
            Some(reply(stream, &json!({ "jsonrpc": "2.0", "id": id, "result": result })))
        });
        Self { backend, given, gate }
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

/// A page of the list of tools: there are two.
fn page(cursor: Option<&str>) -> Value {
    let tool = |name: &str| json!({ "name": name, "inputSchema": {}, "annotations": { "readOnlyHint": true } });
    match cursor {
        None => json!({ "tools": [tool("read")], "nextCursor": "the/next", "resultType": "complete" }),
        Some(_) => json!({ "tools": [tool("read_last")], "resultType": "complete" }),
    }
}

fn three(shop: &Shop, store: &str, rules: &str) -> Vec<Gateway> {
    let setup = Setup::of(&[shop.backend.url()])
        .pool_key("protocol_cache = \"public\"")
        .key(&format!("store.url = {store:?}"))
        .key("store.timeout = \"1s\"")
        .key(&format!("cache = [{rules}]"));
    let instances: Vec<_> = (0..3).map(|_| setup.start()).collect();
    for instance in &instances {
        eventually("the store", || (instance.admin("/health").json()["store"] == "well").then_some(()));
    }
    instances
}

fn call_as(addr: SocketAddr, who: &str, (tool, arguments): (&str, &str)) -> Answer {
    let bearer = format!("Authorization: Bearer {who}");
    let more: &[&str] = if who.is_empty() { &[] } else { &[&bearer] };
    ask(addr, &modern("/mcp", more, ("7", "tools/call"), &format!("\"name\":\"{tool}\",\"arguments\":{arguments}")))
}

fn call(instance: &Gateway, tool: &str) -> Answer {
    call_as(instance.addr, "", (tool, "{}"))
}

fn source(answer: &Answer) -> String {
    answer.header("moorline-cache").unwrap_or("nothing").split(';').next().unwrap_or_default().to_owned()
}

/// What the server said.
fn said(answer: &Answer) -> Value {
    serde_json::from_str(answer.json()["result"]["content"][0]["text"].as_str().unwrap_or("null")).unwrap()
}

fn number(answer: &Answer) -> u64 {
    said(answer)["number"].as_u64().unwrap_or_default()
}

// ---- one call for all ------------------------------------------------------------------------------------------------

/// How many clients ask for the same at once, over all instances.
const CLIENTS: usize = 500;

#[test]
fn five_hundred_identical_calls_over_three_instances_run_once() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), PUBLIC);
    let (answers, _) = all_at_once(&shop, &instances, || {});
    assert_eq!(shop.given(), 1, "the server ran it once");
    assert!(answers.iter().all(|answer| answer.as_ref().is_some_and(|answer| number(answer) == 1)));
}

#[test]
fn when_the_instance_that_leads_is_killed_another_takes_over() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let mut instances = three(&shop, &redis.url(), PUBLIC);
    // One client alone, so that it is known who leads.
    shop.gate.set(true);
    let leading = instances.remove(0);
    let addr = leading.addr;
    let leader = std::thread::spawn(move || {
        // It is cut off, and hears nothing.
        let mut connection = crate::support::http::Connection::to(addr);
        connection.send(&modern("/mcp", &[], ("7", "tools/call"), "\"name\":\"read\",\"arguments\":{}"));
        connection
    });
    shop.backend.wait_for("the call", |request| request.tool() == "read");
    let killed = now();
    let (answers, took) = all_at_once(&shop, &instances, || leading.kill());
    println!("the lead was taken over, and all {} were answered, {took:?} after the kill at {killed:?}", answers.len());
    assert!(
        answers.iter().all(|answer| answer.as_ref().is_some_and(|answer| answer.status == 200)),
        "all are answered"
    );
    assert!(shop.given() <= 2, "the server ran it {} times", shop.given());
    drop(leader.join());
}

/// Asks from all clients at once; does `meanwhile` when they wait; opens the gate.
fn all_at_once(shop: &Shop, instances: &[Gateway], meanwhile: impl FnOnce()) -> (Vec<Option<Answer>>, Duration) {
    shop.gate.set(true);
    let ready = Barrier::new(CLIENTS);
    let addrs: Vec<SocketAddr> = instances.iter().map(|instance| instance.addr).collect();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (ready, addr) = (&ready, addrs[client % addrs.len()]);
                scope.spawn(move || {
                    ready.wait();
                    call_as(addr, "", ("read", "{}"))
                })
            })
            .collect();
        shop.backend.wait_for("the call", |request| request.tool() == "read");
        // On each instance all but one wait; who waits for another instance follows nobody here.
        let waiting = || {
            let one =
                |instance: &Gateway| instance.admin("/api/v1/cache").json()["waiting"].as_u64().unwrap_or_default();
            instances.iter().map(one).sum::<u64>()
        };
        eventually("all clients", || (waiting() == (CLIENTS - instances.len()) as u64).then_some(()));
        let begun = now();
        meanwhile();
        shop.gate.set(false);
        let answers = asking.into_iter().map(|asked| asked.join().ok()).collect();
        (answers, begun.elapsed())
    })
}

#[test]
fn what_one_instance_has_fetched_the_others_have_too() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), PUBLIC);
    assert_eq!(source(&call(&instances[0], "read")), "miss");
    // It is written in the background.
    for instance in &instances[1..] {
        let hit = eventually("a hit", || Some(call(instance, "read")).filter(|answer| source(answer) == "hit"));
        assert_eq!(number(&hit), 1);
    }
    assert_eq!(shop.given(), 1);
}

#[test]
fn what_one_instance_has_heard_of_a_tool_the_others_know_too() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), r#"{ tools = ["read*"], ttl = "1h", scope = "public" }"#);
    for instance in &instances {
        assert_eq!(source(&call(instance, "read")), "nothing", "it is not known that it only reads");
    }
    // One page through one instance, the other through another.
    for (instance, params) in [(&instances[0], ""), (&instances[1], r#""cursor":"the\/next""#)] {
        assert_eq!(ask(instance.addr, &modern("/mcp", &[], ("1", "tools/list"), params)).status, 200);
    }
    for instance in &instances {
        for tool in ["read", "read_last"] {
            eventually("a hit", || (source(&call(instance, tool)) == "hit").then_some(()));
        }
    }
}

#[test]
fn what_a_server_calls_public_is_there_for_other_callers_of_other_instances() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), PUBLIC);
    let list = |instance: &Gateway, who: &str| {
        let bearer = format!("Authorization: Bearer {who}");
        ask(instance.addr, &modern("/mcp", &[&bearer], ("7", "prompts/list"), ""))
    };
    assert_eq!(source(&list(&instances[0], "ada")), "miss");
    eventually("both are written", || (redis.results() == 2).then_some(()));
    for (instance, who) in [(&instances[1], "bob"), (&instances[2], "eve")] {
        let answer = list(instance, who);
        assert_eq!((source(&answer).as_str(), &answer.json()["result"]["number"]), ("hit", &json!(1)), "{who}");
    }
    assert_eq!(shop.given(), 1);
}

// ---- what is forgotten -----------------------------------------------------------------------------------------------

#[test]
fn what_a_call_has_changed_is_forgotten_on_all_instances_at_once() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), PUBLIC);
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        warm(&instances, "read");
        let newest = instances.iter().map(|instance| number(&call(instance, "read"))).max().unwrap();
        assert_eq!(call(&instances[round % 3], "write").status, 200);
        let written = now();
        for instance in [&instances[(round + 1) % 3], &instances[(round + 2) % 3]] {
            eventually("a new answer", || (number(&call(instance, "read")) > newest).then_some(()));
            slowest = slowest.max(written.elapsed());
        }
    }
    println!("a change made through one of three instances was seen through the others after {slowest:?} at most");
    assert!(slowest < SOON, "{slowest:?}");
}

#[test]
fn who_misses_the_news_forgets_a_little_later() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), PUBLIC);
    warm(&instances, "read");
    let newest = instances.iter().map(|instance| number(&call(instance, "read"))).max().unwrap();
    let cutting = now();
    // Whoever listens is cut off, again and again.
    let mut slowest = Duration::ZERO;
    redis.silence();
    assert_eq!(call(&instances[0], "write").status, 200);
    for instance in &instances[1..] {
        eventually("a new answer", || {
            redis.silence();
            (number(&call(instance, "read")) > newest).then_some(())
        });
        slowest = slowest.max(cutting.elapsed());
    }
    println!("without pub/sub a change was seen after {slowest:?} at most");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[test]
fn while_redis_is_away_each_instance_goes_on_and_what_changed_is_told_when_it_is_back() {
    let (mut redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), PUBLIC);
    warm(&instances, "read");
    redis.kill();
    for instance in &instances {
        assert_eq!(source(&call(instance, "read")), "hit", "the first level goes on");
        assert_eq!(source(&call(instance, "read_other")), "miss");
        assert_eq!(source(&call(instance, "read_other")), "hit");
    }
    let newest = instances.iter().map(|instance| number(&call(instance, "read"))).max().unwrap();
    assert_eq!(call(&instances[0], "write").status, 200);
    assert!(number(&call(&instances[0], "read")) > newest, "here it is forgotten at once");
    redis.start_again();
    for instance in &instances[1..] {
        eventually("the news", || (number(&call(instance, "read")) > newest).then_some(()));
    }
}

/// Clients that read all the time: what they have seen forgotten must never come back.
struct Readers {
    over: AtomicBool,
    /// No answer may be as old as this.
    floor: AtomicU64,
    answers: AtomicUsize,
    hits: AtomicUsize,
}

impl Readers {
    /// Lets them read while something is done.
    fn during(instances: &[Gateway], work: impl FnOnce(&Self)) -> (usize, usize) {
        let readers = Self {
            over: AtomicBool::new(false),
            floor: AtomicU64::new(0),
            answers: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
        };
        std::thread::scope(|scope| {
            for number in 0..12 {
                let (readers, instance) = (&readers, &instances[number % instances.len()]);
                scope.spawn(move || readers.read(instance, number));
            }
            // The others are told to end even if this one panics.
            let over = Over(&readers.over);
            work(&readers);
            drop(over);
        });
        (readers.answers.into_inner(), readers.hits.into_inner())
    }

    fn read(&self, instance: &Gateway, from: usize) {
        for turn in from.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let (floor, arguments) = (self.floor.load(Ordering::SeqCst), format!("{{\"n\":{}}}", turn % 5));
            let answer = call_as(instance.addr, "", ("read", &arguments));
            assert_eq!((answer.status, &said(&answer)["asked"]), (200, &json!(arguments)), "{}", answer.text());
            assert!(number(&answer) > floor, "{} came back, where {floor} was forgotten", number(&answer));
            self.answers.fetch_add(1, Ordering::SeqCst);
            self.hits.fetch_add(usize::from(source(&answer) == "hit"), Ordering::SeqCst);
        }
    }

    /// Has the results forgotten by `order`; from when all instances have been seen to know that, no older one may be shown.
    fn see_forgotten(&self, shop: &Shop, instances: &[Gateway], order: impl FnOnce()) {
        let newest = shop.given() as u64;
        order();
        for instance in instances {
            eventually("a new answer", || (number(&call(instance, "read")) > newest).then_some(()));
        }
        self.floor.store(newest, Ordering::SeqCst);
    }
}

/// Says that it is over when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn what_is_purged_under_load_does_not_come_back() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let instances = three(&shop, &redis.url(), PUBLIC);
    let (answers, hits) = Readers::during(&instances, |readers| {
        for round in 0..30 {
            readers.see_forgotten(&shop, &instances, || {
                let what =
                    [r#"{"tools":["read"]}"#, r#"{"tools":["read*"]}"#, r#"{"pools":["mcp"]}"#, r#"{"all":true}"#];
                let purged = instances[round % 3].order("/api/v1/cache/purge", what[round % 4]);
                assert_eq!(purged.status, 204, "{}", purged.text());
            });
        }
    });
    println!("{answers} answers, {hits} of them kept ones, while results were purged 30 times");
    assert!(hits > 100, "{hits} of {answers}");
}

#[test]
fn slots_of_a_cluster_move_while_results_are_kept() {
    let (cluster, shop) = (Cluster::start(), Shop::new());
    let instances = three(&shop, &cluster.url(), PUBLIC);
    // Of so many results some lie in the slots that move.
    let fill = |instance: &Gateway, from: usize| {
        for n in from..from + 100 {
            assert_eq!(call_as(instance.addr, "", ("read_many", &format!("{{\"n\":{n}}}"))).status, 200);
        }
    };
    fill(&instances[0], 0);
    let mut moved = 0;
    let (answers, hits) = Readers::during(&instances, |readers| {
        std::thread::scope(|scope| {
            let moving = scope.spawn(|| cluster.migrate_slots());
            while !moving.is_finished() {
                readers.see_forgotten(&shop, &instances, || assert_eq!(call(&instances[0], "write").status, 200));
            }
            moved = moving.join().unwrap();
        });
    });
    println!("{moved} slots moved under {answers} answers, {hits} of them kept ones");
    assert!(moved > 5 && hits > 100, "{moved} {hits} of {answers}");
    // Afterwards results are shared as before, whatever slot they lie in.
    let kept = || cluster.nodes[..3].iter().map(Redis::results).sum::<usize>();
    let before = kept();
    fill(&instances[0], 1000);
    eventually("all are written", || (kept() >= before + 100).then_some(()));
    let given = shop.given();
    for n in 1000..1100 {
        let ask = || Some(call_as(instances[1].addr, "", ("read_many", &format!("{{\"n\":{n}}}"))));
        assert_eq!(ask().map(|answer| source(&answer)).as_deref(), Some("hit"), "{n}");
    }
    assert_eq!(shop.given(), given);
}

/// Until all instances have it in their own memory.
fn warm(instances: &[Gateway], tool: &str) {
    for instance in instances {
        for _ in 0..2 {
            eventually("a hit", || (source(&call(instance, tool)) == "hit").then_some(()));
        }
    }
}

// ---- for whom --------------------------------------------------------------------------------------------------------

/// Calls in all, over all instances.
const INTERLEAVED: usize = 10_000;

#[test]
fn no_answer_ever_crosses_from_one_caller_to_another() {
    let (redis, shop) = (Redis::start(), Shop::new());
    let rules = r#"{ tools = ["read*"], ttl = "2s", stale = "1s", trust = true }, { tools = ["write"], invalidates = ["read*"] }"#;
    let instances = three(&shop, &redis.url(), rules);
    let addrs: Vec<SocketAddr> = instances.iter().map(|instance| instance.addr).collect();
    let tally: Mutex<BTreeMap<String, usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..16_u64 {
            let (addrs, tally) = (&addrs, &tally);
            scope.spawn(move || wander(thread, addrs, tally));
        }
    });
    let tally = tally.into_inner().unwrap();
    println!("{INTERLEAVED} calls of two callers over three instances: {tally:?}");
    assert!(tally["hit"] > INTERLEAVED / 4, "{tally:?}");
}

/// One client that is now this caller and now that one.
fn wander(seed: u64, addrs: &[SocketAddr], tally: &Mutex<BTreeMap<String, usize>>) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // Marsaglia's xorshift: any order will do, and the same one each time is easier to follow.
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..INTERLEAVED / 16 {
        let who = ["alice", "bob"][usize::try_from(next(2)).unwrap()];
        let addr = addrs[usize::try_from(next(3)).unwrap()];
        let arguments = format!("{{\"n\":{}}}", next(5));
        let tool = if next(200) == 0 { "write" } else { ["read_a", "read_b"][usize::try_from(next(2)).unwrap()] };
        let answer = call_as(addr, who, (tool, &arguments));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said = said(&answer);
        let wanted = (json!(format!("Bearer {who}")), json!(arguments), json!(tool));
        assert_eq!(
            (said["who"].clone(), said["asked"].clone(), said["tool"].clone()),
            wanted,
            "crossed: {}",
            answer.text()
        );
        *tally.lock().unwrap().entry(source(&answer)).or_default() += 1;
    }
}

#[test]
fn two_eras_and_the_official_clients_read_the_same_cache() {
    let redis = Redis::start();
    let keys =
        "store.timeout = \"1s\"\ncache = [{ tools = [\"look\"], ttl = \"1h\", scope = \"public\", trust = true }]";
    let fleet = crate::fleet::Fleet::of(&crate::fleet::Plan {
        stores: vec![redis.url(); 2],
        keys,
        probe: "tcp",
        arguments: &[],
    });
    for instance in &fleet.instances {
        // The schema of a tool counts, once it is known.
        crate::fleet::Client::open(instance.addr);
    }
    let mut clients = crate::support_sdk::Client::all(&fleet.nginx.url());
    // The first answer of each client may be another one's: they differ in version and capabilities, which count.
    let mut first = BTreeMap::new();
    for round in 0..3 {
        for client in &mut clients {
            let answer =
                client.call("look").unwrap_or_else(|error| panic!("{}: round {round}: {error}", client.kind.name));
            let known = first.entry(client.kind.name).or_insert_with(|| answer.clone());
            assert_eq!(*known, answer, "{}: an answer that is not the kept one", client.kind.name);
        }
        last_for(Duration::from_millis(50));
    }
}
