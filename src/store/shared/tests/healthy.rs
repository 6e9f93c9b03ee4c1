//! While the far store is there, nobody can tell the two apart.

use std::sync::Arc;

use proptest::prelude::*;

use super::world::{Instance, Way, World, at, now, seen, until};
use crate::names::{Epoch, SessionId};
use crate::store::contract::{self, berth};
use crate::store::model::{self, Model};
use crate::store::{JournalEdit, Lookup, Moved, Notice, Sessions, Sweep};

const ID: SessionId = SessionId(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_healthy_shared_store_keeps_the_contract() {
    contract::suite(|| async { Instance::start(&World::new(), 0).store as Arc<dyn Sessions> }).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_healthy_shared_store_agrees_with_the_model(acts in model::acts(60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let instance = Instance::start(&World::new(), 0);
            model::agree(&*instance.store, &mut Model::default(), acts).await;
        });
    }
}

#[tokio::test]
async fn each_call_is_one_call_to_the_far_store() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    until("the marker is written", async || one.link.calls() == 1).await;
    let before = one.link.calls();
    one.with_one(ID).await;
    assert!(one.store.note(ID, JournalEdit::Initialized).await.unwrap());
    one.live(ID).await;
    assert_eq!(one.moors(ID, 0, &berth(1)).await, Moved::Done);
    assert_eq!(one.store.touch(&[seen(ID, 1)]).await.unwrap(), []);
    assert!(one.store.end(ID, now() + 100).await.unwrap().is_some());
    assert_eq!(one.link.calls() - before, 6);
}

#[tokio::test]
async fn what_others_do_is_heard_and_known() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start_inattentive(&world, name));
    one.with_one(ID).await;
    two.live(ID).await;
    assert_eq!(two.moors(ID, 0, &at(2, 1)).await, Moved::Done);
    assert_eq!(one.hears().await, Notice::Moved(ID, at(2, 1)));
    two.store.end(ID, now() + 100).await.unwrap();
    assert_eq!(one.hears().await, Notice::Ended(ID));
    one.cut(Way::Down).await;
    assert_eq!(one.store.load(ID).await.unwrap(), Lookup::Ended, "known without the far store");
}

#[tokio::test]
async fn a_loser_learns_where_the_session_lies() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start_inattentive(&world, name));
    one.with_one(ID).await;
    two.live(ID).await;
    assert_eq!(two.moors(ID, 0, &at(2, 1)).await, Moved::Done);
    assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Lost(at(2, 1)));
    one.cut(Way::Down).await;
    assert_eq!(one.live(ID).await.berth, at(2, 1));
    assert_eq!(one.store.moor(ID, Epoch(1), at(1, 2)).await.unwrap(), Moved::Done);
}

#[tokio::test]
async fn the_near_copy_lets_go_of_the_idle_without_ending_them() {
    let world = World::new();
    let one = Instance::start(&world, 0);
    let record = one.with_one(ID).await;
    one.cut(Way::Down).await;
    let hour = std::time::Duration::from_secs(3600);
    let sweep = Sweep { now: record.last_seen + 3600, idle: hour, lifetime: hour * 24, limit: 10 };
    assert_eq!(one.store.expire(sweep).await.unwrap(), []);
    assert!(one.store.load(ID).await.is_err(), "let go, and nobody else can be asked");
    one.heal().await;
    assert_eq!(*one.live(ID).await, record);
}
