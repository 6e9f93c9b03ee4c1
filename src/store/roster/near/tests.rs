//! Instances that are cut off from the store, come back, and agree; over a store that loses what it had.

use std::collections::BTreeMap;
use std::future::ready;

use proptest::prelude::*;

use super::*;
use crate::store::Answer;
use crate::store::roster::contract::{matter, order};
use crate::store::roster::memory::Memory;

const LASTS: Duration = Duration::from_secs(6);

/// What becomes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Well,
    /// They fail, and nothing is done.
    Down,
    /// What they ask for is done, and they fail.
    LosesAnswers,
}

/// The store that all share. It can lose all it has.
#[derive(Debug, Default)]
struct World {
    memory: Mutex<Memory>,
}

/// One instance's way to the store.
#[derive(Debug)]
struct Link {
    world: Arc<World>,
    way: Mutex<Way>,
}

impl Link {
    fn ask<T: Send + 'static>(&self, work: impl FnOnce(&Memory) -> Result<T, StoreError>) -> Answer<'_, T> {
        let way = *self.way.lock().unwrap();
        let answer = match way {
            Way::Down => None,
            Way::Well | Way::LosesAnswers => Some(work(&self.world.memory.lock().unwrap())),
        };
        Box::pin(ready(match answer {
            Some(answer) if way == Way::Well => answer,
            _ => Err(Away::Slow.into()),
        }))
    }
}

impl Roster for Link {
    fn report<'a>(&'a self, report: Report<'a>) -> Answer<'a, Muster> {
        self.ask(|memory| memory.muster(&report))
    }

    fn order(&self, order: Order, now: u64) -> Answer<'_, Order> {
        self.ask(|memory| memory.give(order, now))
    }

    fn remind<'a>(&'a self, orders: &'a [Order], now: u64) -> Answer<'a, ()> {
        self.ask(|memory| {
            memory.learn(orders, now);
            Ok(())
        })
    }

    fn leave(&self, id: InstanceId) -> Answer<'_, ()> {
        self.ask(|memory| {
            memory.strike(id);
            Ok(())
        })
    }
}

struct Instance {
    id: InstanceId,
    near: Near,
    link: Arc<Link>,
}

impl Instance {
    fn start(id: u64, world: &Arc<World>, clock: &Clock) -> Self {
        let link = Arc::new(Link { world: Arc::clone(world), way: Mutex::new(Way::Well) });
        let near = Near::new(Arc::clone(&link) as Arc<dyn Roster>, Duration::from_secs(1), clock.clone());
        Self { id: InstanceId(id), near, link }
    }

    fn goes(&self, way: Way) {
        *self.link.way.lock().unwrap() = way;
    }

    async fn report(&self) {
        self.near.report(self.id, &format!("card of {}", self.id.0), LASTS).await;
    }

    async fn orders(&self, n: u32, wish: Wish) -> Given {
        self.near.order(order(n, wish, &self.id.to_string())).await.unwrap()
    }

    fn stands(&self, n: u32) -> Option<Wish> {
        self.near.orders().iter().find(|order| order.matter == matter(n)).map(|order| order.wish)
    }

    fn sees(&self) -> Vec<u64> {
        self.near.picture().present.iter().map(|present| present.id.0).collect()
    }
}

fn three(clock: &Clock) -> (Arc<World>, [Instance; 3]) {
    let world = Arc::<World>::default();
    let instances = [1, 2, 3].map(|id| Instance::start(id, &world, clock));
    (world, instances)
}

async fn all_report(instances: &[Instance]) {
    for instance in instances {
        instance.report().await;
    }
}

#[tokio::test]
async fn the_last_picture_stands_while_the_store_is_away_and_says_that_it_is_old() {
    let clock = Clock::manual();
    let (_, instances) = three(&clock);
    let [a, b, _] = &instances;
    assert_eq!(a.near.picture(), Picture { present: Vec::new(), old: Some(Duration::ZERO) }, "nobody has answered yet");
    all_report(&instances).await;
    a.report().await;
    assert_eq!((a.sees(), a.near.picture().old), (vec![1, 2, 3], None));
    a.goes(Way::Down);
    for _ in 0..5 {
        clock.advance(Duration::from_secs(2));
        a.report().await;
        b.report().await;
    }
    let picture = a.near.picture();
    assert_eq!((a.sees(), picture.old), (vec![1, 2, 3], Some(Duration::from_secs(10))));
    assert!(picture.present.iter().all(|present| present.age == Duration::from_secs(10)));
    assert_eq!((b.sees(), b.near.picture().old), (vec![2], None), "the others have not heard of it");
    a.goes(Way::Well);
    a.report().await;
    assert_eq!((a.sees(), a.near.picture().old), (vec![1, 2], None));
    a.near.leave(a.id).await.unwrap();
    b.report().await;
    assert_eq!(b.sees(), [2]);
}

