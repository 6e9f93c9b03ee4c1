//! Who calls: a key, a token or a certificate becomes a [`Principal`], or it is said why not. Owns the keys of issuers, the
//! file of API keys, and a memory of tokens that were verified. It decides nothing of what a caller may do beyond the
//! scopes that all must have, and sends no response.

mod certificate;
mod denied;
mod gates;
mod introduce;
mod label;
mod principal;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

pub use certificate::{Certificate, MAX_NAMES};
pub use denied::{Denied, Flaw, KeyEnd, Oddity};
pub use gates::Gates;
pub use introduce::INTRODUCTIONS;
pub use principal::{ClaimValue, MAX_CLAIM, MAX_CLAIMS, MAX_SCOPES, MAX_VALUES, Principal, Validity};

use crate::clock::Clock;
use crate::config::{AuthMode, AuthSettings};

/// Who may pass into one pool.
pub struct Gate {
    settings: AuthSettings,
}

impl Gate {
    /// A gate of these settings.
    #[must_use]
    pub fn new(settings: &AuthSettings, _clock: Clock) -> Self {
        Self { settings: settings.clone() }
    }

    /// Whether callers are asked who they are at all.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.settings.mode, AuthMode::None)
    }

    /// Who asks. Waits only where keys of an issuer must be fetched first, two seconds at most.
    ///
    /// # Errors
    /// See [`Denied`].
    pub async fn check(
        &self,
        _headers: &HeaderMap,
        certificate: Option<&Certificate>,
    ) -> Result<Arc<Principal>, Denied> {
        match &self.settings.mode {
            AuthMode::Mtls(name) => certificate::holder(certificate, *name),
            AuthMode::None | AuthMode::ApiKeys(_) | AuthMode::Jwt(_) => {
                Err(Denied::Unavailable { retry_after: std::time::Duration::from_secs(60) })
            }
        }
    }

    /// The pool's metadata as an OAuth 2.0 protected resource (RFC 9728 §2), in JSON; `None` where it is none.
    /// `resource` is the pool's URL as this client used it, which counts where no other is configured.
    #[must_use]
    pub fn metadata(&self, _resource: &str) -> Option<String> {
        None
    }

    /// What stands in `WWW-Authenticate`; `None` where HTTP has no word for what is asked for (certificates), or
    /// where asking would change nothing. `metadata` is the URL of the pool's metadata.
    #[must_use]
    pub fn challenge(&self, _denied: &Denied, _metadata: &str) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("Bearer"))
    }
}
