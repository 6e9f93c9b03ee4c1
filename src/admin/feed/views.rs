//! What the feed says, as JSON: the same words as the rest of the admin API uses for the same things.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::history::{Look, Sample, Waited};
use super::others::Others;
use crate::admin::Admin;
use crate::admin::backends::{self, BackendView, OrderView, PoolView};
use crate::admin::instance::{self, Instance};
use crate::limit::LimitView;
use crate::log::Event;
use crate::observe::tally::{Busiest, Who};
use crate::observe::top::Share;

/// Spenders of each limit that are looked at for whether they are blocked.
const SPENDERS: usize = 10;

/// Lines of the log that whoever comes is told.
const MOST_LINES: usize = 200;

/// Blocked accounts that are named.
const MOST_BLOCKED: usize = 50;

/// Tools and callers that are named.
const BUSIEST: usize = 50;

/// All there is.
#[derive(Serialize)]
pub struct Snapshot<'a> {
    at: u64,
    instance: Instance<'a>,
    store: StoreView,
    pools: Vec<PoolView>,
    cache: CacheView,
    samples: Vec<Sample>,
    #[serde(flatten)]
    others: Others,
    events: Vec<Arc<Event>>,
    #[serde(flatten)]
    slow: Slow,
}

/// How one backend is doing: what changes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Doing {
    state: &'static str,
    draining: bool,
    sessions: u32,
    in_flight: u32,
    latency_ms: f64,
    weight: u32,
    order: Option<OrderView>,
}

/// The store, as far as is known without asking it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreView {
    kind: &'static str,
    shared: bool,
    away: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    away_since: Option<u64>,
}

/// What the cache holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheView {
    entries: usize,
    bytes: u64,
    most: u64,
    under_way: usize,
    waiting: usize,
}

/// What takes time to find out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Slow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callers: Option<Callers>,
}

/// The limits, and who is blocked by one of those who spend most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitsView {
    names: Vec<Box<str>>,
    /// Requests that wait for their turn now.
    waiting: i64,
    /// Unknown while the counters cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<Vec<Blocked>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Blocked {
    name: Box<str>,
    subject: Box<str>,
    blocked_ms: u64,
}

/// The busiest tools.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tools {
    since_ms: u64,
    tools: Vec<Load>,
}

/// The busiest callers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Callers {
    since_ms: u64,
    callers: Vec<Load>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Load {
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    name: Box<str>,
    calls: u64,
    errors: u64,
    refused: u64,
    own_ms: f64,
    backend_ms: f64,
}

/// All there is, now.
pub fn snapshot(admin: &Admin) -> Snapshot<'_> {
    Snapshot {
        at: admin.clock.unix_millis(),
        instance: instance::instance(admin),
        store: store(admin),
        pools: pools(admin),
        cache: cache(admin),
        samples: admin.feed.history().all(),
        others: Others::all(admin),
        events: admin.log.events().after(0, MOST_LINES),
        slow: admin.feed.slow().clone(),
    }
}

/// All pools with their backends.
pub fn pools(admin: &Admin) -> Vec<PoolView> {
    let orders = admin.instances.orders();
    admin.fleet.pools().iter().map(|pool| backends::pool_view(admin, pool, &orders)).collect()
}

impl From<&BackendView> for Doing {
    fn from(view: &BackendView) -> Self {
        Self {
            state: view.state,
            draining: view.draining,
            sessions: view.sessions,
            in_flight: view.in_flight,
            latency_ms: view.latency_ms,
            weight: view.weight,
            order: view.order.clone(),
        }
    }
}

/// The store.
pub fn store(admin: &Admin) -> StoreView {
    let since = admin.feed.away_since.load(Ordering::Relaxed);
    let away = admin.sessions.store_is_away();
    StoreView {
        kind: admin.instances.identity().store,
        shared: admin.sessions.are_shared(),
        away,
        away_since: (away && since > 0).then_some(since),
    }
}

