//! One joined stream: fed by the upstream streams, heard by any number of clients. Lives as long as somebody listens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use futures_util::task::AtomicWaker;
use tokio::sync::watch;

use super::upstream::Source;
use crate::exchange::Answer;
use crate::mcp::listen::Filter;
use crate::tasks::{self, Task};

/// Frames that wait for one client at most. One that falls further behind is told to look at everything anew.
const MOST_WAITING: usize = 256;

/// How opening the upstream streams went.
#[derive(Clone)]
pub enum Opening {
    /// Every backend that can be heard is heard; the filter that they honour, raw JSON.
    Open(Arc<str>),
    /// The backends refuse; the first one's answer.
    Refused(Arc<Answer>),
    /// No backend could be reached.
    Nobody,
}

/// One joined stream.
pub struct Joined {
    /// What its clients want to hear.
    pub filter: Filter,
    opening: watch::Receiver<Option<Opening>>,
    shared: Arc<Shared>,
    task: OnceLock<Task>,
}

/// What the feeding task and the clients share.
#[derive(Default)]
pub struct Shared {
    /// Taken to enter a client and to hand out a frame; never across an await.
    outlets: Mutex<Vec<Weak<Outlet>>>,
    over: AtomicBool,
}

/// What waits for one client.
#[derive(Default)]
pub struct Outlet {
    /// Taken for one push or pop.
    queue: Mutex<Queue>,
    pub(super) waker: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Arc<[u8]>>,
    overrun: bool,
}

/// What a client is to send next.
pub enum Next {
    /// This frame, under its own subscription id.
    Frame(Arc<[u8]>),
    /// Frames were lost: everything may have changed.
    Resync,
}

impl Joined {
    pub(super) fn start(source: Source) -> Arc<Self> {
        let (tell, opening) = watch::channel(None);
        let shared = Arc::new(Shared::default());
        let joined = Arc::new(Self {
            filter: source.filter.clone(),
            opening,
            shared: Arc::clone(&shared),
            task: OnceLock::new(),
        });
        let task = tasks::spawn("joined listen", async move {
            source.feed(&shared, &tell).await;
            shared.close();
        });
        // It was just made: nobody can have set a task yet.
        drop(joined.task.set(task));
        joined
    }

    /// Waits until it is known how opening went.
    pub(super) async fn opened(&self) -> Opening {
        let mut opening = self.opening.clone();
        match opening.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or(Opening::Nobody),
            Err(_) => Opening::Nobody,
        }
    }

    /// Whether it still feeds, or still tries to open.
    pub(super) fn is_alive(&self) -> bool {
        !self.shared.over.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) -> Arc<Outlet> {
        let outlet = Arc::new(Outlet::default());
        let mut outlets = self.shared.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        outlets.retain(|outlet| outlet.strong_count() > 0);
        outlets.push(Arc::downgrade(&outlet));
        outlet
    }
}

impl Shared {
    /// Hands a frame to every client.
    pub(super) fn hand_out(&self, frame: &Arc<[u8]>) {
        self.each(|outlet| outlet.push(frame));
    }

    /// Tells every client that frames may have been missed.
    pub(super) fn resync(&self) {
        self.each(Outlet::overrun);
    }

    fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.each(|outlet| outlet.waker.wake());
    }

    fn each(&self, tell: impl Fn(&Outlet)) {
        let outlets = self.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        outlets.iter().filter_map(Weak::upgrade).for_each(|outlet| tell(&outlet));
    }
}

impl Outlet {
    fn push(&self, frame: &Arc<[u8]>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.frames.len() >= MOST_WAITING {
            queue.frames.clear();
            queue.overrun = true;
        } else if !queue.overrun {
            queue.frames.push_back(Arc::clone(frame));
        }
        drop(queue);
        self.waker.wake();
    }

    fn overrun(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.frames.clear();
        queue.overrun = true;
        drop(queue);
        self.waker.wake();
    }

    pub(super) fn pop(&self) -> Option<Next> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut queue.overrun) {
            return Some(Next::Resync);
        }
        queue.frames.pop_front().map(Next::Frame)
    }
}
