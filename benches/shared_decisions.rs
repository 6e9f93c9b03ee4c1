//! Measures what one decision of the limits costs where the counters are in Redis: CPU time of this process and latency,
//! at 64 concurrent requests, beside rate-limiter-flexible with ioredis on Node, in turns against the same redis-server.
//! Prints what a run's folder keeps. `bench/README.md` says how to run it and what it means.

use std::fs;
use std::net::TcpListener;
use std::num::NonZeroU64;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use moorline::clock::Clock;
use moorline::config::{Config, LimitsAway, Rate, StoreUrl};
use moorline::store::counters::memory::Memory;
use moorline::store::counters::shared::Shared;
use moorline::store::counters::{Budget, BudgetId, Charge, Counters, Measure, SlotId, Subject};
use moorline::store::redis::{Redis, RedisOptions};
use serde_json::Value;
use tokio::time::sleep;

// As the program itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 3;
const WIDTH: usize = 64;

/// What one round has measured.
#[derive(Clone, Copy, Debug)]
struct Round {
    per_second: f64,
    cpu_micros: f64,
    p50: f64,
    p99: f64,
}

/// A redis-server of our own.
struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<()> {
    let seconds = if std::env::args().any(|word| word == "--quick") { 1 } else { 4 };
    let server = redis()?;
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); 3];
    for _ in 0..ROUNDS {
        rounds[0].push(flexible(&server.1, seconds)?);
        rounds[1].push(ours(&server.1, 1, seconds)?);
        rounds[2].push(ours(&server.1, 3, seconds)?);
    }
    println!("# Decisions of the limits, counters in Redis, {WIDTH} at the same time\n");
    println!(
        "| who | CPU µs per decision, median | each round | ratio | decisions per second | p50 µs | p99 µs |\n|---|---|---|---|---|---|---|"
    );
    let peer = median(rounds[0].iter().map(|round| round.cpu_micros));
    let names = [
        "rate-limiter-flexible 11.4, ioredis 6, one charge",
        "Moorline, one charge",
        "Moorline, three charges in one call",
    ];
    for (name, rounds) in names.iter().zip(&rounds) {
        let of = |what: fn(&Round) -> f64| median(rounds.iter().map(what));
        let each: Vec<_> = rounds.iter().map(|round| format!("{:.1}", round.cpu_micros)).collect();
        let cpu = of(|round| round.cpu_micros);
        println!(
            "| {name} | **{cpu:.1}** | {} | {:.2} | {:.0} | {:.0} | {:.0} |",
            each.join(", "),
            cpu / peer,
            of(|round| round.per_second),
            of(|round| round.p50),
            of(|round| round.p99)
        );
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn redis() -> Result<Server> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]).stdout(Stdio::null());
    let server = Server(command.spawn().context("start redis-server")?, format!("redis://127.0.0.1:{port}"));
    let there = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(50));
        std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok()
    });
    ensure!(there, "redis-server does not answer");
    Ok(server)
}

fn flexible(url: &str, seconds: u64) -> Result<Round> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/limits/flexible.mjs");
    let words = [script, url, &WIDTH.to_string(), &seconds.to_string()];
    let output = Command::new("node").args(words).stderr(Stdio::inherit()).output().context("start node")?;
    let answer: Value = serde_json::from_slice(&output.stdout).context("run `npm ci` in bench/limits first")?;
    let number = |name: &str| answer[name].as_f64().unwrap_or_default();
    Ok(Round {
        per_second: number("perSecond"),
        cpu_micros: number("cpuMicros"),
        p50: number("p50"),
        p99: number("p99"),
    })
}

fn ours(url: &str, charges: usize, seconds: u64) -> Result<Round> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = format!("store.url = {url:?}\n[[pool]]\nbackends = [\"http://127.0.0.1:1/mcp\"]\n");
    let config: Config = Config::parse("bench.toml", &text)?;
    let StoreUrl::Redis(url) = config.store.url else { anyhow::bail!("it is a Redis") };
    runtime.block_on(async {
        let (timeout, clock) = (Duration::from_secs(1), Clock::system());
        let options = RedisOptions { prefix: "bench", ca_file: None, timeout, lifetime: Duration::from_secs(3600) };
        let redis = Redis::start(&url, options)?;
        ensure!(redis.arrived(Duration::from_secs(5)).await, "no redis");
        let near = Arc::new(Memory::new(1000, clock.clone()));
        let counters = Shared::start(Arc::new(redis.counters()), near, (timeout, LimitsAway::Share), clock.clone());
        run(&counters, charges, Duration::from_secs(1), &clock).await?;
        run(&counters, charges, Duration::from_secs(seconds), &clock).await
    })
}

async fn run(counters: &Shared, charges: usize, lasts: Duration, clock: &Clock) -> Result<Round> {
    let over = AtomicBool::new(false);
    let budgets: Vec<_> = (0..charges).map(budget).collect();
    let (begun, used) = (clock.now(), cpu_nanos()?);
    let callers = (0..WIDTH).map(|number| caller(counters, (&budgets, number), &over, clock));
    let timer = async {
        sleep(lasts).await;
        over.store(true, Ordering::Relaxed);
    };
    let (taken, ()) = tokio::join!(join_all(callers), timer);
    let (wall, used) = (clock.now().duration_since(begun), cpu_nanos()? - used);
    let mut taken: Vec<u64> = taken.into_iter().collect::<Result<Vec<_>>>()?.concat();
    taken.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds")]
    let (count, used, at) =
        (taken.len() as f64, used as f64, |percent: usize| taken[(taken.len() - 1) * percent / 100] as f64 / 1000.0);
    Ok(Round { per_second: count / wall.as_secs_f64(), cpu_micros: used / 1000.0 / count, p50: at(50), p99: at(99) })
}

async fn caller(
    counters: &Shared,
    (budgets, number): (&[Arc<Budget>], usize),
    over: &AtomicBool,
    clock: &Clock,
) -> Result<Vec<u64>> {
    let mut taken = Vec::new();
    for turn in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let subject = Subject((number * 100 + turn % 100) as u128);
        let charges: Vec<_> =
            budgets.iter().map(|budget| Charge { budget: Arc::clone(budget), subject, cost: 1 }).collect();
        let begun = clock.now();
        let answer = counters.take(&charges, SlotId(0)).await?;
        ensure!(answer.refused.is_none() && answer.standings.len() == budgets.len(), "it was not admitted");
        taken.push(u64::try_from(clock.now().duration_since(begun).as_nanos())?);
    }
    Ok(taken)
}

fn budget(number: usize) -> Arc<Budget> {
    let count = NonZeroU64::new(1_000_000).expect("it is not zero");
    let rate = Rate { count, per: Duration::from_secs(1) };
    let name = format!("bench-{number}").into();
    Arc::new(Budget {
        id: BudgetId(number as u64),
        name,
        measure: Measure::Gcra { rate, burst: 1_000_000 },
        block: None,
    })
}

/// What all threads of this process have spent on a CPU.
fn cpu_nanos() -> Result<u64> {
    let tasks = fs::read_dir("/proc/self/task")?.filter_map(Result::ok);
    let spent = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    Ok(spent.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum())
}
