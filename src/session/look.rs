//! What an operator asks about sessions: which are known here, and what the store holds of one. It shows nothing by itself, and
//! changes nothing but what is known.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::Sessions;
use crate::exchange::Moored;
use crate::names::SessionId;
use crate::store::{Lookup, StoreError};

/// A session that was asked for by its name.
#[derive(Clone, Debug)]
pub enum Met {
    /// It is alive.
    Alive(Arc<Moored>),
    /// It has ended, and that is still remembered.
    Ended,
    /// There is none of this name, or it has ended long ago.
    Unknown,
}

impl Sessions {
    /// Up to `most` of the sessions that this instance knows and that fit, in the order of their ids, from the first after `after`.
    #[must_use]
    pub fn some(&self, after: Option<SessionId>, most: usize, fits: impl Fn(&Moored) -> bool) -> Vec<Arc<Moored>> {
        // The first ones, the last of them on top: one pass over all, with room for those alone that are asked for.
        let mut first: BinaryHeap<ById> = BinaryHeap::with_capacity(most + 1);
        for moored in &self.known {
            let in_front = || first.len() < most || first.peek().is_some_and(|last| moored.id < last.0.id);
            if after.is_none_or(|after| moored.id > after) && in_front() && fits(&moored) {
                first.push(ById(Arc::clone(&moored)));
                if first.len() > most {
                    first.pop();
                }
            }
        }
        first.into_sorted_vec().into_iter().map(|ById(moored)| moored).collect()
    }

    /// Whether this instance knows the session.
    #[must_use]
    pub fn knows(&self, id: SessionId) -> bool {
        self.known.contains_key(&id)
    }

    /// A session by its name, known here or not: from now on this instance knows it.
    ///
    /// # Errors
    /// [`StoreError`] where it is not known here and the store cannot tell.
    pub async fn meet(&self, id: SessionId) -> Result<Met, StoreError> {
        let known = self.known.get(&id).map(|known| Arc::clone(&known));
        if let Some(known) = known {
            return Ok(Met::Alive(known));
        }
        Ok(match self.look_into_store(id).await? {
            Lookup::Live(record) => Met::Alive(self.know(id, &record)),
            Lookup::Ended => Met::Ended,
            Lookup::Unknown => Met::Unknown,
        })
    }

    /// What the store holds of a session.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot tell.
    pub async fn look_into_store(&self, id: SessionId) -> Result<Lookup, StoreError> {
        self.ask_store(id).await
    }
}

/// A session in the order of its id.
struct ById(Arc<Moored>);

impl Ord for ById {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}
