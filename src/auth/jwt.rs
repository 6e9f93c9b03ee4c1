//! Whose a token is: asks the keys of the issuer that it names, once; from then on the token is remembered until it ends or
//! its key is withdrawn. One that is refused is remembered for a moment: whoever repeats it costs no look at its signature.
//! Reads no header field.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::denied::{Denied, Flaw};
use super::principal::Principal;
use super::source::Source;
use super::token::Token;
use crate::clock::Clock;
use crate::config::{IssuerSettings, JwtAlgorithm, JwtSettings};

/// Bytes that the tokens remembered by one gate take, about.
const MEMORY: u64 = 16 << 20;

/// How many tokens that is, about.
const TOKENS: usize = 16_384;

/// How many refused tokens one gate remembers, and for how long: anybody can make as many as they like.
const REFUSED: usize = 4096;
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Names a token: its digest under a key that nobody else has, so that nobody can make two of one name.
type Name = [u8; 32];

/// The issuers whose tokens are believed in one pool.
pub(super) struct Jwt {
    issuers: Vec<(IssuerSettings, Arc<Source>)>,
    leeway: Duration,
    clock: Clock,
    secret: [u8; 32],
    known: Cache<Name, Arc<Principal>, Weight>,
    refused: Cache<Name, Refused>,
}

/// Why a token was refused, and how long that can be relied upon.
#[derive(Clone, Copy)]
struct Refused {
    flaw: Flaw,
    until: Instant,
    /// What was known of the issuers' keys.
    edition: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Name, Arc<Principal>> for Weight {
    fn weight(&self, _: &Name, principal: &Arc<Principal>) -> u64 {
        principal.weight() as u64
    }
}

impl Jwt {
    /// Believes these issuers; `sources` are those of `settings.issuers`, in their order. `secret` is random.
    pub fn new(settings: &JwtSettings, sources: Vec<Arc<Source>>, clock: Clock, secret: [u8; 32]) -> Self {
        Self {
            issuers: settings.issuers.iter().cloned().zip(sources).collect(),
            leeway: settings.leeway,
            clock,
            secret,
            known: Cache::with_weighter(TOKENS, MEMORY, Weight),
            refused: Cache::new(REFUSED),
        }
    }

    /// Whose the token is.
    pub async fn find(&self, text: &str) -> Result<Arc<Principal>, Denied> {
        let name: Name = *blake3::keyed_hash(&self.secret, text.as_bytes()).as_bytes();
        if let Some(known) = self.known.get(&name) {
            if !known.validity.ended(self.clock.now()) {
                return Ok(known);
            }
            self.known.remove(&name);
        }
        let (now, edition) = (self.clock.now(), self.edition());
        if let Some(refused) = self.refused.get(&name) {
            if refused.until > now && refused.edition == edition {
                return Err(Denied::Invalid(refused.flaw));
            }
            self.refused.remove(&name);
        }
        match self.verify(text).await {
            Ok(principal) => {
                let principal = Arc::new(principal);
                self.known.insert(name, Arc::clone(&principal));
                Ok(principal)
            }
            Err(denied) => {
                if let Denied::Invalid(flaw) = denied.clone()
                    && lasts(flaw)
                {
                    self.refused.insert(name, Refused { flaw, until: now + REFUSED_FOR, edition });
                }
                Err(denied)
            }
        }
    }

    /// Changes whenever any issuer's keys do.
    fn edition(&self) -> u64 {
        self.issuers.iter().map(|(_, source)| source.edition()).sum()
    }

    async fn verify(&self, text: &str) -> Result<Principal, Denied> {
        let token = Token::parse(text).map_err(Denied::Invalid)?;
        let mut believed = self.issuers.iter();
        let (settings, source) =
            believed.find(|(settings, _)| settings.issuer == token.issuer).ok_or(Denied::Invalid(Flaw::Issuer))?;
        let accepted = token.algorithm.filter(|algorithm| settings.algorithms.contains(algorithm));
        let algorithm = accepted.ok_or(Denied::Invalid(Flaw::Algorithm))?;
        let withdrawn = match signed_by(source, &token, algorithm) {
            // The issuer may have a new key, or its keys are not known yet: once more, when they have been fetched.
            Err(Denied::Invalid(Flaw::UnknownKey) | Denied::Unavailable { .. }) => {
                source.renew().await;
                signed_by(source, &token, algorithm)
            }
            other => other,
        }?;
        token.principal(settings, (&self.clock, self.leeway), &withdrawn).map_err(Denied::Invalid)
    }
}

/// Whether a token that has this flaw will have it in a moment. A time comes by itself, and a key may come at any moment: not to find one
/// costs nothing.
const fn lasts(flaw: Flaw) -> bool {
    !matches!(flaw, Flaw::NotYet | Flaw::UnknownKey)
}

/// The mark of withdrawal of the key that has signed the token.
fn signed_by(source: &Source, token: &Token<'_>, algorithm: JwtAlgorithm) -> Result<Arc<AtomicBool>, Denied> {
    let keys = source.keys().ok_or_else(|| Denied::Unavailable { retry_after: source.retry_after() })?;
    keys.verify(token, algorithm).map(Arc::clone).map_err(Denied::Invalid)
}
