//! Numbers by their exact decimal value: `1`, `1.0` and `10e-1` are one, and no two different ones are, however long or
//! far from zero. No floating point, and no more work than the text is long.

use super::Buffer;

/// A number's parts as they are written.
#[derive(Debug)]
pub(super) struct Number<'a> {
    is_negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    is_small: bool,
    exponent: &'a [u8],
}

/// An exponent of more digits is reckoned digit by digit. As many nines and any text's length are an `i64` together.
const SHORT: usize = 18;

/// The number at the start of the text (RFC 8259 §6), and where it ends; `None` where there is none.
pub(super) fn read(text: &[u8]) -> Option<(Number<'_>, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let start = usize::from(is_negative);
    let whole = digits(text, start)?;
    if whole.len() > 1 && whole[0] == b'0' {
        return None;
    }
    let mut end = start + whole.len();
    let mut number = Number { is_negative, whole, fraction: &[], is_small: false, exponent: &[] };
    if text.get(end) == Some(&b'.') {
        number.fraction = digits(text, end + 1)?;
        end += 1 + number.fraction.len();
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = text.get(end + 1).filter(|sign| matches!(sign, b'+' | b'-'));
        end += 1 + usize::from(sign.is_some());
        number.is_small = sign == Some(&b'-');
        number.exponent = digits(text, end)?;
        end += number.exponent.len();
    }
    Some((number, end))
}

/// One digit or more from here on.
fn digits(text: &[u8], from: usize) -> Option<&[u8]> {
    let rest = text.get(from..)?;
    let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    (length > 0).then(|| &rest[..length])
}

impl Number<'_> {
    /// Writes the sign, the digits from the first that is not zero to the last, and the power of ten of the last. For zero,
    /// nothing.
    pub(super) fn write(&self, out: &mut Buffer) {
        let (mut whole, mut fraction) = (without_leading_zeros(self.whole), without_trailing_zeros(self.fraction));
        let mut last = -power(fraction.len());
        if whole.is_empty() {
            fraction = without_leading_zeros(fraction);
        }
        if fraction.is_empty() {
            let significant = without_trailing_zeros(whole);
            last = power(whole.len() - significant.len());
            whole = significant;
        }
        if whole.is_empty() && fraction.is_empty() {
            return;
        }
        if self.is_negative {
            out.push(b'-');
        }
        out.extend_from_slice(whole);
        out.extend_from_slice(fraction);
        out.push(b'e');
        self.write_exponent(last, out);
    }

    /// Writes the exponent and `last` together, without leading zeros.
    fn write_exponent(&self, last: i64, out: &mut Buffer) {
        let exponent = without_leading_zeros(self.exponent);
        if exponent.len() <= SHORT {
            let size = exponent.iter().fold(0, |size, digit| size * 10 + i64::from(digit - b'0'));
            let sum = if self.is_small { last - size } else { last + size };
            return decimal(sum, out);
        }
        if self.is_small {
            out.push(b'-');
        }
        let start = out.len();
        out.extend_from_slice(exponent);
        let carry = add(&mut out[start..], if self.is_small { -last } else { last });
        if carry > 0 {
            out.insert(start, b'1');
        } else if out[start] == b'0' {
            out.remove(start);
        }
    }
}

/// Writes a number in decimal.
fn decimal(number: i64, out: &mut Buffer) {
    let mut digits = [0; 20];
    let (mut start, mut rest) = (digits.len(), number.unsigned_abs());
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).expect("less than ten");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// A length as a power of ten.
fn power(length: usize) -> i64 {
    i64::try_from(length).expect("no text is longer than memory")
}

/// Adds to a decimal number of more digits than `by` has; what is left over is a 1 in front, or nothing.
fn add(digits: &mut [u8], by: i64) -> i64 {
    let mut rest = by;
    for digit in digits.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        rest += i64::from(*digit - b'0');
        *digit = b'0' + u8::try_from(rest.rem_euclid(10)).expect("less than ten");
        rest = rest.div_euclid(10);
    }
    rest
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    &digits[..digits.len() - zeros]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        let (number, end) = read(text.as_bytes())?;
        let mut out = Buffer::new();
        number.write(&mut out);
        (end == text.len()).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn equal_values_are_written_alike() {
        let nines = "9".repeat(18);
        let table: &[(&str, &[&str])] = &[
            ("", &["0", "-0", "0.0", "0e5", "-0.00E-999999999999999999999999"]),
            ("1e0", &["1", "1.0", "10e-1", "1E0", "1e+0", "0.1e1", "0.001E+3", "1e-0", "1e00000000000000000000000"]),
            ("-15e-1", &["-1.5", "-15e-1", "-0.15e1", "-1.50"]),
            ("12e2", &["1200", "1.2e3", "0.0012e6", "1200.000"]),
            ("1002e0", &["1002", "1002.0", "1.002e3"]),
            ("9007199254740993e0", &["9007199254740993", "9007199254740993.0", "9007199254740.993e3"]),
            ("1e999999999", &["1e999999999", "10e999999998", "0.1E+1000000000"]),
            ("1e1000000000000000000", &["1e1000000000000000000", &format!("10e{nines}"), "0.01e1000000000000000002"]),
            ("1e999999999999999999", &["0.1e1000000000000000000", &format!("1e{nines}")]),
            ("1e-1000000000000000000", &["0.1e-999999999999999999", "10e-1000000000000000001"]),
            ("1e-999999999999999999", &["10e-1000000000000000000", "100e-1000000000000000001"]),
            ("7e100000000000000000000000000000000000000", &["70e99999999999999999999999999999999999999"]),
        ];
        for (written, texts) in table {
            for text in *texts {
                assert_eq!(canonical(text).as_deref(), Some(*written), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e5", "0x1", "NaN", "Infinity", "1_000"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
