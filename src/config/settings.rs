//! The checked settings, grouped by who owns them: plain data, ready for use. Nothing live ever stands
//! here, so that a reload can replace them all; how they are read from a file is said elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::address::AddressRange;
use super::allow::AllowRule;
use super::auth::AuthSettings;
use super::bounds::Bounds;
use super::cache::{CacheSettings, ProtocolCache, ResultsSettings};
use super::credential::Credential;
use super::fault::Faults;
use super::instance::InstanceSettings;
use super::limit::{BackendLimit, LimitSettings, LimitsSettings, UpstreamSettings};
use super::log::LogSettings;
use super::metrics::MetricsSettings;
use super::secret::{Password, SealingKey};
use super::shared::RedisUrl;
use super::tls::{BackendTls, ListenSettings, TlsSettings};
use super::traces::TracesSettings;
use super::url::BackendUrl;

/// One whole configuration, checked. Every value is within the range that the reference names.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients connect; at least one, none twice.
    pub listen: Vec<ListenSettings>,
    /// TLS towards clients; `None` where no listener speaks it.
    pub tls: Option<TlsSettings>,
    /// Where the admin API (health, readiness, backends) listens; `None` where it is off.
    pub admin: Option<SocketAddr>,
    /// With what operators ask it; there is one wherever it listens beyond loopback.
    pub admin_token: Option<Password>,
    /// Worker threads; 0 means one per core.
    pub threads: usize,
    /// In which form clients are refused.
    pub refusals: Refusals,
    /// How clients reach Moorline from outside, without a path; `None` takes it from each request's `Host`.
    pub public_url: Option<Uri>,
    /// From whom `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<AddressRange>,
    /// Hosts, beside the loopback names on a loopback listener, that `Host` and `Origin` may name; in small letters.
    pub allowed_hosts: Vec<String>,
    /// Origins, as a browser writes them, whose pages may call; `*` is every one.
    pub allowed_origins: Vec<String>,
    /// What this instance is called.
    pub instance: InstanceSettings,
    /// Where what outlives a request is kept.
    pub store: StoreSettings,
    /// How Moorline goes away.
    pub drain: DrainSettings,
    /// How long sessions live, and how many there may be.
    pub session: SessionSettings,
    /// What one client may cost.
    pub bounds: Bounds,
    /// How event streams are kept.
    pub stream: StreamSettings,
    /// Who may do what.
    pub allow: Vec<AllowRule>,
    /// What all limits share.
    pub limits: LimitsSettings,
    /// The limits, those of the preset first. No two limits or upstreams share a name.
    pub limit: Vec<LimitSettings>,
    /// What tools call, and what may be spent there.
    pub upstreams: Vec<UpstreamSettings>,
    /// Where results are kept.
    pub results: ResultsSettings,
    /// What is kept of results, and what is forgotten.
    pub cache: CacheSettings,
    /// The pools; at least one, with distinct names and paths.
    pub pools: Vec<PoolSettings>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// What is counted of requests.
    pub metrics: MetricsSettings,
    /// How exchanges are traced.
    pub traces: TracesSettings,
    /// What is allowed but worth a second look. Empty in a careful configuration.
    pub warnings: Faults,
}

/// In which form clients are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// HTTP status and JSON-RPC error together, but a 200 for SDKs known to tear down their session on anything else.
    Auto,
    /// Always HTTP status and JSON-RPC error together.
    Http,
    /// Always the JSON-RPC error in a 200.
    JsonRpc,
}

/// Settings of the stores.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// Which store, and where.
    pub url: StoreUrl,
    /// How long one store operation may take.
    pub timeout: Duration,
    /// What happens to new sessions while a shared store cannot be reached.
    pub when_away: WhenAway,
    /// What the names of a shared store's keys begin with.
    pub prefix: String,
    /// Whom to trust that a shared store's servers are who they say (PEM); `None` leaves it to this machine's own list.
    pub ca_file: Option<PathBuf>,
    /// The key that seals session ids; `None` leaves it to the store to make and keep one.
    pub sealing_key: Option<SealingKey>,
}

/// Which store, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// This process's memory: gone with it.
    Memory,
    /// One embedded file in this directory: outlives the process.
    Disk(PathBuf),
    /// Redis or Valkey: shared with other instances. Credentials that were given beside the URL are in it.
    Redis(RedisUrl),
}

