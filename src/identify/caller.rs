//! Who asks: the pool's gate says it, and here it is said to the exchange and to the backends. What a caller may do is judged
//! elsewhere.

use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use http::request::Parts;

use super::head::Survey;
use super::{Connection, Identify, Settings};
use crate::auth::{Denied, Gate, IDENTITY_FIELDS, Principal};
use crate::config::{AuthMode, CredentialPolicy};
use crate::exchange::{Exchange, IDENTITY_KEYS, Introduce, Origin, WELL_KNOWN, metadata_url};
use crate::fleet::Pool;
use crate::reject::{Cause, Challenge};
use crate::wire::strip_hop_by_hop;

/// A body that an unknown caller sends is read for its id up to this many bytes.
pub const UNKNOWN_BODY: usize = 64 * 1024;

impl Identify {
    /// For requests that are sent to backends later than the one that set them off.
    #[must_use]
    pub fn introduce(&self, exchange: &Exchange) -> Introduce {
        let (gates, pool) = (Arc::clone(&self.gates), Arc::clone(&exchange.pool));
        let caller = exchange.caller.principal.clone();
        Arc::new(move |headers| {
            if let Some(gate) = gates.of(pool.id) {
                gate.tell(caller.as_deref(), &pool.settings().name, headers);
            }
        })
    }

    /// Who asks; nobody in particular where the pool asks for no credential. The header fields, [cleansed](cleanse) before, become what
    /// backends may see.
    ///
    /// # Errors
    /// [`Cause::Unauthenticated`], [`Cause::BadCredential`], [`Cause::InsufficientScope`], [`Cause::IdentityAway`].
    pub(super) async fn who(
        &self,
        parts: &mut Parts,
        pool: &Pool,
        (connection, origin): (&Connection, &Origin),
        settings: &Settings,
    ) -> Result<Option<Arc<Principal>>, Cause> {
        let gate = self.gates.of(pool.id).ok_or(Cause::IdentityAway)?;
        let asks_for = |document: &str| parts.method == Method::GET && parts.uri.path().starts_with(document);
        if asks_for(IDENTITY_KEYS) {
            return gate.identity_keys().map(|_| None).ok_or(Cause::NoSuchPath);
        }
        if gate.is_open() {
            return Ok(None);
        }
        if asks_for(WELL_KNOWN) && gate.publishes() {
            return Ok(None);
        }
        match gate.check(&parts.headers, connection.certificate.as_deref()).await {
            Ok(caller) => {
                dress(&mut parts.headers, &gate, pool, &caller)?;
                Ok(Some(caller))
            }
            Err(denied) => {
                tracing::debug!(pool = %pool.settings().name, peer = %connection.peer, why = denied.word(), "not let in");
                let host = super::asked_host(parts);
                let public = settings.public_url.as_ref();
                let site = crate::exchange::site(&parts.headers, origin, host.as_ref(), public);
                let metadata = site.map(|site| metadata_url(&site, pool)).unwrap_or_default();
                Err(refuse(&gate, denied, &metadata))
            }
        }
    }
}

/// What a caller does who is not let in.
fn advice(gate: &Gate) -> &'static str {
    match &gate.settings().mode {
        AuthMode::None => "try again",
        AuthMode::Jwt(_) => "log in as WWW-Authenticate says, and send the token as Authorization: Bearer",
        AuthMode::ApiKeys(keys) if keys.header.is_some() => {
            "send a key that is valid here in the header field for keys"
        }
        AuthMode::ApiKeys(_) => "send a key that is valid here as Authorization: Bearer",
        AuthMode::Mtls(_) => "show a client certificate that names you",
    }
}

