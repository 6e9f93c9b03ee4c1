//! The roster in the same Redis or Valkey, over the same connections: a hash of cards and a hash of orders, each changed by
//! scripts, by the server's own clock. Both are asked for at once, and share a hash tag. Decides nothing about what applies
//! while the servers are away.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::Redis;
use super::fields;
use super::keyspace::{Names, Place};
use super::news;
use super::routes::Line;
use super::script::{self, Ask};
use super::trouble::Trouble;
use crate::names::{BackendId, InstanceId, PoolId};
use crate::store::roster::{
    MOST_INSTANCES, MOST_ORDERS, Matter, Muster, Order, Present, Report, Roster, Version, Wish,
};
use crate::store::{Answer, Notice, StoreError};

/// What a field of an order begins with. Fields of other kinds are a later version's.
const BACKEND: &str = "backend:";

/// The roster in a shared Redis or Valkey.
#[derive(Debug)]
pub struct RedisRoster {
    line: Arc<Line>,
    names: Names,
    own: InstanceId,
}

/// What an order says beside its matter, its wish and its time.
#[derive(Serialize, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    by: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    pool: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    backend: std::borrow::Cow<'a, str>,
}

impl Redis {
    /// The roster in the same place, over the same connections.
    #[must_use]
    pub fn roster(&self) -> RedisRoster {
        RedisRoster { line: Arc::clone(&self.line), names: self.names.clone(), own: self.own }
    }

    /// Who this instance is to the others.
    #[must_use]
    pub const fn instance(&self) -> InstanceId {
        self.own
    }
}

impl RedisRoster {
    async fn muster(&self, report: &Report<'_>) -> Result<Muster, Trouble> {
        let writing = Ask::script(Place::ROSTER, &script::ROSTER_REPORT, vec![self.names.cards()]);
        let writing = writing.arg(report.id.to_string()).arg(millis(report.lasts)).arg(report.card).arg(MOST_INSTANCES);
        let reading = Ask::script(Place::ROSTER, &script::ROSTER_ORDERS, vec![self.names.orders()]);
        let known = report.known.map(|version| version.0.to_string());
        let asked = [writing, reading.arg(known.unwrap_or_default())];
        let mut answers = self.line.ask_all(&asked).await.into_iter();
        let mut next = || answers.next().unwrap_or(Err(Trouble::Odd("an answer is missing")));
        let (at, present) = read_present(next()?)?;
        let (version, orders) = read_orders(next()?)?;
        Ok(Muster { at, present, version, orders })
    }

    /// Enters orders; when those that stand now count.
    async fn enter(&self, orders: &[(&Order, String)]) -> Result<Vec<i64>, StoreError> {
        let ask = Ask::script(Place::ROSTER, &script::ROSTER_ORDER, vec![self.names.orders()]);
        let ask = ask.arg(MOST_ORDERS).arg(self.names.channel()).arg(news::write(self.own, &Notice::Orders));
        let ask = orders.iter().fold(ask, |ask, (order, at)| ask.arg(field(order.matter)).arg(at).arg(write(order)));
        let answer = self.line.ask(&ask).await.and_then(fields::list);
        let times = answer.and_then(|times| times.iter().map(fields::integer).collect());
        times.map_err(Trouble::into_store_error)
    }
}

impl Roster for RedisRoster {
    fn report<'a>(&'a self, report: Report<'a>) -> Answer<'a, Muster> {
        Box::pin(async move {
            report.check()?;
            self.muster(&report).await.map_err(Trouble::into_store_error)
        })
    }

    fn order(&self, order: Order, _now: u64) -> Answer<'_, Order> {
        Box::pin(async move {
            order.check()?;
            let at = self.enter(&[(&order, format!("+{}", order.at))]).await?;
            match at.first().copied().map(u64::try_from) {
                Some(Ok(at)) => Ok(Order { at, ..order }),
                Some(Err(_)) => Err(StoreError::BoundExceeded { what: "orders that stand", limit: MOST_ORDERS }),
                None => Err(Trouble::Odd("not a time").into_store_error()),
            }
        })
    }

    fn remind<'a>(&'a self, orders: &'a [Order], _now: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            if orders.is_empty() {
                return Ok(());
            }
            let orders: Vec<_> = orders.iter().map(|order| (order, order.at.to_string())).collect();
            self.enter(&orders).await.map(drop)
        })
    }

    fn leave(&self, id: InstanceId) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut forget = redis::cmd("HDEL");
            forget.arg(self.names.cards()).arg(id.to_string());
            let done = self.line.ask(&Ask::plain(Place::ROSTER, forget)).await;
            done.map(drop).map_err(Trouble::into_store_error)
        })
    }
}

