//! What instances tell each other: the form of a notice, and the one that listens on a channel in the background. What is said
//! may get lost (while nobody is connected, or when too much waits), so nothing may rest on it alone.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::PubSub;
use tokio::sync::{mpsc, watch};

use super::dial::{Address, Dialer};
use super::routes::Routes;
use super::trouble::Trouble;
use crate::clock::Chance;
use crate::meter::Counter;
use crate::names::{BackendId, Epoch, InstanceId, SessionId};
use crate::store::{Berth, Notice};

/// Notices that may wait to be heard. What comes while they are full is lost.
const WAITING: usize = 4096;
/// How long it may be quiet until a sign of life is asked for.
const QUIET: Duration = Duration::from_secs(5);
/// The first wait after a connection was lost. Doubled each time up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest wait after a connection was lost.
const LONGEST: Duration = Duration::from_secs(1);

/// Writes a notice down, with who sends it.
pub(super) fn write(sender: InstanceId, notice: &Notice) -> String {
    match notice {
        Notice::Ended(id) => format!("{sender} ended {id}"),
        Notice::Moved(id, Berth { backend, backend_session, epoch }) => {
            format!("{sender} moved {id} {} {backend} {backend_session}", epoch.0)
        }
        Notice::Keys => format!("{sender} keys"),
        Notice::Orders => format!("{sender} orders"),
    }
}

/// Reads a notice. `None` for one's own, and for what a later version may say.
pub(super) fn read(own: InstanceId, text: &str) -> Option<Notice> {
    let mut words = text.split(' ');
    if words.next()? == own.to_string() {
        return None;
    }
    let kind = words.next()?;
    match kind {
        "keys" => return Some(Notice::Keys),
        "orders" => return Some(Notice::Orders),
        _ => {}
    }
    let id = SessionId(u128::from_str_radix(words.next()?, 16).ok()?);
    match kind {
        "ended" => Some(Notice::Ended(id)),
        "moved" => {
            let epoch = Epoch(words.next()?.parse().ok()?);
            let backend = BackendId(u64::from_str_radix(words.next()?, 16).ok()?);
            Some(Notice::Moved(id, Berth { backend, backend_session: words.next()?.into(), epoch }))
        }
        _ => None,
    }
}

/// The channel of notices.
pub(super) fn notices(name: &str, own: InstanceId) -> Channel<Notice> {
    let opening = |begun| match begun {
        Begun::First => None,
        // What was said in between is lost. Sessions are looked at anyway before long; keys are not.
        Begun::Again => Some(Notice::Keys),
    };
    Channel { name: name.to_owned(), read: Box::new(move |text| read(own, text)), opening }
}

/// Where what was said waits to be heard.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    // Guards the end of a queue that one listener takes from; held for one look.
    waiting: Mutex<mpsc::Receiver<T>>,
}

impl<T> Inbox<T> {
    /// An inbox, and the end that fills it.
    pub fn new() -> (Self, mpsc::Sender<T>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { waiting: Mutex::new(receiver) }, sender)
    }

    /// The next that was said.
    pub async fn next(&self) -> T {
        let next = std::future::poll_fn(|context| {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(context)
        });
        match next.await {
            Some(said) => said,
            None => std::future::pending().await,
        }
    }
}

type Reader<T> = Box<dyn Fn(&str) -> Option<T> + Send + Sync>;

/// What is listened to, and how it is understood.
pub(super) struct Channel<T> {
    /// Its name.
    pub name: String,
    /// Reads what somebody says. `None` if that is nothing to us.
    pub read: Reader<T>,
    /// What is to be heard when listening has begun, for the first time or once more: what was said before is lost.
    pub opening: fn(Begun) -> Option<T>,
}

/// How listening has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// For the first time.
    First,
    /// After it was interrupted.
    Again,
}

/// Listens for what other instances did.
pub(super) struct Listener<T> {
    /// Makes the connection.
    pub dialer: Arc<Dialer>,
    /// Whom to connect to. In a Cluster every node passes on what is published at any.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// On which channel.
    pub channel: Channel<T>,
    /// Where it goes.
    pub inbox: mpsc::Sender<T>,
    /// What could not be delivered.
    pub lost: Arc<Counter>,
}

