//! Who spends most by each limit: a short list that keeps the heaviest (the space-saving algorithm of Metwally, Agrawal and
//! El Abbadi, 2005). For people to look at; nothing is decided by it.

use std::sync::Mutex;

use super::rules::{Bill, Rules};
use crate::exchange::Exchange;
use crate::names::SessionId;

/// Spenders that one list names.
const NAMED: usize = 64;

/// Characters of a spender's name that are kept.
const LONGEST: usize = 200;

/// One list for each limit.
#[derive(Debug)]
pub struct Top {
    /// Each guards a short list. Whoever finds it taken passes: a list that is a little wrong is good enough.
    lists: Vec<Mutex<Vec<Spent>>>,
}

/// How much somebody has asked for, admitted or not, since the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Whose account it is.
    pub subject: u128,
    /// The same for people; it names the account again.
    pub label: Box<str>,
    /// How much, counted too high by at most what the least of the list had when it was replaced.
    pub cost: u64,
}

impl Top {
    /// Empty lists for so many limits.
    #[must_use]
    pub fn new(limits: usize) -> Self {
        Self { lists: (0..limits).map(|_| Mutex::default()).collect() }
    }

    /// Notes what a request would spend.
    pub fn note(&self, bill: &Bill, rules: &Rules, exchange: &Exchange, session: Option<SessionId>) {
        for (charge, at) in bill.charges.iter().zip(&bill.of) {
            let Some((rule, account)) = rules.at(*at) else { continue };
            // One account of a limit is enough.
            if !rule.is_first(account) {
                continue;
            }
            let Some(Ok(mut list)) = self.lists.get(usize::from(at.0)).map(Mutex::try_lock) else { continue };
            add(&mut list, charge.subject.0, charge.cost.max(1), || rule.label(exchange, session));
        }
    }

    /// The heaviest first.
    #[must_use]
    pub fn list(&self, number: usize) -> Vec<Spent> {
        let list =
            self.lists.get(number).map(|list| list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone());
        let mut list = list.unwrap_or_default();
        list.sort_by_key(|spent| std::cmp::Reverse(spent.cost));
        list
    }
}

fn add(list: &mut Vec<Spent>, subject: u128, cost: u64, label: impl FnOnce() -> Option<String>) {
    if let Some(known) = list.iter_mut().find(|known| known.subject == subject) {
        known.cost = known.cost.saturating_add(cost);
        return;
    }
    let Some(label) = label() else { return };
    let label = label.chars().take(LONGEST).collect::<String>().into_boxed_str();
    if list.len() < NAMED {
        list.push(Spent { subject, label, cost });
    } else if let Some(least) = list.iter_mut().min_by_key(|known| known.cost) {
        *least = Spent { subject, label, cost: least.cost.saturating_add(cost) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_stay_on_the_list_under_a_flood_of_strangers() {
        let mut list = Vec::new();
        for round in 0..10_000_u128 {
            add(&mut list, 1_000_000 + round, 1, || Some(format!("stranger {round}")));
            if round % 10 == 0 {
                add(&mut list, 7, 5, || Some("greedy".into()));
            }
        }
        assert_eq!(list.len(), NAMED);
        let greedy = list.iter().find(|spent| &*spent.label == "greedy").unwrap();
        assert!(greedy.cost >= 5000, "{greedy:?}");
        assert!(list.iter().all(|spent| spent.cost <= greedy.cost));
    }
}
