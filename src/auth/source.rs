//! Where the keys of one issuer come from, and which are known now: fetched again and again by one task, and at once where a
//! token names a key that nobody knows. Requests with known keys never wait for it. It verifies nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt as _;
use http::Uri;
use tokio::sync::{Notify, watch};

use super::discover::{self, MetadataError};
use super::fetch::{FetchError, Fetched, Fetcher};
use super::follow::follow;
use super::keys::{KeySet, KeySetError};
use crate::clock::Clock;
use crate::config::JwksSource;
use crate::meter::Counter;

/// How patient the room is. Tests are in a hurry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long one document may take.
    pub timeout: Duration,
    /// Between two fetches that tokens ask for.
    pub again: Duration,
    /// How long a request waits for a fetch.
    pub wait: Duration,
    /// After the first failure in a row; each further one doubles it.
    pub retry: Duration,
    /// Between two looks at a file of which the system gives no notice.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (timeout, again) = (Duration::from_secs(5), Duration::from_secs(10));
        Self { timeout, again, wait: Duration::from_secs(2), retry: Duration::from_secs(1), look: again }
    }
}

/// Failures in a row put fetches no further apart than this.
const RETRY_MOST: Duration = Duration::from_secs(60);

/// What `Cache-Control` says counts between these.
const AGES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// What a source is, for telling one from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub issuer: Box<str>,
    pub jwks: JwksSource,
    pub ca_file: Option<PathBuf>,
}

/// For how long keys are good. Changes with the configuration; the keys stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// How often keys are fetched where nothing else is said.
    pub refresh: Duration,
    /// How long they are believed while they cannot be fetched.
    pub stale: Duration,
}

