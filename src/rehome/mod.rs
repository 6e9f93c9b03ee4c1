//! Rehoming: a session whose backend is lost is rebuilt on another one by replaying its journal, and its berth swapped under
//! its epoch, so that of all requests and all instances one does the work. It stands between the stations and the walk, for it
//! asks all of them; it relays nothing to clients.

mod counts;
mod order;
mod replay;
mod told;
mod why;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use crate::clock::{Chance, Clock};
use crate::config::Rehome as Policy;
use crate::exchange::{Answer, Ask, Exchange, MOVE, Moored, Unplaced};
use crate::fleet::{Backend, Fleet, Pool};
use crate::names::BackendId;
use crate::reject::Cause;
use crate::relay::{Relay, message};
use crate::route::Route;
use crate::session::{Abandoned, Ending, Sessions, Turn};
use crate::store::{Berth, MoverId, Record};
use crate::tasks;
use crate::wire::Outgoing;
pub use counts::{Counts, Fate};
pub use order::{Immovable, Parted};
use replay::Replayed;
pub use why::Why;

/// How often whoever waits for somebody else's move looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);

/// Backends that a session is offered to in one move.
const MOST_OFFERS: usize = 3;

/// How long saying goodbye to a backend may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What other instances still have in flight at a berth that was left may take so long.
const GRACE: Duration = Duration::from_secs(20);

/// What is in flight at a berth of this instance's own that did not stand may take so long.
const SHORT_GRACE: Duration = Duration::from_secs(5);

/// How long a request lets other instances' streams follow its session first.
const OTHERS_FIRST: Duration = Duration::from_millis(100);

/// Moves sessions. One for each worker thread, as the relay is.
pub struct Rehome {
    /// Whose turn it is, what there is to replay, and where the session lies afterwards.
    pub sessions: Arc<Sessions>,
    /// Who takes newcomers.
    pub route: Arc<Route>,
    /// Speaks to backends.
    pub relay: Arc<Relay>,
    /// The pools.
    pub fleet: Arc<Fleet>,
    /// The time.
    pub clock: Clock,
    /// Names moves.
    pub chance: Chance,
    /// The moves that were made.
    pub counts: Arc<Counts>,
}

/// What happened to a session's request at its berth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The berth's backend cannot be named.
    Unplaced(Unplaced),
    /// The backend could not be reached; whether it refused the connection.
    Unsent {
        /// A process that refuses is gone.
        refused: bool,
    },
    /// The backend says that there is no such session.
    Forgotten,
    /// The connection broke after the request was sent.
    Broken(Cause),
    /// Nothing: the backend shall be left because it takes nobody new.
    Parting,
}

/// Why a request ends without a backend's answer to it.
#[derive(Debug)]
pub enum Stop {
    /// It is refused.
    Refused(Cause),
    /// It is answered otherwise: with a backend's own word on the caller's credentials, or because it has become needless.
    Answered(Answer),
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Self::Refused(cause)
    }
}

/// One move.
struct Move<'a> {
    pool: &'a Arc<Pool>,
    moored: &'a Arc<Moored>,
    from: Arc<Berth>,
    /// Whose behalf it is on: header fields of the request that set it off.
    credentials: &'a HeaderMap,
    why: Why,
    until: Instant,
}

impl Rehome {
    /// What is to be done about trouble with a session's request: when this returns, the request may be sent again.
    /// `headers` are those of the request, as it would be sent.
    ///
    /// # Errors
    /// [`Stop`] where it may not.
    pub async fn after(
        &self,
        trouble: Trouble,
        exchange: &Exchange,
        (moored, from): (&Arc<Moored>, Arc<Berth>),
        headers: &HeaderMap,
    ) -> Result<(), Stop> {
        let pool = &exchange.pool;
        if trouble == Trouble::Parting && pool.settings().rehome == Policy::Never {
            return Err(Cause::NoBackend.into());
        }
        if matches!(exchange.ask, Ask::Goodbye) {
            return Err(self.goodbye(moored).await);
        }
        if moored.mark() != from.mark() {
            // Somebody has moved it meanwhile.
            return Ok(());
        }
        if pool.settings().rehome == Policy::Never {
            return Err(self.bear(trouble, pool, moored).await.into());
        }
        if matches!(exchange.ask, Ask::Reply) && trouble != (Trouble::Unsent { refused: false }) {
            tracing::info!(session = %moored.id, "a reply to a call that died with its server was dropped");
            return Err(Stop::Answered(empty(StatusCode::ACCEPTED)));
        }
        let own = pool.backend(from.backend);
        let is_out = || own.as_ref().is_none_or(|own| !own.takes_requests());
        match trouble {
            Trouble::Unsent { refused: false } if !is_out() => return Err(Cause::NoBackend.into()),
            // It goes to the same berth once more; if that is dead, the next attempt finds out.
            Trouble::Broken(_) if !is_out() => return Ok(()),
            Trouble::Unplaced(Unplaced::Nobody) => return Err(Cause::NoBackend.into()),
            _ => {}
        }
        let why = match trouble {
            Trouble::Forgotten => Why::Forgotten,
            Trouble::Parting => Why::Parting,
            _ => Why::Lost,
        };
        exchange.during(MOVE, self.bring(pool, (moored, from), headers, why)).await?;
        if self.sessions.are_shared() && !matches!(exchange.ask, Ask::Stream) {
            // Other instances hear of it, and their streams follow, before the new server has anything to say.
            tokio::time::sleep(OTHERS_FIRST).await;
        }
        Ok(())
    }

