//! Whose message it is that is too long to be kept: found while its bytes pass. Some SDKs write `id` last (Python's and
//! TypeScript's do). Of one object only; it checks no grammar, and keeps a few bytes.

use super::raw;

/// A longer id is not looked at.
const LONGEST: usize = 256;

/// Looks for the id at the top of the object that passes.
#[derive(Debug, Default)]
pub struct LateId {
    depth: u32,
    text: Text,
    /// What stands at the top since the last separator: a key, or a value that is no object and no array.
    piece: Vec<u8>,
    is_id: bool,
    id: Option<Box<str>>,
    has_method: bool,
}

/// Whether a string is passing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl LateId {
    /// Takes in what has come.
    pub fn feed(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.step(*byte));
    }

    /// The raw JSON text of the id, if one has passed.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether it is a request or a notification, as far as it has passed.
    #[must_use]
    pub const fn has_method(&self) -> bool {
        self.has_method
    }

    fn step(&mut self, byte: u8) {
        if self.text != Text::Outside {
            self.note(byte);
            self.text = match (self.text, byte) {
                (Text::Inside, b'"') => Text::Outside,
                (Text::Inside, b'\\') => Text::Escaped,
                _ => Text::Inside,
            };
            return;
        }
        match byte {
            b'"' => {
                self.text = Text::Inside;
                self.note(byte);
            }
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b':' if self.depth == 1 => self.end_key(),
            b',' if self.depth == 1 => self.end_value(),
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_value();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => self.note(byte),
        }
    }

    fn note(&mut self, byte: u8) {
        if self.depth == 1 && self.piece.len() <= LONGEST {
            self.piece.push(byte);
        }
    }

    fn end_key(&mut self) {
        self.is_id = self.piece == b"\"id\"";
        self.has_method |= self.piece == b"\"method\"";
        self.piece.clear();
    }

    fn end_value(&mut self) {
        let value = std::str::from_utf8(&self.piece).ok().filter(|value| value.len() <= LONGEST);
        let id = value.filter(|value| self.is_id && (raw::is_number(value) || raw::text(value).is_some()));
        self.id = self.id.take().or_else(|| id.map(Into::into));
        self.is_id = false;
        self.piece.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Option<String>, bool) {
        let mut late = LateId::default();
        text.as_bytes().chunks(3).for_each(|chunk| late.feed(chunk));
        (late.id().map(str::to_owned), late.has_method())
    }

    #[test]
    fn the_id_is_found_wherever_it_stands_at_the_top() {
        let last = r#"{"method":"tools/call","params":{"id":1,"x":["\"}",{"id":2}]},"jsonrpc":"2.0","id":7}"#;
        assert_eq!(found(last), (Some("7".into()), true));
        assert_eq!(found(r#"{ "id" : "a\"b,c" , "result" : {} }"#), (Some(r#""a\"b,c""#.into()), false));
        assert_eq!(found(r#"{"x":"\\","id":-3"#), (None, false));
        assert_eq!(found(r#"{"x":"\\","id":-3,"#).0.as_deref(), Some("-3"));
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_one() {
        assert_eq!(found(r#"{"id":{"a":1},"id2":2}"#).0, None);
        assert_eq!(found(r#"{"id":null}"#).0, None);
        assert_eq!(found(r#"[{"id":1}]"#).0, None);
        assert_eq!(found(r#"{"x":"id","y":":\"id\":4,"}"#).0, None);
        assert_eq!(found(&format!("{{\"id\":\"{}\"}}", "x".repeat(LONGEST))).0, None);
    }
}
