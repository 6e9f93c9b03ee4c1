//! The one table of the configuration: every key with its default, what it accepts and what it means.
//! Reading, the example file and the reference all come from it. Decides nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use super::cache::ProtocolCache;
use super::credential::Credential;
use super::form::{Choice, Flag, Form, List, OffOr, Text};
use super::limit::form::Most;
use super::quantity::{Count, Period, Size};
use super::settings::{Config, HostPolicy, HttpVersion, Refusals, Rehome, WhenAway};
use super::tls::Listener;
use super::tree::{Key, Needed, Optional, Section, Shape};
use super::{pool, secret, url, values};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A name that a later version will know.
pub(super) struct Later {
    pub section: &'static str,
    pub key: &'static str,
    /// What it will be for.
    pub meant_for: &'static str,
}

/// Names that are refused as too early instead of as unknown.
pub(super) static LATER: &[Later] = &[];

const fn key<F: Form>(name: &'static str, preset: &'static str, form: F, doc: &'static str) -> Key<F> {
    Key { name, preset, form, doc }
}

const fn period(min: Duration, max: Duration) -> Period {
    Period { min, max }
}

/// A size, with the largest that is not worth a warning.
const fn size(min: usize, max: usize, usual: usize) -> Size {
    Size { min, max, usual }
}

/// A count, with the largest that is not worth a warning.
const fn count<T>(min: T, max: T, usual: T) -> Count<T> {
    Count { min, max, usual }
}

const fn choice<T>(options: &'static [(&'static str, T)]) -> Choice<T> {
    Choice { options, later: &[] }
}

const fn text<T>(parse: fn(&str) -> Result<T, super::form::Complaint>, accepted: &'static str) -> Text<T> {
    Text { parse, accepted, secret: false }
}

const SOCKET: Text<SocketAddr> =
    text(values::socket, "an IP address and a port such as \"127.0.0.1:8080\" or \"[::1]:8080\"");

/// Defines the rows of a section as statics, and the section that lists them.
macro_rules! section {
    ($section:ident: $shape:ident $header:literal, $doc:literal, below $below:tt; $($row:ident: $type:ty = $value:expr;)*) => {
        $(pub(in crate::config) static $row: $type = $value;)*
        pub(in crate::config) static $section: Section =
            Section { header: $header, shape: Shape::$shape, doc: $doc, keys: &[$(&$row),*], below: &$below };
    };
}

pub(super) mod allow;
pub(super) mod auth;
pub(super) mod bounds;
pub(super) mod cache;
pub(super) mod instance;
pub(super) mod limit;
pub(super) mod log;
pub(super) mod metrics;
pub(super) mod tls;
pub(super) mod traces;

use allow::ALLOW;
use auth::{AUTH, ISSUER, POOL_AUTH};
use bounds::BOUNDS;
use cache::{ARGUMENTS, CACHE, RESULTS};
use instance::INSTANCE;
use limit::{ADAPTIVE_MAX, LIMIT, LIMITS, REFUSED, TOKENS, UPSTREAM};
use log::LOG;
use metrics::METRICS;
use tls::{BACKEND_TLS, CERTIFICATE, LISTENER, TLS};
use traces::TRACES;

