//! Who calls, once that is known: names, scopes, claims, and how long it holds. Holds no credential, and says nothing of
//! what its bearer may do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::names::CallerDigest;
use crate::seal::digest;

/// Claims that are kept of one caller at most; of those beyond, what sorts last is left out.
pub const MAX_CLAIMS: usize = 64;

/// Bytes of one claim's value, or of one element of it, at most. Longer ones are left out.
pub const MAX_CLAIM: usize = 1024;

/// Elements of a claim that is a list, at most. The others are left out.
pub const MAX_VALUES: usize = 64;

/// Scopes of one caller at most; the others are left out.
pub const MAX_SCOPES: usize = 256;

/// The issuer of keys from a file, and of certificates.
pub(super) const KEYS: &str = "moorline:keys";
pub(super) const CERTIFICATES: &str = "moorline:certificates";

/// A caller who was authenticated.
#[derive(Clone)]
pub struct Principal {
    /// Who vouches for it: a token's `iss`, or a name of our own for keys and certificates.
    pub issuer: Arc<str>,
    /// Who it is, unique with its issuer.
    pub subject: Arc<str>,
    /// What it is called in logs: the name of a key, or the subject; safe for a line of text.
    pub name: Arc<str>,
    /// What it may do, in order.
    pub scopes: BTreeSet<Box<str>>,
    /// What else is said of it; bounded by [`MAX_CLAIMS`].
    pub claims: BTreeMap<Box<str>, ClaimValue>,
    /// How long this holds. The same for all requests with the same credential.
    pub validity: Arc<Validity>,
    /// What sessions are bound to: issuer and subject, so that they outlive a token.
    pub digest: CallerDigest,
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    /// A text; numbers and flags as JSON writes them.
    Text(Box<str>),
    /// Several.
    List(Vec<Box<str>>),
}

/// How long something that was verified holds.
#[derive(Debug)]
pub struct Validity {
    ends: Option<Instant>,
    revoked: Arc<AtomicBool>,
}

impl Principal {
    /// Somebody for whom nothing but his name is known yet.
    #[must_use]
    pub fn new(issuer: &str, subject: &str, validity: Arc<Validity>) -> Self {
        Self {
            issuer: issuer.into(),
            subject: subject.into(),
            name: printable(subject).into(),
            scopes: BTreeSet::new(),
            claims: BTreeMap::new(),
            validity,
            digest: Self::digest_of(issuer, subject),
        }
    }

    /// What sessions of whom `issuer` calls `subject` are bound to.
    #[must_use]
    pub fn digest_of(issuer: &str, subject: &str) -> CallerDigest {
        CallerDigest(digest(&[b"caller", issuer.as_bytes(), subject.as_bytes()]))
    }

    /// The same under a name for logs.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self { name: printable(name).into(), ..self }
    }

    /// Whether the caller has a scope. Scopes are compared letter by letter (RFC 6749 §3.3).
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// What a claim says; `None` where it is not there.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&ClaimValue> {
        self.claims.get(name)
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        let scopes: usize = self.scopes.iter().map(|scope| scope.len() + 32).sum();
        let claims: usize = self.claims.iter().map(|(name, value)| name.len() + value.weight() + 64).sum();
        256 + self.issuer.len() + 2 * self.subject.len() + scopes + claims
    }
}

// Claims may be anything that an issuer knows of a person.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("issuer", &self.issuer).field("name", &self.name).finish_non_exhaustive()
    }
}

impl ClaimValue {
    /// Whether the claim is this value, or one of its values is.
    #[must_use]
    pub fn is(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => **text == *value,
            Self::List(texts) => texts.iter().any(|text| **text == *value),
        }
    }

    /// The claim as one text, a list with commas.
    #[must_use]
    pub fn joined(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::List(texts) => texts.join(","),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(texts) => texts.iter().map(|text| text.len() + 16).sum(),
        }
    }
}

impl Validity {
    /// Until a time, if there is one, or until what vouches for it is withdrawn.
    #[must_use]
    pub const fn new(ends: Option<Instant>, revoked: Arc<AtomicBool>) -> Self {
        Self { ends, revoked }
    }

    /// Whether it holds no more: its time is over, or it was withdrawn. What has ended never holds again.
    #[must_use]
    pub fn ended(&self, now: Instant) -> bool {
        self.is_revoked() || self.ends.is_some_and(|ends| now >= ends)
    }

    /// Whether it was withdrawn.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// When it ends by itself.
    #[must_use]
    pub const fn ends(&self) -> Option<Instant> {
        self.ends
    }
}

/// The text without what could break a line of a log, cut to 128 characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(128).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    fn forever() -> Arc<Validity> {
        Arc::new(Validity::new(None, Arc::default()))
    }

    #[test]
    fn a_caller_is_issuer_and_subject() {
        let digest = |issuer: &str, subject: &str| Principal::new(issuer, subject, forever()).digest;
        assert_eq!(digest("https://a", "b"), digest("https://a", "b"));
        assert_ne!(digest("https://a", "b"), digest("https://a", "c"));
        assert_ne!(digest("https://a", "b"), digest("https://", "ab"));
    }

    #[test]
    fn it_ends_by_time_or_by_word() {
        let clock = Clock::manual();
        let revoked = Arc::new(AtomicBool::new(false));
        let validity = Validity::new(Some(clock.now() + Duration::from_secs(5)), Arc::clone(&revoked));
        assert!(!validity.ended(clock.now()));
        clock.advance(Duration::from_secs(5));
        assert!(validity.ended(clock.now()));
        let validity = Validity::new(None, Arc::clone(&revoked));
        assert!(!validity.ended(clock.now()));
        revoked.store(true, Ordering::Release);
        assert!(validity.ended(clock.now()) && validity.is_revoked());
    }

    #[test]
    fn a_name_breaks_no_line() {
        assert_eq!(&*Principal::new("i", "a\nb\u{1b}[2J", forever()).name, "a\u{fffd}b\u{fffd}[2J");
    }
}
