//! Sessions in a Redis or Valkey that several instances share: one server, one behind Sentinels, or a Cluster. Each method
//! is one script on the server, so that instances cannot come between. Keeps nothing itself: what it cannot reach in time
//! is `Unavailable`, and what to do then is for those above to say. Beside them, over the same connections, `counters` and `results`.
//!
//! A session is one hash. Its bucket's sorted sets (who was last seen when, how long tombstones stand) are an index beside
//! it: written in the same step, except while a Cluster moves the slot. Every key falls by itself some time after it should
//! have been removed, but for the ring of sealing keys: that must outlive every id sealed with one of them, and is small.
//!
//! How many sessions there may be is not bounded here: each instance bounds its own.

mod counters;
mod dial;
mod discover;
mod fields;
mod keyspace;
mod many;
mod news;
mod results;
mod roster;
mod routes;
mod script;
mod server;
mod supervisor;
mod trouble;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use counters::RedisCounters;
pub use dial::SetupError;
use futures_util::future::ready;
use redis::Value;
pub use results::RedisResults;
pub use roster::RedisRoster;

use self::dial::Dialer;
use self::keyspace::{Names, Place};
use self::news::{Inbox, Listener};
use self::routes::{Alarm, Line};
use self::script::{Ask, Script};
use self::supervisor::Supervisor;
use self::trouble::Trouble;
use super::keys::MAX_KEYS;
use super::record::MAX_SUBSCRIPTIONS;
use super::{
    Answer, Berth, BoxFuture, Claimed, Created, JournalEdit, KeyRing, Lease, Lookup, Moved, MoverId, Notice, Record,
    SealingKey, Seen, Sessions, StoreError, Sweep,
};
use crate::clock::Chance;
use crate::config::{RedisPlace, RedisUrl};
use crate::meter::Counter;
use crate::names::{Epoch, InstanceId, SessionId};
use crate::tasks;

/// How long what should have been removed stays at most.
const GRACE: Duration = Duration::from_secs(3600);
/// The least time that a sign of life, or a connection, is waited for. A server that is busy for a moment is not dead.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the store must know beside the URL.
#[derive(Clone, Copy, Debug)]
pub struct RedisOptions<'a> {
    /// What the names of all keys begin with; without braces.
    pub prefix: &'a str,
    /// The file of certificates to trust; `None` for this machine's own list.
    pub ca_file: Option<&'a Path>,
    /// How long a call may take. One that looks over many sessions may take that long for each batch of them.
    pub timeout: Duration,
    /// How long a session lives at most. Its keys fall by themselves a while later.
    pub lifetime: Duration,
}

/// Sessions in a shared Redis or Valkey.
#[derive(Debug)]
pub struct Redis {
    line: Arc<Line>,
    dialer: Arc<Dialer>,
    names: Names,
    own: InstanceId,
    /// Whether one script may only have keys of one hash slot: in a Cluster.
    scattered: bool,
    inbox: Inbox<Notice>,
    /// News of others that could not be delivered.
    lost: Arc<Counter>,
    /// Milliseconds after which a session's keys fall.
    ttl: String,
    chance: Chance,
}

impl Redis {
    /// Starts to connect, in the background, and returns at once, whether or not anybody is there. Within a runtime.
    ///
    /// # Errors
    /// [`SetupError`] where the configuration itself cannot be right. That nobody answers is none.
    pub fn start(url: &RedisUrl, options: RedisOptions<'_>) -> Result<Self, SetupError> {
        let chance = Chance::system();
        let own = InstanceId(chance.next());
        let dialer = Arc::new(Dialer::new(url, options.ca_file, PATIENCE.max(options.timeout * 4))?);
        let alarm = Arc::new(Alarm::default());
        let names = Names::new(options.prefix, url.database);
        let (supervisor, routes) = Supervisor::new(&url.place, Arc::clone(&dialer), Arc::clone(&alarm));
        let (inbox, sender) = Inbox::new();
        let lost = Arc::<Counter>::default();
        let mut background = Vec::new();
        let sentinels = supervisor.sentinels();
        if !sentinels.is_empty() {
            let watch = supervisor::watch_sentinels(sentinels, Arc::clone(&dialer), Arc::clone(&alarm));
            background.push(tasks::spawn("redis sentinels", watch));
        }
        let channel = news::notices(names.channel(), own);
        let listener = Listener {
            dialer: Arc::clone(&dialer),
            routes: routes.clone(),
            channel,
            inbox: sender,
            lost: Arc::clone(&lost),
        };
        background.push(tasks::spawn("redis listener", listener.run()));
        background.push(tasks::spawn("redis supervisor", supervisor.run()));
        let line = Arc::new(Line::new(routes, alarm, options.timeout, background));
        let ttl = (options.lifetime + GRACE).as_millis().to_string();
        tracing::debug!(store = %url, "connecting");
        let scattered = matches!(url.place, RedisPlace::Cluster(_));
        Ok(Self { line, dialer, names, own, scattered, inbox, lost, ttl, chance })
    }

