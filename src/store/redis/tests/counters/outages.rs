//! Servers that stop or hang in the middle of a flood: no more is admitted than the limit and one share each, nothing hangs,
//! and all is exact again afterwards.

use super::*;
use crate::clock::Clock;
use crate::config::LimitsAway;
use crate::store::counters::memory::Memory;
use crate::store::counters::shared::Shared;

const QUICK: Duration = Duration::from_millis(200);
const MONTH: u64 = 30 * 86_400;
/// What a server keeps over a stop.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

fn quick(prefix: &str) -> RedisOptions<'_> {
    RedisOptions { timeout: QUICK, ..options(prefix) }
}

/// Three instances that know of each other.
async fn shared(server: &Server) -> Vec<Arc<Shared>> {
    let mut instances = Vec::new();
    for _ in 0..3 {
        let store = connected(&server.url(), quick("p")).await;
        let clock = Clock::system();
        let near = Arc::new(Memory::new(1000, clock.clone()));
        instances.push(Arc::new(Shared::start(Arc::new(store.counters()), near, (QUICK, LimitsAway::Share), clock)));
    }
    until("the instances have seen each other", || instances.iter().all(|shared| shared.instances().get() == 3)).await;
    instances
}

async fn takes(counters: &Shared, charge: &Charge) -> bool {
    in_time(counters.take(std::slice::from_ref(charge), fresh_slot())).await.unwrap().refused.is_none()
}