section! { TOP: Table "", "Where Moorline listens, and how it runs.", below [&TLS, &INSTANCE, &STORE, &DRAIN, &SESSION, &BOUNDS, &STREAM, &AUTH, &ALLOW, &LOG, &METRICS, &TRACES, &LIMITS, &LIMIT, &UPSTREAM, &RESULTS, &CACHE, &POOL];
    LISTEN: Key<List<Listener>> = key("listen", r#""127.0.0.1:8080""#, List { element: Listener, min: 1, max: 16, bare: true },
        "Where clients connect. Port 0 takes any free port. Without TLS unless there is a [tls] section.");
    ADMIN: Key<OffOr<Text<SocketAddr>>> = key("admin", r#""127.0.0.1:9090""#, OffOr(SOCKET),
        "Where the admin API (health, readiness, backends, metrics) listens. Beyond loopback it needs a token.");
    ADMIN_TOKEN_FILE: Optional<Text<secret::Password>> = Optional { name: "admin_token_file", absent: "see admin_token",
        sample: r#""/run/secrets/moorline-admin""#, form: text(secret::Password::from_file, "the path of a file"),
        doc: "A file that holds the admin API's token." };
    ADMIN_TOKEN_ENV: Optional<Text<secret::Password>> = Optional { name: "admin_token_env", absent: "see admin_token",
        sample: r#""MOORLINE_ADMIN_TOKEN""#, form: text(secret::Password::from_env, "the name of an environment variable"),
        doc: "An environment variable that holds the admin API's token." };
    ADMIN_TOKEN: Optional<Text<secret::Password>> = Optional { name: "admin_token", absent: "none, which is allowed on loopback alone", sample: r#""…""#,
        form: Text { parse: secret::Password::parse, accepted: "a password", secret: true },
        doc: "With what operators ask the admin API (Authorization: Bearer …); health and readiness are told without it. \
              Prefer a file or a variable; only one of the three may be given." };
    THREADS: Key<Count<usize>> = key("threads", "0", count(0, 256, 256),
        "Worker threads. 0 means one per core.");
    REFUSALS: Key<Choice<Refusals>> = key("refusals", r#""auto""#,
        choice(&[("auto", Refusals::Auto), ("http", Refusals::Http), ("jsonrpc", Refusals::JsonRpc)]),
        "In which form clients are refused: with an HTTP status and a JSON-RPC error (http), with the JSON-RPC error in a 200 (jsonrpc), \
         or with the status except for SDKs known to tear down their session on it (auto).");
    PUBLIC_URL: Optional<Text<http::Uri>> = Optional { name: "public_url", absent: "taken from each request's Host",
        sample: r#""https://mcp.example.com""#, form: text(url::parse_public, "a URL without a path, such as \"https://mcp.example.com\""),
        doc: "How clients reach Moorline, for answers that must name it." };
    TRUSTED_PROXIES: Key<List<Text<super::address::AddressRange>>> = key("trusted_proxies", "[]",
        List { element: text(values::range, "an address or a range such as \"10.0.0.0/8\""), min: 0, max: 256, bare: false },
        "From whom Forwarded and X-Forwarded-* are believed, and PROXY headers where a listener takes them. Everybody else's are replaced.");
    ALLOWED_HOSTS: Key<List<Text<String>>> = key("allowed_hosts", "[]",
        List { element: text(values::host, "a host name or address, without a port"), min: 0, max: 256, bare: false },
        "Hosts that Host and Origin may name. On a loopback listener, loopback addresses and localhost may be named too; on others every Host \
         is taken where nothing is said here. Whoever names another host is refused: a browser does when it was led astray by DNS rebinding.");
    ALLOWED_ORIGINS: Key<List<Text<String>>> = key("allowed_origins", "[]",
        List { element: text(values::origin, "an origin such as \"https://app.example.com\", or \"*\""), min: 0, max: 256, bare: false },
        "Origins whose pages may call from a browser, beside those on the request's own host (on a loopback listener: on this machine). Where any is named, or callers must say who they are, \
         Moorline answers preflights (OPTIONS) and says in every answer what such a page may read (CORS); else that is left to the backends.");
}

