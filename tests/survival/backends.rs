//! A server dies, is drained or restarted: sessions go on at another one.

use std::collections::BTreeSet;

use serde_json::json;

use crate::fleet::{
    Client, Crowd, Fleet, Ledger, Load, Moment, NAMES, Nginx, Outcome, PATIENT, Plan, Redis, kill, servers, some,
};
use crate::support_sdk::{Server, now};

/// Calls before and after whatever happens.
const A_WHILE: usize = 400;

#[test]
fn fifty_clients_lose_no_session_when_a_backend_dies() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    let load = Load::start(fleet.nginx.addr, Crowd::FIFTY);
    load.go_on_for(A_WHILE);
    let killed = fleet.kill_server(0);
    load.go_on_for(2 * A_WHILE);
    let tally = load.stop();
    let at_risk = tally.at_risk(killed, Some(NAMES[0]));
    let duplicates = fleet.ledger.duplicates();
    println!("kill -9 of one backend of three, moorline: {}", tally.summary());
    println!("  {} calls in flight there that may not be repeated, {} duplicates", at_risk.len(), duplicates.len());
    let theirs = sessions_lost_by_ip_hash();
    println!("  nginx ip_hash, each client from a network of its own: {theirs} of 50 sessions lost");
    assert!(tally.lost().is_empty(), "sessions lost: {}", some(&tally.lost()));
    let risked: BTreeSet<&str> = at_risk.iter().map(|call| call.label.as_str()).collect();
    let wrong = tally.failed_but(|call| call.outcome == Outcome::Unknown && risked.contains(call.label.as_str()));
    assert!(wrong.is_empty(), "failed though nothing was at risk, or in another way: {}", some(&wrong));
    assert!(duplicates.is_empty(), "ran more than once: {duplicates:?}");
    assert!(theirs > 0, "nginx is expected to lose the sessions of a dead server");
}

/// The same load, the same kind of servers, the same death. At its best: clients come from fifty networks, so that nginx spreads
/// them; from one office all sessions would lie on one server.
fn sessions_lost_by_ip_hash() -> usize {
    let ledger = Ledger::new();
    let mut servers = servers(&ledger, &[]);
    let nginx = Nginx::ip_hash(&servers.iter().map(|server| server.addr).collect::<Vec<_>>());
    let load = Load::start(nginx.addr, Crowd::FROM_EVERYWHERE);
    load.go_on_for(A_WHILE);
    kill(&mut servers[0]);
    load.go_on_for(A_WHILE);
    let tally = load.stop();
    println!("kill -9 of one backend of three, nginx ip_hash: {}", tally.summary());
    tally.lost().len()
}

#[test]
fn fifty_clients_lose_no_session_when_a_backend_freezes() {
    let redis = Redis::start();
    // A frozen process still accepts connections: only a probe that wants an answer finds out.
    let fleet = Fleet::of(&Plan { stores: vec![redis.url(); 2], keys: PATIENT, probe: "mcp", arguments: &[] });
    let load = Load::start(fleet.nginx.addr, Crowd::PLAIN);
    load.go_on_for(A_WHILE);
    let before = now();
    fleet.servers[0].freeze();
    fleet.wait_for_sight(0, false);
    let frozen = Moment { before, after: now() };
    load.go_on_for(2 * A_WHILE);
    fleet.servers[0].thaw();
    fleet.wait_for_sight(0, true);
    load.go_on_for(A_WHILE);
    let tally = load.stop();
    let at_risk = tally.at_risk(frozen, Some(NAMES[0]));
    println!("one backend of three freezes, and thaws: {}", tally.summary());
    println!("  {} calls were sent there before that was known that may not be repeated", at_risk.len());
    assert!(tally.lost().is_empty(), "sessions lost: {}", some(&tally.lost()));
    let risked: BTreeSet<&str> = at_risk.iter().map(|call| call.label.as_str()).collect();
    let wrong = tally.failed_but(|call| call.outcome == Outcome::Unknown && risked.contains(call.label.as_str()));
    assert!(wrong.is_empty(), "failed though nothing was at risk, or in another way: {}", some(&wrong));
    assert!(fleet.ledger.duplicates().is_empty(), "ran more than once: {:?}", fleet.ledger.duplicates());
}