/// The cache.
pub fn cache(admin: &Admin) -> CacheView {
    let usage = admin.cache.usage();
    let (under_way, waiting) = admin.cache.under_way();
    CacheView { entries: usage.entries, bytes: usage.bytes, most: usage.most, under_way, waiting }
}

/// What was counted so far.
pub fn look(admin: &Admin, moved: u64) -> Look {
    let now = admin.clock.now();
    let pools = admin.fleet.pools();
    let in_flight = pools.iter().flat_map(|pool| pool.backends().to_vec()).map(|backend| backend.load(now).in_flight);
    Look {
        at: admin.clock.unix_millis(),
        totals: admin.tallies.totals(),
        refusals: admin.survey.observe.metrics().refusals.all().collect::<BTreeMap<_, _>>(),
        waited: waited(admin),
        store: admin.survey.stores.took(),
        moved,
        sessions: admin.sessions.count(),
        in_flight: in_flight.sum(),
    }
}

/// How often and how long requests have waited for their turn.
fn waited(admin: &Admin) -> Waited {
    let mut waited = Waited::default();
    for (_, _, counts) in admin.limit.counts() {
        let took = counts.waits.took.snapshot();
        waited.requests += took.count();
        waited.took += Duration::try_from_secs_f64(took.sum).unwrap_or_default();
    }
    waited
}

/// Of the limits, what viewers are told without asking.
fn limits(admin: &Admin, views: Option<&[LimitView]>) -> LimitsView {
    let counts = admin.limit.counts();
    LimitsView {
        waiting: counts.iter().map(|(_, _, counts)| counts.waits.now.get()).sum(),
        blocked: views.map(blocked),
        names: counts.into_iter().map(|(name, ..)| name).collect(),
    }
}

fn blocked(views: &[LimitView]) -> Vec<Blocked> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let blocked = views.iter().flat_map(|view| {
        view.top.iter().filter_map(|spender| {
            let longest = spender.accounts.iter().filter_map(|account| account.blocked).max()?;
            Some(Blocked { name: view.name.clone(), subject: spender.subject.clone(), blocked_ms: millis(longest) })
        })
    });
    blocked.take(MOST_BLOCKED).collect()
}

/// Finds out what takes time, and keeps it for whoever comes.
pub async fn look_closer(admin: &Admin) {
    let (tools, callers) = busiest(admin, admin.tallies.busiest(BUSIEST, admin.clock.now()));
    {
        let mut slow = admin.feed.slow();
        (slow.tools, slow.callers) = (Some(tools), Some(callers));
    }
    // Counters that are away would be waited for in vain.
    let views = if admin.sessions.store_is_away() { None } else { admin.limit.overview(SPENDERS).await.ok() };
    admin.feed.slow().limits = Some(limits(admin, views.as_deref()));
}

/// The busiest tools and callers.
fn busiest(admin: &Admin, busiest: Busiest) -> (Tools, Callers) {
    let pools = admin.fleet.pools();
    let pool = |id| pools.iter().find(|pool| pool.id == id).map(|pool| pool.settings().name.clone());
    let since_ms = u64::try_from(busiest.since.as_millis()).unwrap_or(u64::MAX);
    let tools = busiest.tools.into_iter().map(|(id, name, share)| load(pool(id), name, &share)).collect();
    let callers = busiest.callers.into_iter().map(|(_, name, share): (Who, _, _)| load(None, name, &share)).collect();
    (Tools { since_ms, tools }, Callers { since_ms, callers })
}

fn load(pool: Option<String>, name: Box<str>, share: &Share) -> Load {
    #[expect(clippy::cast_precision_loss, reason = "a time in milliseconds needs no more than 52 bits")]
    let millis = |micros: u64| micros as f64 / 1000.0;
    Load {
        pool,
        name,
        calls: share.calls,
        errors: share.errors,
        refused: share.refused,
        own_ms: millis(share.own_us),
        backend_ms: millis(share.backend_us),
    }
}
