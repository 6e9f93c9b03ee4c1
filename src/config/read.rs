//! Reads a whole document into settings, section by section, and checks what must hold between keys.

use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeTable;

use super::address::AddressRange;
use super::auth::AuthMode;
use super::fault::{Code, Fault, Faults, Span};
use super::form::Text;
use super::secret::Password;
use super::settings::{Config, DrainSettings, PoolSettings, SessionSettings, StoreSettings, StoreUrl, StreamSettings};
use super::shared::RedisUrl;
use super::tls::{ClientCertificates, ListenSettings, TlsSettings};
use super::tree::{Given, Optional, Reader, Row, Section, Sink};
use super::{allow, auth, bounds, cache, duration, instance, limit, log, metrics, pool, schema, tls, traces};

/// Reads the document. The faults are in the sink; if there are any, the settings are not to be used.
pub(super) fn document(table: &DeTable<'_>, sink: &mut Sink) -> Config {
    let mut top = Reader::new(&schema::TOP, Some(table), 0..0, sink);
    let listen = top.get(&schema::LISTEN);
    let admin = top.get(&schema::ADMIN);
    let admin_token =
        top.secret("admin token", [&schema::ADMIN_TOKEN_FILE, &schema::ADMIN_TOKEN_ENV, &schema::ADMIN_TOKEN]);
    check_admin(&mut top, admin, admin_token.is_some());
    let trusted_proxies = top.get(&schema::TRUSTED_PROXIES);
    check_proxies(&mut top, &trusted_proxies);
    let trusts_anybody = !trusted_proxies.is_empty() || top.is_bad(&schema::TRUSTED_PROXIES);
    let listen = tls::listeners(&mut top, listen, trusts_anybody);
    check_addresses(&mut top, &listen, admin);
    let public_url = top.find(&schema::PUBLIC_URL);
    let mut section = top.below(&schema::auth::AUTH);
    let auth_at = section.at.clone();
    let auth = auth::read::one(&mut section, &schema::auth::ISSUER);
    let general = auth::General { auth, auth_at, public_url: public_url.as_ref() };
    let pools = pool::read(&mut top, &general);
    let around = limit::Around {
        pools: pools.iter().map(|pool| pool.name.as_str()).collect(),
        believes_headers: trusts_anybody,
        knows_callers: pools.iter().any(|pool| pool.auth.mode != AuthMode::None) || !top.sink.faults.is_empty(),
    };
    let tls = tls::clients(&mut top);
    check_certificates(&mut top, tls.as_ref(), &pools);
    let (limits, limit, upstreams) = limit::read(&mut top, &around);
    let allow = allow::read(&mut top, &around);
    let (results, cache) = cache::read(&mut top, &around);
    Config {
        listen: listen.into_iter().map(|(_, one)| one).collect(),
        tls,
        admin,
        admin_token,
        threads: top.get(&schema::THREADS),
        refusals: top.get(&schema::REFUSALS),
        public_url,
        trusted_proxies: trusted_proxies.into_iter().map(|(_, range)| range).collect(),
        allowed_hosts: top.get(&schema::ALLOWED_HOSTS).into_iter().map(|(_, host)| host).collect(),
        allowed_origins: top.get(&schema::ALLOWED_ORIGINS).into_iter().map(|(_, origin)| origin).collect(),
        instance: instance::read(&mut top.below(&schema::instance::INSTANCE)),
        store: store(&mut top.below(&schema::STORE)),
        drain: drain(&mut top.below(&schema::DRAIN)),
        session: session(&mut top.below(&schema::SESSION)),
        bounds: bounds::read(&mut top.below(&schema::bounds::BOUNDS)),
        stream: stream(&mut top.below(&schema::STREAM)),
        log: log::read(&mut top.below(&schema::log::LOG)),
        metrics: metrics::read(&mut top.below(&schema::metrics::METRICS)),
        traces: traces::read(&mut top.below(&schema::traces::TRACES)),
        allow,
        limits,
        limit,
        upstreams,
        results,
        cache,
        pools,
        warnings: Faults::default(),
    }
}

fn check_proxies(top: &mut Reader<'_>, trusted: &[(Span, AddressRange)]) {
    for (at, range) in trusted {
        if range.is_everybody() {
            let fault = Fault::new(Code::Careless, at.clone(), "every client is believed to be a trusted proxy");
            top.sink.warn(fault.help("any client can then claim any address: name the proxies' own addresses"));
        }
    }
}

/// Warns of callers who are known by certificates that nobody asks them for.
fn check_certificates(top: &mut Reader<'_>, tls: Option<&TlsSettings>, pools: &[PoolSettings]) {
    let asked = tls.is_some_and(|tls| tls.client_certificates != ClientCertificates::Off);
    let by_certificate = pools.iter().any(|pool| matches!(pool.auth.mode, AuthMode::Mtls(_)));
    if asked || !by_certificate || !top.sink.faults.is_empty() {
        return;
    }
    let at = top.place(&schema::auth::AUTH).unwrap_or(top.at.clone());
    let fault = Fault::new(Code::Careless, at, "callers are known by their certificates, and are not asked for any");
    top.sink.warn(fault.help("write `client_certificates = \"required\"` and `client_ca_file` under `[tls]`"));
}

