//! Sessions: how many there are, how they begin and end, and how they move.

use super::Survey;
use crate::observe::metrics::{Kind, Metric, OTHER, Page, REQUESTS};

pub(super) const METRICS: &[&Metric] = &[&KNOWN, &OPENED, &ENDED, &REHOMES, &REHOME_DURATION];

const KNOWN: Metric = Metric {
    name: "moorline_sessions",
    kind: Kind::Gauge,
    labels: &[],
    help: "Sessions of the legacy era that this instance knows; of those that share a store each counts its own, and one session may be known to several",
    advice: "Near `session.max` new ones are refused. Sessions whose clients went without a goodbye end after `session.idle`. Where they lie: \
             moorline_backend_sessions.",
};

const OPENED: Metric = Metric {
    name: "moorline_sessions_opened_total",
    kind: Kind::Counter,
    labels: &["pool"],
    help: "Sessions that were opened through this instance",
    advice: "About one for each request: clients open a session for each call, which costs them and the servers an `initialize` each time.",
};

const ENDED: Metric = Metric {
    name: "moorline_sessions_ended_total",
    kind: Kind::Counter,
    labels: &["pool", "reason"],
    help: "Sessions that this instance knew and that have ended, by reason",
    advice: "`deleted`: their clients said goodbye. `expired`: nobody used them for `session.idle`, or they were older than \
             `session.lifetime`. `elsewhere`: another instance ended them. `ordered`: an operator did. `lost`: their server forgot them, or is \
             gone, and no other could take them: their clients had to start over; look at moorline_rehomes_total.",
};

const REHOMES: Metric = Metric {
    name: "moorline_rehomes_total",
    kind: Kind::Counter,
    labels: &["pool", "cause", "result"],
    help: "Moves of sessions that this instance made, by cause and result",
    advice: "The cause is `lost` (its backend is gone), `forgotten` (its backend has restarted), `parting` (its backend drains, or another \
             has room) or `ordered` (by an operator). Results: `moved`; `stayed` (nobody could take it, or the store did not answer: its requests are refused until \
             somebody can); `refused` (a server did not take the credentials); `lost` (the session has ended).",
};

const REHOME_DURATION: Metric = Metric {
    name: "moorline_rehome_duration_seconds",
    kind: REQUESTS,
    labels: &["pool"],
    help: "How long it took to rebuild a session at another backend: that long its client's request paused",
    advice: "Mostly the servers' own time for `initialize` and what is replayed after it.",
};

pub(super) fn collect(survey: &Survey, page: &mut Page) {
    page.count(&KNOWN, survey.sessions.count() as u64);
    let pool = |id: Option<crate::names::PoolId>| id.map_or_else(|| OTHER.into(), |id| survey.pool(id));
    let counts = survey.sessions.counts();
    for (id, count) in counts.opened.all() {
        page.family(&OPENED).count(&[&pool(id.copied())], count.get());
    }
    for (key, count) in counts.ended.all() {
        let (id, why) = key.copied().unzip();
        page.family(&ENDED).count(&[&pool(id), why.map_or(OTHER, crate::session::Ending::name)], count.get());
    }
    for (key, count) in survey.rehomes.moves.all() {
        let (id, why, fate) = key.map_or((None, OTHER, OTHER), |(id, why, fate)| (Some(*id), why.name(), fate.name()));
        page.family(&REHOMES).count(&[&pool(id), why, fate], count.get());
    }
    for (id, took) in survey.rehomes.took.all() {
        page.family(&REHOME_DURATION).histogram(&[&pool(id.copied())], &took.snapshot());
    }
}
