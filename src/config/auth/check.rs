//! What must hold between the keys of who may call: that each belongs to the mode, that a way to know callers is
//! complete, and that what one pool takes from `[auth]` is enough for it.

use http::Uri;

use super::read::{Identity, Mode};
use super::{AuthMode, AuthSettings, CredentialPolicy, JwksSource};
use crate::config::fault::{Code, Fault, Span};
use crate::config::schema::auth as rows;
use crate::config::tree::{Reader, Row, Section, Sink};

/// What one pool has that who may call it depends on.
pub(in crate::config) struct Pool<'a> {
    /// Where the pool stands.
    pub at: Span,
    /// Where it is said who may call it.
    pub auth_at: Span,
    /// Its endpoint path.
    pub path: &'a str,
    /// How clients reach Moorline, if it is said.
    pub public_url: Option<&'a Uri>,
    /// Whether it has a credential of its own.
    pub has_credential: bool,
}

impl Pool<'_> {
    /// The pool's URL for clients. The root has no slash at its end (MCP 2026-07-28, Canonical Server URI).
    fn resource(&self) -> Option<Box<str>> {
        let site = self.public_url?.to_string();
        Some(format!("{}{}", site.trim_end_matches('/'), self.path.trim_end_matches('/')).into())
    }
}

/// Completes what one pool takes over by what is the pool's own.
pub(in crate::config) fn settle(settings: &mut AuthSettings, pool: &Pool<'_>, sink: &mut Sink) {
    if settings.credential == CredentialPolicy::Replace && !pool.has_credential {
        let fault = Fault::new(
            Code::Conflict,
            pool.at.clone(),
            "the pool has no service credential to replace those of callers",
        );
        let fault = fault.related(Some(pool.auth_at.clone()), "credential = \"replace\"");
        sink.fault(fault.help("give it `service_credential_file`, or write `credential = \"drop\"`"));
    }
    let AuthMode::Jwt(jwt) = &mut settings.mode else { return };
    let resource = jwt.resource.take().or_else(|| pool.resource());
    for issuer in jwt.issuers.iter_mut().filter(|issuer| issuer.audience.is_empty()) {
        if let Some(resource) = &resource {
            issuer.audience.push(resource.clone());
            continue;
        }
        let message = format!("of whom tokens of `{}` must be meant for one is not said", issuer.issuer);
        let fault = Fault::new(Code::Missing, pool.auth_at.clone(), message);
        let fault = fault.help(
            "add `public_url` at the top level, for instance \"https://mcp.example.com\", or an `audience` to the issuer",
        );
        // Pools that share what is said of all would say it once each.
        if !sink.faults.contains(&fault) {
            sink.fault(fault);
        }
        break;
    }
    jwt.resource = resource;
}

/// Checks that no key is given that only another mode has.
pub(super) fn belongs(reader: &mut Reader<'_>, mode: Mode, issuers: &'static Section) {
    if reader.is_bad(&rows::AUTH_MODE) {
        return;
    }
    let every: [&dyn Row; 4] = [&rows::SCOPES_NEEDED, &rows::CREDENTIAL, &rows::IDENTITY, &rows::IDENTITY_KEY_FILE];
    let of = |row: &'static dyn Row, word: &'static str, modes: &'static [Mode]| (row, word, modes);
    let mut keys = vec![
        of(&rows::KEYS_FILE, "api_keys", &[Mode::ApiKeys]),
        of(&rows::KEY_HEADER, "api_keys", &[Mode::ApiKeys]),
        of(&rows::RESOURCE, "jwt", &[Mode::Jwt]),
        of(&rows::SCOPES_SUPPORTED, "jwt", &[Mode::Jwt]),
        of(&rows::LEEWAY, "jwt", &[Mode::Jwt]),
        of(&rows::JWKS_REFRESH, "jwt", &[Mode::Jwt]),
        of(&rows::JWKS_STALE, "jwt", &[Mode::Jwt]),
        of(&rows::CERTIFICATE, "mtls", &[Mode::Mtls]),
    ];
    if mode == Mode::None {
        let words = "api_keys, jwt or mtls";
        keys.extend(every.map(|row| (row_of(row.name()), words, [].as_slice())));
    }
    let mut foreign: Vec<(String, &str, Span)> = keys
        .iter()
        .filter(|(_, _, modes)| !modes.contains(&mode))
        .filter_map(|(row, word, _)| Some((reader.name(*row), *word, reader.span(*row)?)))
        .collect();
    if mode != Mode::Jwt {
        foreign.extend(reader.place(issuers).map(|at| (format!("`{}`", issuers.header), "jwt", at)));
    }
    let (name, mode_at) = (reader.name(&rows::AUTH_MODE), reader.span(&rows::AUTH_MODE));
    for (key, word, at) in foreign {
        let message = format!("{key} is given, but {name} is {}", mode.word());
        let fault = Fault::new(Code::Conflict, at, message).related(mode_at.clone(), "this");
        reader.sink.fault(fault.help(format!("it belongs to mode {word}; leave it out otherwise")));
    }
}

/// The row of a name.
fn row_of(name: &str) -> &'static dyn Row {
    let found = rows::AUTH.keys.iter().find(|row| row.name() == name);
    *found.expect("the rows that are asked for are those of the section")
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::None => "\"none\"",
            Self::ApiKeys => "\"api_keys\"",
            Self::Jwt => "\"jwt\"",
            Self::Mtls => "\"mtls\"",
        }
    }
}

