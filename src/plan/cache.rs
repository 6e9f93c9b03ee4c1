//! What the cache would spare, for one time to live or another.
//!
//! One question that is asked at random λ times a second, and whose answer is kept for T, is fetched once and then answered λT times on average until
//! the answer has gone: of 1 + λT askers one has to wait for a server. So the hits are λT / (1 + λT) (J. Jung, A. W. Berger and H. Balakrishnan,
//! *Modeling TTL-based Internet Caches*, INFOCOM 2003). Questions are taken to be asked equally often; where some are asked more often than
//! others there are more hits, so this is the least.

use super::costs;
use super::servers;
use super::step::{Quantity, Steps};
use super::target::{Scope, Target};
use super::words::{number, real, seconds, share};

/// Times to live that are laid side by side, in seconds.
const LADDER: [f64; 5] = [10.0, 60.0, 300.0, 900.0, 3600.0];

/// What a cache would do.
#[derive(Clone, Debug, PartialEq)]
pub struct CachePlan {
    /// The time to live that was asked for, in seconds.
    pub ttl: f64,
    /// From which time to live on four of five that repeat a question have an answer.
    pub ttl_for_most: f64,
    /// Times to live side by side; the one that was asked for is among them.
    pub rows: Vec<Row>,
}

/// One time to live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// In seconds.
    pub ttl: f64,
    /// Which part of those who repeat a question has an answer.
    pub hits: f64,
    /// Which part of all calls no server sees.
    pub spared: f64,
    /// Servers that carry the rest.
    pub servers: u32,
    /// What results take, in bytes.
    pub memory: f64,
}

/// Hits of one question that is asked at a rate (a second).
#[must_use]
pub fn hits(rate: f64, ttl: f64) -> f64 {
    let asked = rate * ttl;
    asked / (1.0 + asked)
}

/// At which rate one question is asked.
#[must_use]
pub fn rate_of_a_question(target: &Target) -> f64 {
    let questions = real(target.cache.questions.max(1)) * askers(target);
    target.rate() * target.cache.cacheable * target.cache.repeat / questions
}

/// How many have answers of their own.
fn askers(target: &Target) -> f64 {
    match target.cache.scope {
        Scope::Caller => real(target.users),
        Scope::Public => 1.0,
    }
}

/// Results that are kept: each question once, and whatever is asked but once, for as long as it may be shown.
#[must_use]
pub fn kept(target: &Target, ttl: f64) -> f64 {
    let kept_for = ttl + costs::STALE.get();
    let reads = target.rate() * target.cache.cacheable;
    let questions = real(target.cache.questions.max(1)) * askers(target);
    let repeated = questions.min(reads * target.cache.repeat * kept_for);
    repeated + reads * (1.0 - target.cache.repeat) * kept_for
}

/// What they take.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the size of an answer")]
pub fn memory(target: &Target, ttl: f64) -> f64 {
    kept(target, ttl) * (costs::RESULT_STORED.get() + target.answer_bytes as f64)
}

fn row(target: &Target, ttl: f64) -> Row {
    let hits = hits(rate_of_a_question(target), ttl);
    let spared = target.cache.cacheable * target.cache.repeat * hits;
    Row {
        ttl,
        hits,
        spared,
        servers: servers::carrying(target, target.rate() * (1.0 - spared)),
        memory: memory(target, ttl),
    }
}

/// What a cache would do for a target; none where nothing may be kept.
pub fn planned(target: &Target, steps: &mut Steps) -> Option<CachePlan> {
    let cache = target.cache;
    if cache.cacheable <= 0.0 {
        return None;
    }
    let ttl = cache.ttl.as_secs_f64();
    let rate = rate_of_a_question(target);
    let chosen = row(target, ttl);
    steps.add(
        "question-rate",
        "how often one question is asked",
        format!(
            "{}/s × {} × {} / ({} questions × {} askers)",
            number(target.rate()),
            share(cache.cacheable),
            share(cache.repeat),
            number(real(cache.questions)),
            number(askers(target))
        ),
        Quantity::per_second(rate),
    );
    let asked = number(rate * ttl);
    steps.add(
        "cache-hits",
        "hits of those who repeat one",
        format!("{asked} / (1 + {asked}), with a TTL of {}", seconds(ttl)),
        Quantity::share(chosen.hits),
    );
    steps.add(
        "cache-spared",
        "calls that no server sees",
        format!("{} × {} × {}", share(cache.cacheable), share(cache.repeat), share(chosen.hits)),
        Quantity::share(chosen.spared),
    );
    let mut rows: Vec<Row> = LADDER.iter().map(|ttl| row(target, *ttl)).collect();
    if rows.iter().all(|other| (other.ttl - ttl).abs() > f64::EPSILON) {
        rows.push(chosen);
        rows.sort_by(|a, b| a.ttl.total_cmp(&b.ttl));
    }
    // λT / (1 + λT) = 4/5 where λT = 4.
    let ttl_for_most = if rate > 0.0 { 4.0 / rate } else { f64::INFINITY };
    Some(CachePlan { ttl, ttl_for_most, rows })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::{CacheTarget, tests::company};
    use super::*;

    #[test]
    fn a_simulated_cache_hits_as_often() {
        // A model that knows nothing of the formula: moments at random, and one answer with its end.
        let chance = crate::clock::Chance::seeded(3);
        for (rate, ttl) in [(0.1, 5.0), (1.0, 1.0), (2.0, 7.0)] {
            let (mut now, mut good_until, mut found) = (0.0, 0.0, 0_u32);
            let asked = 100_000;
            for _ in 0..asked {
                #[expect(clippy::cast_precision_loss, reason = "53 bits")]
                let part = (chance.next() >> 11) as f64 / (1_u64 << 53) as f64;
                now += -(1.0 - part).ln() / rate;
                if now < good_until { found += 1 } else { good_until = now + ttl }
            }
            let share = f64::from(found) / f64::from(asked);
            assert!((share - hits(rate, ttl)).abs() < 0.01, "{rate} {ttl}: {share}");
        }
    }

    #[test]
    fn callers_share_only_what_is_public() {
        let own = rate_of_a_question(&company());
        let public = Target { cache: CacheTarget { scope: Scope::Public, ..company().cache }, ..company() };
        assert!((rate_of_a_question(&public) / own - 900.0).abs() < 1e-9);
        assert!(kept(&public, 60.0) < kept(&company(), 60.0) + 1e-9);
    }

    proptest! {
        #[test]
        fn a_longer_time_spares_no_less_and_takes_no_less(ttl in 1.0..10_000.0_f64, more in 1.0..5.0_f64, questions in 1..10_000_u32) {
            let target = Target { cache: CacheTarget { questions, ..company().cache }, ..company() };
            let (short, long) = (row(&target, ttl), row(&target, ttl * more));
            prop_assert!(long.hits >= short.hits && long.spared >= short.spared && long.memory >= short.memory);
            prop_assert!(long.servers <= short.servers);
            prop_assert!(long.spared <= target.cache.cacheable * target.cache.repeat);
        }

        #[test]
        fn uneven_questions_hit_no_less(rates in prop::collection::vec(0.001..5.0_f64, 1..50), ttl in 0.1..100.0_f64) {
            let all: f64 = rates.iter().sum();
            let uneven = rates.iter().map(|rate| rate * hits(*rate, ttl)).sum::<f64>() / all;
            #[expect(clippy::cast_precision_loss, reason = "at most 50")]
            let even = hits(all / rates.len() as f64, ttl);
            prop_assert!(uneven >= even - 1e-12);
        }
    }
}
