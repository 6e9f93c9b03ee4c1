//! Moves of sessions on their way to viewers. Noting one is quick and never waits, since it is done on a request's own path; what is
//! too much at once is only counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::fleet::backend_id;
use crate::names::{BackendId, SessionId};
use crate::session::Event;

/// Moves that may wait to be told.
const WAITING: usize = 1024;

/// Pairs of backends that are told of at once.
const PAIRS: usize = 256;

/// One move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    session: SessionId,
    from: BackendId,
    to: BackendId,
}

/// Where moves are noted.
#[derive(Clone, Debug)]
pub struct Noter {
    way: Sender<Move>,
    noted: Arc<AtomicU64>,
}

/// Where they are told.
#[derive(Debug)]
pub struct Moves {
    way: Receiver<Move>,
    noted: Arc<AtomicU64>,
}

/// Sessions that moved from one backend to another, as viewers are told. The session's name, where it is one alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    from: String,
    to: String,
    sessions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

/// A way for moves.
#[must_use]
pub fn moves() -> (Noter, Moves) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let noted = Arc::<AtomicU64>::default();
    (Noter { way: sender, noted: Arc::clone(&noted) }, Moves { way: receiver, noted })
}

impl Noter {
    /// Notes an event of a session, where it is a move. Does not wait.
    pub fn note(&self, event: &Event) {
        if let Event::Moved { session, from, to } = event {
            self.noted.fetch_add(1, Ordering::Relaxed);
            // Where too many wait, or nobody takes them, the count has to do.
            let _ = self.way.try_send(Move { session: *session, from: backend_id(from), to: backend_id(to) });
        }
    }

    /// Notes what is told to a watcher, and tells it too.
    #[must_use]
    pub fn beside(self, watcher: Box<dyn Fn(&Event) + Send + Sync>) -> Box<dyn Fn(&Event) + Send + Sync> {
        Box::new(move |event| {
            self.note(event);
            watcher(event);
        })
    }
}

impl Moves {
    /// How many there were since the start.
    pub fn count(&self) -> u64 {
        self.noted.load(Ordering::Relaxed)
    }

    /// The next one. Pending for ever where nobody can note any more.
    pub async fn next(&mut self) -> Move {
        match self.way.recv().await {
            Some(one) => one,
            None => std::future::pending().await,
        }
    }

    /// That one and all others that wait, those between the same two backends together.
    pub fn with_the_rest(&mut self, first: Move) -> Vec<Told> {
        let mut pairs: BTreeMap<(BackendId, BackendId), (usize, SessionId)> = BTreeMap::new();
        let rest = std::iter::from_fn(|| self.way.try_recv().ok()).take(WAITING);
        for one in std::iter::once(first).chain(rest) {
            let pair = (one.from, one.to);
            if pairs.len() < PAIRS || pairs.contains_key(&pair) {
                pairs.entry(pair).or_insert((0, one.session)).0 += 1;
            }
        }
        let told = pairs.into_iter().map(|((from, to), (sessions, session))| Told {
            from: from.to_string(),
            to: to.to_string(),
            sessions,
            session: (sessions == 1).then(|| session.to_string()),
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(session: u128, to: &str) -> Event {
        Event::Moved { session: SessionId(session), from: "a/mcp".into(), to: to.into() }
    }

    #[tokio::test]
    async fn moves_between_the_same_backends_are_told_together_and_noting_never_waits() {
        let (noter, mut moves) = moves();
        noter.note(&Event::Ended { session: SessionId(1), backend: "a/mcp".into() });
        (0..5).for_each(|session| noter.note(&moved(session, "b/mcp")));
        noter.note(&moved(9, "c/mcp"));
        let first = moves.next().await;
        let told = moves.with_the_rest(first);
        assert_eq!(told.iter().map(|told| told.sessions).sum::<usize>(), 6);
        let one = told.iter().find(|told| told.sessions == 1).unwrap();
        assert_eq!(
            (one.to.clone(), one.session.clone()),
            (backend_id("c/mcp").to_string(), Some(SessionId(9).to_string()))
        );
        assert_eq!(told.iter().find(|told| told.sessions == 5).unwrap().session, None);
        (0..2 * WAITING as u128).for_each(|session| noter.note(&moved(session, "b/mcp")));
        assert_eq!(moves.count(), 6 + 2 * WAITING as u64);
    }
}
