//! Primaries that die or step down, and slots that are handed on, while the store is used.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::store::contract::{berth, fresh, seen};

/// The first session of a bucket that lies in a node's slots, for each node of a Cluster that has any.
fn one_session_each(cluster: &Cluster) -> Vec<(SessionId, usize)> {
    let mut found: Vec<(SessionId, usize)> = Vec::new();
    for id in (0..256).map(SessionId) {
        let owner = cluster.owner(Place::of(id).slot());
        if found.iter().all(|(_, other)| *other != owner) {
            found.push((id, owner));
        }
        if found.len() == 3 {
            break;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_primary_behind_sentinels_dies_the_next_is_written_to() {
    let mut watched = Watched::start(Program::Redis);
    let store = connected(&watched.url(), options("p")).await;
    assert_eq!(store.create(SessionId(1), fresh(5)).await.unwrap(), Created::Done);
    assert_eq!(watched.servers[0].cli(&["wait", "1", "5000"]), "1");
    watched.servers[0].stop();
    let made = until_ok("the replica takes over", || store.create(SessionId(2), fresh(5))).await;
    assert_eq!(made, Created::Done);
    assert!(matches!(store.load(SessionId(1)).await.unwrap(), Lookup::Live(_)), "it had reached the replica");
    assert!(watched.servers[1].cli(&["role"]).starts_with("master"));
    assert!(!store.is_away());
    // It comes back and believes itself the primary, until the sentinels tell it otherwise.
    watched.servers[0].start_again();
    assert_eq!(store.create(SessionId(3), fresh(5)).await.unwrap(), Created::Done);
    let old = &watched.servers[0];
    until("the old primary follows", || old.cli(&["info", "replication"]).contains("master_link_status:up")).await;
    assert_eq!(store.count().await.unwrap(), 3);
    assert_eq!(old.cli(&["hget", &store.names.session(SessionId(3)), "created"]), "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_primary_behind_sentinels_steps_down_the_next_is_written_to() {
    let mut watched = Watched::start(Program::Redis);
    let store = connected(&watched.url(), options("p")).await;
    // A sentinel that does not answer is no hindrance.
    watched.sentinels[0].stop();
    assert_eq!(store.create(SessionId(1), fresh(5)).await.unwrap(), Created::Done);
    assert_eq!(watched.servers[0].cli(&["wait", "1", "5000"]), "1");
    assert_eq!(watched.sentinels[1].cli(&["sentinel", "failover", "mymaster"]), "OK");
    let replica = &watched.servers[1];
    until("the replica takes over", || replica.cli(&["role"]).starts_with("master")).await;
    let key = store.names.session(SessionId(2));
    let reached = || async {
        let made = store.create(SessionId(2), fresh(5)).await?;
        Ok(made == Created::Done || replica.cli(&["exists", &key]) == "1")
    };
    until_ok("the new primary is written to", reached).await;
    until("what was written stands at the new primary", || {
        // What the old one took in its last moment is lost when it steps down, and is written again then.
        replica.cli(&["exists", &key]) == "1" || watched.servers[0].cli(&["role"]).starts_with("slave")
    })
    .await;
    let stands = until_ok("the store goes on", || store.adopt(SessionId(2), fresh(5))).await;
    assert!(matches!(stands, Lookup::Live(_)));
    assert_eq!(replica.cli(&["exists", &key]), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_primary_of_the_cluster_dies_its_replica_takes_over() {
    let mut cluster = Cluster::start(Program::Redis);
    let store = connected(&cluster.url(), options("p")).await;
    let sessions = one_session_each(&cluster);
    assert_eq!(sessions.len(), 3);
    for (id, _) in &sessions {
        assert_eq!(store.create(*id, fresh(5)).await.unwrap(), Created::Done);
    }
    let (lost, dead) = sessions[0];
    until("its replica has it", || cluster.nodes[dead].cli(&["wait", "1", "1000"]) == "1").await;
    cluster.nodes[dead].stop();
    let found = until_ok("the replica takes over", || store.load(lost)).await;
    assert!(matches!(found, Lookup::Live(_)), "{found:?}");
    let moved = until_ok("it may be written to", || store.moor(lost, Epoch(0), berth(1))).await;
    assert_eq!(moved, Moved::Done);
    cluster.settled();
    for (id, _) in &sessions[1..] {
        let found = until_ok("the others are there too", || store.load(*id)).await;
        assert!(matches!(found, Lookup::Live(_)), "{found:?}");
    }
    assert_eq!(until_ok("all are counted", || store.count()).await, 3);
    // Started anew while a seed is dead.
    let another = connected(&cluster.url(), options("p")).await;
    assert_eq!(another.count().await.unwrap(), 3);
    cluster.nodes[dead].start_again();
    assert_eq!(until_ok("all are counted", || store.count()).await, 3);
}

/// Moves a slot from one node to another, first one key and then ever more, and lets the load run on in between.
pub async fn hand_on(cluster: &Cluster, slot: u16, (from, to): (usize, usize), steps: &AtomicUsize) {
    let (source, target) = (&cluster.nodes[from], &cluster.nodes[to]);
    let (from_id, to_id, slot) = (cluster.id(from), cluster.id(to), slot.to_string());
    assert_eq!(target.cli(&["cluster", "setslot", &slot, "importing", &from_id]), "OK");
    assert_eq!(source.cli(&["cluster", "setslot", &slot, "migrating", &to_id]), "OK");
    let port = target.port.to_string();
    let mut count = 1;
    loop {
        let before = steps.load(Ordering::Relaxed);
        until("the load goes on", || steps.load(Ordering::Relaxed) > before + 3).await;
        let keys = source.cli(&["cluster", "getkeysinslot", &slot, &count.to_string()]);
        count = (count * 2).min(1000);
        let keys: Vec<&str> = keys.lines().collect();
        if keys.is_empty() {
            break;
        }
        let arguments = [&["migrate", "127.0.0.1", &port, "", "0", "5000", "keys"][..], &keys].concat();
        let moved = source.cli(&arguments);
        assert!(moved == "OK" || moved == "NOKEY", "{moved}");
    }
    for node in [target, source] {
        assert_eq!(node.cli(&["cluster", "setslot", &slot, "node", &to_id]), "OK");
    }
}

/// One session's life over and over, every answer as it must be.
async fn live(store: Arc<Redis>, id: SessionId, steps: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> u32 {
    let mut epoch = 0;
    assert_eq!(store.create(id, fresh(1000)).await.unwrap(), Created::Done);
    let mut at = 1000;
    while !stop.load(Ordering::Relaxed) {
        let lease = Lease { mover: MoverId(7), now_millis: 0, lasts: Duration::from_secs(60) };
        assert_eq!(store.claim(id, Epoch(epoch), lease).await.unwrap(), Claimed::Yours);
        assert_eq!(store.moor(id, Epoch(epoch), berth(epoch + 1)).await.unwrap(), Moved::Done);
        epoch += 1;
        at += 1;
        let told = store.touch(&[Seen { epoch: Epoch(epoch), ..seen(id, at) }]).await.unwrap();
        assert_eq!(told, []);
        let uri = JournalEdit::Subscribe(format!("file:///{}", epoch % 100).into());
        assert!(store.note(id, uri).await.unwrap());
        // One that begins and ends in the same bucket.
        let brief = SessionId(id.0 + (u128::from(epoch) << 64));
        assert_eq!(store.create(brief, fresh(1000)).await.unwrap(), Created::Done);
        assert!(store.end(brief, 100).await.unwrap().is_some());
        let Lookup::Live(record) = store.load(id).await.unwrap() else { panic!("it is lost") };
        assert_eq!((record.berth.epoch, record.last_seen), (Epoch(epoch), at));
        steps.fetch_add(1, Ordering::Relaxed);
    }
    epoch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slots_that_are_handed_on_lose_nothing_and_fail_no_call() {
    hand_slots_on(Program::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slots_that_valkey_hands_on_lose_nothing_and_fail_no_call() {
    hand_slots_on(Program::Valkey).await;
}

async fn hand_slots_on(program: Program) {
    let mut cluster = Cluster::start(program);
    let store = Arc::new(connected(&cluster.url(), options("p")).await);
    let bucket = 0x3f_u128;
    let slot = Place::of(SessionId(bucket)).slot();
    let (steps, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut load = tokio::task::JoinSet::new();
    for n in 0..8 {
        let id = SessionId((n << 8) + bucket);
        load.spawn(live(Arc::clone(&store), id, Arc::clone(&steps), Arc::clone(&stop)));
    }
    let owner = cluster.owner(slot);
    let other = (0..6).find(|&node| node != owner && cluster.is_primary(node)).unwrap();
    cluster.join(program);
    // The last of them is one that nobody has heard of.
    for (from, to) in [(owner, other), (other, owner), (owner, 6)] {
        let handed_on = hand_on(&cluster, slot, (from, to), &steps);
        tokio::select! {
            () = handed_on => {}
            ended = load.join_next() => panic!("a session's life has ended: {ended:?}"),
        }
    }
    let before = steps.load(Ordering::Relaxed);
    until("the load goes on", || steps.load(Ordering::Relaxed) > before + 100).await;
    stop.store(true, Ordering::Relaxed);
    let epochs = load.join_all().await;
    assert!(epochs.iter().all(|epoch| *epoch > 5), "{epochs:?}");
    assert_eq!(store.count().await.unwrap(), 8, "the index is as it should be");
    assert_eq!(cluster.owner(slot), 6);
}
