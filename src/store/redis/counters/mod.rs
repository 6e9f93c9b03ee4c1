//! Counters in the same Redis or Valkey, over the same connections. One script makes all charges of a request, or none, by
//! the server's own clock. In a Cluster those of each hash slot are made apart, at the same time, and given back where one
//! refuses; of several that refuse at once each begins its block, for none knows of the others. Decides nothing about what
//! applies while the servers are away.

mod held;
mod orders;
pub(super) mod spelling;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, ready};
use smallvec::SmallVec;

use self::held::Held;
use self::orders::{Keeper, Order, Orders};
use self::spelling::Weighed;
use super::Redis;
use super::fields;
use super::keyspace::{Names, Place};
use super::routes::Line;
use super::script::{self, Ask, Script};
use super::trouble::Trouble;
use crate::names::InstanceId;
use crate::store::counters::account::Account;
use crate::store::counters::shared::{Beat, Distant};
use crate::store::counters::{Charge, Correction, Counters, Measure, SlotId, Soon, Standing, Taken};
use crate::store::{Answer, BoxFuture, StoreError};
use crate::tasks::{self, Task};

/// How long a slot is held without a renewal.
const LEASE: Duration = Duration::from_secs(15);
/// For how long an instance counts that says nothing.
const PRESENT: Duration = Duration::from_secs(10);

/// Counters in a shared Redis or Valkey.
#[derive(Debug)]
pub struct RedisCounters {
    line: Arc<Line>,
    names: Names,
    own: InstanceId,
    /// Whether one script may only have keys of one hash slot.
    scattered: bool,
    held: Arc<Held>,
    orders: Orders,
    _keeper: Task,
}

impl Redis {
    /// Counters in the same place, over the same connections. Within a runtime, on which their one task lives.
    #[must_use]
    pub fn counters(&self) -> RedisCounters {
        let (line, names) = (Arc::clone(&self.line), self.names.clone());
        let held = Arc::new(Held::default());
        let (orders, queue) = Orders::new();
        let keeper = Keeper::new(Arc::clone(&line), names.clone(), Arc::clone(&held), queue);
        let keeper = tasks::spawn("redis counters", keeper.run());
        RedisCounters { line, names, own: self.own, scattered: self.scattered, held, orders, _keeper: keeper }
    }
}

/// Charges that one script makes, by their numbers.
type Group = (Place, SmallVec<[usize; 8]>);

impl RedisCounters {
    async fn take_all(&self, charges: &[Charge], slot: SlotId) -> Result<Taken, StoreError> {
        let mut unanswered = Unanswered { counters: self, charges, slot, is_open: true };
        let answer = match self.lone_group(charges) {
            Some(place) => self.weigh(&script::TAKE, place, charges.iter(), slot).await,
            None => Err(Trouble::Split),
        };
        let weighed = match answer {
            Err(Trouble::Split) => Box::pin(self.take_apart(charges, slot)).await?,
            answer => answer.map_err(Trouble::into_store_error)?,
        };
        unanswered.is_open = false;
        if weighed.refused.is_none() {
            slots(charges).for_each(|charge| self.held.add(charge, slot));
        }
        Ok(weighed.taken(charges))
    }

    /// Makes the charges of each hash slot for themselves, and gives back what was charged if not all were.
    async fn take_apart(&self, charges: &[Charge], slot: SlotId) -> Result<Weighed, StoreError> {
        let answers = self.ask_groups(&script::TAKE, charges, slot).await;
        let (mut whole, mut trouble) = (Weighed::unknown(charges), None);
        let mut made: SmallVec<[usize; 16]> = SmallVec::new();
        for ((_, members), answer) in answers {
            match answer {
                Ok(part) => {
                    if part.refused.is_none() {
                        made.extend_from_slice(&members);
                    }
                    whole.join(charges, &members, &part);
                }
                Err(why) => trouble = Some(why),
            }
        }
        if trouble.is_some() || whole.refused.is_some() {
            self.refund(&mut whole, &made, charges, slot).await;
        }
        trouble.map_or(Ok(whole), |trouble| Err(trouble.into_store_error()))
    }

