//! Reads the pools and their backends, and checks what must hold among them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::auth::{self, General};
use super::fault::{Code, Fault, Span};
use super::form::Form;
use super::limit;
use super::schema;
use super::settings::{BackendSettings, HealthSettings, PoolSettings, Probe};
use super::tls;
use super::tree::{Reader, Slot};
use super::url::BackendUrl;

/// What a backend's URL looks like.
pub(super) const URL: &str = "\"http://host:port/path\" or \"https://…\", or \"dns+http://name:port/path\" or \"dns+https://…\" for every address behind a name";

/// A backend as an element of a list: its URL, or a table.
pub(super) struct Backend;

impl Form for Backend {
    type Value = BackendSettings;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<BackendSettings> {
        let Some(table) = value.get_ref().as_table() else {
            let url = self.read_url(value, slot)?;
            return Some(BackendSettings { url, weight: 1, drain: false });
        };
        let mut reader = Reader::new(&schema::BACKEND, Some(table), value.span(), &mut *slot.sink);
        let weight = reader.get(&schema::WEIGHT);
        let drain = reader.get(&schema::BACKEND_DRAIN);
        let url = reader.need(&schema::BACKEND_URL)?;
        Some(BackendSettings { url, weight, drain })
    }

    fn accepted(&self) -> String {
        format!("{URL}, or a table such as {{ url = \"…\", weight = 2 }}")
    }
}

impl Backend {
    fn read_url(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<BackendUrl> {
        let accepted = self.accepted();
        let text = slot.text(value, "a URL or a table", &accepted)?;
        BackendUrl::parse(text).map_err(|complaint| slot.complain(value.span(), complaint, &accepted)).ok()
    }
}

/// What a probe does, before its path is known.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Tcp,
    Http,
    Mcp,
}

/// Reads all pools. None at all is a fault.
pub(super) fn read(top: &mut Reader<'_>, general: &General<'_>) -> Vec<PoolSettings> {
    let tables = top.each_below(&schema::POOL);
    if !top.has(&schema::POOL) || (tables.is_empty() && top.sink.faults.is_empty()) {
        let fault = Fault::new(Code::Missing, top.at.clone(), "there is no pool");
        let help = "add one: a line `[[pool]]`, and below it `backends = [\"http://127.0.0.1:3001/mcp\"]`";
        top.sink.fault(fault.help(help));
    }
    let mut seen = Seen::default();
    let mut pools = Vec::new();
    for (at, table) in tables {
        let mut reader = Reader::new(&schema::POOL, Some(table), at, &mut *top.sink);
        pools.extend(read_one(&mut reader, &mut seen, general));
    }
    pools
}

/// Where each path and name stands first.
#[derive(Default)]
struct Seen {
    paths: Vec<(String, Span)>,
    names: Vec<(String, Span)>,
}

fn read_one(reader: &mut Reader<'_>, seen: &mut Seen, general: &General<'_>) -> Option<PoolSettings> {
    let path = reader.get(&schema::POOL_PATH);
    let name = reader.find(&schema::POOL_NAME).unwrap_or_else(|| name_of(&path));
    let path_at = reader.span(&schema::POOL_PATH).unwrap_or(reader.at.clone());
    let path_is_new =
        reader.is_bad(&schema::POOL_PATH) || once(reader, &mut seen.paths, ("path", &path), path_at.clone());
    let named = reader.span(&schema::POOL_NAME);
    let name_counts = named.is_some() || !reader.is_bad(&schema::POOL_PATH);
    if path_is_new && name_counts && !reader.is_bad(&schema::POOL_NAME) {
        let name_at = named.unwrap_or(path_at);
        once(reader, &mut seen.names, ("name", &name), name_at);
    }
    let backends = reader.need(&schema::BACKENDS);
    let service_credential = reader.secret(
        "service credential",
        [&schema::SERVICE_CREDENTIAL_FILE, &schema::SERVICE_CREDENTIAL_ENV, &schema::SERVICE_CREDENTIAL],
    );
    let backends = backends.map(|backends| distinct(reader, backends)).unwrap_or_default();
    let settings = PoolSettings {
        name,
        auth: auth::read::of_pool(reader, general, &path, service_credential.as_ref()),
        path,
        tls: tls::backends(reader, &backends),
        backends,
        rehome: reader.get(&schema::REHOME),
        rehome_timeout: reader.get(&schema::REHOME_TIMEOUT),
        rebalance: reader.get(&schema::REBALANCE),
        rebalance_rate: reader.get(&schema::REBALANCE_RATE),
        service_credential,
        http_version: reader.get(&schema::HTTP_VERSION),
        host: reader.get(&schema::HOST),
        connect_timeout: reader.get(&schema::CONNECT_TIMEOUT),
        response_timeout: reader.get(&schema::RESPONSE_TIMEOUT),
        idle_timeout: reader.get(&schema::POOL_IDLE_TIMEOUT),
        max_connections: reader.get(&schema::POOL_MAX_CONNECTIONS),
        concurrency: limit::backend(reader),
        protocol_cache: reader.get(&schema::PROTOCOL_CACHE),
        watch: reader.get(&schema::WATCH),
        dns_refresh: reader.get(&schema::DNS_REFRESH),
        health: health(&mut reader.below(&schema::HEALTH)),
    };
    Some(settings)
}

