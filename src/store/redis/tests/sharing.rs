//! Several instances on one store: what one did the others see, and hear of. And what it costs the server.

use super::*;
use crate::store::contract::{berth, fresh, key, seen};

const ID: SessionId = SessionId(0x5e);

async fn two(server: &Server) -> (Redis, Redis) {
    let prefix = fresh_prefix();
    let two = (connected(&server.url(), options(&prefix)).await, connected(&server.url(), options(&prefix)).await);
    // Listeners connect after the supervisor.
    let channel = two.0.names.channel().to_owned();
    until("both listen", || server.cli(&["pubsub", "numsub", &channel]).ends_with('2')).await;
    two
}

async fn heard(store: &Redis) -> Notice {
    tokio::time::timeout(DEADLINE, store.hear()).await.expect("a notice")
}

#[tokio::test]
async fn what_one_instance_does_another_sees_and_hears() {
    let server = Server::start(Program::Redis, &[]);
    let (one, other) = two(&server).await;
    let ring = one.keys(key(1, 10)).await.unwrap();
    assert_eq!(other.keys(key(2, 20)).await.unwrap(), ring);
    assert_eq!(one.create(ID, fresh(1000)).await.unwrap(), Created::Done);
    assert_eq!(other.create(ID, fresh(1000)).await.unwrap(), Created::AlreadyExists);

    assert_eq!(other.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    assert_eq!(one.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Lost(berth(1)));
    assert_eq!(heard(&one).await, Notice::Moved(ID, berth(1)));
    let later = Record { berth: berth(4), ..fresh(1000) };
    assert!(matches!(other.adopt(ID, later).await.unwrap(), Lookup::Live(_)));
    assert_eq!(heard(&one).await, Notice::Moved(ID, berth(4)));
    assert_eq!(other.add_key(key(3, 30)).await.unwrap().as_slice().len(), 2);
    assert_eq!(heard(&one).await, Notice::Keys);
    assert!(other.end(ID, 2000).await.unwrap().is_some());
    assert_eq!(heard(&one).await, Notice::Ended(ID));
    assert_eq!(one.load(ID).await.unwrap(), Lookup::Ended);

    let idle = SessionId(0x1d1e);
    assert_eq!(one.create(idle, fresh(1000)).await.unwrap(), Created::Done);
    let sweep = Sweep { now: 9000, idle: Duration::from_secs(60), lifetime: LIFETIME, limit: 10 };
    assert_eq!(other.expire(sweep).await.unwrap().len(), 1);
    assert_eq!(heard(&one).await, Notice::Ended(idle));

    // Nobody hears of what it did itself: the first that the other hears is what this one does last.
    assert_eq!(one.end(SessionId(9), 2000).await.unwrap(), None);
    assert_eq!(heard(&other).await, Notice::Ended(SessionId(9)));
}

#[tokio::test]
async fn notices_arrive_again_after_the_connection_was_lost() {
    let mut server = Server::start(Program::Redis, &[]);
    let (one, other) = two(&server).await;
    let channel = one.names.channel().to_owned();
    for n in 0..3_u128 {
        if n == 0 {
            server.cli(&["client", "kill", "type", "pubsub"]);
        } else {
            server.stop();
            server.start_again();
        }
        assert_eq!(heard(&one).await, Notice::Keys, "what was said meanwhile is lost, so look at the ring");
        assert_eq!(heard(&other).await, Notice::Keys);
        until("both listen", || server.cli(&["pubsub", "numsub", &channel]).ends_with('2')).await;
        until_ok("the store is back", || other.end(SessionId(n), 2000)).await;
        assert_eq!(heard(&one).await, Notice::Ended(SessionId(n)));
    }
}

#[tokio::test]
async fn notices_cross_a_cluster() {
    let cluster = Cluster::start(Program::Redis);
    let prefix = fresh_prefix();
    let stores: Vec<Redis> = futures_util::future::join_all((0..4).map(|_| connected_to(&cluster, &prefix))).await;
    let listening = || {
        let channel = stores[0].names.channel();
        let counts = cluster.nodes.iter().map(|node| node.cli(&["pubsub", "numsub", channel]));
        counts.filter_map(|count| count.lines().last()?.parse::<usize>().ok()).sum::<usize>()
    };
    until("all listen", || listening() == 4).await;
    // Sessions of three buckets, one in each third of the slots.
    for id in (0..8).map(SessionId) {
        stores[0].end(id, 2000).await.unwrap();
        for store in &stores[1..] {
            assert_eq!(heard(store).await, Notice::Ended(id));
        }
    }
}

async fn connected_to(cluster: &Cluster, prefix: &str) -> Redis {
    connected(&cluster.url(), options(prefix)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_instances_that_expire_exactly_one_gets_each_session() {
    let server = Server::start(Program::Redis, &[]);
    let (one, other) = two(&server).await;
    for n in 0..500 {
        assert_eq!(one.create(SessionId(n), fresh(1000)).await.unwrap(), Created::Done);
    }
    let sweep = Sweep { now: 9000, idle: Duration::from_secs(60), lifetime: LIFETIME, limit: 1000 };
    let (here, there) = tokio::join!(one.expire(sweep), other.expire(sweep));
    let mut ended: Vec<_> = here.unwrap().into_iter().chain(there.unwrap()).map(|(id, _)| id).collect();
    ended.sort_unstable();
    assert_eq!(ended, (0..500).map(SessionId).collect::<Vec<_>>());
}

/// How often a server was asked for a command.
fn calls(server: &Server, command: &str) -> usize {
    let stats = server.cli(&["info", "commandstats"]);
    let line = stats.lines().find_map(|line| line.trim().strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn many_sessions_are_touched_in_few_commands() {
    let server = Server::start(Program::Redis, &[]);
    let store = connected(&server.url(), options("p")).await;
    let ids: Vec<SessionId> = (0..5000_u128).map(|n| SessionId(n * 0x1234_5678_9abc_def1)).collect();
    let made = futures_util::future::join_all(ids.iter().map(|id| store.create(*id, fresh(1000)))).await;
    assert!(made.into_iter().all(|made| made.unwrap() == Created::Done));
    for id in &ids[..40] {
        assert_eq!(store.moor(*id, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    }
    let seen: Vec<Seen> = ids.iter().map(|id| seen(*id, 2000)).collect();
    let _ = store.touch(&seen[..1]).await.unwrap();
    let before = (calls(&server, "evalsha"), calls(&server, "hgetall"));
    let told = store.touch(&seen).await.unwrap();
    let (scripts, loads) = (calls(&server, "evalsha") - before.0, calls(&server, "hgetall") - before.1);
    assert_eq!(told.len(), 40);
    assert_eq!(loads, 40);
    assert!(scripts <= 256, "{scripts} scripts for 5000 sessions in 256 buckets");
    assert_eq!(store.count().await.unwrap(), 5000);
}

#[tokio::test]
async fn every_key_but_the_ring_falls_by_itself() {
    let server = Server::start(Program::Redis, &[]);
    let store = connected(&server.url(), options("p")).await;
    store.keys(key(1, 10)).await.unwrap();
    let now = crate::clock::Clock::system().unix();
    for id in [1, 2, 3].map(SessionId) {
        assert_eq!(store.create(id, fresh(now)).await.unwrap(), Created::Done);
    }
    let _ = store.touch(&[seen(SessionId(1), now + 5)]).await.unwrap();
    assert!(matches!(
        store.adopt(SessionId(1), Record { berth: berth(2), ..fresh(now) }).await.unwrap(),
        Lookup::Live(_)
    ));
    assert!(matches!(store.adopt(SessionId(4), fresh(now)).await.unwrap(), Lookup::Live(_)));
    store.end(SessionId(2), now + 100).await.unwrap();
    store.end(SessionId(5), now + 100).await.unwrap();
    let sweep = Sweep { now: now + 61, idle: Duration::from_secs(60), lifetime: LIFETIME, limit: 1 };
    assert_eq!(store.expire(sweep).await.unwrap().len(), 1);
    let keys = server.cli(&["keys", "*"]);
    assert!(keys.lines().count() > 8, "{keys}");
    let most = (LIFETIME + GRACE).as_secs();
    for key in keys.lines() {
        let ttl: i64 = server.cli(&["ttl", key]).parse().unwrap();
        let right = if key == "p:{keys}:ring" { ttl == -1 } else { ttl > 0 && ttl.unsigned_abs() <= most + 1 };
        assert!(right, "{key} falls in {ttl} s");
    }
}