    /// Gives back what was charged though others refused. Is done also where nobody waits for it any more.
    async fn refund(&self, whole: &mut Weighed, made: &[usize], charges: &[Charge], slot: SlotId) {
        let (mut heard, mut left_over) = (Vec::with_capacity(made.len()), Vec::new());
        for &n in made {
            let charge = &charges[n];
            let (account, at) = (whole.accounts[n], whole.at);
            let order = if is_slots(charge) {
                whole.accounts[n] = account.give_back();
                Order::release(&self.names, charge, slot)
            } else {
                whole.accounts[n] = account.settle(charge, 0, at, at);
                Order::correct(&self.names, charge, at, 0)
            };
            match self.orders.put_and_hear(order) {
                Ok(hears) => heard.push(hears),
                Err(order) => left_over.push(order.ask),
            }
        }
        // No room to have it done in the background.
        if !left_over.is_empty() {
            let _ = self.line.ask_all(&left_over).await;
        }
        let _ = tokio::time::timeout(self.line.timeout(), join_all(heard)).await;
    }

    async fn weigh(
        &self,
        script: &'static Script,
        place: Place,
        charges: impl ExactSizeIterator<Item = &Charge> + Clone,
        slot: SlotId,
    ) -> Result<Weighed, Trouble> {
        let answer = self.line.ask(&spelling::weigh(script, place, &self.names, charges.clone(), slot)).await;
        Weighed::read(answer?, charges)
    }

    /// Asks for the charges of each hash slot, all at the same time. Where one is just being handed to another server, each
    /// charge is asked for by itself.
    async fn ask_groups(
        &self,
        script: &'static Script,
        charges: &[Charge],
        slot: SlotId,
    ) -> Vec<(Group, Result<Weighed, Trouble>)> {
        let mut groups = grouped(charges);
        let mut done = Vec::with_capacity(groups.len());
        while !groups.is_empty() {
            let of =
                |members: &SmallVec<[usize; 8]>| members.clone().into_iter().map(|n| &charges[n]).collect::<Vec<_>>();
            let ask =
                |(place, members): &Group| spelling::weigh(script, *place, &self.names, of(members).into_iter(), slot);
            let asks: Vec<Ask> = groups.iter().map(ask).collect();
            let answers = self.line.ask_all(&asks).await;
            let mut split = Vec::new();
            for ((place, members), answer) in groups.into_iter().zip(answers) {
                match answer {
                    Err(Trouble::Split) if members.len() > 1 => {
                        split.extend(members.into_iter().map(|n| (place, SmallVec::from_slice(&[n]))));
                    }
                    answer => {
                        let weighed = answer.and_then(|value| Weighed::read(value, of(&members).into_iter()));
                        done.push(((place, members), weighed));
                    }
                }
            }
            groups = split;
        }
        done
    }

    /// Where all of these can be asked for in one go, if they can.
    fn lone_group(&self, charges: &[Charge]) -> Option<Place> {
        let mut places = charges.iter().map(|charge| Place::of_subject(charge.subject));
        let first = places.next()?;
        (!self.scattered || places.all(|place| place == first)).then_some(first)
    }

    async fn look_at(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let nobody = SlotId(0);
        if let Some(place) = self.lone_group(charges) {
            match self.weigh(&script::LOOK, place, charges.iter(), nobody).await {
                Err(Trouble::Split) => {}
                answer => return answer.map(|weighed| weighed.taken(charges)).map_err(Trouble::into_store_error),
            }
        }
        let mut whole = Weighed::unknown(charges);
        for ((_, members), answer) in self.ask_groups(&script::LOOK, charges, nobody).await {
            whole.join(charges, &members, &answer.map_err(Trouble::into_store_error)?);
        }
        Ok(whole.taken(charges))
    }

    async fn ask(&self, ask: Ask) -> Result<bool, StoreError> {
        let answer = self.line.ask(&ask).await;
        answer.and_then(|value| Ok(fields::integer(&value)? != 0)).map_err(Trouble::into_store_error)
    }
}

impl Counters for RedisCounters {
    fn take<'a>(&'a self, charges: &'a [Charge], slot: SlotId) -> Soon<'a, Result<Taken, StoreError>> {
        Soon::Later(Box::pin(self.take_all(charges, slot)))
    }

