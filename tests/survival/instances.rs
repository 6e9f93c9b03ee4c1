//! A gateway dies or is restarted: its clients go on at another one, with the same session id.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Client, Crowd, Fleet, Load, Outcome, Redis, Stream, some};
use crate::support_sdk::{self, each_client, eventually, now};

/// Calls before and after whatever happens.
const A_WHILE: usize = 400;

/// How soon all instances know of an end, where nothing is wrong: far less than what they would find out by themselves.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn fifty_clients_lose_no_session_when_an_instance_dies() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    let load = Load::start(fleet.nginx.addr, Crowd::FIFTY);
    load.go_on_for(A_WHILE);
    let killed = fleet.instances[0].kill();
    load.go_on_for(2 * A_WHILE);
    fleet.instances[0].start_again();
    load.go_on_for(A_WHILE);
    let tally = load.stop();
    println!("kill -9 of one instance of two behind nginx: {}", tally.summary());
    println!("  {} calls in flight at both together", tally.under_way(killed));
    let duplicates = fleet.ledger.duplicates();
    assert!(tally.lost().is_empty(), "sessions lost: {}", some(&tally.lost()));
    let wrong = tally.failed_but(|call| killed.is_within(call));
    assert!(wrong.is_empty(), "failed though not in flight then: {}", some(&wrong));
    assert!(duplicates.is_empty(), "ran more than once: {duplicates:?}");
}

#[test]
fn all_instances_restart_one_after_the_other_and_nobody_notices() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    let load = Load::start(fleet.nginx.addr, Crowd::FIFTY);
    load.go_on_for(A_WHILE);
    for instance in &mut fleet.instances {
        instance.terminate();
        load.go_on_for(A_WHILE / 2);
        instance.start_again();
        load.go_on_for(A_WHILE / 2);
    }
    let tally = load.stop();
    println!("rolling restart of two instances: {}", tally.summary());
    assert!(tally.lost().is_empty(), "sessions lost: {}", some(&tally.lost()));
    assert!(tally.failed().is_empty(), "failed: {}\nnginx: {}", some(&tally.failed()), fleet.nginx.errors());
    assert!(fleet.ledger.duplicates().is_empty());
}

#[test]
fn a_session_is_served_by_an_instance_that_never_saw_it() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 3);
    let [first, second, third] = [0, 1, 2].map(|at| fleet.instances[at].addr);
    let mut posting = Client::open(first);
    let listening = Client::open(first);
    let mut ending = Client::open(first);
    let berth = posting.call("look", &json!({})).server();
    fleet.instances[0].kill();
    let mut posting = posting.at(second);
    assert_eq!(posting.call("look", &json!({})).server(), berth, "it lies where it lay");
    let listening = listening.at(second);
    let stream = Stream::open(&listening, None);
    assert_eq!(stream.status(), Some(200));
    assert!(stream.is_open());
    ending.addr = second;
    assert_eq!(ending.end().expect("DELETE is answered"), 200);
    assert!(matches!(ending.at(third).call("look", &json!({})), Outcome::Gone(_)));
    assert!(posting.at(third).call("look", &json!({})).is_done());
}

#[test]
fn an_end_on_one_instance_is_an_end_on_all() {
    let redis = Redis::start();
    let fleet = Fleet::start(&redis.url(), 3);
    let addrs: Vec<_> = fleet.instances.iter().map(|instance| instance.addr).collect();
    let mut slowest = Duration::ZERO;
    for round in 0..9 {
        let mut client = Client::open(addrs[round % 3]);
        let mut others: Vec<Client> = addrs.iter().map(|addr| client.at(*addr)).collect();
        assert!(others.iter_mut().all(|other| other.call("look", &json!({})).is_done()), "every instance knows it");
        let stream = Stream::open(&others[(round + 1) % 3], None);
        assert_eq!(client.end().expect("DELETE is answered"), 200);
        let ended = now();
        for other in &mut others {
            slowest = slowest.max(gone_after(other, ended));
        }
        stream.wait_for_end();
        slowest = slowest.max(ended.elapsed());
    }
    println!("an end on one of three instances was an end on all after {slowest:?} at most");
    assert!(slowest < AT_ONCE, "{slowest:?}");
    assert_eq!(fleet.lie(&[0, 1, 2]).len(), 0, "the servers' sessions are ended too");
}

#[test]
fn a_new_sealing_key_counts_on_all_instances_and_old_ids_stay_good() {
    let redis = Redis::start();
    let fleet = Fleet::start(&redis.url(), 2);
    let addrs = [fleet.instances[0].addr, fleet.instances[1].addr];
    let mut clients: Vec<Client> = addrs.iter().map(|addr| Client::open(*addr)).collect();
    for round in 0..4 {
        let rotated = fleet.instances[round % 2].post("/api/v1/keys/rotate");
        assert_eq!(rotated.status, 204, "{}", rotated.text());
        // The id of a session that begins now is used at the other instance at once.
        clients.push(Client::open(addrs[round % 2]).at(addrs[(round + 1) % 2]));
        for client in &clients {
            for addr in addrs {
                let outcome = client.at(addr).call("look", &json!({}));
                assert!(outcome.is_done(), "after {} rotations, an id at {addr}: {outcome:?}", round + 1);
            }
        }
    }
    assert_eq!(redis.keys_in_ring(), 5);
}

#[test]
fn rounds_of_the_modern_era_may_be_answered_through_another_instance() {
    let redis = Redis::start();
    let fleet = Fleet::start(&redis.url(), 2);
    let mut clients = support_sdk::Client::some(&fleet.nginx.url(), |kind| !kind.legacy);
    assert_eq!(clients.len(), 2);
    // Each takes two requests, and nginx sends the second one to the next instance.
    each_client(&mut clients, |client| {
        for round in 1..=20 {
            let answer = client.call("elicit").map_err(|error| format!("round {round} of 20: {error}"))?;
            if !answer.contains("Moor") {
                return Err(format!("{}: round {round} of 20: {answer}", client.kind.name));
            }
        }
        Ok(())
    });
}

/// How long after `ended` the session is unknown at this client's instance.
fn gone_after(client: &mut Client, ended: Instant) -> Duration {
    eventually("404", || matches!(client.call("look", &json!({})), Outcome::Gone(_)).then_some(ended.elapsed()))
}
