//! The gate before each backend: lets so many requests through at the same time, fixed or as its latency shows that it can
//! bear, and the others wait for their turn. Each instance has its own gates, and takes its share of a fixed number.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dashmap::DashMap;
use http::StatusCode;

use super::adaptive::Adaptive;
use super::counts::Waits;
use super::queue::{Line, Patience, Queues, Turned};
use crate::clock::Clock;
use crate::config::{BackendLimit, BackendMost};
use crate::fleet::Backend;
use crate::meter::{Counter, Snapshot};
use crate::names::BackendId;
use crate::reject::Cause;
use crate::store::counters::{BudgetId, Subject};

/// Backends that are remembered at most; beyond that, those that nobody uses are forgotten.
const REMEMBERED: usize = 4096;

/// All gates of this instance.
#[derive(Debug)]
pub struct Gates {
    of: DashMap<BackendId, Arc<Gate>>,
    queues: Arc<Queues>,
    clock: Clock,
}

/// The gate before one backend.
#[derive(Debug, Default)]
struct Gate {
    running: AtomicU32,
    /// Guards a few numbers; taken once for each answer where the limit adapts itself, never else.
    adaptive: Mutex<Adaptive>,
    waits: Waits,
    refused: Counter,
}

/// How a gate stands.
#[derive(Clone, Debug)]
pub struct GateView {
    /// Requests that are through and have not ended.
    pub running: u32,
    /// As many may be through now.
    pub most: u32,
    /// Requests that wait.
    pub waiting: i64,
    /// How long those waited that had to.
    pub waited: Snapshot,
    /// Requests that were refused.
    pub refused: u64,
}

/// Who wants to get through.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// For whom turns are taken.
    pub caller: Subject,
    /// What is asked for, as a number.
    pub tool: u64,
    /// Of how many instances this is one.
    pub instances: u32,
}

/// Somebody who is through. Its end lets the next one in.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    queues: Arc<Queues>,
    line: Line,
    caller: Subject,
    tool: u64,
    limit: BackendMost,
    begun: Instant,
}

impl Gates {
    /// No gates yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { of: DashMap::new(), queues: Arc::new(Queues::new(clock.clone())), clock }
    }

    /// Forgets what nobody uses any more. For now and then.
    pub fn tidy(&self) {
        self.queues.tidy();
    }

    /// Gets through the backend's gate, or waits for it.
    ///
    /// # Errors
    /// [`Cause::Overloaded`].
    pub async fn enter(&self, backend: &Backend, limit: BackendLimit, wish: Wish) -> Result<Pass, Cause> {
        let gate = self.gate(backend.id);
        let most = || gate.most(limit.most, wish.instances);
        let line = (BudgetId(backend.id.0), Subject(0));
        let pass = |begun| {
            self.queues.begun(line, wish.caller);
            let (gate, queues) = (Arc::clone(&gate), Arc::clone(&self.queues));
            Pass { gate, queues, line, caller: wish.caller, tool: wish.tool, limit: limit.most, begun }
        };
        let waits = limit.queue > 0 && self.queues.must_wait(line, wish.caller, most());
        if !waits && gate.try_enter(most()) {
            return Ok(pass(self.clock.now()));
        }
        let waiting = gate.waits.begin(&self.clock);
        let patience = Patience { most: limit.queue, wait: limit.wait };
        let entered = async {
            let mut turn = self.queues.turn(line, wish.caller, (patience.most, patience.until())).await?;
            loop {
                turn.ready(most()).await?;
                if gate.try_enter(most()) {
                    return Ok(());
                }
                turn.rest().await?;
            }
        };
        let entered: Result<(), Turned> = entered.await;
        drop(waiting);
        if entered.is_err() {
            gate.refused.increment();
            return Err(Cause::Overloaded);
        }
        Ok(pass(self.clock.now()))
    }

    /// How the gate of a backend stands.
    pub fn view(&self, id: BackendId, most: BackendMost, instances: u32) -> Option<GateView> {
        let gate = Arc::clone(&*self.of.get(&id)?);
        Some(GateView {
            running: gate.running.load(Ordering::Relaxed),
            most: gate.most(most, instances),
            waiting: gate.waits.now.get(),
            waited: gate.waits.took.snapshot(),
            refused: gate.refused.get(),
        })
    }

    fn gate(&self, id: BackendId) -> Arc<Gate> {
        if let Some(gate) = self.of.get(&id) {
            return Arc::clone(&gate);
        }
        if self.of.len() >= REMEMBERED {
            self.of.retain(|_, gate| gate.running.load(Ordering::Relaxed) > 0);
        }
        Arc::clone(&self.of.entry(id).or_default())
    }
}

impl Gate {
    fn most(&self, most: BackendMost, instances: u32) -> u32 {
        match most {
            BackendMost::Fixed(most) => (most / instances.max(1)).max(1),
            BackendMost::Adaptive(most) => self.adaptive().limit(most),
        }
    }

    fn try_enter(&self, most: u32) -> bool {
        let enter = |running| (running < most).then_some(running + 1);
        self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).is_ok()
    }

    fn adaptive(&self) -> MutexGuard<'_, Adaptive> {
        self.adaptive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The backend's answer has begun; what follows from it for how much it can bear.
    pub fn answered(&self, now: Instant, status: StatusCode) {
        let BackendMost::Adaptive(most) = self.limit else { return };
        let took = now.saturating_duration_since(self.begun);
        let mut adaptive = self.gate.adaptive();
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => adaptive.back_off(),
            _ => adaptive.learn(self.tool, took.as_secs_f64(), self.gate.running.load(Ordering::Relaxed), most),
        }
    }
}

impl Pass {
    /// The backend did not answer.
    pub fn failed(&self) {
        if matches!(self.limit, BackendMost::Adaptive(_)) {
            self.gate.adaptive().back_off();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.running.fetch_sub(1, Ordering::Relaxed);
        self.queues.ended(self.line, self.caller);
    }
}
