//! Keeps the connections: looks who is to be connected to, connects, gives up what is dead or no longer the primary, and
//! says so to all that ask. Runs in the background; no request waits for it. Knows nothing of what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::dial::{Address, Dialer};
use super::discover::{Scout, View};
use super::fields;
use super::routes::{Alarm, Routes};
use super::script;
use super::server::{Server, Standing};
use super::trouble::Trouble;
use crate::clock::Chance;
use crate::config::RedisPlace;

/// How often it is looked whether all is well.
const BEAT: Duration = Duration::from_secs(1);
/// The least time between two looks, however often it is rung.
const GAP: Duration = Duration::from_millis(20);
/// The first wait while not all is well. Doubled each time up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(25);
/// The longest wait while not all is well.
const LONGEST: Duration = Duration::from_millis(500);
/// For how many looks a server is kept that has no slots, but that requests were sent on to.
const KEPT: u8 = 60;

/// Keeps the connections.
#[derive(Debug)]
pub(super) struct Supervisor {
    dialer: Arc<Dialer>,
    scout: Scout,
    view: View,
    servers: BTreeMap<Address, Arc<Server>>,
    wanted: BTreeMap<Address, u8>,
    /// Whether nobody was connected when it was looked last; `None` before the first look.
    away: Option<bool>,
    routes: watch::Sender<Arc<Routes>>,
    alarm: Arc<Alarm>,
    chance: Chance,
}

impl Supervisor {
    /// A supervisor that has no connection yet, and those who wait for it.
    pub fn new(place: &RedisPlace, dialer: Arc<Dialer>, alarm: Arc<Alarm>) -> (Self, watch::Receiver<Arc<Routes>>) {
        let (routes, receiver) = watch::channel(Arc::new(Routes::none()));
        let supervisor = Self {
            dialer,
            scout: Scout::new(place),
            view: View::default(),
            servers: BTreeMap::new(),
            wanted: BTreeMap::new(),
            away: None,
            routes,
            alarm,
            chance: Chance::system(),
        };
        (supervisor, receiver)
    }

    /// The Sentinels, where there are any.
    pub fn sentinels(&self) -> Vec<Address> {
        self.scout.sentinels()
    }

    /// Looks after the connections for ever.
    pub async fn run(mut self) {
        let mut pause = SHORTEST;
        loop {
            let well = self.look().await;
            if well {
                tokio::select! {
                    () = self.alarm.heard() => tokio::time::sleep(GAP).await,
                    // Only a quiet beat shows that what was wrong is over.
                    () = tokio::time::sleep(self.about(BEAT)) => pause = SHORTEST,
                }
            } else {
                tokio::time::sleep(self.about(pause)).await;
                pause = (pause * 2).min(LONGEST);
            }
        }
    }

    /// Looks once; whether all is well.
    async fn look(&mut self) -> bool {
        let before = self.servers.len();
        self.servers.retain(|_, server| server.standing() != Standing::Condemned);
        let condemned = self.servers.len() < before;
        let connected: Vec<&Server> = self.servers.values().map(|server| &**server).collect();
        let looked = self.scout.look(&self.dialer, &connected).await;
        let mut trouble = None;
        match looked {
            Ok(view) => self.view = view,
            Err(why) => trouble = Some(why),
        }
        let failed = self.connect().await;
        let routes = self.drawn();
        let (whole, away) = (routes.are_whole(), routes.servers().is_empty());
        self.routes.send_replace(Arc::new(routes));
        let trouble = trouble.or(failed);
        self.tell(away, trouble.as_ref());
        whole && !condemned && trouble.is_none()
    }

    /// Logs that the store has gone or come, once each time.
    fn tell(&mut self, away: bool, trouble: Option<&Trouble>) {
        let error = trouble.map(|trouble| trouble as &dyn Error);
        let was_away = self.away.replace(away);
        match (was_away, away) {
            // What that means for each part is said by who asks it, once it does not answer.
            (None | Some(false), true) => {
                tracing::warn!(error, "no connection to the store; this instance goes on by itself");
            }
            (None | Some(true), false) => tracing::info!(servers = self.servers.len(), "connected to the store"),
            _ if error.is_some() => tracing::debug!(error, "not all of the store is well"),
            _ => {}
        }
    }

