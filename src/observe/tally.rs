//! What one worker thread has counted of the exchanges that have ended. Each thread has its own, so that none waits for another, and
//! whoever reads adds them up.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::{Equivalent, HashMap};

use super::names::{Method, Tool, Tools};
use super::spread::Spread;
use super::top::{Share, Top};
use super::trail::{Done, Facts, Outcome};
use crate::mcp::version::Era;
use crate::names::{BackendId, CallerDigest, PoolId};

/// Backends of which each thread counts the work at most. Where more have come and gone, counting begins anew.
const MOST_BACKENDS: usize = 4096;

/// What requests are told apart by: where they came to, what was asked for, and the tool that was called.
pub type Kind = (PoolId, Method, Tool);

/// Requests of one kind. Sums only grow.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// How many, by era (in the order of [`ERAS`]) and by how they have ended (in the order of [`Outcome::ALL`]).
    pub outcomes: [[u64; Outcome::ALL.len()]; ERAS.len()],
    /// How long they took.
    pub times: Times,
}

/// The eras, in the order in which requests are counted by them.
pub const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// How long requests of one kind took.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// From beginning to end. Streams that stay open are left out.
    pub whole: Spread,
    /// The part of Moorline.
    pub own: Spread,
    /// The part of backends, where any was asked.
    pub backend: Spread,
}

/// What one backend has done.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Requests whose last try was sent there, by how they have ended (in the order of [`Outcome::ALL`]).
    pub outcomes: [u64; Outcome::ALL.len()],
    /// How long it took to begin its answers.
    pub times: Spread,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Somebody who was authenticated.
    Known(CallerDigest),
    /// Somebody at an address.
    At(IpAddr),
}

/// Requests by kind, and how long they took. Sums only grow.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Each kind.
    pub requests: HashMap<Kind, Requests>,
    /// Those that have ended before it was found out what they are, by how they have ended (in the order of [`Outcome::ALL`]).
    pub unread: [u64; Outcome::ALL.len()],
    /// What backends have done.
    pub backends: HashMap<BackendId, Work>,
    /// Answers by what the cache had to do with them.
    pub cached: HashMap<&'static str, u64>,
    /// Bytes of requests' bodies.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
}

/// All kinds together. Sums only grow.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Requests by how they have ended (in the order of [`Outcome::ALL`]).
    pub outcomes: [u64; Outcome::ALL.len()],
    /// The part of Moorline.
    pub own: Spread,
    /// The part of backends, where any was asked.
    pub backend: Spread,
    /// Answers by what the cache had to do with them.
    pub cached: BTreeMap<&'static str, u64>,
    /// About how long backends would have taken, in microseconds, for what they were not asked since an answer was kept: for each
    /// such answer the mean of the calls of the same tool that reached one.
    pub saved_us: u64,
}

/// The busiest of the last minutes.
#[derive(Clone, Debug, Default)]
pub struct Busiest {
    /// For how long was counted.
    pub since: Duration,
    /// Tools, the busiest first.
    pub tools: Vec<(PoolId, Box<str>, Share)>,
    /// Callers, the busiest first.
    pub callers: Vec<(Who, Box<str>, Share)>,
}

/// What one worker thread has counted.
#[derive(Debug)]
pub struct Tally {
    /// Held for one count by its thread, and for one copy by whoever reads.
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    counts: Counts,
    /// The labels of tools that this thread has met.
    labels: HashMap<(PoolId, Box<str>), Tool>,
    tools: Top<(PoolId, Tool)>,
    callers: Top<Who>,
}

impl Tally {
    fn new(now: Instant) -> Self {
        let held =
            Held { counts: Counts::default(), labels: HashMap::new(), tools: Top::new(now), callers: Top::new(now) };
        Self { held: Mutex::new(held) }
    }

