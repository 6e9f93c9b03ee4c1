//! A signed token taken apart (RFC 7515 compact form, RFC 7519), and what its claims must be (RFC 9068, RFC 8725). Whether
//! its signature is right is asked elsewhere, before anything here is believed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::denied::Flaw;
use super::principal::{ClaimValue, MAX_CLAIM, MAX_CLAIMS, MAX_SCOPES, MAX_VALUES, Principal, Validity};
use crate::clock::Clock;
use crate::config::{IssuerSettings, JwtAlgorithm};

/// A token is never longer, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// Bytes of a subject at most.
const LONGEST_SUBJECT: usize = 1024;

/// Longer than any token lives; keeps sums of times within bounds.
const AGE: u64 = 10 * 366 * 86_400;

/// Types of tokens that may be access tokens (`typ`, RFC 9068 §2.1); others are made for something else.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token whose signature was not looked at yet.
pub(super) struct Token<'a> {
    /// How it says that it is signed; `None` is a way that is never accepted.
    pub algorithm: Option<JwtAlgorithm>,
    /// Under which key.
    pub kid: Option<Box<str>>,
    /// Who it says has issued it.
    pub issuer: Box<str>,
    /// What is signed.
    pub message: &'a [u8],
    /// The signature, in base64.
    pub signature: &'a str,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Flaw::Form`] where it is none, [`Flaw::Critical`] where it demands what nobody here understands, [`Flaw::Issuer`]
    /// where it names nobody.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let (message, signature) = text.rsplit_once('.').ok_or(Flaw::Form)?;
        let (header, claims) = message.split_once('.').ok_or(Flaw::Form)?;
        if claims.contains('.') {
            return Err(Flaw::Form);
        }
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Flaw::Form)?;
        if header.crit.is_some() {
            return Err(Flaw::Critical);
        }
        if header.typ.is_some_and(|typ| !TYPES.contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(Flaw::Form);
        }
        let claims: Map<String, Value> = serde_json::from_slice(&decode(claims)?).map_err(|_| Flaw::Form)?;
        let issuer = claims.get("iss").and_then(Value::as_str).ok_or(Flaw::Issuer)?;
        Ok(Self {
            algorithm: JwtAlgorithm::named(&header.alg),
            kid: header.kid.map(String::into_boxed_str),
            issuer: issuer.into(),
            message: message.as_bytes(),
            signature,
            claims,
        })
    }

    /// Whom the token speaks of, if its claims are what they must be. Believe it only if the signature is right.
    ///
    /// # Errors
    /// What is wrong with the claims.
    pub fn principal(
        self,
        settings: &IssuerSettings,
        (clock, leeway): (&Clock, Duration),
        withdrawn: &Arc<AtomicBool>,
    ) -> Result<Principal, Flaw> {
        let left = self.time_left(clock.unix(), leeway.as_secs())?;
        if !self.is_meant_for(&settings.audience) {
            return Err(Flaw::Audience);
        }
        for wanted in &settings.claims {
            let value = self.claims.get(&*wanted.name).and_then(read).ok_or(Flaw::Claim)?;
            if !wanted.values.iter().any(|accepted| value.is(accepted)) {
                return Err(Flaw::Claim);
            }
        }
        let subject = self.claims.get(&*settings.subject).and_then(Value::as_str);
        let subject = subject.filter(|subject| (1..=LONGEST_SUBJECT).contains(&subject.len())).ok_or(Flaw::Claim)?;
        let validity = Validity::new(clock.now().checked_add(left), Arc::clone(withdrawn));
        let mut principal = Principal::new(&self.issuer, subject, Arc::new(validity));
        principal.scopes = self.scopes(settings.scope.as_deref());
        let claims = self.claims.iter().filter_map(|(name, value)| Some((name.as_str().into(), read(value)?)));
        principal.claims = claims.take(MAX_CLAIMS).collect();
        Ok(principal)
    }

    /// How long the token is good yet. `exp` is needed; `nbf` and `iat` must not lie ahead.
    fn time_left(&self, now: u64, leeway: u64) -> Result<Duration, Flaw> {
        let expires = match self.claims.get("exp") {
            Some(value) => date(value).ok_or(Flaw::Claim)?,
            None => return Err(Flaw::NoEnd),
        };
        for name in ["nbf", "iat"] {
            let Some(value) = self.claims.get(name) else { continue };
            if date(value).ok_or(Flaw::Claim)? > now.saturating_add(leeway) {
                return Err(Flaw::NotYet);
            }
        }
        let end = expires.min(now.saturating_add(AGE)).saturating_add(leeway);
        let left = end.checked_sub(now).filter(|left| *left > 0).ok_or(Flaw::Expired)?;
        Ok(Duration::from_secs(left))
    }

    /// `aud` is one name or several (RFC 7519 §4.1.3); one of them must be one of ours.
    fn is_meant_for(&self, accepted: &[Box<str>]) -> bool {
        let ours = |name: &Value| {
            name.as_str().is_some_and(|name| accepted.iter().any(|known| without_slash(known) == without_slash(name)))
        };
        match self.claims.get("aud") {
            Some(Value::Array(names)) => names.iter().any(ours),
            Some(name) => ours(name),
            None => false,
        }
    }

    /// Scopes are one text with spaces (RFC 8693 §4.2), or a list as some issuers write them.
    fn scopes(&self, claim: Option<&str>) -> BTreeSet<Box<str>> {
        let value = match claim {
            Some(name) => self.claims.get(name),
            None => self.claims.get("scope").or_else(|| self.claims.get("scp")),
        };
        let texts: Vec<&str> = match value {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let good = texts.into_iter().filter(|scope| !scope.is_empty() && scope.len() <= MAX_CLAIM);
        good.take(MAX_SCOPES).map(Box::from).collect()
    }
}

/// A URL with nothing but a host may be written with a slash at its end or without.
fn without_slash(name: &str) -> &str {
    name.strip_suffix('/').unwrap_or(name)
}

fn decode(part: &str) -> Result<Vec<u8>, Flaw> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Form)
}

/// Seconds since 1970, with a fraction or without (RFC 7519 §2, `NumericDate`).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a date before 1970 or after all time is cut to these"
)]
fn date(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().map(|seconds| seconds as u64))
}

/// A claim's value as it is kept; `None` for what is no text, number, flag or list of these, or is too long.
fn read(value: &Value) -> Option<ClaimValue> {
    match value {
        Value::Array(values) => Some(ClaimValue::List(values.iter().filter_map(text).take(MAX_VALUES).collect())),
        one => text(one).map(ClaimValue::Text),
    }
}

fn text(value: &Value) -> Option<Box<str>> {
    let text: Box<str> = match value {
        Value::String(text) => text.as_str().into(),
        Value::Bool(flag) => flag.to_string().into(),
        Value::Number(number) => number.to_string().into(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.len() <= MAX_CLAIM).then_some(text)
}