section! { STORE: Table "store", "Where sessions are kept.", below [];
    STORE_URL: Key<Text<super::settings::StoreUrl>> = key("url", r#""memory""#,
        text(values::store, "\"memory\"; \"disk:\" and a directory such as \"disk:/var/lib/moorline\"; or a Redis or Valkey: \"redis://host:6379/0\", \
            \"redis+unix:///run/redis.sock?db=0\", \"redis+sentinel://a:26379,b:26379/mymaster\", \"redis+cluster://a:7001,b:7002\"; with TLS \"rediss://\", \
            \"rediss+sentinel://\", \"rediss+cluster://\""),
        "Which store: this process's memory; one file in a directory, which outlives the process; or Redis or Valkey (7 or later), which \
         instances share and so are one gateway. The Redis must not evict keys (maxmemory-policy noeviction). One instance's session.max bounds that instance alone.");
    STORE_PREFIX: Key<Text<String>> = key("prefix", r#""moorline""#,
        text(values::prefix, "up to 64 letters, digits, `-`, `_`, `.` and `:`"),
        "What the names of all keys in Redis begin with. Instances of one gateway share it; other gateways have another.");
    STORE_USERNAME: Optional<Text<String>> = Optional { name: "username", absent: "the one in url, or Redis's default user", sample: r#""moorline""#,
        form: text(values::username, "the name of a user"), doc: "Who Moorline is to Redis." };
    STORE_PASSWORD_FILE: Optional<Text<secret::Password>> = Optional { name: "password_file", absent: "see password",
        sample: r#""/run/secrets/moorline-redis""#, form: text(secret::Password::from_file, "the path of a file"),
        doc: "A file that holds the password for Redis." };
    STORE_PASSWORD_ENV: Optional<Text<secret::Password>> = Optional { name: "password_env", absent: "see password",
        sample: r#""MOORLINE_REDIS_PASSWORD""#, form: text(secret::Password::from_env, "the name of an environment variable"),
        doc: "An environment variable that holds the password for Redis." };
    STORE_PASSWORD: Optional<Text<secret::Password>> = Optional { name: "password", absent: "the one in url, or none", sample: r#""…""#,
        form: Text { parse: secret::Password::parse, accepted: "a password", secret: true },
        doc: "The password for Redis; also for Sentinels, if they ask for one. Prefer a file or a variable; it may be given only once." };
    STORE_CA_FILE: Optional<Text<std::path::PathBuf>> = Optional { name: "ca_file", absent: "the machine's own list", sample: r#""/etc/moorline/redis-ca.pem""#,
        form: text(values::file, "the path of a file"),
        doc: "The certificates (PEM) of whom to trust for a Redis with TLS. A server's certificate must bear the name, or the address, by which it is reached." };
    STORE_TIMEOUT: Key<Period> = key("timeout", r#""50ms""#, period(MILLISECOND, MINUTE),
        "How long looking a session up may take before the request goes on with what its session id itself says.");
    WHEN_AWAY: Key<Choice<WhenAway>> = key("when_away", r#""accept""#,
        choice(&[("accept", WhenAway::Accept), ("refuse", WhenAway::Refuse)]),
        "What happens to new sessions while a store that instances share cannot be reached: they begin, and are written when it is back \
         (accept), or they get 503 (refuse). Those that have begun go on either way.");
    SEALING_KEY_FILE: Optional<Text<secret::SealingKey>> = Optional { name: "sealing_key_file", absent: "see sealing_key",
        sample: r#""/run/secrets/moorline-sealing-key""#, form: text(secret::SealingKey::from_file, "the path of a file"),
        doc: "A file that holds the sealing key." };
    SEALING_KEY_ENV: Optional<Text<secret::SealingKey>> = Optional { name: "sealing_key_env", absent: "see sealing_key",
        sample: r#""MOORLINE_SEALING_KEY""#, form: text(secret::SealingKey::from_env, "the name of an environment variable"),
        doc: "An environment variable that holds the sealing key." };
    SEALING_KEY: Optional<Text<secret::SealingKey>> = Optional { name: "sealing_key", absent: "made once and kept in the store",
        sample: r#""…""#, form: Text { parse: secret::SealingKey::parse, accepted: "32 random bytes in base64", secret: true },
        doc: "The key that seals session ids, the same on all instances: 32 random bytes in base64 (openssl rand -base64 32). \
              Prefer a file or a variable; only one of the three may be given." };
}

section! { DRAIN: Table "drain", "How Moorline stops after SIGTERM.", below [];
    NOTICE: Key<Period> = key("notice", r#""0s""#, period(Duration::ZERO, HOUR),
        "How long readiness is denied while everything is still served, so that balancers notice. At most the deadline.");
    DEADLINE: Key<Period> = key("deadline", r#""30s""#, period(Duration::ZERO, HOUR),
        "How long a stop may take in all. Keep it below the orchestrator's own limit.");
}

