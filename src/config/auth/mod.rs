//! Who may call, as settings: the ways to know a caller, and what backends are told of him. Plain data; knows no
//! caller and asks nobody.

pub(super) mod check;
pub(super) mod form;
mod key;
pub(super) mod read;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri};

pub(super) use read::General;

pub use key::{IdentityAlgorithm, IdentityKey};

/// Who may call one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthSettings {
    /// How callers are known.
    pub mode: AuthMode,
    /// The scopes that every caller must have, in order.
    pub scopes: Vec<Box<str>>,
    /// What becomes of the credential that a caller was known by.
    pub credential: CredentialPolicy,
    /// How backends are told who calls.
    pub identity: IdentitySettings,
}

/// How callers are known.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthMode {
    /// They are not: a caller is an address.
    None,
    /// By a key from a file.
    ApiKeys(ApiKeysSettings),
    /// By an access token that an issuer has signed.
    Jwt(Box<JwtSettings>),
    /// By the certificate of the connection.
    Mtls(CertificateName),
}

/// Where keys are, and how callers show theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeysSettings {
    /// The file with the hashes.
    pub file: PathBuf,
    /// The header field that holds nothing but the key; `None` is `Authorization: Bearer`.
    pub header: Option<HeaderName>,
}

/// Whose tokens are believed, and for what.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtSettings {
    /// Whose; at least one, none twice.
    pub issuers: Vec<IssuerSettings>,
    /// How far clocks may be apart, or how late a token may come.
    pub leeway: Duration,
    /// How often key sets are fetched anew where their server says nothing else.
    pub jwks_refresh: Duration,
    /// How long keys that were fetched are believed while their server cannot be reached. At least `jwks_refresh`.
    pub jwks_stale: Duration,
    /// The URL of the pool as clients and issuers know it (RFC 8707); `None` where nothing says it.
    pub resource: Option<Box<str>>,
    /// The scopes that are named in the pool's metadata (RFC 9728).
    pub scopes_supported: Vec<Box<str>>,
}

/// One issuer of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerSettings {
    /// Its name, exactly as its tokens have it (`iss`): a URL.
    pub issuer: Box<str>,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// Whom to trust that its server is who it says (PEM); `None` leaves it to this machine's own list.
    pub ca_file: Option<PathBuf>,
    /// Of whom a token must be meant for one; at least one.
    pub audience: Vec<Box<str>>,
    /// How its tokens may be signed; at least one.
    pub algorithms: Vec<JwtAlgorithm>,
    /// What its tokens must say.
    pub claims: Vec<RequiredClaim>,
    /// The claim that names the caller.
    pub subject: Box<str>,
    /// The claim that holds the scopes; `None` is `scope`, or else `scp`.
    pub scope: Option<Box<str>>,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JwksSource {
    /// Where the issuer's metadata says (RFC 8414, OpenID Connect Discovery).
    Discovered,
    /// At this URL.
    Url(Uri),
    /// In this file.
    File(PathBuf),
}

/// How a token is signed (RFC 7518 §3.1, RFC 8037): by asymmetric keys alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "these are the names in the RFCs")]
pub enum JwtAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl JwtAlgorithm {
    /// All, with their names in tokens and key sets.
    pub const ALL: [(&'static str, Self); 9] = [
        ("RS256", Self::RS256),
        ("RS384", Self::RS384),
        ("RS512", Self::RS512),
        ("PS256", Self::PS256),
        ("PS384", Self::PS384),
        ("PS512", Self::PS512),
        ("ES256", Self::ES256),
        ("ES384", Self::ES384),
        ("EdDSA", Self::EdDSA),
    ];

    /// The algorithm of that name, or of its newer one (RFC 9864). Case matters (RFC 7515 §4.1.1).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredClaim {
    /// Its name.
    pub name: Box<str>,
    /// Its value, or one among its values, must be one of these; at least one.
    pub values: Vec<Box<str>>,
}

/// Which name in a certificate is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The whole subject (RFC 4514).
    Subject,
    /// The subject's common name.
    CommonName,
    /// The first DNS name among the alternative names.
    Dns,
    /// The first URI among the alternative names, such as a SPIFFE id.
    Uri,
    /// The first mail address among the alternative names.
    Email,
}

/// What becomes of the credential that a caller was known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialPolicy {
    /// Backends do not see it.
    Drop,
    /// Backends see it as it came.
    Forward,
    /// Backends see the pool's service credential instead.
    Replace,
}

/// How backends are told who calls.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentitySettings {
    /// Not at all.
    Off,
    /// In header fields that Moorline alone sets.
    Headers,
    /// In a short token that Moorline signs.
    Signed(IdentityKey),
}

impl AuthSettings {
    /// Nobody is asked who he is.
    #[must_use]
    pub const fn open() -> Self {
        Self {
            mode: AuthMode::None,
            scopes: Vec::new(),
            credential: CredentialPolicy::Forward,
            identity: IdentitySettings::Off,
        }
    }
}