/// What happens to new sessions while a shared store cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// They begin, and are written when the store is back.
    Accept,
    /// They are refused.
    Refuse,
}

/// Settings of a graceful stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSettings {
    /// How long readiness is denied while everything is still served, so that balancers notice. At most `deadline`.
    pub notice: Duration,
    /// How long a stop may take in all, from the signal on.
    pub deadline: Duration,
}

/// Settings of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// How long a session may rest (no request in flight, no open stream) before it ends. At most `lifetime`.
    pub idle: Duration,
    /// How long a session lives at most.
    pub lifetime: Duration,
    /// Sessions that one authenticated caller may have.
    pub per_caller: usize,
    /// Sessions of all callers together, on this instance.
    pub max: usize,
}

/// Settings of event streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// After how much quiet a comment is sent; `None` sends none.
    pub heartbeat: Option<Duration>,
    /// After what time clients are told to come back when a notification stream ends (`retry:`).
    pub retry: Duration,
}

/// Settings of one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSettings {
    /// The name in logs and metrics.
    pub name: String,
    /// The endpoint path: starts with `/`, and has no trailing one but for `/` itself.
    pub path: String,
    /// The interchangeable backends; at least one, none twice.
    pub backends: Vec<BackendSettings>,
    /// What happens to a session whose backend is lost.
    pub rehome: Rehome,
    /// How long a request waits for its session to be moved.
    pub rehome_timeout: Duration,
    /// Whether idle sessions move to backends that have fewer.
    pub rebalance: bool,
    /// Sessions that rebalancing moves in a second, on one instance.
    pub rebalance_rate: u32,
    /// With what `Authorization` backends are asked where no caller asks; `None` leaves such work undone.
    pub service_credential: Option<Credential>,
    /// Which HTTP the backends speak.
    pub http_version: HttpVersion,
    /// TLS towards those whose URL says so.
    pub tls: BackendTls,
    /// Which `Host` the backends see.
    pub host: HostPolicy,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// From the end of the request to the end of the answer's header fields.
    pub response_timeout: Duration,
    /// How long an unused connection to a backend is kept.
    pub idle_timeout: Duration,
    /// Connections to one backend.
    pub max_connections: usize,
    /// How many requests each backend works on at the same time; `None` is not limited.
    pub concurrency: Option<BackendLimit>,
    /// Who may call, and what backends are told of it.
    pub auth: AuthSettings,
    /// Whether what modern servers say of their results is followed.
    pub protocol_cache: ProtocolCache,
    /// Whether changes of what is kept are watched for where no client listens.
    pub watch: bool,
    /// How often a name is resolved anew at least; a shorter TTL is obeyed.
    pub dns_refresh: Duration,
    /// How backends are watched.
    pub health: HealthSettings,
}

/// Settings of one backend, or of all backends behind one name.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSettings {
    /// Where it is.
    pub url: BackendUrl,
    /// Its share of new sessions, relative to the others' (1 to 1000).
    pub weight: u32,
    /// Whether it gets no new sessions and keeps only those that it has.
    pub drain: bool,
}

/// What happens to a session whose backend is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehome {
    /// It is rebuilt on another backend from its journal.
    Replay,
    /// Another backend is asked to go on with the lost backend's session; if it does not know it, the session is rebuilt.
    Resume,
    /// It ends: the client gets 404 and starts over.
    Never,
}

/// Which HTTP the backends speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 §3.3).
    Http2,
}

/// Which `Host` the backends see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// The backend's own authority.
    Backend,
    /// What the client sent.
    Client,
}

/// How backends are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// What a probe does.
    pub kind: Probe,
    /// Time between two probes of one backend.
    pub every: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Failures in a row, of probes or requests, after which a backend is ejected.
    pub eject_after: u32,
    /// How long the first ejection lasts; each further one in a row doubles it.
    pub eject_for: Duration,
    /// How long an ejection lasts at most. At least `eject_for`.
    pub eject_max: Duration,
    /// Probes in a row that must pass before an ejected backend is used again.
    pub recover_after: u32,
    /// The share of a pool's backends (percent) that may be ejected at the same time.
    pub max_ejected_percent: u32,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Makes a connection.
    Tcp,
    /// Expects a 2xx for a GET of this path.
    Http {
        /// The path and query to ask for.
        path: String,
    },
    /// Expects an MCP answer at the backend's own path.
    Mcp,
}