fn measures(most: u64) -> [(&'static str, Measure); 3] {
    let limit = rate(most, MONTH);
    [
        ("even", Measure::Gcra { rate: rate(1, MONTH), burst: most }),
        ("fixed", Measure::FixedWindow(limit)),
        ("sliding", Measure::SlidingWindow(limit)),
    ]
}

async fn all_back(instances: &[Arc<Shared>]) {
    until("the store is back", || instances.iter().all(|shared| !shared.is_away())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_admitted_while_the_server_was_gone_is_charged_when_it_is_back() {
    let mut server = Server::start(Program::Redis, &DURABLE);
    let instances = shared(&server).await;
    let charges: Vec<Charge> =
        measures(300).into_iter().map(|(name, measure)| charge(budget(name, measure), 9, 1)).collect();
    for shared in &instances {
        for charge in &charges {
            for _ in 0..20 {
                assert!(takes(shared, charge).await);
            }
        }
    }
    server.stop();
    until("all have noticed", || instances.iter().all(|shared| shared.is_away())).await;
    for (shared, spends) in instances.iter().zip([10, 70, 150]) {
        for charge in &charges {
            let mut admitted = 0;
            for _ in 0..spends {
                admitted += u32::from(takes(shared, charge).await);
            }
            assert_eq!(admitted, spends.min(100), "its share, {}", charge.budget.name);
        }
    }
    server.start_again();
    all_back(&instances).await;
    for charge in &charges {
        // 60 before, and 10, 70 and 100 meanwhile.
        let told = async { while remaining(&*instances[0], charge).await != 60 {} };
        let waited = tokio::time::timeout(DEADLINE, told).await;
        assert!(waited.is_ok(), "{} of {} remain", remaining(&*instances[0], charge).await, charge.budget.name);
        let counters: Vec<Arc<dyn Counters>> =
            instances.iter().map(|shared| Arc::clone(shared) as Arc<dyn Counters>).collect();
        assert_eq!(flood(&counters, std::slice::from_ref(charge), (2, 20)).await.len(), 60, "{}", charge.budget.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slots_that_were_taken_while_the_server_was_gone_are_held_there_when_it_is_back() {
    let mut server = Server::start(Program::Redis, &[]);
    let instances = shared(&server).await;
    let slots = charge(budget("slots", Measure::Slots(9)), 9, 1);
    let taken: Vec<SlotId> = (0..5).map(|_| fresh_slot()).collect();
    let take = async |slot| instances[0].take(std::slice::from_ref(&slots), slot).await.unwrap().refused;
    assert_eq!(take(taken[0]).await, None);
    server.stop();
    until("all have noticed", || instances.iter().all(|shared| shared.is_away())).await;
    for slot in &taken[1..4] {
        assert_eq!(take(*slot).await, None);
    }
    assert_eq!(take(taken[4]).await, Some(0), "its share is three");
    server.start_again();
    all_back(&instances).await;
    // That which was taken before, too, though this server has forgotten it.
    let comes_to = async |expected| {
        let comes = async { while remaining(&*instances[1], &slots).await != expected {} };
        tokio::time::timeout(DEADLINE, comes).await.expect("they are held");
    };
    comes_to(9 - 4).await;
    for slot in &taken[..4] {
        instances[0].correct(vec![Correction::Slot { charge: slots.clone(), slot: *slot }]);
    }
    comes_to(9).await;
}

/// Floods three instances, lets the server do something meanwhile, and counts.
async fn flooded(
    server: &mut Server,
    interrupt: impl AsyncFnOnce(&mut Server, &AtomicUsize),
) -> (Vec<Arc<Shared>>, Charge, usize) {
    let instances = shared(server).await;
    let charge = charge(budget("flooded", Measure::FixedWindow(rate(3000, MONTH))), 9, 1);
    let (admitted, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let mut load = tokio::task::JoinSet::new();
    for counters in &instances {
        for _ in 0..8 {
            let (counters, charge, admitted, stop) =
                (Arc::clone(counters), charge.clone(), Arc::clone(&admitted), Arc::clone(&stop));
            load.spawn(async move {
                let (clock, mut longest) = (Clock::system(), Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let before = clock.now();
                    admitted.fetch_add(usize::from(takes(&counters, &charge).await), Ordering::Relaxed);
                    longest = longest.max(clock.now() - before);
                    // As many as a real caller.
                    tokio::task::yield_now().await;
                }
                longest
            });
        }
    }
    until("the flood has begun", || admitted.load(Ordering::Relaxed) > 300).await;
    interrupt(server, &admitted).await;
    all_back(&instances).await;
    let more = async {
        while remaining(&*instances[0], &charge).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, more).await.expect("all is spent in the end");
    stop.store(true, Ordering::Relaxed);
    let longest = load.join_all().await.into_iter().max().unwrap();
    // The timeout, and what a busy machine may add to it.
    assert!(longest < QUICK * 10, "a call took {longest:?}");
    let admitted = admitted.load(Ordering::Relaxed);
    assert!(admitted <= 3000 + 3 * 1000, "{admitted}");
    (instances, charge, admitted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_in_a_flood_costs_one_share_each_at_most() {
    let mut server = Server::start(Program::Redis, &DURABLE);
    let killed = async |server: &mut Server, admitted: &AtomicUsize| {
        server.stop();
        let before = admitted.load(Ordering::Relaxed);
        until("the flood goes on", || admitted.load(Ordering::Relaxed) > before + 500).await;
        server.start_again();
    };
    let (instances, charge, admitted) = flooded(&mut server, killed).await;
    assert!(admitted >= 2800, "what was in flight may be charged and lost, no more: {admitted}");
    for shared in &instances {
        assert!(!takes(shared, &charge).await, "all is spent, and all know it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_hangs_in_a_flood_costs_one_share_each_at_most() {
    let mut server = Server::start(Program::Redis, &[]);
    let hangs = async |server: &mut Server, admitted: &AtomicUsize| {
        server.freeze(true);
        let before = admitted.load(Ordering::Relaxed);
        until("the flood goes on", || admitted.load(Ordering::Relaxed) > before + 500).await;
        server.freeze(false);
    };
    let (instances, charge, _) = flooded(&mut server, hangs).await;
    for shared in &instances {
        assert!(!takes(shared, &charge).await, "all is spent, and all know it");
    }
}

#[tokio::test]
async fn a_slot_of_which_nobody_heard_is_given_back() {
    let server = Server::start(Program::Redis, &[]);
    let counters = connected(&server.url(), quick("p")).await.counters();
    let charges = [charge(budget("slots", Measure::Slots(3)), 9, 1)];
    assert_eq!(counters.take(&charges, fresh_slot()).await.unwrap().refused, None);
    server.freeze(true);
    let answer = in_time(counters.take(&charges, fresh_slot())).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    // And one that its caller gave up.
    let given_up = tokio::time::timeout(QUICK / 4, counters.take(&charges, fresh_slot())).await;
    assert!(given_up.is_err());
    server.freeze(false);
    let (clock, started) = (Clock::system(), Clock::system().now());
    let asks = connected(&server.url(), options("p")).await.counters();
    let back = async {
        while remaining(&asks, &charges[0]).await != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.expect("it is given back");
    assert!(clock.now() - started < Duration::from_secs(10), "it did not have to fall");
}

#[tokio::test]
async fn counters_may_start_before_their_server() {
    let port = servers::free_port();
    let store = Redis::start(&url(&format!("redis://127.0.0.1:{port}")), quick("p")).unwrap();
    let counters = store.counters();
    let charges = [charge(budget("slots", Measure::Slots(3)), 9, 1)];
    assert!(matches!(in_time(counters.take(&charges, fresh_slot())).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(in_time(counters.look(&charges)).await, Err(StoreError::Unavailable { .. })));
    drop(store);
    let _server = Server::start_on(port, Program::Redis, &[]);
    let taken = until_ok("the server is there", || counters.take(&charges, fresh_slot())).await;
    assert_eq!(taken.refused, None, "the connections are the counters' too");
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_sent_them_again() {
    let server = Server::start(Program::Redis, &[]);
    let counters = connected(&server.url(), options("p")).await.counters();
    let charge = charge(budget("fixed", Measure::FixedWindow(rate(100, MONTH))), 9, 5);
    for n in 1..=5 {
        server.cli(&["script", "flush"]);
        let taken = counters.take(std::slice::from_ref(&charge), fresh_slot()).await.unwrap();
        server.cli(&["script", "flush"]);
        counters.correct(vec![Correction::Cost { charge: charge.clone(), at: taken.at, actual: 7 }]);
        let settled = async { while remaining(&counters, &charge).await != 100 - 7 * n {} };
        tokio::time::timeout(DEADLINE, settled).await.expect("it is corrected");
    }
}

#[tokio::test]
async fn a_server_that_refuses_to_write_is_as_good_as_away() {
    let server = Server::start(Program::Redis, &[]);
    let counters = connected(&server.url(), options("p")).await.counters();
    let charges = [charge(budget("fixed", Measure::FixedWindow(rate(100, MONTH))), 9, 5)];
    assert_eq!(counters.take(&charges, fresh_slot()).await.unwrap().refused, None);
    server.cli(&["config", "set", "maxmemory", "1"]);
    assert!(matches!(counters.take(&charges, fresh_slot()).await, Err(StoreError::Unavailable { .. })));
    assert_eq!(remaining(&counters, &charges[0]).await, 95);
    server.cli(&["config", "set", "maxmemory", "0"]);
    assert_eq!(counters.take(&charges, fresh_slot()).await.unwrap().standings[0].remaining, 90);
}
