//! The files of TLS: read at the start and at each reload of the configuration, and again when they change. Bad files leave
//! what was read of the good ones before, with a line in the log that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::App;
use crate::clock::Clock;
use crate::config::{Config, PoolSettings, TlsSettings};
use crate::fleet::{Fleet, pool_id};
use crate::listener::Doors;
use crate::names::PoolId;
use crate::notice::{LOOK, SETTLE, directory_of, watch};
use crate::survey::Readings;
use crate::tls::{self, Client, Fingerprint, TlsError};

/// What was read of the files, where it is used.
pub(super) struct Certificates {
    /// Towards clients.
    pub doors: Arc<Doors>,
    /// What was read.
    pub readings: Arc<Readings>,
    clock: Clock,
    /// Towards the backends of each pool that has any with TLS. Guards a list; taken when files are read.
    backends: Mutex<Vec<(PoolId, Option<Arc<Client>>)>>,
    /// Of the files as they were when they were last read, well or not. Guards a number; taken when files are read.
    known: Mutex<Fingerprint>,
}

impl Certificates {
    /// Reads all files that a configuration names.
    ///
    /// # Errors
    /// [`TlsError`] says which file is no good.
    pub fn new(config: &Config, clock: &Clock) -> Result<Self, TlsError> {
        let new = Self {
            doors: Arc::default(),
            readings: Arc::default(),
            clock: clock.clone(),
            backends: Mutex::default(),
            known: Mutex::default(),
        };
        new.renew(config)?;
        new.readings.begins(clock);
        Ok(new)
    }

    /// Reads all files again, and puts what was read in place of what was: all of it, or nothing.
    ///
    /// # Errors
    /// [`TlsError`] says which file is no good.
    pub fn renew(&self, config: &Config) -> Result<(), TlsError> {
        // Asked before: what changes while it is read will be read again.
        self.look(config);
        let clients = config.tls.as_ref().map(|tls| Ok((tls::server(tls, &self.clock)?, tls.max_handshakes)));
        let clients = clients.transpose()?;
        let backends = config.pools.iter().map(|pool| Ok((pool_id(&pool.path), client(pool)?)));
        let backends: Vec<_> = backends.collect::<Result<_, TlsError>>()?;
        if let Some((speaks, max_handshakes)) = clients {
            self.doors.speak(speaks, max_handshakes);
        }
        *self.backends.lock().unwrap_or_else(PoisonError::into_inner) = backends;
        self.doors.trust(config.trusted_proxies.clone());
        self.readings.certificates.store(Arc::new(terms(config)));
        Ok(())
    }

    /// Gives each pool what speaks TLS with its backends. Whoever was out of use for a bad certificate may be well then.
    pub fn equip(&self, fleet: &Fleet) {
        let backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, client) in backends.iter() {
            if let Some(pool) = fleet.pool(*id) {
                let before = pool.tls.swap(client.clone());
                if before.is_some() {
                    pool.hope.notify_one();
                }
            }
        }
    }

    /// Whether the files have changed since the last look.
    fn look(&self, config: &Config) -> bool {
        let now = Fingerprint::of(files(config).iter());
        std::mem::replace(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner), now) != now
    }
}

/// Reads all files that a configuration names, for nothing but to see that they are good.
///
/// # Errors
/// [`TlsError`] says which file is no good.
pub fn check(config: &Config) -> Result<(), TlsError> {
    Certificates::new(config, &Clock::system()).map(drop)
}

/// What speaks TLS with a pool's backends; none where none of them does.
fn client(pool: &PoolSettings) -> Result<Option<Arc<Client>>, TlsError> {
    let secure = pool.backends.iter().any(|backend| backend.url.is_secure());
    secure.then(|| Client::new(&pool.tls).map(Arc::new)).transpose()
}

/// Until when each certificate that we show is valid.
fn terms(config: &Config) -> Vec<(String, u64)> {
    let clients = config.tls.iter().flat_map(|tls| &tls.certificates);
    let backends = config.pools.iter().filter_map(|pool| pool.tls.client.as_ref());
    let mut terms: Vec<_> = clients
        .chain(backends)
        .filter_map(|files| Some((files.cert_file.display().to_string(), tls::ends(&files.cert_file).ok()?)))
        .collect();
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// All files that a configuration names.
fn files(config: &Config) -> Vec<PathBuf> {
    let backends = config.pools.iter().flat_map(|pool| pool.tls.files());
    config.tls.iter().flat_map(TlsSettings::files).chain(backends).cloned().collect()
}

/// Follows the files for ever.
pub async fn follow(app: Arc<App>) {
    let (tell, mut changed) = mpsc::channel::<()>(1);
    // The files, and one watcher for each of their directories; none where the system tells nothing of changes, and files are
    // looked at now and then.
    let mut followed: (BTreeSet<PathBuf>, Vec<Option<notify::RecommendedWatcher>>) = Default::default();
    loop {
        let files: BTreeSet<PathBuf> = files(&app.config.load()).into_iter().collect();
        if files != followed.0 {
            let mut directories: BTreeMap<&Path, Vec<PathBuf>> = BTreeMap::new();
            files.iter().for_each(|file| directories.entry(directory_of(file)).or_default().push(file.clone()));
            let follow = |(directory, files): (&Path, _)| watch(directory, files, tell.clone()).ok();
            let watchers = directories.into_iter().map(follow).collect();
            followed = (files, watchers);
        }
        if app.shared.certificates.look(&app.config.load()) {
            app.renew();
        }
        tokio::select! {
            Some(()) = changed.recv() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl App {
    /// Reads the files of TLS again.
    fn renew(&self) {
        match self.shared.certificates.renew(&self.config.load()) {
            Ok(()) => {
                self.shared.certificates.equip(&self.shared.fleet);
                tracing::info!("the files of TLS have changed and were read again");
            }
            Err(error) => tracing::error!(
                %error,
                "the files of TLS have changed and are no good; those that were read before stay in use"
            ),
        }
    }
}
