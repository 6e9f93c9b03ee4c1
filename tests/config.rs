//! The configuration as its reader meets it: what a good file becomes, how every mistake is shown, and
//! that the example and the reference say what the code does. `UPDATE=1` writes the golden files anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::{any, proptest};

use moorline::config::{
    BackendTls, BackendUrl, Bounds, CacheSettings, Code, Colour, Config, ConfigError, Discovery, HealthSettings,
    LimitsSettings, ListenSettings, Probe, ProtocolCache, Rehome, ResultsSettings, SessionSettings, StoreUrl, WhenAway,
};

const SHORTEST: &str = "[[pool]]\nbackends = [\"http://127.0.0.1:3001/mcp\"]\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with the file, or writes it if asked to.
fn golden(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(expected == actual, "{} differs; UPDATE=1 writes it anew. Now:\n{actual}", path.display());
}

fn good(text: &str) -> Config {
    Config::parse("test", text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What is shown for a file: its faults, or its warnings.
fn shown(name: &str, text: &str) -> String {
    match Config::parse(name, text) {
        Ok(config) => config.warnings.to_string(),
        Err(faults) => faults.to_string(),
    }
}

fn bad_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/golden/config")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    paths.sort();
    paths
}

#[test]
fn every_mistake_is_shown_as_its_golden_file_says() {
    let files = bad_files();
    assert!(files.len() > 40, "the golden files are gone");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        let actual = shown(&name, &text);
        assert!(!actual.is_empty(), "{name} has no fault and no warning");
        golden(&path.with_extension("txt"), &(actual + "\n"));
    }
}

#[test]
fn every_fault_names_its_place_and_what_to_do() {
    for path in bad_files() {
        let Err(faults) = Config::parse("file", &fs::read_to_string(&path).unwrap()) else { continue };
        for fault in faults.as_slice() {
            assert!(!fault.message.ends_with('.') && !fault.message.contains('\n'), "{fault:?}");
            assert!(
                fault.code == Code::Syntax || fault.help.is_some() || fault.related.is_some(),
                "{path:?}: {fault:?}"
            );
        }
    }
}

#[test]
fn the_example_is_what_the_code_says() {
    golden(&root().join("moorline.example.toml"), &moorline::config::example());
}

#[test]
fn the_reference_is_what_the_code_says() {
    golden(&root().join("docs/configuration.md"), &moorline::config::reference());
}

#[test]
fn the_example_holds_the_defaults() {
    assert_eq!(good(&moorline::config::example()), good(SHORTEST));
}

#[test]
fn the_example_with_every_optional_key_is_good_but_for_its_secrets() {
    let uncommented = moorline::config::example()
        .replace("# public_url =", "public_url =")
        .replace("# name = \"mcp\"", "name = \"mcp\"");
    assert_eq!(good(&uncommented).pools[0].name, "mcp");
}

#[test]
fn the_examples_of_what_is_not_there_by_default_are_good() {
    let example = moorline::config::example();
    let (before, rest) = example.split_once("# [[limit]]\n").unwrap();
    let (sections, after) = rest.split_once("# A set of interchangeable backends").unwrap();
    let is_key = |text: &str| text.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let shown = sections.lines().map(|line| match line.strip_prefix("# ") {
        Some(text) if is_key(text) || text.starts_with('[') => text,
        _ => line,
    });
    let shown = shown.collect::<Vec<_>>().join("\n");
    let config = good(&format!("{before}[[limit]]\n{shown}\n# {after}"));
    assert_eq!(config.limit[0].costs.len(), 2);
    assert_eq!(config.upstreams[0].tokens.as_ref().unwrap().estimate, 1500);
    assert!(config.upstreams[0].refusal.pattern.is_match("quota exceeded, wait 5 s"));
    assert_eq!(config.cache.rules[0].arguments.only[1].join("|"), "filter|region");
    assert_eq!((config.cache.rules.len(), config.cache.invalidations.len()), (1, 1));
    assert!(config.warnings.is_empty());
}

