//! The limit station: one decision over all limits that apply to a request. Owns which they are, the wait for a turn where
//! only so many may run, and what is given back when the answer has ended. Where counters are kept it does not know.

mod adaptive;
mod counts;
mod gate;
mod permit;
mod queue;
mod rules;
mod sampling;
mod shares;
mod told;
mod top;
mod upstream;
mod view;
mod whose;
mod words;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use counts::{Counts, Reason, Waits};
pub use gate::{GateView, Pass};
pub use permit::Permit;
pub use view::{AccountView, LimitView, Spender, UnknownLimit};

use crate::clock::{Chance, Clock};
use crate::config::{BackendMost, LimitSettings, LimitsSettings, UpstreamSettings};
use crate::exchange::Exchange;
use crate::fleet::Backend;
use crate::names::{BackendId, SessionId};
use crate::reject::Cause;
use crate::seal::digest;
use crate::store::counters::{Counters, SlotId, Subject, Taken};
use counts::Ledger;
use gate::{Gates, Wish};
use queue::{Line, Patience, Queues, Turn, Turned};
use rules::{Bill, Rules, Unit};
use told::Told;
use top::Top;

/// Charges that one request may make: as many as the counters take.
const MOST_CHARGES: usize = 64;

/// Which limits apply to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All: a server will be asked for the client.
    All,
    /// Those on who asks: perhaps the answer is there already.
    Asking,
    /// All others: who asks has been admitted, or has its answer, which is fetched anew.
    Serving,
}

/// The limit station.
#[derive(Debug)]
pub struct Limit {
    rules: ArcSwap<Live>,
    counters: Arc<dyn Counters>,
    queues: Arc<Queues>,
    gates: Gates,
    clock: Clock,
    told: Told,
    chance: Chance,
    ledger: Ledger,
}

/// The rules, and what is known of who spends most by them. A reload begins with empty lists.
#[derive(Debug)]
struct Live {
    rules: Arc<Rules>,
    top: Top,
    ipv6_prefix: u8,
}

/// What the limit station needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What all limits share.
    pub common: LimitsSettings,
    /// The limits.
    pub limits: Vec<LimitSettings>,
    /// The upstreams.
    pub upstreams: Vec<UpstreamSettings>,
}

impl Limit {
    /// A station whose counters are kept there.
    #[must_use]
    pub fn new(settings: &Settings, counters: Arc<dyn Counters>, clock: Clock) -> Self {
        let ledger = Ledger::default();
        let rules = ArcSwap::from_pointee(Live::new(settings, &ledger));
        Self {
            rules,
            counters,
            queues: Arc::new(Queues::new(clock.clone())),
            gates: Gates::new(clock.clone()),
            told: Told::new(clock.clone()),
            clock,
            chance: Chance::system(),
            ledger,
        }
    }

    /// Forgets what nobody uses any more. For now and then.
    pub fn tidy(&self) {
        self.queues.tidy();
        self.gates.tidy();
    }

    /// Takes a new configuration. Counters stay as they are: what was spent under a name is spent under it still.
    pub fn reconfigure(&self, settings: &Settings) {
        self.rules.store(Arc::new(Live::new(settings, &self.ledger)));
    }

    /// What each limit has done: its name, whose accounts it keeps, and the counts.
    #[must_use]
    pub fn counts(&self) -> Vec<(Box<str>, String, Arc<Counts>)> {
        let live = self.rules.load();
        let rules = live.rules.rules.iter();
        rules.map(|rule| (rule.name.clone(), rule.key(), Arc::clone(&rule.counts))).collect()
    }

