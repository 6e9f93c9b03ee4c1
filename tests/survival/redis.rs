//! Redis goes away and comes back: sessions go on, and what the instances know is written again.

use std::time::Duration;

use serde_json::json;

use crate::fleet::{Client, Cluster, Crowd, Fleet, Load, Moment, Redis, Sentinels, Tally, Watch, last_for, some};
use crate::support_sdk::eventually;

/// Calls before and after whatever happens.
const A_WHILE: usize = 400;

/// What a call may take where Redis does not answer, in milliseconds: a few store timeouts beside the work, on a busy machine.
const PROMPT: u128 = 3_000;

/// Nothing failed but what was in flight at instances that the test killed, and every session lives.
fn assert_unharmed(what: &str, tally: &Tally, killed: &[Moment]) {
    let wrong = tally.failed_but(|call| killed.iter().any(|moment| moment.is_within(call)));
    println!("{what}: {}", tally.summary());
    println!("  {} calls failed that were not in flight when an instance was killed", wrong.len());
    assert!(tally.lost().is_empty(), "sessions lost: {}", some(&tally.lost()));
    assert!(wrong.is_empty(), "failed: {}", some(&wrong));
}

/// Begins so many sessions, each of which must be usable.
fn newcomers(fleet: &Fleet, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| Client::open(fleet.nginx.addr)).collect();
    assert!(clients.iter_mut().all(|client| client.call("look", &json!({})).is_done()));
    clients
}

fn all_live(clients: &mut [Client]) {
    for client in clients {
        let outcome = client.call("look", &json!({}));
        assert!(outcome.is_done(), "a session that was begun while Redis was away: {outcome:?}");
    }
}

#[test]
fn ten_seconds_without_redis_and_then_an_empty_one_cost_no_session() {
    let mut redis = Redis::start();
    let mut fleet = Fleet::start_impatient(&redis.url(), 2);
    let load = Load::start(fleet.nginx.addr, Crowd::PLAIN);
    load.go_on_for(A_WHILE);
    let before = redis.records().len();
    // First it says nothing, then it refuses connections.
    redis.freeze();
    last_for(Duration::from_secs(5));
    redis.kill();
    fleet.instances.iter().for_each(|instance| instance.wait_for_health("degraded"));
    let mut late = newcomers(&fleet, 5);
    last_for(Duration::from_secs(5));
    redis.start_again_empty();
    fleet.instances.iter().for_each(|instance| instance.wait_for_health("ready"));
    eventually("all records in the empty Redis", || (redis.records().len() >= before + 5).then_some(()));
    all_live(&mut late);
    // What an instance knows by itself counts for nothing now.
    let killed = fleet.restart_instances(|| load.go_on_for(A_WHILE / 2));
    all_live(&mut late);
    let tally = load.stop();
    assert_unharmed("ten seconds without Redis, then an empty one, then new instances", &tally, &killed);
    assert!(tally.longest() < PROMPT, "an answer took {} ms", tally.longest());
    assert!(fleet.ledger.duplicates().is_empty());
}

#[test]
fn a_known_session_asks_redis_nothing() {
    let redis = Redis::start();
    let fleet = Fleet::start(&redis.url(), 1);
    let mut client = Client::open(fleet.instances[0].addr);
    client.call("look", &json!({})).text();
    let watch = Watch::over(redis.addr);
    for _ in 0..1_000 {
        client.call("look", &json!({})).text();
    }
    let asked = watch.commands();
    println!("1000 calls in one session: Redis was asked {asked:?}");
    // Batches of touches and other upkeep, every few seconds.
    assert!(asked.values().sum::<u64>() < 50, "{asked:?}");
}

