//! `moorline plan`: what was asked for, or what a load report says, becomes a target; its plan is shown, and its files are written.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::say::say;
use crate::config::{Rate, parse_duration, parse_size};
use crate::load::keep;
use crate::plan::document::document;
use crate::plan::files::disk::{self, Existing};
use crate::plan::files::files;
use crate::plan::reported::{Reported, reported};
use crate::plan::target::{CacheTarget, MOST_USERS, Quota, Scope, Target};
use crate::plan::text::text;
use crate::plan::{Plan, advice};

/// What the command line asks for.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Concurrent users, each with a session. With --from: scales the report's calls along.
    #[arg(long, value_name = "N", required_unless_present = "from", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_USERS)))]
    users: Option<u32>,
    /// Calls a minute, of all users together.
    #[arg(long, value_name = "CALLS", required_unless_present_any = ["from", "think"], conflicts_with = "think", value_parser = positive)]
    calls_per_minute: Option<f64>,
    /// Mean time between one user's calls, in the place of --calls-per-minute.
    #[arg(long, value_name = "TIME", value_parser = time)]
    think: Option<Duration>,
    /// Mean time that a server takes for a call.
    #[arg(long, value_name = "TIME", required_unless_present = "from", value_parser = time)]
    tool_latency: Option<Duration>,
    /// Share of users with an open notification stream, such as 50% [default: none].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    streams: Option<f64>,
    /// Mean number of calls in a session; 0: sessions last [default: 20].
    #[arg(long, value_name = "CALLS")]
    session_calls: Option<u32>,
    /// Calls that one server runs at the same time [default: 10 is assumed].
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    server_concurrency: Option<u32>,
    /// Servers that there are: says whether they are enough.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    servers: Option<u32>,
    /// CPU cores of an instance.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    instance_cores: u32,
    /// Mean size of a result.
    #[arg(long, value_name = "SIZE", default_value = "8KiB", value_parser = size)]
    answer_size: usize,
    /// Share of calls whose tools only read, so that answers may be kept.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    cacheable: Option<f64>,
    /// Share of those that ask what is asked again and again.
    #[arg(long, value_name = "SHARE", default_value = "50%", value_parser = share, requires = "cacheable")]
    repeat: f64,
    /// How many different questions are asked again and again.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "cacheable", value_parser = clap::value_parser!(u32).range(1..))]
    questions: u32,
    /// How old an answer may be.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time, requires = "cacheable")]
    ttl: Duration,
    /// Who shares an answer.
    #[arg(long, default_value = "caller", value_enum, requires = "cacheable")]
    cache_scope: ScopeArg,
    /// An upstream behind tools, such as an LLM API: NAME=RATE, or NAME=RATE:SHARE of the calls that go to it; once for each.
    #[arg(long, value_name = "QUOTA", value_parser = quota)]
    quota: Vec<Quota>,
    /// Which part of everything stays free.
    #[arg(long, value_name = "SHARE", default_value = "30%", value_parser = share)]
    headroom: f64,
    /// The least tier.
    #[arg(long, value_name = "TIER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    tier: u8,
    /// A report of `moorline load --json` says what is to be carried; other options win over it.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Write the files for it into a directory, which is made.
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
    /// Write over files that are there.
    #[arg(long, requires = "write")]
    force: bool,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeArg {
    Caller,
    Public,
}

fn time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).ok_or_else(|| "write a time such as 500ms, 30s or 1m30s".to_owned())?;
    if time.is_zero() { Err("it must be more than nothing".to_owned()) } else { Ok(time) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "write a number over 0, such as 600".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let part = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    part.ok().filter(|part| (0.0..=1.0).contains(part)).ok_or_else(|| "write a share such as 30% or 0.3".to_owned())
}

fn size(text: &str) -> Result<usize, String> {
    let size = parse_size(text).filter(|size| (1..=1 << 30).contains(size));
    size.ok_or_else(|| "write a size from 1B to 1GiB, such as 8KiB".to_owned())
}

fn quota(text: &str) -> Result<Quota, String> {
    let wrong = || "write NAME=RATE or NAME=RATE:SHARE, such as llm=5000/min:40%".to_owned();
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(is_name) || name == "per-session" {
        return Err("a name has 1 to 32 of a-z, 0-9, '-' and '_', and is not \"per-session\"".to_owned());
    }
    let (rate, part) = match rest.split_once(':') {
        Some((rate, part)) => (rate, share(part)?),
        None => (rest, 1.0),
    };
    let rate = rate.parse::<Rate>().map_err(|error| format!("{error}; {}", wrong()))?;
    Ok(Quota { name: name.to_owned(), rate, share: part })
}

/// Shows the plan, and writes its files.
pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<()> {
    let report = args.from.as_ref().map(read).transpose()?;
    let target = args.target(report.as_ref())?;
    let mut plan = Plan::of(target)?;
    let doubts: Vec<advice::Warning> = report.into_iter().flat_map(|report| report.warnings).collect();
    plan.warnings.splice(0..0, doubts);
    if let Some(folder) = &args.write {
        let existing = if args.force { Existing::Replace } else { Existing::Keep };
        disk::write(folder, &files(&plan)?, existing)?;
    }
    let written = args.write.as_ref().map(|folder| folder.display().to_string());
    if args.json {
        say(&format!("{:#}\n", document(&plan, written.as_deref())))
    } else {
        say(&text(&plan, written.as_deref()))
    }
}

fn read(path: &PathBuf) -> anyhow::Result<Reported> {
    let reports = keep::read_all(std::slice::from_ref(path))?;
    let report = reports.first().context("there is no report")?;
    reported(report).with_context(|| path.display().to_string())
}

impl PlanArgs {
    fn target(&self, report: Option<&Reported>) -> anyhow::Result<Target> {
        let Some(users) = self.users.or(report.map(|report| report.users)) else {
            bail!("--users or --from is needed")
        };
        let by_think = self.think.map(|think| f64::from(users) * 60.0 / think.as_secs_f64());
        // Each user calls as often as in the report.
        let by_report =
            report.map(|report| report.calls_per_minute * f64::from(users) / f64::from(report.users.max(1)));
        let Some(calls_per_minute) = self.calls_per_minute.or(by_think).or(by_report) else {
            bail!("--calls-per-minute, --think or --from is needed")
        };
        let Some(tool_latency) = self.tool_latency.or(report.map(|report| report.latency)) else {
            bail!("--tool-latency or --from is needed")
        };
        Ok(Target {
            users,
            calls_per_minute,
            tool_latency,
            streams: self.streams.or(report.map(|report| report.streams)).unwrap_or(0.0),
            session_calls: self.session_calls.or(report.map(|report| report.session_calls)).unwrap_or(20),
            server_concurrency: self.server_concurrency,
            servers: self.servers,
            instance_cores: self.instance_cores,
            answer_bytes: self.answer_size,
            cache: CacheTarget {
                cacheable: self.cacheable.unwrap_or(0.0),
                repeat: self.repeat,
                questions: self.questions,
                ttl: self.ttl,
                scope: match self.cache_scope {
                    ScopeArg::Caller => Scope::Caller,
                    ScopeArg::Public => Scope::Public,
                },
            },
            quotas: self.quota.clone(),
            headroom: self.headroom,
            least_tier: self.tier,
        })
    }
}
