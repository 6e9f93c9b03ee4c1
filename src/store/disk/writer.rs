//! The thread that writes: gathers what has changed, commits it as one group and tells those who wait.
//! Owns durability and what happens while the disk fails; what the entries mean is not its business.

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::file::{Beside, Held, Home, OpenError, Store};
use crate::names::SessionId;
use crate::store::StoreError;

/// The most callers that may wait for one commit.
const MAX_WAITERS: usize = 65_536;
/// The most entries that are written late with one commit, so that those who wait for it need not wait long.
const MAX_LATE: usize = 4096;

type Failure = Arc<dyn Error + Send + Sync>;
type Waiter = oneshot::Sender<Result<(), Failure>>;

/// How fast the writer goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriterPace {
    /// How long a change that nobody waits for may stay unwritten.
    pub linger: Duration,
    /// How long a broken disk is left alone before it is tried again.
    pub retry: Duration,
}

/// The handle to the writing thread. Dropping it writes what is left and waits for the thread.
#[derive(Debug)]
pub(super) struct Writer {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Where changes are laid down for the thread. Only ids are: the map says what to write when the time has come,
/// so that many changes of one session are one write, and a failed commit can be tried again in any order.
#[derive(Debug, Default)]
struct Desk {
    // Held for a few instructions by whoever changes something, and by the thread while it takes all there is.
    pending: Mutex<Pending>,
    // Told when there is something that somebody waits for.
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    changed: HashSet<SessionId>,
    late: HashSet<SessionId>,
    beside: Beside,
    waiters: Vec<Waiter>,
    broken: Option<Failure>,
    closing: bool,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{MAX_WAITERS} changes wait for the disk already")]
    TooManyWait,
    #[error("the thread that writes has ended")]
    ThreadEnded,
}

struct Batch {
    ids: Vec<SessionId>,
    beside: Beside,
    waiters: Vec<Waiter>,
    last: bool,
}

impl Writer {
    pub fn start(held: Arc<Held>, home: Box<dyn Home>, file: Store, pace: WriterPace) -> Result<Self, OpenError> {
        let desk = Arc::new(Desk::default());
        let worker = Worker { desk: Arc::clone(&desk), held, home, file: Some(file), pace };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run())
            .map_err(|source| OpenError::Io { path: "store-writer thread".into(), source })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Whether changes can be written at present.
    pub fn ready(&self) -> Result<(), StoreError> {
        self.desk.lock().refuse()
    }

    /// Writes what stands under these ids; answers when it is on the disk.
    pub async fn write(&self, ids: impl IntoIterator<Item = SessionId>) -> Result<(), StoreError> {
        let told = self.enlist(|pending| pending.changed.extend(ids));
        await_commit(told?).await
    }

    /// Writes the ring; answers when it is on the disk.
    pub async fn write_ring(&self) -> Result<(), StoreError> {
        let told = self.enlist(|pending| pending.beside.ring = true);
        await_commit(told?).await
    }

    /// Writes the orders; answers when they are on the disk.
    pub async fn write_orders(&self) -> Result<(), StoreError> {
        let told = self.enlist(|pending| pending.beside.orders = true);
        await_commit(told?).await
    }

    /// Writes what stands under these ids with some later commit.
    pub fn write_later(&self, ids: Vec<SessionId>) {
        if !ids.is_empty() {
            self.desk.lock().late.extend(ids);
        }
    }

    /// Answers when everything laid down so far is on the disk.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let told = self.enlist(|pending| {
            let late = std::mem::take(&mut pending.late);
            pending.changed.extend(late);
        });
        await_commit(told?).await
    }

    fn enlist(&self, add: impl FnOnce(&mut Pending)) -> Result<oneshot::Receiver<Result<(), Failure>>, StoreError> {
        let mut pending = self.desk.lock();
        // Laid down first: a change that stands in the map must reach the disk, even if its caller is refused.
        add(&mut pending);
        pending.refuse()?;
        if pending.waiters.len() >= MAX_WAITERS {
            return Err(StoreError::Unavailable { source: Arc::new(Trouble::TooManyWait) });
        }
        let (tell, told) = oneshot::channel();
        pending.waiters.push(tell);
        drop(pending);
        self.desk.bell.notify_one();
        Ok(told)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.desk.lock().closing = true;
        self.desk.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so, and there is nobody here to tell.
            drop(thread.join());
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // A panic in between leaves sets that are still sets.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there is something to write, and takes it.
    fn take(&self, pace: WriterPace) -> Batch {
        let mut pending = self.lock();
        while !pending.is_urgent() {
            let sleep = if pending.broken.is_some() { pace.retry } else { pace.linger };
            let (woken, slept) = self.bell.wait_timeout(pending, sleep).unwrap_or_else(PoisonError::into_inner);
            pending = woken;
            if slept.timed_out() && pending.has_any() {
                break;
            }
        }
        pending.take()
    }
}