    /// How much news of other instances was lost because too much waited.
    #[must_use]
    pub const fn lost(&self) -> &Arc<Counter> {
        &self.lost
    }

    /// Whether somebody could be connected to, waiting for that for `within` at most. For the start of the process.
    pub async fn arrived(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.line.whole()).await.is_ok()
    }

    /// A script on one session. Where its slot is being moved, its hash alone is changed, and the index after it.
    async fn on_session(&self, id: SessionId, script: Ask) -> Result<Value, StoreError> {
        let value = match self.line.ask(&script).await {
            Err(Trouble::Split) => {
                let value = self.line.ask(&script.alone()).await;
                self.index(id).await;
                value
            }
            answer => answer,
        };
        value.map_err(Trouble::into_store_error)
    }

    /// Brings the index of a session in line with its hash. What fails here is mended by the next that touches the session,
    /// or falls with its time.
    async fn index(&self, id: SessionId) {
        if let Err(trouble) = self.try_index(id).await {
            tracing::debug!(session = %id, error = &trouble as &dyn std::error::Error, "index not written");
        }
    }

    async fn try_index(&self, id: SessionId) -> Result<(), Trouble> {
        let place = Place::of(id);
        let marks = redis::cmd("HMGET").arg(self.names.session(id)).arg("last_seen").arg("until").clone();
        let marks = fields::list(self.line.ask(&Ask::plain(place, marks)).await?)?;
        let [last_seen, until] = <[Value; 2]>::try_from(marks).map_err(|_| Trouble::Odd("marks"))?;
        for (key, mark) in [(self.names.seen(place), last_seen), (self.names.graves(place), until)] {
            let command = match mark {
                Value::Nil => redis::cmd("ZREM").arg(key).arg(id.to_string()).clone(),
                mark => redis::cmd("ZADD").arg(key).arg(fields::text(mark)?).arg(id.to_string()).clone(),
            };
            self.line.ask(&Ask::plain(place, command)).await?;
        }
        Ok(())
    }

    async fn ring(&self, script: Ask) -> Result<KeyRing, StoreError> {
        let value = self.line.ask(&script).await;
        value.and_then(fields::read_ring).map_err(Trouble::into_store_error)
    }

    /// A script whose only key is the session's hash.
    fn hash_script(&self, id: SessionId, script: &'static Script) -> Ask {
        Ask::script(Place::of(id), script, vec![self.names.session(id)])
    }

    /// A script that also writes who was last seen when.
    fn seen_script(&self, id: SessionId, script: &'static Script) -> Ask {
        let place = Place::of(id);
        Ask::script(place, script, vec![self.names.session(id), self.names.seen(place)]).arg(id.to_string())
    }

    /// A script that ends a session.
    fn ending_script(&self, id: SessionId, script: &'static Script) -> Ask {
        let place = Place::of(id);
        let keys = vec![self.names.session(id), self.names.seen(place), self.names.graves(place)];
        Ask::script(place, script, keys).arg(id.to_string())
    }

    /// A script with the channel and the notice that it sends as arguments.
    fn telling(&self, script: Ask, notice: &Notice) -> Ask {
        script.arg(self.names.channel()).arg(news::write(self.own, notice))
    }

    fn note_script(&self, id: SessionId, edit: JournalEdit) -> Ask {
        let script = self.hash_script(id, &script::NOTE);
        match edit {
            JournalEdit::Initialized => script.arg("set").arg("initialized").arg("1"),
            JournalEdit::LogLevel(level) => script.arg("set").arg("log_level").arg(&*level),
            JournalEdit::Subscribe(uri) => {
                script.arg("subscribe").arg(fields::subscription(&uri)).arg(MAX_SUBSCRIPTIONS.to_string())
            }
            JournalEdit::Unsubscribe(uri) => script.arg("unsubscribe").arg(fields::subscription(&uri)),
            JournalEdit::Result { result, protocol_version } => {
                let script = script.arg("result").arg(&*result);
                script.args(protocol_version.map(|version| version.as_bytes().to_vec()))
            }
        }
    }
}

