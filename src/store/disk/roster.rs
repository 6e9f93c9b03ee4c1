//! The roster of a lone instance that outlives it: orders are written down with everything else. Cards are not: who was there
//! before says nothing of who is.

use std::future::ready;

use super::Disk;
use crate::names::InstanceId;
use crate::store::Answer;
use crate::store::roster::{Muster, Order, Report, Roster};

impl Roster for Disk {
    fn report<'a>(&'a self, report: Report<'a>) -> Answer<'a, Muster> {
        Box::pin(ready(self.held.roster.muster(&report)))
    }

    fn order(&self, order: Order, now: u64) -> Answer<'_, Order> {
        Box::pin(async move {
            self.writer.ready()?;
            let order = self.held.roster.give(order, now)?;
            self.writer.write_orders().await?;
            Ok(order)
        })
    }

    fn remind<'a>(&'a self, orders: &'a [Order], now: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            self.writer.ready()?;
            if self.held.roster.learn(orders, now) { self.writer.write_orders().await } else { Ok(()) }
        })
    }

    fn leave(&self, id: InstanceId) -> Answer<'_, ()> {
        self.held.roster.strike(id);
        Box::pin(ready(Ok(())))
    }
}
