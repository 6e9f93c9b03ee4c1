//! What one outage does, by name: nothing that a client would notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::world::{Instance, TIMEOUT, Way, World, at, lease, now, sealing, seen, until};
use crate::clock::Clock;
use crate::config::WhenAway;
use crate::names::{Epoch, SessionId};
use crate::store::contract::{berth, fresh, key};
use crate::store::shared::{PACE, Shared, SharedSettings};
use crate::store::{Claimed, Created, JournalEdit, Lookup, Moved, MoverId, Notice, Sessions, StoreError, Sweep};

const ID: SessionId = SessionId(7);
const OTHER: SessionId = SessionId(8);
const WAYS: [Way; 3] = [Way::Down, Way::Hangs, Way::LosesAnswers];

fn is_away<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

fn subscribe(uri: &str) -> JournalEdit {
    JournalEdit::Subscribe(uri.into())
}

#[tokio::test]
async fn the_breaker_opens_after_few_failures_and_then_nobody_waits() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    one.with_one(ID).await;
    one.link.goes(Way::Hangs);
    let clock = Clock::system();
    let started = clock.now();
    for _ in 0..3 {
        one.live(ID).await;
    }
    let waited = clock.now() - started;
    assert!(one.store.is_away());
    assert!(waited >= TIMEOUT * 3 && waited < TIMEOUT * 250, "{waited:?}");
    let (calls, started) = (one.link.calls(), clock.now());
    for _ in 0..1000 {
        one.live(ID).await;
    }
    let (asked, took) = (one.link.calls() - calls, clock.now() - started);
    assert!(asked < 100, "the keeper alone asks: {asked}");
    assert!(took < TIMEOUT * 250, "1000 answers in {took:?}");
}

#[tokio::test]
async fn calls_under_way_wait_no_longer_once_the_breaker_opens() {
    let world = World::new();
    let link = world.link(0);
    let settings = SharedSettings {
        limit: 10,
        lifetime: Duration::from_secs(60),
        timeout: Duration::from_secs(3600),
        when_away: WhenAway::Accept,
    };
    let store = Shared::start_at(PACE, Arc::clone(&link) as Arc<dyn Sessions>, &settings, Clock::system());
    assert_eq!(store.create(ID, fresh(now())).await.unwrap(), Created::Done);
    link.goes(Way::Hangs);
    let mut waiting = JoinSet::new();
    let before = link.calls();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.load(ID).await.unwrap() });
    }
    until("all wait", async || link.calls() >= before + 50).await;
    link.goes(Way::Down);
    for _ in 0..3 {
        assert!(matches!(store.load(ID).await.unwrap(), Lookup::Live(_)));
    }
    let answers = tokio::time::timeout(Duration::from_secs(10), waiting.join_all()).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Lookup::Live(_))));
}

#[tokio::test]
async fn a_store_that_hangs_delays_no_call_beyond_its_bound() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    for n in 0..3 {
        one.with_one(SessionId(n)).await;
    }
    one.link.goes(Way::Hangs);
    let clock = Clock::system();
    // Without a bound it would be for ever; the rest is for machines with much else to do.
    let longest = TIMEOUT * 250;
    let started = clock.now();
    assert!(one.store.note(SessionId(0), JournalEdit::Initialized).await.unwrap());
    assert_eq!(one.moors(SessionId(1), 0, &berth(1)).await, Moved::Done);
    assert!(one.store.end(SessionId(2), now() + 100).await.unwrap().is_some());
    assert_eq!(one.store.create(ID, fresh(now())).await.unwrap(), Created::Done);
    let took = clock.now() - started;
    assert!(took < longest, "four calls, three of which waited: {took:?}");
}

#[tokio::test]
async fn requests_of_known_sessions_do_not_fail_and_are_written_when_the_store_is_back() {
    for way in WAYS {
        let world = World::new();
        let one = Instance::start(&world, 0);
        one.with_one(ID).await;
        one.cut(way).await;
        assert!(one.store.note(ID, subscribe("a:1")).await.unwrap());
        assert_eq!(one.store.claim(ID, Epoch(0), lease(1)).await.unwrap(), Claimed::Yours);
        assert_eq!(one.store.claim(ID, Epoch(0), lease(2)).await.unwrap(), Claimed::Theirs);
        assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Done);
        one.store.release(ID, MoverId(1)).await.unwrap();
        assert_eq!(one.store.touch(&[seen(ID, 1), seen(OTHER, 0)]).await.unwrap(), []);
        assert_eq!((one.live(ID).await.berth.clone(), one.store.count().await.unwrap()), (at(1, 1), 1));
        one.heal().await;
        let held = world.live(ID).await;
        assert_eq!(held.berth, at(1, 1), "{way:?}");
        assert!(held.journal.subscriptions.contains("a:1"), "{way:?}");
    }
}

