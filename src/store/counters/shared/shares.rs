//! Each budget's share, worked out once. Owns nothing but that memory.

use std::num::NonZeroU32;
use std::sync::Arc;

use dashmap::DashMap;

use crate::store::counters::{Budget, BudgetId};

/// More budgets than this are not remembered at the same time: configurations that were replaced leave some behind.
const REMEMBERED: usize = 1024;

/// Shares of budgets.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// A shard is held for one look, and only where a share is needed.
    known: DashMap<BudgetId, Share>,
}

#[derive(Debug)]
struct Share {
    whole: Arc<Budget>,
    instances: NonZeroU32,
    part: Arc<Budget>,
}

impl Shares {
    /// What one of so many instances may spend of a budget.
    pub fn of(&self, whole: &Arc<Budget>, instances: NonZeroU32) -> Arc<Budget> {
        if instances == NonZeroU32::MIN {
            return Arc::clone(whole);
        }
        if let Some(known) = self.known.get(&whole.id)
            && known.instances == instances
            && Arc::ptr_eq(&known.whole, whole)
        {
            return Arc::clone(&known.part);
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let part = Arc::new(whole.share(instances));
        self.known.insert(whole.id, Share { whole: Arc::clone(whole), instances, part: Arc::clone(&part) });
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::counters::Measure;

    #[test]
    fn a_share_is_worked_out_again_when_the_budget_or_the_instances_change() {
        let budget =
            |most| Arc::new(Budget { id: BudgetId(1), name: "a".into(), measure: Measure::Slots(most), block: None });
        let (shares, ten, three) = (Shares::default(), budget(10), NonZeroU32::new(3).unwrap());
        let first = shares.of(&ten, three);
        assert_eq!(first.measure, Measure::Slots(3));
        assert!(Arc::ptr_eq(&first, &shares.of(&ten, three)));
        assert_eq!(shares.of(&budget(90), three).measure, Measure::Slots(30));
        assert_eq!(shares.of(&ten, NonZeroU32::new(5).unwrap()).measure, Measure::Slots(2));
        assert!(Arc::ptr_eq(&shares.of(&ten, NonZeroU32::MIN), &ten));
    }
}