impl Terms {
    /// What suits both.
    pub fn and(self, other: Self) -> Self {
        Self { refresh: self.refresh.min(other.refresh), stale: self.stale.min(other.stale) }
    }
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A document could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What came is no set of keys.
    #[error(transparent)]
    Keys(#[from] KeySetError),
    /// What came is not the issuer's metadata.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// How the keys of an issuer stand.
#[derive(Clone, Debug)]
pub struct SourceView {
    /// Whose they are.
    pub issuer: Box<str>,
    /// How many are believed now.
    pub keys: usize,
    /// How long ago they were had last; none before the first time.
    pub age: Option<Duration>,
    /// Attempts to have them that failed.
    pub failed: u64,
}

/// The keys of one issuer.
pub(super) struct Source {
    place: Place,
    terms: ArcSwap<Terms>,
    /// The terms are others now.
    changed: Notify,
    keys: ArcSwapOption<KeySet>,
    /// How often the keys were replaced.
    edition: AtomicU64,
    clock: Clock,
    pace: Pace,
    /// Requests ask for keys here.
    wanted: Notify,
    /// How many attempts have ended: all who wait are told at once.
    ended: watch::Sender<u64>,
    /// Whether an attempt is being made.
    busy: AtomicBool,
    /// When the last attempt began that a token caused, by [`Clock::micros`]; 0 before the first. Others do not count: a key
    /// may be newer than they are.
    caused: AtomicU64,
    /// When keys were had last, by [`Clock::micros`]; 0 before the first.
    had: AtomicU64,
    /// Attempts that failed.
    failed: Counter,
    /// Where the metadata said that the keys are. Only the one task uses it, so nobody queues.
    found: Mutex<Option<Uri>>,
}

impl Source {
    pub fn new(place: Place, terms: Terms, clock: Clock, pace: Pace) -> Self {
        Self {
            place,
            terms: ArcSwap::from_pointee(terms),
            changed: Notify::new(),
            keys: ArcSwapOption::empty(),
            edition: AtomicU64::new(0),
            clock,
            pace,
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            busy: AtomicBool::new(false),
            caused: AtomicU64::new(0),
            had: AtomicU64::new(0),
            failed: Counter::default(),
            found: Mutex::default(),
        }
    }

    /// The keys that are known now; `None` before the first were had, and where they have become too old.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// How it stands.
    pub fn view(&self) -> SourceView {
        let had = self.had.load(Ordering::Relaxed);
        let age = (had > 0).then(|| Duration::from_micros(self.clock.micros().saturating_sub(had)));
        let keys = self.keys.load().as_ref().map_or(0, |keys| keys.len());
        SourceView { issuer: self.place.issuer.clone(), keys, age, failed: self.failed.get() }
    }

    /// Changes whenever other keys are known, or none.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// From now on keys are good for so long; if that is new, they are fetched at once.
    pub fn agree(&self, terms: Terms) {
        if **self.terms.load() != terms {
            self.terms.store(Arc::new(terms));
            self.changed.notify_one();
        }
    }

    /// Has the keys fetched anew, unless a token had that done just now, and waits for the end of it, within bounds. Then looking again
    /// makes sense. Keys in a file are no newer than what is known of them.
    pub async fn renew(&self) {
        let mut ended = self.ended.subscribe();
        if !self.busy.load(Ordering::Acquire) {
            if matches!(self.place.jwks, JwksSource::File(_)) || !self.is_due() {
                return;
            }
            self.wanted.notify_one();
        }
        drop(tokio::time::timeout(self.pace.wait, ended.changed()).await);
    }

    /// When asking again makes sense, where no keys are known.
    pub const fn retry_after(&self) -> Duration {
        self.pace.again
    }

    /// The source is no longer believed, and nobody who was known by its keys.
    pub fn retire(&self) {
        if let Some(keys) = self.keys.swap(None) {
            self.edition.fetch_add(1, Ordering::AcqRel);
            keys.withdraw();
        }
    }

    /// Whether a token may cause an attempt again.
    fn is_due(&self) -> bool {
        let caused = self.caused.load(Ordering::Acquire);
        let again = u64::try_from(self.pace.again.as_micros()).unwrap_or(u64::MAX);
        caused == 0 || self.clock.micros().saturating_sub(caused) >= again
    }

    /// Fetches keys for ever. One task does.
    pub async fn keep(self: Arc<Self>) {
        if let JwksSource::File(path) = &self.place.jwks {
            let take = |text| match self.take_file(text) {
                Ok(()) => {}
                Err(error) => self.complain(&error),
            };
            return follow(path, self.pace.look, take).await;
        }
        let mut fetcher = None;
        let mut failures = 0;
        let mut had = self.clock.now();
        loop {
            let attempt = self.attempt(&mut fetcher).await;
            let refresh = self.terms.load().refresh;
            let pause = match attempt {
                Ok(max_age) => {
                    (failures, had) = (0, self.clock.now());
                    max_age.map_or(refresh, |age| age.clamp(AGES.0, AGES.1))
                }
                Err(error) => {
                    failures += 1;
                    self.complain(&error);
                    self.forget_if_stale(had);
                    let pause = self.pace.retry.saturating_mul(1 << u32::min(failures - 1, 10));
                    pause.min(RETRY_MOST).min(refresh)
                }
            };
            self.rest(pause).await;
        }
    }

    /// Until the pause is over, or has another length, or a token wants keys and it is time for that.
    async fn rest(&self, pause: Duration) {
        let wanted = async {
            loop {
                self.wanted.notified().await;
                if self.is_due() {
                    self.caused.store(self.clock.micros(), Ordering::Release);
                    return;
                }
            }
        };
        tokio::select! {
            () = wanted => {}
            () = self.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// One attempt, of which all are told who wait. How long what came says that it is good.
    async fn attempt(&self, fetcher: &mut Option<Fetcher>) -> Result<Option<Duration>, SourceError> {
        // Whoever has asked for an attempt by now waits for this one.
        let _ = self.wanted.notified().now_or_never();
        self.busy.store(true, Ordering::Release);
        let outcome = self.fetch(fetcher).await;
        let outcome = outcome.and_then(|fetched| Ok((KeySet::parse(&fetched.body)?, fetched.max_age)));
        let outcome = outcome.map(|(keys, max_age)| {
            self.take(keys);
            max_age
        });
        if outcome.is_err() {
            // The next attempt asks the metadata again: the keys may have moved.
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.busy.store(false, Ordering::Release);
        self.ended.send_modify(|count| *count += 1);
        outcome
    }

    async fn fetch(&self, fetcher: &mut Option<Fetcher>) -> Result<Fetched, SourceError> {
        let fetcher = match fetcher {
            Some(fetcher) => fetcher,
            None => fetcher.insert(Fetcher::new(self.place.ca_file.as_deref(), self.pace.timeout)?),
        };
        match &self.place.jwks {
            JwksSource::Url(url) => Ok(fetcher.get(url).await?),
            JwksSource::Discovered | JwksSource::File(_) => {
                let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let url = match found {
                    Some(url) => url,
                    None => self.discover(fetcher).await?,
                };
                Ok(fetcher.get(&url).await?)
            }
        }
    }

    /// Asks the places of the metadata in their order; what the last one said counts where none has it.
    async fn discover(&self, fetcher: &Fetcher) -> Result<Uri, SourceError> {
        let mut failure = SourceError::Fetch(FetchError::Url(self.place.issuer.to_string()));
        for place in discover::places(&self.place.issuer) {
            let keys = match fetcher.get(&place).await {
                Ok(document) => discover::keys(&self.place.issuer, &document.body).map_err(SourceError::from),
                Err(error) => Err(error.into()),
            };
            match keys {
                Ok(url) => {
                    *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.clone());
                    return Ok(url);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn take(&self, keys: KeySet) {
        let keys = match self.keys() {
            Some(former) => keys.succeed(&former),
            None => keys,
        };
        tracing::debug!(issuer = %self.place.issuer, keys = keys.len(), "keys of the issuer");
        self.keys.store(Some(Arc::new(keys)));
        self.had.store(self.clock.micros(), Ordering::Relaxed);
        self.edition.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes the keys from the content of the file, where they are in one.
    ///
    /// # Errors
    /// Where it is no set of keys; what was known goes on.
    pub fn take_file(&self, text: std::io::Result<Vec<u8>>) -> Result<(), SourceError> {
        let JwksSource::File(path) = &self.place.jwks else { return Ok(()) };
        let text = text.map_err(|source| SourceError::File { path: path.clone(), source })?;
        self.take(KeySet::parse(&text)?);
        Ok(())
    }

    fn complain(&self, error: &SourceError) {
        self.failed.increment();
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::warn!(issuer = %self.place.issuer, error, "keys of the issuer cannot be had, those that are known go on");
    }

    /// Keys that could not be confirmed for too long are no longer believed.
    fn forget_if_stale(&self, had: std::time::Instant) {
        if self.clock.now().saturating_duration_since(had) >= self.terms.load().stale && self.keys.load().is_some() {
            tracing::error!(issuer = %self.place.issuer, "keys of the issuer are too old, nobody is known by them any more");
            self.retire();
        }
    }
}
