//! What clients meet: certificates, versions, and whom they may come from.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::chosen::{Chosen, facts};
use super::{H2, HTTP1, TlsError, files, provider, setup};
use crate::clock::Clock;
use crate::config::{ClientCertificates, TlsSettings, TlsVersion};

const SINCE_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const SINCE_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

/// Reads all files and makes of them what speaks TLS with clients. Blocks, for a few small files.
///
/// # Errors
/// [`TlsError`] names the file that is no good.
pub fn server(settings: &TlsSettings, clock: &Clock) -> Result<Arc<ServerConfig>, TlsError> {
    let versions = match settings.min_version {
        TlsVersion::Tls12 => SINCE_1_2,
        TlsVersion::Tls13 => SINCE_1_3,
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).map_err(setup)?;
    let builder = match verifier(settings)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates(settings, clock)?));
    config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
    if settings.client_certificates == ClientCertificates::Off {
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(setup)?;
    } else {
        // A session that is taken up again is not verified again: neither whether the certificate has run out meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn certificates(settings: &TlsSettings, clock: &Clock) -> Result<Chosen, TlsError> {
    let mut chosen = Chosen::default();
    for (at, files) in settings.certificates.iter().enumerate() {
        let (path, key) = (&files.cert_file, files::pair(files)?);
        let facts = facts(path, &key)?;
        let (until, ends) = (&facts.ends.1, facts.ends.0);
        let (file, names) = (path.display(), facts.names.join(", "));
        if ends < clock.unix() {
            tracing::error!(%file, names, until, "this certificate has run out; clients will refuse it");
        } else if at > 0 && facts.names.is_empty() {
            tracing::warn!(%file, until, "this certificate bears no DNS name, so no client will be shown it");
        } else {
            tracing::info!(%file, names, until, "certificate for clients");
        }
        chosen.add(key, &facts.names);
    }
    Ok(chosen)
}

/// Who judges clients' certificates, where they are asked for any.
fn verifier(settings: &TlsSettings) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if settings.client_certificates == ClientCertificates::Off {
        return Ok(None);
    }
    let path = settings.client_ca_file.as_deref();
    let path = path.ok_or_else(|| setup("client_certificates needs client_ca_file"))?;
    let roots = Arc::new(files::authorities(Some(path))?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if let Some(path) = &settings.client_crl_file {
        builder = builder.with_crls(files::revoked(path)?).allow_unknown_revocation_status();
    }
    if settings.client_certificates == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    let blamed = settings.client_crl_file.as_deref().unwrap_or(path);
    let built = builder.build().map_err(|error| files::useless(blamed, "authority or list", error.to_string()))?;
    Ok(Some(built))
}
