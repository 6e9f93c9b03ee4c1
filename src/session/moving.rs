//! What moving a session means for the store: who may do it, what there is to replay, and where it lies afterwards. It
//! talks to no backend: whoever moves a session asks here before and tells afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::{Ending, Sessions};
use crate::exchange::Moored;
use crate::names::Mark;
use crate::reject::Cause;
use crate::store::{Berth, Claimed, Lease, Lookup, Moved, MoverId, Record, StoreError};

/// Whose turn it is to move a session.
#[derive(Debug)]
pub enum Turn {
    /// The caller's: what there is to replay.
    Yours(Arc<Record>),
    /// Somebody else is at it: ask again in a moment.
    Theirs,
    /// It has been moved.
    Moved,
    /// It cannot be moved; the cause is what its client hears.
    Never(Cause),
}

impl Sessions {
    /// Asks for the right to move a session away from the berth `from`, for the length of `lasts`.
    pub async fn ask_to_move(&self, moored: &Arc<Moored>, (from, mover): (Mark, MoverId), lasts: Duration) -> Turn {
        let berth = moored.berth();
        if moored.has_ended() {
            return Turn::Never(Cause::SessionUnknown);
        }
        if berth.mark() != from {
            return Turn::Moved;
        }
        let lease = Lease { mover, now_millis: self.clock.unix_millis(), lasts };
        match self.store.claim(moored.id, berth.epoch, lease).await {
            Ok(Claimed::Theirs) => Turn::Theirs,
            Ok(Claimed::Moved(berth)) => {
                self.learn(moored, &berth);
                // The store may be behind this instance: then there is nothing to learn, and nobody to move it.
                if moored.mark() == from { Turn::Never(Cause::NoBackend) } else { Turn::Moved }
            }
            Ok(Claimed::Yours) => self.to_replay(moored, (from, mover)).await,
            Ok(Claimed::Gone) => self.gone(moored).await,
            Err(error) => away(&error),
        }
    }

    async fn to_replay(&self, moored: &Arc<Moored>, (from, mover): (Mark, MoverId)) -> Turn {
        match self.store.load(moored.id).await {
            Ok(Lookup::Live(record)) if record.berth.mark() == from => Turn::Yours(record),
            Ok(Lookup::Live(record)) => {
                // The same epoch at another backend: two instances could not see each other.
                self.stay(moored, mover).await;
                self.learn(moored, &record.berth);
                Turn::Moved
            }
            Ok(Lookup::Ended | Lookup::Unknown) => self.gone(moored).await,
            Err(error) => {
                self.stay(moored, mover).await;
                away(&error)
            }
        }
    }

    /// The store does not hold it: it has ended, or there is no journal of it any more.
    async fn gone(&self, moored: &Arc<Moored>) -> Turn {
        match self.store.load(moored.id).await {
            Ok(Lookup::Ended) => {
                self.forget(moored, Ending::Elsewhere);
                Turn::Never(Cause::SessionUnknown)
            }
            Ok(Lookup::Live(_)) => Turn::Theirs,
            Ok(Lookup::Unknown) => Turn::Never(Cause::SessionLost),
            Err(error) => away(&error),
        }
    }

    /// The right to move it is given back: it stays where it is.
    pub async fn stay(&self, moored: &Moored, mover: MoverId) {
        if let Err(error) = self.store.release(moored.id, mover).await {
            tracing::debug!(session = %moored.id, %error, "the right to move a session runs out by itself");
        }
    }

    /// A session was rebuilt at `berth`. Whether that is where it lies now; if not, the backend's session there is nobody's.
    ///
    /// # Errors
    /// [`Cause::SessionUnknown`] where it has ended meanwhile, [`Cause::StoreAway`] where the store does not take it.
    pub async fn moved(&self, moored: &Arc<Moored>, from: &Berth, berth: Berth) -> Result<bool, Cause> {
        match self.store.moor(moored.id, from.epoch, berth.clone()).await {
            Ok(Moved::Done) => {
                moored.made(berth.mark());
                self.learn(moored, &berth);
                Ok(true)
            }
            Ok(Moved::Lost(theirs)) => {
                self.learn(moored, &theirs);
                // A move whose answer was lost on the way and that is told again.
                Ok(theirs == berth)
            }
            Ok(Moved::Gone) => {
                self.forget(moored, Ending::Elsewhere);
                Err(Cause::SessionUnknown)
            }
            Err(error) => {
                tracing::warn!(session = %moored.id, %error, "a move could not be stored");
                Err(Cause::StoreAway)
            }
        }
    }

    /// Whether no instance has used the session for `rest`. Of a store that nobody shares, this instance knows by itself.
    pub async fn rests_everywhere(&self, moored: &Moored, rest: Duration) -> bool {
        if !self.store.is_shared() {
            return true;
        }
        let now = self.clock.unix();
        match self.store.load(moored.id).await {
            Ok(Lookup::Live(record)) => now.saturating_sub(record.last_seen) >= rest.as_secs(),
            _ => false,
        }
    }

    /// A session that nothing can keep alive.
    pub async fn give_up(&self, moored: &Arc<Moored>, why: Ending) {
        self.end(moored, why).await;
    }
}

fn away(error: &StoreError) -> Turn {
    tracing::debug!(%error, "a session cannot be moved");
    Turn::Never(Cause::StoreAway)
}
