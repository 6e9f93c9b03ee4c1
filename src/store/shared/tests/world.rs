//! A far store that several instances share, and everything that can happen to it and to the way there: it fails, hangs,
//! does the work and loses the answer, is emptied, fails over to a copy that missed the last writes.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, broadcast};

use crate::clock::Clock;
use crate::config::WhenAway;
use crate::names::{Epoch, SessionId};
use crate::store::contract::{berth, fresh, key};
use crate::store::memory::Memory;
use crate::store::shared::{Pace, Shared, SharedSettings};
use crate::store::{
    Answer, Berth, BoxFuture, Claimed, Created, JournalEdit, KeyRing, Lease, Lookup, Moved, MoverId, Notice, Record,
    SealingKey, Seen, Sessions, StoreError, Sweep,
};

/// How long a call is waited for in these tests: nothing that answers at all is slower.
pub const TIMEOUT: Duration = Duration::from_millis(20);

const QUICK: Pace =
    Pace { probe: Duration::from_millis(1), round: Duration::from_millis(3), settle: Duration::from_millis(10) };

const SETTINGS: SharedSettings = SharedSettings {
    limit: 1000,
    lifetime: Duration::from_secs(86_400),
    timeout: TIMEOUT,
    when_away: WhenAway::Accept,
};

/// What becomes of the calls on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Well,
    /// They take a while.
    Slow,
    /// They fail at once, and nothing is done.
    Down,
    /// They are never answered, and nothing is done.
    Hangs,
    /// What they ask for is done, and they fail.
    LosesAnswers,
}

/// The store that all share.
pub struct World {
    memory: Mutex<Arc<Memory>>,
    ways: Mutex<BTreeMap<usize, Way>>,
    /// What was done, and who was within hearing.
    said: broadcast::Sender<(Vec<usize>, Notice)>,
}

/// A copy of what the store held.
pub struct Copy {
    records: Vec<(SessionId, Lookup)>,
    ring: KeyRing,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { memory: Mutex::default(), ways: Mutex::default(), said: broadcast::Sender::new(1024) })
    }

    pub fn link(self: &Arc<Self>, name: usize) -> Arc<Link> {
        let heard = AsyncMutex::new(self.said.subscribe());
        self.ways.lock().unwrap().insert(name, Way::Well);
        Arc::new(Link { world: Arc::clone(self), name, calls: AtomicUsize::new(0), heard })
    }

    pub fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory.lock().unwrap())
    }

    pub fn empty(&self) {
        *self.memory.lock().unwrap() = Arc::default();
    }

    pub async fn copy(&self, ids: impl IntoIterator<Item = SessionId>) -> Copy {
        let memory = self.memory();
        let mut records = Vec::new();
        for id in ids {
            records.push((id, memory.load(id).await.unwrap()));
        }
        let ring = memory.map_for_tests().ring();
        Copy { records, ring }
    }

    /// Another primary, that knows what stood in the copy.
    pub async fn fail_over(&self, copy: &Copy) {
        let memory = Memory::default();
        for (id, lookup) in &copy.records {
            match lookup {
                Lookup::Live(record) => drop(memory.adopt(*id, Record::clone(record)).await.unwrap()),
                Lookup::Ended => drop(memory.end(*id, u64::MAX).await.unwrap()),
                Lookup::Unknown => {}
            }
        }
        for key in copy.ring.as_slice() {
            memory.add_key(key.clone()).await.unwrap();
        }
        *self.memory.lock().unwrap() = Arc::new(memory);
    }

    pub async fn live(&self, id: SessionId) -> Arc<Record> {
        match self.memory().load(id).await.unwrap() {
            Lookup::Live(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// A link that is cut hears nothing, and nobody hears himself.
    fn say(&self, name: usize, notice: Notice) {
        let ways = self.ways.lock().unwrap();
        let hear = ways.iter().filter(|(other, way)| **other != name && **way == Way::Well).map(|(other, _)| *other);
        // Nobody may be listening.
        drop(self.said.send((hear.collect(), notice)));
    }
}

/// One instance's way to the store.
pub struct Link {
    world: Arc<World>,
    name: usize,
    calls: AtomicUsize,
    heard: AsyncMutex<broadcast::Receiver<(Vec<usize>, Notice)>>,
}

impl Link {
    pub fn goes(&self, way: Way) {
        self.world.ways.lock().unwrap().insert(self.name, way);
    }

    pub fn way(&self) -> Way {
        self.world.ways.lock().unwrap()[&self.name]
    }

    /// How many calls have been made.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn before(&self) -> Result<Arc<Memory>, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.way() {
            Way::Well | Way::LosesAnswers => Ok(self.world.memory()),
            Way::Slow => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(self.world.memory())
            }
            Way::Down => Err(cut_off()),
            Way::Hangs => pending().await,
        }
    }

    fn after<T>(&self, answer: Result<T, StoreError>, notice: Option<Notice>) -> Result<T, StoreError> {
        if let Some(notice) = notice {
            self.world.say(self.name, notice);
        }
        if self.way() == Way::LosesAnswers { Err(cut_off()) } else { answer }
    }
}

