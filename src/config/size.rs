//! Sizes as text: one whole number with a unit, as in `64KiB` (binary) or `500kB` (decimal). No fractions.

use super::duration::split;

/// The units with their size in bytes, those that divide a size evenly most often last.
const UNITS: [(&str, usize); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a size in bytes; `None` if the text does not follow the grammar or is too large to count.
#[must_use]
pub fn parse(text: &str) -> Option<usize> {
    let (number, unit) = split(text, |byte| byte.is_ascii_digit());
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<usize>().ok()?.checked_mul(*bytes)
}

/// Writes a size in the form that [`parse`] reads, in the largest unit that divides it.
pub(super) fn text(size: usize) -> String {
    let fits = |(_, bytes): &&(&str, usize)| size >= *bytes && size.is_multiple_of(*bytes);
    let (unit, bytes) = UNITS.iter().filter(fits).max_by_key(|(_, bytes)| *bytes).unwrap_or(&UNITS[0]);
    format!("{}{unit}", size / bytes)
}

/// The text with its unit in the right case, if case is all that is wrong with it.
pub(super) fn corrected(text: &str) -> Option<String> {
    let (number, unit) = split(text, |byte| byte.is_ascii_digit());
    let (name, _) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    Some(format!("{number}{name}")).filter(|corrected| parse(corrected).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn reads_binary_and_decimal_units() {
        assert_eq!(parse("64KiB"), Some(65_536));
        assert_eq!(parse("500kB"), Some(500_000));
        assert_eq!(parse("0B"), Some(0));
        assert_eq!(parse("1GiB"), Some(1 << 30));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "64", "KiB", "64 KiB", "1.5MiB", "-1B", "64kib", "64K", "99999999999GiB"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn offers_the_right_case() {
        assert_eq!(corrected("64kib"), Some("64KiB".to_owned()));
        assert_eq!(corrected("500KB"), Some("500kB".to_owned()));
        assert_eq!(corrected("64x"), None);
        assert_eq!(corrected("kib"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(size in any::<usize>()) {
            assert_eq!(parse(&text(size)), Some(size));
        }
    }
}
