//! Tells an operator once of each block that a limit has begun: who is blocked, by which limit, for how long. Decides nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::queue::Line;
use super::rules::{Account, Bill, Rule};
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::meter::Counter;
use crate::store::counters::{Charge, Standing};

/// Blocks that are remembered as told, at most. Of more, some may be told again.
const MOST: usize = 4096;

/// What was told.
#[derive(Debug)]
pub struct Told {
    clock: Clock,
    /// When each block ends. Taken by requests of those who are blocked alone.
    until: Mutex<HashMap<Line, Instant>>,
    /// Blocks that were told.
    count: Counter,
}

impl Told {
    /// Nothing told yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, until: Mutex::default(), count: Counter::default() }
    }

    /// A request was refused; if that is because of a block, it is told, unless it was.
    pub fn refused(
        &self,
        (rule, account): (&Rule, &Account),
        (charge, standing): (&Charge, &Standing),
        bill: &Bill,
        exchange: &Exchange,
    ) {
        if !standing.blocked || account.budget.block.is_none() {
            return;
        }
        let now = self.clock.now();
        let ends = now + standing.retry_after;
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let line = (charge.budget.id, charge.subject);
        if until.get(&line).is_some_and(|until| *until > now) {
            return;
        }
        if until.len() >= MOST {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= MOST {
            until.clear();
        }
        until.insert(line, ends);
        drop(until);
        self.count.increment();
        let (caller, pool) = (exchange.caller.label(), exchange.pool.settings());
        let (account, for_ms) = (rule.label(exchange, bill.session), standing.retry_after.as_millis());
        tracing::warn!(limit = %rule.name, account, %caller, pool = pool.name, for_ms, "a limit blocks whoever goes on beyond it");
    }

    /// How many blocks have begun and ended by an operator's hand: it changes whenever somebody else is blocked than before, but for
    /// blocks whose time is over.
    pub fn changes(&self) -> u64 {
        self.count.get()
    }

    /// An operator has lifted a block of these: the next one is told again.
    pub fn lifted(&self, charges: &[Charge]) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        self.count.increment();
        until.retain(|line, _| !charges.iter().any(|charge| (charge.budget.id, charge.subject) == *line));
    }
}
