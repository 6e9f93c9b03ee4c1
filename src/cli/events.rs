//! `moorline events`: what has happened at an instance lately, and what happens while it is watched.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::Instance;
use super::say::say;
use super::table::printable;

/// How often it is asked what is new.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    instance: Instance,
    /// How many at most (512 at most).
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    most: u16,
    /// Go on with what happens from now on, until Ctrl-C. With --json one event a line.
    #[arg(long)]
    follow: bool,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
    newest: u64,
}

#[derive(Deserialize, Serialize)]
struct Event {
    number: u64,
    at: u64,
    level: String,
    message: String,
    fields: BTreeMap<String, Value>,
}

pub(super) fn events(args: &EventsArgs) -> anyhow::Result<()> {
    let first = format!("/api/v1/events?most={}", args.most);
    if !args.follow {
        return args.instance.show(&first, |events: &Events| events.events.iter().map(line).collect());
    }
    let mut events: Events = args.instance.get(&first)?;
    loop {
        let json = args.instance.wants_json();
        let shown = events.events.iter().map(|event| {
            // Texts, numbers and maps of them can always be written.
            if json { serde_json::to_string(event).unwrap_or_default() + "\n" } else { line(event) }
        });
        say(&shown.collect::<String>())?;
        std::thread::sleep(LOOK);
        let newest = events.newest;
        events = args.instance.get(&format!("/api/v1/events?most=512&after={newest}"))?;
        if events.newest < newest {
            // It has started anew, and counts from 1.
            events = args.instance.get("/api/v1/events?most=512")?;
        }
    }
}

fn line(event: &Event) -> String {
    let seconds = event.at / 1000 % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = format!("{hour:02}:{minute:02}:{second:02}Z {:<5} {}", event.level, printable(&event.message));
    for (name, value) in &event.fields {
        let value = value.as_str().map_or_else(|| value.to_string(), printable);
        // Writing to a string cannot fail.
        let _ = write!(out, " {name}={value}");
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_time() {
        let text = r#"{"number":3,"at":1795437296000,"level":"warn","message":"backend ejected","fields":{"backend":"b:1\n","tries":3}}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(line(&event), "12:34:56Z warn  backend ejected backend=b:1\\n tries=3\n");
    }
}