#[tokio::test]
async fn a_store_that_comes_back_empty_is_told_everything() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    one.store.keys(sealing(1)).await.unwrap();
    two.store.keys(sealing(2)).await.unwrap();
    one.with_one(ID).await;
    assert!(one.store.note(ID, subscribe("a:1")).await.unwrap());
    two.with_one(OTHER).await;
    assert_eq!(two.moors(OTHER, 0, &at(2, 1)).await, Moved::Done);
    for instance in [&one, &two] {
        instance.cut(Way::Down).await;
    }
    world.empty();
    one.heal().await;
    two.heal().await;
    assert!(world.live(ID).await.journal.subscriptions.contains("a:1"));
    assert_eq!(world.live(OTHER).await.berth, at(2, 1));
    assert_eq!(one.store.keys(sealing(3)).await.unwrap().as_slice(), [sealing(1)]);
}

#[tokio::test]
async fn a_store_that_comes_back_empty_is_told_by_whoever_is_left() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start_inattentive(&world, name));
    one.with_one(ID).await;
    two.live(ID).await;
    drop(one);
    two.cut(Way::Down).await;
    world.empty();
    two.heal().await;
    world.live(ID).await;
}

#[tokio::test]
async fn calls_go_to_the_store_again_when_everything_is_written() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    one.cut(Way::Down).await;
    for n in 0..200 {
        one.with_one(SessionId(n)).await;
    }
    one.link.goes(Way::Slow);
    until("the store is back", async || !one.store.is_away()).await;
    assert_eq!(world.memory().count().await.unwrap(), 200);
}

#[tokio::test]
async fn what_could_not_be_written_at_once_is_not_forgotten() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    one.with_one(ID).await;
    assert!(one.store.note(ID, subscribe("a:1")).await.unwrap());
    one.link.goes(Way::Down);
    assert!(one.store.note(ID, JournalEdit::Unsubscribe("a:1".into())).await.unwrap());
    let calls = one.link.calls();
    until("the keeper has tried", async || one.link.calls() > calls).await;
    one.link.goes(Way::Well);
    until("written", async || !one.store.is_away() && one.is_written()).await;
    assert_eq!(world.live(ID).await.journal.subscriptions, [].into());
}

#[tokio::test]
async fn what_others_may_still_be_writing_back_is_not_said_to_be_unknown() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    one.with_one(ID).await;
    one.cut(Way::Down).await;
    two.cut(Way::Down).await;
    is_away(&two.store.load(ID).await);
    world.empty();
    two.link.goes(Way::Well);
    until("it is back", async || !two.store.is_away()).await;
    two.store.pair.begin_to_settle();
    is_away(&two.store.load(ID).await);
    is_away(&two.store.claim(ID, Epoch(0), lease(1)).await);
    is_away(&two.store.moor(ID, Epoch(0), berth(1)).await);
    one.heal().await;
    assert_eq!(two.live(ID).await.berth, berth(0));
    two.settle().await;
    assert_eq!(two.store.load(OTHER).await.unwrap(), Lookup::Unknown);
}

#[tokio::test]
async fn a_store_that_was_emptied_unnoticed_is_not_believed_about_the_unknown() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start_inattentive(&world, name));
    one.with_one(ID).await;
    until("marked", async || two.link.calls() > 0).await;
    world.empty();
    is_away(&two.store.load(ID).await);
    assert_eq!(one.live(ID).await.berth, berth(0));
    assert_eq!(world.live(ID).await.berth, berth(0), "given back by the one that knows it");
}

#[tokio::test]
async fn a_session_that_the_store_has_lost_is_given_back_when_it_is_touched() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    one.with_one(ID).await;
    one.with_one(OTHER).await;
    world.empty();
    assert_eq!(one.store.touch(&[seen(ID, 0)]).await.unwrap(), [], "nobody is told that it is unknown");
    until("written", async || world.memory().count().await.unwrap() == 2).await;
}

