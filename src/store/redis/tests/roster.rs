//! The roster in real servers: the laws that all rosters keep, in each arrangement, and what becomes of orders when servers go
//! away and lose what they had.

use super::*;
use crate::clock::Clock;
use crate::names::InstanceId;
use crate::store::roster::contract::{self, order, report};
use crate::store::roster::{Near, Roster, Wish};

const QUICK: Duration = Duration::from_millis(200);

async fn roster_suite(text: &str) {
    contract::suite(async || Arc::new(connected(text, options(&fresh_prefix())).await.roster()) as Arc<dyn Roster>)
        .await;
}

/// An instance's own side of it.
async fn instance(server: &Server) -> (Redis, Near) {
    let options = RedisOptions { timeout: QUICK, ..options("p") };
    let store = connected(&server.url(), options).await;
    let near = Near::new(Arc::new(store.roster()), QUICK, Clock::system());
    (store, near)
}

async fn reports(near: &Near, id: u64) {
    near.report(InstanceId(id), "card", Duration::from_secs(60)).await;
}

fn wishes(near: &Near) -> Vec<Wish> {
    near.orders().iter().map(|order| order.wish).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_roster_in_one_server_keeps_the_contract() {
    let server = Server::start(Program::Redis, &[]);
    roster_suite(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_roster_in_a_cluster_keeps_the_contract() {
    let cluster = Cluster::start(Program::Redis);
    roster_suite(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_roster_behind_sentinels_keeps_the_contract() {
    let watched = Watched::start(Program::Redis);
    roster_suite(&watched.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_roster_in_valkey_keeps_the_contract() {
    let server = Server::start(Program::Valkey, &[]);
    roster_suite(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_roster_needs_no_more_than_the_page_says() {
    let server = Server::start(Program::Redis, &[]);
    let page = include_str!("../../../../docs/redis.md");
    let user = page.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
    let user = user.replace("PASSWORD", "p").replace("moorline:", "test-*:");
    assert_eq!(server.cli(&user.split(' ').collect::<Vec<_>>()), "OK");
    roster_suite(&format!("redis://moorline:p@127.0.0.1:{}", server.port)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cards_fall_with_the_last_instance_and_orders_stay() {
    let server = Server::start(Program::Redis, &[]);
    let store = connected(&server.url(), options("p")).await;
    let roster = store.roster();
    let short = Duration::from_millis(300);
    for id in [1, 2] {
        roster.report(crate::store::roster::Report { lasts: short, ..report(id, "card") }).await.unwrap();
    }
    roster.order(order(1, Wish::Drain, "ann"), 0).await.unwrap();
    let names = Names::new("p", 0);
    until("the cards fall", || server.cli(&["exists", &names.cards()]) == "0").await;
    assert_eq!(
        (server.cli(&["ttl", &names.orders()]), server.cli(&["hlen", &names.orders()])),
        ("-1".into(), "2".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_order_is_told_to_the_others_at_once() {
    let server = Server::start(Program::Redis, &[]);
    let ((giving, one), (hearing, other)) = (instance(&server).await, instance(&server).await);
    let channel = Names::new("p", 0).channel().to_owned();
    until("all listen", || server.cli(&["pubsub", "numsub", &channel]).ends_with('2')).await;
    assert!(one.order(order(1, Wish::Drain, "ann")).await.unwrap().is_told);
    assert_eq!(in_time(hearing.hear()).await, Notice::Orders);
    reports(&other, 2).await;
    assert_eq!(wishes(&other), [Wish::Drain]);
    drop(giving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn orders_outlive_a_server_that_is_away_or_has_lost_them() {
    for loses in [false, true] {
        let persistent: &[&str] = if loses { &[] } else { &["--appendonly", "yes", "--appendfsync", "always"] };
        let mut server = Server::start(Program::Redis, persistent);
        let ((_a, one), (_b, other)) = (instance(&server).await, instance(&server).await);
        one.order(order(1, Wish::Drain, "ann")).await.unwrap();
        reports(&other, 2).await;
        reports(&one, 1).await;
        assert_eq!((wishes(&other), one.picture().present.len(), one.picture().old), (vec![Wish::Drain], 2, None));
        server.stop();
        reports(&one, 1).await;
        assert!(one.picture().old.is_some() && one.picture().present.len() == 2, "the last picture stands");
        let given = in_time(one.order(order(2, Wish::Drain, "bob"))).await.unwrap();
        assert!(!given.is_told && wishes(&one).len() == 2);
        server.start_again();
        let back = async {
            while one.picture().old.is_some() {
                reports(&one, 1).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            while wishes(&other).len() < 2 {
                reports(&other, 2).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, back).await.expect("all is told");
        let (_c, late) = instance(&server).await;
        reports(&late, 3).await;
        assert_eq!(wishes(&late), [Wish::Drain; 2], "loses: {loses}");
    }
}
