//! All gates, and the keys behind them, which live as long as some gate asks for them: a reload keeps what it does not
//! change, and withdraws who was known by what is gone.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::follow;
use super::gate::{Asks, Gate};
use super::identity::SignerError;
use super::jwt::Jwt;
use super::keyring::{KeyFileError, Keyring};
use super::source::{Pace, Place, Source, SourceError, SourceView, Terms};
use crate::clock::Clock;
use crate::config::{AuthMode, AuthSettings, IssuerSettings, JwksSource, JwtSettings};
use crate::names::PoolId;
use crate::seal::{NoRandomness, random};
use crate::tasks::{self, Task};

/// Why nobody could be known.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file of keys cannot be read.
    #[error("cannot read the keys in `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of keys has a fault.
    #[error("the keys in `{}` cannot be used", path.display())]
    Keys {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyFileError,
    },
    /// A file with an issuer's keys cannot be used.
    #[error("cannot use the keys of `{issuer}`")]
    Issuer {
        /// Whose they are.
        issuer: Box<str>,
        /// Why.
        source: SourceError,
    },
    /// The key that signs who calls cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The system gave no secret.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// The gates of all pools.
pub struct Gates {
    clock: Clock,
    pace: Pace,
    gates: ArcSwap<HashMap<PoolId, Arc<Gate>>>,
    /// Guards what tasks keep up to date. Taken at start and at reloads alone.
    held: Mutex<Held>,
}

/// Something that is kept up to date, and the task that does.
type Kept<T> = (Arc<T>, Arc<Task>);

#[derive(Default)]
struct Held {
    sources: HashMap<Place, (Kept<Source>, Terms)>,
    keyrings: HashMap<PathBuf, Kept<Keyring>>,
}

impl Gates {
    /// No gates yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::at_pace(clock, Pace::default())
    }

    pub(super) fn at_pace(clock: Clock, pace: Pace) -> Self {
        Self { clock, pace, gates: ArcSwap::default(), held: Mutex::default() }
    }

    /// How the keys of each issuer stand.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceView> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.sources.values().map(|((source, _), _)| source.view()).collect()
    }

    /// The gate of a pool; `None` for a pool that is not there (any more).
    #[must_use]
    pub fn of(&self, pool: PoolId) -> Option<Arc<Gate>> {
        self.gates.load().get(&pool).cloned()
    }

    /// Puts up the gates of these pools in place of those that were there. Must run where tasks can be started, and is not
    /// for a request's path. Files are read before it returns; keys from elsewhere are being fetched then.
    ///
    /// # Errors
    /// See [`OpenError`]. All gates stay as they were then.
    pub fn reconfigure(&self, pools: &[(PoolId, &AuthSettings)]) -> Result<(), OpenError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.gates.load_full();
        let mut next = Held::default();
        let mut gates = HashMap::new();
        for (pool, settings) in pools {
            let asks = self.asks(settings, &held, &mut next)?;
            let same = former.get(pool).filter(|gate| gate.settings() == *settings);
            let gate = match same {
                Some(gate) => Arc::clone(gate),
                None => Arc::new(Gate::new((*settings).clone(), asks, self.clock.clone())?),
            };
            gates.insert(*pool, gate);
        }
        self.gates.store(Arc::new(gates));
        let gone = held.sources.iter().filter(|(place, _)| !next.sources.contains_key(*place));
        gone.for_each(|(_, ((source, _), _))| source.retire());
        next.sources.values().for_each(|((source, _), terms)| source.agree(*terms));
        let gone = held.keyrings.iter().filter(|(path, _)| !next.keyrings.contains_key(*path));
        gone.for_each(|(_, (keyring, _))| keyring.retire());
        *held = next;
        Ok(())
    }

    /// Whom a gate of these settings asks: what was there already, or what begins now.
    fn asks(&self, settings: &AuthSettings, held: &Held, next: &mut Held) -> Result<Asks, OpenError> {
        Ok(match &settings.mode {
            AuthMode::None => Asks::Nobody,
            AuthMode::Mtls(name) => Asks::Certificate(*name),
            AuthMode::ApiKeys(keys) => Asks::Keys(self.keyring(&keys.file, held, next)?, keys.header.clone()),
            AuthMode::Jwt(jwt) => {
                let sources = jwt.issuers.iter().map(|issuer| self.source(jwt, issuer, held, next));
                let sources = sources.collect::<Result<_, _>>()?;
                Asks::Issuers(Box::new(Jwt::new(jwt, sources, self.clock.clone(), random()?)))
            }
        })
    }

    fn keyring(&self, path: &Path, held: &Held, next: &mut Held) -> Result<Arc<Keyring>, OpenError> {
        if let Some((keyring, task)) = next.keyrings.get(path).or_else(|| held.keyrings.get(path)) {
            let (keyring, task) = (Arc::clone(keyring), Arc::clone(task));
            next.keyrings.insert(path.to_owned(), (Arc::clone(&keyring), task));
            return Ok(keyring);
        }
        let text = follow::read(path).map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
        let keyring = Arc::new(Keyring::new(path.to_owned(), self.clock.clone()));
        keyring.take(&text).map_err(|source| OpenError::Keys { path: path.to_owned(), source })?;
        let task = tasks::spawn("keys of callers", Arc::clone(&keyring).keep(self.pace.look));
        next.keyrings.insert(path.to_owned(), (Arc::clone(&keyring), Arc::new(task)));
        Ok(keyring)
    }

    fn source(
        &self,
        jwt: &JwtSettings,
        issuer: &IssuerSettings,
        held: &Held,
        next: &mut Held,
    ) -> Result<Arc<Source>, OpenError> {
        let place = Place { issuer: issuer.issuer.clone(), jwks: issuer.jwks.clone(), ca_file: issuer.ca_file.clone() };
        let terms = Terms { refresh: jwt.jwks_refresh, stale: jwt.jwks_stale };
        // Pools that believe the same issuer share its keys.
        let terms = next.sources.get(&place).map_or(terms, |(_, others)| others.and(terms));
        let known = next.sources.get(&place).or_else(|| held.sources.get(&place));
        let (source, task) = match known {
            Some(((source, task), _)) => (Arc::clone(source), Arc::clone(task)),
            None => self.begin(place.clone(), terms)?,
        };
        next.sources.insert(place, ((Arc::clone(&source), task), terms));
        Ok(source)
    }

    fn begin(&self, place: Place, terms: Terms) -> Result<Kept<Source>, OpenError> {
        let issuer = place.issuer.clone();
        let file = if let JwksSource::File(path) = &place.jwks { Some(path.clone()) } else { None };
        let source = Arc::new(Source::new(place, terms, self.clock.clone(), self.pace));
        if let Some(path) = file {
            source.take_file(follow::read(&path)).map_err(|source| OpenError::Issuer { issuer, source })?;
        }
        let task = tasks::spawn("keys of an issuer", Arc::clone(&source).keep());
        Ok((source, Arc::new(task)))
    }
}

// Neither keys nor what is known of callers.
impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates").field("gates", &self.gates.load().len()).finish_non_exhaustive()
    }
}
