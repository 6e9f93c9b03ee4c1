//! Why somebody is not let in. Words alone: nothing of what was shown to us ever stands in here.

use std::fmt;
use std::time::Duration;

/// Why a request's credential does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is none. The client is told how to get one: 401.
    #[error("the request carries no credential")]
    Missing,
    /// What should be one cannot be: two at once, or longer than any. 400, for trying again changes nothing (RFC 6750 §3.1).
    #[error("the credential cannot be read: {0}")]
    Malformed(Oddity),
    /// A token that is not accepted: 401.
    #[error("the token is not accepted: {0}")]
    Invalid(Flaw),
    /// A key that nobody has: 401.
    #[error("the key is unknown")]
    UnknownKey,
    /// A key that is no longer accepted, by its date or by its owner: 401.
    #[error("the key is {0}")]
    RevokedKey(KeyEnd),
    /// Somebody who is known and may not: 403.
    #[error("the caller lacks a scope")]
    InsufficientScope {
        /// All that are needed, those that he has too.
        needed: Vec<Box<str>>,
        /// Those of them that he has not.
        missing: Vec<Box<str>>,
    },
    /// Whether it is good cannot be said: no keys of the issuer could be had yet. 503.
    #[error("the issuer's keys cannot be had at the moment")]
    Unavailable {
        /// When trying again makes sense.
        retry_after: Duration,
    },
}

/// Why a credential cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// The header field stands there more than once.
    Twice,
    /// It is longer than any.
    TooLong,
    /// It is empty, or has bytes that none has.
    NoToken,
}

/// Why a key is no longer accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEnd {
    /// Its date has passed.
    Expired,
    /// Its owner has turned it off.
    Disabled,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is no signed JWT (RFC 7519), or of a type that is no access token.
    Form,
    /// Its time is over.
    Expired,
    /// Its time has not come, or it comes from the future.
    NotYet,
    /// It says not when it ends.
    NoEnd,
    /// The signature is not the key's.
    Signature,
    /// Its issuer is not believed here.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// It is signed in a way that is not accepted, or not with this key.
    Algorithm,
    /// The issuer has no such key.
    UnknownKey,
    /// A claim is missing, or is not what it must be.
    Claim,
    /// It wants something understood that is not (`crit`, RFC 7515 §4.1.11).
    Critical,
}

impl Flaw {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::NoEnd => "no_end",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Claim => "claim",
            Self::Critical => "critical",
        }
    }
}

impl Denied {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed(_) => "malformed",
            Self::Invalid(flaw) => flaw.word(),
            Self::UnknownKey => "unknown_key",
            Self::RevokedKey(KeyEnd::Expired) => "expired",
            Self::RevokedKey(KeyEnd::Disabled) => "disabled",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twice => "it is there more than once",
            Self::TooLong => "it is too long",
            Self::NoToken => "there is no token in it",
        })
    }
}

impl fmt::Display for KeyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Disabled => "disabled",
        })
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "it is not a signed access token",
            Self::Expired => "it has expired",
            Self::NotYet => "its time has not come",
            Self::NoEnd => "it does not say when it expires",
            Self::Signature => "its signature is wrong",
            Self::Issuer => "its issuer is not accepted here",
            Self::Audience => "it is meant for another resource",
            Self::Algorithm => "it is not signed in an accepted way",
            Self::UnknownKey => "it is signed with an unknown key",
            Self::Claim => "it lacks a claim that is needed",
            Self::Critical => "it demands an extension that is not known",
        })
    }
}