#[tokio::test]
async fn a_session_that_the_store_has_lost_is_given_back_by_whatever_is_asked() {
    for act in 0..4 {
        let world = World::new();
        let one = Instance::start_inattentive(&world, 0);
        one.with_one(ID).await;
        world.empty();
        match act {
            0 => drop(one.live(ID).await),
            1 => assert!(one.store.note(ID, JournalEdit::Initialized).await.unwrap()),
            2 => assert_eq!(one.store.claim(ID, Epoch(0), lease(1)).await.unwrap(), Claimed::Yours),
            _ => assert_eq!(one.moors(ID, 0, &berth(1)).await, Moved::Done),
        }
        let held = world.live(ID).await;
        assert_eq!((held.journal.initialized, held.berth.epoch), (act == 1, Epoch(u32::from(act == 3))));
    }
}

#[tokio::test]
async fn a_store_that_was_emptied_while_nobody_asked_is_told_everything() {
    let world = World::new();
    let one = Instance::start(&world, 0);
    one.with_one(ID).await;
    one.store.keys(sealing(1)).await.unwrap();
    until("marked", async || one.link.calls() > 4).await;
    world.empty();
    until("written", async || world.memory().count().await.unwrap() == 1).await;
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_made_once() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    one.with_one(OTHER).await;
    one.link.goes(Way::LosesAnswers);
    assert_eq!(one.store.create(ID, fresh(now())).await.unwrap(), Created::Done);
    one.link.goes(Way::Well);
    one.live(ID).await;
    one.link.goes(Way::LosesAnswers);
    assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Done);
    assert_eq!(two.moors(ID, 0, &at(2, 1)).await, Moved::Lost(at(1, 1)));
    one.link.goes(Way::Well);
    one.live(ID).await;
    one.link.goes(Way::LosesAnswers);
    assert!(one.store.note(ID, subscribe("a:1")).await.unwrap());
    assert!(one.store.end(OTHER, now() + 100).await.unwrap().is_some());
    one.heal().await;
    let held = world.live(ID).await;
    assert_eq!((&held.berth, held.journal.subscriptions.len()), (&at(1, 1), 1));
    assert_eq!(world.memory().load(OTHER).await.unwrap(), Lookup::Ended);
    assert_eq!(world.memory().count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_change_that_failed_once_is_written_though_the_breaker_never_opened() {
    for act in 0..4 {
        let world = World::new();
        let one = Instance::start_inattentive(&world, 0);
        one.with_one(ID).await;
        one.link.goes(Way::Down);
        match act {
            0 => drop(one.with_one(OTHER).await),
            1 => assert!(one.store.note(ID, JournalEdit::Initialized).await.unwrap()),
            2 => assert!(one.store.end(ID, now() + 100).await.unwrap().is_some()),
            _ => assert_eq!(one.moors(ID, 0, &berth(1)).await, Moved::Done),
        }
        assert!(!one.store.is_away() && !one.is_written());
        one.link.goes(Way::Well);
        if let (1, Lookup::Live(held)) = (act, one.store.load(ID).await.unwrap()) {
            assert!(held.journal.initialized, "what is not written yet is not lost to what the store answers");
        }
        until("written", async || one.is_written()).await;
        match (act, world.memory().load(ID).await.unwrap()) {
            (0, _) => drop(world.live(OTHER).await),
            (1, Lookup::Live(held)) => assert!(held.journal.initialized),
            (3, Lookup::Live(held)) => assert_eq!(held.berth, berth(1)),
            (_, held) => assert_eq!(held, Lookup::Ended),
        }
    }
}

#[tokio::test]
async fn ended_here_while_the_store_was_away() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    one.with_one(ID).await;
    two.live(ID).await;
    one.cut(Way::Hangs).await;
    assert!(one.store.end(ID, now() + 100).await.unwrap().is_some());
    assert_eq!(one.store.end(ID, now() + 100).await.unwrap(), None);
    assert_eq!(one.store.end(OTHER, now() + 100).await.unwrap(), None, "not known here");
    assert_eq!(one.store.load(ID).await.unwrap(), Lookup::Ended);
    assert_eq!(two.moors(ID, 0, &at(2, 1)).await, Moved::Done, "meanwhile it moves elsewhere");
    one.heal().await;
    assert_eq!(world.memory().load(ID).await.unwrap(), Lookup::Ended);
    assert_eq!(world.memory().load(OTHER).await.unwrap(), Lookup::Ended);
    assert_eq!(two.hears().await, Notice::Ended(ID));
    assert_eq!(two.store.touch(&[seen(ID, 1)]).await.unwrap(), [(ID, Lookup::Ended)]);
}

