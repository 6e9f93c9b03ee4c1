//! An instance that has seen traffic of every kind, so that every metric has something to tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;

use crate::page::Page;
use crate::support::backend::Kind;
use crate::support::http::{listen, post};
use crate::support::tls::Authority;
use crate::support::{After, Backend, Connection, Gateway, Session, Setup, wait_for};

/// Sessions on a disk, limits of every kind, a gate before the backends, a cache, TLS on a second address, and an issuer of tokens.
pub const CONFIGURATION: &[&str] = &[
    "session.idle = \"1h\"",
    "limit = [{ name = \"few\", key = \"caller\", tools = [\"scarce\"], rate = \"3/h\" }, \
     { name = \"slow\", key = \"global\", tools = [\"held\"], concurrency = 1, queue = 4, wait = \"10s\" }]",
    "cache = [{ tools = [\"kept\"], ttl = \"1h\", scope = \"public\", trust = true }]",
];

/// What happened.
pub struct Traffic {
    pub gateway: Gateway,
    _backends: Vec<Backend>,
    _stream: Connection,
    _folder: TempDir,
}

impl Traffic {
    /// The page tells of what happened.
    pub fn assert_counted(&self, page: &Page) {
        let is = |name: &str, labels: &[(&str, &str)], wanted: f64| {
            let sum = page.sum(name, labels);
            assert!((sum - wanted).abs() < 0.01, "{name} {labels:?} is {sum}, not {wanted}\n{}", page.text);
        };
        is("moorline_requests_total", &[("tool", "echo"), ("outcome", "ok"), ("era", "legacy")], 1.0);
        is("moorline_limit_refused_total", &[("limit", "few"), ("reason", "rate")], 2.0);
        is("moorline_limit_admitted_total", &[("limit", "few")], 3.0);
        is("moorline_limit_wait_seconds_count", &[("limit", "slow")], 1.0);
        is("moorline_refusals_total", &[("reason", "limited")], 2.0);
        is("moorline_refusals_total", &[("reason", "not_json")], 1.0);
        is("moorline_cache_answers_total", &[("how", "hit")], 1.0);
        is("moorline_cache_answers_total", &[("how", "miss")], 1.0);
        is("moorline_cache_results_total", &[("kept", "yes")], 1.0);
        is("moorline_cache_entries", &[], 1.0);
        is("moorline_sessions_opened_total", &[], 2.0);
        is("moorline_sessions_ended_total", &[("reason", "deleted")], 1.0);
        is("moorline_sessions", &[], 1.0);
        is("moorline_rehomes_total", &[("cause", "lost"), ("result", "moved")], 1.0);
        is("moorline_rehome_duration_seconds_count", &[], 1.0);
        is("moorline_streams", &[("kind", "session")], 1.0);
        is("moorline_connections_refused_total", &[("reason", "bad_http")], 1.0);
        is("moorline_jwks_keys", &[], 1.0);
        is("moorline_build_info", &[("version", env!("CARGO_PKG_VERSION")), ("store", "disk")], 1.0);
        assert!(page.sum("moorline_backend_probes_total", &[("result", "passed")]) > 0.5, "{}", page.text);
        assert!(page.sum("moorline_backend_up", &[]) > 0.5 && page.sum("moorline_backend_ejections_total", &[]) > 0.5);
        assert!(page.sum("moorline_store_operation_seconds_count", &[("operation", "create")]) > 1.5);
        let ends = page.sum("moorline_certificate_expiry_timestamp_seconds", &[]);
        assert!(ends > page.sum("process_start_time_seconds", &[]), "{ends}");
        assert!(page.sum("process_open_fds", &[]) > 10.0 && page.sum("process_resident_memory_bytes", &[]) > 1e6);
    }
}