/// Checks that a key is given that the mode cannot do without.
pub(super) fn is_given(reader: &mut Reader<'_>, row: &dyn Row, for_what: &str) {
    if reader.span(row).is_some() {
        return;
    }
    let at = reader.span(&rows::AUTH_MODE).unwrap_or(reader.at.clone());
    let fault = Fault::new(Code::Missing, at, format!("{} is missing for {for_what}", reader.name(row)));
    let sample = match row.given() {
        crate::config::tree::Given::Absent { sample, .. } | crate::config::tree::Given::Needed { sample } => sample,
        crate::config::tree::Given::Preset(preset) => preset,
    };
    reader.sink.fault(fault.help(format!("write for instance `{} = {sample}`", row.name())));
}

/// Checks that there is somebody to believe.
pub(super) fn has_issuers(reader: &mut Reader<'_>, issuers: &'static Section) {
    let empty =
        reader.place(issuers).is_none() || reader.each_below(issuers).is_empty() && reader.sink.faults.is_empty();
    if empty {
        let at = reader.span(&rows::AUTH_MODE).unwrap_or(reader.at.clone());
        let fault = Fault::new(Code::Missing, at, "no issuer is named whose tokens are believed");
        let line = issuers.bracketed();
        reader.sink.fault(fault.help(format!("add `{line}` with `issuer = \"https://auth.example.com\"` below it")));
    }
}

/// Checks that a resource is said of one pool alone.
pub(super) fn is_one_pools(reader: &mut Reader<'_>) {
    let Some(at) = reader.span(&rows::RESOURCE).filter(|_| reader.section.header == rows::AUTH.header) else { return };
    let fault = Fault::new(
        Code::Conflict,
        at,
        format!("{} is one pool's, and this is about all of them", reader.name(&rows::RESOURCE)),
    );
    reader.sink.fault(fault.help("put it under `[pool.auth]`, or give `public_url` at the top level instead"));
}

/// Checks that certificates to trust are named only for what is fetched.
pub(super) fn is_fetched(reader: &mut Reader<'_>, jwks: &JwksSource) {
    let Some(at) = reader.span(&rows::CA_FILE) else { return };
    let plain = match jwks {
        JwksSource::File(_) => true,
        JwksSource::Url(url) => url.scheme_str() == Some("http"),
        JwksSource::Discovered => false,
    };
    if plain {
        let message = format!(
            "{} is given, but {} is not fetched with TLS",
            reader.name(&rows::CA_FILE),
            reader.name(&rows::JWKS)
        );
        let fault = Fault::new(Code::Conflict, at, message).related(reader.span(&rows::JWKS), "this");
        reader.sink.fault(fault.help("leave it out"));
    }
}

/// Checks that an issuer is named once.
pub(super) fn is_new(reader: &mut Reader<'_>, name: &str, seen: &mut Vec<(Box<str>, Span)>) {
    let at = reader.span(&rows::ISSUER_NAME).unwrap_or(reader.at.clone());
    if let Some((_, first)) = seen.iter().find(|(earlier, _)| **earlier == *name) {
        let fault = Fault::new(Code::Duplicate, at.clone(), format!("the issuer `{name}` stands here twice"));
        reader.sink.fault(fault.related(Some(first.clone()), "the first one").help("leave one out"));
    }
    seen.push((name.into(), at));
}

/// Warns of keys that come over the network in clear text: whoever changes them on the way is anybody.
pub(super) fn is_safe(reader: &mut Reader<'_>, name: &str, jwks: &JwksSource) {
    let issuer = name.parse::<Uri>().ok();
    let (url, row): (Option<&Uri>, &dyn Row) = match jwks {
        JwksSource::Url(url) => (Some(url), &rows::JWKS),
        JwksSource::Discovered => (issuer.as_ref(), &rows::ISSUER_NAME),
        JwksSource::File(_) => return,
    };
    let Some(url) = url.filter(|url| url.scheme_str() == Some("http")) else { return };
    let host = url.host().unwrap_or_default();
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback());
    if !loopback {
        let at = reader.span(row).unwrap_or(reader.at.clone());
        let fault = Fault::new(Code::Careless, at, "the issuer's keys are fetched without TLS");
        reader.sink.warn(fault.help("who can change them on the way can be any caller: use https"));
    }
}

/// Checks that the key that signs who calls is there exactly where something is signed.
pub(super) fn signs(reader: &mut Reader<'_>, word: Identity) {
    let key_at = reader.span(&rows::IDENTITY_KEY_FILE);
    let (key, identity) = (reader.name(&rows::IDENTITY_KEY_FILE), reader.name(&rows::IDENTITY));
    match (word, key_at) {
        (Identity::Signed, None) => is_given(reader, &rows::IDENTITY_KEY_FILE, "identity signed"),
        (Identity::Off | Identity::Headers, Some(at)) if !reader.is_bad(&rows::IDENTITY) => {
            let fault = Fault::new(Code::Conflict, at, format!("{key} is given, but {identity} is not \"signed\""));
            let fault = fault.related(reader.span(&rows::IDENTITY), "this");
            reader.sink.fault(fault.help("write `identity = \"signed\"`, or leave it out"));
        }
        _ => {}
    }
}
