//! What a lone instance keeps: for how long, until when, and how much at most.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use futures_util::FutureExt as _;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::*;
use crate::store::results::contract;

const MIB: u64 = 1 << 20;

fn key(n: u64) -> Key {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Key(bytes)
}

fn tag(n: u64) -> Tag {
    Tag(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn entry(near: &Near, size: usize, tags: &[Tag]) -> Entry {
    Entry {
        result: Bytes::from(vec![b'x'; size]),
        stored: near.now(),
        ttl: seconds(10),
        stale: seconds(5),
        tags: tags.into(),
        stamp: near.stamp(),
    }
}

fn near() -> (Near, Clock) {
    let clock = Clock::manual();
    (Near::new(64 * MIB, clock.clone()), clock)
}

#[tokio::test]
async fn a_lone_instance_keeps_the_contract() {
    contract::suite(async |clock| Arc::new(Near::new(64 * MIB, clock)) as Arc<dyn Results>).await;
}

fn claim(near: &Near, n: u64) -> Claim {
    near.claim(&key(n)).now_or_never().unwrap()
}

#[test]
fn a_result_is_fresh_then_stale_then_gone() {
    let (near, clock) = near();
    assert!(near.look(&key(1)).is_none());
    assert!(matches!(claim(&near, 1), Claim::Lead(Lead { stale: None, .. })));
    near.keep(key(1), entry(&near, 100, &[]), None);
    for (passed, fresh) in [(0, true), (9_999, true), (1, false), (4_999, false)] {
        clock.advance(Duration::from_millis(passed));
        let found = near.look(&key(1)).unwrap();
        assert_eq!((found.is_fresh(near.now()), found.result.len()), (fresh, 100));
        match claim(&near, 1) {
            Claim::Here(entry) => assert!(fresh && Arc::ptr_eq(&entry, &found)),
            Claim::Lead(lead) => assert!(!fresh && Arc::ptr_eq(&lead.stale.unwrap(), &found)),
            other => panic!("{other:?}"),
        }
    }
    clock.advance(Duration::from_millis(1));
    assert!(near.look(&key(1)).is_none());
    assert_eq!(near.usage().entries, 0, "it is not only hidden");
}

#[test]
fn a_result_that_was_fetched_before_its_tag_was_forgotten_is_not_kept_after() {
    let (near, _clock) = near();
    let under_way = entry(&near, 1, &[tag(1), tag(2)]);
    let other = entry(&near, 1, &[tag(3)]);
    near.forget(&[tag(2)]);
    let later = entry(&near, 2, &[tag(1), tag(2)]);
    near.keep(key(1), under_way.clone(), None);
    near.keep(key(2), other, None);
    assert!(near.look(&key(1)).is_none() && near.look(&key(2)).is_some());
    near.keep(key(1), later, None);
    near.keep(key(1), under_way, None);
    assert_eq!(near.look(&key(1)).unwrap().result.len(), 2, "the newer one stays");
    near.forget_everywhere(&[tag(1)]).now_or_never().unwrap().unwrap();
    assert!(near.look(&key(1)).is_none());
}

#[test]
fn a_result_over_its_bound_is_not_kept_and_ends_the_one_before() {
    let (near, _clock) = near();
    assert!(near.largest >= 4 * MIB && near.largest <= 8 * MIB, "{}", near.largest);
    let largest = usize::try_from(near.largest - BESIDE).unwrap();
    near.keep(key(1), entry(&near, largest, &[]), None);
    assert_eq!(near.look(&key(1)).unwrap().result.len(), largest);
    near.keep(key(1), entry(&near, largest + 1, &[]), None);
    assert!(near.look(&key(1)).is_none());
}

#[test]
fn memory_stays_within_its_bound_under_floods_of_small_and_large_results() {
    for most in [MIB, 20 * MIB] {
        let clock = Clock::manual();
        let near = Near::new(most, clock);
        let mut count = 0;
        for (size, results) in [(0, 60_000), (60_000, 2_000), (300, 60_000), (1_000, 20_000)] {
            for _ in 0..results {
                count += 1;
                near.keep(key(count), entry(&near, size, &[tag(1)]), None);
                if count % 997 == 0 {
                    let usage = near.usage();
                    // A growing index may have twice the places that are taken.
                    let index = near.kept.memory_used().entries as u64;
                    assert!(usage.bytes + index <= most, "{size}: {usage:?}, {index}");
                }
            }
            let usage = near.usage();
            assert!(usage.bytes > most / 2, "{size}: it is used, too: {usage:?}");
            assert!(near.look(&key(count)).is_some());
        }
    }
}

#[test]
fn ten_million_distinct_results_stay_within_the_bound() {
    let near = Near::new(16 * MIB, Clock::manual());
    // One for all: it is their number that counts here, and what they are said to weigh.
    let fetched = Arc::new(entry(&near, 0, &[tag(1)]));
    let floods = |from: u64| {
        for n in from..from + 5_000_000 {
            near.put(key(n), Arc::clone(&fetched));
            if n % 65_536 == 0 {
                assert!(near.usage().bytes <= 16 * MIB, "{:?}", near.usage());
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| floods(0));
        scope.spawn(|| floods(5_000_000));
    });
    assert!(near.usage().entries > 20_000, "{:?}", near.usage());
}

#[test]
fn what_is_asked_for_often_outlives_a_flood_of_what_is_not() {
    let near = Near::new(4 * MIB, Clock::manual());
    (0..100).for_each(|n| near.keep(key(n), entry(&near, 1000, &[]), None));
    for n in 1000..20_000 {
        near.keep(key(n), entry(&near, 1000, &[]), None);
        assert!(near.look(&key(n % 100)).is_some() || n % 100 > 90);
    }
    let left = (0..100).filter(|n| near.look(&key(*n)).is_some()).count();
    assert!(left >= 90, "{left}");
}

#[test]
fn nobody_sees_what_was_forgotten_once_that_has_returned() {
    let near = Near::new(8 * MIB, Clock::system());
    // Per tag in which round its source is, and the round up to which all was forgotten.
    let (written, ended): ([AtomicU64; 4], [AtomicU64; 4]) = Default::default();
    let (stop, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let write = |tags: [usize; 2]| {
        for round in 1..1000 {
            for tagged in tags {
                written[tagged].store(round, Ordering::SeqCst);
                near.forget(&[tag(tagged as u64)]);
                ended[tagged].store(round, Ordering::SeqCst);
            }
            let before = seen.load(Ordering::Relaxed);
            while seen.load(Ordering::Relaxed) == before && !stop.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
        stop.store(true, Ordering::SeqCst);
    };
    let read = |tagged: usize| {
        let least = ended[tagged].load(Ordering::SeqCst);
        if let Some(found) = near.look(&key(tagged as u64)) {
            assert!(found.stored >= least, "fetched in {}, forgotten in {least}", found.stored);
            seen.fetch_add(1, Ordering::Relaxed);
        }
        // As a call does: first the stamp, then the source.
        let fetched = Entry { ttl: Duration::MAX, ..entry(&near, 10, &[tag(tagged as u64)]) };
        let fetched = Entry { stored: written[tagged].load(Ordering::SeqCst), ..fetched };
        near.keep(key(tagged as u64), fetched, None);
    };
    thread::scope(|scope| {
        let write = &write;
        for tags in [[0, 1], [2, 3]] {
            scope.spawn(move || write(tags));
        }
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    (0..4).for_each(read);
                }
            })
        });
        for reader in readers {
            let ended = reader.join();
            // Or the writers would wait for it.
            stop.store(true, Ordering::SeqCst);
            ended.unwrap();
        }
    });
    assert!(seen.load(Ordering::Relaxed) >= 999);
}