/// Starts an instance and asks everything of it.
pub fn every_kind() -> Traffic {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authority = Authority::new("tests");
    let issued = authority.server(&["localhost"]);
    let (cert, key) = (write("tls.crt", &issued.cert), write("tls.key", &issued.key));
    let x = URL_SAFE_NO_PAD.encode(ed25519_key());
    let jwks = write("jwks.json", &format!("{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}]}}"));
    std::fs::create_dir(folder.path().join("store")).unwrap();
    let go = Arc::new(AtomicBool::new(false));
    let backends: Vec<_> = ["a", "b"].into_iter().map(|name| holding(name, &go)).collect();
    let urls: Vec<_> = backends.iter().map(Backend::url).collect();
    let mut setup = Setup::of(&urls)
        .pool_key("concurrency = 1")
        .pool_key("queue = 5")
        .pool_key("health = { every = \"100ms\", timeout = \"1s\", eject_after = 2 }")
        .pool("/closed", &urls)
        .pool_key("auth.mode = \"jwt\"")
        .pool_key(&format!("auth.issuer = [{{ issuer = \"https://auth.example.com\", jwks = {jwks:?} }}]"))
        .key("public_url = \"https://mcp.example.com\"")
        .key("listen = [{ addr = \"127.0.0.1:0\", tls = false }, { addr = \"127.0.0.1:0\", tls = true }]")
        .key(&format!("tls = {{ cert_file = {cert:?}, key_file = {key:?} }}"))
        .key(&format!("store.url = \"disk:{}\"", folder.path().join("store").display()));
    for line in CONFIGURATION {
        setup = setup.key(line);
    }
    let gateway = setup.start();
    let stream = ask_everything(&gateway, &backends, &go);
    Traffic { gateway, _backends: backends, _stream: stream, _folder: folder }
}

fn ed25519_key() -> [u8; 32] {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    Ed25519KeyPair::generate().unwrap().public_key().as_ref().try_into().unwrap()
}

/// A server that keeps sessions, and holds back what is asked of the tool `held` until it may go.
fn holding(name: &str, go: &Arc<AtomicBool>) -> Backend {
    let go = Arc::clone(go);
    Backend::new(name, Kind::Legacy, move |request, _| {
        if request.tool() == "held" {
            wait_for("it may go", || go.load(Ordering::Relaxed));
        }
        None::<After>
    })
}

fn ask_everything(gateway: &Gateway, backends: &[Backend], go: &Arc<AtomicBool>) -> Connection {
    let session = Session::open(gateway.addr);
    assert_eq!(session.call("echo").status, 200);
    for expected in [200, 200, 200, 429, 429] {
        assert_eq!(session.call("scarce").status, expected);
    }
    assert_eq!((session.call("kept").status, session.call("kept").status), (200, 200));
    assert_eq!(gateway.ask(&post(&[], "{")).status, 400);
    let mut garbage = gateway.connect();
    garbage.send(b"\x16\x03\x01\r\n\r\n");
    assert_eq!(garbage.answer().status, 400);
    hold_one_and_wait(gateway, &session, go);
    let other = Session::open(gateway.addr);
    assert_eq!(other.end().status, 200);
    let mut stream = gateway.connect();
    stream.send(&listen(&session.id, &[]));
    assert_eq!(stream.head().status, 200);
    lose_its_backend(gateway, &session, backends);
    stream
}

/// One call runs, another waits for its turn, and both are answered.
fn hold_one_and_wait(gateway: &Gateway, session: &Session, go: &AtomicBool) {
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..2).map(|_| scope.spawn(|| session.call("held").status)).collect();
        wait_for("one of them waits", || Page::of(gateway.admin).sum("moorline_limit_waiting", &[]) > 0.5);
        go.store(true, Ordering::Relaxed);
        calls.into_iter().for_each(|call| assert_eq!(call.join().unwrap(), 200));
    });
}

/// The session's server dies, is found dead, and the session goes on at the other.
fn lose_its_backend(gateway: &Gateway, session: &Session, backends: &[Backend]) {
    let own = backends.iter().find(|backend| backend.sessions() > 0).unwrap();
    own.kill();
    assert_eq!(session.call("after").status, 200);
    wait_for("it is found dead", || Page::of(gateway.admin).sum("moorline_backend_ejections_total", &[]) > 0.5);
}
