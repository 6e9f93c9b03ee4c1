//! Calls under way that others wait for: of identical calls on this instance one is made, the others follow it. Owns who
//! leads and what the followers hear. Knows nothing of keys' meaning, of other instances, or of what is fetched.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use tokio::sync::{broadcast, watch};

use crate::store::results::{Entry, Key};

/// News that are held for whoever follows a call; of more the oldest are dropped.
const MOST_NEWS: usize = 16;

/// All that are under way. As many as there are requests in flight at most.
#[derive(Debug, Default)]
pub struct Flights {
    under_way: DashMap<Key, Arc<Flight>>,
}

/// One call.
#[derive(Debug)]
pub struct Flight {
    outcome: watch::Sender<Outcome>,
    followers: AtomicUsize,
    /// How far it has got, for followers that want to know: there once one does.
    news: OnceLock<broadcast::Sender<Arc<str>>>,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is still under way.
    Flying,
    /// Its result is kept.
    Landed(Arc<Entry>),
    /// It was given up: whoever waits for it may lead now.
    Lost,
    /// It had a result that cannot be kept: whoever waits for it calls for himself.
    Alone,
}

/// A place on a flight.
#[derive(Debug)]
pub enum Boarded {
    /// Nobody makes this call yet.
    Leading(Leader),
    /// Somebody does.
    Following(Follower),
}

/// Makes the call. Dropped without a word, it is lost.
#[derive(Debug)]
pub struct Leader {
    flights: Arc<Flights>,
    key: Key,
    flight: Arc<Flight>,
}

/// Waits for it.
#[derive(Debug)]
pub struct Follower {
    flight: Arc<Flight>,
}

impl Flights {
    /// Leads the call of that key, or follows whoever does.
    pub fn board(self: &Arc<Self>, key: Key) -> Boarded {
        match self.under_way.entry(key) {
            Slot::Occupied(slot) => Boarded::Following(Follower::of(slot.get())),
            Slot::Vacant(slot) => {
                let outcome = watch::Sender::new(Outcome::Flying);
                let flight = Arc::new(Flight { outcome, followers: AtomicUsize::new(0), news: OnceLock::new() });
                slot.insert(Arc::clone(&flight));
                Boarded::Leading(Leader { flights: Arc::clone(self), key, flight })
            }
        }
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.under_way.len()
    }

    /// How many requests follow them.
    pub fn waiting(&self) -> usize {
        self.under_way.iter().map(|flight| flight.followers.load(Ordering::Relaxed)).sum()
    }
}

impl Leader {
    /// Tells the followers, and ends the flight.
    pub fn ends(self, outcome: Outcome) {
        self.flight.outcome.send_replace(outcome);
        // The rest is done by dropping it.
    }

    /// Nobody new follows it.
    pub fn takes_nobody(&self) {
        self.flights.under_way.remove_if(&self.key, |_, flight| Arc::ptr_eq(flight, &self.flight));
    }

    /// The flight, for whoever only looks.
    pub const fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.takes_nobody();
        self.flight.outcome.send_if_modified(|outcome| {
            let lost = matches!(outcome, Outcome::Flying);
            if lost {
                *outcome = Outcome::Lost;
            }
            lost
        });
    }
}

impl Flight {
    /// Whether anybody waits for it.
    pub fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Relaxed) > 0
    }

    /// Says how far it has got: the raw params of a notification, made only where somebody hears it.
    pub fn tell(&self, params: &str) {
        if let Some(news) = self.news.get() {
            // Nobody may be there any more.
            let _ = news.send(params.into());
        }
    }
}

impl Follower {
    fn of(flight: &Arc<Flight>) -> Self {
        flight.followers.fetch_add(1, Ordering::Relaxed);
        Self { flight: Arc::clone(flight) }
    }

    /// Hears how far it gets from now on.
    pub fn hear(&self) -> broadcast::Receiver<Arc<str>> {
        self.flight.news.get_or_init(|| broadcast::Sender::new(MOST_NEWS)).subscribe()
    }

    /// Waits for the end. Never [`Outcome::Flying`].
    pub async fn outcome(&self) -> Outcome {
        let mut outcome = self.flight.outcome.subscribe();
        // The sender lives as long as the flight, and that as long as this.
        outcome
            .wait_for(|outcome| !matches!(outcome, Outcome::Flying))
            .await
            .map_or(Outcome::Lost, |ended| ended.clone())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flight.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::FutureExt;
    use smallvec::SmallVec;

    use super::*;
    use crate::store::results::Stamp;

    fn entry() -> Arc<Entry> {
        let (ttl, stale) = (Duration::from_secs(1), Duration::ZERO);
        Arc::new(Entry {
            result: Bytes::from_static(b"{}"),
            stored: 0,
            ttl,
            stale,
            tags: SmallVec::new(),
            stamp: Stamp(0),
        })
    }

    fn board(flights: &Arc<Flights>) -> (Leader, Follower) {
        match (flights.board(Key([7; 32])), flights.board(Key([7; 32]))) {
            (Boarded::Leading(leader), Boarded::Following(follower)) => (leader, follower),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn followers_hear_how_it_ended() {
        let flights = Arc::default();
        for outcome in [Outcome::Landed(entry()), Outcome::Alone, Outcome::Lost] {
            let (leader, follower) = board(&flights);
            assert!(leader.flight().is_followed());
            assert!(follower.outcome().now_or_never().is_none());
            let wanted = std::mem::discriminant(&outcome);
            leader.ends(outcome);
            assert_eq!(std::mem::discriminant(&follower.outcome().now_or_never().unwrap()), wanted);
            assert_eq!(flights.count(), 0);
        }
    }

    #[test]
    fn a_leader_that_is_gone_leaves_the_lead_to_the_next() {
        let flights = Arc::default();
        let (leader, follower) = board(&flights);
        drop(leader);
        assert!(matches!(follower.outcome().now_or_never(), Some(Outcome::Lost)));
        assert!(matches!(flights.board(Key([7; 32])), Boarded::Leading(_)));
    }

    #[test]
    fn who_takes_nobody_is_not_followed_by_the_next() {
        let flights = Arc::default();
        let (leader, follower) = board(&flights);
        leader.takes_nobody();
        let (next, _) = board(&flights);
        drop(leader);
        assert!(matches!(follower.outcome().now_or_never(), Some(Outcome::Lost)));
        assert_eq!(flights.count(), 1, "the next one's is still there");
        drop((next, follower));
        assert_eq!(flights.count(), 0);
    }
}
