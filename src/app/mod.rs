//! The composition root: builds the stores and the stations from a configuration, starts the threads, takes new
//! configurations, and brings it all down in order. Nobody else builds a store.

mod certificates;
mod error;
mod leaving;
mod logs;
mod mover;
mod operated;
mod reload;
mod settings;
mod stores;
mod surveyed;
mod together;
mod watcher;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;

pub use certificates::{check, follow as follow_certificates};
pub use error::StartError;
pub use reload::{Followed, follow};

use certificates::Certificates;
use logs::observe;
use mover::Mover;
use settings::{
    authorize_settings, cache_settings, door_rules, gate_settings, identify_settings, limit_settings, relay_settings,
};
use stores::{Stores, open};
use watcher::Watcher as ChangeWatcher;

use crate::admin::feed::{self, Moves};
use crate::admin::{NotReloaded, Reloaded, Reloads};
use crate::auth::Gates;
use crate::authorize::{self, Authorize};
use crate::cache::Cache;
use crate::clock::{Chance, Clock};
use crate::config::{Config, Refusals};
use crate::drain::Drain;
use crate::fleet::{Fleet, Pool};
use crate::identify::Identify;
use crate::instances::Instances;
use crate::limit::Limit;
use crate::listener::{Admission, Door, Plan, Workers};
use crate::log::Log;
use crate::observe::Observe;
use crate::rehome::{self, Rehome};
use crate::relay::{self, Relay, Streams};
use crate::route::{Route, discover, health};
use crate::session::{Event, Parts, Sessions};
use crate::store::Sessions as Store;
use crate::store::counters::shared::Shared as SharedCounters;
use crate::survey::StoreParts;
use crate::tasks::{self, Task};
use crate::toll::Toll;
use crate::walk::Walk;

/// A running instance.
pub struct App {
    config: ArcSwap<Config>,
    /// The configuration of the start: what needs a restart is in effect as it stands there.
    begun_with: Arc<Config>,
    log: Log,
    shared: Shared,
    workers: Arc<Workers>,
    store: Arc<dyn Store>,
    shared_counters: Option<Arc<SharedCounters>>,
    store_parts: StoreParts,
    mover: Arc<Mover>,
    instances: Arc<Instances>,
    addrs: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    resolver: Arc<discover::Resolver>,
    reloads: Reloads,
    /// Taken at start, at a reload and at the end.
    tasks: Mutex<Vec<Task>>,
}

/// The stations and what they share between threads.
#[derive(Clone)]
struct Shared {
    clock: Clock,
    drain: Drain,
    fleet: Arc<Fleet>,
    sessions: Arc<Sessions>,
    gates: Arc<Gates>,
    identify: Arc<Identify>,
    authorize: Arc<Authorize>,
    cache: Arc<Cache>,
    limit: Arc<Limit>,
    route: Arc<Route>,
    observe: Arc<Observe>,
    rehomes: Arc<rehome::Counts>,
    relay: Arc<ArcSwap<relay::Settings>>,
    streams: Streams,
    refusals: Arc<ArcSwap<Refusals>>,
    certificates: Arc<Certificates>,
}

/// Is told of each event of a session. Called on the request's own path: must be quick.
pub type Watcher = Box<dyn Fn(&Event) + Send + Sync>;

