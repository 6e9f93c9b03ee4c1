//! Who has which keys, as far as is known, and the way there: sends each request to the server that has its keys, and
//! follows where that sends it on. A request that may have been executed is never sent again. Makes no connections: who is
//! to be connected to is told to the supervisor through the `Alarm`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use redis::Value;
use tokio::sync::{Notify, watch};

use super::keyspace::{PLACES, Place};
use super::script::Ask;
use super::server::{Server, Standing};
use super::trouble::Trouble;
use crate::config::HostPort;
use crate::tasks::Task;

/// How often one request is sent on. Two servers that hand a slot over send to each other for a moment.
const HOPS: u32 = 16;
/// After so many hops it is waited a moment before the next.
const QUICK_HOPS: u32 = 3;
/// Requests of a batch that are followed at the same time.
const FOLLOWED: usize = 16;
/// Servers that may be wanted at the same time.
const MAX_WANTED: usize = 64;

/// Who has which keys. Never changed: replaced whole.
#[derive(Debug)]
pub(super) struct Routes {
    servers: Vec<Arc<Server>>,
    /// For each place the number of its server.
    of: Vec<Option<usize>>,
}

impl Routes {
    /// Nobody has anything.
    pub fn none() -> Self {
        Self { servers: Vec::new(), of: vec![None; PLACES] }
    }

    /// The connected servers, and who of them has which place.
    pub fn new(servers: Vec<Arc<Server>>, owner: impl Fn(Place) -> Option<usize>) -> Self {
        let of = Place::all().map(owner).collect();
        Self { servers, of }
    }

    /// All that are connected.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Whether every place has its server.
    pub fn are_whole(&self) -> bool {
        self.of.iter().all(Option::is_some)
    }

    fn server(&self, place: Place) -> Result<&Arc<Server>, Trouble> {
        let number = self.of.get(place.index()).copied().flatten();
        number.and_then(|number| self.servers.get(number)).ok_or(Trouble::Away)
    }

    fn at(&self, address: &HostPort) -> Option<&Arc<Server>> {
        self.servers.iter().find(|server| server.address.host_port() == Some(address))
    }
}

/// How callers tell the supervisor that something is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    bell: Notify,
    // Guards a handful of addresses while a slot is moved; taken by no request otherwise.
    wanted: Mutex<BTreeSet<HostPort>>,
}

impl Alarm {
    /// Asks the supervisor to look now.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Until somebody rings.
    pub async fn heard(&self) {
        self.bell.notified().await;
    }

