//! The access log: one JSON object a line, one line an exchange. Says nothing that a client or a server has said in a body. Lines are put
//! together piece by piece: `write!` would take a fifth of what all of a request takes outside the kernel.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::trail::Done;
use crate::mcp::raw;
use crate::mcp::version::Era;
use crate::names::InstanceId;

/// Room for a line of the usual length in bytes, so that it is asked for once.
const USUAL: usize = 512;

/// Writes the line of an exchange whose answer has ended at that time, in unix milliseconds.
pub fn line(line: &mut Vec<u8>, done: &Done<'_>, (at, instance): (u64, InstanceId)) {
    line.reserve(USUAL);
    let (mut line, trail) = (Line(line), done.trail);
    line.count(b"{\"at\":", at);
    line.hex(b",\"instance\":\"", instance.0.to_be_bytes());
    line.count(b",\"status\":", trail.seen.status.as_u16().into());
    line.word(b",\"outcome\":\"", done.outcome.name());
    if let Some(facts) = &trail.facts {
        line.text(b",\"pool\":\"", &facts.pool.settings().name);
        line.address(b",\"client\":\"", facts.client);
        match facts.era {
            Era::Modern => line.put(b",\"era\":\"modern\""),
            Era::Legacy => line.put(b",\"era\":\"legacy\""),
        }
        match &facts.verb {
            Some(strange) => line.text(b",\"method\":\"", strange),
            None => line.word(b",\"method\":\"", facts.method.name()),
        }
        if let Some(caller) = &facts.caller {
            line.text(b",\"caller\":\"", &caller.name);
        }
        if let Some(name) = &facts.name {
            line.text(b",\"name\":\"", name);
        }
        line.count(b",\"bytes_in\":", facts.body);
    }
    if let Some(session) = trail.session {
        line.hex(b",\"session\":\"", session.0.to_be_bytes());
    }
    if let Some(trace) = trail.trace {
        line.hex(b",\"trace\":\"", trace.0);
    }
    if let Some(cached) = trail.cached {
        line.word(b",\"cache\":\"", cached);
    }
    if let Some(backend) = &trail.legs.backend {
        line.text(b",\"backend\":\"", &backend.name);
        line.count(b",\"tries\":", trail.legs.tries.into());
        line.micros(b",\"backend_us\":", done.backend);
    }
    if let Some(code) = trail.seen.code {
        line.put(b",\"error\":");
        line.put(itoa::Buffer::new().format(code));
    }
    if let Some(refusal) = trail.refusal {
        line.word(b",\"refused\":\"", refusal);
    }
    if let Some(limit) = &trail.limit {
        line.text(b",\"limit\":\"", limit);
    }
    line.micros(b",\"own_us\":", done.own);
    line.micros(b",\"us\":", done.whole);
    line.count(b",\"bytes_out\":", trail.seen.bytes);
    if trail.seen.ended {
        line.put(b",\"ended\":true}\n");
    } else {
        line.put(b",\"ended\":false}\n");
    }
}

/// A line that grows. Keys come with what stands around them, and as arrays: what is of a known length is copied in a step or two.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn put(&mut self, what: impl AsRef<[u8]>) {
        self.0.extend_from_slice(what.as_ref());
    }

    fn count<const N: usize>(&mut self, key: &[u8; N], value: u64) {
        self.put(key);
        self.put(itoa::Buffer::new().format(value));
    }

    fn micros<const N: usize>(&mut self, key: &[u8; N], took: Duration) {
        self.count(key, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Digits, two for each byte.
    fn hex<const N: usize, const BYTES: usize>(&mut self, key: &[u8; N], bytes: [u8; BYTES]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.put(key);
        self.put(bytes.map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).as_flattened());
        self.put(b"\"");
    }

    fn address<const N: usize>(&mut self, key: &[u8; N], address: IpAddr) {
        self.put(key);
        match address {
            IpAddr::V4(address) => {
                for (at, octet) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.put(b".");
                    }
                    self.put(itoa::Buffer::new().format(octet));
                }
            }
            // Writing to a vector cannot fail.
            IpAddr::V6(address) => drop(write!(self.0, "{address}")),
        }
        self.put(b"\"");
    }

    /// One of our own words, in which nothing is to be escaped. Keys of texts end with the quote that opens their value.
    fn word<const N: usize>(&mut self, key: &[u8; N], word: &str) {
        self.put(key);
        self.put(word);
        self.put(b"\"");
    }

    /// Whatever others have chosen.
    fn text<const N: usize>(&mut self, key: &[u8; N], text: &str) {
        // Looked at to its end, for that takes many at once.
        let is_strange = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
        if !text.bytes().fold(false, |strange, byte| strange | is_strange(byte)) {
            return self.word(key, text);
        }
        self.put(key.strip_suffix(b"\"").unwrap_or(key));
        self.put(raw::quote(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_said_stays_one_line_of_json(text in ".*", odd in "[\\x00-\\x1f\"\\\\a]{0,8}", bytes in any::<[u8; 16]>(), count: u64) {
            let mut written = Vec::new();
            let mut line = Line(&mut written);
            line.text(b"{\"text\":\"", &text);
            line.text(b",\"odd\":\"", &odd);
            line.hex(b",\"hex\":\"", bytes);
            line.count(b",\"count\":", count);
            written.push(b'}');
            prop_assert!(!written.contains(&b'\n'));
            let read: serde_json::Value = serde_json::from_slice(&written).unwrap();
            let hex = format!("{:032x}", u128::from_be_bytes(bytes));
            prop_assert_eq!(read, serde_json::json!({"text": text, "odd": odd, "hex": hex, "count": count}));
        }
    }
}