impl App {
    /// Starts an instance. When it returns, connections are accepted.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config, log: Log, watcher: Watcher) -> Result<Arc<Self>, StartError> {
        let listeners = config.listen.iter().map(|one| error::bind(one.addr)).collect::<Result<Vec<_>, _>>()?;
        let admin = config.admin.map(error::bind).transpose()?;
        let clock = Clock::system();
        let certificates = Arc::new(Certificates::new(&config, &clock)?);
        let stores = open(&config, &clock).await?;
        let resolver = Arc::new(discover::Resolver::system());
        let fleet = Arc::new(Fleet::new(&config.pools));
        certificates.equip(&fleet);
        for pool in fleet.pools().iter() {
            discover::refresh(pool, &resolver, &clock).await;
        }
        let (noter, moves) = feed::moves();
        let watcher = noter.beside(watcher);
        let shared = Shared::new(&config, &stores, (clock, fleet, certificates), watcher).await?;
        let workers = shared.start_workers(&config).map_err(StartError::Thread)?;
        let admin_addr = admin.as_ref().and_then(|admin| admin.local_addr().ok());
        let known = (stores.roster, stores.instance, stores.parts.kind);
        let instances = together::join(&shared, (&config, admin_addr), known, &workers).await;
        let mover = Mover {
            instances: Arc::clone(&instances),
            sessions: Arc::clone(&shared.sessions),
            limit: Arc::clone(&shared.limit),
            fleet: Arc::clone(&shared.fleet),
            rehome: Arc::new(shared.rehome(&shared.new_relay())),
        };
        let config = Arc::new(config);
        let app = Arc::new(Self {
            mover: Arc::new(mover),
            addrs: listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect(),
            instances,
            admin: admin_addr,
            config: ArcSwap::new(Arc::clone(&config)),
            begun_with: config,
            log,
            shared,
            workers,
            store: stores.sessions,
            shared_counters: stores.shared_counters,
            store_parts: stores.parts,
            resolver,
            reloads: Reloads::default(),
            tasks: Mutex::default(),
        });
        app.start_tasks(listeners, admin.map(|admin| (admin, moves)));
        Ok(app)
    }

    fn start_tasks(self: &Arc<Self>, listeners: Vec<TcpListener>, admin: Option<(TcpListener, Moves)>) {
        let mut started = Vec::new();
        for (listener, settings) in listeners.into_iter().zip(&self.config.load().listen) {
            let door = Door { tls: settings.tls, proxied: settings.proxy_protocol };
            let accept = Arc::clone(&self.workers).accept(listener, door, self.shared.drain.clone());
            started.push(tasks::spawn("accept", accept));
        }
        if let Some((listener, moves)) = admin {
            let admin = Arc::new(self.operated_at(&listener));
            started.push(tasks::spawn("feed", Arc::clone(&admin).tell(moves)));
            started.push(tasks::spawn("admin", admin.serve(listener)));
        }
        started.push(tasks::spawn("log", self.log.clone().keep()));
        started.push(tasks::spawn("relay of our own", Arc::clone(&self.mover.rehome.relay).keep()));
        let watcher = ChangeWatcher {
            cache: Arc::clone(&self.shared.cache),
            fleet: Arc::clone(&self.shared.fleet),
            relay: Arc::clone(&self.mover.rehome.relay),
        };
        started.push(tasks::spawn("change watcher", watcher.run()));
        started.push(tasks::spawn("session upkeep", Arc::clone(&self.mover).upkeep()));
        started.push(tasks::spawn("notices", Arc::clone(&self.mover).listen()));
        started.push(tasks::spawn("moves", Arc::clone(&self.mover).tour()));
        started.push(tasks::spawn("instances", Arc::clone(&self.instances).keep()));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(started);
        for pool in self.shared.fleet.pools().iter() {
            self.follow_pool(pool);
        }
    }

    fn follow_pool(&self, pool: &Arc<Pool>) {
        let (fleet, clock) = (&self.shared.fleet, &self.shared.clock);
        let discovery =
            discover::follow(Arc::clone(fleet), Arc::clone(pool), Arc::clone(&self.resolver), clock.clone());
        let probes = health::watch(Arc::clone(fleet), Arc::clone(pool), clock.clone());
        let started = [tasks::spawn("discovery", discovery), tasks::spawn("health", probes)];
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.extend(started);
    }

    /// Takes a new configuration, keeping sessions, connections and what is known of backends. Keys that need a restart
    /// stay as they were, and are named.
    ///
    /// # Errors
    /// [`NotReloaded`]: nothing has changed.
    pub async fn reload(&self, new: Config) -> Result<Reloaded, NotReloaded> {
        if let Err(error) = self.admit_nobody_else(&new) {
            self.shared.certificates.readings.refused.increment();
            tracing::error!(
                error = &*error as &dyn std::error::Error,
                "the new configuration is refused, the old one stays"
            );
            return Err(NotReloaded::Unusable(error));
        }
        let new = Arc::new(new);
        let old = self.config.swap(Arc::clone(&new));
        let needs_restart = Config::changes_needing_restart(&self.begun_with, &new);
        for key in &needs_restart {
            tracing::warn!(key, "this change takes effect at the next restart");
        }
        let before: Vec<_> = self.shared.fleet.pools().iter().map(|pool| pool.id).collect();
        self.take_over(&old, &new);
        for pool in self.shared.fleet.pools().iter() {
            discover::refresh(pool, &self.resolver, &self.shared.clock).await;
            if !before.contains(&pool.id) {
                self.follow_pool(pool);
            }
        }
        let readings = &self.shared.certificates.readings;
        readings.taken.increment();
        readings.begins(&self.shared.clock);
        tracing::info!("configuration reloaded");
        Ok(Reloaded { needs_restart, warnings: new.warnings.clone() })
    }

    /// Reads the files that a new configuration names, and puts up its gates: no pool is served whose gate is not there.
    fn admit_nobody_else(&self, new: &Config) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // Nothing is taken over before all of it is known to be good.
        check(new)?;
        self.shared.gates.reconfigure(&gate_settings(new))?;
        Ok(self.shared.certificates.renew(new)?)
    }

    /// Gives every station its new settings, at once and with nothing to wait for: what a pool may be asked for is known before it
    /// is served.
    fn take_over(&self, old: &Config, new: &Config) {
        let shared = &self.shared;
        self.take_over_logs(new);
        let rules = authorize_settings(new);
        // Rules name pools, which may change their names: until they have, both the old rules and the new ones hold.
        let both = old.allow.iter().chain(&new.allow).cloned().collect();
        shared.authorize.reconfigure(authorize::Settings { allow: both, ..rules.clone() });
        shared.identify.reconfigure(identify_settings(new));
        shared.sessions.reconfigure(new.session);
        shared.cache.reconfigure(&cache_settings(new));
        shared.limit.reconfigure(&limit_settings(new));
        if let Some(counters) = &self.shared_counters {
            counters.reconfigure(new.limits.when_away);
        }
        shared.relay.store(Arc::new(relay_settings(new)));
        shared.refusals.store(Arc::new(new.refusals));
        self.workers.reconfigure(door_rules(new));
        shared.fleet.reconfigure(&new.pools);
        shared.certificates.equip(&shared.fleet);
        shared.authorize.reconfigure(rules);
    }

    /// Where clients connect.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Where the admin listener is.
    #[must_use]
    pub const fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }
}

