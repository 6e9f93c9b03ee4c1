//! The rows of who may call. Decides nothing else.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::{HOUR, MINUTE, SECOND, choice, days, key, period, text};
use crate::config::auth::form::{self, Claims};
use crate::config::auth::read::{Identity, Mode};
use crate::config::auth::{CertificateName, CredentialPolicy, IdentityKey, JwksSource, JwtAlgorithm};
use crate::config::form::{Choice, List, Text};
use crate::config::quantity::Period;
use crate::config::tree::{Key, Needed, Optional, Section, Shape};
use crate::config::values;

const SCOPE: Text<Box<str>> = text(form::scope, "a scope such as \"mcp:tools\"");
const SCOPES: List<Text<Box<str>>> = List { element: SCOPE, min: 1, max: 64, bare: true };
const CLAIM: Text<Box<str>> = text(form::word, "the name of a claim");

section! { AUTH: Table "auth", "Who may call, in every pool that has no [pool.auth] of its own; that has the same keys and counts instead of all of this.", below [&ISSUER];
    AUTH_MODE: Key<Choice<Mode>> = key("mode", r#""none""#,
        choice(&[("none", Mode::None), ("api_keys", Mode::ApiKeys), ("jwt", Mode::Jwt), ("mtls", Mode::Mtls)]),
        "How callers are known: not at all, a caller is an address (none); by keys of your own (api_keys); by access tokens of an OAuth server (jwt); \
         or by the certificate of the connection (mtls).");
    SCOPES_NEEDED: Optional<List<Text<Box<str>>>> = Optional { name: "scopes", absent: "none", sample: r#"["mcp:tools"]"#, form: SCOPES,
        doc: "Scopes that every caller must have. Who lacks one gets 403, and is told which." };
    KEYS_FILE: Optional<Text<PathBuf>> = Optional { name: "keys_file", absent: "it must be given with mode api_keys", sample: r#""/etc/moorline/keys.toml""#,
        form: text(values::file, "the path of a file"),
        doc: "The file with the hashes of keys, as `moorline key new` writes it. It is read again whenever it changes." };
    KEY_HEADER: Optional<Text<HeaderName>> = Optional { name: "header", absent: "Authorization, as \"Bearer\" and the key", sample: r#""x-api-key""#,
        form: text(form::header, "a header's name such as \"x-api-key\""),
        doc: "The header field that holds the key, and nothing else." };
    RESOURCE: Optional<Text<Box<str>>> = Optional { name: "resource", absent: "public_url and the pool's path", sample: r#""https://mcp.example.com/mcp""#,
        form: text(form::resource, "a URL such as \"https://mcp.example.com/mcp\""),
        doc: "The pool's URL as clients use it and the OAuth server knows it (RFC 8707). Only in [pool.auth]: it is one pool's." };
    SCOPES_SUPPORTED: Optional<List<Text<Box<str>>>> = Optional { name: "scopes_supported", absent: "those of scopes", sample: r#"["mcp:tools", "mcp:admin"]"#, form: SCOPES,
        doc: "The scopes that clients are told of (RFC 9728), where they may need more than scopes says." };
    LEEWAY: Optional<Period> = Optional { name: "leeway", absent: "60s", sample: r#""60s""#, form: period(Duration::ZERO, HOUR),
        doc: "How far the clocks of issuers may be from ours. A token is good this much longer than it says." };
    JWKS_REFRESH: Optional<Period> = Optional { name: "jwks_refresh", absent: "5m", sample: r#""5m""#, form: period(SECOND, days(1)),
        doc: "How often keys of issuers are fetched anew; where Cache-Control says something, that counts, between a minute and an hour. A token under an unknown key \
         has them fetched at once." };
    JWKS_STALE: Optional<Period> = Optional { name: "jwks_stale", absent: "24h", sample: r#""24h""#, form: period(MINUTE, days(30)),
        doc: "How long keys are believed while they cannot be fetched. At least jwks_refresh." };
    CERTIFICATE: Optional<Choice<CertificateName>> = Optional { name: "certificate", absent: "subject, with mode mtls", sample: r#""uri""#,
        form: choice(&[("subject", CertificateName::Subject), ("common_name", CertificateName::CommonName), ("dns", CertificateName::Dns),
            ("uri", CertificateName::Uri), ("email", CertificateName::Email)]),
        doc: "Which name in a certificate is the caller's: the whole subject, its common name, or the first alternative name of a kind." };
    CREDENTIAL: Optional<Choice<CredentialPolicy>> = Optional { name: "credential", absent: "drop", sample: r#""drop""#, form: choice(&[("drop", CredentialPolicy::Drop), ("forward", CredentialPolicy::Forward), ("replace", CredentialPolicy::Replace)]),
        doc: "What becomes of the Authorization (or key) of a caller on the way to backends, once it was checked: it is left out (drop), passed on (forward), \
         or the pool's service credential stands there instead (replace). With mode none it is always passed on." };
    IDENTITY: Optional<Choice<Identity>> = Optional { name: "identity", absent: "headers", sample: r#""headers""#, form: choice(&[("off", Identity::Off), ("headers", Identity::Headers), ("signed", Identity::Signed)]),
        doc: "How backends are told who calls: in Moorline-Caller, Moorline-Issuer and Moorline-Scopes (headers), which they may believe if nobody else can reach them; \
         in Moorline-Identity, a token of a minute that Moorline signs (signed); or not at all (off). What clients send under these names never passes." };
    IDENTITY_KEY_FILE: Optional<Text<IdentityKey>> = Optional { name: "identity_key_file", absent: "it must be given with identity signed",
        sample: r#""/run/secrets/moorline-identity.pem""#, form: text(IdentityKey::from_file, "the path of a file"),
        doc: "The private key (Ed25519 or P-256, PKCS #8, PEM) that signs who calls: openssl genpkey -algorithm ed25519." };
}