    /// Brings a session to another backend, or waits until somebody else has, for at most `rehome_timeout`.
    ///
    /// # Errors
    /// [`Stop`] says why it lies where it lay.
    pub async fn bring(
        &self,
        pool: &Arc<Pool>,
        (moored, from): (&Arc<Moored>, Arc<Berth>),
        headers: &HeaderMap,
        why: Why,
    ) -> Result<(), Stop> {
        let limit = pool.settings().rehome_timeout;
        let credentials = crate::relay::credentials_of(headers);
        let until = self.clock.now() + limit;
        let task = Move { pool, moored, from, credentials: &credentials, why, until };
        let waited = tokio::time::timeout(limit, moored.moving.lock()).await;
        let Ok(_turn) = waited else { return Err(Cause::NoBackend.into()) };
        self.take_turn(&task, limit).await
    }

    async fn take_turn(&self, task: &Move<'_>, limit: Duration) -> Result<(), Stop> {
        let mover = MoverId(self.chance.next());
        loop {
            // The lease outlives the work, which ends at `until`.
            let turn = self.sessions.ask_to_move(task.moored, (task.from.mark(), mover), limit * 2).await;
            match turn {
                Turn::Moved => return Ok(()),
                Turn::Never(Cause::SessionLost) if !task.is_ordered() => {
                    self.sessions.give_up(task.moored, Ending::Lost).await;
                    return Err(Cause::SessionLost.into());
                }
                Turn::Never(cause) => return Err(cause.into()),
                Turn::Yours(_) if task.waits_for_quiet() && task.moored.flying() > 0 => {
                    self.sessions.stay(task.moored, mover).await;
                    return Err(Cause::NoBackend.into());
                }
                Turn::Yours(record) => {
                    let began = self.clock.now();
                    let moved = self.offer(task, &record).await;
                    let took = self.clock.now().saturating_duration_since(began);
                    self.counts.count(task.pool.id, task.why, &moved, took);
                    if moved.is_err() {
                        self.sessions.stay(task.moored, mover).await;
                    }
                    return moved;
                }
                Turn::Theirs if self.clock.now() >= task.until => return Err(Cause::NoBackend.into()),
                Turn::Theirs => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Offers the session to one backend after the other.
    async fn offer(&self, task: &Move<'_>, record: &Arc<Record>) -> Result<(), Stop> {
        let mut tried: Vec<BackendId> = Vec::new();
        let may_stay = task.why == Why::Forgotten;
        if !may_stay {
            tried.push(task.from.backend);
        }
        let (mut worse, began) = (false, self.clock.now());
        while tried.len() < MOST_OFFERS + usize::from(!may_stay) {
            // One that has just said that it forgot the session is there, whatever its probes have found out so far.
            let own = || task.pool.backend(task.from.backend).filter(|own| !tried.contains(&own.id));
            let newcomer = match task.why {
                Why::Ordered(Some(to)) => task.pool.backend(to).filter(|to| !tried.contains(&to.id)),
                _ => self.route.newcomer(task.pool, &tried, true),
            };
            let Some(backend) = newcomer.or_else(own) else { break };
            tried.push(backend.id);
            match self.rebuild(task, &backend, record).await {
                Replayed::Here(backend_session) => {
                    let took_ms = self.clock.now().saturating_duration_since(began).as_millis();
                    return self.swap(task, &backend, backend_session, took_ms).await;
                }
                Replayed::Word(answer) => return Err(Stop::Answered(answer)),
                Replayed::Worse => worse = true,
                Replayed::Failed => {}
            }
            if self.clock.now() >= task.until {
                break;
            }
        }
        told::stays(task, worse && !task.is_ordered());
        if worse && !task.is_ordered() {
            // Whoever is there cannot be what the client was promised.
            self.sessions.give_up(task.moored, Ending::Lost).await;
            return Err(Cause::SessionLost.into());
        }
        if worse {
            return Err(Cause::SessionLost.into());
        }
        Err(Cause::NoBackend.into())
    }

    async fn swap(
        &self,
        task: &Move<'_>,
        backend: &Arc<Backend>,
        backend_session: Box<str>,
        took_ms: u128,
    ) -> Result<(), Stop> {
        let epoch = crate::names::Epoch(task.from.epoch.0.saturating_add(1));
        let berth = Berth { backend: backend.id, backend_session, epoch };
        let stands = self.sessions.moved(task.moored, &task.from, berth.clone()).await;
        let old = (task.from.backend != backend.id).then(|| (*task.from).clone());
        match (&stands, old) {
            (Ok(true), Some(old)) => self.cast_off_later(task, &old),
            // Where the store did not answer, nobody knows which of the two stands: whoever does not may linger.
            (Ok(true), None) | (Err(Cause::StoreAway), _) => {}
            (Ok(false) | Err(_), _) => {
                self.cast_off((task.pool, Duration::ZERO), &berth, &task.moored.stable_id, task.credentials);
            }
        }
        stands?;
        told::moved(task, backend, epoch, took_ms);
        Ok(())
    }

    /// Without rehoming, a session ends with its backend; but not before it is clear that it is gone.
    async fn bear(&self, trouble: Trouble, pool: &Pool, moored: &Arc<Moored>) -> Cause {
        let own = moored.berth().backend;
        let backends = pool.backends();
        // One that refuses too is nobody to start over with, though its probes may not have found out yet.
        let mut others = backends.iter().filter(|backend| backend.id != own && !backend.is_refusing());
        let is_gone = match trouble {
            Trouble::Forgotten => true,
            Trouble::Unsent { refused: true } => others.any(|backend| backend.takes_newcomers()),
            Trouble::Unplaced(Unplaced::Left) => pool.is_up(),
            Trouble::Broken(cause) => return cause,
            Trouble::Unsent { refused: false } | Trouble::Unplaced(_) | Trouble::Parting => false,
        };
        if !is_gone {
            return Cause::NoBackend;
        }
        told::ended(pool, moored);
        self.sessions.give_up(moored, Ending::Lost).await;
        Cause::SessionLost
    }

    /// The client ends a session whose backend is not there: it ends all the same.
    async fn goodbye(&self, moored: &Arc<Moored>) -> Stop {
        self.sessions.give_up(moored, Ending::Deleted).await;
        Stop::Answered(empty(StatusCode::OK))
    }

    /// Tells backends of sessions that nobody will use there any more, if it can be done without a client's credentials.
    pub fn tell_abandoned(&self, abandoned: Vec<Abandoned>) {
        for Abandoned { id, pool, berth, openly } in abandoned {
            let Some(pool) = self.fleet.pool(pool) else { continue };
            let Some(credentials) = own_credentials(&pool, openly) else { continue };
            let Ok(stable_id) = HeaderValue::try_from(id.to_string()) else { continue };
            self.cast_off((&pool, SHORT_GRACE), &berth, &stable_id, &credentials);
        }
    }

    /// What is still going on at the old berth, also through other instances, may come to its end before it is deleted.
    fn cast_off_later(&self, task: &Move<'_>, old: &Berth) {
        let grace = if self.sessions.are_shared() { GRACE } else { Duration::from_secs(1) };
        self.cast_off((task.pool, grace), old, &task.moored.stable_id, task.credentials);
    }

    /// Deletes a session that was left behind, if its backend is there to hear it. Nobody waits for it.
    fn cast_off(
        &self,
        (pool, grace): (&Arc<Pool>, Duration),
        berth: &Berth,
        stable_id: &HeaderValue,
        credentials: &HeaderMap,
    ) {
        let Some((backend, goodbye)) = farewell(pool, berth, stable_id, credentials) else { return };
        let (relay, pool) = (Arc::clone(&self.relay), Arc::clone(pool));
        tasks::detach("goodbye to a backend", grace + GOODBYE * 2, async move {
            tokio::time::sleep(grace).await;
            say_goodbye(&relay, &pool, &backend, &goodbye).await;
        });
    }
}

/// The message that deletes a session at its backend, if that is there to hear it.
fn farewell(
    pool: &Pool,
    berth: &Berth,
    stable_id: &HeaderValue,
    credentials: &HeaderMap,
) -> Option<(Arc<Backend>, Outgoing)> {
    let known = pool.everybody().into_iter().find(|backend| backend.id == berth.backend);
    let backend = known.filter(|backend| !backend.is_refusing())?;
    let theirs = HeaderValue::from_str(&berth.backend_session).ok()?;
    let mut goodbye = message(Bytes::new(), credentials, Some(&theirs), stable_id);
    goodbye.method = Method::DELETE;
    Some((backend, goodbye))
}

async fn say_goodbye(relay: &Relay, pool: &Pool, backend: &Arc<Backend>, goodbye: &Outgoing) {
    if backend.is_refusing() {
        return;
    }
    if let Err(error) = relay.ask(pool, backend, goodbye, GOODBYE).await {
        tracing::debug!(backend = %backend.name, %error, "a session that was left behind could not be deleted");
    }
}

/// What Moorline may say on its own behalf: the pool's service credential, or nothing, where that is how the session was opened.
#[must_use]
pub fn own_credentials(pool: &Pool, openly: bool) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    match &pool.settings().service_credential {
        Some(credential) => {
            headers.insert(AUTHORIZATION, credential.value().clone());
            Some(headers)
        }
        None => openly.then_some(headers),
    }
}

fn empty(status: StatusCode) -> Answer {
    Answer { status, headers: HeaderMap::new(), whole: None }
}
