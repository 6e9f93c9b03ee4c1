//! Which limits apply to a request, and what it would spend of whose account. Pure: made from the settings once, asked for
//! each request. It decides nothing.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::config::{
    Algorithm, Concurrency, DEFAULT_METHODS, Glob, LimitCallers, LimitEra, LimitKey, LimitScope, LimitSettings,
    LimitsSettings, OnLimit, Rate, Tokens, UpstreamRefusal, UpstreamSettings,
};
use crate::exchange::{Ask, Caller, Exchange, Said};
use crate::mcp::version::Era;
use crate::names::SessionId;
use crate::seal::digest;
use crate::store::counters::{Block, Budget, BudgetId, Charge, Measure, Subject};

use super::Part;
use super::counts::Counts;
use super::queue::Patience;
use super::whose::address;

/// What notification streams and replies are called among methods.
const STREAM: &str = "GET";
const REPLIES: &str = "replies";

/// An upstream that is limited neither in calls nor in tokens still has an account, so that it can be paused.
const UNLIMITED: u64 = 1_000_000;

/// All limits, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    pub rules: Vec<Rule>,
    /// What servers may ask of their clients' LLMs.
    pub sampling: Option<(Rate, Arc<Budget>)>,
    ipv6_prefix: u8,
}

/// One limit or upstream.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: Box<str>,
    /// What is kept for each subject; at least one account.
    pub accounts: Vec<Account>,
    /// In which form a client is refused.
    pub form: OnLimit,
    /// What is learnt from results, where it is an upstream.
    pub upstream: Option<Upstream>,
    /// What it has done.
    pub counts: Arc<Counts>,
    scope: LimitScope,
    pub(super) key: LimitKey,
    cost: u64,
    costs: Vec<(Glob, u64)>,
}

/// Something that is counted for each subject.
#[derive(Debug)]
pub struct Account {
    /// By which rule.
    pub budget: Arc<Budget>,
    /// Of what.
    pub unit: Unit,
    /// What a client is told of it, where that can be said in header fields: an item of `RateLimit-Policy`.
    pub policy: Option<Box<str>>,
}

/// What an account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Calls.
    Calls(Rate),
    /// Tokens of an LLM, so many for a call at first.
    Tokens(Rate, u64),
    /// Calls at the same time, and who may wait.
    Running(u32, Patience),
    /// Nothing: it is there to be paused.
    Pause,
}

/// What is learnt from an upstream's results.
#[derive(Debug)]
pub struct Upstream {
    /// Where the number of tokens stands.
    pub tokens: Option<Tokens>,
    /// How its own refusal is recognised.
    pub refusal: UpstreamRefusal,
}

/// What a request would spend, and of what.
#[derive(Debug, Default)]
pub struct Bill {
    /// The charges.
    pub charges: SmallVec<[Charge; 4]>,
    /// For each charge the numbers of its rule and account.
    pub of: SmallVec<[(u16, u16); 4]>,
    /// Several messages of a batch would run at the same time where that is limited.
    pub crowds: bool,
    /// The session that the request belongs to.
    pub session: Option<SessionId>,
}

impl Rules {
    /// Makes the settings ready.
    #[must_use]
    pub fn new(common: &LimitsSettings, limits: &[LimitSettings], upstreams: &[UpstreamSettings]) -> Self {
        let rules = limits.iter().map(Rule::limit).chain(upstreams.iter().map(Rule::upstream)).collect();
        let sampling = common.sampling.map(|rate| {
            let measure = Measure::Gcra { rate, burst: rate.count.get() };
            (rate, Account::new("sampling", ":client", (measure, None), Unit::Calls(rate)).budget)
        });
        Self { rules, sampling, ipv6_prefix: common.ipv6_prefix }
    }

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a request would spend.
    #[must_use]
    pub fn bill(&self, exchange: &Exchange, session: Option<SessionId>, part: Part) -> Bill {
        let mut bill = Bill { session, ..Bill::default() };
        let asker = AskerFacts {
            exchange,
            session,
            address: self.address(exchange.caller.addr),
            caller: self.caller(&exchange.caller),
        };
        // What waits for no answer, or stands for long, takes no slot: a reply may be what the call that has it waits for.
        let runs = matches!(exchange.ask, Ask::Call(_) | Ask::Batch(_));
        let mut message = |method: &str, name: Option<&str>| {
            for (number, rule) in self.rules.iter().enumerate() {
                if rule.is_in(part) && rule.applies(&asker, method, name) {
                    let subject = rule.subject(&asker, method, name);
                    bill.add((number, rule), subject, rule.cost_of(method, name), runs || rule.means(method));
                }
            }
        };
        match &exchange.ask {
            Ask::Call(call) => message(&call.method, call.name.as_deref()),
            Ask::Note(said) => message(method_of(said), said.name.as_deref()),
            Ask::Batch(all) => all.iter().for_each(|said| message(method_of(said), said.name.as_deref())),
            Ask::Reply => message(REPLIES, None),
            Ask::Stream => message(STREAM, None),
            Ask::Goodbye | Ask::Plain => {}
        }
        bill
    }

