//! The access log: one JSON object a line, one line an exchange. Says nothing that a client or a server has said in a body.

use std::fmt::Write as _;

use super::trail::Done;
use crate::mcp::version::Era;
use crate::names::InstanceId;

/// Writes the line of an exchange whose answer has ended at that time, in unix milliseconds.
pub fn line(line: &mut String, done: &Done<'_>, (at, instance): (u64, InstanceId)) {
    // Writing to a String cannot fail.
    let mut put = |text: std::fmt::Arguments<'_>| {
        let _ = line.write_fmt(text);
    };
    let trail = done.trail;
    put(format_args!("{{\"at\":{at},\"instance\":\"{instance}\",\"status\":{}", done.status.as_u16()));
    put(format_args!(",\"outcome\":\"{}\"", done.outcome.name()));
    if let Some(facts) = &trail.facts {
        let era = if facts.era == Era::Modern { "modern" } else { "legacy" };
        let pool = facts.pool.settings();
        put(format_args!(",\"pool\":\"{}\",\"client\":\"{}\",\"era\":\"{era}\"", pool.name.as_str(), facts.client));
        put(format_args!(",\"method\":{}", quoted(facts.verb())));
        if let Some(caller) = &facts.caller {
            put(format_args!(",\"caller\":{}", quoted(&caller.name)));
        }
        if let Some(name) = &facts.name {
            put(format_args!(",\"name\":{}", quoted(name)));
        }
        put(format_args!(",\"bytes_in\":{}", facts.body));
    }
    if let Some(session) = trail.session {
        put(format_args!(",\"session\":\"{session}\""));
    }
    if let Some(trace) = trail.trace {
        put(format_args!(",\"trace\":\"{trace}\""));
    }
    if let Some(cached) = trail.cached {
        put(format_args!(",\"cache\":\"{cached}\""));
    }
    if let Some(backend) = &trail.legs.backend {
        put(format_args!(",\"backend\":\"{}\",\"tries\":{}", backend.name, trail.legs.tries));
        put(format_args!(",\"backend_us\":{}", done.backend.as_micros()));
    }
    if let Some(code) = done.code {
        put(format_args!(",\"error\":{code}"));
    }
    if let Some(refusal) = trail.refusal {
        put(format_args!(",\"refused\":\"{refusal}\""));
    }
    if let Some(limit) = &trail.limit {
        put(format_args!(",\"limit\":{}", quoted(limit)));
    }
    put(format_args!(",\"own_us\":{},\"us\":{}", done.own.as_micros(), done.whole.as_micros()));
    put(format_args!(",\"bytes_out\":{},\"ended\":{}}}\n", done.bytes, done.ended));
}

fn quoted(text: &str) -> serde_json::Value {
    text.into()
}