/// The field that an order on this matter stands in.
fn field(matter: Matter) -> String {
    format!("{BACKEND}{}:{}", matter.pool, matter.backend)
}

fn read_field(field: &str) -> Option<Matter> {
    let (pool, backend) = field.strip_prefix(BACKEND)?.split_once(':')?;
    let (pool, backend) = (u32::from_str_radix(pool, 16), u64::from_str_radix(backend, 16));
    Some(Matter { pool: PoolId(pool.ok()?), backend: BackendId(backend.ok()?) })
}

/// What an order says. The script puts its time before that.
fn write(order: &Order) -> String {
    let wish = match order.wish {
        Wish::Drain => "drain",
        Wish::Serve => "serve",
    };
    let Order { by, pool, backend, .. } = order;
    let said = Said { by: (&**by).into(), pool: (&**pool).into(), backend: (&**backend).into() };
    format!("{wish} {}", serde_json::to_string(&said).unwrap_or_default())
}

/// An order as it was written; `None` if a later version wrote it.
fn read(matter: Matter, text: &str) -> Option<Order> {
    let (at, said) = text.split_once(' ')?;
    let (wish, said) = said.split_once(' ')?;
    let wish = match wish {
        "drain" => Wish::Drain,
        "serve" => Wish::Serve,
        _ => return None,
    };
    let said: Said<'_> = serde_json::from_str(said).ok()?;
    Some(Order { at: at.parse().ok()?, ..Order::new(matter, wish, &said.by, (&said.pool, &said.backend)) })
}

/// What the script says who is there, by the server's clock.
fn read_present(answer: Value) -> Result<(u64, Vec<Present>), Trouble> {
    let mut parts = fields::list(answer)?.into_iter();
    let now = parts.next().ok_or(Trouble::Odd("no time"))?;
    let now = u64::try_from(fields::integer(&now)?).map_err(|_| Trouble::Odd("not a time"))?;
    let mut present = Vec::with_capacity(parts.len() / 2);
    while let (Some(id), Some(card)) = (parts.next(), parts.next()) {
        let id = u64::from_str_radix(&fields::text(id)?, 16);
        // Of somebody else's making: no instance of ours.
        let (Ok(id), Ok(card)) = (id, fields::text(card)) else { continue };
        let mut words = card.splitn(3, ' ');
        let written = words.next().and_then(|written| written.parse::<u64>().ok());
        let (Some(written), Some(card)) = (written, words.nth(1)) else { continue };
        let age = Duration::from_millis(now.saturating_sub(written));
        present.push(Present { id: InstanceId(id), card: card.into(), age });
    }
    present.sort_unstable_by_key(|present| present.id);
    Ok((now, present))
}

fn read_orders(answer: Value) -> Result<(Version, Option<Vec<Order>>), Trouble> {
    let mut parts = fields::list(answer)?.into_iter();
    let version = fields::text(parts.next().ok_or(Trouble::Odd("no version"))?)?;
    let version = Version(version.parse().map_err(|_| Trouble::Odd("not a version"))?);
    let Some(all) = parts.next() else { return Ok((version, None)) };
    let pairs = fields::pairs(all)?;
    let orders = pairs.iter().filter_map(|(field, text)| read(read_field(field)?, text));
    let mut orders: Vec<Order> = orders.collect();
    orders.sort_unstable_by_key(|order| order.matter);
    Ok((version, Some(orders)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_a_later_version_is_passed_over() {
        let matter = Matter { pool: PoolId(7), backend: BackendId(0xabc) };
        assert_eq!(read_field(&field(matter)), Some(matter));
        let order = Order { at: 5, ..Order::new(matter, Wish::Drain, "a \"b\"", ("p", "h:1/x")) };
        assert_eq!(read(matter, &format!("5 {}", write(&order))).as_ref(), Some(&order));
        let later = r#"5 drain {"by":"a \"b\"","pool":"p","backend":"h:1/x","until":9}"#;
        assert_eq!(read(matter, later), Some(order));
        assert_eq!(read(matter, "5 drain {}").map(|order| order.by), Some("".into()));
        for text in ["", "5", "5 drain", "5 pause {}", "x drain {}", "5 drain {"] {
            assert_eq!(read(matter, text), None, "{text}");
        }
        for field in ["version", "pool:1:2", "backend:1", "backend:x:1", "backend:1:x"] {
            assert_eq!(read_field(field), None, "{field}");
        }
    }
}
