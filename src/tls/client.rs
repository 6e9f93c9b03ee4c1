//! What speaks TLS with the backends of one pool.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};

use super::{H2, HTTP1, TlsError, files, provider, setup};
use crate::config::BackendTls;

/// How backends are met: whom to trust, what to show, which name to insist on.
#[derive(Debug)]
pub struct Client {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Client {
    /// Reads all files. Blocks, for a few small files.
    ///
    /// # Errors
    /// [`TlsError`] names the file that is no good.
    pub fn new(settings: &BackendTls) -> Result<Self, TlsError> {
        let roots = files::authorities(settings.ca_file.as_deref())?;
        let blamed = settings.ca_file.as_deref().unwrap_or(Path::new("this machine's list"));
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let verifier = verifier.map_err(|error| files::useless(blamed, "authority", error.to_string()))?;
        let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
            ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(setup)?;
        let builder = builder.with_webpki_verifier(verifier);
        let config = match &settings.client {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = Arc::new(files::pair(own)?);
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
        };
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self { http1: speaking(HTTP1), http2: speaking(H2), name: settings.server_name.clone() })
    }

    /// For connections that speak HTTP/1.1.
    #[must_use]
    pub const fn http1(&self) -> &Arc<ClientConfig> {
        &self.http1
    }

    /// For connections that speak HTTP/2.
    #[must_use]
    pub const fn http2(&self) -> &Arc<ClientConfig> {
        &self.http2
    }

    /// The name that the certificate of the backend at `host` must bear; none where that can be no name.
    #[must_use]
    pub fn name_of(&self, host: &str) -> Option<ServerName<'static>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        self.name.clone().or_else(|| ServerName::try_from(bare.to_owned()).ok())
    }
}
