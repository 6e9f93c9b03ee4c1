//! A store that can be reached, or not, as the test says; and instances that share it. A right never falls here by itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::broadcast;

use super::*;

/// How long the store lets callers wait where it hangs.
const TIMEOUT: Duration = Duration::from_millis(20);

pub const QUICK: Pace = Pace { probe: Duration::from_millis(1), poll: 2, renewal: Duration::from_millis(1) };

/// What becomes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Well,
    /// They fail at once, and nothing is done.
    Down,
    /// They fail after a while, and nothing is done.
    Hangs,
    /// What they ask for is done, and they fail.
    LosesAnswers,
    /// Those about orders wait until it is otherwise, and no news come.
    DeafToOrders,
}

/// The store that all share.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    news: broadcast::Sender<News>,
    loses_news: AtomicBool,
    renewals: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// Who leads; `None` for the mark that there is no result.
    rights: HashMap<Key, Option<RightId>>,
    orders: Vec<(Tag, Order)>,
    last: Order,
    floor: Order,
}

impl World {
    pub fn new() -> Arc<Self> {
        let state = Mutex::new(State { last: order(1000), ..State::default() });
        let (news, _) = broadcast::channel(1000);
        Arc::new(Self { state, news, loses_news: AtomicBool::new(false), renewals: AtomicUsize::new(0) })
    }

    pub fn has(&self, n: u64) -> bool {
        self.state().entries.contains_key(&key(n))
    }

    pub fn is_led(&self, n: u64) -> bool {
        self.state().rights.contains_key(&key(n))
    }

    pub fn renewals(&self) -> usize {
        self.renewals.load(Ordering::Relaxed)
    }

    pub fn loses_news(&self, loses: bool) {
        self.loses_news.store(loses, Ordering::Relaxed);
    }