    /// A caller's account.
    #[must_use]
    pub fn caller(&self, caller: &Caller) -> Subject {
        match &caller.principal {
            Some(principal) => Subject(u128::from_be_bytes(principal.digest.0)),
            None => self.address(caller.addr),
        }
    }

    /// An address's account.
    fn address(&self, addr: IpAddr) -> Subject {
        address(addr, self.ipv6_prefix)
    }

    /// The rules by which a bill is made, each once.
    pub fn of<'a>(&'a self, bill: &'a Bill) -> impl Iterator<Item = &'a Rule> {
        let first = |at: &usize| bill.of[..*at].iter().all(|before| before.0 != bill.of[*at].0);
        (0..bill.of.len()).filter(first).filter_map(|at| self.rules.get(usize::from(bill.of[at].0)))
    }

    /// The rule and account of a charge.
    #[must_use]
    pub fn at(&self, (rule, account): (u16, u16)) -> Option<(&Rule, &Account)> {
        let rule = self.rules.get(usize::from(rule))?;
        Some((rule, rule.accounts.get(usize::from(account))?))
    }
}

impl Bill {
    /// Whether nothing is spent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.charges.is_empty()
    }

    /// Adds what one message spends. Messages of a batch that spend of the same counter make one charge.
    fn add(&mut self, (number, rule): (usize, &Rule), subject: Subject, cost: u64, runs: bool) {
        for (index, account) in rule.accounts.iter().enumerate() {
            let cost = match account.unit {
                Unit::Calls(_) => cost,
                Unit::Tokens(_, estimate) => estimate,
                Unit::Running(..) => u64::from(runs),
                Unit::Pause => 0,
            };
            if cost == 0 && account.unit != Unit::Pause {
                continue;
            }
            let same = |charge: &&mut Charge| charge.subject == subject && charge.budget.id == account.budget.id;
            match self.charges.iter_mut().find(same) {
                Some(_) if matches!(account.unit, Unit::Running(..)) => self.crowds = true,
                Some(charge) => charge.cost += cost,
                None => {
                    self.charges.push(Charge { budget: Arc::clone(&account.budget), subject, cost });
                    let at = |number| u16::try_from(number).unwrap_or(u16::MAX);
                    self.of.push((at(number), at(index)));
                }
            }
        }
    }
}

/// Who asks.
pub struct AskerFacts<'a> {
    pub exchange: &'a Exchange,
    pub session: Option<SessionId>,
    pub address: Subject,
    pub caller: Subject,
}

impl Rule {
    fn limit(settings: &LimitSettings) -> Self {
        let mut accounts = Vec::new();
        if let Some(rate) = settings.rate {
            let burst = settings.burst.unwrap_or(rate.count).get();
            let measure = match settings.algorithm {
                Algorithm::Gcra => Measure::Gcra { rate, burst },
                Algorithm::FixedWindow => Measure::FixedWindow(rate),
                Algorithm::SlidingWindow => Measure::SlidingWindow(rate),
            };
            let block =
                settings.block.map(|first| Block { first, most: settings.block_max.unwrap_or(first).max(first) });
            accounts.push(Account::new(&settings.name, "", (measure, block), Unit::Calls(rate)));
        }
        accounts.extend(settings.concurrency.map(|concurrency| Account::running(&settings.name, concurrency)));
        Self {
            name: settings.name.clone(),
            accounts,
            form: settings.on_limit,
            upstream: None,
            counts: Arc::default(),
            scope: settings.scope.clone(),
            key: settings.key.clone(),
            cost: settings.cost,
            costs: settings.costs.clone(),
        }
    }

