//! Rates as text: a count, a slash and a time, as in `60/min` or `10/30s`. No fractions, no signs.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use crate::config::duration::split;

/// The units, largest first, with their length in seconds.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];

/// What people also write for them.
const ALIASES: [(&str, &[&str]); 4] = [
    ("d", &["day", "days"]),
    ("h", &["hour", "hours", "hr", "hrs"]),
    ("min", &["m", "mins", "minute", "minutes"]),
    ("s", &["sec", "secs", "second", "seconds"]),
];

/// The longest time, in seconds.
const LONGEST: u64 = 30 * 86_400;
/// The most in a second: a microsecond, in which counters keep time, is then enough for one.
const FASTEST: u64 = 1_000_000;

/// So much in so long: `"60/min"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How much; at most 1,000,000 a second.
    pub count: NonZeroU64,
    /// In how long; whole seconds, from one to 30 days.
    pub per: Duration,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is not a count, a slash and a time.
    #[error("`{0}` is not a rate")]
    Form(String),
    /// Nothing in any time.
    #[error("`{0}` never admits anything")]
    Nothing(String),
    /// More than a million a second.
    #[error("`{0}` is more than {FASTEST} a second")]
    Fast(String),
    /// The time is not from a second to 30 days.
    #[error("the time of `{0}` is not from 1s to 30d")]
    Time(String),
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let owned = || text.to_owned();
        let (count, rest) = split(text, |byte| byte.is_ascii_digit());
        let time = rest.strip_prefix('/').filter(|_| !count.is_empty()).ok_or_else(|| RateError::Form(owned()))?;
        let (number, unit) = split(time, |byte| byte.is_ascii_digit());
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| RateError::Form(owned()))?;
        // What does not fit into the number is beyond the bounds as well.
        let number = if number.is_empty() { Some(1) } else { number.parse::<u64>().ok() };
        let seconds = number.and_then(|number| number.checked_mul(*seconds));
        let seconds =
            seconds.filter(|seconds| (1..=LONGEST).contains(seconds)).ok_or_else(|| RateError::Time(owned()))?;
        let count = count.parse::<u64>().ok().filter(|count| *count <= FASTEST * seconds);
        let count = count.ok_or_else(|| RateError::Fast(owned()))?;
        let count = NonZeroU64::new(count).ok_or_else(|| RateError::Nothing(owned()))?;
        Ok(Self { count, per: Duration::from_secs(seconds) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.per.as_secs();
        let (unit, length) = UNITS.iter().find(|(_, length)| seconds.is_multiple_of(*length)).unwrap_or(&UNITS[3]);
        match seconds / length {
            1 => write!(f, "{}/{unit}", self.count),
            number => write!(f, "{}/{number}{unit}", self.count),
        }
    }
}

/// The rate that was probably meant: spaces and underscores left out, `per` for the slash, units by their other names.
pub(super) fn corrected(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace() && *c != '_').collect();
    let plain = plain.to_ascii_lowercase().replacen("per", "/", 1);
    let (count, time) = plain.split_once('/')?;
    let (number, unit) = split(time, |byte| byte.is_ascii_digit());
    let known = |(name, aliases): &&(&str, &[&str])| *name == unit || aliases.contains(&unit);
    let (unit, _) = ALIASES.iter().find(known)?;
    let rate: Rate = format!("{count}/{number}{unit}").parse().ok()?;
    Some(rate.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn rate(count: u64, seconds: u64) -> Rate {
        Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(seconds) }
    }

    #[test]
    fn reads_units_with_and_without_a_number() {
        assert_eq!("60/min".parse(), Ok(rate(60, 60)));
        assert_eq!("1000/h".parse(), Ok(rate(1000, 3600)));
        assert_eq!("5/s".parse(), Ok(rate(5, 1)));
        assert_eq!("10/30s".parse(), Ok(rate(10, 30)));
        assert_eq!("1/30d".parse(), Ok(rate(1, 2_592_000)));
        assert_eq!("1000000/s".parse(), Ok(rate(1_000_000, 1)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", "60", "/min", "60/", "60/m", "60 / min", "60/min ", "-1/s", "+1/s", "1.5/s", "1/1h30min", "60/M"]
        {
            assert_eq!(text.parse::<Rate>(), Err(RateError::Form(text.to_owned())));
        }
        assert!(matches!("0/s".parse::<Rate>(), Err(RateError::Nothing(_))));
        for text in ["1/0s", "1/31d", "1/99999999999999999999d", "1/9999999999999999999d"] {
            assert!(matches!(text.parse::<Rate>(), Err(RateError::Time(_))), "{text}");
        }
        for text in ["1000001/s", "99999999999999999999/s"] {
            assert!(matches!(text.parse::<Rate>(), Err(RateError::Fast(_))), "{text}");
        }
    }

    #[test]
    fn offers_what_was_probably_meant() {
        for (text, meant) in [
            ("60/m", "60/min"),
            ("60 / minute", "60/min"),
            ("200_000 per hour", "200000/h"),
            ("5/Sec", "5/s"),
            ("10/90seconds", "10/90s"),
        ] {
            assert_eq!(corrected(text).as_deref(), Some(meant));
        }
        assert_eq!(corrected("60/week"), None);
        assert_eq!(corrected("0/m"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(count in 1_u64..1_000_000, seconds in 1_u64..2_592_000) {
            prop_assert_eq!(rate(count, seconds).to_string().parse(), Ok(rate(count, seconds)));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}", number in any::<u64>()) {
            let _ = (text.parse::<Rate>(), corrected(&text), format!("{number}/{text}").parse::<Rate>());
        }
    }
}
