//! The swap of a berth under its epoch, in every order in which movers, an ender and the lapse of leases can meet: claim,
//! replay, moor, give back. Each step of the protocol is one call of the map, and between any two of them anything else
//! may happen; `shuttle` goes through all interleavings of the scripts, none by chance. (That a call of the map is itself
//! one step is held by the contract's laws on many threads.)

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::thread;

use super::Map;
use crate::names::{BackendId, Epoch, SessionId};
use crate::store::contract::{berth, fresh};
use crate::store::{Berth, Claimed, Lease, Lookup, Moved, MoverId, Record};

const ID: SessionId = SessionId(1);
/// Far more than there are: all of them are gone through.
const MOST: usize = 2_000_000;

/// What one mover has come to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Believes {
    /// It has moved the session to its own backend.
    Moved(Berth),
    /// Somebody else has.
    Learned(Berth),
    /// The session has ended.
    Gone,
    /// Somebody else is at it, or was when it looked last.
    Waits,
    /// It could not rebuild the session, and has given the right back.
    GaveUp,
    /// It died.
    Died,
}

/// What becomes of a mover while it replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Succeeds,
    Fails,
    Dies,
}

use Fate::{Dies, Fails, Succeeds};

/// What all that take part can see.
struct Stage {
    map: Map,
    /// The time, in milliseconds.
    now: Mutex<u64>,
    /// How many replay at the same time, and the most that ever did.
    replaying: Mutex<(usize, usize)>,
}

impl Stage {
    fn new() -> Arc<Self> {
        let stage = Self { map: Map::new(10), now: Mutex::new(1000), replaying: Mutex::default() };
        assert!(stage.map.create(ID, fresh(1)).is_ok());
        Arc::new(stage)
    }

    /// The berth to which that mover would bring the session.
    fn berth_of(mover: u64, epoch: Epoch) -> Berth {
        Berth { backend: BackendId(mover), ..berth(epoch.0) }
    }

    fn claim(&self, mover: u64, lies: Epoch) -> Claimed {
        let lease = Lease { mover: MoverId(mover), now_millis: *self.now.lock().unwrap(), lasts: LEASE };
        self.map.claim(ID, lies, lease)
    }

    fn replays(&self, more: isize) {
        let mut replaying = self.replaying.lock().unwrap();
        replaying.0 = replaying.0.checked_add_signed(more).unwrap();
        replaying.1 = replaying.1.max(replaying.0);
    }

    /// One move from that epoch, step by step. Its thread may begin at any time: no step is left out before the first.
    fn moves(&self, mover: u64, lies: Epoch, fate: Fate) -> Believes {
        match self.claim(mover, lies) {
            Claimed::Yours => {}
            Claimed::Theirs => return self.looks_again(lies),
            Claimed::Moved(berth) => return Believes::Learned(berth),
            Claimed::Gone => return Believes::Gone,
        }
        self.replays(1);
        thread::yield_now();
        self.replays(-1);
        match fate {
            Dies => Believes::Died,
            Fails => {
                self.map.release(ID, MoverId(mover));
                Believes::GaveUp
            }
            Succeeds => {
                let berth = Self::berth_of(mover, Epoch(lies.0 + 1));
                match self.map.moor(ID, lies, berth.clone()).unwrap() {
                    Moved::Done => Believes::Moved(berth),
                    Moved::Lost(berth) => Believes::Learned(berth),
                    Moved::Gone => Believes::Gone,
                }
            }
        }
    }

    fn looks_again(&self, lies: Epoch) -> Believes {
        thread::yield_now();
        match self.map.load(ID) {
            Lookup::Live(record) if record.berth.epoch > lies => Believes::Learned(record.berth.clone()),
            Lookup::Live(_) => Believes::Waits,
            Lookup::Ended | Lookup::Unknown => Believes::Gone,
        }
    }

    fn held(&self) -> Option<Arc<Record>> {
        match self.map.load(ID) {
            Lookup::Live(record) => Some(record),
            Lookup::Ended | Lookup::Unknown => None,
        }
    }
}

const LEASE: Duration = Duration::from_millis(100);

/// Beside the movers.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    /// The session is ended at some time.
    ends: bool,
    /// All leases that are held at some time run out.
    lapses: bool,
}