    fn hold(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an exchange that has ended.
    pub fn count(&self, done: &Done<'_>, tools: &Tools, now: Instant) {
        let mut held = self.hold();
        let held = &mut *held;
        let counts = &mut held.counts;
        counts.bytes_out += done.trail.seen.bytes;
        if let Some(cached) = done.trail.cached {
            *counts.cached.entry(cached).or_default() += 1;
        }
        let Some(facts) = &done.trail.facts else {
            counts.unread[done.outcome as usize] += 1;
            return;
        };
        counts.bytes_in += facts.body;
        let tool = held.label(facts, done.outcome, tools);
        held.counts.count(facts, tool, done);
        held.weigh(facts, tool, done, now);
    }
}

/// A tool's name, to be looked up.
struct Named<'a>(PoolId, &'a str);

impl Hash for Named<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1).hash(state);
    }
}

impl Equivalent<(PoolId, Box<str>)> for Named<'_> {
    fn equivalent(&self, (pool, name): &(PoolId, Box<str>)) -> bool {
        self.0 == *pool && self.1 == &**name
    }
}

impl Held {
    /// A tool's label; one that was answered well gets one of its own while there is room.
    fn label(&mut self, facts: &Facts, outcome: Outcome, tools: &Tools) -> Tool {
        let Some(name) = facts.name.as_deref().filter(|_| facts.is_tool) else { return Tool::NONE };
        let pool = facts.pool.id;
        if let Some(label) = self.labels.get(&Named(pool, name)) {
            return *label;
        }
        let label = if outcome == Outcome::Good { tools.admit(pool, name) } else { Tool::OTHER };
        // What has none is asked for again each time: there is no end of such names.
        if label != Tool::OTHER {
            self.labels.insert((pool, name.into()), label);
        }
        label
    }

    fn weigh(&mut self, facts: &Facts, tool: Tool, done: &Done<'_>, now: Instant) {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let share = Share {
            calls: 1,
            errors: u64::from(matches!(done.outcome, Outcome::Failed | Outcome::ToolFailed)),
            refused: u64::from(done.outcome == Outcome::Refused),
            own_us: micros(done.own),
            backend_us: micros(done.backend),
        };
        if tool != Tool::NONE {
            let name = || {
                if tool == Tool::OTHER { super::names::OTHER.into() } else { facts.name.clone().unwrap_or_default() }
            };
            self.tools.count((facts.pool.id, tool), name, &share, now);
        }
        let who = facts.caller.as_ref().map_or(Who::At(facts.client), |caller| Who::Known(caller.digest));
        let name =
            || facts.caller.as_ref().map_or_else(|| facts.client.to_string(), |caller| caller.label().into_owned());
        self.callers.count(who, || name().into(), &share, now);
    }
}

impl Counts {
    fn count(&mut self, facts: &Facts, tool: Tool, done: &Done<'_>) {
        let requests = self.requests.entry((facts.pool.id, facts.method, tool)).or_default();
        requests.outcomes[usize::from(facts.era == ERAS[1])][done.outcome as usize] += 1;
        // What was refused took no time worth knowing, and would hide what the others took.
        if !facts.stands && done.outcome != Outcome::Refused {
            requests.times.add(done);
        }
        if let Some(backend) = &done.trail.legs.backend {
            if self.backends.len() >= MOST_BACKENDS && !self.backends.contains_key(&backend.id) {
                self.backends.clear();
            }
            let work = self.backends.entry(backend.id).or_default();
            work.outcomes[done.outcome as usize] += 1;
            work.times.add(done.backend);
        }
    }