    /// As a replica that was behind when it was made primary.
    pub fn loses_orders(&self) {
        let mut state = self.state();
        (state.last, state.floor) = (order(1), order(0));
        state.orders.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn tell(&self, news: News) {
        if !self.loses_news.load(Ordering::Relaxed) {
            let _ = self.news.send(news);
        }
    }

    fn claim(&self, key: &Key, asking: Asking) -> Found {
        let mut state = self.state();
        let wanted = |entry: &&Entry| asking.unwanted.is_none_or(|order| Order::of(entry.stamp) > order);
        let entry = state.entries.get(key).filter(wanted).cloned();
        match (entry, state.rights.get(key)) {
            (Some(entry), _) if entry.is_fresh(asking.now) => Found::Here(entry),
            (_, Some(None)) => Found::Void,
            (entry, Some(Some(_))) => Found::Theirs(entry),
            (entry, None) => {
                state.rights.insert(*key, Some(asking.right));
                Found::Yours(entry)
            }
        }
    }

    fn work(&self, key: Key, work: &Work) {
        let mut state = self.state();
        let end = |state: &mut State, right: RightId| {
            let was = state.rights.get(&key) == Some(&Some(right));
            if was {
                state.rights.remove(&key);
            }
            was
        };
        match work {
            Work::Keep(entry, right) => {
                let stamp = Order::of(entry.stamp).stamp();
                state.entries.insert(key, Entry { stamp, ..Entry::clone(entry) });
                right.map(|right| end(&mut state, right));
            }
            Work::Release(right) => drop(end(&mut state, *right)),
            Work::Void(right) => {
                if end(&mut state, *right) {
                    state.rights.insert(key, None);
                }
            }
            Work::Renew(_) => {
                self.renewals.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.tell(News::Changed(key));
    }

    fn forget(&self, tags: Option<&[Tag]>, known: Order) -> Told {
        let mut state = self.state();
        let before = state.last;
        let number = order(before.max(known).number() + 1);
        state.last = number;
        if tags.is_none() || before < known {
            state.floor = number;
        }
        state.orders.extend(tags.unwrap_or_default().iter().map(|tag| (*tag, number)));
        let told = Told { before, order: number, floor: state.floor };
        self.tell(News::Forgotten(told, tags.unwrap_or_default().to_vec()));
        told
    }

    fn orders(&self, since: Order) -> Orders {
        let state = self.state();
        let tags = state.orders.iter().filter(|(_, order)| *order > since).copied().collect();
        Orders { last: state.last, floor: state.floor, tags }
    }
}

/// One instance's way to the store.
#[derive(Debug)]
pub struct Link {
    world: Arc<World>,
    way: Mutex<Way>,
    asked: AtomicUsize,
    news: tokio::sync::Mutex<broadcast::Receiver<News>>,
}

impl Link {
    pub fn goes(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// How many calls were made, the polls not counted, since this was asked last.
    pub fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    fn way(&self) -> Way {
        *self.way.lock().unwrap()
    }

    async fn ask<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        match self.way() {
            Way::Well | Way::DeafToOrders => return Ok(work.await),
            Way::LosesAnswers => drop(work.await),
            Way::Down => {}
            Way::Hangs => tokio::time::sleep(TIMEOUT).await,
        }
        Err(Away::Slow.into())
    }

    async fn ask_about_orders<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        while self.way() == Way::DeafToOrders {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.ask(work).await
    }
}

impl Distant for Link {
    fn look<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.ask(async move { self.world.state().entries.get(key).cloned() }))
    }

    fn claim<'a>(&'a self, key: &'a Key, asking: Asking) -> Answer<'a, Found> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.ask(async move { self.world.claim(key, asking) }))
    }

    fn work<'a>(&'a self, works: &'a [(Key, Work)], _now: u64) -> Answer<'a, ()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.ask(async move { works.iter().for_each(|(key, work)| self.world.work(*key, work)) }))
    }

    fn forget<'a>(&'a self, tags: Option<&'a [Tag]>, known: Order) -> Answer<'a, Told> {
        Box::pin(self.ask_about_orders(async move { self.world.forget(tags, known) }))
    }

    fn orders(&self, since: Order) -> Answer<'_, Orders> {
        Box::pin(self.ask_about_orders(async move { self.world.orders(since) }))
    }

    fn hear(&self) -> BoxFuture<'_, News> {
        Box::pin(async {
            loop {
                let heard = self.news.lock().await.recv().await;
                match heard {
                    Ok(news) if matches!(self.way(), Way::Well | Way::LosesAnswers) => return news,
                    Ok(_) => {}
                    Err(_) => std::future::pending().await,
                }
            }
        })
    }
}

/// An instance: its results, its own clock, its way to the store.
pub struct Instance {
    pub shared: Shared,
    pub clock: Clock,
    pub link: Arc<Link>,
}

impl Instance {
    pub async fn start(world: &Arc<World>) -> Self {
        Self::start_at(QUICK, world).await
    }

    pub async fn start_at(pace: Pace, world: &Arc<World>) -> Self {
        let clock = Clock::manual();
        let link = Arc::new(Link {
            world: Arc::clone(world),
            way: Mutex::new(Way::Well),
            asked: AtomicUsize::new(0),
            news: tokio::sync::Mutex::new(world.news.subscribe()),
        });
        let near = Near::new(200 << 20, clock.clone());
        let far = Arc::clone(&link) as Arc<dyn Distant>;
        let instance = Self { shared: Shared::start_at(pace, (far, near), TIMEOUT, clock.clone()), clock, link };
        instance.until("the store is believed", || !instance.shared.is_away()).await;
        instance
    }

    /// Keeps a result without the right to.
    pub fn keeps(&self, n: u64, text: &str, tags: &[Tag]) {
        self.shared.keep(key(n), entry(&self.shared, self.clock.unix_millis(), text, tags), None);
    }

    /// Waits for something that must come to pass.
    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let comes = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, comes).await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}
