//! Instances over a store that can be reached, or not, and that says what the test has it say.

mod link;

use super::*;
use crate::store::results::contract::{entry, here, key, lead, tag};
use link::{Instance, QUICK, Way, World};

const LONG: Duration = Duration::from_secs(20);

fn order(number: u64) -> Order {
    Order::new(number).unwrap()
}

#[test]
fn an_order_given_here_counts_before_the_store_has_numbered_it_and_never_for_a_later_one() {
    let (one, next) = (order(1_800_000_000_000), order(1_800_000_000_001));
    let given_here = Stamp(one.stamp().0 + 1);
    assert!(one.stamp() < given_here && given_here < next.stamp());
    assert_eq!((Order::of(given_here), Order::of(next.stamp())), (one, next));
    assert_eq!((Order::new(1 << 42), Order::new(u64::MAX)), (None, None));
}

#[tokio::test]
async fn a_result_of_the_store_is_not_shown_while_an_order_is_on_its_way_there() {
    let world = World::new();
    let (one, other) = (Instance::start(&world).await, Instance::start(&world).await);
    one.keeps(1, "old", &[tag(1)]);
    one.until("it is at the store", || world.has(1)).await;
    // Told of nothing, though it answers to all else.
    other.link.goes(Way::DeafToOrders);
    other.shared.forget(&[tag(1)]);
    assert_eq!(lead(other.shared.claim(&key(1)).await).stale, None, "it was fetched before");
    assert_eq!(here(one.shared.claim(&key(1)).await), "old", "it cannot know yet");
    other.link.goes(Way::Well);
    one.until("it is told", || one.shared.look(&key(1)).is_none()).await;
    assert_eq!(lead(one.shared.wait(&key(1), LONG).await).stale, None);
}

#[tokio::test]
async fn a_result_of_an_instance_that_knows_more_orders_is_forgotten_by_one_given_here_later() {
    let world = World::new();
    let (one, other) = (Instance::start(&world).await, Instance::start(&world).await);
    // It hears nothing from now on.
    other.link.goes(Way::DeafToOrders);
    one.shared.forget_everywhere(&[tag(9)]).await.unwrap();
    one.keeps(1, "old", &[tag(1)]);
    one.keeps(2, "old", &[tag(2)]);
    one.until("both are at the store", || world.has(1) && world.has(2)).await;
    assert_eq!(here(other.shared.claim(&key(1)).await), "old");
    assert!(Order::of(one.shared.stamp()) > Order::of(other.shared.stamp()));
    other.shared.forget(&[tag(1), tag(2)]);
    assert!(other.shared.look(&key(1)).is_none(), "though it was taken over before");
    for n in [1, 2] {
        assert_eq!(lead(other.shared.claim(&key(n)).await).stale, None, "nor is it taken over now");
    }
}

#[tokio::test]
async fn who_has_not_heard_of_late_what_was_forgotten_does_not_believe_the_store() {
    let world = World::new();
    let (one, other) = (Instance::start(&world).await, Instance::start(&world).await);
    one.keeps(1, "old", &[tag(1)]);
    one.until("it is at the store", || world.has(1)).await;
    other.link.goes(Way::DeafToOrders);
    one.shared.forget(&[tag(1)]);
    one.keeps(2, "new", &[]);
    one.until("it is at the store", || world.has(2)).await;
    other.link.asked();
    other.clock.advance(BELIEVED);
    assert!(other.shared.is_away());
    let given = lead(other.shared.claim(&key(2)).await);
    assert_eq!((given.stale.is_none(), other.link.asked()), (true, 0), "nor does it ask");
    other.link.goes(Way::Well);
    other.until("it is in step", || !other.shared.is_away()).await;
    assert_eq!(here(other.shared.wait(&key(2), LONG).await), "new");
    assert!(other.shared.look(&key(1)).is_none());
}

#[tokio::test]
async fn lost_news_are_noticed_by_the_next() {
    let world = World::new();
    // Once it is in step it asks no more by itself.
    let never = Pace { poll: u32::MAX, ..QUICK };
    let (one, other) = (Instance::start(&world).await, Instance::start_at(never, &world).await);
    (1..4).for_each(|n| other.keeps(n, "result", &[tag(n)]));
    world.loses_news(true);
    one.shared.forget_everywhere(&[tag(1)]).await.unwrap();
    world.loses_news(false);
    one.shared.forget_everywhere(&[tag(2)]).await.unwrap();
    other.until("both are forgotten", || [1, 2].iter().all(|n| other.shared.look(&key(*n)).is_none())).await;
    assert!(other.shared.look(&key(3)).is_some());
}

