//! Measures what one decision of the limits costs where the counters are in memory: CPU time of the deciding thread, no
//! sockets and no requests. Prints what a run's folder keeps. `bench/README.md` says how to run it and what it means.

use std::fs;
use std::hint::black_box;
use std::num::NonZeroU64;
use std::pin;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use moorline::clock::{Chance, Clock};
use moorline::config::Rate;
use moorline::store::counters::memory::Memory;
use moorline::store::counters::{Block, Budget, BudgetId, Charge, Correction, Counters, Measure, SlotId, Subject};

// As the program itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
/// Room for every counter of every work but the flood.
const ROOM: usize = 4_000_000;

/// How much to do.
#[derive(Clone, Copy)]
struct Plan {
    /// Decisions of each work and thread in a round.
    decisions: u32,
    /// Callers that requests are drawn from, by Zipf's law.
    callers: u32,
    /// Addresses of the flood.
    flood: u32,
    /// Counters that are kept at most during it.
    most: usize,
}

const WHOLE: Plan = Plan { decisions: 2_000_000, callers: 1_000_000, flood: 10_000_000, most: 1_000_000 };
const QUICK: Plan = Plan { decisions: 200_000, callers: 100_000, flood: 100_000, most: 10_000 };

/// What is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Nothing: the clock is read, as each decision does.
    Clock,
    /// One charge, of one of 1,000 callers.
    One,
    /// Three: caller, address and tool.
    Three,
    /// The same and a slot, which is given back.
    Slot,
    /// Three, the last of which is refused: its subject is blocked.
    Refused,
    /// Three, over all callers and their addresses by Zipf's law.
    Zipf,
    /// The same from two threads at once.
    ZipfTwice,
}

const WORKS: [(Work, &str); 7] = [
    (Work::Clock, "the clock alone, for scale"),
    (Work::One, "one charge, 1,000 callers"),
    (Work::Three, "three charges, 1,000 callers"),
    (Work::Slot, "three and a slot, given back"),
    (Work::Refused, "three charges, the last refused"),
    (Work::Zipf, "three charges, Zipf"),
    (Work::ZipfTwice, "three charges, Zipf, two threads"),
];

fn main() -> Result<()> {
    let quick = std::env::args().any(|word| word == "--quick");
    let plan = if quick { QUICK } else { WHOLE };
    println!("# Decisions of the limits, counters in memory\n\n{}", machine());
    // First, so that what others leave behind is not counted.
    println!("{}\n", flood(plan)?);
    let crowd = zipf(plan);
    let mut rounds = vec![Vec::new(); WORKS.len()];
    for _ in 0..ROUNDS {
        for ((work, _), nanos) in WORKS.iter().zip(&mut rounds) {
            nanos.push(work.run(plan, &crowd)?);
        }
    }
    println!("| decision | CPU ns, median | each round |\n|---|---|---|");
    for ((_, name), nanos) in WORKS.iter().zip(&rounds) {
        let each: Vec<_> = nanos.iter().map(|nanos| format!("{nanos:.0}")).collect();
        println!("| {name} | **{:.0}** | {} |", median(nanos), each.join(", "));
    }
    Ok(())
}

impl Work {
    /// The CPU time of each decision, in nanoseconds.
    fn run(self, plan: Plan, crowd: &[u32]) -> Result<f64> {
        let clock = Clock::system();
        let memory = Memory::new(ROOM, clock.clone());
        let few: Vec<u32> = crowd.iter().map(|caller| caller % 1000).collect();
        let three = [generous(1), generous(2), generous(3)];
        match self {
            Self::Clock => measured(&few, |_| _ = black_box(clock.micros())),
            Self::One => Desk::new(&memory, &three[..1]).warm(&few, Desk::admit),
            Self::Three => Desk::new(&memory, &three).warm(&few, Desk::admit),
            Self::Zipf => Desk::new(&memory, &three).warm(crowd, Desk::admit),
            Self::Slot => {
                let slots = budget(4, Measure::Slots(1000));
                Desk::new(&memory, &[&three[..], &[slots]].concat()).warm(&few, Desk::admit_and_give_back)
            }
            Self::Refused => {
                let mut desk = Desk::new(&memory, &three);
                desk.block_all_tools()?;
                desk.warm(&few, Desk::refuse)
            }
            Self::ZipfTwice => twice(plan, &memory, crowd),
        }
    }
}

