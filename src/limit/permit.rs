//! What an admitted request has taken, until its answer has ended: slots are given back then, and estimates are settled when
//! the result says what it really cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;

use super::queue::Queues;
use super::rules::{Bill, Rules, Unit};
use super::words;
use crate::store::counters::{Charge, Correction, Counters, SlotId, Subject, Taken};

/// What one request has taken.
#[derive(Debug)]
pub struct Permit {
    pub(super) counters: Arc<dyn Counters>,
    queues: Arc<Queues>,
    pub(super) rules: Arc<Rules>,
    pub(super) bill: Bill,
    caller: Subject,
    slot: SlotId,
    pub(super) taken: Taken,
    /// Whether what was charged has been put right already.
    pub(super) settled: AtomicBool,
    /// What was taken of other limits for the same request.
    before: Option<Arc<Self>>,
}

impl Permit {
    pub(super) fn new(
        (counters, queues): (Arc<dyn Counters>, Arc<Queues>),
        rules: Arc<Rules>,
        bill: Bill,
        (caller, slot, taken): (Subject, SlotId, Taken),
    ) -> Self {
        let permit =
            Self { counters, queues, rules, bill, caller, slot, taken, settled: AtomicBool::new(false), before: None };
        for charge in permit.slots().filter(|charge| permit.is_waited_for(charge)) {
            permit.queues.begun((charge.budget.id, charge.subject), caller);
        }
        permit
    }

    /// The same with what was taken of other limits before.
    pub(super) fn after(mut self, before: Option<Arc<Self>>) -> Self {
        self.before = before;
        self
    }

    /// Says in the answer how the limits stand.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let all = self.before.as_deref().into_iter().chain([self]);
        for (name, value) in words::fields(all.map(|permit| (&*permit.rules, &permit.bill, &permit.taken))) {
            headers.insert(name, value);
        }
    }

    /// The request was provably not executed: it is given back what it has spent.
    pub fn refund(&self) {
        self.before.iter().for_each(|before| before.refund());
        if !self.was_charged() || self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let spent =
            self.bill.charges.iter().zip(&self.bill.of).filter(|(charge, at)| charge.cost > 0 && !self.runs(**at));
        let refunds: Vec<_> = spent.map(|(charge, _)| self.correction(charge, 0)).collect();
        if !refunds.is_empty() {
            self.counters.correct(refunds);
        }
    }

    /// Whether anything was charged at all: where nobody could be asked, nothing was.
    pub(super) fn was_charged(&self) -> bool {
        !self.taken.standings.is_empty()
    }

    pub(super) fn correction(&self, charge: &Charge, actual: u64) -> Correction {
        Correction::Cost { charge: charge.clone(), at: self.taken.at, actual }
    }

    /// What is held until the answer has ended.
    fn slots(&self) -> impl Iterator<Item = &Charge> {
        self.bill.charges.iter().zip(&self.bill.of).filter(|(_, at)| self.runs(**at)).map(|(charge, _)| charge)
    }

    /// Whether others may wait for a slot like that.
    fn is_waited_for(&self, charge: &Charge) -> bool {
        let at = self.bill.charges.iter().position(|other| other.budget.id == charge.budget.id);
        let unit = at.and_then(|at| self.rules.at(*self.bill.of.get(at)?)).map(|(_, account)| account.unit);
        matches!(unit, Some(Unit::Running(_, patience)) if patience.most > 0)
    }

    fn runs(&self, at: (u16, u16)) -> bool {
        self.rules.at(at).is_some_and(|(_, account)| matches!(account.unit, Unit::Running(..)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let back = self.slots().map(|charge| Correction::Slot { charge: charge.clone(), slot: self.slot });
        let back: Vec<_> = back.collect();
        if back.is_empty() {
            return;
        }
        if self.was_charged() {
            self.counters.correct(back);
        }
        for charge in self.slots().filter(|charge| self.is_waited_for(charge)) {
            self.queues.ended((charge.budget.id, charge.subject), self.caller);
        }
    }
}
