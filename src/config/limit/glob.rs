//! Patterns for names. Knows one wildcard, and compares in linear time whatever anybody writes or sends.

use std::fmt;
use std::str::FromStr;

/// Bytes that a pattern has at most.
const LONGEST: usize = 128;

/// A pattern for names in which `*` stands for any number of characters, none included. Everything else stands for
/// itself, and case matters. 1 to 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// Whether the whole name is such a name. In time linear in both: each literal part is looked for once, and taking
    /// the first place where it stands leaves the most for those that follow.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        let Some(mut rest) = rest.strip_suffix(last) else { return false };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It would match nothing.
    #[error("no name is empty")]
    Empty,
    /// It has more than 128 bytes.
    #[error("a pattern has at most {LONGEST} bytes")]
    Long,
    /// It has a line break or the like in it.
    #[error("a pattern has no control characters")]
    Control,
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        match text {
            "" => Err(GlobError::Empty),
            _ if text.len() > LONGEST => Err(GlobError::Long),
            _ if text.contains(char::is_control) => Err(GlobError::Control),
            _ => Ok(Self(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    /// What a pattern means, tried out in every way.
    fn slow(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|skipped| slow(rest, &name[skipped..])),
            Some((c, rest)) => name.first() == Some(c) && slow(rest, &name[1..]),
        }
    }

    #[test]
    fn a_star_is_any_number_of_characters() {
        for (pattern, name) in [
            ("search_*", "search_"),
            ("*", ""),
            ("a*a", "aa"),
            ("*_v2", "ask_v2"),
            ("a*b*c", "a-b-bc"),
            ("tools/call", "tools/call"),
        ] {
            assert!(glob(pattern).matches(name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("search_*", "Search_a"), ("a*a", "a"), ("a?", "ab"), ("a*b*c", "acb"), ("a", "ab"), ("*ab*b", "ab")]
        {
            assert!(!glob(pattern).matches(name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_has_bounds() {
        assert_eq!("".parse::<Glob>(), Err(GlobError::Empty));
        assert_eq!("a\n".parse::<Glob>(), Err(GlobError::Control));
        assert_eq!("a".repeat(129).parse::<Glob>(), Err(GlobError::Long));
        assert!("a".repeat(128).parse::<Glob>().is_ok());
    }

    #[test]
    fn a_hostile_name_takes_linear_time() {
        // Trying every way out would take longer than the world lasts.
        let pattern = glob(&format!("{}b", "a*".repeat(60)));
        assert!(!pattern.matches(&"a".repeat(1 << 20)));
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_way(pattern in "[ab*é]{1,8}", name in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob(&pattern).matches(&name), slow(&chars(&pattern), &chars(&name)));
        }
    }
}