impl<T> Listener<T> {
    /// Listens for ever.
    pub async fn run(mut self) {
        let chance = Chance::system();
        let (mut pause, mut begins) = (SHORTEST, Begun::First);
        loop {
            let address = self.somebody(&chance).await;
            match self.listen(&address, &mut begins).await {
                Ok(()) => pause = SHORTEST,
                Err(trouble) => tracing::debug!(server = %address, error = &trouble as &dyn Error, "not listening"),
            }
            let percent = u32::try_from(75 + chance.below(50)).unwrap_or(100);
            tokio::time::sleep(pause * percent / 100).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// A server that is connected, as soon as there is one.
    async fn somebody(&mut self, chance: &Chance) -> Address {
        loop {
            let routes = Arc::clone(&self.routes.borrow_and_update());
            let servers = routes.servers();
            if !servers.is_empty() {
                return servers[chance.below(servers.len())].address.clone();
            }
            if self.routes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Listens at one server until the connection is lost, or the server is no longer one of ours.
    async fn listen(&mut self, address: &Address, begins: &mut Begun) -> Result<(), Trouble> {
        let mut hearing = self.dialer.hearing(address, false).await?;
        self.in_time(hearing.subscribe(&self.channel.name)).await?;
        if let Some(said) = (self.channel.opening)(std::mem::replace(begins, Begun::Again)) {
            self.deliver(said);
        }
        loop {
            match self.hear(&mut hearing).await {
                Heard::Said(text) => {
                    if let Some(said) = (self.channel.read)(&text) {
                        self.deliver(said);
                    }
                }
                Heard::Quiet => self.in_time(hearing.ping::<redis::Value>()).await.map(drop)?,
                Heard::Elsewhere if !self.is_ours(address) => return Ok(()),
                Heard::Elsewhere => {}
                Heard::End => return Ok(()),
            }
        }
    }

    async fn hear(&mut self, hearing: &mut PubSub) -> Heard {
        let mut messages = hearing.on_message();
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => Heard::Said(String::from_utf8_lossy(message.get_payload_bytes()).into_owned()),
                None => Heard::End,
            },
            changed = self.routes.changed() => if changed.is_ok() { Heard::Elsewhere } else { Heard::End },
            () = tokio::time::sleep(QUIET) => Heard::Quiet,
        }
    }

    async fn in_time<A>(&self, answer: impl Future<Output = redis::RedisResult<A>>) -> Result<A, Trouble> {
        let answer = tokio::time::timeout(self.dialer.patience, answer).await.map_err(|_| Trouble::Late)?;
        answer.map_err(|error| Trouble::read(error, None))
    }

    fn is_ours(&self, address: &Address) -> bool {
        self.routes.borrow().servers().iter().any(|server| server.address == *address)
    }

    fn deliver(&self, said: T) {
        if self.inbox.try_send(said).is_err() {
            self.lost.increment();
            tracing::debug!(channel = self.channel.name, "news were lost: too many wait");
        }
    }
}

/// What came while listening.
enum Heard {
    Said(String),
    /// There are other connections now.
    Elsewhere,
    Quiet,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_others_alone() {
        let berth = |session: &str| Berth { backend: BackendId(7), backend_session: session.into(), epoch: Epoch(3) };
        let id = SessionId(0xabc);
        let moved = |session| Notice::Moved(id, berth(session));
        for notice in [Notice::Ended(id), moved(""), moved("a=b;c"), Notice::Keys, Notice::Orders] {
            let text = write(InstanceId(1), &notice);
            assert_eq!(read(InstanceId(2), &text), Some(notice));
            assert_eq!(read(InstanceId(1), &text), None);
        }
        for text in ["", "x", "x later 5", "x ended", "x ended zz", "x moved 1 2"] {
            assert_eq!(read(InstanceId(1), text), None, "{text}");
        }
    }
}