section! { SESSION: Table "session", "How long sessions live, and how many there may be.", below [];
    SESSION_IDLE: Key<Period> = key("idle", r#""1h""#, period(SECOND, days(30)),
        "How long a session may rest, without a request in flight or an open stream, before it ends. At most the lifetime.");
    SESSION_LIFETIME: Key<Period> = key("lifetime", r#""24h""#, period(SECOND, days(365)),
        "How long a session lives at most.");
    SESSION_PER_CALLER: Key<Count<usize>> = key("per_caller", "100", count(1, 1_000_000, 1_000_000),
        "Sessions that one caller may have. Counted only where callers are authenticated.");
    SESSION_MAX: Key<Count<usize>> = key("max", "1_000_000", count(1, 100_000_000, 10_000_000),
        "Sessions of all callers together, on one instance.");
}

section! { STREAM: Table "stream", "How event streams are kept.", below [];
    HEARTBEAT: Key<OffOr<Period>> = key("heartbeat", r#""15s""#, OffOr(period(SECOND, HOUR)),
        "After how much quiet a comment is sent, so that nothing on the way takes the stream for dead.");
    RETRY: Key<Period> = key("retry", r#""2s""#, period(millis(100), HOUR),
        "After what time clients are told to come back when a notification stream ends.");
}

