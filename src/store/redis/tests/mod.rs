//! The shared store against real servers: the laws that every store keeps, over each arrangement, and what this one alone
//! promises when servers stop, hang, fail over and hand their slots on.

mod counters;
mod failover;
mod outages;
mod results;
mod roster;
mod servers;
mod sharing;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::ProptestConfig;
use proptest::test_runner::TestRunner;

use self::servers::{Certificates, Cluster, DEADLINE, Program, Server, Watched};
use super::*;
use crate::config::{Config, StoreUrl};
use crate::store::contract;
use crate::store::model::{self, Model};

/// Far longer than the default: these machines are busy, and laws are not about time.
const TIMEOUT: Duration = Duration::from_secs(5);
const LIFETIME: Duration = Duration::from_secs(86_400);

fn url(text: &str) -> RedisUrl {
    let text = format!("[store]\nurl = '{text}'\n[[pool]]\nbackends = ['http://127.0.0.1:1/']\n");
    match Config::parse("test", &text).unwrap().store.url {
        StoreUrl::Redis(url) => url,
        other => panic!("{other:?}"),
    }
}

fn options(prefix: &str) -> RedisOptions<'_> {
    RedisOptions { prefix, ca_file: None, timeout: TIMEOUT, lifetime: LIFETIME }
}

fn fresh_prefix() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn connected(text: &str, options: RedisOptions<'_>) -> Redis {
    let store = Redis::start(&url(text), options).unwrap();
    assert!(store.arrived(DEADLINE).await, "{text}");
    store
}

async fn suite(text: &str) {
    contract::suite(|| async { Arc::new(connected(text, options(&fresh_prefix())).await) as Arc<dyn Sessions> }).await;
}

/// Calls until the store answers as it should; every call must answer within a time in any case.
async fn until_ok<T, F>(what: &str, call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let answered = async {
        loop {
            match in_time(call()).await {
                Ok(value) => return value,
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{what}: {error:?}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, answered).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waited).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// A call that does not hang, whatever the servers do: the timeout, and what a busy machine may add to it.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT + Duration::from_secs(5), call).await.expect("a call must not hang")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_server_keeps_the_contract() {
    let server = Server::start(Program::Redis, &[]);
    suite(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_keeps_the_contract() {
    let cluster = Cluster::start(Program::Redis);
    suite(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn valkey_keeps_the_contract_alone_and_as_a_cluster() {
    let server = Server::start(Program::Valkey, &[]);
    suite(&server.url()).await;
    let cluster = Cluster::start(Program::Valkey);
    suite(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_behind_sentinels_keeps_the_contract() {
    let watched = Watched::start(Program::Redis);
    suite(&watched.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_behind_a_unix_socket_keeps_the_contract() {
    let server = Server::start(Program::Redis, &[]);
    suite(&format!("redis+unix://{}?db=3", server.socket().display())).await;
    assert_eq!(server.cli(&["dbsize"]), "0", "all of it is in the other database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_with_tls_and_a_password_keeps_the_contract() {
    let certificates = Certificates::make();
    let (server, port) = Server::start_tls(&certificates, "server.pem", &[]);
    let documented =
        include_str!("../../../../docs/redis.md").lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
    let user = documented.replace("PASSWORD", "p@ss").replace("moorline:", "test-*:");
    assert_eq!(server.cli(&user.split(' ').collect::<Vec<_>>()), "OK", "what the page says is enough");
    server.cli(&["config", "set", "requirepass", "other"]);
    let (ca_file, at) = (certificates.path("ca.pem"), format!("moorline:p%40ss@localhost:{port}"));
    contract::suite(|| async {
        let prefix = fresh_prefix();
        let options = RedisOptions { ca_file: Some(&ca_file), ..options(&prefix) };
        Arc::new(connected(&format!("rediss://{at}"), options).await) as Arc<dyn Sessions>
    })
    .await;
}

#[test]
fn one_server_agrees_with_the_model() {
    let server = Server::start(Program::Redis, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(128));
    let agreed = runner.run(&model::acts(60), |acts| {
        runtime.block_on(async {
            let store = connected(&server.url(), options(&fresh_prefix())).await;
            model::agree(&store, &mut Model::default(), acts).await;
        });
        Ok(())
    });
    agreed.unwrap();
}