#[tokio::test]
async fn ended_elsewhere_while_the_store_was_away() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    one.with_one(ID).await;
    one.cut(Way::Down).await;
    assert!(one.store.note(ID, subscribe("a:1")).await.unwrap());
    assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Done);
    assert!(two.store.end(ID, now() + 100).await.unwrap().is_some());
    one.heal().await;
    assert_eq!(one.hears().await, Notice::Ended(ID));
    assert_eq!(one.store.load(ID).await.unwrap(), Lookup::Ended);
    assert_eq!(world.memory().load(ID).await.unwrap(), Lookup::Ended);
}

#[tokio::test]
async fn moved_elsewhere_while_the_store_was_away() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    one.with_one(ID).await;
    one.cut(Way::Down).await;
    assert_eq!(two.moors(ID, 0, &at(2, 1)).await, Moved::Done);
    assert_eq!(one.live(ID).await.berth, berth(0));
    one.heal().await;
    assert_eq!(one.hears().await, Notice::Moved(ID, at(2, 1)));
    assert_eq!(one.live(ID).await.berth, at(2, 1));
}

#[tokio::test]
async fn moved_on_both_sides_while_the_store_was_away() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    for id in [ID, OTHER] {
        one.with_one(id).await;
        two.live(id).await;
    }
    one.cut(Way::Down).await;
    assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Done);
    assert_eq!(two.moors(ID, 0, &at(2, 1)).await, Moved::Done);
    assert_eq!(one.moors(OTHER, 0, &at(1, 1)).await, Moved::Done);
    assert_eq!(one.moors(OTHER, 1, &at(1, 2)).await, Moved::Done);
    assert_eq!(two.moors(OTHER, 0, &at(2, 1)).await, Moved::Done);
    one.heal().await;
    assert_eq!(one.hears().await, Notice::Moved(ID, at(2, 1)), "of the same epoch the store's stands");
    assert_eq!(one.live(ID).await.berth, at(2, 1));
    assert_eq!(world.live(OTHER).await.berth, at(1, 2), "the higher epoch wins");
    let told = two.store.touch(&[seen(ID, 1), seen(OTHER, 1)]).await.unwrap();
    assert_eq!(told.len(), 1);
    assert!(matches!(&told[0], (OTHER, Lookup::Live(record)) if record.berth == at(1, 2)), "{told:?}");
}

#[tokio::test]
async fn new_sessions_are_accepted_while_the_store_is_away() {
    for way in WAYS {
        let world = World::new();
        let one = Instance::start(&world, 0);
        one.cut(way).await;
        let record = one.with_one(ID).await;
        assert_eq!(*one.live(ID).await, record);
        assert_eq!(one.store.create(ID, fresh(now())).await.unwrap(), Created::AlreadyExists);
        one.heal().await;
        assert_eq!(*world.live(ID).await, record, "{way:?}");
    }
}

#[tokio::test]
async fn new_sessions_are_refused_while_the_store_is_away_if_so_configured() {
    let world = World::new();
    let one = Instance::start_with(&world, 0, WhenAway::Refuse);
    one.with_one(OTHER).await;
    one.cut(Way::Down).await;
    is_away(&one.store.create(ID, fresh(now())).await);
    one.live(OTHER).await;
    one.heal().await;
    one.with_one(ID).await;
}

