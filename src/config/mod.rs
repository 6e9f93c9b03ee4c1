//! The configuration: one TOML file (or a few flags) in, checked settings out, every fault at once and
//! with its place. Builds nothing from the settings, keeps nothing alive, and watches no file.

mod address;
mod allow;
mod auth;
mod bounds;
mod cache;
mod credential;
mod duration;
mod fault;
mod flags;
mod form;
mod instance;
mod limit;
mod log;
mod metrics;
mod nearest;
mod pool;
mod quantity;
mod read;
mod reference;
mod schema;
mod secret;
mod settings;
mod shared;
mod size;
mod tls;
mod traces;
mod tree;
mod url;
mod values;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use address::{AddressRange, RangeError};
pub use allow::{AllowRule, AllowTarget};
pub use auth::{
    ApiKeysSettings, AuthMode, AuthSettings, CertificateName, CredentialPolicy, IdentityAlgorithm, IdentityKey,
    IdentitySettings, IssuerSettings, JwksSource, JwtAlgorithm, JwtSettings, RequiredClaim,
};
pub use bounds::Bounds;
pub use cache::{
    CacheArguments, CacheInvalidation, CacheRule, CacheScope, CacheSettings, CacheTarget, CachedMethod, Pointer,
    ProtocolCache, ResultsSettings,
};
pub use credential::Credential;
pub use duration::parse as parse_duration;
pub use fault::{Code, Colour, Fault, Faults};
pub use instance::InstanceSettings;
pub use limit::{
    Algorithm, BackendLimit, BackendMost, Concurrency, DEFAULT_METHODS, Glob, GlobError, LimitCallers, LimitEra,
    LimitKey, LimitScope, LimitSettings, LimitsAway, LimitsSettings, OnLimit, Rate, RateError, Tokens, UpstreamRefusal,
    UpstreamSettings,
};
pub use log::{AccessLog, LogFormat, LogLevel, LogSettings};
pub use metrics::MetricsSettings;
pub use reference::{example, reference};
pub use secret::{Password, SealingKey};
pub use settings::{
    BackendSettings, Config, DrainSettings, HealthSettings, HostPolicy, HttpVersion, PoolSettings, Probe, Refusals,
    Rehome, SessionSettings, StoreSettings, StoreUrl, StreamSettings, WhenAway,
};
pub use shared::{HostPort, RedisPlace, RedisUrl};
pub use size::parse as parse_size;
pub use tls::{BackendTls, CertificateFiles, ClientCertificates, ListenSettings, TlsSettings, TlsVersion};
pub use traces::{TraceHeaders, TracesSettings};
pub use url::{BackendUrl, Discovery};

use tree::Sink;

/// A configuration file is never larger, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("cannot read the configuration file `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path names a directory or something else that is not a file.
    #[error("`{}` is not a file; the configuration is one TOML file", .0.display())]
    NotAFile(PathBuf),
    /// The file is larger than any configuration.
    #[error("the configuration file `{}` is larger than {MAX_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
    /// The file was read, and has faults.
    #[error(transparent)]
    Faults(#[from] Faults),
}

impl Config {
    /// Reads and checks a file, and the sealing key where the file says that it is.
    ///
    /// # Errors
    /// If the file cannot be read, or has any fault: then all of them are returned.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_file(path)?;
        let name = path.display().to_string();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::parse(&name, &text)?),
            Err(bad) => Err(not_utf8(&name, bad.as_bytes(), bad.utf8_error().valid_up_to()).into()),
        }
    }

    /// Checks the text of a configuration, and reads the sealing key where the text says that it is.
    /// `source_name` stands for the text in what is shown.
    ///
    /// # Errors
    /// If the text has any fault: then all of them are returned.
    pub fn parse(source_name: &str, text: &str) -> Result<Self, Faults> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut sink = Sink::default();
        let config = read::document(table.get_ref(), &mut sink);
        if errors.is_empty() {
            return finish(source_name, text, config, sink);
        }
        // What can still be read of a broken document says where secrets are; its other faults may only follow from the break.
        sink.secrets.extend(secret::spans(text));
        let faults = errors.iter().map(|error| {
            let at = error.span().unwrap_or(text.len()..text.len());
            Fault::new(Code::Syntax, at, format!("this is not TOML: {}", error.message()))
        });
        Err(Faults::new(source_name, text, &sink.secrets, faults.collect()))
    }

    /// What has changed between two configurations and is in force only after a restart.
    #[must_use]
    pub fn changes_needing_restart(old: &Self, new: &Self) -> Vec<&'static str> {
        let changed = schema::RESTART.iter().filter(|(_, same)| !same(old, new));
        changed.map(|(key, _)| *key).collect()
    }
}

/// The configuration with its warnings, or the faults.
fn finish(name: &str, text: &str, mut config: Config, sink: Sink) -> Result<Config, Faults> {
    if !sink.faults.is_empty() {
        return Err(Faults::new(name, text, &sink.secrets, sink.faults));
    }
    config.warnings = Faults::new(name, text, &sink.secrets, sink.warnings);
    Ok(config)
}

fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    // Asked before opening, because opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ConfigError::NotAFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

fn not_utf8(name: &str, bytes: &[u8], valid: usize) -> Faults {
    let text = String::from_utf8_lossy(bytes);
    // Up to the first bad byte both texts are the same.
    let at = valid..valid + char::REPLACEMENT_CHARACTER.len_utf8();
    let fault =
        Fault::new(Code::Syntax, at, "this is not UTF-8").help("save the file in UTF-8; TOML knows no other encoding");
    Faults::new(name, &text, &secret::spans(&text), vec![fault])
}
