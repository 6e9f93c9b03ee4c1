//! Servers that are not there, stop, hang, forget their scripts or refuse: no call hangs, and nothing needs a restart.

use super::*;
use crate::clock::Clock;
use crate::store::contract::{fresh, seen};

const QUICK: Duration = Duration::from_millis(200);
const ID: SessionId = SessionId(77);

fn quick(prefix: &str) -> RedisOptions<'_> {
    RedisOptions { timeout: QUICK, ..options(prefix) }
}

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable { .. }))
}

#[tokio::test]
async fn a_store_may_start_before_its_server() {
    let port = servers::free_port();
    let store = Redis::start(&url(&format!("redis://127.0.0.1:{port}")), quick("p")).unwrap();
    assert!(store.is_away());
    assert!(is_unavailable(&in_time(store.load(ID)).await));
    assert!(is_unavailable(&in_time(store.touch(&[seen(ID, 1)])).await));
    assert!(is_unavailable(&in_time(store.count()).await));
    let _server = Server::start_on(port, Program::Redis, &[]);
    assert!(store.arrived(DEADLINE).await);
    assert_eq!(store.create(ID, fresh(5)).await.unwrap(), Created::Done);
    assert!(!store.is_away());
}

#[tokio::test]
async fn when_the_server_stops_calls_fail_at_once_and_when_it_is_back_they_work() {
    let mut server = Server::start(Program::Redis, &[]);
    let store = connected(&server.url(), quick("p")).await;
    assert_eq!(store.create(ID, fresh(5)).await.unwrap(), Created::Done);
    for _ in 0..2 {
        server.stop();
        assert!(is_unavailable(&in_time(store.load(ID)).await), "nobody is there");
        until("the store is away", || store.is_away()).await;
        let (clock, calls) = (Clock::system(), 100);
        let before = clock.now();
        for _ in 0..calls {
            assert!(is_unavailable(&store.load(ID).await));
        }
        assert!(clock.now() - before < QUICK * calls / 10, "not one waits while nobody is connected");
        server.start_again();
        let found = until_ok("the store is back", || store.load(ID)).await;
        assert_eq!(found, Lookup::Unknown, "this server keeps nothing over a stop");
        assert!(matches!(store.adopt(ID, fresh(5)).await.unwrap(), Lookup::Live(_)));
        assert!(!store.is_away());
    }
}

