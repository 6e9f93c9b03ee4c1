//! The one place that starts tasks. Every task has a name and an owner: whoever started it holds a
//! [`Task`], and dropping that ends it. It refuses to start anything that nobody holds, except by
//! [`detach`], for short work that bounds itself in time.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// How many tasks have begun and not ended, in this process.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// How many tasks have begun and not ended, in this process.
#[must_use]
pub fn alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

/// Counts one task until it has ended, or was ended.
struct Alive;

impl Alive {
    fn begin() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The work, counted while it runs.
async fn counted<T>(work: impl Future<Output = T>) -> T {
    let _alive = Alive::begin();
    work.await
}

/// A running task. Aborted when dropped.
#[derive(Debug)]
#[must_use = "dropping a Task ends it"]
pub struct Task {
    handle: JoinHandle<()>,
}

impl Task {
    /// Waits until the task has ended by itself, or until `deadline` has passed, and then ends it.
    pub async fn join(mut self, deadline: Duration) {
        if tokio::time::timeout(deadline, &mut self.handle).await.is_err() {
            self.handle.abort();
        }
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Starts `work` on the current runtime and hands it to the caller.
pub fn spawn(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Task {
    Task { handle: start(name, work) }
}

/// Starts short work that nobody waits for. It is ended after `limit` if it has not ended itself.
pub fn detach(name: &'static str, limit: Duration, work: impl Future<Output = ()> + Send + 'static) {
    drop(start(name, async move {
        if tokio::time::timeout(limit, work).await.is_err() {
            tracing::warn!(task = name, limit_ms = limit.as_millis(), "gave up on background work");
        }
    }));
}

/// The same from where nobody knows whether a runtime is still there, such as a destructor; nothing is done where none is.
pub fn detach_if_running(name: &'static str, limit: Duration, work: impl Future<Output = ()> + Send + 'static) {
    if tokio::runtime::Handle::try_current().is_ok() {
        detach(name, limit, work);
    }
}

fn start(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tracing::trace!(task = name, "task started");
    tokio::spawn(counted(work))
}

/// Lets hyper start its own helpers (HTTP/2 streams) through this module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        drop(tokio::spawn(counted(work)));
    }
}

/// Many tasks with one owner, such as the connections of a worker thread. All are aborted when it is dropped.
#[derive(Debug, Default)]
pub struct Crew {
    tasks: tokio::task::JoinSet<()>,
}

impl Crew {
    /// Starts `work` as one of the crew.
    pub fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(counted(work));
    }

    /// How many have not been seen to end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until all have ended, or until `deadline` has passed, and then ends them.
    pub async fn join(mut self, deadline: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        drop(tokio::time::timeout(deadline, all).await);
    }
}
