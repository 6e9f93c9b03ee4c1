//! Strings by their code points: escapes are undone, and nothing else is touched. Half a surrogate pair is a code point of
//! its own, which no other text has.

use memchr::memchr2;

use super::{CanonicalError, Writer};

impl Writer<'_> {
    /// Reads a string and writes its code points.
    pub(super) fn string(&mut self) -> Result<(), CanonicalError> {
        self.expect(b'"')?;
        loop {
            let rest = &self.text[self.at..];
            let plain = memchr2(b'"', b'\\', rest).ok_or(CanonicalError::Malformed)?;
            if rest[..plain].iter().any(|byte| *byte < 0x20) {
                return Err(CanonicalError::Malformed);
            }
            self.out.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return Ok(());
            }
            self.escape()?;
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<(), CanonicalError> {
        let letter = self.peek().ok_or(CanonicalError::Malformed)?;
        self.at += 1;
        let byte = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.code_unit(),
            _ => return Err(CanonicalError::Malformed),
        };
        self.out.push(byte);
        Ok(())
    }

    /// Reads the digits of `\u`, and of a second one where both together are one character.
    fn code_unit(&mut self) -> Result<(), CanonicalError> {
        let unit = hex(self.text, self.at).ok_or(CanonicalError::Malformed)?;
        self.at += 4;
        let low = matches!(unit, 0xd800..0xdc00)
            .then(|| self.text[self.at..].strip_prefix(b"\\u").and_then(|digits| hex(digits, 0)))
            .flatten()
            .filter(|low| matches!(low, 0xdc00..0xe000));
        let point = match low {
            Some(low) => {
                self.at += 6;
                0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            }
            None => unit,
        };
        match char::from_u32(point) {
            Some(character) => self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            // The three bytes that UTF-8 would have for it, had it not left surrogates out (as in WTF-8).
            None => [0xe0 | point >> 12, 0x80 | point >> 6 & 0x3f, 0x80 | point & 0x3f]
                .iter()
                .for_each(|byte| self.out.push(byte.to_le_bytes()[0])),
        }
        Ok(())
    }
}

/// Four hexadecimal digits.
fn hex(text: &[u8], from: usize) -> Option<u32> {
    let digits = text.get(from..from + 4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}