#[tokio::test]
async fn when_the_server_hangs_no_call_does() {
    let server = Server::start(Program::Redis, &[]);
    let store = Arc::new(connected(&server.url(), quick("p")).await);
    assert_eq!(store.create(ID, fresh(5)).await.unwrap(), Created::Done);
    server.freeze(true);
    let clock = Clock::system();
    let calls = (0..64).map(|n| {
        let (store, clock) = (Arc::clone(&store), clock.clone());
        async move {
            let before = clock.now();
            let failed = match n % 4 {
                0 => is_unavailable(&store.load(ID).await),
                1 => is_unavailable(&store.end(ID, 9).await),
                2 => is_unavailable(&store.touch(&[seen(ID, 9)]).await),
                _ => is_unavailable(&store.count().await),
            };
            (failed, clock.now() - before)
        }
    });
    for (failed, took) in futures_util::future::join_all(calls).await {
        assert!(failed);
        assert!(took < QUICK * 5, "{took:?}");
    }
    until("the store is away", || store.is_away()).await;
    server.freeze(false);
    let counted = until_ok("the server goes on", || store.count()).await;
    assert!(counted <= 1, "what was sent while it hung may have been done, or not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_a_server_has_forgotten_are_sent_again() {
    let server = Server::start(Program::Redis, &[]);
    let store = Arc::new(connected(&server.url(), options("p")).await);
    let mut load = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let store = Arc::clone(&store);
        load.spawn(async move {
            for n in 0..200 {
                let id = SessionId(worker * 1000 + n);
                assert_eq!(store.create(id, fresh(5)).await.unwrap(), Created::Done);
                assert_eq!(store.moor(id, Epoch(0), contract::berth(1)).await.unwrap(), Moved::Done);
                let told = store.touch(&[seen(id, 9), Seen { epoch: Epoch(1), ..seen(id, 9) }]).await.unwrap();
                assert_eq!(told.len(), 1);
                assert!(store.end(id, 100).await.unwrap().is_some());
            }
        });
    }
    while !load.is_empty() {
        assert_eq!(server.cli(&["script", "flush"]), "OK");
        if let Some(done) = load.try_join_next() {
            done.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_to_write_still_reads() {
    let server = Server::start(Program::Redis, &[]);
    let store = connected(&server.url(), options("p")).await;
    assert_eq!(store.create(ID, fresh(5)).await.unwrap(), Created::Done);
    server.cli(&["config", "set", "maxmemory", "1"]);
    let refused = store.create(SessionId(2), fresh(5)).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(matches!(store.load(ID).await.unwrap(), Lookup::Live(_)));
    server.cli(&["config", "set", "maxmemory", "0"]);
    assert_eq!(store.create(SessionId(2), fresh(5)).await.unwrap(), Created::Done);
    assert!(!store.is_away());
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_used_again_when_it_is_none() {
    let server = Server::start(Program::Redis, &[]);
    let store = connected(&server.url(), quick("p")).await;
    server.cli(&["replicaof", "127.0.0.1", "1"]);
    for _ in 0..20 {
        assert!(is_unavailable(&in_time(store.create(ID, fresh(5))).await));
    }
    server.cli(&["replicaof", "no", "one"]);
    let made = until_ok("the server may be written to", || store.create(ID, fresh(5))).await;
    assert_eq!(made, Created::Done);
    let connections = server.cli(&["info", "stats"]);
    let connections = connections.lines().find_map(|line| line.trim().strip_prefix("total_connections_received:"));
    assert!(
        connections.unwrap().parse::<usize>().unwrap() < 60,
        "it is not connected to over and over: {connections:?}"
    );
}

#[tokio::test]
async fn a_key_of_somebody_else_is_no_session() {
    let server = Server::start(Program::Redis, &[]);
    let store = connected(&server.url(), options("p")).await;
    let key = store.names.session(ID);
    server.cli(&["set", &key, "x"]);
    let answer = store.load(ID).await;
    assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}");
    let answer = store.moor(ID, Epoch(0), contract::berth(1)).await;
    assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}");
    server.cli(&["del", &key]);
    server.cli(&["hset", &key, "epoch", "5"]);
    let answer = store.load(ID).await;
    assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}");
}

#[tokio::test]
async fn only_a_server_with_the_right_name_from_the_right_authority_is_believed() {
    let certificates = Certificates::make();
    let (_server, port) = Server::start_tls(&certificates, "server.pem", &[]);
    let (_elsewhere, elsewhere) = Server::start_tls(&certificates, "elsewhere.pem", &[]);
    let start = |ca: &str, host: &str, port: u16| {
        let ca = certificates.path(ca);
        let options = RedisOptions { ca_file: Some(&ca), ..quick("p") };
        Redis::start(&url(&format!("rediss://{host}:{port}")), options).unwrap()
    };
    assert!(start("ca.pem", "127.0.0.1", port).arrived(DEADLINE).await, "by its address");
    assert!(start("ca.pem", "localhost", port).arrived(DEADLINE).await, "by its name");
    let doubtful = [start("other.pem", "localhost", port), start("ca.pem", "localhost", elsewhere)];
    for store in doubtful {
        assert!(!store.arrived(Duration::from_secs(2)).await);
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_refused_at_start() {
    let certificates = Certificates::make();
    for (file, wrong) in [("none.pem", "No such file"), ("server.key", "no certificate")] {
        let path = certificates.path(file);
        let options = RedisOptions { ca_file: Some(&path), ..quick("p") };
        let refused = Redis::start(&url("rediss://localhost"), options).expect_err("must be refused");
        let SetupError::CaFile { source, .. } = refused else { panic!("{refused:?}") };
        assert!(source.to_string().contains(wrong), "{source}");
    }
}

#[tokio::test]
async fn credentials_are_never_shown() {
    let server = Server::start(Program::Redis, &["--requirepass", "hunter2"]);
    let store = connected(&format!("redis://:hunter2@127.0.0.1:{}", server.port), options("p")).await;
    assert!(!format!("{store:?}").contains("hunter2"));
    let wrong = Redis::start(&url(&format!("redis://:swordfish@127.0.0.1:{}", server.port)), quick("p")).unwrap();
    let error = in_time(wrong.load(ID)).await.unwrap_err();
    assert!(!format!("{wrong:?} {error:?}").contains("swordfish"));
    assert!(!wrong.arrived(Duration::from_millis(300)).await);
}
