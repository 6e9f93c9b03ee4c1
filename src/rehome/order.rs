//! What an operator orders of one session: to move, or to end. An order never costs a session more than was asked for: one that
//! cannot be rebuilt elsewhere stays where it is.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{Move, Rehome, Stop, Why, farewell, own_credentials};
use crate::config::{IdentitySettings, Rehome as Policy};
use crate::exchange::{Moored, Opened};
use crate::fleet::Pool;
use crate::names::{BackendId, CallerDigest};
use crate::reject::Cause;
use crate::session::Ending;
use crate::store::{Berth, StoreError};

/// Why a session stays where it is, though an operator wants it moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Immovable {
    /// The configuration forbids it.
    #[error("its pool moves no sessions (rehome = \"never\")")]
    Never,
    /// Servers are told who calls, and only in its client's own requests.
    #[error(
        "its server is told who calls, which only a request of its client can say; it moves with the next one if its backend drains"
    )]
    Introduced,
    /// Nobody but its client could open it elsewhere.
    #[error("it was opened with credentials that only its client has, and its pool has no service_credential")]
    Credentials,
    /// Something of it is in flight.
    #[error("requests of it are in flight; try again when they have been answered")]
    Busy,
    /// That is where it lies.
    #[error("it lies at that backend already")]
    There,
    /// Nobody of that id is in its pool.
    #[error("its pool has no backend of that id")]
    NoSuchBackend,
    /// That backend is out of use, or drains.
    #[error("that backend takes nobody new now")]
    Unfit,
    /// Nobody could be found, or nobody took it.
    #[error("no other backend of its pool has taken it; the log says who was asked")]
    Nobody,
    /// What others offer is less than its client was promised, or there is nothing to rebuild it from.
    #[error("nobody else can be what its client was promised; the log says what is missing")]
    Unequal,
    /// A backend wants other credentials.
    #[error("the other backend answered {0}: it wants other credentials than our own")]
    Refused(StatusCode),
    /// It has ended.
    #[error("it has ended")]
    Ended,
    /// Who moves a session must agree on it with the store.
    #[error("the store cannot be asked now; try again")]
    StoreAway,
}

/// What became of the backend's own session when an operator ended one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parted {
    /// Its backend is being told.
    Told,
    /// Its backend would want its client's credentials: there it ends by itself.
    Left,
    /// Its backend cannot be reached.
    Away,
}

impl Move<'_> {
    pub(super) const fn is_ordered(&self) -> bool {
        matches!(self.why, Why::Ordered(_))
    }

    pub(super) const fn waits_for_quiet(&self) -> bool {
        matches!(self.why, Why::Parting | Why::Ordered(_))
    }
}

impl Rehome {
    /// What a session can be moved with, as far as can be told before it is tried.
    ///
    /// # Errors
    /// [`Immovable`].
    pub fn movable(&self, pool: &Pool, moored: &Moored) -> Result<HeaderMap, Immovable> {
        let settings = pool.settings();
        if moored.has_ended() {
            return Err(Immovable::Ended);
        }
        if settings.rehome == Policy::Never {
            return Err(Immovable::Never);
        }
        if settings.auth.identity != IdentitySettings::Off && moored.caller != CallerDigest::ANYBODY {
            return Err(Immovable::Introduced);
        }
        let credentials = own_credentials(pool, moored.opened() == Opened::Openly).ok_or(Immovable::Credentials)?;
        if moored.flying() > 0 { Err(Immovable::Busy) } else { Ok(credentials) }
    }

    /// Moves a session because an operator wants it so: to that backend, or to the best other one. Where it lay.
    ///
    /// # Errors
    /// [`Immovable`] says why it lies where it lay.
    pub async fn order(
        &self,
        pool: &Arc<Pool>,
        moored: &Arc<Moored>,
        to: Option<BackendId>,
    ) -> Result<Arc<Berth>, Immovable> {
        let credentials = self.movable(pool, moored)?;
        let from = moored.berth();
        if let Some(to) = to {
            let backend = pool.backend(to).ok_or(Immovable::NoSuchBackend)?;
            if to == from.backend {
                return Err(Immovable::There);
            }
            if !backend.takes_newcomers() {
                return Err(Immovable::Unfit);
            }
        }
        let moved = self.bring(pool, (moored, Arc::clone(&from)), &credentials, Why::Ordered(to)).await;
        match moved {
            Ok(()) => Ok(from),
            Err(_) if moored.flying() > 0 => Err(Immovable::Busy),
            Err(Stop::Answered(answer)) => Err(Immovable::Refused(answer.status)),
            Err(Stop::Refused(Cause::SessionLost)) => Err(Immovable::Unequal),
            Err(Stop::Refused(Cause::SessionUnknown)) => Err(Immovable::Ended),
            Err(Stop::Refused(Cause::StoreAway)) => Err(Immovable::StoreAway),
            Err(Stop::Refused(_)) => Err(Immovable::Nobody),
        }
    }

    /// Ends a session because an operator wants it so, as its client's DELETE does: for good, on every instance, and at its backend
    /// if that can be told.
    ///
    /// # Errors
    /// [`StoreError`] where it has ended here, and the store did not take it.
    pub async fn dismiss(&self, pool: Option<&Arc<Pool>>, moored: &Arc<Moored>) -> Result<Parted, StoreError> {
        let berth = moored.berth();
        let ended = self.sessions.try_end(moored, Ending::Ordered).await;
        let Some(pool) = pool else { return ended.map(|()| Parted::Away) };
        let Some(credentials) = own_credentials(pool, moored.opened() == Opened::Openly) else {
            return ended.map(|()| Parted::Left);
        };
        let is_there = farewell(pool, &berth, &moored.stable_id, &credentials).is_some();
        self.cast_off((pool, Duration::ZERO), &berth, &moored.stable_id, &credentials);
        ended.map(|()| if is_there { Parted::Told } else { Parted::Away })
    }
}