fn refuse(gate: &Gate, denied: Denied, metadata: &str) -> Cause {
    let header = gate.challenge(&denied, metadata);
    match denied {
        Denied::Malformed(_) => {
            let text = format!("{denied}; {}", advice(gate));
            Cause::BadCredential(Box::new(Challenge { header, text: text.into() }))
        }
        Denied::Unavailable { .. } => Cause::IdentityAway,
        Denied::InsufficientScope { ref missing, .. } => {
            let text = format!("the token lacks the scope {}; ask for one that has it", missing.join(" "));
            Cause::InsufficientScope(Box::new(Challenge { header, text: text.into() }))
        }
        denied => {
            let text = format!("{denied}; {}", advice(gate));
            Cause::Unauthenticated(Box::new(Challenge { header, text: text.into() }))
        }
    }
}

/// What backends see of who asks, instead of what the caller has shown us.
fn dress(headers: &mut HeaderMap, gate: &Gate, pool: &Pool, caller: &Principal) -> Result<(), Cause> {
    let settings = pool.settings();
    let policy = gate.settings().credential;
    if let Some(shown) = gate.field().filter(|_| policy != CredentialPolicy::Forward) {
        headers.remove(shown);
    }
    if policy == CredentialPolicy::Replace {
        headers.remove(AUTHORIZATION);
        let own = settings.service_credential.as_ref().map(|own| own.value().clone());
        own.map(|own| headers.insert(AUTHORIZATION, own));
    }
    gate.tell(Some(caller), &settings.name, headers);
    if gate.has_told(headers) {
        Ok(())
    } else {
        // Servers might take nothing for somebody.
        let text = "what the credential says of its bearer is too long to be told; ask for one with fewer scopes";
        Err(Cause::BadCredential(Box::new(Challenge { header: None, text: text.into() })))
    }
}

/// Takes out what backends must not see: a hop's own fields are for nobody behind it, and who calls nobody says but Moorline.
pub fn cleanse(headers: &mut HeaderMap, survey: &Survey) {
    if survey.hops {
        strip_hop_by_hop(headers);
    }
    if survey.poses {
        drop_lookalikes(headers);
        for name in &IDENTITY_FIELDS {
            headers.remove(name);
        }
    }
}

/// Header fields that some servers cannot tell from those that say who calls, or where from: they take `_` for `-`.
fn drop_lookalikes(headers: &mut HeaderMap) {
    let is_one = |name: &&HeaderName| {
        let name = name.as_str();
        name.contains('_') && {
            let name = name.replace('_', "-");
            ["moorline-", "x-forwarded-", "x-real-ip", "forwarded"].iter().any(|ours| name.starts_with(ours))
        }
    };
    let found: Vec<HeaderName> = headers.keys().filter(is_one).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// Names that matter, with hyphens and underscores mixed, beside others.
    fn name() -> impl Strategy<Value = String> {
        let ours = "(moorline|x|mcp|forwarded|authorization)[-_](caller|issuer|scopes|identity|real|forwarded|session)[-_](ip|for|id|x)";
        let short = "(moorline|x|)[-_]?(caller|real-ip|forwarded-for|forwarded|identity|scopes|issuer|session)";
        let hops = "connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-authorization|http2-settings";
        let short = short.prop_filter("a name", |name: &String| !name.is_empty());
        prop_oneof![ours, short, hops, "[a-z][a-z0-9_-]{0,12}"]
    }

    proptest! {
        /// The survey decides what is looked for; it must never hide anything.
        #[test]
        fn what_backends_must_not_see_goes_whatever_the_survey_looks_at(
            names in proptest::collection::vec(name(), 0..12), named in name()
        ) {
            let mut headers = HeaderMap::new();
            for name in names {
                let value = HeaderValue::from_str(&named).unwrap();
                headers.append(HeaderName::try_from(name).unwrap(), value);
            }
            let mut wanted = headers.clone();
            strip_hop_by_hop(&mut wanted);
            drop_lookalikes(&mut wanted);
            IDENTITY_FIELDS.iter().for_each(|name| drop(wanted.remove(name)));
            let survey = Survey::of(&headers);
            cleanse(&mut headers, &survey);
            prop_assert_eq!(headers, wanted);
        }
    }
}