fn cut_off() -> StoreError {
    StoreError::Unavailable { source: Arc::new(std::io::Error::other("cut off")) }
}

macro_rules! through {
    ($link:ident, $memory:ident => $call:expr) => {
        through!($link, $memory => $call, |_| None)
    };
    ($link:ident, $memory:ident => $call:expr, $notice:expr) => {
        Box::pin(async move {
            let $memory = $link.before().await?;
            let answer = $call.await;
            let notice = answer.as_ref().ok().and_then($notice);
            $link.after(answer, notice)
        })
    };
}

impl Sessions for Link {
    fn keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        through!(self, memory => memory.keys(offer))
    }
    fn add_key(&self, key: SealingKey) -> Answer<'_, KeyRing> {
        through!(self, memory => memory.add_key(key), |_| Some(Notice::Keys))
    }
    fn create(&self, id: SessionId, record: Record) -> Answer<'_, Created> {
        through!(self, memory => memory.create(id, record))
    }
    fn load(&self, id: SessionId) -> Answer<'_, Lookup> {
        through!(self, memory => memory.load(id))
    }
    fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Answer<'_, Moved> {
        let moved = Notice::Moved(id, berth.clone());
        through!(self, memory => memory.moor(id, expected, berth), |answer| (*answer == Moved::Done).then_some(moved))
    }
    fn note(&self, id: SessionId, edit: JournalEdit) -> Answer<'_, bool> {
        through!(self, memory => memory.note(id, edit))
    }
    fn touch<'a>(&'a self, seen: &'a [Seen]) -> Answer<'a, Vec<(SessionId, Lookup)>> {
        through!(self, memory => memory.touch(seen))
    }
    fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Answer<'_, Claimed> {
        through!(self, memory => memory.claim(id, expected, lease))
    }
    fn release(&self, id: SessionId, mover: MoverId) -> Answer<'_, ()> {
        through!(self, memory => memory.release(id, mover))
    }
    fn end(&self, id: SessionId, until: u64) -> Answer<'_, Option<Arc<Record>>> {
        through!(self, memory => memory.end(id, until), |was| was.as_ref().map(|_| Notice::Ended(id)))
    }
    fn expire(&self, sweep: Sweep) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        through!(self, memory => memory.expire(sweep))
    }
    fn census(&self) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        through!(self, memory => memory.census())
    }
    fn count(&self) -> Answer<'_, usize> {
        through!(self, memory => memory.count())
    }
    fn flush(&self) -> Answer<'_, ()> {
        through!(self, memory => memory.flush())
    }
    fn adopt(&self, id: SessionId, record: Record) -> Answer<'_, Lookup> {
        through!(self, memory => memory.adopt(id, record))
    }
    fn hear(&self) -> BoxFuture<'_, Notice> {
        Box::pin(async move {
            loop {
                let (hear, notice) = match self.heard.lock().await.recv().await {
                    Ok(said) => said,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => pending().await,
                };
                if hear.contains(&self.name) {
                    return notice;
                }
            }
        })
    }
    fn is_shared(&self) -> bool {
        true
    }
    fn is_away(&self) -> bool {
        false
    }
}

