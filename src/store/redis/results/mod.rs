//! Results in the same Redis or Valkey, over the same connections. A result and the right to make its call share a hash slot,
//! so that one script looks for the one and asks for the other. What was forgotten lies in a place of its own, numbered by
//! the server. Decides nothing about what may be shown, nor about what applies while the servers are away.

mod form;

use std::sync::Arc;

use redis::Value;

use super::Redis;
use super::fields;
use super::keyspace::{Names, Place};
use super::news::{Channel, Inbox, Listener};
use super::routes::Line;
use super::script::{self, Ask};
use super::trouble::Trouble;
use crate::store::results::shared::{Asking, Distant, Found, LEASE, News, Order, Orders, Told, VOID, Work};
use crate::store::results::{Entry, Key, RightId, Tag};
use crate::store::{Answer, BoxFuture};
use crate::tasks::{self, Task};

/// How many tags are remembered with the order to forget them. What is older is forgotten altogether.
const REMEMBERED: usize = 16_384;

/// Results in a shared Redis or Valkey.
#[derive(Debug)]
pub struct RedisResults {
    line: Arc<Line>,
    names: Names,
    channel: String,
    inbox: Inbox<News>,
    /// Results of so many bytes are compressed.
    compress: usize,
    _listener: Task,
}

impl Redis {
    /// Results in the same place, over the same connections and one more to listen. Those of `compress` bytes at least are
    /// compressed. Within a runtime, on which their one task lives.
    #[must_use]
    pub fn results(&self, compress: usize) -> RedisResults {
        let (line, names) = (Arc::clone(&self.line), self.names.clone());
        let (inbox, sender) = Inbox::new();
        let name = names.results_channel();
        let channel = Channel { name: name.clone(), read: Box::new(form::read_news), opening: |_| Some(News::Gap) };
        let listener = Listener {
            dialer: Arc::clone(&self.dialer),
            routes: line.watch(),
            channel,
            inbox: sender,
            lost: Arc::clone(&self.lost),
        };
        let listener = tasks::spawn("redis results listener", listener.run());
        RedisResults { line, names, channel: name, inbox, compress, _listener: listener }
    }
}

impl RedisResults {
    fn claiming(&self, key: &Key, asking: Asking) -> Ask {
        let keys = vec![self.names.result(key), self.names.right(key)];
        let ask = Ask::script(Place::of_result(key), &script::RESULT_CLAIM, keys);
        let ask = ask.arg(asking.now).arg(write_right(asking.right)).arg(millis(asking.lasts));
        match asking.unwanted {
            Some(order) => ask.arg(order.number()),
            None => ask.arg(-1),
        }
    }

    /// What is to be asked for; nothing where a result's time is over already.
    fn working(&self, key: &Key, work: &Work, now: u64) -> Option<Ask> {
        match work {
            Work::Keep(entry, right) => match (form::left(entry, now), right) {
                (Some(left), right) => {
                    let keys = vec![self.names.result(key), self.names.right(key)];
                    let ask = Ask::script(Place::of_result(key), &script::RESULT_KEEP, keys);
                    let ask = ask.arg(form::write(entry, self.compress)).arg(left);
                    Some(self.telling(ask.arg(right.map(write_right).unwrap_or_default()), key))
                }
                (None, Some(right)) => Some(self.ending(key, *right, "")),
                (None, None) => None,
            },
            Work::Release(right) => Some(self.ending(key, *right, "")),
            Work::Void(right) => Some(self.ending(key, *right, "void")),
            Work::Renew(right) => {
                let ask = self.right_script(key, &script::RESULT_RENEW, *right);
                Some(ask.arg(millis(LEASE)))
            }
        }
    }

    fn ending(&self, key: &Key, right: RightId, mark: &str) -> Ask {
        let ask = self.right_script(key, &script::RESULT_END, right);
        self.telling(ask.arg(mark).arg(millis(VOID)), key)
    }

    fn right_script(&self, key: &Key, script: &'static script::Script, right: RightId) -> Ask {
        Ask::script(Place::of_result(key), script, vec![self.names.right(key)]).arg(write_right(right))
    }

    fn telling(&self, ask: Ask, key: &Key) -> Ask {
        ask.arg(&self.channel).arg(form::changed(key))
    }

