//! What only counters in memory promise: how many they keep, who goes first, and that nobody notices who has gone.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::config::Rate;
use crate::store::counters::{Block, Budget, BudgetId, Standing, Subject, contract};

const SECOND: Duration = Duration::from_secs(1);

fn rate(count: u64, seconds: u64) -> Rate {
    Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(seconds) }
}

fn gcra(count: u64, seconds: u64, burst: u64) -> Measure {
    Measure::Gcra { rate: rate(count, seconds), burst }
}

fn budget(id: u64, measure: Measure, block: Option<(u32, u32)>) -> Arc<Budget> {
    let block = block.map(|(first, most)| Block { first: first * SECOND, most: most * SECOND });
    Arc::new(Budget { id: BudgetId(id), name: "any".into(), measure, block })
}

fn charge(budget: &Arc<Budget>, subject: u128) -> Charge {
    Charge { budget: Arc::clone(budget), subject: Subject(subject), cost: 1 }
}

fn take(memory: &Memory, charges: &[Charge], slot: u64) -> Taken {
    memory.take(charges, SlotId(slot)).now_or_never().expect("memory answers at once").unwrap()
}

fn admits(memory: &Memory, charge: &Charge) -> bool {
    take(memory, std::slice::from_ref(charge), 0).refused.is_none()
}

fn look(memory: &Memory, charge: &Charge) -> Standing {
    memory.look(std::slice::from_ref(charge)).now_or_never().unwrap().unwrap().standings[0]
}

