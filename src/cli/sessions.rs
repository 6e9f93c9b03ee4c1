//! `moorline sessions` and `moorline session`: who lies where, and what is done about one of them.

use std::fmt::Write as _;

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::ask::{Instance, escaped};
use super::orders::find;
use super::table::{length, printable, table};
use crate::clock::Clock;

#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    #[command(flatten)]
    instance: Instance,
    /// Only those at this backend: its id, its URL, or its name.
    #[arg(long, value_name = "BACKEND")]
    backend: Option<String>,
    /// Only those of this caller: its name, or its address where callers are not authenticated.
    #[arg(long, value_name = "WHO")]
    caller: Option<String>,
    /// Only those of this pool.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Only those after this one, in the order of their ids.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// How many at most (500 at most).
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    most: u16,
}

#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    #[command(flatten)]
    instance: Instance,
    /// The session's id, as logs and `moorline sessions` have it (32 hex digits).
    #[arg(value_name = "ID")]
    id: String,
    /// End it, as its client would.
    #[arg(long, conflicts_with = "move_to")]
    end: bool,
    /// Move it: to this backend (id, URL or name), or without one to the best other one.
    #[arg(long = "move", value_name = "BACKEND", num_args = 0..=1, default_missing_value = "")]
    move_to: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    sessions: Vec<Session>,
    next: Option<String>,
    known: u64,
}

#[derive(Deserialize)]
struct Session {
    id: String,
    pool: Option<String>,
    backend: Place,
    epoch: u32,
    caller: Option<String>,
    created_at: u64,
    last_seen_at: u64,
    in_flight: u32,
    open_streams: u32,
}

#[derive(Deserialize)]
struct Place {
    name: String,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(flatten)]
    session: Session,
    protocol_version: Option<String>,
    known_here: bool,
    immovable: Option<Immovable>,
    journal: Option<Journal>,
}

#[derive(Deserialize)]
struct Immovable {
    detail: String,
}

#[derive(Deserialize)]
struct Journal {
    client: Option<Client>,
    subscriptions: u64,
}

#[derive(Deserialize)]
struct Client {
    name: String,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Ended {
    backend: String,
}

#[derive(Deserialize)]
struct Moved {
    from: Place,
    to: Place,
    took_ms: u64,
}

pub(super) fn sessions(args: &SessionsArgs) -> anyhow::Result<()> {
    let backend = args.backend.as_ref().map(|named| find(&args.instance, named)).transpose()?;
    let wanted = [("backend", &backend), ("caller", &args.caller), ("pool", &args.pool), ("after", &args.after)];
    let mut path = format!("/api/v1/sessions?most={}", args.most);
    for (name, value) in wanted {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(path, "&{name}={}", escaped(value));
        }
    }
    args.instance.show(&path, |page| list(page, Clock::system().unix_millis()))
}

pub(super) fn session(args: &SessionArgs) -> anyhow::Result<()> {
    let path = format!("/api/v1/sessions/{}", escaped(&args.id));
    if args.end {
        return args.instance.order((Method::DELETE, &path), &json!({}), |ended: &Ended| {
            format!("ended; {}\n", at_its_backend(&ended.backend))
        });
    }
    let Some(named) = &args.move_to else {
        return args.instance.show(&path, |detail| one(detail, Clock::system().unix_millis()));
    };
    let told = if named.is_empty() { json!({}) } else { json!({ "backend": find(&args.instance, named)? }) };
    args.instance.order((Method::POST, &format!("{path}/move")), &told, |moved: &Moved| {
        format!("moved from {} to {} in {}\n", moved.from.name, moved.to.name, length(moved.took_ms))
    })
}

fn at_its_backend(word: &str) -> &str {
    match word {
        "told" => "its backend is being told",
        "left" => "its backend wants its client's credentials, and will end it by itself",
        _ => "its backend cannot be reached",
    }
}

fn list(page: &Page, now: u64) -> String {
    let rows = page.sessions.iter().map(|session| {
        let caller = session.caller.as_deref().map_or_else(|| "?".into(), printable);
        let (in_flight, streams) = (session.in_flight.to_string(), session.open_streams.to_string());
        let seen = length(now.saturating_sub(session.last_seen_at));
        let pool = session.pool.as_deref().map_or_else(|| "?".into(), printable);
        [session.id.clone(), pool, printable(&session.backend.name), caller, in_flight, streams, seen]
    });
    let heading = ["SESSION", "POOL", "BACKEND", "CALLER", "IN FLIGHT", "STREAMS", "SEEN AGO"];
    let mut out = table(heading, &rows.collect::<Vec<_>>());
    // Writing to a string cannot fail.
    let _ = match &page.next {
        Some(next) => writeln!(out, "of {} sessions; more with --after {next}", page.known),
        None => writeln!(out, "of {} sessions", page.known),
    };
    out
}

fn one(detail: &Detail, now: u64) -> String {
    let Detail { session, .. } = detail;
    let ago = |at: u64| format!("{} ago", length(now.saturating_sub(at)));
    let mut rows = vec![
        ("session", session.id.clone()),
        ("pool", session.pool.as_deref().map_or_else(|| "not configured any more".into(), printable)),
        ("backend", format!("{}, after {} moves", printable(&session.backend.name), session.epoch)),
        ("caller", session.caller.as_deref().map_or_else(|| "has not been here".into(), printable)),
        ("began", ago(session.created_at)),
        ("last seen", ago(session.last_seen_at)),
        ("in flight", session.in_flight.to_string()),
        ("open streams", session.open_streams.to_string()),
        ("known here", if detail.known_here { "yes" } else { "no: this is what the store holds" }.into()),
    ];
    rows.extend(detail.protocol_version.as_deref().map(|version| ("protocol", printable(version))));
    if let Some(journal) = &detail.journal {
        let client = |client: &Client| format!("{} {}", client.name, client.version.as_deref().unwrap_or_default());
        rows.extend(journal.client.as_ref().map(|one| ("client", printable(client(one).trim_end()))));
        rows.push(("subscriptions", journal.subscriptions.to_string()));
    }
    rows.extend(detail.immovable.as_ref().map(|why| ("cannot move", why.detail.clone())));
    rows.iter().map(|(name, value)| format!("{name:<15}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = r#""id":"0f","pool":"mcp","backend":{"id":"00","name":"b:1/mcp"},"epoch":2,"caller":"key:a\u001b",
        "created_at":0,"last_seen_at":58000,"in_flight":1,"open_streams":1"#;

    #[test]
    fn a_list_says_where_it_goes_on() {
        let page =
            serde_json::from_str(&format!("{{\"sessions\":[{{{SESSION}}}],\"next\":\"0f\",\"known\":9}}")).unwrap();
        let shown = list(&page, 60_000);
        let row = shown.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(row, "0f mcp b:1/mcp key:a\\u{1b} 1 1 2 s");
        assert!(shown.ends_with("of 9 sessions; more with --after 0f\n"), "{shown}");
    }

    #[test]
    fn one_is_shown_with_why_it_cannot_move() {
        let text = format!(
            r#"{{{SESSION},"protocol_version":"2025-11-25","known_here":false,"immovable":{{"reason":"busy","detail":"it is busy"}},
            "journal":{{"client":{{"name":"c"}},"capabilities":[],"initialized":true,"subscriptions":3,"bytes":9}}}}"#
        );
        let shown = one(&serde_json::from_str(&text).unwrap(), 60_000);
        for part in
            ["after 2 moves", "1 min ago", "what the store holds", "client         c\n", "cannot move    it is busy\n"]
        {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}