    fn correct(&self, corrections: Vec<Correction>) {
        for correction in corrections {
            let order = match correction {
                Correction::Slot { charge, slot } => {
                    self.held.remove(&charge, slot);
                    Order::release(&self.names, &charge, slot)
                }
                // Slots cost what they cost.
                Correction::Cost { charge, actual, .. } if charge.cost == actual || is_slots(&charge) => continue,
                Correction::Cost { charge, at, actual } => Order::correct(&self.names, &charge, at, actual),
            };
            self.orders.put_or_drop(order);
        }
    }

    fn hold<'a>(&'a self, charge: &'a Charge, lasts: Duration) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.ask(spelling::hold(&self.names, charge, lasts)).await.map(drop) })
    }

    fn lift<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.ask(spelling::lift(&self.names, charge)))
    }

    fn look<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Result<Taken, StoreError>> {
        if charges.is_empty() {
            return Box::pin(ready(Ok(Taken { refused: None, standings: SmallVec::new(), at: 0 })));
        }
        Box::pin(self.look_at(charges))
    }
}

impl Distant for RedisCounters {
    fn beat(&self) -> Answer<'_, Beat> {
        Box::pin(async {
            let ask = Ask::script(Place::RING, &script::BEAT, vec![self.names.instances()]);
            let ask = ask.arg(self.own.0).arg(PRESENT.as_millis().to_string());
            let answer = self.line.ask(&ask).await;
            answer.and_then(spelling::read_beat).map_err(Trouble::into_store_error)
        })
    }

    fn owe<'a>(&'a self, debts: &'a [Charge]) -> BoxFuture<'a, Vec<usize>> {
        Box::pin(async {
            let ask = |charge: &Charge| {
                let place = Place::of_subject(charge.subject);
                spelling::weigh(&script::OWE, place, &self.names, std::iter::once(charge), SlotId(0))
            };
            let asks: Vec<Ask> = debts.iter().map(ask).collect();
            let answers = self.line.ask_all(&asks).await.into_iter().enumerate();
            answers.filter(|(_, answer)| answer.as_ref().is_err_and(Trouble::is_undone)).map(|(n, _)| n).collect()
        })
    }

    fn keep(&self, charge: &Charge, slot: SlotId) {
        self.held.add(charge, slot);
        self.orders.put_or_drop(Order::renew(&self.names, charge, &[slot]));
    }
}

/// Slots that may have been taken: given back when this ends without having heard.
struct Unanswered<'a> {
    counters: &'a RedisCounters,
    charges: &'a [Charge],
    slot: SlotId,
    is_open: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.is_open {
            for charge in slots(self.charges) {
                self.counters.orders.put_or_drop(Order::release(&self.counters.names, charge, self.slot));
            }
        }
    }
}

fn is_slots(charge: &Charge) -> bool {
    matches!(charge.budget.measure, Measure::Slots(_))
}

fn slots(charges: &[Charge]) -> impl Iterator<Item = &Charge> {
    charges.iter().filter(|charge| is_slots(charge))
}

/// Charges by where their counters lie.
fn grouped(charges: &[Charge]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (n, charge) in charges.iter().enumerate() {
        let place = Place::of_subject(charge.subject);
        match groups.iter_mut().find(|(other, _)| *other == place) {
            Some((_, members)) => members.push(n),
            None => groups.push((place, SmallVec::from_slice(&[n]))),
        }
    }
    groups
}

impl Weighed {
    /// Nothing is known yet of the counters that these are for.
    fn unknown(charges: &[Charge]) -> Self {
        let accounts = charges.iter().map(|charge| Account::fresh(&charge.budget)).collect();
        Self { at: 0, refused: None, accounts }
    }

    /// Takes over what is known of some of them.
    fn join(&mut self, charges: &[Charge], members: &[usize], part: &Self) {
        for (&n, account) in members.iter().zip(&part.accounts) {
            self.accounts[n] = *account;
        }
        self.at = self.at.max(part.at);
        // By rate before by slots, and the first of them.
        let order = |n: &usize| (is_slots(&charges[*n]), *n);
        self.refused = self.refused.into_iter().chain(part.refused.map(|n| members[n])).min_by_key(order);
    }

    fn taken(&self, charges: &[Charge]) -> Taken {
        let standing = |(account, charge): (&Account, &Charge)| -> Standing { account.standing(charge, self.at) };
        Taken {
            refused: self.refused,
            standings: self.accounts.iter().zip(charges).map(standing).collect(),
            at: self.at,
        }
    }
}