    async fn enter(&self, tags: Option<&[Tag]>, known: Order) -> Result<Told, Trouble> {
        let ask = Ask::script(Place::FORGOTTEN, &script::RESULT_FORGET, self.names.forgotten().into());
        let ask = ask.arg(known.number()).arg(if tags.is_none() { "1" } else { "" }).arg(REMEMBERED).arg(&self.channel);
        let ask = tags.unwrap_or_default().iter().fold(ask, |ask, tag| ask.arg(form::write_tag(*tag)));
        let answer = fields::list(self.line.ask(&ask).await?)?;
        let [before, order, floor] = answer.as_slice() else { return Err(Trouble::Odd("not an order")) };
        Ok(Told { before: read_order(before)?, order: read_order(order)?, floor: read_order(floor)? })
    }

    async fn all_since(&self, since: Order) -> Result<Orders, Trouble> {
        let ask = Ask::script(Place::FORGOTTEN, &script::RESULT_ORDERS, self.names.forgotten().into());
        let answer = fields::list(self.line.ask(&ask.arg(since.number())).await?)?;
        let Ok([last, floor, tags]) = <[Value; 3]>::try_from(answer) else { return Err(Trouble::Odd("not orders")) };
        let mut flat = fields::list(tags)?.into_iter();
        let mut tags = Vec::with_capacity(flat.len() / 2);
        while let (Some(tag), Some(order)) = (flat.next(), flat.next()) {
            let tag = form::read_tag(&fields::text(tag)?).ok_or(Trouble::Odd("not a tag"))?;
            let order = fields::text(order)?.parse().ok().and_then(Order::new).ok_or(Trouble::Odd("not an order"))?;
            tags.push((tag, order));
        }
        Ok(Orders { last: read_order(&last)?, floor: read_order(&floor)?, tags })
    }
}

impl Distant for RedisResults {
    fn look<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let mut get = redis::cmd("GET");
            get.arg(self.names.result(key));
            match self.line.ask(&Ask::plain(Place::of_result(key), get)).await {
                Ok(Value::BulkString(value)) => Ok(form::read(value)),
                Ok(_) | Err(Trouble::OtherType) => Ok(None),
                Err(trouble) => Err(trouble.into_store_error()),
            }
        })
    }

    fn claim<'a>(&'a self, key: &'a Key, asking: Asking) -> Answer<'a, Found> {
        Box::pin(async move {
            match self.line.ask(&self.claiming(key, asking)).await {
                Ok(answer) => read_found(answer).map_err(Trouble::into_store_error),
                // Somebody else's key, or one that is just being handed to another server.
                Err(Trouble::OtherType | Trouble::Split) => Ok(Found::Unsaid),
                Err(trouble) => Err(trouble.into_store_error()),
            }
        })
    }

    fn work<'a>(&'a self, works: &'a [(Key, Work)], now: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let asks: Vec<Ask> = works.iter().filter_map(|(key, work)| self.working(key, work, now)).collect();
            let answers = self.line.ask_all(&asks).await.into_iter();
            let failed = answers.filter_map(Result::err).find(|trouble| !matches!(trouble, Trouble::Split));
            failed.map_or(Ok(()), |trouble| Err(trouble.into_store_error()))
        })
    }

    fn forget<'a>(&'a self, tags: Option<&'a [Tag]>, known: Order) -> Answer<'a, Told> {
        Box::pin(async move { self.enter(tags, known).await.map_err(Trouble::into_store_error) })
    }

    fn orders(&self, since: Order) -> Answer<'_, Orders> {
        Box::pin(async move { self.all_since(since).await.map_err(Trouble::into_store_error) })
    }

    fn hear(&self) -> BoxFuture<'_, News> {
        Box::pin(self.inbox.next())
    }
}

/// What a script says: a word, and a result if there is one.
fn read_found(answer: Value) -> Result<Found, Trouble> {
    let mut parts = fields::list(answer)?.into_iter();
    let word = fields::text(parts.next().ok_or(Trouble::Odd("no verdict"))?)?;
    let entry = match parts.next() {
        Some(Value::BulkString(value)) => form::read(value),
        _ => None,
    };
    Ok(match (word.as_str(), entry) {
        ("here", Some(entry)) => Found::Here(entry),
        ("yours", entry) => Found::Yours(entry),
        ("theirs", entry) => Found::Theirs(entry),
        ("void", _) => Found::Void,
        // It looked fresh to the script, and cannot be read.
        _ => Found::Unsaid,
    })
}

fn read_order(value: &Value) -> Result<Order, Trouble> {
    let number = u64::try_from(fields::integer(value)?).ok().and_then(Order::new);
    number.ok_or(Trouble::Odd("not an order"))
}

fn write_right(right: RightId) -> String {
    format!("{:016x}", right.0)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
