//! The route station: names the backend that a request goes to. A session goes to its berth; what is new goes to the better
//! of two random healthy backends. It keeps nothing and sends nothing; probing and discovery beside it feed the fleet.

mod choose;
pub mod discover;
pub mod health;

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use crate::clock::{Chance, Clock};
use crate::exchange::{Act, Ask, Call, Exchange, Heading, Moored, Retry, Unplaced};
use crate::fleet::{Backend, Pool};
use crate::mcp::crossing;
use crate::names::{BackendId, Mark};

/// The route station.
#[derive(Debug)]
pub struct Route {
    clock: Clock,
    chance: Chance,
}

impl Route {
    /// A station that draws its lots from `chance`.
    #[must_use]
    pub const fn new(clock: Clock, chance: Chance) -> Self {
        Self { clock, chance }
    }

    /// Names the backend for a request. `tried` are those that could not be reached for it.
    ///
    /// # Errors
    /// [`Unplaced`] says why there is none.
    pub fn choose(
        &self,
        exchange: &Exchange,
        moored: Option<&Arc<Moored>>,
        tried: &[BackendId],
    ) -> Result<Heading, Unplaced> {
        if let Some(moored) = moored {
            let before = former_berth(exchange, moored).filter(|heading| !tried.contains(&heading.backend.id));
            return before.map_or_else(|| berth_of(&exchange.pool, moored), Ok);
        }
        let newcomer = || self.newcomer(&exchange.pool, tried, exchange.opens_session());
        let backend = self.minted_by(exchange, tried).or_else(newcomer);
        backend.map(|backend| Heading { backend, berth: None }).ok_or(Unplaced::Nobody)
    }

    /// The backend that minted the `requestState` of a retry, if it can still be asked.
    fn minted_by(&self, exchange: &Exchange, tried: &[BackendId]) -> Option<Arc<Backend>> {
        let Ask::Call(Call { act: Act::Rounds(Some(Retry { backend: Some(minter), .. })), .. }) = &exchange.ask else {
            return None;
        };
        let backend = exchange.pool.backend(*minter)?;
        (backend.takes_requests() && !tried.contains(minter)).then_some(backend)
    }

    /// The better of two random backends for something new: a session (`stays`), or a single request.
    #[must_use]
    pub fn newcomer(&self, pool: &Pool, tried: &[BackendId], stays: bool) -> Option<Arc<Backend>> {
        let backends = pool.backends();
        let fit = |backend: &&Arc<Backend>| backend.takes_newcomers() && !tried.contains(&backend.id);
        let now = self.clock.now();
        let load = |backend: &Arc<Backend>| backend.load(now);
        choose::best_of_two(backends.iter().filter(fit), &self.chance, |a, b| {
            choose::is_better(load(a), load(b), stays)
        })
        .or_else(|| backends.iter().find(|backend| backend.is_recovering() && !tried.contains(&backend.id)))
        .cloned()
    }

    /// Records how long a backend took to answer. An answer that says that it cannot serve is no sign of health, and its
    /// speed no merit.
    pub fn answered(&self, backend: &Backend, (sent, now): (Instant, Instant), status: StatusCode) {
        if matches!(status.as_u16(), 502..=504) {
            return;
        }
        backend.answered(now.saturating_duration_since(sent), now);
    }
}

/// Where the session lay before, for what only that berth understands: the reply to what it asked, the rest of a stream that
/// it began. A session may have left on purpose, with something still going on there.
fn former_berth(exchange: &Exchange, moored: &Moored) -> Option<Heading> {
    let current = moored.mark();
    if current == Mark(0) {
        return None;
    }
    let meant = match (&exchange.ask, &exchange.resumes) {
        (Ask::Reply, _) => crossing::reply_mark(&exchange.body)?,
        (Ask::Stream, Some(seen)) => crossing::unwrap_event_id(seen).0,
        _ => return None,
    };
    if meant == current {
        return None;
    }
    let berth = moored.before(meant)?;
    let backend = exchange.pool.backend(berth.backend).filter(|backend| backend.takes_requests())?;
    (!backend.is_refusing()).then_some(Heading { backend, berth: Some(berth) })
}

/// Whether there is nobody better than one that is just coming back.
fn is_best(pool: &Pool, backend: &Backend) -> bool {
    backend.is_recovering() && !pool.is_up()
}

fn berth_of(pool: &Pool, moored: &Moored) -> Result<Heading, Unplaced> {
    let berth = moored.berth();
    match pool.backend(berth.backend) {
        // One that refuses is asked all the same: it costs little, and it may be back.
        Some(backend) if backend.takes_requests() || backend.is_refusing() || is_best(pool, &backend) => {
            Ok(Heading { backend, berth: Some(berth) })
        }
        None if pool.is_resolved() => Err(Unplaced::Left),
        Some(_) | None => Err(Unplaced::Down),
    }
}