#[tokio::test]
async fn what_is_not_known_here_is_not_called_unknown_while_the_store_is_away() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    two.with_one(ID).await;
    one.cut(Way::Down).await;
    is_away(&one.store.load(ID).await);
    is_away(&one.store.note(ID, JournalEdit::Initialized).await);
    is_away(&one.store.claim(ID, Epoch(0), lease(1)).await);
    is_away(&one.store.moor(ID, Epoch(0), berth(1)).await);
    is_away(&one.store.flush().await);
    assert_eq!(one.store.touch(&[seen(ID, 0)]).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_known_here_alone_is_not_taken_for_what_all_have_agreed_on() {
    let world = World::new();
    let (one, two) = (Instance::start(&world, 0), Instance::start(&world, 1));
    let theirs = one.store.agreed_keys(key(1, 1)).await.unwrap();
    for way in WAYS {
        two.link.goes(way);
        // The breaker is closed yet, and the ring known here is not the whole of it.
        assert!(!two.store.is_away());
        is_away(&two.store.agreed_keys(key(2, 1)).await);
        two.link.goes(Way::Well);
        assert_eq!(two.store.agreed_keys(key(2, 1)).await.unwrap(), theirs);
    }
}

#[tokio::test]
async fn the_latest_epoch_that_the_caller_knows_counts_while_the_store_is_away() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    one.with_one(ID).await;
    one.cut(Way::Down).await;
    // The caller has heard of a move that the copy has missed.
    assert_eq!(one.store.claim(ID, Epoch(1), lease(1)).await.unwrap(), Claimed::Yours);
    assert_eq!(one.moors(ID, 1, &at(1, 2)).await, Moved::Done);
    assert_eq!(one.moors(ID, 1, &at(2, 2)).await, Moved::Lost(at(1, 2)));
}

#[tokio::test]
async fn what_was_unsubscribed_while_the_store_was_away_stays_so() {
    let world = World::new();
    let one = Instance::start(&world, 0);
    one.with_one(ID).await;
    for uri in ["a:1", "a:2", "a:3"] {
        assert!(one.store.note(ID, subscribe(uri)).await.unwrap());
    }
    one.cut(Way::Down).await;
    for uri in ["a:1", "a:2"] {
        assert!(one.store.note(ID, JournalEdit::Unsubscribe(uri.into())).await.unwrap());
    }
    assert!(one.store.note(ID, subscribe("a:2")).await.unwrap());
    one.heal().await;
    let expected = ["a:2".into(), "a:3".into()].into();
    assert_eq!(world.live(ID).await.journal.subscriptions, expected);
    assert_eq!(one.live(ID).await.journal.subscriptions, expected);
}

#[tokio::test]
async fn rings_are_joined_and_never_replaced() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    one.store.keys(sealing(1)).await.unwrap();
    one.cut(Way::Down).await;
    let ours = one.store.add_key(sealing(2)).await.unwrap();
    assert_eq!(ours.as_slice(), [sealing(2), sealing(1)]);
    two.store.add_key(sealing(3)).await.unwrap();
    one.heal().await;
    assert_eq!(one.hears().await, Notice::Keys);
    let joined = [sealing(3), sealing(2), sealing(1)];
    assert_eq!(one.store.keys(sealing(9)).await.unwrap().as_slice(), joined);
    assert_eq!(world.memory().map_for_tests().ring().as_slice(), joined);
    until("the other has them", async || two.store.keys(sealing(9)).await.unwrap().as_slice() == joined).await;
}

#[tokio::test]
async fn an_instance_may_start_while_the_store_is_away() {
    let world = World::new();
    let two = Instance::start(&world, 1);
    two.store.keys(sealing(2)).await.unwrap();
    let one = Instance::start(&world, 0);
    one.link.goes(Way::Hangs);
    let provisional = one.store.keys(sealing(1)).await.unwrap();
    assert_eq!(provisional.as_slice(), [sealing(1)]);
    assert_eq!(one.store.census().await.unwrap(), []);
    assert_eq!(one.store.keys(sealing(5)).await.unwrap(), provisional);
    let record = one.with_one(ID).await;
    one.heal().await;
    assert_eq!(one.store.keys(sealing(6)).await.unwrap().as_slice(), [sealing(2), sealing(1)]);
    assert_eq!(*two.live(ID).await, record);
}

