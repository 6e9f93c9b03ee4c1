//! Which certificate a client is shown: by the name that it asks for (SNI, RFC 6066 §3), or else the first one. Of several
//! for the same name the first whose kind of key the client can judge.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::TlsError;
use super::files::{chain, useless};

type Keys = Vec<Arc<CertifiedKey>>;

/// All certificates by their names.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    first: Keys,
    /// By whole names, in lower case.
    exact: HashMap<String, Keys>,
    /// By what follows `*.` in a name.
    wild: HashMap<String, Keys>,
}

/// What a certificate says of itself.
pub(super) struct Facts {
    /// DNS names, in lower case.
    pub names: Vec<String>,
    /// Until when it is valid, in seconds since 1970, and as text.
    pub ends: (u64, String),
}

/// Reads what a certificate says of itself.
pub(super) fn facts(path: &Path, key: &CertifiedKey) -> Result<Facts, TlsError> {
    let bad = |error: x509_cert::der::Error| useless(path, "certificate", error.to_string());
    let certificate = first_of(path, &key.cert)?;
    let read = certificate.tbs_certificate();
    let alternative = read.get_extension::<SubjectAltName>().map_err(bad)?;
    let names = alternative.iter().flat_map(|(_, names)| &names.0).filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    let ends = read.validity().not_after;
    Ok(Facts { names: names.collect(), ends: (ends.to_unix_duration().as_secs(), ends.to_date_time().to_string()) })
}

/// Until when the first certificate in a file is valid, in seconds since 1970.
///
/// # Errors
/// [`TlsError`] where there is none, or it cannot be read.
pub fn ends(path: &Path) -> Result<u64, TlsError> {
    let certificate = first_of(path, &chain(path)?)?;
    Ok(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
}

fn first_of(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Certificate, TlsError> {
    let first = chain.first().ok_or_else(|| useless(path, "certificate", "there is none in it"))?;
    Certificate::from_der(first).map_err(|error| useless(path, "certificate", error.to_string()))
}

impl Chosen {
    /// Adds a certificate for its names; the first that is added is the one for all others too.
    pub fn add(&mut self, key: CertifiedKey, names: &[String]) {
        let key = Arc::new(key);
        if self.first.is_empty() {
            self.first.push(Arc::clone(&key));
        }
        for name in names {
            let (table, name) = match name.strip_prefix("*.") {
                Some(rest) => (&mut self.wild, rest),
                None => (&mut self.exact, name.as_str()),
            };
            table.entry(name.to_owned()).or_default().push(Arc::clone(&key));
        }
    }

    /// Those for this name, the better ones first.
    fn of(&self, name: Option<&str>) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = name.as_ref().and_then(|name| self.exact.get(name));
        // A star stands for exactly one label (RFC 9525 §6.3).
        let wild = name.as_ref().and_then(|name| self.wild.get(name.split_once('.')?.1));
        exact.into_iter().chain(wild).chain([&self.first]).flatten()
    }
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.of(hello.server_name()).find(|key| key.key.choose_scheme(schemes).is_some()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn made_for(names: &[&str]) -> (CertifiedKey, Vec<String>) {
        let made = rcgen::generate_simple_self_signed(names.iter().copied().map(String::from).collect::<Vec<_>>());
        let made = made.unwrap();
        let der = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let key = CertifiedKey::from_der(vec![der], key, &super::super::provider()).unwrap();
        let facts = facts(Path::new("test"), &key).unwrap();
        (key, facts.names)
    }

    #[test]
    fn the_name_that_is_asked_for_says_which() {
        let mut chosen = Chosen::default();
        let mut ders = Vec::new();
        for names in [&["First.example"][..], &["*.example"], &["b.example", "other.test"]] {
            let (key, names) = made_for(names);
            ders.push(key.cert[0].clone());
            chosen.add(key, &names);
        }
        let which = |name: Option<&str>| {
            let found = chosen.of(name).next().unwrap();
            ders.iter().position(|der| *der == found.cert[0]).unwrap()
        };
        assert_eq!(which(None), 0);
        assert_eq!(which(Some("first.EXAMPLE")), 0);
        assert_eq!(which(Some("a.example")), 1);
        assert_eq!(which(Some("b.example")), 2);
        assert_eq!(which(Some("other.test")), 2);
        for stranger in ["x.a.example", "example", "test", "", "."] {
            assert_eq!(which(Some(stranger)), 0, "{stranger}");
        }
    }
}
