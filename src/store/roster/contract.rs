//! What every roster promises. Each law starts a store of its own.

use std::collections::BTreeMap;

use super::*;
use crate::clock::Clock;
use crate::store::BoxFuture;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);
/// Short, and long enough that a busy machine reports twice within it.
const SHORT: Duration = Duration::from_millis(400);
const DEADLINE: Duration = Duration::from_secs(60);

pub fn matter(n: u32) -> Matter {
    Matter { pool: PoolId(n / 1000), backend: BackendId(0x9e37_79b9 * u64::from(n)) }
}

pub fn order(n: u32, wish: Wish, by: &str) -> Order {
    Order::new(matter(n), wish, by, ("mcp", "127.0.0.1:3001/mcp"))
}

pub fn report(id: u64, card: &str) -> Report<'_> {
    Report { id: InstanceId(id), card, lasts: LONG, known: None, now: now() }
}

pub fn now() -> u64 {
    Clock::system().unix_millis()
}

/// What stands now, by matter.
pub async fn standing(roster: &dyn Roster) -> BTreeMap<Matter, Order> {
    let muster = roster.report(report(1, "reader")).await.unwrap();
    muster.orders.unwrap().into_iter().map(|order| (order.matter, order)).collect()
}

fn ids(muster: &Muster) -> Vec<u64> {
    muster.present.iter().map(|present| present.id.0).collect()
}

pub async fn suite(make: impl AsyncFn() -> Arc<dyn Roster>) {
    whoever_reports_is_seen_with_the_last_card(make().await).await;
    whoever_is_quiet_or_leaves_is_gone(make().await).await;
    there_is_an_end_of_cards(make().await).await;
    of_two_orders_the_later_counts(make().await).await;
    orders_are_told_to_whoever_does_not_know_them(make().await).await;
    a_reminder_restores_and_never_overrules(make().await).await;
    of_many_who_order_at_once_all_see_the_same(make().await).await;
    there_is_an_end_of_orders(make().await).await;
}

async fn whoever_reports_is_seen_with_the_last_card(roster: Arc<dyn Roster>) {
    let alone = roster.report(report(7, "one")).await.unwrap();
    assert_eq!((ids(&alone), &alone.orders), (vec![7], &Some(Vec::new())));
    assert!(alone.at.abs_diff(now()) < 60_000, "{alone:?}");
    let odd = "1 2 three \"vier\"\r\n\0 fünf";
    roster.report(report(u64::MAX, odd)).await.unwrap();
    roster.report(report(0, "")).await.unwrap();
    let muster = roster.report(report(7, "two")).await.unwrap();
    let cards: Vec<_> = muster.present.iter().map(|present| (present.id.0, &*present.card)).collect();
    assert_eq!(cards, [(0, ""), (7, "two"), (u64::MAX, odd)]);
    assert!(muster.present.iter().all(|present| present.age < DEADLINE), "{muster:?}");
    grows_older(&*roster, (7, "two")).await;
}

/// Reports as somebody until the first of all the others is older than it was.
async fn grows_older(roster: &dyn Roster, (id, card): (u64, &str)) {
    let age = async || {
        let muster = roster.report(report(id, card)).await.unwrap();
        muster.present.iter().find(|present| present.id.0 != id).unwrap().age
    };
    let before = age().await;
    let older = async {
        while age().await <= before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, older).await.expect("a card grows old");
}

