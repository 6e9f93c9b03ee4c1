//! Which slots this instance holds, so that it can say so while it does. Bounded by the requests under way, each of which
//! takes its slots once.

use std::sync::Arc;

use dashmap::DashMap;
use smallvec::SmallVec;

use crate::store::counters::{Budget, BudgetId, Charge, SlotId, Subject};

/// The slots that this instance holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// By counter. A shard is held for one insertion or removal, by requests that take or give back a slot there.
    of: DashMap<(BudgetId, Subject), Holding>,
}

#[derive(Debug)]
struct Holding {
    budget: Arc<Budget>,
    slots: SmallVec<[SlotId; 4]>,
}

impl Held {
    pub fn add(&self, charge: &Charge, slot: SlotId) {
        let holding = || Holding { budget: Arc::clone(&charge.budget), slots: SmallVec::new() };
        let mut held = self.of.entry((charge.budget.id, charge.subject)).or_insert_with(holding);
        if !held.slots.contains(&slot) {
            held.slots.push(slot);
        }
    }

    pub fn remove(&self, charge: &Charge, slot: SlotId) {
        self.of.remove_if_mut(&(charge.budget.id, charge.subject), |_, holding| {
            if let Some(at) = holding.slots.iter().position(|held| *held == slot) {
                holding.slots.swap_remove(at);
            }
            holding.slots.is_empty()
        });
    }

    /// All of them as they are now, at most `most` of one counter together.
    pub fn all(&self, most: usize) -> Vec<(Charge, SmallVec<[SlotId; 4]>)> {
        let mut all = Vec::new();
        for entry in &self.of {
            let ((_, subject), Holding { budget, slots }) = entry.pair();
            for slots in slots.chunks(most) {
                let charge = Charge { budget: Arc::clone(budget), subject: *subject, cost: 1 };
                all.push((charge, SmallVec::from_slice(slots)));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::counters::Measure;

    #[test]
    fn what_is_given_back_is_held_no_longer() {
        let budget = Budget { id: BudgetId(1), name: "calls".into(), measure: Measure::Slots(9), block: None };
        let charge = Charge { budget: Arc::new(budget), subject: Subject(1), cost: 1 };
        let other = Charge { subject: Subject(2), ..charge.clone() };
        let held = Held::default();
        (0..5).for_each(|slot| held.add(&charge, SlotId(slot)));
        held.add(&other, SlotId(0));
        held.remove(&charge, SlotId(3));
        held.remove(&charge, SlotId(3));
        held.remove(&other, SlotId(7));
        let mut sizes: Vec<_> = held.all(3).iter().map(|(charge, slots)| (charge.subject.0, slots.len())).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [(1, 1), (1, 3), (2, 1)]);
        (0..5).for_each(|slot| held.remove(&charge, SlotId(slot)));
        held.remove(&other, SlotId(0));
        assert!(held.all(3).is_empty() && held.of.is_empty());
    }
}
