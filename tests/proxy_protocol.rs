//! The PROXY protocol with the real binary: bytes as the protocol says, bytes as it does not, and HAProxy as a balancer that
//! others use.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use support::session::modern_call;
use support::tls::{Authority, Files};
use support::{Answer, Backend, Connection, Gateway, Setup, http, wait_for};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";

/// Version 2 for 203.0.113.7, or for nobody (LOCAL), with options.
fn v2(command: u8) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 198, 51, 100, 1, 0xdc, 4, 1, 187];
    let options = [0x20, 0, 5, 1, 0, 0, 0, 0];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, 0x11, 0, 20], &addresses, &options].concat()
}

fn gateway(backend: &Backend, keys: &[&str]) -> Gateway {
    let setup = Setup::of(&[backend.url()]).key("listen = { addr = '127.0.0.1:0', proxy_protocol = true }");
    keys.iter().fold(setup, |setup, key| setup.key(key)).start()
}

/// Sends a header and a request.
fn ask(gateway: &Gateway, header: &[u8]) -> Answer {
    gateway.ask(&[header, &modern_call("1", "echo")].concat())
}

/// Whether the connection is closed without an answer.
fn is_cut_off(gateway: &Gateway, bytes: &[u8]) -> bool {
    let mut connection = gateway.connect();
    connection.offer(bytes) && connection.try_answer().is_none()
}

fn turned_away(gateway: &Gateway) -> i64 {
    gateway.instance()["turned_away"]["proxy_header"].as_i64().unwrap()
}

#[test]
fn the_client_is_who_a_trusted_proxy_says() {
    let backend = Backend::modern("a");
    let gateway = gateway(&backend, &["trusted_proxies = ['127.0.0.1']"]);
    for header in [V1, &v2(1)] {
        // What the client itself says of proxies before it is believed no more than anybody's.
        let request = http::post_to("/mcp", &["X-Forwarded-For: 10.1.1.1", "Host: mcp.example"], "{}");
        assert_eq!(gateway.ask(&[header, &request].concat()).status, 400);
        assert_eq!(ask(&gateway, header).status, 200);
    }
    let received = backend.received();
    for request in &received {
        assert_eq!(request.header("x-forwarded-for"), Some("203.0.113.7"));
        assert_eq!(request.header("x-real-ip"), Some("203.0.113.7"));
        assert!(request.header("forwarded").unwrap().starts_with("for=203.0.113.7;proto=http;"));
    }
    gateway.access.wait("203.0.113.7", 2);
    assert_eq!((received.len(), turned_away(&gateway)), (2, 0));
}

#[test]
fn limits_count_the_client_behind_the_proxy() {
    let backend = Backend::modern("a");
    let limit = "limit = [{ name = 'each', key = 'address', rate = '1/h' }]";
    let gateway = gateway(&backend, &["trusted_proxies = ['127.0.0.1']", limit]);
    assert_eq!(ask(&gateway, V1).status, 200);
    assert_eq!(ask(&gateway, V1).status, 429);
    assert_eq!(ask(&gateway, b"PROXY TCP4 203.0.113.8 198.51.100.1 56324 443\r\n").status, 200);
    assert_eq!(ask(&gateway, b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n").status, 200);
}

#[test]
fn connections_count_for_the_client_behind_the_proxy() {
    let backend = Backend::modern("a");
    let gateway = gateway(&backend, &["trusted_proxies = ['127.0.0.1']", "bounds.max_connections_per_address = 1"]);
    let through = |header: &[u8]| {
        let mut connection = gateway.connect();
        connection.offer(&[header, &modern_call("1", "echo")].concat());
        connection.try_answer().map(|answer| (answer.status, connection))
    };
    let first = through(V1);
    assert_eq!(first.as_ref().map(|(status, _)| *status), Some(200));
    assert!(through(&v2(1)).is_none());
    assert!(through(b"PROXY TCP4 203.0.113.8 198.51.100.1 56324 443\r\n").is_some());
    drop(first);
    wait_for("the place is free again", || through(V1).is_some());
}

#[test]
fn a_proxy_that_speaks_for_itself_is_its_own_client() {
    let backend = Backend::modern("a");
    let gateway = gateway(&backend, &["trusted_proxies = ['127.0.0.1']"]);
    assert_eq!(ask(&gateway, &v2(0)).status, 200);
    assert_eq!(ask(&gateway, b"PROXY UNKNOWN\r\n").status, 200);
    for request in backend.received() {
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_trusted_proxy_that_sends_no_good_header_is_cut_off() {
    let backend = Backend::modern("a");
    let gateway = gateway(&backend, &["trusted_proxies = ['127.0.0.1']", "bounds.header_timeout = '300ms'"]);
    let call = modern_call("1", "echo");
    let of_udp = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, 0x12, 0, 12], &[0; 12]].concat();
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 120]].concat();
    let bad: [&[u8]; 7] = [
        b"",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 56324\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\n",
        b"PROXY TCP9 203.0.113.7 198.51.100.1 56324 443\r\n",
        &of_udp,
        &endless,
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
    ];
    for header in bad {
        assert!(is_cut_off(&gateway, &[header, &call].concat()), "{}", String::from_utf8_lossy(header));
    }
    // One that dribbles.
    assert!(is_cut_off(&gateway, &V1[..20]));
    gateway.log.wait("reason=\"proxy_header\"", bad.len() + 1);
    assert_eq!(turned_away(&gateway), bad.len() as i64 + 1);
    // A balancer that only looks whether anybody listens.
    drop(gateway.connect());
    assert_eq!(ask(&gateway, V1).status, 200);
    assert_eq!((backend.received().len(), turned_away(&gateway)), (1, bad.len() as i64 + 1));
}