    /// Keeps who is alive of those that are needed, and connects to the others.
    async fn connect(&mut self) -> Option<Trouble> {
        for at in self.alarm.take_wanted() {
            self.wanted.insert(Address::Tcp(at), KEPT);
        }
        self.wanted.retain(|_, looks| {
            *looks = looks.saturating_sub(1);
            *looks > 0
        });
        let needed: BTreeSet<Address> = self.view.addresses().chain(self.wanted.keys()).cloned().collect();
        let mut held = std::mem::take(&mut self.servers);
        let doubts = self.scout.doubts_primaries();
        let checked = needed.into_iter().map(|address| {
            let (dialer, held) = (&*self.dialer, held.remove(&address));
            async move { connected(dialer, address, held, doubts).await }
        });
        let mut trouble = None;
        for server in join_all(checked).await {
            match server {
                Ok(server) => {
                    self.servers.insert(server.address.clone(), server);
                }
                Err(why) => trouble = Some(why),
            }
        }
        trouble
    }

    fn drawn(&self) -> Routes {
        let servers: Vec<Arc<Server>> = self.servers.values().cloned().collect();
        let number = |address: &Address| servers.iter().position(|server| server.address == *address);
        let owners: BTreeMap<&Address, usize> =
            self.view.addresses().filter_map(|address| Some((address, number(address)?))).collect();
        Routes::new(servers.clone(), |place| owners.get(self.view.owner(place)?).copied())
    }

    /// A time within a quarter of this one, so that instances do not come all at once.
    fn about(&self, time: Duration) -> Duration {
        let percent = u32::try_from(75 + self.chance.below(50)).unwrap_or(100);
        time * percent / 100
    }
}

/// The server at an address: the one that is held if it is alive, or else a new connection.
async fn connected(
    dialer: &Dialer,
    address: Address,
    held: Option<Arc<Server>>,
    doubts: bool,
) -> Result<Arc<Server>, Trouble> {
    if let Some(server) = held {
        match check(dialer, &server, doubts).await {
            Ok(()) => {
                server.clear();
                return Ok(server);
            }
            Err(trouble) => tracing::debug!(server = %address, error = &trouble as &dyn Error, "gave up a connection"),
        }
    }
    let server = dialer.server(&address).await?;
    check(dialer, &server, doubts).await?;
    // Whoever asks sends the script where this fails.
    let _ = tokio::time::timeout(dialer.patience, server.several(script::loading())).await;
    Ok(Arc::new(server))
}

/// Whether a server is alive and ready and, where that is in doubt, the primary.
async fn check(dialer: &Dialer, server: &Server, doubts: bool) -> Result<(), Trouble> {
    let command = redis::cmd(if doubts { "ROLE" } else { "PING" });
    let answer = tokio::time::timeout(dialer.patience, server.one(&command)).await.map_err(|_| Trouble::Late)??;
    if !doubts {
        return Ok(());
    }
    let role = fields::list(answer)?.into_iter().next().map(fields::text).transpose()?;
    match role.as_deref() {
        Some("master") => Ok(()),
        _ => Err(Trouble::Lost("the one that Sentinels name is not the primary")),
    }
}

/// Rings as soon as one of the Sentinels says that there is another primary. A help only: the supervisor asks by itself too.
pub(super) async fn watch_sentinels(sentinels: Vec<Address>, dialer: Arc<Dialer>, alarm: Arc<Alarm>) {
    for sentinel in sentinels.iter().cycle() {
        match dialer.hearing(sentinel, true).await {
            Ok(mut hearing) => {
                let subscribed = tokio::time::timeout(dialer.patience, hearing.subscribe("+switch-master")).await;
                let mut messages = hearing.on_message();
                while matches!(subscribed, Ok(Ok(()))) && messages.next().await.is_some() {
                    alarm.ring();
                }
            }
            Err(trouble) => tracing::debug!(%sentinel, error = &trouble as &dyn Error, "cannot listen to a sentinel"),
        }
        tokio::time::sleep(BEAT).await;
    }
}
