//! Which of MCP's two response types an `Accept` header allows (RFC 9110 §12.5.1). Whether both must be listed,
//! as the specification has it, is the caller's to insist on: real clients vary.

use http::HeaderMap;
use http::header::ACCEPT;

/// Ways to allow both.
const BOTH: [&[u8]; 3] = [b"application/json, text/event-stream", b"text/event-stream, application/json", b"*/*"];

/// What a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// `application/json`.
    pub json: bool,
    /// `text/event-stream`.
    pub event_stream: bool,
}

impl Accepts {
    /// Reads every `Accept` line; a request without one takes anything (RFC 9110 §12.5.1).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        // What the SDKs send needs no reading.
        if headers.get(ACCEPT).is_some_and(|line| BOTH.contains(&line.as_bytes())) {
            return Self { json: true, event_stream: true };
        }
        let mut lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok()).peekable();
        if lines.peek().is_none() {
            return Self { json: true, event_stream: true };
        }
        let (mut json, mut event_stream) = (Best::default(), Best::default());
        for range in lines.flat_map(|line| line.split(',')) {
            json.weigh(range, "application", "json");
            event_stream.weigh(range, "text", "event-stream");
        }
        Self { json: json.allowed, event_stream: event_stream.allowed }
    }
}

/// The most specific range that fits a type so far, and whether it allows the type.
#[derive(Default)]
struct Best {
    rank: u8,
    allowed: bool,
}

impl Best {
    fn weigh(&mut self, range: &str, kind: &str, subtype: &str) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let rank = match media.split_once('/') {
            Some((own, sub)) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => 3,
            Some((own, "*")) if own.eq_ignore_ascii_case(kind) => 2,
            Some(("*", "*")) => 1,
            _ => return,
        };
        let allowed = !parts.any(is_zero_weight);
        if rank > self.rank {
            *self = Self { rank, allowed };
        } else if rank == self.rank {
            self.allowed |= allowed;
        }
    }
}

fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q") && weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> (bool, bool) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, line.parse().unwrap());
        }
        let accepts = Accepts::of(&headers);
        (accepts.json, accepts.event_stream)
    }

    #[test]
    fn reads_lists_lines_and_wildcards() {
        assert_eq!(of(&["application/json, text/event-stream"]), (true, true));
        assert_eq!(of(&["application/json", "TEXT/Event-Stream;charset=utf-8"]), (true, true));
        assert_eq!(of(&["application/json"]), (true, false));
        assert_eq!(of(&["text/*"]), (false, true));
        assert_eq!(of(&["*/*"]), (true, true));
        assert_eq!(of(&[]), (true, true));
        assert_eq!(of(&["text/html"]), (false, false));
        assert_eq!(of(&[""]), (false, false));
    }

    #[test]
    fn the_most_specific_range_decides() {
        assert_eq!(of(&["*/*, text/event-stream;q=0"]), (true, false));
        assert_eq!(of(&["text/event-stream ; Q=0.000 , text/*"]), (false, false));
        assert_eq!(of(&["*/*;q=0, application/json;q=0.1"]), (true, false));
    }
}