/// Goes through every order of such movers; how many there were.
fn in_every_order(fates: &'static [Fate], beside: Beside) -> usize {
    let runs = Arc::new(Mutex::new(0));
    let count = Arc::clone(&runs);
    let one_run = move || {
        *count.lock().unwrap() += 1;
        let stage = Stage::new();
        let movers: Vec<_> = (1..)
            .zip(fates)
            .map(|(mover, fate)| {
                let stage = Arc::clone(&stage);
                thread::spawn(move || stage.moves(mover, Epoch(0), *fate))
            })
            .collect();
        let lapse = beside.lapses.then(|| {
            let stage = Arc::clone(&stage);
            thread::spawn(move || *stage.now.lock().unwrap() += 1000)
        });
        let end = beside.ends.then(|| {
            let stage = Arc::clone(&stage);
            thread::spawn(move || stage.map.end(ID, 9999))
        });
        let believe: Vec<_> = movers.into_iter().map(|mover| mover.join().unwrap()).collect();
        lapse.into_iter().for_each(|lapse| lapse.join().unwrap());
        let was = end.map(|end| end.join().unwrap().expect("one ends it, and gets the record"));
        judge(&stage, &believe, was.as_deref(), beside);
    };
    shuttle::check_dfs(one_run, Some(MOST));
    let runs = *runs.lock().unwrap();
    assert!(runs < MOST, "not all orders were gone through");
    println!("{runs} orders of {fates:?}, {beside:?}");
    runs
}

/// What must hold after every run.
fn judge(stage: &Stage, believe: &[Believes], was: Option<&Record>, beside: Beside) {
    let winners: Vec<_> = believe
        .iter()
        .filter_map(|believes| if let Believes::Moved(berth) = believes { Some(berth) } else { None })
        .collect();
    assert!(winners.len() <= 1, "two have moved it: {believe:?}");
    let lies = winners.first().copied();
    for learned in believe {
        match learned {
            Believes::Learned(berth) => assert_eq!(Some(berth), lies, "{believe:?}"),
            Believes::Gone => assert!(was.is_some(), "gone, and nobody has ended it: {believe:?}"),
            Believes::Moved(_) | Believes::Waits | Believes::GaveUp | Believes::Died => {}
        }
    }
    let stands = lies.cloned().unwrap_or_else(|| berth(0));
    match (was, stage.held()) {
        (Some(was), held) => {
            assert_eq!(held, None, "an end always wins");
            assert_eq!(was.berth, stands, "whoever ends it is told where it lay");
            assert_eq!(stage.claim(99, Epoch(1)), Claimed::Gone);
        }
        (None, held) => {
            let held = held.expect("nobody has ended it");
            assert_eq!(held.berth, stands);
            assert_eq!(held.berth.epoch, Epoch(u32::from(lies.is_some())));
            // Whoever died holds the right until its lease is over, and nobody else does.
            *stage.now.lock().unwrap() += 1000;
            assert_eq!(stage.claim(99, held.berth.epoch), Claimed::Yours, "nobody can go on: {believe:?}");
        }
    }
    let most = stage.replaying.lock().unwrap().1;
    assert!(beside.lapses || most <= 1, "{most} have replayed at once, and no lease has run out");
}

#[test]
fn of_three_movers_one_wins_in_every_order() {
    let runs = in_every_order(&[Succeeds, Succeeds, Succeeds], Beside::default());
    assert!(runs > 500, "{runs}");
}

#[test]
fn an_end_wins_in_every_order() {
    let runs = in_every_order(&[Succeeds, Succeeds, Fails], Beside { ends: true, lapses: false });
    assert!(runs > 5000, "{runs}");
}

#[test]
fn a_lease_that_runs_out_lets_two_replay_and_one_win_in_every_order() {
    let runs = in_every_order(&[Succeeds, Succeeds], Beside { ends: true, lapses: true });
    assert!(runs > 1000, "{runs}");
}

#[test]
fn a_mover_that_fails_or_dies_leaves_the_way_free_in_every_order() {
    for fates in [&[Fails, Succeeds], &[Dies, Succeeds], &[Dies, Fails], &[Dies, Dies]] {
        for lapses in [false, true] {
            let runs = in_every_order(fates, Beside { ends: false, lapses });
            assert!(runs > 15, "{runs}");
        }
    }
}

