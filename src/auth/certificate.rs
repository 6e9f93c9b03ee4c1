//! What a connection's certificate says of its holder. Read by whoever ends TLS, who has verified it; nothing is verified here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::denied::{Denied, Flaw};
use super::principal::{CERTIFICATES, ClaimValue, MAX_CLAIM, Principal, Validity};
use crate::clock::Clock;
use crate::config::CertificateName;

/// Names of one kind that are remembered of a certificate; further ones are left out.
pub const MAX_NAMES: usize = 32;

/// A verified certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject as text (RFC 4514 §2); empty where all names stand in the extension.
    pub subject: Box<str>,
    /// The most specific common name in the subject.
    pub common_name: Option<Box<str>>,
    /// DNS names in the subject's alternative names (RFC 5280 §4.2.1.6), in their order.
    pub dns: Box<[Box<str>]>,
    /// URIs there.
    pub uris: Box<[Box<str>]>,
    /// Mail addresses there.
    pub emails: Box<[Box<str>]>,
    /// Who signed it, as text (RFC 4514 §2).
    pub issuer: Box<str>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// It is not valid after this time.
    pub not_after: SystemTime,
}

/// The holder of a certificate. All authorities that the configuration trusts are one issuer: who renews a certificate under
/// another of them stays who he is.
pub(super) fn holder(
    certificate: Option<&Certificate>,
    name: CertificateName,
    clock: &Clock,
) -> Result<Arc<Principal>, Denied> {
    let certificate = certificate.ok_or(Denied::Missing)?;
    let found = match name {
        CertificateName::Subject => Some(&certificate.subject),
        CertificateName::CommonName => certificate.common_name.as_ref(),
        CertificateName::Dns => certificate.dns.first(),
        CertificateName::Uri => certificate.uris.first(),
        CertificateName::Email => certificate.emails.first(),
    };
    let found = found.filter(|name| !name.is_empty()).ok_or(Denied::Invalid(Flaw::Claim))?;
    let ends = certificate.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = ends.checked_sub(Duration::from_secs(clock.unix())).filter(|left| !left.is_zero());
    let ends = clock.now().checked_add(left.ok_or(Denied::Invalid(Flaw::Expired))?);
    let mut principal = Principal::new(CERTIFICATES, found, Arc::new(Validity::new(ends, Arc::default())));
    principal.claims = claims(certificate);
    Ok(Arc::new(principal))
}

/// What rules may ask of a certificate.
fn claims(certificate: &Certificate) -> BTreeMap<Box<str>, ClaimValue> {
    let texts = [
        ("subject", Some(&certificate.subject)),
        ("common_name", certificate.common_name.as_ref()),
        ("issuer", Some(&certificate.issuer)),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, ClaimValue::Text(text?.clone()))));
    let lists = [("dns", &certificate.dns), ("uri", &certificate.uris), ("email", &certificate.emails)];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let lists = lists.map(|(name, list)| (name, ClaimValue::List(list.to_vec())));
    let fits = |(_, value): &(&str, ClaimValue)| value.joined().len() <= 8 * MAX_CLAIM;
    texts.chain(lists).filter(fits).map(|(name, value)| (name.into(), value)).collect()
}