fn check_addresses(top: &mut Reader<'_>, listen: &[(Span, ListenSettings)], admin: Option<SocketAddr>) {
    for (index, (at, ListenSettings { addr, tls, .. })) in listen.iter().enumerate() {
        if let Some((first, _)) = listen[..index].iter().find(|(_, earlier)| overlap(earlier.addr, *addr)) {
            let fault = Fault::new(Code::Duplicate, at.clone(), format!("`{addr}` is listened on already"));
            top.sink.fault(fault.related(Some(first.clone()), "here").help("leave one of them out"));
        }
        if !tls && !addr.ip().is_loopback() && top.span(&schema::LISTEN).is_some() {
            let fault = Fault::new(
                Code::Careless,
                at.clone(),
                format!("`{addr}` can be reached from other machines, without TLS"),
            );
            top.sink.warn(fault.help(
                "session ids and credentials cross the network in clear text: add `[tls]`, or keep something that ends TLS in front",
            ));
        }
    }
    let Some(admin) = admin else { return };
    let (listen_at, admin_at) = (top.span(&schema::LISTEN), top.span(&schema::ADMIN));
    if let Some((at, ListenSettings { addr, .. })) = listen.iter().find(|(_, one)| overlap(one.addr, admin)) {
        let names = (top.name(&schema::LISTEN), top.name(&schema::ADMIN));
        let fault = Fault::new(
            Code::Conflict,
            admin_at.clone().unwrap_or(at.clone()),
            format!("{} and {} are the same address", names.0, names.1),
        );
        let related = listen_at.filter(|_| admin_at.is_some()).map(|_| at.clone());
        let fault =
            fault.related(related, format!("`{addr}`")).help(format!("give {} another port, or \"off\"", names.1));
        top.sink.fault(fault);
    }
}

/// The admin API gives orders: whoever can reach it from elsewhere must have a token.
fn check_admin(top: &mut Reader<'_>, admin: Option<SocketAddr>, has_token: bool) {
    let rows: [&dyn Row; 3] = [&schema::ADMIN_TOKEN_FILE, &schema::ADMIN_TOKEN_ENV, &schema::ADMIN_TOKEN];
    if has_token || rows.iter().any(|row| top.is_bad(*row)) {
        return;
    }
    let Some(at) = top.span(&schema::ADMIN).filter(|_| admin.is_some_and(|addr| !addr.ip().is_loopback())) else {
        return;
    };
    let fault =
        Fault::new(Code::Conflict, at, "the admin API can be reached from other machines, and asks for no token");
    top.sink.fault(fault.help("add admin_token_file or admin_token_env, or let it listen on a loopback address"));
}

/// Whether both cannot be listened on at the same time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && (any || one.ip() == other.ip())
}

fn store(reader: &mut Reader<'_>) -> StoreSettings {
    let sealing_key =
        reader.secret("sealing key", [&schema::SEALING_KEY_FILE, &schema::SEALING_KEY_ENV, &schema::SEALING_KEY]);
    let password =
        reader.secret("password", [&schema::STORE_PASSWORD_FILE, &schema::STORE_PASSWORD_ENV, &schema::STORE_PASSWORD]);
    let ca_file = reader.find(&schema::STORE_CA_FILE);
    let username = reader.find(&schema::STORE_USERNAME);
    let mut url = reader.get(&schema::STORE_URL);
    if let StoreUrl::Redis(url) = &mut url {
        merge(reader, url, username, password);
    }
    check_tls(reader, &url);
    StoreSettings {
        url,
        timeout: reader.get(&schema::STORE_TIMEOUT),
        prefix: reader.get(&schema::STORE_PREFIX),
        ca_file,
        when_away: reader.get(&schema::WHEN_AWAY),
        sealing_key,
    }
}

fn check_tls(reader: &mut Reader<'_>, url: &StoreUrl) {
    let speaks_tls = matches!(url, StoreUrl::Redis(url) if url.tls);
    if speaks_tls || reader.is_bad(&schema::STORE_URL) || reader.is_bad(&schema::STORE_CA_FILE) {
        return;
    }
    let Some(at) = reader.span(&schema::STORE_CA_FILE) else { return };
    let names = (reader.name(&schema::STORE_CA_FILE), reader.name(&schema::STORE_URL));
    let fault = Fault::new(Code::Conflict, at, format!("{} is given, but {} speaks no TLS", names.0, names.1));
    let fault = fault.related(reader.span(&schema::STORE_URL), "without TLS");
    reader.sink.fault(fault.help("write \"rediss:\", or leave it out"));
}

