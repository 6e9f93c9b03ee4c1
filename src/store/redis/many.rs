//! What reaches over many sessions: batches of them, one after the other, each answered within the store's timeout. Stops
//! at the first that is not answered. Atomic for each session, not as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::Value;

use super::keyspace::{BUCKETS, Place};
use super::script::{self, Ask};
use super::trouble::Trouble;
use super::{GRACE, Redis, fields};
use crate::names::SessionId;
use crate::store::{Lookup, Notice, Record, Seen, StoreError, Sweep};

/// Sessions that one script touches.
const TOUCHED: usize = 32;
/// Scripts that are sent at once: few enough that nobody else waits for the server noticeably.
const SENT: usize = 16;
/// Sessions that are ended, or looked up, at once: their records come back.
const RECORDS: usize = 32;
/// The most sessions of one bucket that one sweep takes up.
const PER_BUCKET: usize = 64;

impl Redis {
    pub(super) async fn touch_all(&self, seen: &[Seen]) -> Result<Vec<(SessionId, Lookup)>, StoreError> {
        let mut buckets: BTreeMap<usize, Vec<&Seen>> = BTreeMap::new();
        for seen in seen {
            buckets.entry(Place::of(seen.id).index()).or_default().push(seen);
        }
        let groups: Vec<&[&Seen]> = buckets.values().flat_map(|bucket| bucket.chunks(TOUCHED)).collect();
        let (mut moved, mut news) = (Vec::new(), Vec::new());
        for groups in groups.chunks(SENT) {
            let asks: Vec<Ask> = groups.iter().map(|group| self.touch_script(group)).collect();
            for (group, answer) in groups.iter().zip(self.line.ask_all(&asks).await) {
                let told = match answer {
                    Err(Trouble::Split) => self.touch_each(group).await?,
                    answer => told(group, answer)?,
                };
                for (id, what) in told {
                    match what {
                        Told::Moved => moved.push(id),
                        Told::Ended => news.push((id, Lookup::Ended)),
                        Told::Unknown => news.push((id, Lookup::Unknown)),
                    }
                }
            }
        }
        for ids in moved.chunks(RECORDS) {
            news.extend(self.load_all(ids).await?);
        }
        Ok(news)
    }

    pub(super) async fn sweep(&self, sweep: Sweep) -> Result<Vec<(SessionId, Arc<Record>)>, StoreError> {
        let cutoff = sweep.now.checked_sub(sweep.idle.as_secs());
        let (idle, graves) = self.due(&sweep, cutoff).await?;
        let mut ended = Vec::new();
        for ids in idle.chunks(RECORDS) {
            let answers = self.on_sessions(ids, |id| self.expire_script(*id, cutoff.unwrap_or(0), &sweep)).await;
            let unanswered = answers.iter().any(Result::is_err);
            let records = ids.iter().zip(answers).filter_map(|(id, answer)| Some((*id, answer.ok()?)));
            for (id, value) in records {
                ended.extend(fields::read_record(value).ok().flatten().map(|record| (id, record)));
            }
            if unanswered {
                // What was ended is told all the same: nobody else learns of it.
                return Ok(ended);
            }
        }
        for ids in graves.chunks(RECORDS) {
            if self.on_sessions(ids, |id| self.forget_script(*id, sweep.now)).await.iter().any(Result::is_err) {
                break;
            }
        }
        Ok(ended)
    }

    pub(super) async fn count_all(&self) -> Result<usize, StoreError> {
        let count = |place| Ask::plain(place, redis::cmd("ZCARD").arg(self.names.seen(place)).clone());
        let asks: Vec<Ask> = Place::buckets_from(0).map(count).collect();
        let mut sum = 0;
        for answer in self.line.ask_all(&asks).await {
            let count = answer.and_then(|value| fields::integer(&value)).map_err(Trouble::into_store_error)?;
            sum += usize::try_from(count).unwrap_or(0);
        }
        Ok(sum)
    }

    /// The sessions that seem to be idle, and the tombstones whose time seems to be past.
    async fn due(&self, sweep: &Sweep, cutoff: Option<u64>) -> Result<(Vec<SessionId>, Vec<SessionId>), StoreError> {
        // Another bucket comes first each time, so that all get their turn where there is more to do than may be done.
        let first = u16::try_from(self.chance.below(usize::from(BUCKETS))).unwrap_or(0);
        let range = |place, key: String, until: u64| {
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(key).arg("-inf").arg(until).arg("LIMIT").arg(0).arg(PER_BUCKET.min(sweep.limit));
            Ask::plain(place, command)
        };
        let graves = Place::buckets_from(first).map(|place| range(place, self.names.graves(place), sweep.now));
        let mut asks: Vec<Ask> = graves.collect();
        let idle = cutoff.map(|cutoff| Place::buckets_from(first).map(move |place| (place, cutoff)));
        asks.extend(idle.into_iter().flatten().map(|(place, cutoff)| range(place, self.names.seen(place), cutoff)));
        let mut found = Vec::with_capacity(asks.len());
        for answer in self.line.ask_all(&asks).await {
            found.push(answer.and_then(ids).map_err(Trouble::into_store_error)?);
        }
        let idle = found.split_off(usize::from(BUCKETS)).into_iter().flatten().take(sweep.limit).collect();
        Ok((idle, found.into_iter().flatten().collect()))
    }

