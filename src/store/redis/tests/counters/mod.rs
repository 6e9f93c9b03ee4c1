//! Counters in real servers: the laws that all counters keep, in each arrangement, and what these alone promise.

mod agreement;
mod clusters;
mod outages;
mod sharing;

use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::config::Rate;
use crate::store::counters::{
    self, Block, Budget, BudgetId, Charge, Correction, Counters, Measure, SlotId, Subject, Taken,
};
use crate::store::redis::counters::RedisCounters;

/// A budget of that name; budgets of the same name are the same.
fn budget(name: &str, measure: Measure) -> Budget {
    let id = name.bytes().fold(7_u64, |id, byte| id.wrapping_mul(31).wrapping_add(byte.into()));
    Budget { id: BudgetId(id), name: name.into(), measure, block: None }
}

fn charge(budget: Budget, subject: u128, cost: u64) -> Charge {
    Charge { budget: Arc::new(budget), subject: Subject(subject), cost }
}

fn rate(count: u64, seconds: u64) -> Rate {
    Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(seconds) }
}

/// A slot that nobody else takes.
fn fresh_slot() -> SlotId {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 60);
    SlotId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Three instances on one store.
async fn three(text: &str, prefix: &str) -> [RedisCounters; 3] {
    let start = async || connected(text, options(prefix)).await.counters();
    [start().await, start().await, start().await]
}

/// What remains of a counter, by the store.
async fn remaining(counters: &dyn Counters, charge: &Charge) -> u64 {
    counters.look(std::slice::from_ref(charge)).await.unwrap().standings[0].remaining
}

/// Takes as often as it may, from several tasks on each of several instances: each answer that admitted.
async fn flood(instances: &[Arc<dyn Counters>], charges: &[Charge], (tasks, each): (usize, usize)) -> Vec<Taken> {
    let mut load = tokio::task::JoinSet::new();
    for counters in instances {
        for _ in 0..tasks {
            let (counters, charges) = (Arc::clone(counters), charges.to_vec());
            load.spawn(async move {
                let mut admitted = Vec::new();
                for _ in 0..each {
                    let taken = in_time(counters.take(&charges, fresh_slot())).await.unwrap();
                    admitted.extend(taken.refused.is_none().then_some(taken));
                }
                admitted
            });
        }
    }
    load.join_all().await.into_iter().flatten().collect()
}

async fn counters_suite(text: &str) {
    // A store ends with the last who holds its connections.
    let make = async || {
        let store = connected(text, options(&fresh_prefix())).await;
        Arc::new(store.counters()) as Arc<dyn Counters>
    };
    counters::contract::suite(make, tokio::time::sleep).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_in_one_server_keep_the_contract() {
    let server = Server::start(Program::Redis, &[]);
    counters_suite(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_in_a_cluster_keep_the_contract() {
    let cluster = Cluster::start(Program::Redis);
    counters_suite(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_behind_sentinels_keep_the_contract() {
    let watched = Watched::start(Program::Redis);
    counters_suite(&watched.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_need_no_more_than_the_page_says() {
    let server = Server::start(Program::Redis, &[]);
    let page = include_str!("../../../../../docs/redis.md");
    let user = page.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
    let user = user.replace("PASSWORD", "p").replace("moorline:", "test-*:");
    assert_eq!(server.cli(&user.split(' ').collect::<Vec<_>>()), "OK");
    counters_suite(&format!("redis://moorline:p@127.0.0.1:{}", server.port)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_in_valkey_keep_the_contract() {
    let server = Server::start(Program::Valkey, &[]);
    counters_suite(&server.url()).await;
    let cluster = Cluster::start(Program::Valkey);
    counters_suite(&cluster.url()).await;
}
