//! The law behind all the named cases: whatever two instances do while their ways to the store break, come back and lie, and
//! while the store forgets, in the end there is one truth and both know it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::world::{Copy, Instance, Way, World, at, now, sealing};
use crate::clock::Clock;
use crate::names::{Epoch, SessionId};
use crate::store::contract::fresh;
use crate::store::{
    Berth, Claimed, Created, JournalEdit, Lease, Lookup, Moved, MoverId, Notice, SealingKey, Seen, Sessions,
};

const SESSIONS: u128 = 4;
/// Short, for in these tests many calls hang.
const WAITS: Duration = Duration::from_millis(2);

#[derive(Clone, Debug)]
enum Act {
    Create(usize, SessionId),
    Find(usize, SessionId),
    Note(usize, SessionId),
    Move(usize, SessionId),
    /// Both at once.
    Race(SessionId),
    End(usize, SessionId),
    Upkeep(usize),
    Rotate(usize),
    Go(usize, Way),
    Empty,
    CopyStore,
    FailOver,
    Pause,
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 0..2_usize;
    let id = || (0..SESSIONS).prop_map(SessionId);
    let way =
        prop_oneof![3 => Just(Way::Well), 2 => Just(Way::Down), 1 => Just(Way::Hangs), 2 => Just(Way::LosesAnswers)];
    prop_oneof![
        3 => (who(), id()).prop_map(|(who, id)| Act::Create(who, id)),
        6 => (who(), id()).prop_map(|(who, id)| Act::Find(who, id)),
        2 => (who(), id()).prop_map(|(who, id)| Act::Note(who, id)),
        6 => (who(), id()).prop_map(|(who, id)| Act::Move(who, id)),
        2 => id().prop_map(Act::Race),
        1 => (who(), id()).prop_map(|(who, id)| Act::End(who, id)),
        2 => who().prop_map(Act::Upkeep),
        1 => who().prop_map(Act::Rotate),
        4 => (who(), way).prop_map(|(who, way)| Act::Go(who, way)),
        1 => Just(Act::Empty),
        1 => Just(Act::CopyStore),
        1 => Just(Act::FailOver),
        4 => Just(Act::Pause),
    ]
}

/// What a session station would believe, and what it was promised.
struct Station {
    instance: Instance,
    believes: BTreeMap<SessionId, Berth>,
    keys: BTreeSet<u32>,
}

/// What must hold in the end.
#[derive(Default)]
struct Promises {
    created: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
    epochs: BTreeMap<SessionId, Epoch>,
    keys: BTreeSet<u32>,
    /// Numbers backends and movers, so that no two are the same.
    count: u64,
}

struct Run {
    world: Arc<World>,
    stations: [Station; 2],
    promises: Promises,
    copy: Option<Copy>,
}

impl Station {
    fn new(world: &Arc<World>, name: usize) -> Self {
        let instance = Instance::start_impatient(world, name, WAITS);
        Self { instance, believes: BTreeMap::new(), keys: BTreeSet::new() }
    }

    fn learns(&mut self, id: SessionId, lookup: Lookup) {
        match lookup {
            Lookup::Live(record) => drop(self.believes.insert(id, record.berth.clone())),
            Lookup::Ended => drop(self.believes.remove(&id)),
            Lookup::Unknown => assert!(!self.believes.contains_key(&id), "{id} was promised and is unknown"),
        }
    }

    async fn finds(&mut self, id: SessionId) {
        if let Ok(lookup) = self.instance.store.load(id).await {
            self.learns(id, lookup);
        }
    }