#[tokio::test]
async fn an_order_that_is_given_while_the_store_is_away_holds_here_and_is_told_later() {
    for way in [Way::Down, Way::LosesAnswers] {
        let clock = Clock::manual();
        let (_, instances) = three(&clock);
        let [a, b, _] = &instances;
        all_report(&instances).await;
        a.goes(way);
        let given = a.orders(1, Wish::Drain).await;
        assert!(!given.is_told);
        assert_eq!((a.stands(1), b.stands(1)), (Some(Wish::Drain), None));
        a.report().await;
        a.goes(Way::Well);
        clock.advance(Duration::from_secs(2));
        a.report().await;
        all_report(&instances).await;
        assert!(instances.iter().all(|instance| instance.stands(1) == Some(Wish::Drain)), "{way:?}");
    }
}

#[tokio::test]
async fn of_two_orders_on_both_sides_of_a_cut_the_one_that_was_given_later_counts() {
    for cut_off_is_later in [false, true] {
        let clock = Clock::manual();
        let (_, instances) = three(&clock);
        let [a, b, c] = &instances;
        all_report(&instances).await;
        a.goes(Way::Down);
        let (first, second) = if cut_off_is_later { (b, a) } else { (a, b) };
        first.orders(1, Wish::Drain).await;
        clock.advance(Duration::from_secs(1));
        second.orders(1, Wish::Serve).await;
        a.goes(Way::Well);
        all_report(&instances).await;
        all_report(&instances).await;
        assert_eq!([a.stands(1), b.stands(1), c.stands(1)], [Some(Wish::Serve); 3]);
    }
}

#[tokio::test]
async fn a_store_that_has_lost_its_orders_is_told_them_again() {
    let clock = Clock::manual();
    let (world, instances) = three(&clock);
    let [a, b, c] = &instances;
    all_report(&instances).await;
    a.orders(1, Wish::Drain).await;
    b.orders(2, Wish::Serve).await;
    all_report(&instances).await;
    *world.memory.lock().unwrap() = Memory::default();
    // One that knows less than the others gives an order before they have looked.
    let late = Instance::start(4, &world, &clock);
    late.orders(3, Wish::Drain).await;
    for instance in [c, &late, c] {
        instance.report().await;
    }
    for instance in [c, &late] {
        let stands = [1, 2, 3].map(|n| instance.stands(n));
        assert_eq!(stands, [Some(Wish::Drain), Some(Wish::Serve), Some(Wish::Drain)]);
    }
}

#[derive(Clone, Debug)]
enum Act {
    Goes(usize, Way),
    Orders(usize, u32, Wish),
    Reports(usize),
    Passes(u64),
    StoreForgets,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ways = prop_oneof![3 => Just(Way::Well), 2 => Just(Way::Down), 1 => Just(Way::LosesAnswers)];
    let wishes = prop_oneof![Just(Wish::Drain), Just(Wish::Serve)];
    let act = prop_oneof![
        4 => (0..3_usize, ways).prop_map(|(who, way)| Act::Goes(who, way)),
        6 => (0..3_usize, 0..4_u32, wishes).prop_map(|(who, n, wish)| Act::Orders(who, n, wish)),
        6 => (0..3_usize).prop_map(Act::Reports),
        4 => (0..5_u64).prop_map(Act::Passes),
        1 => Just(Act::StoreForgets),
    ];
    prop::collection::vec(act, 0..60)
}

async fn live_through(acts: Vec<Act>) {
    let clock = Clock::manual();
    let (world, instances) = three(&clock);
    let mut given: BTreeMap<Matter, Vec<Order>> = BTreeMap::new();
    for act in acts {
        match act {
            Act::Goes(who, way) => instances[who].goes(way),
            Act::Reports(who) => instances[who].report().await,
            Act::Passes(millis) => clock.advance(Duration::from_millis(millis)),
            Act::StoreForgets => {
                // No server starts within the moment in which it has ended.
                clock.advance(Duration::from_secs(1));
                *world.memory.lock().unwrap() = Memory::default();
            }
            Act::Orders(who, n, wish) => {
                let order = instances[who].orders(n, wish).await.order;
                assert_eq!(instances[who].stands(n), Some(order.wish), "it holds at once where it is given");
                given.entry(order.matter).or_default().push(order);
            }
        }
    }
    instances.iter().for_each(|instance| instance.goes(Way::Well));
    for _ in 0..3 {
        all_report(&instances).await;
    }
    let all = instances[0].near.orders();
    assert!(instances.iter().all(|instance| instance.near.orders() == all), "all agree");
    let known: Vec<Matter> = all.iter().map(|order| order.matter).collect();
    assert_eq!(known, given.keys().copied().collect::<Vec<_>>());
    for order in all {
        let latest = given[&order.matter].iter().map(|order| order.at).max();
        assert!(latest <= Some(order.at), "nothing that was given later is overruled: {order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn whatever_happens_all_agree_on_the_latest_orders_in_the_end(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live_through(acts));
    }
}
