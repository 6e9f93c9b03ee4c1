//! Reads what a client's certificate says. It was verified by then; this is about its names alone.

use aws_lc_rs::digest::{SHA256, digest};
use x509_cert::Certificate as X509;
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier};
use x509_cert::der::{Decode as _, Error};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

use crate::exchange::{Certificate, MAX_NAMES};

/// `id-at-commonName` (RFC 5280 appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Reads a certificate (DER).
///
/// # Errors
/// Where it, or its list of names, is no such thing: whose it is cannot be said then.
pub fn read(der: &[u8]) -> Result<Certificate, Error> {
    let certificate = X509::from_der(der)?;
    let read = certificate.tbs_certificate();
    let alternative = read.get_extension::<SubjectAltName>()?.map_or_else(Vec::new, |(_, names)| names.0);
    // The last one is the most specific (RFC 5280 §4.1.2.4: from the root of the tree to the leaf).
    let common_name = read.subject().iter().filter(|attribute| attribute.oid == COMMON_NAME).last();
    let common_name = common_name.map(|attribute| DirectoryString::try_from(&attribute.value)).transpose()?;
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
    Ok(Certificate {
        subject: read.subject().to_string().into(),
        common_name: common_name.map(|name| Box::from(name.value())),
        dns: pick(&alternative, |name| match name {
            GeneralName::DnsName(name) => Some(name),
            _ => None,
        }),
        uris: pick(&alternative, |name| match name {
            GeneralName::UniformResourceIdentifier(name) => Some(name),
            _ => None,
        }),
        emails: pick(&alternative, |name| match name {
            GeneralName::Rfc822Name(name) => Some(name),
            _ => None,
        }),
        issuer: read.issuer().to_string().into(),
        fingerprint,
        not_after: read.validity().not_after.to_system_time(),
    })
}

fn pick(names: &[GeneralName], kind: fn(&GeneralName) -> Option<&Ia5String>) -> Box<[Box<str>]> {
    names.iter().filter_map(kind).take(MAX_NAMES).map(|name| Box::from(name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::{any, proptest};
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_of_every_kind_are_read() {
        let der = made(|params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
            params.distinguished_name.push(DnType::CommonName, "deploy");
            params.subject_alt_names = vec![
                SanType::DnsName("a.example".try_into().unwrap()),
                SanType::URI("spiffe://example.org/ns/a".try_into().unwrap()),
                SanType::Rfc822Name("ops@example.org".try_into().unwrap()),
                SanType::IpAddress("10.0.0.1".parse().unwrap()),
                SanType::DnsName("b.example".try_into().unwrap()),
            ];
            params.not_after = rcgen::date_time_ymd(2035, 1, 2);
        });
        let read = read(&der).unwrap();
        assert_eq!(&*read.subject, "CN=deploy,O=Example\\, Inc.");
        assert_eq!(read.issuer, read.subject);
        assert_eq!(read.common_name.as_deref(), Some("deploy"));
        assert_eq!(&*read.dns, [Box::from("a.example"), Box::from("b.example")]);
        assert_eq!(&*read.uris, [Box::from("spiffe://example.org/ns/a")]);
        assert_eq!(&*read.emails, [Box::from("ops@example.org")]);
        assert_eq!(read.not_after, UNIX_EPOCH + Duration::from_secs(2_051_308_800));
        assert_eq!(read.fingerprint, digest(&SHA256, &der).as_ref());
    }

    #[test]
    fn no_certificate_has_too_many_names() {
        let der = made(|params| {
            let name = |at| SanType::DnsName(format!("n{at}.example").try_into().unwrap());
            params.subject_alt_names = (0..100).map(name).collect();
        });
        let read = read(&der).unwrap();
        assert_eq!((read.dns.len(), &*read.dns[0]), (MAX_NAMES, "n0.example"));
        assert!(read.uris.is_empty() && read.emails.is_empty());
    }

    #[test]
    fn a_certificate_may_have_no_name_at_all() {
        let read = read(&made(|params| params.distinguished_name = rcgen::DistinguishedName::new())).unwrap();
        assert_eq!((&*read.subject, read.common_name), ("", None));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let mut der = made(|_| {});
            let at = at.index(der.len());
            der[at] = byte;
            drop(read(&der));
        }
    }
}
