//! How charges are put to the scripts, and what their answers say. Sends nothing, weighs nothing.

use std::time::Duration;

use redis::{Cmd, Value};
use smallvec::SmallVec;

use super::super::fields;
use super::super::keyspace::{Names, Place};
use super::super::script::{self, Ask, Script};
use super::super::trouble::Trouble;
use super::LEASE;
use crate::config::Rate;
use crate::store::counters::account::{Account, Spent};
use crate::store::counters::block::Blocked;
use crate::store::counters::gcra::{Bucket, Due};
use crate::store::counters::shared::Beat;
use crate::store::counters::window::{self, Fixed, Sliding};
use crate::store::counters::{Budget, Charge, Measure, Micros, SlotId, micros};

/// Bytes of a charge: eight doubles.
const CHARGE: usize = 64;
/// Bytes of a command beside its keys and charges, about, and of a key.
const ROOM: (usize, usize) = (128, 96);

/// What a script says that weighs charges.
pub struct Weighed {
    /// When, by the server's clock.
    pub at: Micros,
    /// Which charge was refused.
    pub refused: Option<usize>,
    /// What was spent, of each charge's counter.
    pub accounts: SmallVec<[Account; 8]>,
}

/// A script that weighs charges, whose counters lie together.
pub fn weigh<'a>(
    script: &'static Script,
    place: Place,
    names: &Names,
    charges: impl ExactSizeIterator<Item = &'a Charge> + Clone,
    slot: SlotId,
) -> Ask {
    let count = charges.len();
    let room = Cmd::with_capacity(6 + count, ROOM.0 + count * (ROOM.1 + CHARGE));
    let mut ask = Ask::call(place, script, count, room);
    let mut key = String::with_capacity(ROOM.1);
    for charge in charges.clone() {
        names.counter(charge, &mut key);
        ask.push(&key);
    }
    let mut doubles: SmallVec<[u8; 8 * CHARGE]> = SmallVec::new();
    for charge in charges {
        for number in spell(charge) {
            doubles.extend_from_slice(&double(number).to_le_bytes());
        }
    }
    ask.push(&*doubles);
    ask.push(slot.0);
    ask.push(lease());
    ask
}

/// A charge in numbers, all below 2^53 but for costs that are refused anyhow.
fn spell(Charge { budget, cost, .. }: &Charge) -> [u64; CHARGE / 8] {
    let (first, longest) = blocks(budget);
    match budget.measure {
        Measure::Slots(most) => [1, *cost, most, 0, 0, 0, 0, 0],
        Measure::Gcra { rate, burst } => {
            let bucket = Bucket::new(rate, burst);
            let (price, capacity) = (bucket.lasts(*cost), bucket.capacity_lasts());
            [2, rate.count.get(), price.micros, price.part, capacity.micros, capacity.part, first, longest]
        }
        Measure::FixedWindow(rate) => [3, *cost, rate.count.get(), micros(rate.per), 0, 0, first, longest],
        Measure::SlidingWindow(rate) => [4, *cost, rate.count.get(), micros(rate.per), 0, 0, first, longest],
    }
}

/// A script that charges `actual` instead of what was charged at `at`.
pub fn correct(names: &Names, charge: &Charge, at: Micros, actual: u64) -> Ask {
    let budget = &charge.budget;
    let (first, longest) = blocks(budget);
    let mut ask = on_one(&script::CORRECT, names, charge).arg(first).arg(longest);
    let (more, less) = (actual.saturating_sub(charge.cost), charge.cost.saturating_sub(actual));
    match (budget.measure, Account::remembered(charge, at).spent) {
        (Measure::Gcra { rate, burst }, Spent::Gcra(alone)) => {
            let bucket = Bucket::new(rate, burst);
            ask.push(rate.count.get());
            time(&mut ask, bucket.lasts(more));
            time(&mut ask, bucket.lasts(less));
            time(&mut ask, bucket.most_lasts());
            time(&mut ask, alone);
        }
        (Measure::FixedWindow(rate), Spent::Fixed(Fixed { used, .. }))
        | (Measure::SlidingWindow(rate), Spent::Sliding(Sliding { used, .. })) => {
            let numbers = [micros(rate.per), more.min(window::MOST), less, window::MOST, at, used];
            numbers.into_iter().for_each(|number| ask.push(number));
        }
        // Slots cost what they cost.
        _ => {}
    }
    ask
}

/// The command that gives a slot back.
pub fn release(names: &Names, charge: &Charge, slot: SlotId) -> Ask {
    let mut key = String::new();
    names.counter(charge, &mut key);
    let command = redis::cmd("ZREM").arg(key).arg(slot.0).take();
    Ask::plain(Place::of_subject(charge.subject), command)
}

