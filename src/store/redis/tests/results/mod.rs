//! Results in real servers: the laws that all stores of results keep, in each arrangement, and what these alone promise.

mod outages;
mod sharing;

use super::*;
use crate::clock::Clock;
use crate::store::results::contract::{self, entry, here, key, lead, tag};
use crate::store::results::near::Near;
use crate::store::results::shared::{Order, Shared};
use crate::store::results::{Claim, Results};

const MIB: u64 = 1 << 20;
/// Results of so many bytes are compressed.
const COMPRESS: usize = 1024;

/// An instance that has reached the store.
async fn instance(text: &str, options: RedisOptions<'_>, clock: &Clock) -> Arc<Shared> {
    let store = connected(text, options).await;
    let near = Near::new(16 * MIB, clock.clone());
    let shared = Arc::new(Shared::start(Arc::new(store.results(COMPRESS)), near, options.timeout, clock.clone()));
    until("the store is believed", || !shared.is_away()).await;
    shared
}

/// Three instances on one store, all of which hear the news.
async fn three(server: &Server, options: RedisOptions<'_>) -> [Arc<Shared>; 3] {
    let clock = Clock::system();
    let start = async || instance(&server.url(), options, &clock).await;
    let three = [start().await, start().await, start().await];
    all_listen(server, options.prefix).await;
    three
}

async fn all_listen(server: &Server, prefix: &str) {
    let channel = Names::new(prefix, 0).results_channel();
    until("all listen", || server.cli(&["pubsub", "numsub", &channel]).ends_with('3')).await;
}

/// Waits until all know all orders that the store has numbered so far.
async fn in_step(server: &Server, instances: &[Arc<Shared>]) {
    let [orders, _] = Names::new("p", 0).forgotten();
    let last = server.cli(&["hget", &orders, "last"]).parse::<u64>().unwrap();
    let knows = |shared: &Arc<Shared>| Order::of(shared.stamp()).number() >= last;
    until("all know all orders", || instances.iter().all(knows)).await;
}

fn now() -> u64 {
    Clock::system().unix_millis()
}

async fn results_suite(text: &str) {
    contract::suite(async |clock| instance(text, options(&fresh_prefix()), &clock).await as Arc<dyn Results>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn results_in_one_server_keep_the_contract() {
    let server = Server::start(Program::Redis, &[]);
    results_suite(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn results_in_a_cluster_keep_the_contract() {
    let cluster = Cluster::start(Program::Redis);
    results_suite(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn results_behind_sentinels_keep_the_contract() {
    let watched = Watched::start(Program::Redis);
    results_suite(&watched.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn results_in_valkey_keep_the_contract() {
    let server = Server::start(Program::Valkey, &[]);
    results_suite(&server.url()).await;
    let cluster = Cluster::start(Program::Valkey);
    results_suite(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn results_need_no_more_than_the_page_says() {
    let server = Server::start(Program::Redis, &[]);
    let page = include_str!("../../../../../docs/redis.md");
    let user = page.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
    let user = user.replace("PASSWORD", "p").replace("moorline:", "test-*:");
    assert_eq!(server.cli(&user.split(' ').collect::<Vec<_>>()), "OK");
    results_suite(&format!("redis://moorline:p@127.0.0.1:{}", server.port)).await;
}