#[derive(Clone, Debug)]
enum Act {
    Begin(u64, Vec<u64>),
    Keep(usize),
    Forget(Vec<u64>),
    Pass(u64),
    Look(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let tags = || proptest::collection::vec(0..5_u64, 0..3);
    prop_oneof![
        (0..4_u64, tags()).prop_map(|(key, tags)| Act::Begin(key, tags)),
        any::<usize>().prop_map(Act::Keep),
        tags().prop_map(Act::Forget),
        (0..8_000_u64).prop_map(Act::Pass),
        (0..4_u64).prop_map(Act::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Against a model that remembers every order, and of each key the result that was kept last and was good then.
    #[test]
    fn a_lone_instance_agrees_with_the_model(acts in proptest::collection::vec(act(), 0..80)) {
        let (near, clock) = near();
        let mut orders: Vec<Vec<Tag>> = Vec::new();
        // Calls: key, result, and how many orders there were when they began.
        let mut under_way: Vec<(u64, Entry, usize)> = Vec::new();
        let mut kept: HashMap<u64, (Entry, usize)> = HashMap::new();
        let good = |orders: &[Vec<Tag>], entry: &Entry, since: usize| {
            !orders[since..].iter().flatten().any(|tag| entry.tags.contains(tag))
        };
        for (n, act) in acts.into_iter().enumerate() {
            match act {
                Act::Begin(at, tags) => {
                    let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                    under_way.push((at, entry(&near, n, &tags), orders.len()));
                }
                Act::Keep(which) if !under_way.is_empty() => {
                    let (at, mut entry, since) = under_way.swap_remove(which % under_way.len());
                    entry.stored = near.now();
                    near.keep(key(at), entry.clone(), None);
                    if good(&orders, &entry, since) {
                        kept.insert(at, (entry, since));
                    }
                }
                Act::Keep(_) => {}
                Act::Forget(tags) => {
                    let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                    near.forget(&tags);
                    orders.push(tags);
                }
                Act::Pass(millis) => clock.advance(Duration::from_millis(millis)),
                Act::Look(at) => {
                    let expected = kept.get(&at).filter(|(entry, since)| good(&orders, entry, *since));
                    let expected = expected.filter(|(entry, _)| entry.is_usable(near.now()));
                    assert_eq!(near.look(&key(at)).as_deref(), expected.map(|(entry, _)| entry));
                }
            }
        }
    }
}