/// A script that says that these slots are still taken.
pub fn renew(names: &Names, charge: &Charge, slots: &[SlotId]) -> Ask {
    let mut key = String::new();
    names.counter(charge, &mut key);
    let ask = Ask::script(Place::of_subject(charge.subject), &script::RENEW, vec![key]).arg(lease());
    slots.iter().fold(ask, |ask, slot| ask.arg(slot.0))
}

/// A script that refuses a subject for so long.
pub fn hold(names: &Names, charge: &Charge, lasts: Duration) -> Ask {
    // Far beyond any hold, and far below 2^53.
    let lasts = micros(lasts).min(1 << 51);
    on_one(&script::HOLD, names, charge).arg(lasts).arg(blocks(&charge.budget).1)
}

/// A script that lifts what [`hold`] and blocks did.
pub fn lift(names: &Names, charge: &Charge) -> Ask {
    on_one(&script::LIFT, names, charge)
}

/// A script on a charge's counter, with its measure as the first argument.
fn on_one(script: &'static Script, names: &Names, charge: &Charge) -> Ask {
    let mut key = String::new();
    names.counter(charge, &mut key);
    Ask::script(Place::of_subject(charge.subject), script, vec![key]).arg(letter(&charge.budget))
}

const fn letter(budget: &Budget) -> &'static str {
    match budget.measure {
        Measure::Gcra { .. } => "g",
        Measure::FixedWindow(_) => "f",
        Measure::SlidingWindow(_) => "s",
        Measure::Slots(_) => "c",
    }
}

/// The first and the longest block; zero where there is none.
fn blocks(budget: &Budget) -> (Micros, Micros) {
    budget.block.map_or((0, 0), |block| (micros(block.first), micros(block.most.max(block.first))))
}

#[expect(clippy::cast_precision_loss, reason = "what is above 2^53 is refused, rounded or not")]
const fn double(number: u64) -> f64 {
    number as f64
}

fn time(ask: &mut Ask, lasts: Due) {
    ask.push(lasts.micros);
    ask.push(lasts.part);
}

fn lease() -> u64 {
    u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX)
}

impl Weighed {
    /// Reads what a script answers that weighs charges.
    pub fn read<'a>(value: Value, charges: impl ExactSizeIterator<Item = &'a Charge>) -> Result<Self, Trouble> {
        let Value::BulkString(bytes) = value else { return Err(Trouble::Odd("not doubles")) };
        let (doubles, rest) = bytes.as_chunks::<8>();
        if doubles.len() != 2 + 3 * charges.len() || !rest.is_empty() {
            return Err(Trouble::Odd("another number of counters than of charges"));
        }
        let mut numbers = doubles.iter().map(|bytes| natural(f64::from_le_bytes(*bytes)));
        let mut next = || numbers.next().unwrap_or_default();
        let (at, refused) = (next(), next());
        let refused = usize::try_from(refused).ok().and_then(|n| n.checked_sub(1)).filter(|n| *n < charges.len());
        let mut accounts = SmallVec::new();
        for charge in charges {
            let spent = spent(charge.budget.measure, (next(), next()), at);
            accounts.push(Account { spent, blocked: Blocked { until: next(), strikes: 0 } });
        }
        Ok(Self { at, refused, accounts })
    }
}

fn spent(measure: Measure, (one, other): (u64, u64), now: Micros) -> Spent {
    let index = |rate: Rate| now / micros(rate.per).max(1);
    match measure {
        Measure::Gcra { .. } => Spent::Gcra(Due { micros: one, part: other }),
        Measure::FixedWindow(rate) => Spent::Fixed(Fixed { index: index(rate), used: one }),
        Measure::SlidingWindow(rate) => Spent::Sliding(Sliding { index: index(rate), used: one, previous: other }),
        Measure::Slots(_) => Spent::Slots(one),
    }
}

/// What the server's clock says, and how many instances there are.
pub fn read_beat(value: Value) -> Result<Beat, Trouble> {
    let values = fields::list(value)?;
    let [at, instances] = values.as_slice() else { return Err(Trouble::Odd("beat")) };
    let number = |value| u64::try_from(fields::integer(value)?).map_err(|_| Trouble::Odd("below zero"));
    Ok(Beat { at: number(at)?, instances: u32::try_from(number(instances)?).unwrap_or(u32::MAX) })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "scripts answer whole numbers below 2^53")]
const fn natural(double: f64) -> u64 {
    double as u64
}
