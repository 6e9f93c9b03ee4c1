//! What this instance itself has found out about its sessions and has to tell its one listener, beside what the far store
//! announces. One notice per session, the latest: it is bounded by the sessions that are held near, and none is lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::names::SessionId;
use crate::store::Notice;

#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Guards what waits to be heard. Held for one insertion or removal, and only where something differed from what was known.
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    sessions: BTreeMap<SessionId, Notice>,
    keys: bool,
    orders: bool,
}

impl Notices {
    /// Tells the listener. What it has not heard yet of the same session is overtaken.
    pub fn tell(&self, notice: Notice) {
        match notice {
            Notice::Keys => self.lock().keys = true,
            Notice::Orders => self.lock().orders = true,
            Notice::Ended(id) | Notice::Moved(id, _) => drop(self.lock().sessions.insert(id, notice)),
        }
        self.came.notify_one();
    }

    /// The next notice. For one listener.
    pub async fn next(&self) -> Notice {
        loop {
            let came = self.came.notified();
            if let Some(notice) = self.take() {
                return notice;
            }
            came.await;
        }
    }

    fn take(&self) -> Option<Notice> {
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.keys) {
            return Some(Notice::Keys);
        }
        if std::mem::take(&mut waiting.orders) {
            return Some(Notice::Orders);
        }
        waiting.sessions.pop_first().map(|(_, notice)| notice)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds the lock leaves its value half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::berth;

    #[tokio::test]
    async fn the_latest_of_each_session_is_heard_once() {
        let notices = Notices::default();
        let id = SessionId(1);
        notices.tell(Notice::Moved(id, berth(1)));
        notices.tell(Notice::Moved(id, berth(2)));
        notices.tell(Notice::Ended(SessionId(2)));
        notices.tell(Notice::Keys);
        notices.tell(Notice::Keys);
        assert_eq!(notices.next().await, Notice::Keys);
        assert_eq!(notices.next().await, Notice::Moved(id, berth(2)));
        assert_eq!(notices.next().await, Notice::Ended(SessionId(2)));
        assert_eq!(notices.take(), None);
    }
}