async fn whoever_is_quiet_or_leaves_is_gone(roster: Arc<dyn Roster>) {
    roster.report(Report { lasts: SHORT, ..report(1, "quiet") }).await.unwrap();
    roster.report(report(2, "leaves")).await.unwrap();
    let gone = async {
        while ids(&roster.report(report(3, "stays")).await.unwrap()).contains(&1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.expect("a card falls");
    roster.leave(InstanceId(2)).await.unwrap();
    roster.leave(InstanceId(2)).await.unwrap();
    assert_eq!(ids(&roster.report(report(3, "stays")).await.unwrap()), [3]);
    roster.report(report(1, "back")).await.unwrap();
    assert_eq!(ids(&roster.report(report(3, "stays")).await.unwrap()), [1, 3]);
}

async fn there_is_an_end_of_cards(roster: Arc<dyn Roster>) {
    let large = "x".repeat(LARGEST_CARD + 1);
    let refused = roster.report(report(1, &large)).await;
    assert!(matches!(refused, Err(StoreError::BoundExceeded { limit: LARGEST_CARD, .. })), "{refused:?}");
    let whole = roster.report(report(1000, &large[1..])).await.unwrap();
    assert_eq!(whole.present[0].card.len(), LARGEST_CARD);
    grows_older(&*roster, (1001, "card")).await;
    let most = MOST_INSTANCES as u64;
    for id in 0..most + 3 {
        roster.report(report(id, "card")).await.unwrap();
    }
    let muster = roster.report(report(2000, "last")).await.unwrap();
    assert_eq!(muster.present.len(), MOST_INSTANCES);
    assert!(ids(&muster).contains(&2000) && ids(&muster).contains(&(most + 2)) && !ids(&muster).contains(&1000));
}

async fn of_two_orders_the_later_counts(roster: Arc<dyn Roster>) {
    let give = async |wish, by: &str| roster.order(order(1, wish, by), now()).await.unwrap();
    let mut last = 0;
    for round in 0..5 {
        for (wish, by) in [(Wish::Drain, "ann"), (Wish::Drain, "bob"), (Wish::Serve, "cleo \"c\"\n é")] {
            let given = give(wish, by).await;
            assert!(given.at > last, "round {round}: {given:?}");
            last = given.at;
            assert_eq!(standing(&*roster).await, BTreeMap::from([(matter(1), given)]));
        }
    }
    assert!(last.abs_diff(now()) < 60_000, "it is the time");
    // By the clock of an instance that is behind: it was given later all the same.
    let given = roster.order(order(1, Wish::Drain, "behind"), 5).await.unwrap();
    assert!(given.at > last);
    // By somebody who knows of one that is told later, and was given by a clock that is ahead.
    let known = given.at + 5_000_000;
    let after = roster.order(Order { at: known, ..order(1, Wish::Serve, "ahead") }, now()).await.unwrap();
    assert!(after.at > known && after.at < known + 5_000_000);
    assert_eq!(standing(&*roster).await[&matter(1)], after);
}

async fn orders_are_told_to_whoever_does_not_know_them(roster: Arc<dyn Roster>) {
    let first = roster.report(report(1, "a")).await.unwrap();
    let again = async |known| roster.report(Report { known, ..report(1, "a") }).await.unwrap();
    assert_eq!(again(Some(first.version)).await.orders, None);
    let mut known = first.version;
    for n in [3, 1, 2, 1003] {
        roster.order(order(n, Wish::Drain, "ann"), now()).await.unwrap();
        let told = again(Some(known)).await;
        assert_ne!(told.version, known);
        assert!(told.orders.unwrap().iter().any(|order| order.matter == matter(n)));
        known = told.version;
        assert_eq!(again(Some(known)).await.orders, None);
    }
    let all = again(None).await.orders.unwrap();
    assert!(all.is_sorted_by_key(|order| order.matter) && all.len() == 4, "{all:?}");
    roster.leave(InstanceId(1)).await.unwrap();
    assert_eq!(again(None).await.orders.unwrap(), all, "they outlive whoever gave them");
}

async fn a_reminder_restores_and_never_overrules(roster: Arc<dyn Roster>) {
    let at = |at: u64, n, wish| Order { at, ..order(n, wish, "ann") };
    let old = [at(1000, 1, Wish::Drain), at(2000, 2, Wish::Serve)];
    roster.remind(&old, now()).await.unwrap();
    let version = roster.report(report(1, "a")).await.unwrap().version;
    let stands = standing(&*roster).await;
    assert_eq!(stands.values().collect::<Vec<_>>(), [&old[0], &old[1]]);
    roster.remind(&[at(999, 1, Wish::Serve), at(1000, 1, Wish::Serve), at(2000, 2, Wish::Drain)], now()).await.unwrap();
    roster.remind(&[], now()).await.unwrap();
    let muster = roster.report(Report { known: Some(version), ..report(1, "a") }).await.unwrap();
    assert_eq!(muster.orders, None, "nothing has changed");
    roster.remind(&[at(999, 1, Wish::Serve), at(2001, 2, Wish::Drain)], now()).await.unwrap();
    let given = roster.order(order(1, Wish::Serve, "bob"), now()).await.unwrap();
    roster.remind(&[at(given.at - 1, 1, Wish::Drain), at(given.at, 1, Wish::Drain)], now()).await.unwrap();
    let stands = standing(&*roster).await;
    assert_eq!((&stands[&matter(1)], stands[&matter(2)].at), (&given, 2001));
}

async fn of_many_who_order_at_once_all_see_the_same(roster: Arc<dyn Roster>) {
    let give = |n: u32| -> BoxFuture<'static, Order> {
        let roster = Arc::clone(&roster);
        let wish = if n.is_multiple_of(2) { Wish::Drain } else { Wish::Serve };
        Box::pin(async move { roster.order(order(n % 3, wish, &n.to_string()), now()).await.unwrap() })
    };
    let tasks: Vec<_> = (0..60).map(|n| tokio::spawn(give(n))).collect();
    let mut given = Vec::new();
    for task in tasks {
        given.push(task.await.unwrap());
    }
    let stands = standing(&*roster).await;
    for n in 0..3 {
        let of: Vec<_> = given.iter().filter(|order| order.matter == matter(n)).collect();
        let latest = of.iter().max_by_key(|order| order.at).unwrap();
        assert_eq!(of.iter().filter(|order| order.at == latest.at).count(), 1, "no two count alike");
        assert_eq!(&stands[&matter(n)], *latest);
    }
}

async fn there_is_an_end_of_orders(roster: Arc<dyn Roster>) {
    let long = Order { by: "x".repeat(LONGEST_TEXT + 1).into(), ..order(1, Wish::Drain, "") };
    let refused = roster.order(long, now()).await;
    assert!(matches!(refused, Err(StoreError::BoundExceeded { limit: LONGEST_TEXT, .. })), "{refused:?}");
    let most = u32::try_from(MOST_ORDERS).unwrap();
    let at = |n: u32, wish| Order { at: u64::from(10 + n), ..order(n, wish, "ann") };
    let all: Vec<_> = (0..most).map(|n| at(n, if n < 2 { Wish::Serve } else { Wish::Drain })).collect();
    roster.remind(&all, now()).await.unwrap();
    for n in [most, most + 1] {
        let given = roster.order(order(n, Wish::Drain, "bob"), now()).await.unwrap();
        let stands = standing(&*roster).await;
        assert_eq!((stands.len(), &stands[&given.matter]), (MOST_ORDERS, &given));
        assert!(!stands.contains_key(&matter(n - most)), "the oldest withdrawal made room");
    }
    let refused = roster.order(order(most + 2, Wish::Drain, "bob"), now()).await;
    assert!(matches!(refused, Err(StoreError::BoundExceeded { limit: MOST_ORDERS, .. })), "{refused:?}");
    roster.remind(&[at(most + 2, Wish::Drain)], now()).await.unwrap();
    assert!(!standing(&*roster).await.contains_key(&matter(most + 2)));
    // One that stands can always be withdrawn.
    let given = roster.order(order(5, Wish::Serve, "bob"), now()).await.unwrap();
    assert_eq!(standing(&*roster).await[&matter(5)], given);
    roster.order(order(most + 2, Wish::Drain, "bob"), now()).await.unwrap();
}