#[tokio::test]
async fn nothing_expires_while_the_store_is_away_or_has_just_come_back() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    let record = two.with_one(ID).await;
    let hour = Duration::from_secs(3600);
    let sweep = Sweep { now: record.last_seen + 3600, idle: hour, lifetime: hour * 24, limit: 10 };
    one.cut(Way::Down).await;
    assert_eq!(one.store.expire(sweep).await.unwrap(), []);
    one.heal().await;
    one.store.pair.begin_to_settle();
    assert_eq!(one.store.expire(sweep).await.unwrap(), []);
    one.settle().await;
    assert_eq!(one.store.expire(sweep).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_unwritten_session_is_not_let_go() {
    let world = World::new();
    let one = Instance::start(&world, 0);
    one.cut(Way::Down).await;
    let record = one.with_one(ID).await;
    let hour = Duration::from_secs(3600);
    let sweep = Sweep { now: record.last_seen + 7200, idle: hour, lifetime: hour * 24, limit: 10 };
    assert_eq!(one.store.expire(sweep).await.unwrap(), []);
    one.heal().await;
    assert_eq!(*world.live(ID).await, record);
}

#[tokio::test]
async fn a_failover_that_lost_the_last_moves_and_ends_is_repaired_unnoticed() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start(&world, name));
    for id in [ID, OTHER, SessionId(9)] {
        one.with_one(id).await;
        two.live(id).await;
    }
    until("both have marked", async || one.link.calls() > 4 && two.link.calls() > 4).await;
    let markers = [one.store.pair.marker, two.store.pair.marker];
    let copy = world.copy([ID, OTHER, SessionId(9)].into_iter().chain(markers)).await;
    assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Done);
    assert_eq!(one.moors(SessionId(9), 0, &at(1, 1)).await, Moved::Done);
    one.store.end(OTHER, now() + 100).await.unwrap();
    world.fail_over(&copy).await;
    // On the new primary another instance moves what the first one had moved on the old.
    let moved = world.memory().moor(ID, Epoch(0), at(2, 1)).await.unwrap();
    assert_eq!(moved, Moved::Done);
    assert_eq!(one.hears().await, Notice::Moved(ID, at(2, 1)));
    until("the end is back", async || world.memory().load(OTHER).await.unwrap() == Lookup::Ended).await;
    until("the move is back", async || world.live(SessionId(9)).await.berth == at(1, 1)).await;
}

#[tokio::test]
async fn a_failover_that_lost_what_was_written_back_just_before_is_repaired_too() {
    let world = World::new();
    let one = Instance::start(&world, 0);
    for id in [ID, OTHER] {
        one.with_one(id).await;
    }
    until("it has marked", async || one.link.calls() > 4).await;
    let copy = world.copy([ID, OTHER, one.store.pair.marker]).await;
    one.cut(Way::Down).await;
    assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Done);
    one.store.end(OTHER, now() + 100).await.unwrap();
    one.heal().await;
    let is_told =
        async || world.live(ID).await.berth == at(1, 1) && world.memory().load(OTHER).await.unwrap() == Lookup::Ended;
    until("both are written back", is_told).await;
    world.fail_over(&copy).await;
    until("both are written back again", is_told).await;
}

#[tokio::test]
async fn a_stumble_has_the_latest_changes_written_again() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    let copy = world.copy([]).await;
    one.with_one(ID).await;
    assert!(one.store.note(ID, subscribe("a:1")).await.unwrap());
    one.link.goes(Way::Down);
    one.live(ID).await;
    world.fail_over(&copy).await;
    one.link.goes(Way::Well);
    drop(one.store.count().await);
    until("written", async || world.memory().count().await.unwrap() == 1).await;
    assert!(world.live(ID).await.journal.subscriptions.contains("a:1"));
}

#[tokio::test]
async fn of_two_berths_of_one_epoch_the_store_is_asked_which_stands() {
    let world = World::new();
    let [one, two] = [0, 1].map(|name| Instance::start_inattentive(&world, name));
    one.with_one(ID).await;
    let copy = world.copy([ID, one.store.pair.marker]).await;
    assert_eq!(two.moors(ID, 0, &at(2, 1)).await, Moved::Done);
    // What the other did is lost before it is heard of.
    world.fail_over(&copy).await;
    assert_eq!(one.moors(ID, 0, &at(1, 1)).await, Moved::Done);
    let heard = tokio::time::timeout(TIMEOUT, one.store.hear()).await;
    assert!(heard.is_err(), "the store has not said so: {heard:?}");
    assert_eq!(one.live(ID).await.berth, at(1, 1));
}

#[tokio::test]
async fn flush_writes_what_the_store_has_not_taken() {
    let world = World::new();
    let one = Instance::start_inattentive(&world, 0);
    one.with_one(ID).await;
    one.link.goes(Way::Down);
    assert!(one.store.note(ID, subscribe("a:1")).await.unwrap());
    one.link.goes(Way::Well);
    one.store.flush().await.unwrap();
    assert!(world.live(ID).await.journal.subscriptions.contains("a:1"));
}
