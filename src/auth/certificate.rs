//! What a connection's certificate says of its holder. Read by whoever ends TLS, who has verified it; nothing is verified here.

use std::sync::Arc;
use std::time::SystemTime;

use super::denied::{Denied, Flaw};
use super::principal::{CERTIFICATES, Principal, Validity};
use crate::config::CertificateName;

/// Names of one kind that are remembered of a certificate; further ones are left out.
pub const MAX_NAMES: usize = 32;

/// A client's certificate. It was signed by an authority that the configuration trusts, and was valid, when the connection began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject as text (RFC 4514 §2), such as `CN=deploy,O=Example`. Empty where all names stand in the extension.
    pub subject: Box<str>,
    /// The most specific common name in the subject.
    pub common_name: Option<Box<str>>,
    /// DNS names in the subject's alternative names (RFC 5280 §4.2.1.6), in their order, at most [`MAX_NAMES`].
    pub dns: Box<[Box<str>]>,
    /// URIs there, SPIFFE ids for instance, at most [`MAX_NAMES`].
    pub uris: Box<[Box<str>]>,
    /// Mail addresses there, at most [`MAX_NAMES`].
    pub emails: Box<[Box<str>]>,
    /// Who signed it, as text (RFC 4514 §2).
    pub issuer: Box<str>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// It is not valid after this time.
    pub not_after: SystemTime,
}

/// The holder of a certificate.
pub(super) fn holder(certificate: Option<&Certificate>, name: CertificateName) -> Result<Arc<Principal>, Denied> {
    let certificate = certificate.ok_or(Denied::Missing)?;
    let found = match name {
        CertificateName::Subject => Some(&certificate.subject),
        CertificateName::CommonName => certificate.common_name.as_ref(),
        CertificateName::Dns => certificate.dns.first(),
        CertificateName::Uri => certificate.uris.first(),
        CertificateName::Email => certificate.emails.first(),
    };
    let found = found.filter(|name| !name.is_empty()).ok_or(Denied::Invalid(Flaw::Claim))?;
    // A certificate is good for as long as its connection: TLS has looked at its dates.
    let validity = Validity::new(None, Arc::default());
    Ok(Arc::new(Principal::new(CERTIFICATES, found, Arc::new(validity))))
}