    fn join(&mut self, other: &Self) {
        for (kind, requests) in &other.requests {
            let own = self.requests.entry(*kind).or_default();
            own.outcomes.iter_mut().zip(&requests.outcomes).for_each(|(own, other)| add_each(own, other));
            own.times.join(&requests.times);
        }
        add_each(&mut self.unread, &other.unread);
        for (id, work) in &other.backends {
            let own = self.backends.entry(*id).or_default();
            add_each(&mut own.outcomes, &work.outcomes);
            own.times.join(&work.times);
        }
        other.cached.iter().for_each(|(word, count)| *self.cached.entry(word).or_default() += count);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

impl Times {
    fn add(&mut self, done: &Done<'_>) {
        let took = [(&mut self.whole, done.whole), (&mut self.own, done.own), (&mut self.backend, done.backend)];
        let asked = if done.trail.legs.tries > 0 { 3 } else { 2 };
        for (spread, took) in took.into_iter().take(asked) {
            spread.add(took);
            done.exemplar(took).into_iter().for_each(|exemplar| spread.keep(exemplar));
        }
    }

    fn join(&mut self, other: &Self) {
        self.whole.join(&other.whole);
        self.own.join(&other.own);
        self.backend.join(&other.backend);
    }
}

/// Adds numbers one by one.
fn add_each<const N: usize>(own: &mut [u64; N], other: &[u64; N]) {
    own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
}

impl Totals {
    fn join(&mut self, counts: &Counts) {
        let by_era = counts.requests.values().flat_map(|requests| &requests.outcomes);
        by_era.chain([&counts.unread]).for_each(|outcomes| add_each(&mut self.outcomes, outcomes));
        counts.cached.iter().for_each(|(word, count)| *self.cached.entry(word).or_default() += count);
        for Requests { times, .. } in counts.requests.values() {
            self.own.join(&times.own);
            self.backend.join(&times.backend);
            let mean = times.backend.sum_micros().checked_div(times.backend.count()).unwrap_or(0);
            let kept = times.own.count().saturating_sub(times.backend.count());
            self.saved_us = self.saved_us.saturating_add(mean.saturating_mul(kept));
        }
    }
}

/// All that was counted, by all threads.
#[derive(Debug)]
pub struct Tallies {
    /// Tools that have labels.
    pub tools: Tools,
    /// One for each thread; grows only at the start.
    all: Mutex<Vec<Arc<Tally>>>,
}

impl Tallies {
    /// Nothing counted yet; room for the names of that many tools.
    #[must_use]
    pub fn new(most_tools: usize) -> Self {
        Self { tools: Tools::new(most_tools), all: Mutex::default() }
    }

    /// A thread's own.
    #[must_use]
    pub fn tally(&self, now: Instant) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(now));
        self.each().push(Arc::clone(&tally));
        tally
    }

    /// All that was counted since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.each().iter().for_each(|tally| all.join(&tally.hold().counts));
        all
    }

    /// The same, all kinds together: for who looks often.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut all = Totals::default();
        self.each().iter().for_each(|tally| all.join(&tally.hold().counts));
        all
    }

    /// The busiest of the last minutes, at most so many of each.
    #[must_use]
    pub fn busiest(&self, most: usize, now: Instant) -> Busiest {
        let (mut tools, mut callers) = (HashMap::new(), HashMap::new());
        let mut since = Duration::ZERO;
        for tally in self.each().iter() {
            let mut held = tally.hold();
            since = since.max(gather(&mut held.tools, &mut tools, now));
            since = since.max(gather(&mut held.callers, &mut callers, now));
        }
        let tools = first(tools, most).into_iter().map(|((pool, _), name, share)| (pool, name, share)).collect();
        Busiest { since, tools, callers: first(callers, most) }
    }

    fn each(&self) -> MutexGuard<'_, Vec<Arc<Tally>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Shares<K> = HashMap<K, (Box<str>, Share)>;

fn gather<K: Copy + Eq + Hash>(top: &mut Top<K>, into: &mut Shares<K>, now: Instant) -> Duration {
    let (since, all) = top.all(now);
    for (key, name, share) in all {
        into.entry(key).or_insert_with(|| (name, Share::default())).1.join(&share);
    }
    since
}

fn first<K>(shares: Shares<K>, most: usize) -> Vec<(K, Box<str>, Share)> {
    let mut all: Vec<_> = shares.into_iter().map(|(key, (name, share))| (key, name, share)).collect();
    all.sort_by(|(_, one, a), (_, other, b)| b.calls.cmp(&a.calls).then_with(|| one.cmp(other)));
    all.truncate(most);
    all
}