section! { POOL: Tables "pool", "A set of interchangeable backends behind one endpoint path. There must be at least one.", below [&HEALTH, &BACKEND_TLS, &POOL_AUTH];
    POOL_PATH: Key<Text<String>> = key("path", r#""/mcp""#, text(values::pool_path, "a path such as \"/mcp\""),
        "The endpoint path. No two pools share one.");
    POOL_NAME: Optional<Text<String>> = Optional { name: "name", absent: "made from the path: /mcp is mcp, / is root", sample: r#""mcp""#,
        form: text(values::name, "up to 64 letters, digits, `-`, `_` and `.`"),
        doc: "The name in logs and metrics. No two pools share one." };
    BACKENDS: Needed<List<pool::Backend>> = Needed { name: "backends", sample: r#"["http://127.0.0.1:3001/mcp"]"#,
        form: List { element: pool::Backend, min: 1, max: 1024, bare: false },
        doc: "The backends: URLs, or tables in braces" };
    REHOME: Key<Choice<Rehome>> = key("rehome", r#""replay""#,
        choice(&[("replay", Rehome::Replay), ("resume", Rehome::Resume), ("never", Rehome::Never)]),
        "What happens to a session whose backend is lost: it is rebuilt on another one (replay), another one is first asked to go on with it \
         under the id that it has, for servers that share their sessions (resume), or it ends and the client starts over (never).");
    REHOME_TIMEOUT: Key<Period> = key("rehome_timeout", r#""10s""#, period(MILLISECOND, HOUR),
        "How long a request waits for its session to be moved.");
    REBALANCE: Key<Flag> = key("rebalance", "false", Flag,
        "Whether idle sessions move to backends that have fewer, such as those that have just been added.");
    REBALANCE_RATE: Key<Count<u32>> = key("rebalance_rate", "10", count(1, 100_000, 1000),
        "Sessions that rebalance moves in a second, on one instance.");
    SERVICE_CREDENTIAL_FILE: Optional<Text<Credential>> = Optional { name: "service_credential_file", absent: "see service_credential",
        sample: r#""/run/secrets/moorline-credential""#, form: text(Credential::from_file, "the path of a file"),
        doc: "A file that holds the service credential." };
    SERVICE_CREDENTIAL_ENV: Optional<Text<Credential>> = Optional { name: "service_credential_env", absent: "see service_credential",
        sample: r#""MOORLINE_CREDENTIAL""#, form: text(Credential::from_env, "the name of an environment variable"),
        doc: "An environment variable that holds the service credential." };
    SERVICE_CREDENTIAL: Optional<Text<Credential>> = Optional { name: "service_credential",
        absent: "what needs a credential is left undone where no caller's is at hand", sample: r#""Bearer …""#,
        form: Text { parse: Credential::parse, accepted: "the value of an Authorization header, such as \"Bearer …\"", secret: true },
        doc: "With what Authorization Moorline asks backends on its own behalf: to delete sessions that were given up, say. Never used for a caller. \
              Prefer a file or a variable; only one of the three may be given." };
    HTTP_VERSION: Key<Choice<HttpVersion>> = key("http_version", r#""1.1""#, choice(&[("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)]),
        "Which HTTP the backends speak.");
    HOST: Key<Choice<HostPolicy>> = key("host", r#""backend""#, choice(&[("backend", HostPolicy::Backend), ("client", HostPolicy::Client)]),
        "Which Host the backends see: their own, or what the client sent.");
    CONNECT_TIMEOUT: Key<Period> = key("connect_timeout", r#""1s""#, period(MILLISECOND, MINUTE),
        "How long making a connection may take.");
    RESPONSE_TIMEOUT: Key<Period> = key("response_timeout", r#""5m""#, period(MILLISECOND, DAY),
        "From the end of the request to the end of the answer's header fields.");
    POOL_IDLE_TIMEOUT: Key<Period> = key("idle_timeout", r#""4s""#, period(Duration::ZERO, HOUR),
        "How long an unused connection to a backend is kept. Keep it below the backend's own limit, often 5s.");
    POOL_MAX_CONNECTIONS: Key<Count<usize>> = key("max_connections", "16_384", count(1, 1_000_000, 100_000),
        "Requests and open streams at one backend at the same time, for each worker thread. Over HTTP/1.1 each has a connection.");
    POOL_CONCURRENCY: Key<OffOr<Most>> = key("concurrency", r#""off""#, OffOr(Most { fixed: limit::running(), adaptive: ADAPTIVE_MAX }),
        "How many requests each backend works on at the same time: so many, over all instances (a number), or as many as its latency shows that \
         it can bear, which each instance finds out (adaptive).");
    CONCURRENCY_MAX: Optional<Count<u32>> = Optional { name: "concurrency_max", absent: "1000", sample: "1000", form: limit::running(),
        doc: "How many at most, where concurrency is adaptive." };
    POOL_QUEUE: Optional<Count<u32>> = Optional { name: "queue", absent: "100", sample: "100", form: limit::waiting(),
        doc: "How many wait for their turn at one backend, on one instance, where concurrency is not off. Callers take turns; 0 refuses at once." };
    POOL_WAIT: Optional<Period> = Optional { name: "wait", absent: "10s", sample: r#""10s""#, form: period(MILLISECOND, HOUR),
        doc: "How long each waits at most." };
    PROTOCOL_CACHE: Key<Choice<ProtocolCache>> = key("protocol_cache", r#""private""#,
        choice(&[("off", ProtocolCache::Off), ("private", ProtocolCache::Private), ("public", ProtocolCache::Public)]),
        "Whether results are kept as modern servers say (ttlMs, cacheScope): not at all (off), for each caller's credential alone, whatever the scope (private), \
         or for everybody where the server says public (public).");
    WATCH: Key<Flag> = key("watch", "true", Flag,
        "Whether Moorline listens itself to what modern servers say of their lists, with the service credential or none, once one of them is kept: \
         so that a change is heard of where no client listens.");
    DNS_REFRESH: Key<Period> = key("dns_refresh", r#""5s""#, period(millis(100), HOUR),
        "How long the addresses behind a dns+http name are believed at most. A shorter TTL is obeyed.");
}

section! { HEALTH: Table "pool.health", "How a pool's backends are watched.", below [];
    HEALTH_KIND: Key<Choice<pool::Kind>> = key("kind", r#""tcp""#,
        choice(&[("tcp", pool::Kind::Tcp), ("http", pool::Kind::Http), ("mcp", pool::Kind::Mcp)]),
        "What a probe does: connect (tcp), expect a 2xx for a GET (http), or expect an MCP answer (mcp).");
    HEALTH_PATH: Key<Text<String>> = key("path", r#""/health""#, text(values::probe_path, "a path such as \"/health\""),
        "What an http probe asks for.");
    EVERY: Key<Period> = key("every", r#""5s""#, period(millis(10), HOUR),
        "Time between two probes of one backend; a quarter of it for one that something has failed at.");
    HEALTH_TIMEOUT: Key<Period> = key("timeout", r#""2s""#, period(MILLISECOND, MINUTE),
        "How long one probe may take.");
    EJECT_AFTER: Key<Count<u32>> = key("eject_after", "3", count(1, 1000, 1000),
        "Failures in a row, of probes or requests, after which a backend gets nothing new.");
    EJECT_FOR: Key<Period> = key("eject_for", r#""10s""#, period(millis(10), DAY),
        "How long the first ejection lasts. Each further one in a row doubles it.");
    EJECT_MAX: Key<Period> = key("eject_max", r#""5m""#, period(millis(10), DAY),
        "How long an ejection lasts at most. At least eject_for.");
    RECOVER_AFTER: Key<Count<u32>> = key("recover_after", "2", count(1, 1000, 1000),
        "Probes in a row that must pass before an ejected backend is used again.");
    MAX_EJECTED_PERCENT: Key<Count<u32>> = key("max_ejected_percent", "100", count(0, 100, 100),
        "The share of a pool's backends that may be ejected at the same time.");
}