impl Shared {
    async fn new(
        config: &Config,
        stores: &Stores,
        (clock, fleet, certificates): (Clock, Arc<Fleet>, Arc<Certificates>),
        watcher: Watcher,
    ) -> Result<Self, StartError> {
        let parts = Parts {
            store: Arc::clone(&stores.sessions),
            fleet: Arc::clone(&fleet),
            clock: clock.clone(),
            settings: config.session,
            timeout: config.store.timeout,
            key: config.store.sealing_key.clone(),
            watcher,
        };
        let results = Arc::clone(&stores.results);
        let gates = Arc::new(Gates::new(clock.clone()));
        gates.reconfigure(&gate_settings(config))?;
        let doors = (Arc::clone(&fleet), Arc::clone(&gates));
        Ok(Self {
            sessions: Arc::new(Sessions::new(parts).await?),
            cache: Arc::new(Cache::new(&cache_settings(config), results, clock.clone())),
            limit: Arc::new(Limit::new(&limit_settings(config), Arc::clone(&stores.counters), clock.clone())),
            identify: Arc::new(Identify::new(identify_settings(config), doors)),
            authorize: Arc::new(Authorize::new(authorize_settings(config), Arc::clone(&gates))),
            gates,
            route: Arc::new(Route::new(clock.clone(), Chance::system())),
            observe: Arc::new(observe(config, &clock, stores.instance)?),
            relay: Arc::new(ArcSwap::from_pointee(relay_settings(config))),
            refusals: Arc::new(ArcSwap::from_pointee(config.refusals)),
            streams: Streams::default(),
            rehomes: Arc::default(),
            certificates,
            drain: Drain::default(),
            clock,
            fleet,
        })
    }

    fn start_workers(&self, config: &Config) -> io::Result<Arc<Workers>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if config.threads == 0 { cores } else { config.threads };
        let admission = Arc::new(Admission::new(door_rules(config), Arc::clone(self.observe.metrics())));
        let plans = (0..threads).map(|_| Plan {
            walk: self.walk(),
            fleet: Arc::clone(&self.fleet),
            drain: self.drain.clone(),
            bounds: config.bounds,
            doors: Arc::clone(&self.certificates.doors),
            admission: Arc::clone(&admission),
        });
        Workers::start(plans.collect(), Arc::clone(&admission)).map(Arc::new)
    }

    fn new_relay(&self) -> Arc<Relay> {
        let (streams, cache) = (self.streams.clone(), Arc::clone(&self.cache));
        let times = (self.clock.clone(), self.drain.clone());
        Arc::new(Relay::new(
            Arc::clone(&self.relay),
            streams,
            times,
            Arc::new(move |pool, said| cache.hear(pool, said)),
        ))
    }

    fn rehome(&self, relay: &Arc<Relay>) -> Rehome {
        Rehome {
            sessions: Arc::clone(&self.sessions),
            route: Arc::clone(&self.route),
            relay: Arc::clone(relay),
            fleet: Arc::clone(&self.fleet),
            clock: self.clock.clone(),
            chance: Chance::system(),
            counts: Arc::clone(&self.rehomes),
        }
    }

    fn walk(&self) -> Walk {
        let relay = self.new_relay();
        Walk {
            rehome: self.rehome(&relay),
            toll: Toll { limit: Arc::clone(&self.limit), relay: Arc::clone(&relay) },
            relay,
            cache: Arc::clone(&self.cache),
            limit: Arc::clone(&self.limit),
            identify: Arc::clone(&self.identify),
            authorize: Arc::clone(&self.authorize),
            sessions: Arc::clone(&self.sessions),
            route: Arc::clone(&self.route),
            observe: Arc::new(self.observe.another()),
            drain: self.drain.clone(),
            refusals: Arc::clone(&self.refusals),
        }
    }
}