    /// The epoch that it has brought the session to.
    async fn moves(&mut self, id: SessionId, number: u64) -> Option<Epoch> {
        let lies = self.believes.get(&id)?.epoch;
        let store = Arc::clone(&self.instance.store);
        let lasts = Duration::from_millis(1);
        let lease = Lease { mover: MoverId(number), now_millis: Clock::system().unix_millis(), lasts };
        match store.claim(id, lies, lease).await.ok()? {
            Claimed::Yours => {}
            Claimed::Theirs => return None,
            Claimed::Moved(berth) => {
                self.hears(Notice::Moved(id, berth));
                return None;
            }
            Claimed::Gone => {
                self.believes.remove(&id);
                return None;
            }
        }
        tokio::task::yield_now().await;
        let berth = at(number, lies.0 + 1);
        match store.moor(id, lies, berth.clone()).await.ok()? {
            Moved::Done => {
                self.believes.insert(id, berth.clone());
                return Some(berth.epoch);
            }
            Moved::Lost(berth) => self.hears(Notice::Moved(id, berth)),
            Moved::Gone => drop(self.believes.remove(&id)),
        }
        store.release(id, MoverId(number)).await.unwrap();
        None
    }

    /// Whatever waits to be heard.
    async fn listens(&mut self) {
        let store = Arc::clone(&self.instance.store);
        while let Ok(notice) = tokio::time::timeout(Duration::from_millis(1), store.hear()).await {
            self.hears(notice);
        }
    }

    fn hears(&mut self, notice: Notice) {
        match notice {
            Notice::Ended(id) => drop(self.believes.remove(&id)),
            Notice::Moved(id, berth) => {
                if let Some(held) = self.believes.get_mut(&id).filter(|held| held.epoch <= berth.epoch) {
                    *held = berth;
                }
            }
            Notice::Keys | Notice::Orders => {}
        }
    }

    async fn upkeep(&mut self) {
        self.listens().await;
        let seen = |(id, berth): (&SessionId, &Berth)| Seen { id: *id, at: now(), epoch: berth.epoch };
        let seen: Vec<_> = self.believes.iter().map(seen).collect();
        for (id, lookup) in self.instance.store.touch(&seen).await.unwrap() {
            self.learns(id, lookup);
        }
    }

    async fn rotates(&mut self, number: u64) -> u32 {
        let id = u32::try_from(number).unwrap();
        let ring = self.instance.store.add_key(SealingKey { made: number, ..sealing(id) }).await.unwrap();
        assert!(ring.find(id).is_some());
        assert!(self.keys.iter().all(|held| ring.find(*held).is_some()), "a key was lost");
        self.keys.extend(ring.as_slice().iter().map(|key| key.id));
        id
    }
}

impl Run {
    fn new() -> Self {
        let world = World::new();
        let stations = [0, 1].map(|name| Station::new(&world, name));
        Self { world, stations, promises: Promises::default(), copy: None }
    }

    fn number(&mut self) -> u64 {
        self.promises.count += 1;
        self.promises.count
    }

    async fn act(&mut self, act: Act) {
        let number = self.number();
        match act {
            Act::Create(who, id) => self.create(who, id).await,
            Act::Find(who, id) => self.stations[who].finds(id).await,
            Act::Note(who, id) => {
                let edit = JournalEdit::Subscribe(format!("a:{number}").into());
                drop(self.stations[who].instance.store.note(id, edit).await);
            }
            Act::Move(who, id) => {
                let epoch = self.stations[who].moves(id, number).await;
                self.reached(id, epoch);
            }
            Act::Race(id) => {
                let second = self.number();
                let [one, two] = &mut self.stations;
                let (first, second) = tokio::join!(one.moves(id, number), two.moves(id, second));
                self.reached(id, first.max(second));
            }
            Act::End(who, id) => {
                self.stations[who].instance.store.end(id, now() + 1000).await.unwrap();
                self.stations[who].believes.remove(&id);
                self.promises.ended.insert(id);
            }
            Act::Upkeep(who) => self.stations[who].upkeep().await,
            Act::Rotate(who) => {
                let key = self.stations[who].rotates(number).await;
                self.promises.keys.insert(key);
            }
            Act::Go(who, way) => self.stations[who].instance.link.goes(way),
            Act::Empty => self.world.empty(),
            Act::CopyStore => {
                let markers = [0, 1].map(|who: usize| self.stations[who].instance.store.pair.marker);
                let ids = (0..SESSIONS).map(SessionId).chain(markers);
                self.copy = Some(self.world.copy(ids).await);
            }
            Act::FailOver => {
                if let Some(copy) = &self.copy {
                    self.world.fail_over(copy).await;
                }
            }
            Act::Pause => tokio::time::sleep(Duration::from_millis(3)).await,
        }
    }