    /// A number that changes whenever this instance blocks somebody, or an operator lifts a block.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.told.changes()
    }

    /// How many instances share the counters, as far as is known.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.counters.instances().get()
    }

    /// How the gate before a backend stands; none where nothing has come to it yet.
    #[must_use]
    pub fn gate(&self, backend: BackendId, most: BackendMost) -> Option<GateView> {
        self.gates.view(backend, most, self.instances())
    }

    /// Takes what the request spends of every limit that applies to it, or nothing; waits for its turn where only so many
    /// may run and a queue is configured. `None` where nothing applies.
    ///
    /// # Errors
    /// [`Cause::Limited`], and [`Cause::LimitsAway`] where the counters cannot be asked and the configuration wants that refused.
    pub async fn admit(
        &self,
        exchange: &Exchange,
        session: Option<SessionId>,
        part: Part,
    ) -> Result<Option<Arc<Permit>>, Cause> {
        Ok(self.judge(exchange, session, part).await?.map(Arc::new))
    }

    /// Takes what serving a request spends too, where those who ask were admitted before. Where it is refused, nothing is spent.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn admit_further(
        &self,
        before: Option<Arc<Permit>>,
        exchange: &Exchange,
        session: Option<SessionId>,
    ) -> Result<Option<Arc<Permit>>, Cause> {
        match self.judge(exchange, session, Part::Serving).await {
            Ok(None) => Ok(before),
            Ok(Some(permit)) => Ok(Some(Arc::new(permit.after(before)))),
            Err(cause) => {
                before.iter().for_each(|before| before.refund());
                Err(cause)
            }
        }
    }

    async fn judge(
        &self,
        exchange: &Exchange,
        session: Option<SessionId>,
        part: Part,
    ) -> Result<Option<Permit>, Cause> {
        let live = self.rules.load();
        if live.rules.is_empty() {
            return Ok(None);
        }
        let bill = live.rules.bill(exchange, session, part);
        if bill.is_empty() {
            return Ok(None);
        }
        if bill.charges.len() > MOST_CHARGES {
            return Err(too_much("fall under too many limits"));
        }
        if bill.charges.iter().any(|charge| charge.cost > charge.budget.measure.most()) {
            return Err(too_much("cost more than there ever is at once"));
        }
        if bill.crowds {
            return Err(too_much("would run at the same time under a limit on just that"));
        }
        live.top.note(&bill, &live.rules, exchange, session);
        let rules = Arc::clone(&live.rules);
        drop(live);
        self.decide(&rules, bill, exchange).await.map(Some)
    }

    /// Gets through the gate before a backend, where its pool has one. What it returns lasts until the answer has ended.
    ///
    /// # Errors
    /// [`Cause::Overloaded`].
    pub async fn pass(&self, exchange: &Exchange, backend: &Backend) -> Result<Option<Pass>, Cause> {
        let Some(limit) = exchange.pool.settings().concurrency.filter(|_| !exchange.waiting().is_empty()) else {
            return Ok(None);
        };
        let name = exchange.tool().unwrap_or_else(|| exchange.verb());
        let tool = match limit.most {
            BackendMost::Adaptive(_) => u64::from_be_bytes(digest(&[name.as_bytes()])),
            BackendMost::Fixed(_) => 0,
        };
        let caller = self.rules.load().rules.caller(&exchange.caller);
        let wish = Wish { caller, tool, instances: self.counters.instances().get() };
        self.gates.enter(backend, limit, wish).await.map(Some)
    }

    async fn decide(&self, rules: &Arc<Rules>, bill: Bill, exchange: &Exchange) -> Result<Permit, Cause> {
        let asked = Asked { exchange, caller: rules.caller(&exchange.caller), slot: SlotId(self.chance.next()) };
        let crowded = (0..bill.charges.len()).find_map(|number| {
            let crowd = self.crowd(rules, &bill, number)?;
            self.queues.must_wait(crowd.line, asked.caller, crowd.most).then_some(crowd)
        });
        let taken = match crowded {
            // Who would be refused anyway need not wait for it.
            Some(crowd) => match self.refused_at_once(rules, &bill, exchange).await? {
                Some(refusal) => return Err(refusal),
                None => self.wait(rules, &bill, &asked, crowd).await?,
            },
            None => {
                let taken = self.take(&bill, asked.slot).await?;
                match taken.refused.map(|refused| self.crowd(rules, &bill, refused).ok_or(refused)) {
                    None => taken,
                    Some(Ok(crowd)) => self.wait(rules, &bill, &asked, crowd).await?,
                    Some(Err(refused)) => return Err(self.refuse((rules, &bill), (refused, &taken), exchange, None)),
                }
            }
        };
        rules.of(&bill).for_each(|rule| rule.counts.admitted.increment());
        let places = (Arc::clone(&self.counters), Arc::clone(&self.queues));
        Ok(Permit::new(places, Arc::clone(rules), bill, (asked.caller, asked.slot, taken)))
    }

    async fn take(&self, bill: &Bill, slot: SlotId) -> Result<Taken, Cause> {
        self.counters.take(&bill.charges, slot).await.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "limits cannot be checked");
            Cause::LimitsAway
        })
    }

    /// The same as [`Self::queue`], and counts how long it took.
    async fn wait(&self, rules: &Rules, bill: &Bill, asked: &Asked<'_>, crowd: Crowd) -> Result<Taken, Cause> {
        let found = bill.of.get(crowd.number).and_then(|at| rules.at(*at));
        let _waiting = found.map(|(rule, _)| rule.counts.waits.begin(&self.clock));
        self.queue(rules, bill, asked, crowd).await
    }

    /// Waits for a turn and takes everything then. What is refused for another reason is refused at once.
    async fn queue(&self, rules: &Rules, bill: &Bill, asked: &Asked<'_>, mut crowd: Crowd) -> Result<Taken, Cause> {
        let mut turn: Option<Turn<'_>> = None;
        let until = crowd.patience.until();
        loop {
            let waited = match turn.take().filter(|turn| turn.line() == crowd.line) {
                Some(held) => held.rest().await.map(|()| held),
                None => self.queues.turn(crowd.line, asked.caller, (crowd.patience.most, until)).await,
            };
            let ready = match waited {
                Ok(mut held) => held.ready(crowd.most).await.map(|()| held),
                Err(turned) => Err(turned),
            };
            let held = match ready {
                Ok(held) => held,
                Err(turned) => return Err(self.turned_away(rules, bill, (crowd.number, turned), asked.exchange).await),
            };
            let taken = self.take(bill, asked.slot).await?;
            let Some(refused) = taken.refused else { return Ok(taken) };
            crowd = match self.crowd(rules, bill, refused) {
                Some(crowd) => crowd,
                None => return Err(self.refuse((rules, bill), (refused, &taken), asked.exchange, None)),
            };
            turn = Some(held);
        }
    }

    /// The refusal by something else than a lack of slots, if there is one.
    async fn refused_at_once(&self, rules: &Rules, bill: &Bill, exchange: &Exchange) -> Result<Option<Cause>, Cause> {
        let taken = self.counters.look(&bill.charges).await.map_err(|_| Cause::LimitsAway)?;
        let refused = taken.refused.filter(|number| self.crowd(rules, bill, *number).is_none());
        Ok(refused.map(|refused| self.refuse((rules, bill), (refused, &taken), exchange, None)))
    }

    async fn turned_away(
        &self,
        rules: &Rules,
        bill: &Bill,
        (refused, turned): (usize, Turned),
        exchange: &Exchange,
    ) -> Cause {
        match self.counters.look(&bill.charges).await {
            Ok(taken) => self.refuse((rules, bill), (refused, &taken), exchange, Some(turned)),
            Err(_) => Cause::LimitsAway,
        }
    }

    /// The refusal of a charge; an operator is told of a block.
    fn refuse(
        &self,
        (rules, bill): (&Rules, &Bill),
        (refused, taken): (usize, &Taken),
        exchange: &Exchange,
        turned: Option<Turned>,
    ) -> Cause {
        let found = bill.of.get(refused).and_then(|at| rules.at(*at));
        let found = found.zip(bill.charges.get(refused).zip(taken.standings.get(refused)));
        if let Some((rule, (charge, standing))) = found {
            self.told.refused(rule, (charge, standing), bill, exchange);
        }
        words::refusal(rules, bill, (refused, taken), exchange, turned)
    }

    /// Who is waited for and how, where a charge takes a slot that may be waited for.
    fn crowd(&self, rules: &Rules, bill: &Bill, number: usize) -> Option<Crowd> {
        let Unit::Running(most, patience) = rules.at(*bill.of.get(number)?)?.1.unit else { return None };
        let charge = bill.charges.get(number).filter(|_| patience.most > 0)?;
        Some(Crowd { number, line: (charge.budget.id, charge.subject), most, patience })
    }
}

/// Who asks, for whose account, and what its slots are called.
struct Asked<'a> {
    exchange: &'a Exchange,
    caller: Subject,
    slot: SlotId,
}

/// Others that have, or want, what one charge takes.
struct Crowd {
    /// The charge.
    number: usize,
    line: Line,
    /// How many there may be, over all instances.
    most: u32,
    patience: Patience,
}

/// A batch that is refused whatever was spent before.
fn too_much(what: &str) -> Cause {
    Cause::BadMessage(format!("its messages {what}; send them in parts"))
}

impl Live {
    fn new(settings: &Settings, ledger: &Ledger) -> Self {
        let mut rules = Rules::new(&settings.common, &settings.limits, &settings.upstreams);
        rules.rules.iter_mut().for_each(|rule| rule.counts = ledger.of(&rule.name));
        let rules = Arc::new(rules);
        Self { top: Top::new(rules.rules.len()), rules, ipv6_prefix: settings.common.ipv6_prefix }
    }
}