/// Checks that no earlier pool has the same path or name.
fn once(reader: &mut Reader<'_>, seen: &mut Vec<(String, Span)>, (what, value): (&str, &str), at: Span) -> bool {
    if let Some((_, first)) = seen.iter().find(|(earlier, _)| earlier == value) {
        let fault = Fault::new(Code::Duplicate, at, format!("two pools have the {what} `{value}`"));
        let fault =
            fault.related(Some(first.clone()), "the first one").help(format!("give each pool a `{what}` of its own"));
        reader.sink.fault(fault);
        return false;
    }
    seen.push((value.to_owned(), at));
    true
}

/// `/mcp` is `mcp`, `/a/b` is `a-b`, `/` is `root`.
fn name_of(path: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = path.trim_matches('/').chars().map(plain).take(64).collect();
    if name.is_empty() { "root".to_owned() } else { name }
}

/// Checks that no backend stands twice in the pool, and that one of them takes new sessions.
fn distinct(reader: &mut Reader<'_>, backends: Vec<(Span, BackendSettings)>) -> Vec<BackendSettings> {
    let mut seen = std::collections::HashMap::new();
    for (at, backend) in &backends {
        if let Some(first) = seen.insert(backend.url.to_string(), at.clone()) {
            let fault = Fault::new(
                Code::Duplicate,
                at.clone(),
                format!("the backend `{}` stands twice in its pool", backend.url),
            );
            let fault = fault
                .related(Some(first), "the first one")
                .help("leave one out; `weight` gives a backend a larger share");
            reader.sink.fault(fault);
        }
    }
    if backends.iter().all(|(_, backend)| backend.drain) {
        let at = reader.span(&schema::BACKENDS).unwrap_or(reader.at.clone());
        let fault = Fault::new(Code::Careless, at, "every backend of the pool is draining");
        reader.sink.warn(fault.help("no new session can begin; set `drain = false` on one of them"));
    }
    backends.into_iter().map(|(_, backend)| backend).collect()
}

fn health(reader: &mut Reader<'_>) -> HealthSettings {
    let path = reader.get(&schema::HEALTH_PATH);
    let settings = HealthSettings {
        kind: match reader.get(&schema::HEALTH_KIND) {
            Kind::Tcp => Probe::Tcp,
            Kind::Http => Probe::Http { path },
            Kind::Mcp => Probe::Mcp,
        },
        every: reader.get(&schema::EVERY),
        timeout: reader.get(&schema::HEALTH_TIMEOUT),
        eject_after: reader.get(&schema::EJECT_AFTER),
        eject_for: reader.get(&schema::EJECT_FOR),
        eject_max: reader.get(&schema::EJECT_MAX),
        recover_after: reader.get(&schema::RECOVER_AFTER),
        max_ejected_percent: reader.get(&schema::MAX_EJECTED_PERCENT),
    };
    reader.at_most((&schema::EJECT_FOR, settings.eject_for), (&schema::EJECT_MAX, settings.eject_max));
    settings
}

impl Default for HealthSettings {
    fn default() -> Self {
        health(&mut Reader::new(&schema::HEALTH, None::<&DeTable<'_>>, 0..0, &mut super::tree::Sink::default()))
    }
}