/// An instance: its shared store, and its link to the far one.
pub struct Instance {
    pub store: Arc<Shared>,
    pub link: Arc<Link>,
}

impl Instance {
    pub fn start(world: &Arc<World>, name: usize) -> Self {
        Self::start_with(world, name, WhenAway::Accept)
    }

    pub fn start_with(world: &Arc<World>, name: usize, when_away: WhenAway) -> Self {
        Self::start_at(QUICK, world, name, when_away)
    }

    fn start_at(pace: Pace, world: &Arc<World>, name: usize, when_away: WhenAway) -> Self {
        let settings = SharedSettings { when_away, ..SETTINGS };
        Self::start_as(pace, world, name, settings)
    }

    /// One that waits only this long, for tests in which it waits often.
    pub fn start_impatient(world: &Arc<World>, name: usize, timeout: Duration) -> Self {
        Self::start_as(QUICK, world, name, SharedSettings { timeout, ..SETTINGS })
    }

    fn start_as(pace: Pace, world: &Arc<World>, name: usize, settings: SharedSettings) -> Self {
        let link = world.link(name);
        let store = Shared::start_at(pace, Arc::clone(&link) as Arc<dyn Sessions>, &settings, Clock::system());
        Self { store, link }
    }

    /// One whose keeper comes round so seldom that it finds nothing by itself.
    pub fn start_inattentive(world: &Arc<World>, name: usize) -> Self {
        let never = Duration::from_secs(3600);
        Self::start_at(Pace { round: never, ..QUICK }, world, name, WhenAway::Accept)
    }

    /// Its way is broken, and it has found out.
    pub async fn cut(&self, way: Way) {
        self.link.goes(way);
        let mut asked = 0;
        while !self.store.is_away() {
            assert!(asked < 10, "the breaker has not opened");
            drop(self.store.load(SessionId(0xdead)).await);
            asked += 1;
        }
    }

    /// Its way is whole again, and what it knows was written back.
    pub async fn heal(&self) {
        self.link.goes(Way::Well);
        until("the store is back", async || !self.store.is_away() && self.is_written()).await;
    }

    pub fn is_written(&self) -> bool {
        self.store.pair.near.count_unwritten() == 0
    }

    /// That the far store takes a while for the others to come back is over.
    pub async fn settle(&self) {
        until("settled", async || !self.store.pair.is_settling()).await;
    }

    pub async fn with_one(&self, id: SessionId) -> Record {
        let record = fresh(now());
        assert_eq!(self.store.create(id, record.clone()).await.unwrap(), Created::Done);
        record
    }

    pub async fn live(&self, id: SessionId) -> Arc<Record> {
        match self.store.load(id).await.unwrap() {
            Lookup::Live(record) => record,
            other => panic!("{other:?}"),
        }
    }

    pub async fn moors(&self, id: SessionId, expected: u32, berth: &Berth) -> Moved {
        self.store.moor(id, Epoch(expected), berth.clone()).await.unwrap()
    }

    /// The next notice, which must come.
    pub async fn hears(&self) -> Notice {
        tokio::time::timeout(Duration::from_secs(10), self.store.hear()).await.expect("nothing is heard")
    }
}

/// A berth of that epoch at a backend of that number.
pub fn at(backend: u64, epoch: u32) -> Berth {
    Berth { backend: crate::names::BackendId(backend), ..berth(epoch) }
}

pub fn now() -> u64 {
    Clock::system().unix()
}

pub fn seen(id: SessionId, epoch: u32) -> Seen {
    Seen { id, at: now(), epoch: Epoch(epoch) }
}

pub fn lease(mover: u64) -> Lease {
    Lease { mover: MoverId(mover), now_millis: Clock::system().unix_millis(), lasts: Duration::from_secs(60) }
}

pub fn sealing(id: u32) -> SealingKey {
    key(id, u64::from(id))
}

/// Waits for something that must come to pass.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let comes = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), comes).await.unwrap_or_else(|_| panic!("never: {what}"));
}
