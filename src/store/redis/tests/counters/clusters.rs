//! Charges whose counters lie on different nodes: all are made or none, also while slots are handed on.

use std::sync::atomic::AtomicBool;

use super::super::failover::hand_on;
use super::*;

const MONTH: u64 = 30 * 86_400;

/// The first subject of each node that has any.
fn one_subject_each(cluster: &Cluster) -> Vec<(u128, usize)> {
    let mut found: Vec<(u128, usize)> = Vec::new();
    for subject in 0..256 {
        let owner = cluster.owner(Place::of_subject(Subject(subject)).slot());
        if found.iter().all(|(_, other)| *other != owner) {
            found.push((subject, owner));
        }
        if found.len() == 3 {
            break;
        }
    }
    found
}

fn measures(most: u64) -> [(&'static str, Measure); 4] {
    let limit = rate(most, MONTH);
    [
        ("even", Measure::Gcra { rate: rate(1, MONTH), burst: most }),
        ("fixed", Measure::FixedWindow(limit)),
        ("sliding", Measure::SlidingWindow(limit)),
        ("slots", Measure::Slots(most)),
    ]
}

/// Waits until so much remains, and no longer than it takes.
async fn comes_to(counters: &dyn Counters, charge: &Charge, expected: u64) {
    let comes = async { while remaining(counters, charge).await != expected {} };
    let waited = tokio::time::timeout(DEADLINE, comes).await;
    assert!(waited.is_ok(), "{} remain, not {expected}", remaining(counters, charge).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn none_is_charged_when_one_on_another_node_refuses() {
    let cluster = Cluster::start(Program::Redis);
    let instances = three(&cluster.url(), "p").await.map(|counters| Arc::new(counters) as Arc<dyn Counters>);
    let subjects = one_subject_each(&cluster);
    assert_eq!(subjects.len(), 3);
    for (n, (name, scarce)) in measures(50).into_iter().enumerate() {
        for (m, (other, ample)) in measures(1000).into_iter().enumerate() {
            let scarce = charge(budget(&format!("scarce-{name}-{m}"), scarce), subjects[n % 3].0, 1);
            let ample =
                |which: usize| charge(budget(&format!("ample-{other}-{n}"), ample), subjects[(n + which) % 3].0, 1);
            let charges = [ample(1), scarce.clone(), ample(2)];
            let admitted = flood(&instances, &charges, (2, 20)).await;
            assert_eq!(admitted.len(), 50, "{name} {other}");
            comes_to(&*instances[0], &scarce, 0).await;
            for ample in [&charges[0], &charges[2]] {
                comes_to(&*instances[1], ample, 950).await;
            }
            let refused = instances[2].take(&charges, fresh_slot()).await.unwrap();
            let told: Vec<u64> = refused.standings.iter().map(|standing| standing.remaining).collect();
            assert_eq!((refused.refused, told), (Some(1), vec![950, 0, 950]), "as if it had not been asked");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_not_charged_leaves_no_key_behind() {
    let cluster = Cluster::start(Program::Redis);
    let counters = connected(&cluster.url(), options("p")).await.counters();
    let subjects = one_subject_each(&cluster);
    let full = charge(budget("full", Measure::FixedWindow(rate(1, MONTH))), subjects[0].0, 2);
    for (name, measure) in measures(10) {
        let other = charge(budget(name, measure), subjects[1].0, 1);
        let taken = counters.take(&[other.clone(), full.clone()], fresh_slot()).await.unwrap();
        assert_eq!(taken.refused, Some(1));
        let mut key = String::new();
        Names::new("p", 0).counter(&other, &mut key);
        let node = &cluster.nodes[subjects[1].1];
        until("it is as if it had not been asked", || match node.cli(&["type", &key]).as_str() {
            "none" => true,
            "zset" => node.cli(&["zcard", &key]) == "0",
            // All is there again: a microsecond, and it falls.
            _ => node.cli(&["get", &key]).starts_with('g') || node.cli(&["get", &key]).ends_with(" 0"),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_are_exact_while_slots_are_handed_on() {
    let cluster = Cluster::start(Program::Redis);
    let counters = Arc::new(connected(&cluster.url(), options("p")).await.counters());
    let moving = Place::of_subject(Subject(5)).slot();
    let owner = cluster.owner(moving);
    let elsewhere = one_subject_each(&cluster).into_iter().find(|(_, node)| *node != owner).unwrap();
    // Two in the slot that moves, so that they may lie at different nodes meanwhile, and one that stays.
    let charges = [
        charge(budget("one", Measure::FixedWindow(rate(20_000, MONTH))), 5, 1),
        charge(budget("other", Measure::Slots(20_000)), 5, 1),
        charge(budget("stays", Measure::Gcra { rate: rate(20, MONTH), burst: 20_000 }), elsewhere.0, 1),
    ];
    let (steps, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (counters, charges, steps, stop) =
            (Arc::clone(&counters), charges.clone(), Arc::clone(&steps), Arc::clone(&stop));
        load.spawn(async move {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                let taken = in_time(counters.take(&charges, fresh_slot())).await.unwrap();
                assert_eq!(taken.refused, None);
                made += 1;
                steps.fetch_add(1, Ordering::Relaxed);
            }
            made
        });
    }
    let other = (0..6).find(|&node| node != owner && cluster.is_primary(node)).unwrap();
    for (from, to) in [(owner, other), (other, owner)] {
        tokio::select! {
            () = hand_on(&cluster, moving, (from, to), &steps) => {}
            ended = load.join_next() => panic!("a caller has failed: {ended:?}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let made: u64 = load.join_all().await.into_iter().sum();
    for charge in &charges {
        assert_eq!(remaining(&*counters, charge).await, 20_000 - made, "{}", charge.budget.name);
    }
}