#[tokio::test]
async fn a_store_that_has_lost_orders_makes_all_forget() {
    // Found out by its poll, or by the next order.
    for poll in [QUICK.poll, u32::MAX] {
        let world = World::new();
        let (one, other) = (Instance::start(&world).await, Instance::start_at(Pace { poll, ..QUICK }, &world).await);
        one.shared.forget_everywhere(&[tag(1)]).await.unwrap();
        other.until("it is heard of", || other.shared.stamp() >= order(1001).stamp()).await;
        other.keeps(3, "result", &[tag(3)]);
        world.loses_orders();
        one.shared.forget(&[tag(2)]);
        other.until("what may have been lost counts", || other.shared.look(&key(3)).is_none()).await;
    }
}

#[tokio::test]
async fn a_right_of_which_nobody_heard_is_given_back() {
    let world = World::new();
    let (one, other) = (Instance::start(&world).await, Instance::start(&world).await);
    one.link.goes(Way::LosesAnswers);
    drop(lead(one.shared.claim(&key(1)).await));
    one.link.goes(Way::Well);
    drop(lead(other.shared.wait(&key(1), LONG).await));
    // And one whose caller has given up.
    one.link.goes(Way::Hangs);
    assert!(tokio::time::timeout(Duration::from_millis(1), one.shared.claim(&key(2))).await.is_err());
    one.link.goes(Way::Well);
    drop(lead(other.shared.wait(&key(2), LONG).await));
}

#[tokio::test]
async fn nobody_waits_for_a_store_that_is_away_and_it_is_told_all_when_it_is_back() {
    let world = World::new();
    let (one, other) = (Instance::start(&world).await, Instance::start(&world).await);
    other.keeps(1, "old", &[tag(1)]);
    for way in [Way::Down, Way::Hangs] {
        one.link.goes(way);
        one.until("it is noticed", || one.shared.is_away()).await;
        one.link.asked();
        for n in 10..110 {
            let given = lead(one.shared.wait(&key(n), LONG).await);
            one.shared.keep(key(n), entry(&one.shared, one.clock.unix_millis(), "alone", &[tag(n)]), Some(given));
            assert_eq!(here(one.shared.claim(&key(n)).await), "alone");
            one.shared.forget(&[tag(n), tag(1)]);
            assert!(one.shared.look(&key(n)).is_none());
        }
        assert!(matches!(one.shared.forget_everywhere(&[]).await, Err(StoreError::Unavailable { .. })));
        assert!(one.link.asked() < 50, "its probes alone");
        one.link.goes(Way::Well);
        one.until("it is back", || !one.shared.is_away()).await;
        other.until("it was told", || other.shared.look(&key(1)).is_none()).await;
        other.keeps(1, "old again", &[tag(1)]);
    }
}

#[tokio::test]
async fn what_is_too_large_for_the_store_keeps_nobody_waiting() {
    let world = World::new();
    let (one, other) = (Instance::start(&world).await, Instance::start(&world).await);
    let given = lead(one.shared.claim(&key(1)).await);
    let text = "x".repeat((8 << 20) + 1);
    one.shared.keep(key(1), entry(&one.shared, one.clock.unix_millis(), &text, &[]), Some(given));
    assert!(matches!(other.shared.wait(&key(1), LONG).await, Claim::Alone));
    assert!(!world.has(1));
}

#[tokio::test]
async fn a_right_is_renewed_while_it_is_held_and_no_longer() {
    let world = World::new();
    let one = Instance::start(&world).await;
    let given = lead(one.shared.claim(&key(1)).await);
    let renewals = world.renewals();
    one.until("it is renewed", || world.renewals() > renewals + 2).await;
    drop(given);
    one.until("it is given back", || !world.is_led(1)).await;
    assert!(one.shared.desk.works.held.is_empty());
    let given = lead(one.shared.claim(&key(2)).await);
    given.is_void();
    assert!(one.shared.desk.works.held.is_empty());
}