fn assert_sound(memory: &Memory) {
    for number in 0..memory.shards.len() {
        assert!(memory.lock(number).is_sound(memory.clock.micros()), "shard {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_the_contract() {
    let clock = Clock::manual();
    let make = async || Arc::new(Memory::new(100_000, clock.clone())) as Arc<dyn Counters>;
    contract::suite(make, async |by| clock.advance(by)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_the_contract_under_the_machines_own_clock() {
    let make = async || Arc::new(Memory::new(100_000, Clock::system())) as Arc<dyn Counters>;
    contract::suite(make, tokio::time::sleep).await;
}

/// What is done to counters.
#[derive(Clone, Debug)]
enum Act {
    Take(Vec<(usize, u128, u64)>),
    Correct { which: usize, actual: u64 },
    GiveBack(usize),
    Hold(usize, u128, u64),
    Lift(usize, u128),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let pick = || (0..7_usize, 0..6_u128);
    let charges = prop::collection::btree_map(pick(), 0..4_u64, 1..5)
        .prop_map(|charges| charges.into_iter().map(|((budget, subject), cost)| (budget, subject, cost)).collect());
    let act = prop_oneof![
        10 => charges.prop_map(Act::Take),
        2 => (0..100_usize, 0..8_u64).prop_map(|(which, actual)| Act::Correct { which, actual }),
        4 => (0..100_usize).prop_map(Act::GiveBack),
        1 => (pick(), 0..3000_u64).prop_map(|((budget, subject), millis)| Act::Hold(budget, subject, millis)),
        1 => pick().prop_map(|(budget, subject)| Act::Lift(budget, subject)),
        5 => prop_oneof![0..5000_u64, 0..3_000_000_u64].prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..150)
}

fn budgets() -> [Arc<Budget>; 7] {
    [
        budget(0, gcra(7, 1, 5), None),
        budget(1, gcra(3, 2, 4), Some((1, 4))),
        budget(2, Measure::FixedWindow(rate(4, 1)), None),
        budget(3, Measure::SlidingWindow(rate(5, 1)), Some((1, 1))),
        budget(4, Measure::SlidingWindow(rate(6, 2)), None),
        budget(5, Measure::Slots(2), None),
        budget(6, Measure::Slots(3), None),
    ]
}

/// Accounts in a plain map that forgets nothing.
#[derive(Default)]
struct Plain {
    accounts: HashMap<(BudgetId, Subject), Account>,
    slots: Vec<(Charge, SlotId)>,
}

impl Plain {
    fn account(&self, charge: &Charge) -> Account {
        let key = (charge.budget.id, charge.subject);
        self.accounts.get(&key).copied().unwrap_or_else(|| Account::fresh(&charge.budget))
    }

    fn set(&mut self, charge: &Charge, account: Account) {
        self.accounts.insert((charge.budget.id, charge.subject), account);
    }

    fn take(&mut self, charges: &[Charge], slot: SlotId, now: Micros) -> Taken {
        let verdicts: Vec<_> = charges.iter().map(|charge| self.account(charge).take(charge, now)).collect();
        let refused =
            |slots| (0..charges.len()).find(|which| verdicts[*which].is_err() && is_slots(&charges[*which]) == slots);
        let refused = refused(false).or_else(|| refused(true));
        for (which, (charge, verdict)) in charges.iter().zip(&verdicts).enumerate() {
            match verdict {
                Ok(after) if refused.is_none() => {
                    self.set(charge, *after);
                    if is_slots(charge) {
                        self.slots.push((charge.clone(), slot));
                    }
                }
                Err(Refusal::Spent) if refused == Some(which) => {
                    self.set(charge, self.account(charge).refuse(&charge.budget, now));
                }
                _ => {}
            }
        }
        let standings = charges.iter().map(|charge| self.account(charge).standing(charge, now)).collect();
        Taken { refused, standings, at: now }
    }

    fn give_back(&mut self, charge: &Charge, slot: SlotId) {
        let taken = self
            .slots
            .iter()
            .position(|(taken, by)| (taken.budget.id, taken.subject, *by) == (charge.budget.id, charge.subject, slot));
        if let Some(at) = taken {
            self.slots.swap_remove(at);
            self.set(charge, self.account(charge).give_back());
        }
    }
}

/// The memory, the map beside it, and what was charged so far.
struct Pair {
    clock: Clock,
    memory: Memory,
    plain: Plain,
    made: Vec<(Charge, SlotId, Micros)>,
    next: u64,
}

impl Pair {
    fn act(&mut self, act: Act) {
        let budgets = budgets();
        let now = self.clock.micros();
        match act {
            Act::Take(charges) => {
                let charge = |(which, subject, cost)| Charge { cost, ..charge(&budgets[which], subject) };
                self.take(&charges.into_iter().map(charge).collect::<Vec<_>>());
            }
            Act::Correct { which, actual } => {
                let Some(which) = self.pick(which) else { return };
                // A charge is settled once.
                let (charge, _, at) = self.made.remove(which);
                // Of what has been forgotten meanwhile they remember differently.
                if at == now {
                    self.memory.correct(vec![Correction::Cost { charge: charge.clone(), at, actual }]);
                    self.plain.set(&charge, self.plain.account(&charge).settle(&charge, actual, at, now));
                }
            }
            Act::GiveBack(which) => {
                let Some(which) = self.pick(which) else { return };
                let (charge, slot, _) = self.made[which].clone();
                self.memory.correct(vec![Correction::Slot { charge: charge.clone(), slot }]);
                self.plain.give_back(&charge, slot);
            }
            Act::Hold(which, subject, millis) => {
                let (charge, lasts) = (charge(&budgets[which], subject), Duration::from_millis(millis));
                self.memory.hold(&charge, lasts).now_or_never().unwrap().unwrap();
                let account = self.plain.account(&charge);
                self.plain.set(&charge, Account { blocked: account.blocked.hold(lasts, now), ..account });
            }
            Act::Lift(which, subject) => {
                let charge = charge(&budgets[which], subject);
                let account = self.plain.account(&charge);
                let was = self.memory.lift(&charge).now_or_never().unwrap().unwrap();
                assert_eq!(was, account.blocked.left(now) > 0);
                self.plain.set(&charge, Account { spent: account.spent, ..Account::fresh(&charge.budget) });
            }
            Act::Pass(micros) => self.clock.advance(Duration::from_micros(micros)),
        }
    }

    fn take(&mut self, charges: &[Charge]) {
        self.next += 1;
        let taken = take(&self.memory, charges, self.next);
        assert_eq!(taken, self.plain.take(charges, SlotId(self.next), self.clock.micros()));
        if taken.refused.is_none() {
            self.made.extend(charges.iter().map(|charge| (charge.clone(), SlotId(self.next), taken.at)));
        }
    }

    /// Where one of those made last stands.
    fn pick(&self, which: usize) -> Option<usize> {
        self.made.len().checked_sub(1).map(|last| last - which % (last + 1))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whoever goes away as others come said nothing any more: where there is room for all, nobody is missed.
    #[test]
    fn memory_agrees_with_a_map_that_forgets_nothing(acts in acts()) {
        let clock = Clock::manual();
        let memory = Memory::new(64, clock.clone());
        let mut pair = Pair { clock, memory, plain: Plain::default(), made: Vec::new(), next: 0 };
        for act in acts {
            pair.act(act);
            assert_sound(&pair.memory);
        }
    }

    /// Where there is not, there are never more than may be, and whoever is blocked or holds slots stays while others go.
    #[test]
    fn the_blocked_and_the_holders_of_slots_stay(acts in prop::collection::vec((0..3_u8, 0..1000_u128), 1..300)) {
        let memory = Memory::new(10, Clock::manual());
        let (block, slots) = (budget(1, gcra(1, 10, 1), Some((1, 1))), budget(2, Measure::Slots(1), None));
        let passing = budget(3, gcra(1, 600, 1), None);
        let (mut blocked, mut holding) = (Vec::new(), Vec::new());
        for (act, subject) in acts {
            match act {
                0 if blocked.len() < 4 => {
                    let charge = charge(&block, subject);
                    memory.hold(&charge, Duration::from_secs(3600)).now_or_never().unwrap().unwrap();
                    blocked.push(charge);
                }
                1 if holding.len() < 4 => {
                    let charge = charge(&slots, subject);
                    if admits(&memory, &charge) {
                        holding.push(charge);
                    }
                }
                _ => _ = admits(&memory, &charge(&passing, subject)),
            }
            prop_assert!(memory.count() <= 10);
            prop_assert!(blocked.iter().all(|charge| look(&memory, charge).blocked));
            prop_assert!(holding.iter().all(|charge| look(&memory, charge).remaining == 0));
            assert_sound(&memory);
        }
    }
}

#[test]
fn a_flood_of_subjects_neither_fills_the_memory_nor_frees_the_greedy() {
    let clock = Clock::manual();
    let memory = Memory::new(20_000, clock.clone());
    let calls = budget(1, gcra(100, 60, 100), Some((3600, 3600)));
    let unblocked = budget(2, gcra(100, 60, 100), None);
    let (greedy, busy) = (charge(&calls, u128::MAX), charge(&unblocked, u128::MAX));
    while admits(&memory, &greedy) {}
    while admits(&memory, &busy) {}
    let flood = if cfg!(debug_assertions) { 500_000 } else { 10_000_000 };
    for subject in 0..flood {
        assert!(admits(&memory, &charge(&calls, subject)));
        if subject % (flood / 10) == 0 {
            clock.advance(SECOND);
            assert!(memory.count() <= 20_000);
            assert!(!admits(&memory, &greedy), "after {subject}");
        }
    }
    assert!(memory.count() <= 20_000);
    assert_sound(&memory);
    assert!(look(&memory, &greedy).blocked);
    assert!(look(&memory, &busy).remaining < 50, "who owes much is not forgotten for those who owe little");
}

#[test]
fn idle_counters_go_as_others_come() {
    let clock = Clock::manual();
    let memory = Memory::new(10_000, clock.clone());
    let (calls, slots) = (budget(1, gcra(60, 60, 10), Some((5, 5))), budget(2, Measure::Slots(1), None));
    for subject in 0..5000 {
        assert!(admits(&memory, &charge(&calls, subject)));
    }
    let held = charge(&slots, 7);
    assert_eq!(take(&memory, std::slice::from_ref(&held), 1).refused, None);
    assert!(memory.count() > 4000);
    clock.advance(10 * SECOND);
    for subject in 10_000..12_000 {
        assert!(admits(&memory, &charge(&calls, subject)));
    }
    assert!(memory.count() < 2500, "{}", memory.count());
    assert_eq!(look(&memory, &held).remaining, 0);
    memory.correct(vec![Correction::Slot { charge: held.clone(), slot: SlotId(1) }]);
    assert_eq!(look(&memory, &held).remaining, 1);
}

#[test]
fn where_all_are_blocked_whoever_is_free_soonest_goes() {
    let memory = Memory::new(4, Clock::manual());
    let calls = budget(1, gcra(1, 60, 1), None);
    let hold = |subject, seconds| {
        let charge = charge(&calls, subject);
        memory.hold(&charge, Duration::from_secs(seconds)).now_or_never().unwrap().unwrap();
        charge
    };
    let held = [(1, 50), (2, 20), (3, 40), (4, 30), (5, 60)].map(|(subject, seconds)| hold(subject, seconds));
    assert_eq!(held.map(|charge| look(&memory, &charge).blocked), [true, false, true, true, true]);
    assert_sound(&memory);
}

#[test]
fn slots_of_a_counter_that_had_to_go_are_nobodys() {
    let memory = Memory::new(1, Clock::manual());
    let slots = budget(1, Measure::Slots(1), None);
    let [one, other] = [1, 2].map(|subject| charge(&slots, subject));
    assert_eq!(take(&memory, std::slice::from_ref(&one), 1).refused, None);
    assert_eq!(take(&memory, std::slice::from_ref(&other), 2).refused, None);
    assert_eq!(take(&memory, std::slice::from_ref(&one), 3).refused, None);
    memory.correct(vec![Correction::Slot { charge: one.clone(), slot: SlotId(1) }]);
    assert_eq!(look(&memory, &one).remaining, 0, "it is taken by another");
    memory.correct(vec![Correction::Slot { charge: one.clone(), slot: SlotId(3) }]);
    assert_eq!((look(&memory, &one).remaining, memory.count()), (1, 1));
}

#[test]
fn what_costs_nothing_leaves_nothing() {
    let memory = Memory::new(100, Clock::manual());
    for measure in [gcra(1, 60, 1), Measure::FixedWindow(rate(1, 60)), Measure::SlidingWindow(rate(1, 60))] {
        assert!(admits(&memory, &Charge { cost: 0, ..charge(&budget(1, measure, None), 1) }));
        assert!(!admits(&memory, &Charge { cost: 2, ..charge(&budget(1, measure, None), 1) }));
    }
    assert_eq!(memory.count(), 0);
}

#[test]
fn what_a_forgotten_charge_cost_beyond_its_estimate_is_still_owed() {
    let clock = Clock::manual();
    let memory = Memory::new(1, clock.clone());
    let tokens = budget(1, gcra(60, 60, 100), None);
    let estimate = charge(&tokens, 1);
    let at = take(&memory, std::slice::from_ref(&estimate), 0).at;
    assert!(admits(&memory, &charge(&tokens, 2)), "the first is forgotten");
    clock.advance(10 * SECOND);
    memory.correct(vec![Correction::Cost { charge: estimate.clone(), at, actual: 50 }]);
    assert_eq!(look(&memory, &estimate).remaining, 60);
}

/// Over keys that all share and keys of each thread's own, named in different orders.
#[test]
fn of_many_threads_exactly_as_many_as_may_are_admitted() {
    let memory = Memory::new(10_000, Clock::manual());
    let measures = [gcra(1, 60, 3000), Measure::FixedWindow(rate(3000, 60)), Measure::SlidingWindow(rate(3000, 60))];
    let shared: Vec<_> = (1..).zip(measures).map(|(id, measure)| charge(&budget(id, measure, None), 0)).collect();
    let own = budget(9, gcra(1, 60, 10_000), None);
    let work = |number: usize| {
        let mut charges: Vec<_> = shared.iter().cloned().chain([charge(&own, number as u128)]).collect();
        charges.rotate_left(number % 4);
        let admitted = (0..600).filter(|turn| take(&memory, &charges, *turn).refused.is_none()).count();
        (admitted, look(&memory, &charge(&own, number as u128)).remaining)
    };
    let admitted: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(admitted.iter().map(|(admitted, _)| admitted).sum::<usize>(), 3000);
    for (admitted, rest) in admitted {
        assert_eq!(rest, 10_000 - admitted as u64);
    }
    assert!(shared.iter().all(|charge| look(&memory, charge).remaining == 0));
    assert_sound(&memory);
}