/// Each thread with budgets of its own making, as they name the same: no reference count is shared either.
fn twice(plan: Plan, memory: &Memory, crowd: &[u32]) -> Result<f64> {
    let start = Barrier::new(2);
    let work = |part: u32| {
        let mut desk = Desk::new(memory, &[generous(1), generous(2), generous(3)]);
        let mut callers = crowd.to_vec();
        callers.rotate_left((plan.decisions / 2 * part) as usize);
        callers.iter().for_each(|caller| desk.admit(*caller));
        start.wait();
        measured(&callers, |caller| desk.admit(caller))
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| work(1));
        let own = work(0)?;
        let other = other.join().ok().context("the other thread has panicked")??;
        Ok(f64::midpoint(own, other))
    })
}

/// Where one thread decides: its charges are filled in anew for each request.
struct Desk<'a> {
    memory: &'a Memory,
    charges: Vec<Charge>,
    slot: u64,
}

impl<'a> Desk<'a> {
    fn new(memory: &'a Memory, budgets: &[Arc<Budget>]) -> Self {
        let charge = |budget: &Arc<Budget>| Charge { budget: Arc::clone(budget), subject: Subject(0), cost: 1 };
        Self { memory, charges: budgets.iter().map(charge).collect(), slot: 0 }
    }

    /// Once unmeasured, so that the counters are known, and once measured.
    fn warm(mut self, callers: &[u32], turn: impl Fn(&mut Self, u32)) -> Result<f64> {
        callers.iter().for_each(|caller| turn(&mut self, *caller));
        measured(callers, |caller| turn(&mut self, caller))
    }

    /// The caller, an address of its own, one of a hundred tools, and one counter of slots: as far as there are budgets.
    fn fill_in(&mut self, caller: u32) {
        let subjects = [digest(caller.into()), digest(1 << 32 | u64::from(caller)), digest(u64::from(caller % 100)), 1];
        for (charge, subject) in self.charges.iter_mut().zip(subjects) {
            charge.subject = Subject(subject);
        }
    }

    fn decide(&mut self, caller: u32) -> bool {
        self.fill_in(caller);
        self.slot += 1;
        let taken = pin::pin!(self.memory.take(&self.charges, SlotId(self.slot)));
        let Poll::Ready(Ok(taken)) = taken.poll(&mut Context::from_waker(Waker::noop())) else { return false };
        black_box(taken).refused.is_none()
    }

    fn admit(&mut self, caller: u32) {
        let admitted = self.decide(caller);
        assert!(admitted, "{caller} was refused");
    }

    fn admit_and_give_back(&mut self, caller: u32) {
        self.admit(caller);
        let (charge, slot) = (self.charges[3].clone(), SlotId(self.slot));
        self.memory.correct(vec![Correction::Slot { charge, slot }]);
    }

    fn refuse(&mut self, caller: u32) {
        let admitted = self.decide(caller);
        assert!(!admitted, "{caller} was admitted");
    }

    fn block_all_tools(&mut self) -> Result<()> {
        for caller in 0..100 {
            self.fill_in(caller);
            let held = pin::pin!(self.memory.hold(&self.charges[2], Duration::from_secs(3600)));
            let done = held.poll(&mut Context::from_waker(Waker::noop()));
            ensure!(matches!(done, Poll::Ready(Ok(()))), "a tool could not be blocked");
        }
        Ok(())
    }
}

