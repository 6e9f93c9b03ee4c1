//! `moorline limits`: asks a running instance how its limits stand, and prints it for people.

use std::fmt::Write as _;

use clap::Args;
use serde::Deserialize;

use super::ask::{Instance, escaped};
use super::table::printable;

#[derive(Debug, Args)]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    instance: Instance,
    /// One account: an address, a session, a tool, "address tool", or a header field's value, as the limits' keys want it.
    #[arg(long, visible_alias = "account", value_name = "WHO")]
    caller: Option<String>,
    /// How many of the heaviest spenders of each limit are shown (64 at most).
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u8).range(..=64))]
    top: u8,
}

#[derive(Deserialize)]
struct Answer {
    limits: Vec<Limit>,
}

#[derive(Deserialize)]
struct Limit {
    name: String,
    key: String,
    rates: Vec<String>,
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Account {
    subject: String,
    asked: Option<u64>,
    standings: Vec<Standing>,
}

#[derive(Deserialize)]
struct Standing {
    what: String,
    limit: u64,
    remaining: u64,
    reset_ms: u64,
    blocked_ms: Option<u64>,
}

pub(super) fn limits(args: &LimitsArgs) -> anyhow::Result<()> {
    let path = match &args.caller {
        Some(caller) => format!("/api/v1/limits?subject={}", escaped(caller)),
        None => format!("/api/v1/limits?top={}", args.top),
    };
    args.instance.show(&path, table)
}

fn table(answer: &Answer) -> String {
    let mut out = String::new();
    if answer.limits.is_empty() {
        out.push_str("nothing is limited\n");
    }
    for limit in &answer.limits {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}  ({} {})", limit.name, limit.rates.join(", "), each(&limit.key));
        if limit.accounts.is_empty() {
            out.push_str("    nobody has asked for anything yet\n");
        }
        for account in &limit.accounts {
            let asked = account.asked.map_or_else(String::new, |asked| format!("  asked for {asked}"));
            let subject = if account.subject.is_empty() { "everybody".into() } else { printable(&account.subject) };
            let _ = writeln!(out, "    {subject}{asked}");
            account.standings.iter().for_each(|standing| out.push_str(&line(standing)));
        }
    }
    out
}

fn each(key: &str) -> String {
    if key == "global" { "for all together".into() } else { format!("for each {key}") }
}

fn line(standing: &Standing) -> String {
    let seconds = |millis: u64| millis.div_ceil(1000);
    let state = match (standing.blocked_ms, standing.limit) {
        (Some(millis), _) => format!("blocked for {} s more", seconds(millis)),
        (None, 0) => "not paused".into(),
        (None, limit) if standing.reset_ms > 0 => {
            format!("{} of {limit} left, all again in {} s", standing.remaining, seconds(standing.reset_ms))
        }
        (None, limit) => format!("{} of {limit} left", standing.remaining),
    };
    format!("        {:<28} {state}\n", standing.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_who_has_how_much_left() {
        let answer = r#"{"limits":[{"name":"per-caller","key":"caller","rates":["60 calls per minute"],"accounts":[
            {"subject":"10.0.0.1","asked":99,"standings":[{"what":"60 calls per minute","limit":60,"remaining":0,"reset_ms":60000,"blocked_ms":47001}]},
            {"subject":"10.0.0.2","asked":2,"standings":[{"what":"60 calls per minute","limit":60,"remaining":58,"reset_ms":1900}]}]},
            {"name":"openai","key":"global","rates":["20 at the same time"],"accounts":[]}]}"#;
        let table = table(&serde_json::from_str(answer).unwrap());
        let expected = "per-caller  (60 calls per minute for each caller)\n    10.0.0.1  asked for 99\n        \
                        60 calls per minute          blocked for 48 s more\n    10.0.0.2  asked for 2\n        \
                        60 calls per minute          58 of 60 left, all again in 2 s\nopenai  (20 at the same time for each all together)\n    \
                        nobody has asked for anything yet\n";
        assert_eq!(table, expected.replace("for each all together", "for all together"));
    }
}