    /// Asks for a connection to a server that is not known yet.
    fn want(&self, server: HostPort) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.len() < MAX_WANTED {
            wanted.insert(server);
        }
        drop(wanted);
        self.ring();
    }

    /// Who was asked for since the last time.
    pub fn take_wanted(&self) -> BTreeSet<HostPort> {
        std::mem::take(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The way to the servers.
#[derive(Debug)]
pub(super) struct Line {
    routes: watch::Receiver<Arc<Routes>>,
    alarm: Arc<Alarm>,
    timeout: Duration,
    // Keeps the connections; ends with the last who asks.
    _background: Vec<Task>,
}

impl Line {
    /// A way along these routes. No call takes longer than `timeout`.
    pub fn new(
        routes: watch::Receiver<Arc<Routes>>,
        alarm: Arc<Alarm>,
        timeout: Duration,
        background: Vec<Task>,
    ) -> Self {
        Self { routes, alarm, timeout, _background: background }
    }

    /// Who has which keys, now and from now on.
    pub fn watch(&self) -> watch::Receiver<Arc<Routes>> {
        self.routes.clone()
    }

    /// How long a call may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Until every place has its server.
    pub async fn whole(&self) {
        let mut routes = self.routes.clone();
        if routes.wait_for(|routes| routes.are_whole()).await.is_err() {
            // The supervisor has ended, and with it the store: whoever waits here is about to be dropped.
            std::future::pending::<()>().await;
        }
    }

    /// Whether nobody is connected.
    pub fn is_away(&self) -> bool {
        self.routes.borrow().servers().is_empty()
    }

    /// Asks for one thing.
    pub async fn ask(&self, ask: &Ask) -> Result<Value, Trouble> {
        let answer = tokio::time::timeout(self.timeout, self.ask_first(ask)).await;
        answer.unwrap_or_else(|_| Err(self.late(ask)))
    }

    /// Asks whoever should have the keys. Nearly always that is all, so the rest takes no room here.
    async fn ask_first(&self, ask: &Ask) -> Result<Value, Trouble> {
        let server = Arc::clone(self.routes().server(ask.place)?);
        match server.one(&ask.command(false)).await {
            Ok(value) => Ok(value),
            Err(trouble) if trouble.is_elsewhere() => Box::pin(self.follow(ask, trouble)).await,
            Err(trouble) => {
                self.report(&server, &trouble);
                Err(trouble)
            }
        }
    }

    /// Asks for many things, each server in one go. An answer for each, in their order.
    pub async fn ask_all(&self, asks: &[Ask]) -> Vec<Result<Value, Trouble>> {
        let routes = self.routes();
        let mut answers: Vec<Result<Value, Trouble>> = asks.iter().map(|_| Err(Trouble::Away)).collect();
        let groups = (0..routes.servers().len()).map(|number| {
            let here = |ask: &Ask| routes.of[ask.place.index()] == Some(number);
            let mine: Vec<usize> = (0..asks.len()).filter(|&n| here(&asks[n])).collect();
            self.ask_server(&routes.servers()[number], asks, mine)
        });
        for (number, answer) in join_all(groups).await.into_iter().flatten() {
            answers[number] = answer;
        }
        let astray: Vec<usize> =
            (0..asks.len()).filter(|&n| matches!(&answers[n], Err(trouble) if trouble.is_elsewhere())).collect();
        let followed = stream::iter(astray).map(|n| {
            let trouble = std::mem::replace(&mut answers[n], Err(Trouble::Away)).err().unwrap_or(Trouble::Away);
            async move {
                let answer = tokio::time::timeout(self.timeout, self.follow(&asks[n], trouble)).await;
                (n, answer.unwrap_or_else(|_| Err(self.late(&asks[n]))))
            }
        });
        let followed: Vec<_> = followed.buffer_unordered(FOLLOWED).collect().await;
        for (n, answer) in followed {
            answers[n] = answer;
        }
        answers
    }

    async fn ask_server(
        &self,
        server: &Arc<Server>,
        asks: &[Ask],
        mine: Vec<usize>,
    ) -> Vec<(usize, Result<Value, Trouble>)> {
        if mine.is_empty() {
            return Vec::new();
        }
        let commands = mine.iter().map(|&n| asks[n].command(false).into_owned());
        let answers = tokio::time::timeout(self.timeout, server.several(commands)).await.unwrap_or(Err(Trouble::Late));
        match answers {
            Ok(answers) => {
                answers
                    .iter()
                    .filter_map(|answer| answer.as_ref().err())
                    .for_each(|trouble| self.report(server, trouble));
                mine.into_iter().zip(answers).collect()
            }
            Err(trouble) => {
                self.report(server, &trouble);
                let late = matches!(trouble, Trouble::Late);
                mine.into_iter().map(|n| (n, Err(if late { Trouble::Late } else { Trouble::Cut }))).collect()
            }
        }
    }

    /// Sends a request on that was not taken, from server to server until one takes it.
    async fn follow(&self, ask: &Ask, sent_on: Trouble) -> Result<Value, Trouble> {
        let mut server = Arc::clone(self.routes().server(ask.place)?);
        let (mut in_full, mut in_move) = (false, false);
        let mut answer = Err(sent_on);
        for hop in 0..HOPS {
            match answer {
                Err(Trouble::NoScript) => in_full = true,
                Err(Trouble::Redirect { to, once }) => {
                    if !once {
                        self.alarm.ring();
                    }
                    if hop > QUICK_HOPS {
                        tokio::time::sleep(Duration::from_millis(u64::from(hop))).await;
                    }
                    server = self.find(to).await;
                    in_move = once;
                }
                Err(trouble) => {
                    self.report(&server, &trouble);
                    return Err(trouble);
                }
                Ok(value) => return Ok(value),
            }
            answer = if in_move {
                server.one_in_move(ask.command(in_full).into_owned()).await
            } else {
                server.one(&ask.command(in_full)).await
            };
        }
        match answer {
            Err(trouble) if trouble.is_elsewhere() => Err(Trouble::Lost("servers send to each other")),
            answer => answer.inspect_err(|trouble| self.report(&server, trouble)),
        }
    }

    /// The server at an address, once it is connected.
    async fn find(&self, to: HostPort) -> Arc<Server> {
        let mut routes = self.routes.clone();
        loop {
            let now = Arc::clone(&routes.borrow_and_update());
            if let Some(server) = now.at(&to) {
                return Arc::clone(server);
            }
            self.alarm.want(to.clone());
            if routes.changed().await.is_err() {
                // The supervisor has ended, and with it the store: whoever waits here is about to be dropped.
                std::future::pending::<()>().await;
            }
        }
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.borrow())
    }

    fn late(&self, ask: &Ask) -> Trouble {
        if let Ok(server) = self.routes().server(ask.place) {
            self.report(server, &Trouble::Late);
        }
        Trouble::Late
    }

    /// Draws the supervisor's attention to what an answer says about its server.
    fn report(&self, server: &Server, trouble: &Trouble) {
        match trouble {
            Trouble::Late | Trouble::Broken(_) => server.lower(Standing::Suspect),
            Trouble::Demoted(_) => server.lower(Standing::Condemned),
            Trouble::Refused(error) if error.code() == Some("CLUSTERDOWN") => {}
            _ => return,
        }
        self.alarm.ring();
    }
}