#[test]
fn nobody_else_is_believed() {
    let backend = Backend::modern("a");
    let gateway = gateway(&backend, &["trusted_proxies = ['192.0.2.0/24']"]);
    for header in [V1, &v2(1)] {
        assert_eq!(ask(&gateway, header).status, 400);
    }
    assert!(backend.received().is_empty());
    assert_eq!(ask(&gateway, b"").status, 200);
    assert_eq!(backend.received()[0].header("x-forwarded-for"), Some("127.0.0.1"));
    // Whom to believe may change without a restart.
    let text = std::fs::read_to_string(gateway.config_path()).unwrap();
    gateway.configure(&text.replace("192.0.2.0/24", "127.0.0.1"));
    gateway.log.wait("configuration reloaded", 1);
    assert_eq!(ask(&gateway, V1).status, 200);
    assert_eq!(backend.received()[1].header("x-forwarded-for"), Some("203.0.113.7"));
}

#[test]
fn a_listener_that_takes_no_headers_takes_none() {
    let backend = Backend::modern("a");
    let gateway = Setup::of(&[backend.url()]).key("trusted_proxies = ['127.0.0.1']").start();
    assert_eq!(ask(&gateway, V1).status, 400);
    assert!(backend.received().is_empty());
}

/// HAProxy between clients and a gateway.
struct Balancer {
    child: Child,
    addr: SocketAddr,
    _files: Files,
}

impl Balancer {
    fn start(gateway: SocketAddr, how: &str) -> Self {
        let files = Files::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let config = files.write(
            "haproxy.cfg",
            &format!(
                "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n\
                 frontend f\n  bind {addr}\n  default_backend b\nbackend b\n  server s {gateway} {how}\n"
            ),
        );
        let mut command = Command::new("haproxy");
        // Debian keeps it where only root's PATH looks.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap()));
        command.args(["-db", "-f", &config]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let balancer = Self { child, addr, _files: files };
        wait_for("the balancer listens", || std::net::TcpStream::connect(addr).is_ok());
        balancer
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn haproxy_is_understood_in_both_versions() {
    for how in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"] {
        let backend = Backend::modern("a");
        let gateway = gateway(&backend, &["trusted_proxies = ['127.0.0.1']"]);
        let balancer = Balancer::start(gateway.addr, &format!("{how} check inter 50ms"));
        let mut client = Connection::to(balancer.addr);
        let own = client.addr();
        client.send(&modern_call("1", "echo"));
        assert_eq!(client.answer().status, 200, "{how}");
        assert_eq!(backend.received()[0].header("x-forwarded-for"), Some(own.ip().to_string().as_str()));
        assert_eq!(turned_away(&gateway), 0, "{how}");
    }
}

#[test]
fn tls_begins_after_the_header() {
    let (backend, authority, files) = (Backend::modern("a"), Authority::new("servers"), Files::new());
    let [cert, key] = files.pair("server", &authority.server(&["localhost"]));
    let tls = format!("tls = {{ cert_file = '{cert}', key_file = '{key}' }}");
    let gateway = gateway(&backend, &["trusted_proxies = ['127.0.0.1']", &tls]);
    for how in ["send-proxy", "send-proxy-v2"] {
        let balancer = Balancer::start(gateway.addr, how);
        let mut client = Connection::secure(balancer.addr, "localhost", &authority.trusted_by(None)).unwrap();
        client.send(&modern_call("1", "echo"));
        assert_eq!(client.answer().status, 200, "{how}");
    }
    let mut raw = Connection::prefixed(gateway.addr, V1, "localhost", &authority.trusted_by(None)).unwrap();
    raw.send(&modern_call("1", "echo"));
    assert_eq!(raw.answer().status, 200);
    let received = backend.received();
    assert!(received[2].header("forwarded").unwrap().starts_with("for=203.0.113.7;proto=https;"));
    assert!(Connection::secure(gateway.addr, "localhost", &authority.trusted_by(None)).is_err());
}