#[test]
fn the_shortest_file_has_the_defaults() {
    let config = good(SHORTEST);
    let addr = "127.0.0.1:8080".parse::<SocketAddr>().unwrap();
    assert_eq!(config.listen, [ListenSettings { addr, tls: false, proxy_protocol: false }]);
    assert_eq!((config.tls, config.pools[0].tls.clone()), (None, BackendTls::default()));
    assert_eq!(config.admin, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(config.store.url, StoreUrl::Memory);
    assert_eq!(config.bounds, Bounds::default());
    assert_eq!(config.bounds.max_body, 4 << 20);
    assert_eq!(config.session, SessionSettings::default());
    assert_eq!(config.stream.heartbeat, Some(Duration::from_secs(15)));
    assert_eq!(config.limits, LimitsSettings::default());
    assert_eq!((config.limit.len(), config.upstreams.len(), config.pools[0].concurrency), (0, 0, None));
    let pool = &config.pools[0];
    assert_eq!((pool.name.as_str(), pool.path.as_str()), ("mcp", "/mcp"));
    assert_eq!(pool.health, HealthSettings::default());
    assert_eq!(pool.protocol_cache, ProtocolCache::Private);
    assert_eq!((config.results, &config.cache), (ResultsSettings::default(), &CacheSettings::default()));
    assert!(config.warnings.is_empty());
}

#[test]
fn a_full_file_is_read() {
    let config = good(
        r#"
        listen = ["127.0.0.1:0", "[::1]:0"]
        admin = "off"
        public_url = "https://mcp.example.com"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        store = { url = "disk:/var/lib/moorline", when_away = "refuse" }
        session.idle = "1h30m"
        [stream]
        heartbeat = "off"
        [[pool]]
        path = "/"
        backends = [
            "dns+http://MCP-headless.default.svc:3000/mcp",
            { url = "http://10.0.0.1/mcp", weight = 3, drain = true },
        ]
        health = { kind = "http", path = "/up?deep=1" }
        [[pool]]
        path = "/a/b"
        backends = ["http://[::1]:3000/mcp"]
        http_version = "2"
        rehome = "resume"
        rehome_timeout = "3s"
        rebalance = true
        rebalance_rate = 5
        "#,
    );
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.admin, None);
    assert!(config.trusted_proxies[0].contains("10.1.2.3".parse().unwrap()));
    assert_eq!(config.store.url, StoreUrl::Disk("/var/lib/moorline".into()));
    assert_eq!(config.session.idle, Duration::from_secs(5400));
    assert_eq!(config.stream.heartbeat, None);
    let [root, nested] = config.pools.as_slice() else { panic!("two pools") };
    assert_eq!((root.name.as_str(), nested.name.as_str()), ("root", "a-b"));
    assert_eq!(root.backends[0].url.discovery(), Discovery::Dns);
    assert_eq!(root.backends[0].url.to_string(), "dns+http://mcp-headless.default.svc:3000/mcp");
    assert_eq!((root.backends[1].weight, root.backends[1].drain), (3, true));
    assert_eq!(root.health.kind, Probe::Http { path: "/up?deep=1".to_owned() });
    assert_eq!((root.rehome, nested.rehome), (Rehome::Replay, Rehome::Resume));
    assert_eq!(nested.rehome_timeout, Duration::from_secs(3));
    assert_eq!((nested.rebalance, nested.rebalance_rate), (true, 5));
    assert_eq!(config.store.when_away, WhenAway::Refuse);
    assert_eq!(nested.backends[0].url.port(), 3000);
    assert_eq!(nested.backends[0].url.uri(), "http://[::1]:3000/mcp");
}

#[test]
fn all_faults_come_at_once_in_the_order_of_their_places() {
    let faults = Config::parse("f", "lisen = 1\nthreads = -1\n[drain]\ndeadline = \"x\"\n[[pool]]\n").unwrap_err();
    let codes: Vec<_> = faults.as_slice().iter().map(|fault| fault.code).collect();
    assert_eq!(codes, [Code::UnknownKey, Code::OutOfRange, Code::BadValue, Code::Missing]);
    assert_eq!(faults.lines().nth(2).unwrap(), "f:4:12: `drain.deadline`: `x` is not a duration");
}