#[test]
fn a_sentinel_failover_costs_no_session() {
    let mut sentinels = Sentinels::start();
    let mut fleet = Fleet::start_impatient(&sentinels.url(), 2);
    let load = Load::start(fleet.nginx.addr, Crowd::PLAIN);
    load.go_on_for(A_WHILE);
    sentinels.primary.kill();
    let mut late = newcomers(&fleet, 5);
    sentinels.wait_for_failover();
    fleet.instances.iter().for_each(|instance| instance.wait_for_health("ready"));
    eventually("all records at the new primary", || (sentinels.replica.records().len() >= 55).then_some(()));
    late.extend(newcomers(&fleet, 5));
    let killed = fleet.restart_instances(|| load.go_on_for(A_WHILE / 2));
    all_live(&mut late);
    let tally = load.stop();
    assert_unharmed("Sentinel failover, then new instances", &tally, &killed);
    assert!(tally.longest() < PROMPT, "an answer took {} ms", tally.longest());
}

#[test]
fn slots_that_move_and_a_primary_that_dies_in_a_cluster_cost_no_session() {
    let mut cluster = Cluster::start();
    let mut fleet = Fleet::start_impatient(&cluster.url(), 2);
    let load = Load::start(fleet.nginx.addr, Crowd::PLAIN);
    load.go_on_for(A_WHILE);
    let moved = cluster.migrate_slots();
    assert!(moved > 5, "only {moved} slots held keys");
    let mut late = newcomers(&fleet, 10);
    let killed = fleet.restart_instances(|| load.go_on_for(A_WHILE / 2));
    println!("{moved} slots moved");
    cluster.nodes[1].kill();
    late.extend(newcomers(&fleet, 5));
    cluster.wait_for_failover(1);
    fleet.instances.iter().for_each(|instance| instance.wait_for_health("ready"));
    late.extend(newcomers(&fleet, 10));
    load.go_on_for(A_WHILE);
    all_live(&mut late);
    let tally = load.stop();
    assert_unharmed("Cluster: slots moved, new instances, failover", &tally, &killed);
    assert!(tally.longest() < PROMPT, "an answer took {} ms", tally.longest());
}

#[test]
fn an_instance_that_starts_without_redis_serves_and_agrees_later() {
    let mut redis = Redis::start();
    redis.kill();
    let fleet = Fleet::start_impatient(&redis.url(), 2);
    fleet.instances.iter().for_each(|instance| instance.wait_for_health("degraded"));
    // Each has a key of its own; their sessions are their own for now.
    let addrs = [fleet.instances[0].addr, fleet.instances[1].addr];
    let mut early: Vec<Client> = addrs.iter().map(|addr| Client::open(*addr)).collect();
    all_live(&mut early);
    redis.start_again_empty();
    fleet.instances.iter().for_each(|instance| instance.wait_for_health("ready"));
    let late = addrs.map(Client::open);
    for (client, addr) in early.iter().chain(&late).flat_map(|client| addrs.map(|addr| (client, addr))) {
        eventually("each instance's ids are good at each", || {
            client.at(addr).call("look", &json!({})).is_done().then_some(())
        });
    }
}

#[test]
fn an_instance_may_refuse_new_sessions_while_redis_is_away() {
    let mut redis = Redis::start();
    let fleet = Fleet::of(&crate::fleet::Plan {
        stores: vec![redis.url()],
        keys: "store.when_away = \"refuse\"",
        probe: "tcp",
        arguments: &[],
    });
    let mut client = Client::open(fleet.instances[0].addr);
    redis.kill();
    fleet.instances[0].wait_for_health("degraded");
    let mut refused = Client::new(client.addr, None, &[]);
    let answer = refused.exchange(&refused.initialize()).expect("a refusal is an answer");
    let reason = answer.json()["error"]["data"]["reason"].clone();
    assert_eq!((answer.status, reason), (503, json!("store_away")), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert!(client.call("look", &json!({})).is_done(), "a session that was there goes on");
    redis.start_again();
    fleet.instances[0].wait_for_health("ready");
    assert!(Client::open(client.addr).call("look", &json!({})).is_done());
}
