//! One of three instances is cut off from Redis while everything happens: afterwards all agree again.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::{Cable, Client, Crowd, Fleet, Load, NAMES, Outcome, Plan, Redis, last_for, some, until_none};
use crate::support_sdk::eventually;

const A_WHILE: usize = 400;

/// A machine that is busy with all this makes a Redis that is there slower than the 50 ms that it has by default; what that does
/// is not the subject here.
const KEYS: &str = "store.timeout = \"300ms\"";

#[test]
fn an_instance_cut_off_from_redis_does_no_harm() {
    run(Cable::go_dead, Duration::from_secs(10));
}

#[test]
fn an_instance_whose_connections_to_redis_break_does_no_harm() {
    run(Cable::break_off, Duration::from_secs(3));
}

/// The cut lasts longer than anything that goes on meanwhile: the circuit breaker opens after a few requests, sessions move within a
/// second, and all retries have their longest pause by then. Half a minute showed nothing else.
fn run(cut: impl Fn(&Cable), lasts: Duration) {
    let redis = Redis::start();
    let cable = Cable::to(redis.addr);
    let through = format!("redis://{}/0", cable.addr);
    let mut fleet =
        Fleet::of(&Plan { stores: vec![redis.url(), redis.url(), through], keys: KEYS, probe: "tcp", arguments: &[] });
    let addrs: Vec<_> = fleet.instances.iter().map(|instance| instance.addr).collect();
    let load = Load::start(fleet.nginx.addr, Crowd::PLAIN);
    // These are ended while the third one is cut off, after all three have come to know them.
    let mut ending: Vec<Client> = (0..10).map(|_| Client::open(fleet.nginx.addr)).collect();
    let mut known = ending.iter().flat_map(|client| addrs.iter().map(|addr| client.at(*addr)));
    assert!(known.all(|mut client| client.call("look", &json!({})).is_done()));
    // And these rest meanwhile, wherever they lie.
    let resting: Vec<Client> = (0..30).map(|number| Client::open(addrs[number % 3])).collect();
    load.go_on_for(A_WHILE);
    cut(&cable);
    fleet.instances[2].wait_for_health("degraded");
    let killed = fleet.kill_server(0);
    for client in &mut ending {
        client.addr = addrs[0];
        assert!(matches!(client.end(), Ok(200..=204)), "DELETE at an instance that is not cut off");
        // The third one cannot know, and may even bring it back to life for as long as it is alone.
        client.at(addrs[2]).call("look", &json!({}));
    }
    load.go_on_for(A_WHILE);
    let meanwhile: Vec<Client> = addrs.iter().map(|addr| Client::open(*addr)).collect();
    last_for(lasts);
    cable.mend();
    fleet.instances[2].wait_for_health("ready");
    load.go_on_for(A_WHILE);
    let tally = load.stop();
    println!("one of three instances cut off from Redis while a backend dies: {}", tally.summary());
    assert!(tally.lost().is_empty(), "sessions lost: {}", some(&tally.lost()));
    let wrong = tally.failed_but(|call| call.outcome == Outcome::Unknown && killed.is_within(call));
    assert!(wrong.is_empty(), "failed: {}", some(&wrong));
    assert!(fleet.ledger.duplicates().is_empty(), "{:?}", fleet.ledger.duplicates());
    for client in &ending {
        assert_ended(client, &addrs);
    }
    for client in resting.iter().chain(&meanwhile) {
        assert_one_berth(client, &addrs);
    }
    // And so the servers and Redis see it.
    let expected = 50 + resting.len() + meanwhile.len();
    let astray = || -> Vec<(String, String)> {
        let records = redis.records();
        let is_known =
            |(name, session): &(String, String)| records.get(name).is_some_and(|(_, known)| known == session);
        fleet.alive(&[1, 2]).into_iter().filter(|one| !is_known(one)).collect()
    };
    until_none("sessions that live on a server though Redis knows them elsewhere, or as ended", astray);
    assert_eq!((redis.records().len(), fleet.alive(&[1, 2]).len()), (expected, expected));
    assert_eq!(redis.keys_in_ring(), 1);
}

/// The session is at an end everywhere, and stays so. An instance that lost the news has to find out by itself.
fn assert_ended(client: &Client, addrs: &[std::net::SocketAddr]) {
    for addr in addrs {
        let mut client = client.at(*addr);
        eventually("an ended session is at an end", || {
            matches!(client.call("look", &json!({})), Outcome::Gone(_)).then_some(())
        });
    }
}

/// All instances send the session's calls to the same session of the same server.
fn assert_one_berth(client: &Client, addrs: &[std::net::SocketAddr]) {
    let berths = || {
        let berth = |addr: &std::net::SocketAddr| match client.at(*addr).call("whoami", &json!({})) {
            Outcome::Done(text) => Some(berth_in(&text)),
            _ => None,
        };
        addrs.iter().map(berth).collect::<Option<BTreeSet<_>>>()
    };
    let (server, _) = eventually("one berth", || berths().filter(|berths| berths.len() == 1)?.pop_first());
    assert_ne!(server, NAMES[0], "it is dead");
}

fn berth_in(text: &str) -> (String, String) {
    let answer: Value = serde_json::from_str(text).expect("whoami answers in JSON");
    (answer["name"].to_string(), answer["session"].to_string())
}