#[test]
fn colour_comes_only_when_asked_for() {
    let faults = Config::parse("f", "x = 1").unwrap_err();
    assert!(!faults.render(Colour::Plain).contains('\x1b'));
    assert!(faults.render(Colour::Ansi).contains('\x1b'));
}

#[test]
fn the_sealing_key_comes_from_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=\n").unwrap();
    let config = good(&format!("[store]\nsealing_key_file = '{}'\n{SHORTEST}", path.display()));
    assert_eq!(config.store.sealing_key.as_ref().unwrap().bytes()[31], 1);
    assert!(format!("{config:?}").contains("sealing_key: Some(***)"));
}

#[test]
fn the_service_credential_comes_from_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    fs::write(&path, "Bearer hunter2\n").unwrap();
    let config = good(&format!("{SHORTEST}service_credential_file = '{}'\n", path.display()));
    assert_eq!(config.pools[0].service_credential.as_ref().unwrap().value(), "Bearer hunter2");
    assert!(format!("{config:?}").contains("service_credential: Some(***)"));
}

#[test]
fn no_fault_shows_a_secret() {
    let broken =
        ["sealing_key = 'hunter2", "sealing_kye = 'hunter2'", "sealing_key = 'hunter2'", "sealing_key = ['hunter2']"];
    for line in broken {
        let shown = shown("f", &format!("store.timeout = 1\nstore.{line}\n"));
        assert!(!shown.is_empty() && !shown.contains("hunter2"), "{shown}");
    }
    for line in ["service_credential = 'hunter2", "service_credentail = 'hunter2'", "service_credential = ['hunter2']"]
    {
        let shown = shown("f", &format!("[[pool]]\nbackends = 1\n{line}\n"));
        assert!(!shown.is_empty() && !shown.contains("hunter2"), "{shown}");
    }
    let key = "AbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbAbA=";
    for name in ["sealing_key_file", "sealing_key_env"] {
        let shown = shown("f", &format!("store.{name} = '{key}'"));
        assert!(shown.contains("looks like the key itself") && !shown.contains("AbAb"), "{shown}");
    }
    let shown = shown("f", "[[pool]]\nbackends = ['http://me:hunter2@a/mcp']");
    assert!(shown.contains("credentials") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_reload_names_what_needs_a_restart() {
    let old = good(SHORTEST);
    assert!(Config::changes_needing_restart(&old, &old).is_empty());
    let new = good(&format!(
        "listen = '127.0.0.1:1'\nadmin = 'off'\nthreads = 2\nstore.url = 'disk:/a'\nsession.max = 7\n{SHORTEST}"
    ));
    assert_eq!(Config::changes_needing_restart(&old, &new), ["listen", "admin", "threads", "store"]);
}

proptest! {
    #[test]
    fn no_text_panics_and_every_refusal_can_be_shown(text in "(\\PC|[\n\t=\"\\[\\].])*") {
        assert!(!shown("f", &text).is_empty());
    }

    #[test]
    fn a_slip_anywhere_in_the_example_is_survived(at in any::<proptest::sample::Index>(), slip in "[=\"x1\n\\[é]") {
        let mut text = moorline::config::example();
        let at = at.index(text.len());
        if text.is_char_boundary(at) {
            text.insert_str(at, &slip);
        }
        shown("f", &text);
    }
}

mod tls {
    use moorline::config::{ClientCertificates, TlsVersion};

    use super::*;

    const TLS: &str = "[tls]\ncert_file = 'a.crt'\nkey_file = 'a.key'\n";

    fn read(before: &str, more: &str) -> Config {
        good(&format!("{before}\n{TLS}{more}\n{SHORTEST}"))
    }

    #[test]
    fn a_section_makes_every_listener_speak_it() {
        let config = read("listen = ['0.0.0.0:8443', { addr = '127.0.0.1:8080', tls = false }]", "");
        assert_eq!(config.listen.iter().map(|one| one.tls).collect::<Vec<_>>(), [true, false]);
        let tls = config.tls.unwrap();
        assert_eq!((tls.min_version, tls.client_certificates), (TlsVersion::Tls12, ClientCertificates::Off));
        assert_eq!(tls.files().map(|file| file.display().to_string()).collect::<Vec<_>>(), ["a.crt", "a.key"]);
        assert!(config.warnings.is_empty(), "{}", config.warnings);
    }

    #[test]
    fn a_full_section_is_read() {
        let config = read(
            "trusted_proxies = ['10.0.0.0/8']\nlisten = { addr = '[::]:8443', proxy_protocol = true }",
            "min_version = '1.3'\nclient_certificates = 'optional'\nclient_ca_file = 'ca'\nclient_crl_file = 'crl'\n\
             max_handshakes = 7\n[[tls.certificate]]\ncert_file = 'b.crt'\nkey_file = 'b.key'",
        );
        assert!(config.listen[0].proxy_protocol && config.listen[0].tls);
        let tls = config.tls.unwrap();
        assert_eq!((tls.min_version, tls.client_certificates), (TlsVersion::Tls13, ClientCertificates::Optional));
        assert_eq!((tls.certificates.len(), tls.max_handshakes), (2, 7));
        assert_eq!(tls.files().count(), 6);
    }

    #[test]
    fn backends_may_speak_it() {
        let config = good(
            "[[pool]]\nbackends = ['https://a:443/mcp', 'dns+https://b:8443/mcp']\n[pool.tls]\nca_file = 'ca'\n\
             client_cert_file = 'c.crt'\nclient_key_file = 'c.key'\nserver_name = 'mcp.internal'",
        );
        let [a, b] = config.pools[0].backends.as_slice() else { panic!("two backends") };
        assert_eq!((a.url.to_string().as_str(), a.url.port()), ("https://a/mcp", 443));
        assert_eq!((b.url.to_string().as_str(), b.url.discovery()), ("dns+https://b:8443/mcp", Discovery::Dns));
        let tls = &config.pools[0].tls;
        assert_eq!(tls.server_name.as_ref().unwrap().to_str(), "mcp.internal");
        assert_eq!(tls.files().count(), 3);
    }

    #[test]
    fn the_example_is_good() {
        let example = moorline::config::example();
        let (_, section) = example.split_once("# [tls]\n").unwrap();
        let (section, _) = section.split_once("# What this instance is called").unwrap();
        let keys = section.lines().filter_map(|line| line.strip_prefix("# "));
        let keys = keys
            .filter(|line| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
        let text = keys.collect::<Vec<_>>().join("\n").replace("\"off\"", "\"required\"");
        let config = good(&format!("[tls]\n{text}\n{SHORTEST}"));
        assert_eq!(config.tls.unwrap().certificates.len(), 2);
    }

    #[test]
    fn what_is_shown_changes_without_a_restart_and_who_speaks_it_does_not() {
        let old = read("", "");
        assert!(Config::changes_needing_restart(&old, &read("", "min_version = '1.3'")).is_empty());
        assert_eq!(Config::changes_needing_restart(&old, &good(SHORTEST)), ["listen"]);
    }
}

mod cache {
    use moorline::config::{CacheArguments, CacheInvalidation, CacheRule, CacheScope, CacheTarget, CachedMethod};

    use super::*;

    fn read(text: &str) -> Config {
        good(&format!("{text}\n{SHORTEST}"))
    }

    fn calls_of(tool: &str) -> CacheTarget {
        CacheTarget { methods: vec![CachedMethod::ToolsCall], tools: vec![tool.parse().unwrap()], pools: Vec::new() }
    }

    #[test]
    fn the_shortest_rule_keeps_calls_for_each_caller() {
        let config = read("[[cache]]\ntools = 'get_*'\nttl = '5m'");
        let expected = CacheRule {
            target: calls_of("get_*"),
            ttl: Duration::from_secs(300),
            scope: CacheScope::Caller,
            stale: Duration::ZERO,
            negative: None,
            max_bytes: None,
            arguments: CacheArguments::default(),
            vary: Vec::new(),
            trust: false,
            bypass: false,
            tags: Vec::new(),
        };
        assert_eq!(config.cache.rules, [expected]);
        assert!(config.cache.invalidations.is_empty() && config.warnings.is_empty());
    }

    #[test]
    fn a_full_rule_is_read() {
        let config = read(
            r#"
            trusted_proxies = ["10.0.0.0/8"]
            [[cache]]
            tools = ["get_*", "find"]
            methods = "tools/call"
            pools = ["mcp"]
            ttl = "1h"
            scope = "header:X-Tenant"
            stale = "30d"
            negative = "2h"
            max_bytes = "64MiB"
            vary = ["Accept-Language", "authorization", "cookie"]
            trust = true
            bypass = true
            tags = ["products", "prices"]
            [cache.arguments]
            only = ["query", "/filter/a~1b"]
            ignore = "/filter/a~1b/0"
            lowercase = "query"
            trim = ["query"]
            "#,
        );
        let [rule] = config.cache.rules.as_slice() else { panic!("one rule") };
        assert_eq!(rule.target.methods, [CachedMethod::ToolsCall]);
        assert!(rule.target.matches("mcp", CachedMethod::ToolsCall, Some("find")));
        assert_eq!(rule.scope, CacheScope::Header("x-tenant".parse().unwrap()));
        assert_eq!((rule.ttl, rule.stale), (Duration::from_secs(3600), Duration::from_secs(30 * 86_400)));
        assert_eq!((rule.negative, rule.max_bytes), (Some(Duration::from_secs(7200)), Some(64 << 20)));
        assert_eq!(rule.vary, ["accept-language", "authorization", "cookie"]);
        assert!(rule.trust && rule.bypass);
        assert_eq!(rule.tags, ["products", "prices"].map(Box::from));
        let shown = |pointers: &[Vec<Box<str>>]| pointers.iter().map(|segments| segments.join("|")).collect::<Vec<_>>();
        assert_eq!(shown(&rule.arguments.only), ["query", "filter|a/b"]);
        assert_eq!(shown(&rule.arguments.ignore), ["filter|a/b|0"]);
        assert_eq!(
            (&rule.arguments.lowercase, &rule.arguments.trim),
            (&vec![vec!["query".into()]], &vec![vec!["query".into()]])
        );
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn rules_are_of_methods_too() {
        let config = read("[[cache]]\nmethods = ['tools/list', 'server/discover']\nttl = '1m'\nscope = 'public'");
        let [rule] = config.cache.rules.as_slice() else { panic!("one rule") };
        assert_eq!(rule.target.methods, [CachedMethod::ToolsList, CachedMethod::ServerDiscover]);
        assert!(rule.target.tools.is_empty());
        assert_eq!(rule.scope, CacheScope::Public);
    }

    #[test]
    fn what_calls_make_forgotten_stands_apart() {
        let config = read(
            r#"
            [[cache]]
            tools = "get_*"
            ttl = "5m"
            tags = "products"
            [[cache]]
            tools = "update"
            invalidates = ["get_product", "search_*"]
            [[cache]]
            tools = "update"
            invalidates_tags = "products"
            [[cache]]
            tools = "refresh"
            ttl = "1s"
            invalidates = "get_*"
            "#,
        );
        assert_eq!(
            config.cache.rules.iter().map(|rule| &rule.target).collect::<Vec<_>>(),
            [&calls_of("get_*"), &calls_of("refresh")]
        );
        let [by_tool, by_tag, both] = config.cache.invalidations.as_slice() else { panic!("three invalidations") };
        let tools = ["get_product", "search_*"].map(|tool| tool.parse().unwrap()).to_vec();
        assert_eq!(by_tool, &CacheInvalidation { target: calls_of("update"), tools, tags: Vec::new() });
        assert_eq!((&by_tag.tags, by_tag.tools.len()), (&vec!["products".into()], 0));
        assert_eq!(both.target, calls_of("refresh"));
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn where_results_are_kept_is_read() {
        let config =
            read("results = { memory = '2MiB', max_bytes = '2MiB', shared = false, compress = '1MiB', wait = '1s' }");
        let wait = Duration::from_secs(1);
        let expected = ResultsSettings { memory: 2 << 20, max_bytes: 2 << 20, shared: false, compress: 1 << 20, wait };
        assert_eq!(config.results, expected);
        let preset = ResultsSettings::default();
        assert_eq!((preset.memory, preset.max_bytes, preset.compress), (64 << 20, 1 << 20, 4 << 10));
        assert_eq!((preset.shared, preset.wait), (true, Duration::from_secs(30)));
    }

    #[test]
    fn a_pool_says_whether_servers_are_believed() {
        let of = |word: &str| good(&format!("{SHORTEST}protocol_cache = '{word}'\n")).pools[0].protocol_cache;
        assert_eq!(
            ["off", "private", "public"].map(of),
            [ProtocolCache::Off, ProtocolCache::Private, ProtocolCache::Public]
        );
    }

    #[test]
    fn rules_change_without_a_restart() {
        let old = good(SHORTEST);
        let new = read("results = { max_bytes = '1KiB', wait = '1s' }\n[[cache]]\ntools = '*'\nttl = '1s'");
        assert!(Config::changes_needing_restart(&old, &new).is_empty());
        let new = read("results = { memory = '1MiB', shared = false, compress = '1KiB' }");
        let kept = ["results.memory", "results.shared", "results.compress"];
        assert_eq!(Config::changes_needing_restart(&old, &new), kept);
    }
}

mod limits {
    use moorline::config::{
        Algorithm, BackendLimit, BackendMost, Concurrency, LimitCallers, LimitEra, LimitKey, LimitScope, LimitSettings,
        LimitsAway, OnLimit, Rate,
    };

    use super::*;

    fn read(text: &str) -> Config {
        good(&format!("{text}\n{SHORTEST}"))
    }

    fn rate(text: &str) -> Option<Rate> {
        Some(text.parse().unwrap())
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn the_shortest_limit_counts_calls_of_each_caller() {
        let config = read("[[limit]]\nname = 'a'\nrate = '60/min'");
        let expected = LimitSettings {
            name: "a".into(),
            scope: LimitScope::default(),
            key: LimitKey::Caller,
            rate: rate("60/min"),
            burst: None,
            algorithm: Algorithm::Gcra,
            block: None,
            block_max: None,
            cost: 1,
            costs: Vec::new(),
            concurrency: None,
            on_limit: OnLimit::Auto,
        };
        assert_eq!(config.limit, [expected]);
    }

    #[test]
    fn a_full_limit_is_read() {
        let config = read(
            r#"
            trusted_proxies = ["10.0.0.0/8"]
            limits = { when_away = "refuse", max_counters = 5_000, ipv6_prefix = 56, sampling = "10/min" }
            [[limit]]
            name = "search"
            key = "header:X-Tenant"
            rate = "10/30s"
            burst = 20
            block = "60s"
            block_max = "1h"
            cost = 2
            methods = "tools/*"
            tools = ["search_*", "find"]
            pools = ["mcp"]
            era = "modern"
            callers = "anonymous"
            concurrency = 5
            queue = 7
            wait = "3s"
            on_limit = "tool_error"
            costs = { "z_*" = 3, "*" = 0, a = 20 }
            "#,
        );
        assert_eq!((config.limits.when_away, config.limits.max_counters), (LimitsAway::Refuse, 5000));
        assert_eq!((config.limits.ipv6_prefix, config.limits.sampling), (56, rate("10/min")));
        let [limit] = config.limit.as_slice() else { panic!("one limit") };
        assert_eq!(limit.key, LimitKey::Header("x-tenant".parse().unwrap()));
        assert_eq!((limit.rate, limit.burst.map(Into::into)), (rate("10/30s"), Some(20)));
        assert_eq!((limit.block, limit.block_max, limit.cost), (seconds(60), seconds(3600), 2));
        assert!(limit.scope.methods[0].matches("tools/call") && limit.scope.tools[1].matches("find"));
        assert_eq!((limit.scope.era, limit.scope.callers), (Some(LimitEra::Modern), LimitCallers::Anonymous));
        assert_eq!(limit.scope.pools, [Box::from("mcp")]);
        assert_eq!(limit.concurrency, Some(Concurrency { most: 5, queue: 7, wait: Duration::from_secs(3) }));
        assert_eq!(limit.on_limit, OnLimit::ToolError);
        let costs: Vec<_> = limit.costs.iter().map(|(tools, cost)| (tools.as_str(), *cost)).collect();
        assert_eq!(costs, [("z_*", 3), ("*", 0), ("a", 20)], "in the order in which they are written");
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn the_standard_preset_stands_before_the_files_own_limits() {
        let config = read("limits.preset = 'standard'\n[[limit]]\nname = 'own'\nconcurrency = 3");
        let names: Vec<_> = config.limit.iter().map(|limit| &*limit.name).collect();
        assert_eq!(names, ["per-caller", "per-address", "own"]);
        let [caller, address, own] = config.limit.as_slice() else { panic!("three limits") };
        assert_eq!((&caller.key, caller.scope.callers), (&LimitKey::Caller, LimitCallers::Authenticated));
        assert_eq!((caller.rate, caller.block, caller.block_max), (rate("60/min"), seconds(60), seconds(60)));
        assert_eq!((&address.key, address.scope.callers), (&LimitKey::Address, LimitCallers::Anonymous));
        assert_eq!((address.rate, address.block), (rate("100/min"), None));
        assert_eq!(own.rate, None);
        assert_eq!(own.concurrency, Some(Concurrency { most: 3, queue: 0, wait: Duration::from_secs(10) }));
    }

    #[test]
    fn a_block_without_a_longest_one_does_not_grow() {
        let config = read("[[limit]]\nname = 'a'\nrate = '5/s'\nblock = '2m'");
        assert_eq!((config.limit[0].block, config.limit[0].block_max), (seconds(120), seconds(120)));
    }

    #[test]
    fn upstreams_are_read() {
        let config = read(
            r#"
            [[upstream]]
            name = "openai"
            tools = ["summarize", "ask_*"]
            rate = "500/min"
            concurrency = 20
            tokens = { rate = "200000/min", estimate = 1500, from = "/a~1b/c" }
            [[upstream]]
            name = "files"
            tools = "read_*"
            concurrency = 2
            queue = 0
            refused = { pattern = 'busy (?<seconds>\d+)', pause = "5s", most = "1m" }
            "#,
        );
        let [openai, files] = config.upstreams.as_slice() else { panic!("two upstreams") };
        assert_eq!((openai.rate, openai.burst), (rate("500/min"), None));
        assert_eq!(openai.concurrency, Some(Concurrency { most: 20, queue: 100, wait: Duration::from_secs(10) }));
        let tokens = openai.tokens.as_ref().unwrap();
        assert_eq!((tokens.rate, tokens.burst, tokens.estimate), (rate("200000/min").unwrap(), None, 1500));
        assert_eq!(tokens.from, ["a/b", "c"]);
        assert_eq!(openai.refusal.pause_after("429 Too Many Requests"), seconds(30));
        assert!(openai.tools[1].matches("ask_me") && files.tokens.is_none());
        assert_eq!(files.concurrency.map(|concurrency| concurrency.queue), Some(0));
        assert_eq!(files.refusal.pause_after("busy 7"), seconds(7));
        assert_eq!(files.refusal.pause_after("429 Too Many Requests"), None);
    }

    #[test]
    fn backends_can_be_limited() {
        let limit = |lines: &str| good(&format!("{SHORTEST}{lines}")).pools[0].concurrency;
        let wait = Duration::from_secs(10);
        let fixed = BackendLimit { most: BackendMost::Fixed(8), queue: 100, wait };
        assert_eq!(limit("concurrency = 8"), Some(fixed));
        let adaptive = BackendLimit { most: BackendMost::Adaptive(1000), queue: 100, wait };
        assert_eq!(limit("concurrency = 'adaptive'"), Some(adaptive));
        let bounded = BackendLimit { most: BackendMost::Adaptive(50), queue: 0, wait };
        assert_eq!(limit("concurrency = 'adaptive'\nconcurrency_max = 50\nqueue = 0"), Some(bounded));
        assert_eq!(limit("concurrency = 'off'"), None);
    }

    #[test]
    fn limits_change_without_a_restart() {
        let new = read("limits.preset = 'standard'\n[[upstream]]\nname = 'a'\ntools = 'a'\nrate = '1/s'");
        assert!(Config::changes_needing_restart(&good(SHORTEST), &new).is_empty());
    }
}

mod files {
    use super::*;

    fn load(content: &[u8]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moorline.toml");
        fs::write(&path, content).unwrap();
        Config::load(&path)
    }

    #[test]
    fn a_good_file_loads_with_or_without_a_byte_order_mark() {
        assert_eq!(load(SHORTEST.as_bytes()).unwrap(), good(SHORTEST));
        assert_eq!(load(format!("\u{feff}{SHORTEST}").as_bytes()).unwrap(), good(SHORTEST));
        assert_eq!(load(SHORTEST.replace('\n', "\r\n").as_bytes()).unwrap(), good(SHORTEST));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Path::new("/nonexistent/moorline.toml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the configuration file `/nonexistent/moorline.toml`");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_directory_is_no_configuration() {
        assert!(matches!(Config::load(Path::new("/")), Err(ConfigError::NotAFile(_))));
    }

    #[test]
    fn a_file_full_of_faults_is_shown_in_short() {
        let Err(ConfigError::Faults(faults)) = load("x = = 1\n".repeat(10_000).as_bytes()) else { panic!("faults") };
        assert!(faults.to_string().contains("\n\nand "));
    }

    #[test]
    fn a_huge_file_is_not_read() {
        assert!(matches!(load(&vec![b'#'; 2 << 20]), Err(ConfigError::TooLarge(_))));
    }

    #[test]
    fn a_file_that_is_not_utf8_is_shown_with_its_place() {
        let Err(ConfigError::Faults(faults)) = load(b"threads = 1\nadmin = \"caf\xe9\"\n") else { panic!("a fault") };
        assert!(faults.lines().next().unwrap().ends_with(":2:13: this is not UTF-8"), "{faults}");
    }
}

mod flags {
    use super::*;

    fn quick(
        listen: Option<&str>,
        admin: Option<&str>,
        backends: &[&str],
        store: Option<&str>,
    ) -> Result<Config, String> {
        let backends: Vec<_> = backends.iter().map(ToString::to_string).collect();
        Config::quick(listen, admin, &backends, store).map_err(|faults| faults.to_string())
    }

    #[test]
    fn flags_are_a_configuration_with_one_pool() {
        assert_eq!(quick(None, None, &["http://127.0.0.1:3001/mcp"], None).unwrap(), good(SHORTEST));
        let config =
            quick(Some("127.0.0.1:0"), Some("off"), &["http://a/mcp", "dns+http://b/mcp"], Some("disk:/d")).unwrap();
        let urls: Vec<&BackendUrl> = config.pools[0].backends.iter().map(|backend| &backend.url).collect();
        assert_eq!(urls.len(), 2);
        assert_eq!((config.admin, config.store.url), (None, StoreUrl::Disk("/d".into())));
    }

    #[test]
    fn faults_name_the_flags() {
        let folder = root().join("tests/golden/config");
        let all =
            quick(Some("8080"), Some("localhost:1"), &["127.0.0.1:3001/mcp", "http://a", "http://a/"], Some("redis:a"));
        golden(&folder.join("flags-bad-values.txt"), &(all.unwrap_err() + "\n"));
        golden(&folder.join("flags-no-backend.txt"), &(quick(None, None, &[], None).unwrap_err() + "\n"));
        let same = quick(Some("127.0.0.1:9090"), None, &["http://a/mcp"], None);
        golden(&folder.join("flags-same-address.txt"), &(same.unwrap_err() + "\n"));
    }
}