/// Each address comes once, and the block of one that came before must outlast them.
fn flood(plan: Plan) -> Result<String> {
    let Plan { flood, most, .. } = plan;
    let memory = Memory::new(most, Clock::system());
    let rate = Rate { count: NonZeroU64::MIN.saturating_add(99), per: Duration::from_secs(3600) };
    let block = Some(Block { first: Duration::from_secs(3600), most: Duration::from_secs(3600) });
    let measure = Measure::Gcra { rate, burst: 100 };
    let mut desk = Desk::new(&memory, &[Arc::new(Budget { block, ..Budget::clone(&budget(1, measure)) })]);
    while desk.decide(u32::MAX) {}
    let addresses: Vec<u32> = (0..flood).collect();
    let before = resident_kib()?;
    let nanos = measured(&addresses, |address| desk.admit(address))?;
    let gained = resident_kib()?.saturating_sub(before);
    let count = memory.count();
    ensure!(count <= most, "{count} counters where {most} may be");
    ensure!(!desk.decide(u32::MAX), "the one that was blocked is free");
    let each = gained * 1024 / count as u64;
    Ok(format!(
        "A flood of {flood} addresses, each of which comes once, where {most} counters may be kept: **{nanos:.0}** ns of CPU each, \
         {count} counters at the end in **{} MiB** ({each} bytes each). Who was blocked before is blocked still.",
        gained / 1024
    ))
}

/// A burst that admits whatever a benchmark asks for, and refills so slowly that a counter which is known stays known.
fn generous(id: u64) -> Arc<Budget> {
    let rate = Rate { count: NonZeroU64::MIN, per: Duration::from_secs(3600) };
    budget(id, Measure::Gcra { rate, burst: 800_000 })
}

fn budget(id: u64, measure: Measure) -> Arc<Budget> {
    Arc::new(Budget { id: BudgetId(id), name: "any".into(), measure, block: None })
}

/// Sixteen bytes without any order, as digests are.
fn digest(number: u64) -> u128 {
    let chance = Chance::seeded(number);
    u128::from(chance.next()) << 64 | u128::from(chance.next())
}

/// Callers drawn by Zipf's law with exponent 1: the n-th most frequent comes 1/n times as often as the first.
#[expect(clippy::cast_precision_loss, reason = "2^53 different numbers are enough to draw by")]
fn zipf(plan: Plan) -> Vec<u32> {
    let sums: Vec<f64> = (1..=plan.callers)
        .scan(0.0, |sum, rank| {
            *sum += 1.0 / f64::from(rank);
            Some(*sum)
        })
        .collect();
    let most = sums.last().copied().unwrap_or_default();
    let chance = Chance::seeded(1);
    let draw = |_| {
        let drawn = chance.next() as f64 / u64::MAX as f64 * most;
        u32::try_from(sums.partition_point(|sum| *sum < drawn)).unwrap_or(0).min(plan.callers - 1)
    };
    (0..plan.decisions).map(draw).collect()
}

/// This thread's CPU time for each, in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "nine digits are enough for a figure")]
fn measured(callers: &[u32], turn: impl FnMut(u32)) -> Result<f64> {
    let before = cpu_nanos()?;
    callers.iter().copied().for_each(turn);
    Ok((cpu_nanos()? - before) as f64 / callers.len() as f64)
}

/// CPU time of this thread so far. The last tick (at most 4 ms) may be missing.
fn cpu_nanos() -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().context("schedstat")?.parse()?)
}

fn resident_kib() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).context("smaps_rollup")?;
    Ok(line.split_whitespace().next().context("Rss")?.parse()?)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn machine() -> String {
    let asked = |program: &str, words: &[&str]| {
        let out = Command::new(program).args(words).output();
        out.map_or_else(|fault| fault.to_string(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "    command:  cargo bench --bench decisions\n    revision: {}\n    kernel:   {}\n    cpu:      {} cores,{model}\n    load:     {}\n",
        asked("git", &["describe", "--always", "--dirty", "--abbrev=40"]),
        asked("uname", &["-srvm"]),
        asked("nproc", &["--all"]),
        load.trim()
    )
}
