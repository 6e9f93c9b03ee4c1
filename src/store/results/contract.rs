//! What every store of results promises, alone or shared. Each law starts a store of its own.

use std::time::Duration;

use super::*;
use crate::clock::Clock;

pub fn key(n: u64) -> Key {
    // Spread, as digests are.
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    Key(bytes)
}

pub fn tag(n: u64) -> Tag {
    Tag((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A result that was fetched just now: fresh for ten seconds, and stale for five.
pub fn entry(results: &dyn Results, now: u64, text: &str, tags: &[Tag]) -> Entry {
    Entry {
        result: Bytes::copy_from_slice(text.as_bytes()),
        stored: now,
        ttl: Duration::from_secs(10),
        stale: Duration::from_secs(5),
        tags: tags.into(),
        stamp: results.stamp(),
    }
}

/// The right to a call, which must be given.
pub fn lead(claim: Claim) -> Lead {
    match claim {
        Claim::Lead(lead) => lead,
        other => panic!("{other:?}"),
    }
}

/// A fresh result, which must be there.
pub fn here(claim: Claim) -> String {
    match claim {
        Claim::Here(entry) => String::from_utf8(entry.result.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub async fn suite(make: impl AsyncFn(Clock) -> Arc<dyn Results>) {
    let make = async || {
        let clock = Clock::manual();
        (make(clock.clone()).await, clock)
    };
    a_result_is_there_at_once_until_its_times_are_over(make().await).await;
    what_is_forgotten_is_gone_for_all_who_were_under_way(make().await).await;
    a_right_that_was_given_back_is_given_again(make().await).await;
    a_call_without_a_result_keeps_nobody_waiting(make().await).await;
}

async fn a_result_is_there_at_once_until_its_times_are_over((results, clock): (Arc<dyn Results>, Clock)) {
    let now = || clock.unix_millis();
    assert!(results.look(&key(1)).is_none());
    let lead_of_one = lead(results.claim(&key(1)).await);
    assert_eq!(lead_of_one.stale, None);
    results.keep(key(1), entry(&*results, now(), "one", &[tag(1)]), Some(lead_of_one));
    assert!(results.look(&key(1)).unwrap().is_fresh(now()));
    assert_eq!((here(results.claim(&key(1)).await).as_str(), results.usage().entries), ("one", 1));
    assert_eq!(results.peek(&key(1)).await.unwrap().result, "one");
    assert!(results.peek(&key(2)).await.is_none());
    clock.advance(Duration::from_secs(10));
    assert!(!results.look(&key(1)).unwrap().is_fresh(now()));
    assert!(results.peek(&key(1)).await.is_none(), "what is stale is for whoever makes the call");
    let again = lead(results.claim(&key(1)).await);
    assert_eq!(again.stale.as_ref().unwrap().result, "one");
    clock.advance(Duration::from_secs(5));
    assert!(results.look(&key(1)).is_none());
    results.keep(key(1), entry(&*results, now(), "two", &[]), Some(again));
    assert_eq!(here(results.claim(&key(1)).await), "two");
}

async fn what_is_forgotten_is_gone_for_all_who_were_under_way((results, clock): (Arc<dyn Results>, Clock)) {
    let now = || clock.unix_millis();
    let under_way = entry(&*results, now(), "old", &[tag(1), tag(2)]);
    results.keep(key(1), under_way.clone(), None);
    results.keep(key(2), entry(&*results, now(), "other", &[tag(3)]), None);
    let before = results.stamp();
    results.forget(&[tag(2)]);
    assert!(results.look(&key(1)).is_none() && results.look(&key(2)).is_some() && results.stamp() > before);
    let given = lead(results.claim(&key(1)).await);
    assert_eq!(given.stale, None, "nor is it shown as stale");
    results.keep(key(1), under_way, Some(given));
    assert!(results.look(&key(1)).is_none());
    results.keep(key(1), entry(&*results, now(), "new", &[tag(1), tag(2)]), None);
    assert_eq!(results.look(&key(1)).unwrap().result, "new");
    results.forget_everywhere(&[tag(1)]).await.unwrap();
    assert!(results.look(&key(1)).is_none());
    assert_eq!(results.look(&key(2)).unwrap().result, "other");
}

async fn a_right_that_was_given_back_is_given_again((results, _): (Arc<dyn Results>, Clock)) {
    let long = Duration::from_secs(60);
    for _ in 0..3 {
        drop(lead(results.wait(&key(1), long).await));
    }
}

async fn a_call_without_a_result_keeps_nobody_waiting((results, _): (Arc<dyn Results>, Clock)) {
    lead(results.claim(&key(1)).await).is_void();
    let claim = results.wait(&key(1), Duration::from_secs(60)).await;
    assert!(matches!(claim, Claim::Alone | Claim::Lead(_)), "{claim:?}");
}
