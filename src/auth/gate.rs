//! Who may pass into one pool, and what those are told who may not. Holds no keys itself.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::certificate::{self, Certificate};
use super::denied::{Denied, Flaw};
use super::identity::{IDENTITY_FIELDS, SignerError, Teller};
use super::jwt::Jwt;
use super::keyring::{self, Keyring};
use super::principal::Principal;
use super::{shown, token};
use crate::clock::Clock;
use crate::config::{AuthMode, AuthSettings, CertificateName, IdentitySettings};

/// Clients ask for it by themselves; it is never what a resource needs (MCP 2026-07-28, Refresh Tokens).
const OFFLINE: &str = "offline_access";

static FIELD: HeaderName = AUTHORIZATION;

/// Who may pass into one pool.
pub struct Gate {
    settings: AuthSettings,
    clock: Clock,
    asks: Asks,
    teller: Teller,
}

/// Whom the gate asks.
pub(super) enum Asks {
    Nobody,
    Keys(Arc<Keyring>, Option<HeaderName>),
    Issuers(Box<Jwt>),
    Certificate(CertificateName),
}

impl Gate {
    pub(super) fn new(settings: AuthSettings, asks: Asks, clock: Clock) -> Result<Self, SignerError> {
        let teller = Teller::new(&settings.identity, &clock)?;
        Ok(Self { settings, clock, asks, teller })
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &AuthSettings {
        &self.settings
    }

    /// Whether callers are not asked who they are; then [`Gate::check`] refuses everybody, and is not to be called.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.asks, Asks::Nobody)
    }

    /// The header field that holds the credential, which backends may not be shown; `None` where none does.
    #[must_use]
    pub fn field(&self) -> Option<&HeaderName> {
        match &self.asks {
            Asks::Keys(_, Some(header)) => Some(header),
            Asks::Keys(_, None) | Asks::Issuers(_) => Some(&FIELD),
            Asks::Nobody | Asks::Certificate(_) => None,
        }
    }

    /// Who asks. Waits only where keys of an issuer must be fetched first, two seconds at most.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn check(
        &self,
        headers: &HeaderMap,
        certificate: Option<&Certificate>,
    ) -> Result<Arc<Principal>, Denied> {
        let principal = match &self.asks {
            Asks::Nobody => Err(Denied::Missing),
            Asks::Keys(ring, None) => ring.find(shown::bearer(headers, keyring::LONGEST)?),
            Asks::Keys(ring, Some(header)) => ring.find(shown::field(headers, header, keyring::LONGEST)?),
            Asks::Issuers(jwt) => jwt.find(shown::bearer(headers, token::LONGEST)?).await,
            Asks::Certificate(name) => certificate::holder(certificate, *name, &self.clock),
        }?;
        self.require(&principal, &self.settings.scopes)?;
        Ok(principal)
    }

    /// Checks that a caller has scopes, those of the gate or of a rule.
    ///
    /// # Errors
    /// [`Denied::InsufficientScope`], with all of `needed` and those that he has not.
    pub fn require(&self, principal: &Principal, needed: &[Box<str>]) -> Result<(), Denied> {
        let missing: Vec<Box<str>> = needed.iter().filter(|scope| !principal.has(scope)).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Denied::InsufficientScope { needed: needed.to_vec(), missing })
    }

    /// Says in the header fields of a request to a backend who calls `audience` (the pool's URL, or its name), as configured.
    /// What stood there under the same names goes, whoever calls: it may be a client's.
    pub fn tell(&self, principal: Option<&Principal>, audience: &str, headers: &mut HeaderMap) {
        for name in &IDENTITY_FIELDS {
            headers.remove(name);
        }
        if let Some(principal) = principal {
            self.teller.tell(principal, audience, headers);
        }
    }

    /// Whether a request says of its caller all that is configured to be said: what is longer than a field may be is not.
    #[must_use]
    pub fn has_told(&self, headers: &HeaderMap) -> bool {
        let fields: &[HeaderName] = match self.settings.identity {
            IdentitySettings::Off => &[],
            IdentitySettings::Headers => &IDENTITY_FIELDS[..3],
            IdentitySettings::Signed(_) => &IDENTITY_FIELDS[3..],
        };
        fields.iter().all(|name| headers.contains_key(name))
    }

    /// The public key by which backends verify who calls, as a set in JSON (RFC 7517); `None` where nothing is signed.
    #[must_use]
    pub fn identity_keys(&self) -> Option<String> {
        self.teller.keys()
    }

    /// Whether it describes itself as a protected resource, which anybody may read.
    #[must_use]
    pub const fn publishes(&self) -> bool {
        matches!(self.settings.mode, AuthMode::Jwt(_))
    }

    /// The pool's metadata as an OAuth 2.0 protected resource (RFC 9728 §2), in JSON; `None` where callers need no token.
    /// `resource` is the pool's URL as this client used it, which counts where no other is configured.
    #[must_use]
    pub fn metadata(&self, resource: &str) -> Option<String> {
        let AuthMode::Jwt(jwt) = &self.settings.mode else { return None };
        let issuers: Vec<&str> = jwt.issuers.iter().map(|issuer| &*issuer.issuer).collect();
        let mut document = json!({
            "resource": jwt.resource.as_deref().unwrap_or(resource),
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
        });
        let scopes: Vec<&str> =
            jwt.scopes_supported.iter().map(|scope| &**scope).filter(|scope| *scope != OFFLINE).collect();
        if !scopes.is_empty() {
            document["scopes_supported"] = json!(scopes);
        }
        Some(document.to_string())
    }

    /// What stands in `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1); `None` where HTTP has no word for what is asked for
    /// (a certificate), or where another credential would change nothing. `metadata` is the URL of the pool's metadata.
    #[must_use]
    pub fn challenge(&self, denied: &Denied, metadata: &str) -> Option<HeaderValue> {
        if matches!(self.asks, Asks::Nobody | Asks::Certificate(_)) {
            return None;
        }
        let error = match denied {
            Denied::Missing => None,
            Denied::Malformed(_) => Some("invalid_request"),
            Denied::Invalid(_) | Denied::UnknownKey | Denied::RevokedKey(_) => Some("invalid_token"),
            Denied::InsufficientScope { .. } => Some("insufficient_scope"),
            Denied::Unavailable { .. } => return None,
        };
        let mut parts = Vec::new();
        if let Some(error) = error {
            parts.push(format!("error=\"{error}\""));
            parts.push(format!("error_description=\"{}\"", description(denied)));
        }
        let scopes = match denied {
            Denied::InsufficientScope { needed, .. } => needed,
            _ => &self.settings.scopes,
        };
        let scopes: Vec<&str> = scopes.iter().map(|scope| &**scope).filter(|scope| *scope != OFFLINE).collect();
        if !scopes.is_empty() {
            parts.push(format!("scope=\"{}\"", scopes.join(" ")));
        }
        if matches!(self.asks, Asks::Issuers(_)) {
            parts.push(format!("resource_metadata=\"{}\"", metadata.replace(['"', '\\'], "")));
        }
        let text = if parts.is_empty() { "Bearer".to_owned() } else { format!("Bearer {}", parts.join(", ")) };
        Some(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer")))
    }
}

/// For people. Has nothing that would have to be escaped (RFC 6750 §3).
fn description(denied: &Denied) -> String {
    match denied {
        Denied::InsufficientScope { missing, .. } => format!("missing: {}", missing.join(" ")),
        Denied::Invalid(Flaw::Expired) => "the token has expired".to_owned(),
        other => other.to_string(),
    }
}
