//! TLS: turns the files that the configuration names into what speaks it, towards clients ([`server`]) and towards backends
//! ([`Client`]), and says what is wrong with a file by its name. Holds no connections, follows no files, and has no way
//! to leave certificates unverified.

mod chosen;
mod client;
mod files;
mod server;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use chosen::ends;
pub use client::Client;
pub use files::Fingerprint;
pub use server::server;

/// HTTP/2 and HTTP/1.1 as they are agreed upon (RFC 7301).
pub const H2: &[u8] = b"h2";
/// See [`H2`].
pub const HTTP1: &[u8] = b"http/1.1";

/// Why TLS cannot be set up. Never contains anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` holds no usable {what}: {why}", path.display())]
    Useless {
        /// Which one.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A certificate and a key do not belong together, or cannot be used.
    #[error("the certificate in `{}` cannot be used with the key in `{}`: {why}", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
    /// This machine's own list of authorities is empty.
    #[error("this machine has no list of certificates to trust: say which by `ca_file`")]
    NoAuthorities,
    /// The TLS library refuses the settings.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn setup(error: impl std::fmt::Display) -> TlsError {
    TlsError::Setup(error.to_string())
}
