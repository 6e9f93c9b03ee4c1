//! Several instances on one server: together they admit what one may, by the server's clock, and leave nothing behind.

use super::*;
use crate::clock::Clock;
use crate::config::LimitsAway;
use crate::store::counters::memory::Memory;
use crate::store::counters::shared::Shared;

const MONTH: u64 = 30 * 86_400;

fn as_counters(three: [RedisCounters; 3]) -> Vec<Arc<dyn Counters>> {
    three.into_iter().map(|counters| Arc::new(counters) as Arc<dyn Counters>).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_instances_that_are_flooded_admit_exactly_what_one_may() {
    let server = Server::start(Program::Redis, &[]);
    let instances = as_counters(three(&server.url(), "p").await);
    for (name, measure) in [
        ("fixed", Measure::FixedWindow(rate(500, MONTH))),
        ("sliding", Measure::SlidingWindow(rate(500, MONTH))),
        ("slow", Measure::Gcra { rate: rate(1, MONTH), burst: 500 }),
        ("slots", Measure::Slots(500)),
    ] {
        let charges = [charge(budget(name, measure), 9, 1), charge(budget("all", Measure::Slots(10_000)), 9, 1)];
        let admitted = flood(&instances, &charges, (8, 50)).await;
        assert_eq!(admitted.len(), 500, "{name}");
        assert_eq!(remaining(&*instances[0], &charges[0]).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_even_rate_admits_a_burst_and_what_is_refilled_and_no_more() {
    let server = Server::start(Program::Redis, &[]);
    let instances = as_counters(three(&server.url(), "p").await);
    let (per_second, burst) = (300, 100);
    let charges = [charge(budget("even", Measure::Gcra { rate: rate(per_second, 1), burst }), 9, 1)];
    let (started, answers) = (Clock::system(), flood(&instances, &charges, (8, 150)).await);
    let mut admitted: Vec<u64> = answers.iter().map(|taken| taken.at).collect();
    admitted.sort_unstable();
    assert!(admitted.len() >= 100, "{} in {:?}", admitted.len(), started);
    // In no stretch of time more than the burst and what was refilled in it.
    for (n, first) in admitted.iter().enumerate() {
        for (many, last) in (1_u64..).zip(&admitted[n..]) {
            assert!(
                (many - burst.min(many)) * 1_000_000 <= (last - first) * per_second,
                "{many} in {} us",
                last - first
            );
        }
    }
    // And no less: whoever was refused had found nothing left, so all that was refilled before the last was spent.
    let refilled = (admitted[admitted.len() - 1] - admitted[0]) * per_second / 1_000_000;
    assert!(admitted.len() as u64 + 1 >= refilled, "{} of {refilled}", admitted.len());
}

/// Instances that stand before the server, each with a clock of its own that is an hour before the last one's.
async fn skewed(server: &Server) -> Vec<Arc<dyn Counters>> {
    let mut instances = Vec::new();
    for (hours, far) in (0..).zip(three(&server.url(), "p").await) {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(3600 * hours));
        let near = Arc::new(Memory::new(100, clock.clone()));
        let shared = Shared::start(Arc::new(far), near, (TIMEOUT, LimitsAway::Share), clock);
        instances.push(Arc::new(shared));
    }
    until("the instances have seen each other", || instances.iter().all(|shared| shared.instances().get() == 3)).await;
    instances.into_iter().map(|shared| shared as Arc<dyn Counters>).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_whose_clocks_are_hours_apart_agree() {
    let server = Server::start(Program::Redis, &[]);
    let instances = skewed(&server).await;
    for measure in [
        Measure::FixedWindow(rate(500, MONTH)),
        Measure::SlidingWindow(rate(500, MONTH)),
        Measure::Gcra { rate: rate(1, MONTH), burst: 500 },
    ] {
        let charge = charge(Budget { block: None, ..budget(&format!("{measure:?}")[..4], measure) }, 9, 1);
        let admitted = flood(&instances, std::slice::from_ref(&charge), (4, 60)).await;
        assert_eq!(admitted.len(), 500, "{measure:?}");
        let time: Vec<u64> = server.cli(&["time"]).lines().map(|line| line.trim().parse().unwrap()).collect();
        let now = time[0] * 1_000_000 + time[1];
        assert!(admitted.iter().all(|taken| taken.at.abs_diff(now) < 60_000_000), "by the server's clock");
        // One that another instance settles, by the time that the server told.
        let Taken { at, .. } = admitted[0];
        instances[2].correct(vec![Correction::Cost { charge: charge.clone(), at, actual: 0 }]);
        let settled = async || while remaining(&*instances[0], &charge).await != 1 {};
        tokio::time::timeout(DEADLINE, settled()).await.expect("the correction arrives");
    }
    let blocking = Budget {
        block: Some(Block { first: Duration::from_secs(600), most: Duration::from_secs(600) }),
        ..budget("blocking", Measure::FixedWindow(rate(1, MONTH)))
    };
    let charges = [charge(blocking, 9, 1)];
    assert_eq!(flood(&instances, &charges, (1, 2)).await.len(), 1);
    for counters in &instances {
        let standing = counters.look(&charges).await.unwrap().standings[0];
        let left = standing.retry_after.as_secs();
        assert!(standing.blocked && left > 500, "{standing:?}");
    }
}

#[tokio::test]
async fn every_key_falls_when_it_says_nothing_any_more() {
    let server = Server::start(Program::Redis, &[]);
    let counters = connected(&server.url(), options("p")).await.counters();
    let block = Block { first: Duration::from_millis(200), most: Duration::from_millis(800) };
    let measures = [
        ("even", Measure::Gcra { rate: rate(5, 1), burst: 5 }),
        ("fixed", Measure::FixedWindow(rate(5, 1))),
        ("sliding", Measure::SlidingWindow(rate(5, 1))),
        ("slots", Measure::Slots(5)),
    ];
    let charges = measures.map(|(name, measure)| {
        let slots = matches!(measure, Measure::Slots(_));
        charge(Budget { block: (!slots).then_some(block), ..budget(name, measure) }, 9, 1)
    });
    let mut slots = Vec::new();
    for charge in &charges {
        for _ in 0..6 {
            slots.push(fresh_slot());
            let _ = counters.take(std::slice::from_ref(charge), slots[slots.len() - 1]).await.unwrap();
        }
        counters.hold(charge, Duration::from_millis(100)).await.unwrap();
    }
    let keys = server.cli(&["keys", "*"]);
    assert_eq!(keys.lines().count(), 4, "{keys}");
    for key in keys.lines() {
        let ttl: i64 = server.cli(&["pttl", key]).parse().unwrap();
        let most = if key.contains(":c:") { 15_000 } else { 2000 };
        assert!(ttl > 0 && ttl <= most, "{key} falls in {ttl} ms");
    }
    let give_back = |slot| Correction::Slot { charge: charges[3].clone(), slot };
    counters.correct(slots.into_iter().map(give_back).collect());
    until("all have fallen", || server.cli(&["dbsize"]) == "0").await;
}

#[tokio::test]
async fn a_counter_takes_little_room() {
    let server = Server::start(Program::Redis, &[]);
    let counters = connected(&server.url(), options("moorline")).await.counters();
    let block = Block { first: Duration::from_secs(60), most: Duration::from_secs(600) };
    for (name, measure, most) in [
        ("per-caller-a", Measure::Gcra { rate: rate(7, 60), burst: 7 }, 200),
        ("per-caller-b", Measure::FixedWindow(rate(7, 60)), 200),
        ("per-caller-c", Measure::SlidingWindow(rate(7, 60)), 200),
        ("per-caller-d", Measure::Slots(20), 700),
    ] {
        let slots = matches!(measure, Measure::Slots(_));
        let charge = charge(Budget { block: (!slots).then_some(block), ..budget(name, measure) }, u128::MAX / 3, 1);
        for _ in 0..20 {
            let _ = counters.take(std::slice::from_ref(&charge), fresh_slot()).await.unwrap();
        }
        let key = server.cli(&["keys", &format!("*{name}*")]);
        let bytes: u64 = server.cli(&["memory", "usage", &key]).parse().unwrap();
        println!("{name}: {bytes} bytes: {key} {}", server.cli(&["get", &key]));
        assert!(bytes <= most, "{name}: {bytes}");
    }
}

#[tokio::test]
async fn a_budget_that_is_counted_in_another_way_begins_anew() {
    let server = Server::start(Program::Redis, &[]);
    let counters = connected(&server.url(), options("p")).await.counters();
    let limit = rate(5, MONTH);
    let all = [
        Measure::Gcra { rate: limit, burst: 5 },
        Measure::FixedWindow(limit),
        Measure::Slots(5),
        Measure::SlidingWindow(limit),
    ];
    for measure in all.into_iter().cycle().take(9) {
        let charge = charge(budget("one", measure), 9, 1);
        let (slot, before) = (fresh_slot(), remaining(&counters, &charge).await);
        assert_eq!(before, 5, "{measure:?}");
        let taken = counters.take(std::slice::from_ref(&charge), slot).await.unwrap();
        assert_eq!((taken.refused, taken.standings[0].remaining), (None, 4));
        if matches!(measure, Measure::Slots(_)) {
            counters.correct(vec![Correction::Slot { charge: charge.clone(), slot }]);
            let key = "zcard p:{XX}:c:one:00000000000000000000000000000009";
            let key = key.replace("XX", &tag(&charge));
            until("the slot is given back", || server.cli(&key.split(' ').collect::<Vec<_>>()) == "0").await;
        }
    }
    // More, or a longer time, is the same counter.
    let more = charge(budget("one", Measure::Gcra { rate: rate(10, MONTH), burst: 10 }), 9, 1);
    assert_eq!(remaining(&counters, &more).await, 8, "one of five was half of what it is now");
}

fn tag(charge: &Charge) -> String {
    let mut key = String::new();
    Names::new("p", 0).counter(charge, &mut key);
    key[3..5].to_owned()
}

#[tokio::test]
async fn slots_of_an_instance_that_is_gone_fall_and_those_of_one_that_lives_do_not() {
    let server = Server::start(Program::Redis, &[]);
    let [lives, dies, asks] = three(&server.url(), "p").await;
    let charges = [charge(budget("slots", Measure::Slots(4)), 9, 1)];
    for counters in [&lives, &dies, &lives, &dies] {
        assert_eq!(counters.take(&charges, fresh_slot()).await.unwrap().refused, None);
    }
    assert_eq!(asks.take(&charges, fresh_slot()).await.unwrap().refused, Some(0));
    drop(dies);
    let (clock, started) = (Clock::system(), Clock::system().now());
    let fallen = async || {
        while remaining(&asks, &charges[0]).await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DEADLINE, fallen()).await.expect("slots fall");
    assert!(clock.now() - started > Duration::from_secs(5), "they are not given up at once");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(remaining(&asks, &charges[0]).await, 2);
}

#[tokio::test]
async fn many_slots_are_renewed_in_few_commands() {
    let server = Server::start(Program::Redis, &[]);
    let counters = connected(&server.url(), options("p")).await.counters();
    for subject in 0..3 {
        let charges = [charge(budget("slots", Measure::Slots(1000)), subject, 1)];
        for _ in 0..400 {
            assert_eq!(counters.take(&charges, fresh_slot()).await.unwrap().refused, None);
        }
    }
    let scripts = || {
        let stats = server.cli(&["info", "commandstats"]);
        let line = stats.lines().find_map(|line| line.trim().strip_prefix("cmdstat_evalsha:calls="));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<usize>().unwrap())
    };
    let before = scripts();
    until("they are renewed", || scripts() >= before + 6).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(scripts(), before + 6, "two for each counter");
}

#[tokio::test]
async fn instances_count_each_other() {
    let server = Server::start(Program::Redis, &[]);
    let mut instances = Vec::new();
    for n in 1..=3_u32 {
        let far = Arc::new(connected(&server.url(), options("p")).await.counters());
        let clock = Clock::system();
        let near = Arc::new(Memory::new(100, clock.clone()));
        instances.push(Shared::start(far, near, (TIMEOUT, LimitsAway::Share), clock));
        until("all have been seen", || instances.iter().all(|one| one.instances().get() == n)).await;
    }
    instances.pop();
    until("one is gone", || instances.iter().all(|one| one.instances().get() == 2)).await;
    let ttl: i64 = server.cli(&["pttl", "p:{keys}:instances"]).parse().unwrap();
    assert!((1..=10_000).contains(&ttl), "{ttl}");
}
