//! The one who makes the feed's words. Beats once a second: keeps the history whether or not anybody looks, and where somebody does,
//! tells what has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use super::Moves;
use super::history::{Look, Sample};
use super::others::Others;
use super::views::{self, CacheView, Callers, Doing, LimitsView, StoreView, Tools};
use crate::admin::Admin;
use crate::admin::backends::PoolView;
use crate::admin::bounded;
use crate::tasks;

const BEAT: Duration = Duration::from_secs(1);

/// Beats to a sample of the history, and to a new look at what takes time to find out.
const SAMPLE: u64 = 5;

/// Lines of the log that are told at once.
const MOST_LINES: usize = 32;

/// Moves are told together that come within this time.
const GATHER: Duration = Duration::from_millis(100);

/// What has changed.
#[derive(Serialize)]
struct Tick {
    at: u64,
    /// What has happened since the last one.
    second: Sample,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Sample>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<serde_json::Value>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    others: Option<Others>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pools: Option<Vec<PoolView>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    backends: BTreeMap<String, Doing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Tools>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callers: Option<Callers>,
}

/// What viewers were told last.
#[derive(Default)]
struct Told {
    instance: serde_json::Value,
    store: Option<StoreView>,
    cache: Option<CacheView>,
    limits: Option<LimitsView>,
    tools: Option<Tools>,
    callers: Option<Callers>,
    /// Which backends there are, by pool.
    shape: Vec<(String, Vec<String>)>,
    backends: BTreeMap<String, Doing>,
}

struct Producer {
    admin: Arc<Admin>,
    beats: u64,
    /// The number of the newest line of the log that was told.
    lines: u64,
    /// At the last sample, and at the last tick.
    sampled: Look,
    ticked: Look,
    told: Told,
    /// How often somebody was blocked, as it was when it was looked into last.
    blocks: u64,
    /// Whether anybody looked at the last beat.
    was_watched: bool,
}

impl Admin {
    /// Keeps the history and feeds the viewers, for as long as the instance is there.
    pub async fn tell(self: Arc<Self>, mut moves: Moves) {
        let now = views::look(&self, moves.count());
        let mut producer = Producer {
            admin: self,
            beats: 0,
            lines: 0,
            sampled: now.clone(),
            ticked: now,
            told: Told::default(),
            blocks: 0,
            was_watched: false,
        };
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut gathered = Instant::now();
        let mut lines = producer.admin.log.events().newest();
        loop {
            tokio::select! {
                _ = beat.tick() => producer.beat(moves.count()),
                // The log lives as long as the instance: a change is the only answer.
                Ok(()) = lines.changed() => producer.tell_lines(*lines.borrow_and_update()),
                first = after(gathered, moves.next()) => {
                    moves.with_the_rest(first).iter().for_each(|told| producer.admin.feed.tell("move", told));
                    gathered = Instant::now() + GATHER;
                }
            }
        }
    }
}

/// Does something once a time has come.
async fn after<T>(time: Instant, work: impl Future<Output = T>) -> T {
    tokio::time::sleep_until(time).await;
    work.await
}

impl Producer {
    fn beat(&mut self, moved: u64) {
        self.beats += 1;
        self.watch_the_store();
        let is_sample = self.beats.is_multiple_of(SAMPLE);
        let is_watched = self.admin.feed.seats.is_anybody();
        if std::mem::replace(&mut self.was_watched, is_watched) && !is_watched {
            // Whoever comes next shall not be told what was found out for others, long ago.
            self.told = Told::default();
            *self.admin.feed.slow() = views::Slow::default();
        }
        if !is_sample && !is_watched {
            return;
        }
        let look = views::look(&self.admin, moved);
        let sample = is_sample.then(|| {
            let sample = look.since(&self.sampled);
            self.sampled = look.clone();
            self.admin.feed.history().add(sample.clone());
            sample
        });
        let second = look.since(&self.ticked);
        self.ticked = look;
        if is_watched {
            self.tick(second, sample);
        }
    }

    /// Tells what was logged since the last time.
    fn tell_lines(&mut self, newest: u64) {
        let before = std::mem::replace(&mut self.lines, newest);
        if self.admin.feed.seats.is_anybody() {
            let new = self.admin.log.events().after(before, MOST_LINES);
            new.iter().for_each(|line| self.admin.feed.tell("event", line));
        }
    }

    fn watch_the_store(&self) {
        let feed = &self.admin.feed;
        let away = self.admin.sessions.store_is_away();
        let known = feed.away_since.load(Ordering::Relaxed) > 0;
        if away != known {
            let since = if away { self.admin.clock.unix_millis() } else { 0 };
            feed.away_since.store(since, Ordering::Relaxed);
        }
    }

    fn tick(&mut self, second: Sample, sample: Option<Sample>) {
        let admin = Arc::clone(&self.admin);
        // Whoever comes shall not wait for the next full five seconds.
        let blocks = std::mem::replace(&mut self.blocks, admin.limit.blocks());
        let is_due = sample.is_some() || admin.feed.slow().tools.is_none() || blocks != self.blocks;
        if is_due {
            self.look_closer();
        }
        let (pools, backends) = self.told.backends(views::pools(&admin));
        let instance = serde_json::json!(super::super::instance::instance(&admin));
        let slow = admin.feed.slow().clone();
        let told = &mut self.told;
        let tick = Tick {
            at: admin.clock.unix_millis(),
            others: Others::told(&admin, sample.is_some()),
            second,
            sample,
            instance: changed(&mut told.instance, instance),
            store: changed(&mut told.store, Some(views::store(&admin))).flatten(),
            pools,
            backends,
            cache: changed(&mut told.cache, Some(views::cache(&admin))).flatten(),
            limits: changed(&mut told.limits, slow.limits).flatten(),
            tools: changed(&mut told.tools, slow.tools).flatten(),
            callers: changed(&mut told.callers, slow.callers).flatten(),
        };
        admin.feed.tell("tick", &tick);
    }

    /// Finds out what takes time, without waiting for it.
    fn look_closer(&self) {
        let admin = Arc::clone(&self.admin);
        tasks::detach("who is blocked", bounded::LIMIT, async move { views::look_closer(&admin).await });
    }
}

/// The new state, where it is another than was told; it is told now.
fn changed<T: PartialEq + Clone>(told: &mut T, now: T) -> Option<T> {
    (*told != now).then(|| {
        told.clone_from(&now);
        now
    })
}

impl Told {
    /// All pools where there are others, or others in them; else the backends that are doing otherwise than was told.
    fn backends(&mut self, pools: Vec<PoolView>) -> (Option<Vec<PoolView>>, BTreeMap<String, Doing>) {
        let ids = |pool: &PoolView| pool.backends.iter().map(|backend| backend.id.clone()).collect();
        let shape: Vec<_> = pools.iter().map(|pool| (pool.name.clone(), ids(pool))).collect();
        let all = pools.iter().flat_map(|pool| &pool.backends);
        let now: BTreeMap<_, _> = all.map(|backend| (backend.id.clone(), Doing::from(backend))).collect();
        let before = std::mem::replace(&mut self.backends, now.clone());
        if changed(&mut self.shape, shape).is_some() {
            return (Some(pools), BTreeMap::new());
        }
        (None, now.into_iter().filter(|(id, doing)| before.get(id) != Some(doing)).collect())
    }
}
