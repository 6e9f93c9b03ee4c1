//! That the scripts and the pure arithmetic agree: every decision, and everything that is told, over years of made-up time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::store::counters::Micros;
use crate::store::counters::account::{Account, Refusal};
use crate::store::redis::counters::spelling::{self, Weighed};
use crate::store::redis::script::{self, Script};

const START: Micros = 1_800_000_000_000_000;
const MONTH: u64 = 30 * 86_400;

/// What is done to the counters.
#[derive(Clone, Debug)]
enum Act {
    /// Charges to these counters, so many parts of what can be spent each.
    Take(Vec<(usize, u64)>),
    /// One charge turns out to have cost something else; by when it was made, in parts of a period ago.
    Correct {
        which: usize,
        charged: u64,
        actual: u64,
        ago: u64,
    },
    Owe(usize, u64),
    Hold(usize, u64),
    Lift(usize),
    /// Time passes: thousandths of a period of that counter, and microseconds.
    Wait(usize, u64, u64),
}

fn measures() -> impl Strategy<Value = Measure> {
    let rates = prop_oneof![
        (1_u64..50, 1_u64..100),
        (1_u64..100_000, Just(60)),
        (1..=MONTH).prop_flat_map(|per| (1..=1_000_000 * per, Just(per))),
    ];
    let rates = rates.prop_map(|(count, per)| rate(count, per));
    let bursts = prop_oneof![1_u64..20, 1_u64..1_000_000, 1_u64..1 << 40];
    prop_oneof![
        3 => (rates.clone(), bursts).prop_map(|(rate, burst)| {
            // What takes much longer is cut down, since the sums must stay below 2^53: not at the same place here and there.
            let most = 30 * 365 * 86_400 * u128::from(rate.count.get()) / u128::from(rate.per.as_secs());
            Measure::Gcra { rate, burst: u64::try_from(most).map_or(burst, |most| burst.min(most)) }
        }),
        2 => rates.clone().prop_map(Measure::FixedWindow),
        3 => rates.prop_map(Measure::SlidingWindow),
    ]
}

fn blocks() -> impl Strategy<Value = Option<Block>> {
    let block = |(first, times)| Block { first: Duration::from_secs(first), most: Duration::from_secs(first * times) };
    prop_oneof![Just(None), (1_u64..1000, 0_u64..20).prop_map(move |block_of| Some(block(block_of)))]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let cost = || prop_oneof![4 => 0_u64..4, 2 => 4_u64..1000, 1 => Just(u64::MAX)];
    let which = || 0_usize..5;
    let act = prop_oneof![
        8 => prop::collection::btree_map(which(), cost(), 1..4).prop_map(|charges| Act::Take(charges.into_iter().collect())),
        3 => (which(), cost(), cost(), 0_u64..2500)
            .prop_map(|(which, charged, actual, ago)| Act::Correct { which, charged, actual, ago }),
        1 => (which(), 0_u64..1000).prop_map(|(which, cost)| Act::Owe(which, cost)),
        1 => (which(), 1_u64..1000).prop_map(|(which, seconds)| Act::Hold(which, seconds)),
        1 => which().prop_map(Act::Lift),
        5 => (which(), prop_oneof![0_u64..100, 0_u64..3000], 0_u64..3).prop_map(|(n, part, micros)| Act::Wait(n, part, micros)),
    ];
    prop::collection::vec(act, 1..40)
}

/// A budget that is not exceeded.
fn ample(budget: &Budget) -> Budget {
    let much = |rate: Rate| Rate { count: NonZeroU64::new(1 << 60).unwrap(), ..rate };
    let measure = match budget.measure {
        Measure::Gcra { rate, .. } => Measure::Gcra { rate, burst: 1 << 60 },
        Measure::FixedWindow(rate) => Measure::FixedWindow(much(rate)),
        Measure::SlidingWindow(rate) => Measure::SlidingWindow(much(rate)),
        Measure::Slots(most) => Measure::Slots(most),
    };
    Budget { measure, ..budget.clone() }
}