#[test]
fn two_hundred_sessions_move_once_each_though_two_instances_see_the_death() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    let addrs = [fleet.instances[0].addr, fleet.instances[1].addr];
    let mut sessions: Vec<[Client; 2]> = Vec::new();
    for number in 0..200 {
        let first = Client::open(addrs[number % 2]);
        let second = first.at(addrs[(number + 1) % 2]);
        sessions.push([first, second]);
    }
    let before = sessions.iter_mut().map(|[first, second]| (whoami(first), whoami(second))).collect::<Vec<_>>();
    assert!(before.iter().all(|(first, second)| first == second), "the instances disagree: {before:?}");
    let victim = NAMES[0];
    let there = before.iter().filter(|(name, _)| name == victim).count();
    assert!(there > 30, "only {there} of 200 sessions lie on the one that dies");
    let begun = fleet.ledger.entries("initialize").len();
    fleet.kill_server(0);
    // Both ask for the same session at the same moment; twenty sessions at a time.
    let mut failed = Vec::new();
    for batch in sessions.chunks_mut(20) {
        failed.extend(all_at_once(batch.iter_mut().flatten()).into_iter().filter(|outcome| !outcome.is_done()));
    }
    let moved = fleet.ledger.entries("initialize").split_off(begun);
    let mut once = moved.iter().map(|entry| entry["moored"].as_str().unwrap_or_default()).collect::<Vec<_>>();
    println!("two instances, 200 sessions, {there} on the dead backend: initialised anew {}", once.len());
    assert!(failed.is_empty(), "{} calls failed: {:?}", failed.len(), failed.first());
    once.sort_unstable();
    once.dedup();
    assert_eq!(
        (moved.len(), once.len()),
        (there, there),
        "each session is initialised exactly once on its new backend"
    );
    let after = sessions.iter_mut().map(|[first, second]| (whoami(first), whoami(second))).collect::<Vec<_>>();
    assert!(after.iter().all(|(first, second)| first == second && first != victim), "{after:?}");
}

/// The server where the session lies.
fn whoami(client: &mut Client) -> String {
    let outcome = client.call("look", &json!({}));
    outcome.server().unwrap_or_else(|| panic!("{outcome:?}"))
}

fn all_at_once<'a>(clients: impl Iterator<Item = &'a mut Client>) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let calls: Vec<_> = clients.map(|client| scope.spawn(|| client.call("look", &json!({})))).collect();
        calls.into_iter().map(|call| call.join().expect("a call does not panic")).collect()
    })
}

#[test]
fn all_backends_restart_one_after_the_other_and_nobody_notices() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    let load = Load::start(fleet.nginx.addr, Crowd::FIFTY);
    load.go_on_for(A_WHILE);
    for at in 0..fleet.servers.len() {
        drain(&fleet, &fleet.servers[at], "drain");
        fleet.wait_until_left(at);
        fleet.servers[at].restart();
        fleet.wait_for_sight(at, true);
        drain(&fleet, &fleet.servers[at], "undrain");
    }
    load.go_on_for(A_WHILE);
    let tally = load.stop();
    println!("rolling restart of three backends, drained before: {}", tally.summary());
    assert!(tally.lost().is_empty(), "sessions lost: {}", some(&tally.lost()));
    assert!(tally.failed().is_empty(), "failed: {}", some(&tally.failed()));
    assert!(fleet.ledger.duplicates().is_empty());
}

/// Tells every instance to take nobody new to this server, or to use it again.
fn drain(fleet: &Fleet, server: &Server, verb: &str) {
    for instance in &fleet.instances {
        let backend = instance.backend(server.addr);
        let path = format!("/api/v1/backends/{}/{verb}", backend["id"].as_str().expect("a backend has an id"));
        let answer = instance.post(&path);
        assert!(matches!(answer.status, 200..=204), "POST {path}: {} {}", answer.status, answer.text());
    }
}
