//! A store that can be reached, or not, as the test says; and instances that share it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::store::counters::memory::Memory;

/// How long the far store lets callers wait where it hangs.
pub const TIMEOUT: Duration = Duration::from_millis(20);

const QUICK: Pace = Pace { probe: Duration::from_millis(1), beat: Duration::from_millis(2) };

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
}

/// The store that all share, with a clock of its own.
#[derive(Debug)]
pub struct World {
    pub memory: Memory,
    pub clock: Clock,
    pub instances: AtomicU32,
}

impl World {
    pub fn new(instances: u32) -> Arc<Self> {
        let clock = Clock::manual();
        let memory = Memory::new(1000, clock.clone());
        Arc::new(Self { memory, clock, instances: AtomicU32::new(instances) })
    }

    pub async fn remaining(&self, charge: &Charge) -> u64 {
        self.memory.look(std::slice::from_ref(charge)).await.unwrap().standings[0].remaining
    }
}

/// One instance's way to the store.
#[derive(Debug)]
pub struct Link {
    world: Arc<World>,
    way: Mutex<Way>,
    calls: AtomicUsize,
}

impl Link {
    pub fn goes(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn way(&self) -> Way {
        *self.way.lock().unwrap()
    }

    async fn ask<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.way() {
            Way::Well => return Ok(work.await),
            Way::LosesAnswers => drop(work.await),
            Way::Down => {}
            Way::Hangs => tokio::time::sleep(TIMEOUT).await,
        }
        Err(StoreError::Unavailable { source: Arc::new(std::io::Error::other("cut off")) })
    }
}

impl Counters for Link {
    fn take<'a>(&'a self, charges: &'a [Charge], slot: SlotId) -> Soon<'a, Result<Taken, StoreError>> {
        Soon::Later(Box::pin(async move { self.ask(async { self.world.memory.take(charges, slot).await }).await? }))
    }

    fn correct(&self, corrections: Vec<Correction>) {
        if self.way() == Way::Well {
            self.world.memory.correct(corrections);
        }
    }

    fn hold<'a>(&'a self, charge: &'a Charge, lasts: Duration) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.ask(async { self.world.memory.hold(charge, lasts).await }).await? })
    }

    fn lift<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { self.ask(async { self.world.memory.lift(charge).await }).await? })
    }

    fn look<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Result<Taken, StoreError>> {
        Box::pin(async move { self.ask(async { self.world.memory.look(charges).await }).await? })
    }
}

impl Distant for Link {
    fn beat(&self) -> Answer<'_, Beat> {
        let instances = self.world.instances.load(Ordering::Relaxed);
        Box::pin(self.ask(async move { Beat { at: self.world.clock.micros(), instances } }))
    }

    fn owe<'a>(&'a self, debts: &'a [Charge]) -> BoxFuture<'a, Vec<usize>> {
        Box::pin(async {
            if self.way() != Way::Well {
                return (0..debts.len()).collect();
            }
            let at = self.world.clock.micros();
            let owed =
                |debt: &Charge| Correction::Cost { charge: Charge { cost: 0, ..debt.clone() }, at, actual: debt.cost };
            self.world.memory.correct(debts.iter().map(owed).collect());
            Vec::new()
        })
    }

    fn keep(&self, charge: &Charge, slot: SlotId) {
        let ample = Budget { measure: Measure::Slots(u64::MAX), ..Budget::clone(&charge.budget) };
        let charges = [Charge { budget: Arc::new(ample), ..charge.clone() }];
        let Soon::Now(Some(Ok(_))) = self.world.memory.take(&charges, slot) else { panic!("memory answers at once") };
    }
}

/// An instance: its counters, its own clock, its way to the store.
pub struct Instance {
    pub counters: Shared,
    pub clock: Clock,
    pub link: Arc<Link>,
}

impl Instance {
    pub async fn start(world: &Arc<World>, when_away: LimitsAway) -> Self {
        Self::start_skewed(world, when_away, Duration::ZERO).await
    }

    pub async fn start_skewed(world: &Arc<World>, when_away: LimitsAway, by: Duration) -> Self {
        let clock = Clock::manual();
        clock.advance(by);
        let link = Arc::new(Link { world: Arc::clone(world), way: Mutex::new(Way::Well), calls: AtomicUsize::new(0) });
        let near = Arc::new(Memory::new(1000, clock.clone()));
        let far = Arc::clone(&link) as Arc<dyn Distant>;
        let counters = Shared::start_at(QUICK, (far, near), (TIMEOUT, when_away), clock.clone());
        let instance = Self { counters, clock, link };
        let known = world.instances.load(Ordering::Relaxed);
        until("the instances are counted", || instance.counters.instances().get() == known).await;
        instance
    }

    pub async fn takes(&self, charges: &[Charge], slot: u64) -> Taken {
        self.counters.take(charges, SlotId(slot)).await.unwrap()
    }

    /// How many of so many are admitted.
    pub async fn admits(&self, charge: &Charge, tries: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..tries {
            admitted += usize::from(self.takes(std::slice::from_ref(charge), 0).await.refused.is_none());
        }
        admitted
    }

    /// Its way is broken, and it has found out, at no cost.
    pub async fn cut(&self, way: Way) {
        self.link.goes(way);
        until("the breaker opens", || self.counters.is_away()).await;
    }

    /// Its way is whole again, and the store knows what was admitted meanwhile.
    pub async fn heal(&self) {
        self.link.goes(Way::Well);
        until("the store is back", || !self.counters.is_away() && self.counters.desk.ledger.is_even()).await;
    }
}

/// Waits for something that must come to pass.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let comes = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), comes).await.unwrap_or_else(|_| panic!("never: {what}"));
}
