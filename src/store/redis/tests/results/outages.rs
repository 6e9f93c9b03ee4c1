//! Servers that stop, hang, or lose what they had: each instance goes on by itself, and nothing that was forgotten is shown
//! afterwards.

use super::*;

const QUICK: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(30);

fn quick() -> RedisOptions<'static> {
    RedisOptions { timeout: QUICK, ..options("p") }
}

async fn kept(shared: &Shared, n: u64, text: &str) {
    let given = lead(in_time(shared.wait(&key(n), LONG)).await);
    shared.keep(key(n), entry(shared, now(), text, &[tag(n)]), Some(given));
}

async fn all_away(instances: &[Arc<Shared>]) {
    until("all have noticed", || instances.iter().all(|shared| shared.is_away())).await;
}

async fn all_back(instances: &[Arc<Shared>]) {
    until("the store is back", || instances.iter().all(|shared| !shared.is_away())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_goes_on_by_itself_while_the_server_is_gone_or_hangs() {
    for hangs in [false, true] {
        let mut server = Server::start(Program::Redis, &["--appendonly", "yes", "--appendfsync", "always"]);
        let instances = three(&server, quick()).await;
        kept(&instances[0], 1, "one").await;
        kept(&instances[0], 2, "two").await;
        for n in [1, 2] {
            assert_eq!(here(instances[1].wait(&key(n), LONG).await).len(), 3);
        }
        match hangs {
            true => server.freeze(true),
            false => server.stop(),
        }
        all_away(&instances).await;
        let (clock, before) = (Clock::system(), Clock::system().now());
        for shared in &instances {
            for n in 10..60 {
                kept(shared, n, "alone").await;
                assert_eq!(here(shared.claim(&key(n)).await), "alone");
            }
        }
        assert!(clock.now() - before < QUICK * 10, "nobody waits for it");
        assert_eq!(here(instances[0].claim(&key(1)).await), "one");
        instances[0].forget(&[tag(1)]);
        let told = in_time(instances[0].forget_everywhere(&[tag(10)])).await;
        assert!(matches!(told, Err(StoreError::Unavailable { .. })), "{told:?}");
        assert!(instances[0].look(&key(1)).is_none() && instances[0].look(&key(10)).is_none());
        assert!(instances[1].look(&key(1)).is_some(), "it cannot know yet");
        match hangs {
            true => server.freeze(false),
            false => server.start_again(),
        }
        all_back(&instances).await;
        until("what was forgotten meanwhile is told", || {
            instances.iter().all(|shared| shared.look(&key(1)).is_none() && shared.look(&key(10)).is_none())
        })
        .await;
        in_step(&server, &instances).await;
        assert_eq!(lead(instances[2].wait(&key(1), LONG).await).stale, None, "though it is still at the store");
        assert_eq!(here(instances[2].wait(&key(2), LONG).await), "two");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_has_lost_what_was_forgotten_forgets_all() {
    let mut server = Server::start(Program::Redis, &[]);
    let instances = three(&server, quick()).await;
    let names = Names::new("p", 0);
    kept(&instances[0], 1, "old").await;
    kept(&instances[0], 2, "other").await;
    let there = || server.cli(&["exists", &names.result(&key(1)), &names.result(&key(2))]) == "2";
    until("they are at the store", there).await;
    // The results stay, as they would where another node of a Cluster has them, and the order to forget is lost.
    instances[1].forget_everywhere(&[tag(1)]).await.unwrap();
    let [orders, tags] = names.forgotten();
    server.cli(&["del", &orders, &tags]);
    let floor = || server.cli(&["hget", &orders, "floor"]).parse::<u64>().unwrap_or_default();
    until("somebody has noticed", || floor() > 0).await;
    in_step(&server, &instances).await;
    let late = instance(&server.url(), quick(), &Clock::system()).await;
    for n in [1, 2] {
        assert_eq!(lead(in_time(late.wait(&key(n), LONG)).await).stale, None);
        assert_eq!(lead(in_time(instances[2].wait(&key(n), LONG)).await).stale, None);
    }
    // And all is well again.
    kept(&instances[0], 3, "new").await;
    assert_eq!(here(late.wait(&key(3), LONG).await), "new");
    server.stop();
    server.start_again();
    all_back(&instances).await;
    let shown = |shared: &Arc<Shared>| shared.look(&key(3)).is_some();
    until("a server without its data makes all forget", || !instances.iter().any(shown)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_orders_than_are_remembered_forget_what_is_older() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, quick()).await;
    kept(&instances[0], 1, "old").await;
    assert_eq!(here(instances[1].wait(&key(1), LONG).await), "old");
    for n in 0..17_000 / 500 {
        let tags: Vec<_> = (0..500).map(|m| tag(1000 + 500 * n + m)).collect();
        instances[0].forget_everywhere(&tags).await.unwrap();
    }
    let [orders, tags] = Names::new("p", 0).forgotten();
    assert_eq!(server.cli(&["zcard", &tags]), "16384");
    assert_ne!(server.cli(&["hget", &orders, "floor"]), "0");
    until("it is older than what is remembered", || instances.iter().all(|shared| shared.look(&key(1)).is_none()))
        .await;
    // One that comes later knows the same.
    let late = instance(&server.url(), quick(), &Clock::system()).await;
    assert_eq!(lead(late.wait(&key(1), LONG).await).stale, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn results_may_start_before_their_server() {
    let port = servers::free_port();
    let store = Redis::start(&url(&format!("redis://127.0.0.1:{port}")), quick()).unwrap();
    let clock = Clock::system();
    let shared = Shared::start(Arc::new(store.results(COMPRESS)), Near::new(MIB, clock.clone()), QUICK, clock.clone());
    drop(store);
    kept(&shared, 1, "alone").await;
    shared.forget(&[tag(5)]);
    kept(&shared, 2, "alone").await;
    assert_eq!(here(shared.claim(&key(2)).await), "alone");
    let server = Server::start_on(port, Program::Redis, &[]);
    until("the server is there", || !shared.is_away()).await;
    until("it was told", || server.cli(&["zcard", &Names::new("p", 0).forgotten()[1]]) == "1").await;
    let other = instance(&server.url(), quick(), &clock).await;
    kept(&shared, 3, "shared").await;
    assert_eq!(here(other.wait(&key(3), LONG).await), "shared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_has_forgotten_the_scripts_or_refuses_to_write_is_borne() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, quick()).await;
    for n in 0..5 {
        server.cli(&["script", "flush"]);
        kept(&instances[0], n, "result").await;
        server.cli(&["script", "flush"]);
        assert_eq!(here(instances[1].wait(&key(n), LONG).await), "result");
    }
    server.cli(&["config", "set", "maxmemory", "1"]);
    kept(&instances[0], 10, "alone").await;
    assert_eq!(here(in_time(instances[0].claim(&key(10))).await), "alone");
    server.cli(&["config", "set", "maxmemory", "0"]);
    all_back(&instances).await;
    kept(&instances[0], 11, "shared").await;
    assert_eq!(here(in_time(instances[1].wait(&key(11), LONG)).await), "shared");
}