impl Pending {
    fn refuse(&self) -> Result<(), StoreError> {
        match &self.broken {
            Some(failure) => Err(StoreError::Unavailable { source: Arc::clone(failure) }),
            None => Ok(()),
        }
    }

    fn is_urgent(&self) -> bool {
        self.closing || !self.waiters.is_empty()
    }

    fn has_any(&self) -> bool {
        self.broken.is_some() || self.beside.is_any() || !self.changed.is_empty() || !self.late.is_empty()
    }

    fn take(&mut self) -> Batch {
        let mut ids: Vec<_> = self.changed.drain().collect();
        let room = if self.closing { usize::MAX } else { MAX_LATE };
        let late: Vec<_> = self.late.iter().copied().take(room).collect();
        for id in &late {
            self.late.remove(id);
        }
        ids.extend(late);
        let waiters = std::mem::take(&mut self.waiters);
        Batch { ids, beside: std::mem::take(&mut self.beside), waiters, last: self.closing }
    }
}

async fn await_commit(told: oneshot::Receiver<Result<(), Failure>>) -> Result<(), StoreError> {
    let answer = told.await.unwrap_or_else(|_| Err(Arc::new(Trouble::ThreadEnded)));
    answer.map_err(|source| StoreError::Unavailable { source })
}

/// The thread's own side.
struct Worker {
    desk: Arc<Desk>,
    held: Arc<Held>,
    home: Box<dyn Home>,
    // None while the disk is broken: redb does nothing more after a failed write until it is opened anew.
    file: Option<Store>,
    pace: WriterPace,
}

impl Worker {
    fn run(mut self) {
        loop {
            let batch = self.desk.take(self.pace);
            let last = batch.last;
            match self.commit(&batch) {
                Ok(()) => self.succeed(batch),
                Err(failure) => self.fail(batch, &failure),
            }
            if last {
                break;
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Failure> {
        if self.file.is_some() && batch.ids.is_empty() && !batch.beside.is_any() {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => self.reopen()?,
        };
        file.write(&self.held, &batch.ids, batch.beside).map_err(|error| -> Failure { Arc::new(error) })?;
        self.file = Some(file);
        Ok(())
    }

    /// Opens the file anew. If it has gone and was made again, all that the map holds goes into it.
    fn reopen(&self) -> Result<Store, Failure> {
        let file = self.home.open().map_err(|error| -> Failure { Arc::new(error) })?;
        if file.is_new {
            file.write(&self.held, &self.held.map.ids(), Beside::ALL)
                .map_err(|error| -> Failure { Arc::new(error) })?;
        }
        Ok(file)
    }

    fn succeed(&self, batch: Batch) {
        if self.desk.lock().broken.take().is_some() {
            tracing::info!("the store's file can be written again");
        }
        for waiter in batch.waiters {
            // Whoever no longer listens has been cancelled; the change stands all the same.
            drop(waiter.send(Ok(())));
        }
    }

    fn fail(&self, batch: Batch, failure: &Failure) {
        let mut pending = self.desk.lock();
        pending.changed.extend(batch.ids);
        pending.beside.add(batch.beside);
        let first = pending.broken.replace(Arc::clone(failure)).is_none();
        // Those who came while the commit ran would wait for the next one: they get this answer too.
        let late_comers = std::mem::take(&mut pending.waiters);
        drop(pending);
        if first {
            let cause = failure.source().map(ToString::to_string);
            tracing::error!(error = %failure, cause, "cannot write the store's file, changes are refused until it can be written");
        }
        for waiter in batch.waiters.into_iter().chain(late_comers) {
            drop(waiter.send(Err(Arc::clone(failure))));
        }
    }
}

impl Drop for Worker {
    // Also when the thread panics: nobody may wait for a thread that is no more.
    fn drop(&mut self) {
        let mut pending = self.desk.lock();
        pending.broken.get_or_insert_with(|| Arc::new(Trouble::ThreadEnded));
        pending.waiters.clear();
    }
}