section! { BACKEND: Inline "pool.backends", "One backend, where more than its URL is to be said: { url = \"…\", weight = 2 }.", below [];
    BACKEND_URL: Needed<Text<url::BackendUrl>> = Needed { name: "url", sample: r#""http://127.0.0.1:3001/mcp""#,
        form: text(url::BackendUrl::parse, pool::URL), doc: "Where it is: http://host:port/path or https://, or dns+http://name:port/path or dns+https:// for every address behind a name" };
    WEIGHT: Key<Count<u32>> = key("weight", "1", count(1, 1000, 1000),
        "Its share of new sessions, relative to the others'.");
    BACKEND_DRAIN: Key<Flag> = key("drain", "false", Flag,
        "Whether it gets no new sessions and keeps only those that it has.");
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Whether a setting is the same in two configurations.
type Same = fn(&Config, &Config) -> bool;

/// Keys whose change is in force only after a restart. All other changes are taken over by a reload.
pub(super) static RESTART: [(&str, Same); 17] = [
    ("listen", |old, new| old.listen == new.listen),
    ("admin", |old, new| old.admin == new.admin),
    ("admin_token", |old, new| old.admin_token == new.admin_token),
    ("threads", |old, new| old.threads == new.threads),
    ("instance", |old, new| old.instance == new.instance),
    ("store", |old, new| old.store == new.store),
    ("results.memory", |old, new| old.results.memory == new.results.memory),
    ("results.shared", |old, new| old.results.shared == new.results.shared),
    ("results.compress", |old, new| old.results.compress == new.results.compress),
    ("metrics", |old, new| old.metrics == new.metrics),
    ("log.format", |old, new| old.log.format == new.log.format),
    ("bounds.header_timeout", |old, new| old.bounds.header_timeout == new.bounds.header_timeout),
    ("bounds.idle_timeout", |old, new| old.bounds.idle_timeout == new.bounds.idle_timeout),
    ("bounds.first_byte_timeout", |old, new| old.bounds.first_byte_timeout == new.bounds.first_byte_timeout),
    ("bounds.max_requests_per_connection", |old, new| {
        old.bounds.max_requests_per_connection == new.bounds.max_requests_per_connection
    }),
    ("bounds.max_streams_per_connection", |old, new| {
        old.bounds.max_streams_per_connection == new.bounds.max_streams_per_connection
    }),
    ("bounds.write_timeout", |old, new| old.bounds.write_timeout == new.bounds.write_timeout),
];

/// Every section, in the order of the reference.
pub(super) fn sections() -> [&'static Section; 28] {
    [
        &TOP,
        &LISTENER,
        &TLS,
        &CERTIFICATE,
        &INSTANCE,
        &STORE,
        &DRAIN,
        &SESSION,
        &BOUNDS,
        &STREAM,
        &AUTH,
        &ISSUER,
        &ALLOW,
        &LOG,
        &METRICS,
        &TRACES,
        &LIMITS,
        &LIMIT,
        &UPSTREAM,
        &TOKENS,
        &REFUSED,
        &RESULTS,
        &CACHE,
        &ARGUMENTS,
        &POOL,
        &HEALTH,
        &BACKEND_TLS,
        &BACKEND,
    ]
}
