//! Hostile requests, sent as raw bytes to one running instance: smuggling, malformed HTTP/1 and HTTP/2, floods, what is too large,
//! what is too slow. Each has its expected answer and the number of requests that may reach the backend. After all of them, and
//! after all of them again, the instance serves as before, with the memory and the descriptors that it had.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod frames;
mod http1;
mod http2;
mod responses;
mod scene;
mod slow;

use std::collections::HashSet;

use scene::{Case, Scene};

/// An instance may have grown by so much when the whole table has been through it again, in bytes: what an allocator keeps.
const GROWTH: u64 = 6 * 1024 * 1024;

/// How often the table goes through again at most: what leaks does so each time, what an allocator keeps it keeps once.
const ROUNDS: usize = 3;

fn table() -> Vec<Case> {
    [http1::cases(), bodies::cases(), http2::cases(), responses::cases()].into_iter().flatten().collect()
}

#[test]
fn the_table_names_at_least_sixty_requests_and_none_twice() {
    let names: Vec<_> = table().into_iter().chain(slow::cases()).map(|case| case.name).collect();
    assert!(names.len() >= 60, "{}", names.len());
    let mut seen = HashSet::new();
    let twice: Vec<_> = names.iter().filter(|name| !seen.insert(*name)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn hostile_requests_do_nothing_but_get_their_answer() {
    let scene = Scene::new();
    let table = table();
    let wanted = std::env::var("CASE").unwrap_or_default();
    let chosen = || table.iter().filter(|case| case.name.contains(&wanted));
    scene.serves_normally();
    // Once, so that all that is made only once has been made.
    let failed: Vec<_> = chosen().filter(|case| !scene.holds(case)).map(|case| case.name).collect();
    assert!(failed.is_empty(), "{} cases fail: {failed:#?}", failed.len());
    scene.serves_normally();
    scene.is_at_rest();
    let descriptors = scene.gateway.descriptors();
    let grown = |_| {
        let memory = scene.gateway.memory();
        chosen().for_each(|case| scene.run(case));
        scene.serves_normally();
        scene.is_at_rest();
        scene.has_given_back(descriptors);
        scene.gateway.memory().saturating_sub(memory)
    };
    let grown: Vec<u64> = (0..ROUNDS)
        .map(grown)
        .scan(false, |stop, grown| {
            let before = std::mem::replace(stop, grown < GROWTH);
            (!before).then_some(grown)
        })
        .collect();
    assert!(grown.last().is_some_and(|last| *last < GROWTH), "grown by {grown:?} bytes");
}

/// They take their time, so they run at the same time, and nothing of it may be left either.
#[test]
fn slow_clients_cost_nothing_but_a_connection_for_a_while() {
    let scene = Scene::hurried();
    let wanted = std::env::var("CASE").unwrap_or_default();
    scene.serves_normally();
    scene.is_at_rest();
    let descriptors = scene.gateway.descriptors();
    let before = scene.reached();
    let cases: Vec<_> = slow::cases().into_iter().filter(|case| case.name.contains(&wanted)).collect();
    std::thread::scope(|scope| {
        for case in &cases {
            let scene = &scene;
            scope.spawn(move || (case.run)(scene));
        }
        // Nobody waits for them.
        scene.serves_normally();
    });
    let honest = 1;
    let expected = cases.iter().map(|case| case.reaches).sum::<usize>() + honest;
    assert_eq!(scene.reached() - before, expected, "{:?}", scene.backend.received());
    scene.serves_normally();
    scene.is_at_rest();
    scene.has_given_back(descriptors);
}