impl Sessions for Redis {
    fn keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        let script = Ask::script(Place::RING, &script::KEYS, vec![self.names.ring()]);
        Box::pin(self.ring(script.args(fields::write_key(&offer))))
    }

    fn add_key(&self, key: SealingKey) -> Answer<'_, KeyRing> {
        let script = Ask::script(Place::RING, &script::ADD_KEY, vec![self.names.ring()]);
        let script = script.args(fields::write_key(&key)).arg(MAX_KEYS.to_string());
        Box::pin(self.ring(self.telling(script, &Notice::Keys)))
    }

    fn create(&self, id: SessionId, record: Record) -> Answer<'_, Created> {
        Box::pin(async move {
            record.check()?;
            let script = self.seen_script(id, &script::CREATE).arg(&*self.ttl).arg(record.last_seen.to_string());
            let made = self.on_session(id, script.args(fields::write(&record))).await?;
            Ok(if made == Value::Int(1) { Created::Done } else { Created::AlreadyExists })
        })
    }

    fn load(&self, id: SessionId) -> Answer<'_, Lookup> {
        Box::pin(async move {
            let all = redis::cmd("HGETALL").arg(self.names.session(id)).clone();
            let value = self.line.ask(&Ask::plain(Place::of(id), all)).await;
            value.and_then(fields::read).map_err(Trouble::into_store_error)
        })
    }

    fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Answer<'_, Moved> {
        Box::pin(async move {
            berth.check_after(expected)?;
            let script = self.hash_script(id, &script::MOOR).arg(expected.0.to_string()).arg(berth.epoch.0.to_string());
            let script = script.arg(berth.backend.to_string()).arg(&*berth.backend_session);
            let answer = self.on_session(id, self.telling(script, &Notice::Moved(id, berth))).await?;
            match verdict(answer) {
                Ok((word, None)) if word == "done" => Ok(Moved::Done),
                Ok((_, None)) => Ok(Moved::Gone),
                Ok((_, Some(berth))) => Ok(Moved::Lost(berth)),
                Err(trouble) => Err(trouble.into_store_error()),
            }
        })
    }

    fn note(&self, id: SessionId, edit: JournalEdit) -> Answer<'_, bool> {
        Box::pin(async move {
            edit.check()?;
            match self.on_session(id, self.note_script(id, edit)).await? {
                Value::Int(0) => Ok(false),
                Value::Int(2) => Err(StoreError::BoundExceeded { what: "subscriptions", limit: MAX_SUBSCRIPTIONS }),
                _ => Ok(true),
            }
        })
    }

    fn touch<'a>(&'a self, seen: &'a [Seen]) -> Answer<'a, Vec<(SessionId, Lookup)>> {
        Box::pin(self.touch_all(seen))
    }

    fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Answer<'_, Claimed> {
        Box::pin(async move {
            let script = self.hash_script(id, &script::CLAIM).arg(expected.0.to_string());
            let script = script.arg(format!("{:016x}", lease.mover.0)).arg(lease.lasts.as_millis().to_string());
            match verdict(self.on_session(id, script).await?) {
                Ok((_, Some(berth))) => Ok(Claimed::Moved(berth)),
                Ok((word, None)) => Ok(match word.as_str() {
                    "yours" => Claimed::Yours,
                    "theirs" => Claimed::Theirs,
                    _ => Claimed::Gone,
                }),
                Err(trouble) => Err(trouble.into_store_error()),
            }
        })
    }

    fn release(&self, id: SessionId, mover: MoverId) -> Answer<'_, ()> {
        Box::pin(async move {
            let script = self.hash_script(id, &script::RELEASE).arg(format!("{:016x}", mover.0));
            self.on_session(id, script).await.map(drop)
        })
    }

    fn end(&self, id: SessionId, until: u64) -> Answer<'_, Option<Arc<Record>>> {
        Box::pin(async move {
            let script = self.ending_script(id, &script::END).arg(until.to_string()).arg(GRACE.as_millis().to_string());
            let was = self.on_session(id, self.telling(script, &Notice::Ended(id))).await?;
            fields::read_record(was).map_err(Trouble::into_store_error)
        })
    }

    fn expire(&self, sweep: Sweep) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(self.sweep(sweep))
    }

    fn census(&self) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn count(&self) -> Answer<'_, usize> {
        Box::pin(self.count_all())
    }

    fn hear(&self) -> BoxFuture<'_, Notice> {
        Box::pin(self.inbox.next())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_away(&self) -> bool {
        self.line.is_away()
    }

    // Nothing is held back: what a server has acknowledged is as durable as that server is set up to make it.
    fn flush(&self) -> Answer<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn adopt(&self, id: SessionId, record: Record) -> Answer<'_, Lookup> {
        Box::pin(async move {
            record.check()?;
            let script = self.seen_script(id, &script::ADOPT).arg(&*self.ttl).arg(MAX_SUBSCRIPTIONS.to_string());
            let script = self.telling(script, &Notice::Moved(id, record.berth.clone()));
            let stands = self.on_session(id, script.args(fields::write(&record))).await?;
            match fields::read(stands).map_err(Trouble::into_store_error)? {
                // A script that hands out nothing says that it has ended.
                Lookup::Unknown => Ok(Lookup::Ended),
                stands => Ok(stands),
            }
        })
    }
}

/// What a script says: a word, and the berth where the session lies if it is another than expected.
fn verdict(value: Value) -> Result<(String, Option<Berth>), Trouble> {
    let mut parts = fields::list(value)?.into_iter();
    let word = fields::text(parts.next().ok_or(Trouble::Odd("no verdict"))?)?;
    let berth = match (parts.next(), parts.next(), parts.next()) {
        (Some(epoch), Some(backend), Some(session)) => Some(fields::berth(epoch, backend, session)?),
        _ => None,
    };
    Ok((word, berth))
}

#[cfg(test)]
mod tests;