/// A server in which time is made up, and the same in pure arithmetic.
struct Pair {
    line: Arc<Line>,
    names: Names,
    budgets: Vec<Arc<Budget>>,
    accounts: HashMap<usize, Account>,
    now: Micros,
}

impl Pair {
    /// Asks with the server's clock and the end of keys made up.
    async fn ask(&self, ask: &Ask) -> Value {
        let full = ask.command(true).into_owned();
        let mut arguments = full.args_iter().map(|argument| match argument {
            redis::Arg::Simple(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        });
        let mut command = redis::cmd(std::str::from_utf8(&arguments.next().unwrap()).unwrap());
        let text = String::from_utf8(arguments.next().unwrap()).unwrap();
        let clock = format!("{{'{}', '{}'}}", self.now / 1_000_000, self.now % 1_000_000);
        let text = text.replace("redis.call('TIME')", &clock).replace("'PX', digits(", "'PX', 1e9 + tonumber(");
        command.arg(text);
        arguments.for_each(|argument| {
            command.arg(argument);
        });
        self.line.ask(&Ask::plain(ask.place, command)).await.unwrap()
    }

    /// So many parts of what can be spent, where it is not a few.
    fn charge(&self, which: usize, cost: u64) -> Charge {
        let budget = Arc::clone(&self.budgets[which]);
        let cost = match cost {
            0..4 | u64::MAX => cost,
            parts => budget.most() / parts.min(budget.most()),
        };
        Charge { budget, subject: Subject(77), cost }
    }

    async fn exists(&self, which: usize) -> bool {
        let mut key = String::new();
        self.names.counter(&self.charge(which, 0), &mut key);
        let exists = Ask::plain(Place::RING, redis::cmd("EXISTS").arg(key).clone());
        self.line.ask(&exists).await.unwrap() == Value::Int(1)
    }

    fn account(&self, which: usize) -> Account {
        self.accounts.get(&which).copied().unwrap_or_else(|| Account::fresh(&self.budgets[which]))
    }

    /// What says no more than a fresh one may be kept or not: the server decides. Anything else is.
    async fn keep(&mut self, which: usize, account: Account) {
        if self.exists(which).await {
            self.accounts.insert(which, account);
        } else {
            assert!(account.forgotten_at(&self.budgets[which]) <= self.now, "{account:?} was forgotten");
            self.accounts.remove(&which);
        }
    }

    fn period(&self, which: usize) -> Micros {
        match self.budgets[which].measure {
            Measure::Gcra { rate, .. } | Measure::FixedWindow(rate) | Measure::SlidingWindow(rate) => {
                counters::micros(rate.per)
            }
            Measure::Slots(_) => 0,
        }
    }

    async fn act(&mut self, act: Act, slot: u64) {
        match act {
            Act::Wait(which, part, micros) => self.now += self.period(which) / 1000 * part + micros,
            Act::Take(parts) => self.take(&parts, SlotId(slot)).await,
            Act::Correct { which, charged, actual, ago } => {
                let (charge, actual) = (self.charge(which, charged), self.charge(which, actual).cost);
                // More than there is was never charged.
                let charge = Charge { cost: charge.cost.min(charge.budget.most()), ..charge };
                let at = self.now - self.period(which) / 1000 * ago;
                let found = self.accounts.get(&which).copied();
                self.ask(&spelling::correct(&self.names, &charge, at, actual)).await;
                let account = found.unwrap_or_else(|| Account::remembered(&charge, at));
                self.keep(which, account.settle(&charge, actual, at, self.now)).await;
            }
            Act::Owe(which, cost) => {
                let charge = self.charge(which, cost);
                let ample = Charge { budget: Arc::new(ample(&charge.budget)), ..charge.clone() };
                let account = self.account(which);
                let unblocked = Account { spent: account.spent, ..Account::fresh(&charge.budget) };
                if let Ok(Account { spent, .. }) = unblocked.take(&ample, self.now) {
                    let debt = std::iter::once(&charge);
                    self.ask(&spelling::weigh(&script::OWE, Place::RING, &self.names, debt, SlotId(0))).await;
                    self.keep(which, Account { spent, ..account }).await;
                }
            }
            Act::Hold(which, seconds) => {
                let lasts = Duration::from_secs(seconds);
                self.ask(&spelling::hold(&self.names, &self.charge(which, 0), lasts)).await;
                let account = self.account(which);
                self.keep(which, Account { blocked: account.blocked.hold(lasts, self.now), ..account }).await;
            }
            Act::Lift(which) => {
                let was = self.ask(&spelling::lift(&self.names, &self.charge(which, 0))).await;
                let account = self.account(which);
                assert_eq!(was, Value::Int((account.blocked.left(self.now) > 0).into()));
                let fresh = Account::fresh(&self.budgets[which]);
                self.keep(which, Account { spent: account.spent, ..fresh }).await;
            }
        }
    }

    async fn take(&mut self, parts: &[(usize, u64)], slot: SlotId) {
        let charges: Vec<Charge> = parts.iter().map(|(which, cost)| self.charge(*which, *cost)).collect();
        let judged: Vec<_> =
            parts.iter().zip(&charges).map(|((n, _), charge)| self.account(*n).take(charge, self.now)).collect();
        let refused = (0..charges.len()).find(|n| judged[*n].is_err());
        let looked = self.weigh(&script::LOOK, &charges, slot).await;
        let standings = |pair: &Self| -> Vec<_> {
            parts.iter().zip(&charges).map(|((n, _), charge)| pair.account(*n).standing(charge, pair.now)).collect()
        };
        let told = |weighed: &Weighed| -> Vec<_> {
            weighed
                .accounts
                .iter()
                .zip(&charges)
                .map(|(account, charge)| account.standing(charge, weighed.at))
                .collect()
        };
        assert_eq!((looked.refused, told(&looked)), (refused, standings(self)), "looked");
        let taken = self.weigh(&script::TAKE, &charges, slot).await;
        match refused {
            None => {
                for ((which, _), account) in parts.iter().zip(judged) {
                    self.keep(*which, account.unwrap()).await;
                }
            }
            Some(n) if judged[n] == Err(Refusal::Spent) && charges[n].budget.block.is_some() => {
                let account = self.account(parts[n].0).refuse(&charges[n].budget, self.now);
                self.keep(parts[n].0, account).await;
            }
            Some(_) => {}
        }
        assert_eq!((taken.at, taken.refused), (self.now, refused));
        assert_eq!(told(&taken), standings(self), "taken");
    }

    async fn weigh(&self, script: &'static Script, charges: &[Charge], slot: SlotId) -> Weighed {
        let ask = spelling::weigh(script, Place::RING, &self.names, charges.iter(), slot);
        Weighed::read(self.ask(&ask).await, charges.iter()).unwrap()
    }
}

#[test]
fn scripts_and_arithmetic_agree_to_the_last_microsecond() {
    let server = Server::start(Program::Redis, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(connected(&server.url(), options("p")));
    let budgets = prop::collection::vec((measures(), blocks()), 5);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(512));
    let agreed = runner.run(&(budgets, acts()), |(budgets, acts)| {
        let named = |(n, (measure, block))| Arc::new(Budget { block, ..budget(&format!("b{n}"), measure) });
        let mut pair = Pair {
            line: Arc::clone(&store.line),
            names: Names::new(&fresh_prefix(), 0),
            budgets: budgets.into_iter().enumerate().map(named).collect(),
            accounts: HashMap::new(),
            now: START,
        };
        runtime.block_on(async {
            for (slot, act) in (0..).zip(acts) {
                pair.act(act, slot).await;
            }
        });
        Ok(())
    });
    agreed.unwrap();
}