section! { ISSUER: OptionalTables "auth.issuer", "Somebody whose tokens are believed, with mode jwt; in [pool.auth] it is [[pool.auth.issuer]]. There may be several.", below [];
    ISSUER_NAME: Needed<Text<Box<str>>> = Needed { name: "issuer", sample: r#""https://auth.example.com""#,
        form: text(form::issuer, "a URL such as \"https://auth.example.com\""),
        doc: "Who issues the tokens, letter by letter as their iss claim says it" };
    JWKS: Optional<Text<JwksSource>> = Optional { name: "jwks", absent: "found by the issuer's metadata (RFC 8414, OpenID Connect Discovery)",
        sample: r#""https://auth.example.com/jwks""#, form: text(form::jwks, "an http or https URL, or the path of a file"),
        doc: "Where the issuer's keys are. A file is read again whenever it changes." };
    CA_FILE: Optional<Text<PathBuf>> = Optional { name: "ca_file", absent: "the machine's own list", sample: r#""/etc/moorline/auth-ca.pem""#,
        form: text(values::file, "the path of a file"),
        doc: "The certificates (PEM) of whom to trust for the issuer's server." };
    AUDIENCE: Optional<List<Text<Box<str>>>> = Optional { name: "audience", absent: "the pool's resource", sample: r#"["https://mcp.example.com/mcp"]"#,
        form: List { element: text(form::word, "a name such as \"https://mcp.example.com/mcp\""), min: 1, max: 64, bare: true },
        doc: "Of whom a token must be meant for one (aud)." };
    ALGORITHMS: Key<List<Choice<JwtAlgorithm>>> = key("algorithms", r#"["RS256", "PS256", "ES256", "EdDSA"]"#,
        List { element: choice(&JwtAlgorithm::ALL), min: 1, max: 9, bare: true },
        "How tokens may be signed. Unsigned tokens and shared secrets are never accepted.");
    CLAIMS: Optional<Claims> = Optional { name: "claims", absent: "none", sample: r#"{ org = "acme", tier = ["pro", "team"] }"#, form: Claims { max: 32 },
        doc: "Claims that tokens must have, each with its value, or any of several; a claim that is a list must hold one of them." };
    SUBJECT: Key<Text<Box<str>>> = key("subject", r#""sub""#, CLAIM,
        "The claim that names the caller. A caller is the issuer and this: a session goes on under a newer token of the same.");
    SCOPE_CLAIM: Optional<Text<Box<str>>> = Optional { name: "scope", absent: "scope, or else scp", sample: r#""permissions""#, form: CLAIM,
        doc: "The claim that holds the scopes: one text with spaces, or a list." };
}

/// The same for one pool.
pub(in crate::config) static POOL_AUTH: Section = Section {
    header: "pool.auth",
    shape: Shape::OptionalTable,
    doc: "Who may call this pool.",
    keys: AUTH.keys,
    below: &[&POOL_ISSUER],
};

/// The same for one pool.
pub(in crate::config) static POOL_ISSUER: Section = Section {
    header: "pool.auth.issuer",
    shape: Shape::OptionalTables,
    doc: "Somebody whose tokens are believed in this pool.",
    keys: ISSUER.keys,
    below: &[],
};