    fn upstream(settings: &UpstreamSettings) -> Self {
        let mut accounts = Vec::new();
        if let Some(rate) = settings.rate {
            let measure = Measure::Gcra { rate, burst: settings.burst.unwrap_or(rate.count).get() };
            accounts.push(Account::new(&settings.name, "", (measure, None), Unit::Calls(rate)));
        }
        if let Some(tokens) = &settings.tokens {
            let measure = Measure::Gcra { rate: tokens.rate, burst: tokens.burst.unwrap_or(tokens.rate.count).get() };
            let unit = Unit::Tokens(tokens.rate, tokens.estimate);
            accounts.push(Account::new(&settings.name, ":tokens", (measure, None), unit));
        }
        if accounts.is_empty() {
            let count = std::num::NonZeroU64::new(UNLIMITED).expect("it is not zero");
            let rate = Rate { count, per: std::time::Duration::from_secs(1) };
            let measure = Measure::Gcra { rate, burst: UNLIMITED };
            accounts.push(Account::new(&settings.name, ":pause", (measure, None), Unit::Pause));
        }
        accounts.extend(settings.concurrency.map(|concurrency| Account::running(&settings.name, concurrency)));
        Self {
            name: settings.name.clone(),
            accounts,
            form: settings.on_limit,
            upstream: Some(Upstream { tokens: settings.tokens.clone(), refusal: settings.refusal.clone() }),
            counts: Arc::default(),
            scope: LimitScope { tools: settings.tools.clone(), pools: settings.pools.clone(), ..LimitScope::default() },
            key: LimitKey::Global,
            cost: 1,
            costs: Vec::new(),
        }
    }

    fn applies(&self, asker: &AskerFacts<'_>, method: &str, name: Option<&str>) -> bool {
        let (scope, exchange) = (&self.scope, asker.exchange);
        let era = match scope.era {
            None => true,
            Some(LimitEra::Legacy) => exchange.era == Era::Legacy,
            Some(LimitEra::Modern) => exchange.era == Era::Modern,
        };
        let caller = match scope.callers {
            LimitCallers::All => true,
            LimitCallers::Anonymous => exchange.caller.principal.is_none(),
            LimitCallers::Authenticated => exchange.caller.principal.is_some(),
        };
        let pool = || scope.pools.is_empty() || scope.pools.iter().any(|pool| **pool == *exchange.pool.settings().name);
        era && caller && self.names(method, name) && pool()
    }

    /// Whether it counts who asks, whatever is asked for, or else what serves it.
    fn is_in(&self, part: Part) -> bool {
        let asks = !matches!(self.key, LimitKey::Tool | LimitKey::CallerTool | LimitKey::Global)
            && self.upstream.is_none()
            && self.scope.tools.is_empty();
        match part {
            Part::All => true,
            Part::Asking => asks,
            Part::Serving => !asks,
        }
    }

    fn names(&self, method: &str, name: Option<&str>) -> bool {
        let any = |globs: &[Glob], name: &str| globs.iter().any(|glob| glob.matches(name));
        if !self.scope.tools.is_empty() {
            return method == "tools/call" && name.is_some_and(|name| any(&self.scope.tools, name));
        }
        if self.scope.methods.is_empty() {
            return DEFAULT_METHODS.contains(&method);
        }
        any(&self.scope.methods, method)
    }

    fn cost_of(&self, method: &str, name: Option<&str>) -> u64 {
        let named = name.filter(|_| method == "tools/call" && !self.costs.is_empty());
        let own = named.and_then(|name| self.costs.iter().find(|(glob, _)| glob.matches(name)));
        own.map_or(self.cost, |(_, cost)| *cost)
    }

    /// Whether the limit names a method in so many words.
    fn means(&self, method: &str) -> bool {
        self.scope.methods.iter().any(|glob| glob.as_str() == method)
    }

    /// Whether it is the account by which the whole limit is paused.
    #[must_use]
    pub fn is_first(&self, account: &Account) -> bool {
        self.accounts.first().is_some_and(|first| first.budget.id == account.budget.id)
    }
}

impl Account {
    fn new(name: &str, suffix: &str, (measure, block): (Measure, Option<Block>), unit: Unit) -> Self {
        let name: Box<str> = format!("{name}{suffix}").into();
        let policy = match unit {
            Unit::Calls(rate) => Some(format!("\"{name}\";q={};w={}", rate.count, rate.per.as_secs()).into()),
            Unit::Running(most, _) => Some(format!("\"{name}\";q={most};qu=\"concurrent-requests\"").into()),
            Unit::Tokens(..) | Unit::Pause => None,
        };
        let id = BudgetId(u64::from_be_bytes(digest(&[b"budget", name.as_bytes()])));
        Self { budget: Arc::new(Budget { id, name, measure, block }), unit, policy }
    }

    fn running(name: &str, concurrency: Concurrency) -> Self {
        let patience = Patience { most: concurrency.queue, wait: concurrency.wait };
        let measure = Measure::Slots(u64::from(concurrency.most));
        Self::new(name, ":running", (measure, None), Unit::Running(concurrency.most, patience))
    }
}

fn method_of(said: &Said) -> &str {
    said.method.as_deref().unwrap_or(REPLIES)
}
