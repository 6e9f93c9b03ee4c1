//! What a caller is called where operators name it: in a limit's accounts, in a purge. One text for one caller, and back.

use std::borrow::Cow;

use super::principal::{CERTIFICATES, KEYS, Principal};
use crate::names::CallerDigest;

/// The kinds of callers that no issuer of tokens vouches for, and how their names begin.
const KINDS: [(&str, &str); 2] = [(KEYS, "key:"), (CERTIFICATES, "certificate:")];

impl Principal {
    /// Its text: `key:ci`, `certificate:CN=ci`, or issuer and subject of its tokens, `https://auth.example.com#alice`.
    #[must_use]
    pub fn label(&self) -> Cow<'_, str> {
        Cow::Owned(Self::vouched(&self.issuer, &self.subject))
    }

    /// What an issuer says, of whom or what ever, as one text.
    #[must_use]
    pub fn vouched(issuer: &str, said: &str) -> String {
        match KINDS.iter().find(|(kind, _)| *kind == issuer) {
            Some((_, kind)) => format!("{kind}{said}"),
            // An issuer's URL has no fragment (RFC 8414 §2).
            None => format!("{issuer}#{said}"),
        }
    }

    /// The issuer in such a text, and what it says.
    #[must_use]
    pub fn voucher(text: &str) -> Option<(&str, &str)> {
        let kind = KINDS.iter().find_map(|(issuer, kind)| Some((*issuer, text.strip_prefix(kind)?)));
        kind.or_else(|| text.split_once('#'))
    }

    /// Whom a text names; none where it is no such text.
    #[must_use]
    pub fn labelled(text: &str) -> Option<CallerDigest> {
        let (issuer, subject) = Self::voucher(text)?;
        Some(Self::digest_of(issuer, subject))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::Validity;

    #[test]
    fn a_text_leads_back_to_its_caller() {
        for (issuer, subject, label) in [
            (KEYS, "ci", "key:ci"),
            (CERTIFICATES, "CN=a#b", "certificate:CN=a#b"),
            ("https://a", "b#c", "https://a#b#c"),
        ] {
            let principal = Principal::new(issuer, subject, Arc::new(Validity::new(None, Arc::default())));
            assert_eq!(principal.label(), label);
            assert_eq!(Principal::labelled(label), Some(principal.digest));
        }
        assert_eq!(Principal::labelled("10.0.0.1"), None);
    }
}