/// Puts the credentials that stand beside the URL into it.
fn merge(reader: &mut Reader<'_>, url: &mut RedisUrl, username: Option<String>, password: Option<Password>) {
    let at = reader.span(&schema::STORE_URL).unwrap_or(reader.at.clone());
    if url.password.is_some() {
        let fault = Fault::new(Code::Careless, at.clone(), "the password stands in the URL");
        reader.sink.warn(fault.help("password_file or password_env keep it out of what people read and copy"));
    }
    if url.password.is_some() && (username.is_some() || password.is_some()) {
        let fault = Fault::new(Code::Conflict, at.clone(), "credentials are given in the URL and beside it");
        reader.sink.fault(fault.help("leave them out of the URL"));
    }
    url.username = username.or(url.username.take());
    url.password = password.or(url.password.take());
    if url.username.is_some() && url.password.is_none() {
        let fault = Fault::new(Code::Conflict, at, "the store has a username and no password");
        reader.sink.fault(fault.help("give password_file or password_env too, or leave the username out"));
    }
}

fn drain(reader: &mut Reader<'_>) -> DrainSettings {
    let settings = DrainSettings { notice: reader.get(&schema::NOTICE), deadline: reader.get(&schema::DEADLINE) };
    reader.at_most((&schema::NOTICE, settings.notice), (&schema::DEADLINE, settings.deadline));
    settings
}

fn session(reader: &mut Reader<'_>) -> SessionSettings {
    let settings = SessionSettings {
        idle: reader.get(&schema::SESSION_IDLE),
        lifetime: reader.get(&schema::SESSION_LIFETIME),
        per_caller: reader.get(&schema::SESSION_PER_CALLER),
        max: reader.get(&schema::SESSION_MAX),
    };
    reader.at_most((&schema::SESSION_IDLE, settings.idle), (&schema::SESSION_LIFETIME, settings.lifetime));
    settings
}

fn stream(reader: &mut Reader<'_>) -> StreamSettings {
    StreamSettings { heartbeat: reader.get(&schema::HEARTBEAT), retry: reader.get(&schema::RETRY) }
}

impl Reader<'_> {
    /// A secret that a file, a variable or the configuration itself may hold, at most one of them.
    pub fn secret<T>(&mut self, what: &str, rows: [&Optional<Text<T>>; 3]) -> Option<T> {
        let found = rows.map(|row| (self.span(row), self.find(row)));
        let [file, env, inline] = rows.map(|row| row.name);
        let mut given: Vec<Span> = found.iter().filter_map(|(at, _)| at.clone()).collect();
        given.sort_by_key(|at| at.start);
        if let [first, second, ..] = given.as_slice() {
            let fault = Fault::new(Code::Conflict, second.clone(), format!("the {what} is given more than once"));
            let fault = fault.related(Some(first.clone()), "here already");
            self.sink.fault(fault.help(format!("keep one of {file}, {env} and {inline}")));
        }
        if let Some(at) = found[2].0.clone() {
            let fault = Fault::new(Code::Careless, at, format!("the {what} stands in the configuration itself"));
            self.sink.warn(fault.help(format!("{file} or {env} keep it out of what people read and copy")));
        }
        found.into_iter().find_map(|(_, secret)| secret)
    }

    /// Checks that a key is not given without another that it needs to mean anything. Whether it is good so.
    pub fn needs(&mut self, row: &dyn Row, other: &dyn Row) -> bool {
        let Some(at) = self.span(row).filter(|_| self.span(other).is_none()) else { return true };
        let message = format!("{} is given, but {} is not", self.name(row), self.name(other));
        let sample = match other.given() {
            Given::Preset(sample) | Given::Absent { sample, .. } | Given::Needed { sample } => sample,
        };
        let help = format!("add for instance `{} = {sample}`, or leave it out", other.name());
        self.sink.fault(Fault::new(Code::Conflict, at, message).help(help));
        false
    }

    /// Checks that one duration is not longer than another; the place is that of the one that is given.
    pub fn at_most(&mut self, small: (&dyn Row, Duration), large: (&dyn Row, Duration)) {
        if small.1 <= large.1 || self.is_bad(small.0) || self.is_bad(large.0) {
            return;
        }
        let told = |this: &Self, (key, value): (&dyn Row, Duration)| {
            let preset = if this.span(key).is_none() { ", its default" } else { "" };
            format!("{} ({}{preset})", this.name(key), duration::text(value))
        };
        let message = format!("{} is longer than {}", told(self, small), told(self, large));
        let help = format!("shorten {}, or lengthen {}", self.name(small.0), self.name(large.0));
        let (small_at, large_at) = (self.span(small.0), self.span(large.0));
        let related = large_at.clone().filter(|_| small_at.is_some());
        let at = small_at.or(large_at).unwrap_or(self.at.clone());
        self.sink.fault(Fault::new(Code::Conflict, at, message).related(related, "longer than this").help(help));
    }
}

/// The settings of a section that is not in the file.
pub(super) fn preset<T>(section: &'static Section, read: fn(&mut Reader<'_>) -> T) -> T {
    read(&mut Reader::new(section, None, 0..0, &mut Sink::default()))
}

impl Default for StoreSettings {
    fn default() -> Self {
        preset(&schema::STORE, store)
    }
}

impl Default for DrainSettings {
    fn default() -> Self {
        preset(&schema::DRAIN, drain)
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        preset(&schema::SESSION, session)
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        preset(&schema::STREAM, stream)
    }
}
