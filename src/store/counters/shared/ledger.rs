//! What this instance has admitted by itself and the store does not know yet: how much of which counters, and which slots.
//! Owns its bounds. Knows neither store nor time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::is_slots;
use crate::store::counters::{Budget, BudgetId, Charge, SlotId, Subject};

/// Counters that are remembered. What is admitted of others is not charged to the store later.
const MOST: usize = 65_536;

/// What the store does not know yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By counter. A shard is held for one addition, while the store is away.
    owed: DashMap<(BudgetId, Subject), Owed>,
    counters: AtomicUsize,
    forgotten: AtomicU64,
    /// Who holds which slots of this instance's share. Bounded by the share, and by requests under way.
    slots: DashMap<(SlotId, BudgetId, Subject), Arc<Budget>>,
    taken: AtomicUsize,
}

#[derive(Debug)]
struct Owed {
    budget: Arc<Budget>,
    spent: i64,
}

/// What is owed of one counter.
#[derive(Clone, Debug)]
pub(super) struct Debt {
    /// Which, at no cost.
    pub charge: Charge,
    /// How much was spent; less than nothing where more was given back.
    pub spent: i64,
}

impl Ledger {
    /// Enters charges that were admitted here.
    pub fn enter(&self, charges: &[Charge], slot: SlotId) {
        for charge in charges {
            if !is_slots(charge) {
                self.add(charge, i64::try_from(charge.cost).unwrap_or(i64::MAX));
            } else if self.slots.insert(key(slot, charge), Arc::clone(&charge.budget)).is_none() {
                self.taken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Adds to what is owed of a charge's counter; nothing so that the counter is looked at later.
    pub fn add(&self, charge: &Charge, spent: i64) {
        match self.owed.entry((charge.budget.id, charge.subject)) {
            Entry::Occupied(mut owed) => {
                let owed = owed.get_mut();
                owed.spent = owed.spent.saturating_add(spent);
            }
            Entry::Vacant(_) if self.counters.load(Ordering::Relaxed) >= MOST => {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            Entry::Vacant(place) => {
                self.counters.fetch_add(1, Ordering::Relaxed);
                place.insert(Owed { budget: Arc::clone(&charge.budget), spent });
            }
        }
    }

    /// Takes some debts out.
    pub fn some(&self, most: usize) -> Vec<Debt> {
        let keys: Vec<_> = self.owed.iter().take(most).map(|entry| *entry.key()).collect();
        let taken = keys.iter().filter_map(|key| self.owed.remove(key));
        let debts: Vec<Debt> = taken
            .map(|((_, subject), Owed { budget, spent })| Debt { charge: Charge { budget, subject, cost: 0 }, spent })
            .collect();
        self.counters.fetch_sub(debts.len(), Ordering::Relaxed);
        debts
    }

    /// Whether nothing is owed.
    pub fn is_even(&self) -> bool {
        self.counters.load(Ordering::Relaxed) == 0 && !self.has_slots()
    }

    /// How many additions had no room since this was asked last.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.swap(0, Ordering::Relaxed)
    }

    /// Whether somebody holds slots of this instance's share.
    pub fn has_slots(&self) -> bool {
        self.taken.load(Ordering::Acquire) > 0
    }

    /// A slot is given back; whether it was of this instance's share.
    pub fn give_back(&self, charge: &Charge, slot: SlotId) -> bool {
        let was = self.slots.remove(&key(slot, charge)).is_some();
        self.taken.fetch_sub(usize::from(was), Ordering::Release);
        was
    }

    /// Hands all slots over. Nobody who gives one back meanwhile comes in between.
    pub fn hand_over(&self, mut hand: impl FnMut(&Charge, SlotId)) {
        self.slots.retain(|(slot, _, subject), budget| {
            hand(&Charge { budget: Arc::clone(budget), subject: *subject, cost: 1 }, *slot);
            self.taken.fetch_sub(1, Ordering::Release);
            false
        });
    }
}

fn key(slot: SlotId, charge: &Charge) -> (SlotId, BudgetId, Subject) {
    (slot, charge.budget.id, charge.subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rate;
    use crate::store::counters::Measure;

    fn charge(measure: Measure, subject: u128, cost: u64) -> Charge {
        let budget = Budget {
            id: BudgetId(u64::from(matches!(measure, Measure::Slots(_)))),
            name: "a".into(),
            measure,
            block: None,
        };
        Charge { budget: Arc::new(budget), subject: Subject(subject), cost }
    }

    fn rate() -> Measure {
        Measure::FixedWindow(Rate { count: 5.try_into().unwrap(), per: std::time::Duration::from_secs(1) })
    }

    #[test]
    fn debts_add_up_and_are_taken_out_once() {
        let ledger = Ledger::default();
        ledger.enter(&[charge(rate(), 1, 3), charge(rate(), 2, 1)], SlotId(1));
        ledger.add(&charge(rate(), 1, 9), -5);
        assert!(!ledger.is_even() && !ledger.has_slots());
        let mut debts: Vec<_> =
            ledger.some(9).iter().map(|debt| (debt.charge.subject.0, debt.charge.cost, debt.spent)).collect();
        debts.sort_unstable();
        assert_eq!(debts, [(1, 0, -2), (2, 0, 1)]);
        assert!(ledger.is_even() && ledger.some(9).is_empty());
    }

    #[test]
    fn slots_are_given_back_or_handed_over_once() {
        let ledger = Ledger::default();
        let (one, other) = (charge(Measure::Slots(5), 1, 1), charge(Measure::Slots(5), 2, 1));
        ledger.enter(&[one.clone(), other.clone()], SlotId(1));
        assert!(
            ledger.give_back(&one, SlotId(1))
                && !ledger.give_back(&one, SlotId(1))
                && !ledger.give_back(&other, SlotId(2))
        );
        let mut handed = Vec::new();
        ledger.hand_over(|charge, slot| handed.push((charge.subject, slot)));
        assert_eq!(handed, [(Subject(2), SlotId(1))]);
        assert!(ledger.is_even() && !ledger.give_back(&other, SlotId(1)));
    }

    #[test]
    fn counters_beyond_the_bound_are_not_remembered() {
        let ledger = Ledger::default();
        (0..MOST as u128 + 3).for_each(|subject| ledger.add(&charge(rate(), subject, 1), 1));
        ledger.add(&charge(rate(), 1, 1), 1);
        assert_eq!((ledger.forgotten(), ledger.forgotten()), (3, 0));
        assert_eq!(ledger.some(MOST * 2).len(), MOST);
    }
}