    /// Asks for one thing on each of several sessions.
    async fn on_sessions(&self, ids: &[SessionId], ask: impl Fn(&SessionId) -> Ask) -> Vec<Result<Value, StoreError>> {
        let asks: Vec<Ask> = ids.iter().map(ask).collect();
        let mut answers = Vec::with_capacity(ids.len());
        for ((id, ask), answer) in ids.iter().zip(&asks).zip(self.line.ask_all(&asks).await) {
            answers.push(match answer {
                Err(Trouble::Split) => self.on_session(*id, ask.clone()).await,
                answer => answer.map_err(Trouble::into_store_error),
            });
        }
        answers
    }

    async fn load_all(&self, ids: &[SessionId]) -> Result<Vec<(SessionId, Lookup)>, StoreError> {
        let load =
            |id: &SessionId| Ask::plain(Place::of(*id), redis::cmd("HGETALL").arg(self.names.session(*id)).clone());
        let asks: Vec<Ask> = ids.iter().map(load).collect();
        let answers = ids.iter().zip(self.line.ask_all(&asks).await);
        let read = answers.map(|(id, answer)| Ok((*id, answer.and_then(fields::read)?)));
        read.collect::<Result<_, Trouble>>().map_err(Trouble::into_store_error)
    }

    /// Touches sessions of a slot that is being moved, one by one.
    async fn touch_each(&self, group: &[&Seen]) -> Result<Vec<(SessionId, Told)>, StoreError> {
        let mut all = Vec::new();
        for seen in group {
            let answer = self.line.ask(&self.touch_one_script(seen)).await;
            self.index(seen.id).await;
            all.extend(told(&[seen], answer)?);
        }
        Ok(all)
    }

    fn touch_script(&self, group: &[&Seen]) -> Ask {
        let place = group.first().map_or(Place::RING, |seen| Place::of(seen.id));
        let mut keys: Vec<String> = group.iter().map(|seen| self.names.session(seen.id)).collect();
        keys.push(self.names.seen(place));
        self.touching(Ask::script(place, &script::TOUCH, keys), group)
    }

    fn touch_one_script(&self, seen: &Seen) -> Ask {
        self.touching(self.hash_script(seen.id, &script::TOUCH), &[seen])
    }

    fn touching(&self, script: Ask, group: &[&Seen]) -> Ask {
        let script = script.arg(group.len().to_string()).arg(&*self.ttl);
        group.iter().fold(script, |script, seen| {
            script.arg(seen.id.to_string()).arg(seen.at.to_string()).arg(seen.epoch.0.to_string())
        })
    }

    fn expire_script(&self, id: SessionId, cutoff: u64, sweep: &Sweep) -> Ask {
        let script = self.ending_script(id, &script::EXPIRE).arg(cutoff.to_string());
        let script = script.arg(sweep.lifetime.as_secs().to_string()).arg(GRACE.as_millis().to_string());
        self.telling(script, &Notice::Ended(id))
    }

    fn forget_script(&self, id: SessionId, now: u64) -> Ask {
        let place = Place::of(id);
        let keys = vec![self.names.session(id), self.names.graves(place)];
        Ask::script(place, &script::FORGET, keys).arg(id.to_string()).arg(now.to_string())
    }
}

/// How a session is not as its caller believes.
#[derive(Clone, Copy, Debug)]
enum Told {
    Moved,
    Ended,
    Unknown,
}

/// What a batch of touches says of its sessions.
fn told(group: &[&Seen], answer: Result<Value, Trouble>) -> Result<Vec<(SessionId, Told)>, StoreError> {
    let read = |value: Value| {
        let mut parts = fields::list(value)?.into_iter();
        let mut told = Vec::new();
        while let (Some(which), Some(what)) = (parts.next(), parts.next()) {
            let which =
                usize::try_from(fields::integer(&which)?).ok().and_then(|which| group.get(which.checked_sub(1)?));
            let id = which.ok_or(Trouble::Odd("touch"))?.id;
            told.push((
                id,
                match fields::text(what)?.as_str() {
                    "moved" => Told::Moved,
                    "ended" => Told::Ended,
                    _ => Told::Unknown,
                },
            ));
        }
        Ok(told)
    };
    answer.and_then(read).map_err(Trouble::into_store_error)
}

fn ids(value: Value) -> Result<Vec<SessionId>, Trouble> {
    let id = |text: String| u128::from_str_radix(&text, 16).map(SessionId).map_err(|_| Trouble::Odd("session id"));
    fields::list(value)?.into_iter().map(|value| id(fields::text(value)?)).collect()
}