    async fn create(&mut self, who: usize, id: SessionId) {
        // Ids are random: no two instances make the same one.
        if self.promises.created.contains(&id) || self.promises.ended.contains(&id) {
            return;
        }
        let record = fresh(now());
        if let Ok(Created::Done) = self.stations[who].instance.store.create(id, record.clone()).await {
            self.promises.created.insert(id);
            self.stations[who].believes.insert(id, record.berth);
        }
    }

    fn reached(&mut self, id: SessionId, epoch: Option<Epoch>) {
        if let Some(epoch) = epoch {
            let highest = self.promises.epochs.entry(id).or_default();
            *highest = epoch.max(*highest);
        }
    }

    /// All ways are whole again; what is still wrong once nothing changes any more.
    async fn heal(&mut self) -> Result<(), String> {
        for station in &self.stations {
            station.instance.link.goes(Way::Well);
        }
        let clock = Clock::system();
        let until = clock.now() + Duration::from_secs(10);
        loop {
            for station in &mut self.stations {
                station.upkeep().await;
            }
            let Err(wrong) = self.check().await else { return Ok(()) };
            if clock.now() > until {
                return Err(wrong);
            }
        }
    }

    async fn check(&self) -> Result<(), String> {
        let memory = self.world.memory();
        for id in (0..SESSIONS).map(SessionId) {
            let held = memory.load(id).await.unwrap();
            let beliefs = self.stations.iter().filter_map(|station| station.believes.get(&id));
            match &held {
                Lookup::Live(record) => {
                    let highest = self.promises.epochs.get(&id).copied().unwrap_or_default();
                    wrong_if(record.berth.epoch < highest, || format!("{id} fell back from {highest:?}: {record:?}"))?;
                    for belief in beliefs {
                        wrong_if(*belief != record.berth, || format!("{id} at two berths: {belief:?}, {record:?}"))?;
                    }
                    wrong_if(self.promises.ended.contains(&id), || format!("{id} has ended, and lives"))?;
                }
                Lookup::Ended => {
                    wrong_if(beliefs.count() > 0, || format!("{id} has ended, and is believed to live"))?;
                    wrong_if(!self.promises.ended.contains(&id), || format!("{id} was ended by nobody"))?;
                }
                Lookup::Unknown => wrong_if(self.promises.created.contains(&id), || format!("{id} is lost"))?,
            }
        }
        let ring = memory.map_for_tests().ring();
        let lacks = |ring: &crate::store::KeyRing| self.promises.keys.iter().any(|key| ring.find(*key).is_none());
        wrong_if(lacks(&ring), || format!("the ring lacks a key: {ring:?}"))?;
        for station in &self.stations {
            let ours = station.instance.store.pair.near.map().ring();
            wrong_if(ours.newest().is_some() && ours != ring, || format!("two rings: {ours:?}, {ring:?}"))?;
            wrong_if(station.instance.store.is_away(), || "still away".to_owned())?;
        }
        Ok(())
    }
}

fn wrong_if(wrong: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if wrong { Err(what()) } else { Ok(()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 300, ..ProptestConfig::default() })]
    #[test]
    fn after_any_partition_there_is_one_truth_and_both_know_it(acts in prop::collection::vec(act(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new();
            for act in acts {
                run.act(act).await;
            }
            if let Err(wrong) = run.heal().await {
                panic!("{wrong}");
            }
        });
    }
}
