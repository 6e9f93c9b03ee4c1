//! The access log: one JSON object a line, one line an exchange. Says nothing that a client or a server has said in a body. Lines are put
//! together piece by piece: `write!` would take a fifth of what all of a request takes outside the kernel.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::trail::Done;
use crate::mcp::raw;
use crate::mcp::version::Era;
use crate::names::InstanceId;

/// Room for a line of the usual length in bytes, so that it is asked for once.
const USUAL: usize = 512;

/// Writes the line of an exchange whose answer has ended at that time, in unix milliseconds.
pub fn line(line: &mut String, done: &Done<'_>, (at, instance): (u64, InstanceId)) {
    line.reserve(USUAL);
    let (mut line, trail) = (Line(line), done.trail);
    line.count("{\"at\":", at);
    line.hex(",\"instance\":\"", &instance.0.to_be_bytes());
    line.count(",\"status\":", trail.seen.status.as_u16().into());
    line.word(",\"outcome\":\"", done.outcome.name());
    if let Some(facts) = &trail.facts {
        line.text(",\"pool\":\"", &facts.pool.settings().name);
        line.address(",\"client\":\"", facts.client);
        line.word(",\"era\":\"", if facts.era == Era::Modern { "modern" } else { "legacy" });
        match &facts.verb {
            Some(strange) => line.text(",\"method\":\"", strange),
            None => line.word(",\"method\":\"", facts.method.name()),
        }
        if let Some(caller) = &facts.caller {
            line.text(",\"caller\":\"", &caller.name);
        }
        if let Some(name) = &facts.name {
            line.text(",\"name\":\"", name);
        }
        line.count(",\"bytes_in\":", facts.body);
    }
    if let Some(session) = trail.session {
        line.hex(",\"session\":\"", &session.0.to_be_bytes());
    }
    if let Some(trace) = trail.trace {
        line.hex(",\"trace\":\"", &trace.0);
    }
    if let Some(cached) = trail.cached {
        line.word(",\"cache\":\"", cached);
    }
    if let Some(backend) = &trail.legs.backend {
        line.text(",\"backend\":\"", &backend.name);
        line.count(",\"tries\":", trail.legs.tries.into());
        line.micros(",\"backend_us\":", done.backend);
    }
    if let Some(code) = trail.seen.code {
        line.0.push_str(",\"error\":");
        line.0.push_str(itoa::Buffer::new().format(code));
    }
    if let Some(refusal) = trail.refusal {
        line.word(",\"refused\":\"", refusal);
    }
    if let Some(limit) = &trail.limit {
        line.text(",\"limit\":\"", limit);
    }
    line.micros(",\"own_us\":", done.own);
    line.micros(",\"us\":", done.whole);
    line.count(",\"bytes_out\":", trail.seen.bytes);
    line.0.push_str(if trail.seen.ended { ",\"ended\":true}\n" } else { ",\"ended\":false}\n" });
}

/// A line that grows. Keys come with what stands around them.
struct Line<'a>(&'a mut String);

impl Line<'_> {
    fn count(&mut self, key: &str, value: u64) {
        self.0.push_str(key);
        self.0.push_str(itoa::Buffer::new().format(value));
    }

    fn micros(&mut self, key: &str, took: Duration) {
        self.count(key, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Digits, two for each of at most 16 bytes.
    fn hex(&mut self, key: &str, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        let digits = &digits[..2 * bytes.len().min(16)];
        self.word(key, std::str::from_utf8(digits).unwrap_or_default());
    }

    fn address(&mut self, key: &str, address: IpAddr) {
        self.0.push_str(key);
        match address {
            IpAddr::V4(address) => {
                for (at, octet) in address.octets().into_iter().enumerate() {
                    self.0.push_str(if at > 0 { "." } else { "" });
                    self.0.push_str(itoa::Buffer::new().format(octet));
                }
            }
            // Writing to a String cannot fail.
            IpAddr::V6(address) => drop(write!(self.0, "{address}")),
        }
        self.0.push('"');
    }

    /// One of our own words, in which nothing is to be escaped. Keys of texts end with the quote that opens their value.
    fn word(&mut self, key: &str, word: &str) {
        self.0.push_str(key);
        self.0.push_str(word);
        self.0.push('"');
    }

    /// Whatever others have chosen.
    fn text(&mut self, key: &str, text: &str) {
        // Looked at to its end, for that takes many at once.
        let strange =
            text.bytes().fold(false, |strange, byte| strange | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
        if !strange {
            return self.word(key, text);
        }
        self.0.push_str(key.strip_suffix('"').unwrap_or(key));
        self.0.push_str(&raw::quote(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_said_stays_one_line_of_json(text in ".*", odd in "[\\x00-\\x1f\"\\\\a]{0,8}", bytes in any::<[u8; 16]>(), count: u64) {
            let mut written = String::new();
            let mut line = Line(&mut written);
            line.text("{\"text\":\"", &text);
            line.text(",\"odd\":\"", &odd);
            line.hex(",\"hex\":\"", &bytes);
            line.count(",\"count\":", count);
            written.push('}');
            prop_assert!(!written.contains('\n'));
            let read: serde_json::Value = serde_json::from_str(&written).unwrap();
            let hex = format!("{:032x}", u128::from_be_bytes(bytes));
            prop_assert_eq!(read, serde_json::json!({"text": text, "odd": odd, "hex": hex, "count": count}));
        }
    }
}
