//! Holders of certificates.

use std::time::UNIX_EPOCH;

use super::*;
use crate::config::CertificateName;

fn certificate(clock: &Clock) -> Certificate {
    Certificate {
        subject: "CN=deploy,O=Example".into(),
        common_name: Some("deploy".into()),
        dns: ["a.example".into(), "b.example".into()].into(),
        uris: ["spiffe://example/deploy".into()].into(),
        emails: [].into(),
        issuer: "CN=Example CA".into(),
        fingerprint: [7; 32],
        not_after: UNIX_EPOCH + Duration::from_secs(clock.unix() + 60),
    }
}

#[tokio::test]
async fn a_certificate_names_its_holder() {
    let clock = Clock::manual();
    for (name, expected) in [
        (CertificateName::Subject, Ok("CN=deploy,O=Example")),
        (CertificateName::CommonName, Ok("deploy")),
        (CertificateName::Dns, Ok("a.example")),
        (CertificateName::Uri, Ok("spiffe://example/deploy")),
        (CertificateName::Email, Err(Denied::Invalid(Flaw::Claim))),
    ] {
        let (_gates, gate) = gates(&clock, hurried(), &settings(AuthMode::Mtls(name)));
        let principal = gate.check(&HeaderMap::new(), Some(&certificate(&clock))).await;
        assert_eq!(principal.as_ref().map(|principal| &*principal.subject).map_err(Clone::clone), expected);
        assert_eq!(gate.check(&bearer("x"), None).await.err(), Some(Denied::Missing));
        assert_eq!(gate.challenge(&Denied::Missing, "x"), None);
    }
}

#[tokio::test]
async fn a_certificate_ends_with_its_date() {
    let clock = Clock::manual();
    let (_gates, gate) = gates(&clock, hurried(), &settings(AuthMode::Mtls(CertificateName::Uri)));
    let certificate = certificate(&clock);
    let principal = gate.check(&HeaderMap::new(), Some(&certificate)).await.unwrap();
    assert!(principal.claim("dns").unwrap().is("b.example"));
    clock.advance(Duration::from_secs(60));
    assert!(principal.validity.ended(clock.now()));
    let outcome = gate.check(&HeaderMap::new(), Some(&certificate)).await;
    assert_eq!(outcome.err(), Some(Denied::Invalid(Flaw::Expired)));
}
