//! Orders to forget that were given here and that the store has not entered yet. Owns their bound: when there are too many,
//! all there is is to be forgotten. Tells nobody itself.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::store::results::Tag;

/// Tags that may wait to be told.
const MOST: usize = 4096;

/// What the store has to be told.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Guards a few tags and their entry here; taken by whoever gives an order, tells one, or takes a result of the store over.
    state: Mutex<State>,
    /// Rings when there is something to tell.
    bell: Notify,
    /// The number up to which all was told.
    told: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    waiting: What,
    /// What is being told right now.
    sending: What,
    /// The number of the last order.
    last: u64,
}

/// What is to be forgotten.
#[derive(Debug, Default)]
struct What {
    tags: HashSet<Tag>,
    all: bool,
}

/// What is to be told in one go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Telling {
    /// The tags; `None` for all there is.
    pub tags: Option<Vec<Tag>>,
    /// The number of the last order in it.
    pub number: u64,
}

impl What {
    fn is_empty(&self) -> bool {
        !self.all && self.tags.is_empty()
    }

    fn add(&mut self, tags: impl IntoIterator<Item = Tag>) {
        self.tags.extend(tags);
        if self.tags.len() > MOST {
            self.all = true;
        }
        if self.all {
            self.tags = HashSet::new();
        }
    }

    fn has(&self, tags: &[Tag]) -> bool {
        self.all || tags.iter().any(|tag| self.tags.contains(tag))
    }
}

impl Pending {
    /// Adds an order, and has it entered here by `enter`. Its number.
    ///
    /// Whoever finds it pending no more finds it entered; and it is not told before, or the store's number for it would be
    /// older than that here, and hide here what others fetch after it.
    pub fn add(&self, tags: &[Tag], enter: impl FnOnce()) -> u64 {
        let mut state = self.state();
        enter();
        if !tags.is_empty() {
            state.waiting.add(tags.iter().copied());
            state.last += 1;
            self.bell.notify_one();
        }
        state.last
    }

    /// Whether one of the tags was forgotten here and not there.
    pub fn has(&self, tags: &[Tag]) -> bool {
        let state = self.state();
        state.waiting.has(tags) || state.sending.has(tags)
    }

    /// Until there may be something to tell.
    pub async fn added(&self) {
        self.bell.notified().await;
    }

    /// All that is to be told, if there is anything. [`Self::was_told`] or [`Self::was_not_told`] must follow.
    pub fn take(&self) -> Option<Telling> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return None;
        }
        state.sending = std::mem::take(&mut state.waiting);
        let tags = (!state.sending.all).then(|| state.sending.tags.iter().copied().collect());
        Some(Telling { tags, number: state.last })
    }

    /// What was taken has been told, and entered here under the store's number.
    pub fn was_told(&self, telling: &Telling) {
        self.state().sending = What::default();
        self.told.send_replace(telling.number);
    }

    /// It has to be told again.
    pub fn was_not_told(&self) {
        let mut state = self.state();
        let What { tags, all } = std::mem::take(&mut state.sending);
        state.waiting.all |= all;
        state.waiting.add(tags);
    }

    /// Until the order of that number was told.
    pub async fn told(&self, number: u64) {
        // The sender lives as long as this call.
        let _ = self.told.subscribe().wait_for(|told| *told >= number).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves its value half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn an_order_is_pending_until_it_was_told() {
        let pending = Pending::default();
        assert_eq!((pending.take(), pending.add(&[], || ())), (None, 0));
        let number = pending.add(&[Tag(1), Tag(2)], || ());
        let telling = pending.take().unwrap();
        let later = pending.add(&[Tag(3)], || ());
        assert!(pending.has(&[Tag(9), Tag(2)]) && pending.has(&[Tag(3)]) && !pending.has(&[Tag(4)]));
        pending.was_not_told();
        assert!(pending.has(&[Tag(1)]) && pending.told(number).now_or_never().is_none());
        let all = pending.take().unwrap();
        assert_eq!((telling.tags.unwrap().len(), all.tags.as_ref().unwrap().len()), (2, 3));
        pending.was_told(&all);
        assert!(!pending.has(&[Tag(1)]) && pending.told(later).now_or_never().is_some());
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn too_many_orders_become_one_to_forget_all() {
        let pending = Pending::default();
        for n in 0..=MOST as u64 {
            assert!(!pending.has(&[Tag(u64::MAX)]));
            pending.add(&[Tag(n)], || ());
        }
        assert!(pending.has(&[Tag(u64::MAX)]) && pending.has(&[]));
        let telling = pending.take().unwrap();
        assert_eq!(telling.tags, None);
        pending.add(&[Tag(1)], || ());
        pending.was_not_told();
        assert_eq!(pending.take().unwrap().tags, None);
    }
}