/// Two movers of which each then moves on: every epoch has one berth, whoever wins it.
#[test]
fn each_epoch_has_one_berth_in_every_order() {
    let one_run = || {
        let stage = Stage::new();
        let movers: Vec<_> = (1..=2)
            .map(|mover| {
                let stage = Arc::clone(&stage);
                thread::spawn(move || {
                    let first = stage.moves(mover, Epoch(0), Succeeds);
                    let lies = match &first {
                        Believes::Moved(berth) | Believes::Learned(berth) => berth.epoch,
                        _ => return vec![first],
                    };
                    thread::yield_now();
                    let second = stage.moves(mover + 10, lies, Succeeds);
                    vec![first, second]
                })
            })
            .collect();
        let believe: Vec<_> = movers.into_iter().flat_map(|mover| mover.join().unwrap()).collect();
        let mut history: Vec<_> = believe
            .iter()
            .filter_map(|believes| if let Believes::Moved(berth) = believes { Some(berth.clone()) } else { None })
            .collect();
        history.sort_by_key(|berth| berth.epoch);
        let epochs: Vec<_> = history.iter().map(|berth| berth.epoch.0).collect();
        assert_eq!(epochs, (1..=u32::try_from(epochs.len()).unwrap()).collect::<Vec<_>>(), "{believe:?}");
        for learned in &believe {
            if let Believes::Learned(berth) = learned {
                assert!(history.contains(berth), "{believe:?}");
            }
        }
        assert_eq!(stage.held().map(|held| held.berth.clone()), history.last().cloned());
    };
    shuttle::check_dfs(one_run, Some(MOST));
}

/// One instance is cut off and moves the session in its own copy, once or twice; another moves it in the store, or ends it.
/// In whatever order they meet again, all come to the same.
#[test]
fn a_partition_heals_in_every_order() {
    for (moves, ends) in [(1, false), (2, false), (1, true), (2, true)] {
        shuttle::check_dfs(move || one_partition(moves, ends), Some(MOST));
    }
}

fn one_partition(moves: u32, ends: bool) {
    let maps = [0; 3].map(|_| Arc::new(Map::new(10)));
    assert!(maps.iter().all(|map| map.create(ID, fresh(1)).is_ok()));
    let [far, cut, other] = maps.clone();
    let away = thread::spawn(move || {
        for epoch in 0..moves {
            assert_eq!(cut.moor(ID, Epoch(epoch), at(1, epoch + 1)).unwrap(), Moved::Done);
        }
        meets(&far, &cut);
    });
    let far = Arc::clone(&maps[0]);
    let there = thread::spawn(move || {
        if let Moved::Done = far.moor(ID, Epoch(0), at(2, 1)).unwrap() {
            other.take_berth(ID, &at(2, 1));
        }
        meets(&far, &other);
    });
    let far = Arc::clone(&maps[0]);
    let end = ends.then(|| thread::spawn(move || drop(far.end(ID, 9999))));
    away.join().unwrap();
    there.join().unwrap();
    end.into_iter().for_each(|end| end.join().unwrap());
    let [far, cut, other] = maps;
    // Each compares once more when all is quiet, as the keeper does.
    for map in [&cut, &other] {
        meets(&far, map);
    }
    let [far, cut, other] = [far, cut, other].map(|map| match map.load(ID) {
        Lookup::Live(record) => Some(record.berth.clone()),
        Lookup::Ended | Lookup::Unknown => None,
    });
    assert!(far == cut && far == other, "{far:?} {cut:?} {other:?}");
    assert_eq!(far.is_none(), ends, "an end always wins");
    let highest = far.map_or(moves, |berth| berth.epoch.0);
    assert!(highest >= moves, "the highest epoch wins");
}

/// An instance writes back what it holds, and takes over what the store holds then.
fn meets(far: &Map, near: &Map) {
    let Lookup::Live(held) = near.load(ID) else { return };
    // Nobody else sees the copy: the one step that others can come before is the store's.
    thread::yield_now();
    let found = far.adopt(ID, Record::clone(&held)).unwrap();
    match found {
        Lookup::Live(found) => drop(near.take(ID, &found, Some(&held))),
        Lookup::Ended => drop(near.end(ID, 9999)),
        Lookup::Unknown => panic!("adopt never says that"),
    }
}

fn at(backend: u64, epoch: u32) -> Berth {
    Berth { backend: BackendId(backend), ..berth(epoch) }
}
