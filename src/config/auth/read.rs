//! Reads who may call, for all pools and for one. What must hold between keys is checked beside.

use std::time::Duration;

use http::Uri;

use super::check;
use super::{
    ApiKeysSettings, AuthMode, AuthSettings, CertificateName, CredentialPolicy, IdentitySettings, IssuerSettings,
    JwksSource, JwtSettings,
};
use crate::config::credential::Credential;
use crate::config::fault::Span;
use crate::config::schema::auth as rows;
use crate::config::tree::{Reader, Section};

/// What counts where nothing is said; the schema tells of them.
const LEEWAY: Duration = Duration::from_secs(60);
const REFRESH: Duration = Duration::from_secs(300);
const STALE: Duration = Duration::from_secs(86_400);

/// The word for [`AuthMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Mode {
    None,
    ApiKeys,
    Jwt,
    Mtls,
}

/// The word for [`IdentitySettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Identity {
    Off,
    Headers,
    Signed,
}

/// What is said of all pools.
pub(in crate::config) struct General<'a> {
    /// Who may call where a pool says nothing of it.
    pub auth: AuthSettings,
    /// Where that stands.
    pub auth_at: Span,
    /// How clients reach Moorline, if it is said.
    pub public_url: Option<&'a Uri>,
}

/// Who may call one pool: what it says itself, or what is said of all.
pub(in crate::config) fn of_pool(
    reader: &mut Reader<'_>,
    general: &General<'_>,
    path: &str,
    credential: Option<&Credential>,
) -> AuthSettings {
    let at = reader.at.clone();
    let own = reader.has(&rows::POOL_AUTH);
    let (mut settings, auth_at) = if own {
        let mut below = reader.below(&rows::POOL_AUTH);
        (one(&mut below, &rows::POOL_ISSUER), below.at.clone())
    } else {
        (general.auth.clone(), general.auth_at.clone())
    };
    let pool = check::Pool { at, auth_at, path, public_url: general.public_url, has_credential: credential.is_some() };
    check::settle(&mut settings, &pool, reader.sink);
    settings
}

/// Reads one section, `[auth]` or `[pool.auth]`. What is not good has its fault.
pub(in crate::config) fn one(reader: &mut Reader<'_>, issuers: &'static Section) -> AuthSettings {
    let mode = reader.get(&rows::AUTH_MODE);
    check::belongs(reader, mode, issuers);
    let scopes = plain(reader.find(&rows::SCOPES_NEEDED));
    let credential = reader.find(&rows::CREDENTIAL).unwrap_or(CredentialPolicy::Drop);
    let identity = identity(reader);
    let mode = match mode {
        Mode::None => return AuthSettings::open(),
        Mode::ApiKeys => api_keys(reader),
        Mode::Jwt => AuthMode::Jwt(Box::new(jwt(reader, issuers, &scopes))),
        Mode::Mtls => AuthMode::Mtls(reader.find(&rows::CERTIFICATE).unwrap_or(CertificateName::Subject)),
    };
    AuthSettings { mode, scopes, credential, identity }
}

fn api_keys(reader: &mut Reader<'_>) -> AuthMode {
    check::is_given(reader, &rows::KEYS_FILE, "mode api_keys");
    let file = reader.find(&rows::KEYS_FILE).unwrap_or_default();
    AuthMode::ApiKeys(ApiKeysSettings { file, header: reader.find(&rows::KEY_HEADER) })
}

fn jwt(reader: &mut Reader<'_>, issuers: &'static Section, scopes: &[Box<str>]) -> JwtSettings {
    let leeway = reader.find(&rows::LEEWAY).unwrap_or(LEEWAY);
    let jwks_refresh = reader.find(&rows::JWKS_REFRESH).unwrap_or(REFRESH);
    let jwks_stale = reader.find(&rows::JWKS_STALE).unwrap_or(STALE);
    reader.at_most((&rows::JWKS_REFRESH, jwks_refresh), (&rows::JWKS_STALE, jwks_stale));
    let resource = reader.find(&rows::RESOURCE);
    check::is_one_pools(reader);
    let supported = reader.find(&rows::SCOPES_SUPPORTED).map(|found| plain(Some(found)));
    let mut settings = JwtSettings {
        issuers: Vec::new(),
        leeway,
        jwks_refresh,
        jwks_stale,
        resource,
        scopes_supported: supported.unwrap_or_else(|| scopes.to_vec()),
    };
    let mut seen = Vec::new();
    check::has_issuers(reader, issuers);
    for (at, table) in reader.each_below(issuers) {
        let mut reader = Reader::new(issuers, Some(table), at, &mut *reader.sink);
        settings.issuers.extend(issuer(&mut reader, &mut seen));
    }
    settings
}

fn issuer(reader: &mut Reader<'_>, seen: &mut Vec<(Box<str>, Span)>) -> Option<IssuerSettings> {
    let name = reader.need(&rows::ISSUER_NAME);
    let jwks = reader.find(&rows::JWKS).unwrap_or(JwksSource::Discovered);
    let ca_file = reader.find(&rows::CA_FILE);
    let algorithms = reader.get(&rows::ALGORITHMS);
    let claims = plain(reader.find(&rows::CLAIMS));
    check::is_fetched(reader, &jwks);
    if let Some(name) = &name {
        check::is_new(reader, name, seen);
        check::is_safe(reader, name, &jwks);
    }
    Some(IssuerSettings {
        jwks,
        ca_file,
        audience: plain(reader.find(&rows::AUDIENCE)),
        algorithms: plain(Some(algorithms)),
        claims,
        subject: reader.get(&rows::SUBJECT),
        scope: reader.find(&rows::SCOPE_CLAIM),
        issuer: name?,
    })
}

fn identity(reader: &mut Reader<'_>) -> IdentitySettings {
    let word = reader.find(&rows::IDENTITY).unwrap_or(Identity::Headers);
    let key = reader.find(&rows::IDENTITY_KEY_FILE);
    check::signs(reader, word);
    match (word, key) {
        (Identity::Headers, _) => IdentitySettings::Headers,
        (Identity::Signed, Some(key)) => IdentitySettings::Signed(key),
        (Identity::Off, _) | (Identity::Signed, None) => IdentitySettings::Off,
    }
}

fn plain<T>(found: Option<Vec<(Span, T)>>) -> Vec<T> {
    found.unwrap_or_default().into_iter().map(|(_, value)| value).collect()
}
