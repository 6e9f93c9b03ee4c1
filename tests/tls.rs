//! TLS towards clients, with the real binary, certificates made for the test, and curl and openssl as clients that others use.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

mod support;

use std::process::{Command, Output};
use std::time::Duration;

use support::backend::{Kind, respond};
use support::session::modern_call;
use support::tls::{Authority, Files, Issued, Wanted};
use support::{Backend, Connection, Gateway, Setup, wait_for};

/// A gateway that speaks TLS, in front of one server.
struct Secure {
    authority: Authority,
    files: Files,
    backend: Backend,
    gateway: Gateway,
    shown: Issued,
}

/// Starts one with more keys. `{}` in a key is the folder of its files.
fn secure(before: impl FnOnce(&Files), keys: &[&str]) -> Secure {
    let (authority, files, backend) = (Authority::new("servers"), Files::new(), Backend::modern("a"));
    let shown = authority.server(&["localhost", "mcp.example"]);
    let [cert, key] = files.pair("server", &shown);
    files.write("ca.pem", &authority.cert);
    before(&files);
    let mut setup = Setup::of(&[backend.url()]);
    let folder = files.path("").display().to_string();
    for line in [&format!("tls.cert_file = '{cert}'"), &format!("tls.key_file = '{key}'")] {
        setup = setup.key(line);
    }
    for line in keys {
        setup = setup.key(&line.replace("{}", &folder));
    }
    Secure { gateway: setup.start(), authority, files, backend, shown }
}

impl Secure {
    fn connect_as(&self, name: &str, own: Option<&Issued>) -> std::io::Result<Connection> {
        Connection::secure(self.gateway.addr, name, &self.authority.trusted_by(own))
    }

    fn connect(&self) -> Connection {
        self.connect_as("localhost", None).unwrap()
    }

    /// curl, which trusts the authority and finds `mcp.example` here.
    fn curl(&self, arguments: &[&str], path: &str) -> Output {
        let port = self.gateway.addr.port();
        let run = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--include"])
            .args(["--resolve", &format!("mcp.example:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(self.files.path("ca.pem"))
            .args(arguments)
            .arg(format!("https://mcp.example:{port}{path}"))
            .output();
        run.unwrap()
    }

    /// Whether a request on a connection as this client is answered.
    fn serves(&self, own: Option<&Issued>) -> bool {
        let Ok(mut connection) = self.connect_as("localhost", own) else { return false };
        connection.offer(&modern_call("1", "echo"))
            && connection.try_answer().is_some_and(|answer| answer.status == 200)
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const BODY: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
const FIELDS: [&str; 4] = ["-H", "Content-Type: application/json", "-H", "Accept: application/json, text/event-stream"];

#[test]
fn both_http_versions_are_served_over_tls() {
    let secure = secure(|_| (), &["allowed_hosts = ['mcp.example']"]);
    for (flag, version) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        for newest in ["1.2", "1.3"] {
            let answered = secure.curl(&[&[flag, "--tls-max", newest, "--data", BODY], &FIELDS[..]].concat(), "/mcp");
            let text = text(&answered);
            assert!(text.starts_with(version) && text.contains("\"id\":7"), "{flag} {newest}: {text}");
        }
    }
    let received = secure.backend.received();
    assert_eq!(received.len(), 4);
    for request in received {
        assert_eq!(request.header("x-forwarded-proto"), Some("https"));
        let forwarded = request.header("forwarded").unwrap();
        assert!(forwarded.starts_with("for=127.0.0.1;proto=https;host=\"mcp.example"), "{forwarded}");
    }
}

#[test]
fn openssl_finds_nothing_older_than_what_is_allowed() {
    let secure = secure(|_| (), &["tls.min_version = '1.3'"]);
    let shake = |version: &str| {
        let run = Command::new("openssl")
            .args(["s_client", "-connect", &secure.gateway.addr.to_string(), "-servername", "localhost", version])
            .args(["-alpn", "h2,http/1.1", "-verify_return_error", "-CAfile"])
            .arg(secure.files.path("ca.pem"))
            .stdin(std::process::Stdio::null())
            .output();
        text(&run.unwrap())
    };
    let new = shake("-tls1_3");
    assert!(
        new.contains("TLSv1.3") && new.contains("ALPN protocol: h2") && new.contains("Verify return code: 0"),
        "{new}"
    );
    let old = shake("-tls1_2");
    assert!(old.contains("alert"), "{old}");
    secure.gateway.log.wait("reason=\"tls_handshake\"", 1);
}

#[test]
fn the_certificate_is_that_of_the_name() {
    let other = Authority::new("others");
    let (wild, exact) = (other.server(&["*.other.example"]), other.server(&["one.other.example"]));
    let keys = [
        "tls.certificate = [{ cert_file = '{}wild.crt', key_file = '{}wild.key' }, { cert_file = '{}exact.crt', key_file = '{}exact.key' }]",
    ];
    let secure = secure(
        |files| {
            files.pair("wild", &wild);
            files.pair("exact", &exact);
        },
        &keys,
    );
    let shown = |name: &str, authority: &Authority| {
        Connection::secure(secure.gateway.addr, name, &authority.trusted_by(None)).unwrap().certificate()
    };
    assert_eq!(shown("localhost", &secure.authority), secure.shown.der().as_ref());
    assert_eq!(shown("one.other.example", &other), exact.der().as_ref());
    assert_eq!(shown("two.other.example", &other), wild.der().as_ref());
    // Nobody knows this name: the client is shown the first certificate, and refuses it.
    let refused = Connection::secure(secure.gateway.addr, "x.test", &secure.authority.trusted_by(None));
    assert!(refused.unwrap_err().to_string().contains("not valid for name"));
}

#[test]
fn a_new_certificate_is_shown_while_old_connections_live_on() {
    let secure = secure(|_| (), &[]);
    let mut old = secure.connect();
    old.send(&modern_call("1", "echo"));
    assert_eq!(old.answer().status, 200);
    let renewed = secure.authority.server(&["localhost"]);
    secure.files.pair("server", &renewed);
    wait_for("the new certificate is shown", || secure.connect().certificate() == renewed.der().as_ref());
    assert_eq!(old.certificate(), secure.shown.der().as_ref());
    old.send(&modern_call("2", "echo"));
    assert_eq!(old.answer().status, 200);
}

#[test]
fn a_certificate_is_swapped_as_kubernetes_swaps_secrets() {
    let (authority, files) = (Authority::new("servers"), Files::new());
    let backend = Backend::modern("a");
    let write = |folder: &str, issued: &Issued| {
        std::fs::create_dir(files.path(folder)).unwrap();
        std::fs::write(files.path(folder).join("tls.crt"), &issued.cert).unwrap();
        std::fs::write(files.path(folder).join("tls.key"), &issued.key).unwrap();
    };
    let (first, second) = (authority.server(&["localhost"]), authority.server(&["localhost"]));
    write("1", &first);
    std::os::unix::fs::symlink("1", files.path("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), files.path(name)).unwrap();
    }
    let keys = ["crt", "key"].map(|kind| files.path(&format!("tls.{kind}")).display().to_string());
    let setup =
        Setup::of(&[backend.url()]).key(&format!("tls = {{ cert_file = '{}', key_file = '{}' }}", keys[0], keys[1]));
    let gateway = setup.start();
    let shown = || Connection::secure(gateway.addr, "localhost", &authority.trusted_by(None)).unwrap().certificate();
    assert_eq!(shown(), first.der().as_ref());
    write("2", &second);
    std::os::unix::fs::symlink("2", files.path("..new")).unwrap();
    std::fs::rename(files.path("..new"), files.path("..data")).unwrap();
    wait_for("the new certificate is shown", || shown() == second.der().as_ref());
}

#[test]
fn bad_new_files_leave_the_old_ones_in_use() {
    let secure = secure(|_| (), &[]);
    let stranger = secure.authority.server(&["localhost"]);
    // A key that belongs to no certificate there.
    secure.files.write("server.key", &stranger.key);
    let line = secure.gateway.log.wait("were read before stay in use", 1);
    assert!(line.contains("cannot be used with the key in") && line.contains("server.key"), "{line}");
    secure.files.write("server.crt", "nonsense");
    let line = secure.gateway.log.wait("were read before stay in use", 2);
    assert!(line.contains("holds no usable certificate"), "{line}");
    secure.gateway.signal("HUP");
    secure.gateway.log.wait("the new configuration is refused", 1);
    assert_eq!(secure.connect().certificate(), secure.shown.der().as_ref());
    secure.files.pair("server", &stranger);
    wait_for("the good files are used", || secure.connect().certificate() == stranger.der().as_ref());
}

#[test]
fn an_instance_does_not_start_with_bad_files_and_check_says_so() {
    let files = Files::new();
    let config = files.write(
        "moorline.toml",
        "admin = 'off'\nlisten = '127.0.0.1:0'\n[tls]\ncert_file = '/nonexistent/tls.crt'\nkey_file = '/nonexistent/tls.key'\n\
         [[pool]]\nbackends = ['http://127.0.0.1:1/mcp']\n",
    );
    for command in [&["check", "--config", &config][..], &["serve", "--config", &config]] {
        let run = Command::new(env!("CARGO_BIN_EXE_moorline")).args(command).output().unwrap();
        assert!(!run.status.success() && text(&run).contains("cannot read `/nonexistent/tls.crt`"), "{}", text(&run));
    }
}

#[test]
fn nobody_comes_in_without_a_certificate_where_one_is_required() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("clients"));
    let keys = ["tls.client_certificates = 'required'", "tls.client_ca_file = '{}clients.pem'"];
    let secure = secure(|files| drop(files.write("clients.pem", &clients.cert)), &keys);
    assert!(secure.serves(Some(&clients.client("deploy"))));
    assert!(!secure.serves(None));
    assert!(!secure.serves(Some(&strangers.client("deploy"))));
    let has_run_out = clients.sign(&Wanted { common_name: "deploy", has_run_out: true, ..Wanted::default() });
    assert!(!secure.serves(Some(&has_run_out)));
    assert_eq!(secure.backend.received().len(), 1);
    for _ in 0..3 {
        secure.gateway.log.wait("reason=\"tls_handshake\"", 3);
    }
    assert_eq!(secure.gateway.instance()["turned_away"]["tls_handshake"], 3);
    // Another authority from now on, without a restart: a session that is taken up again would not notice.
    secure.files.write("clients.pem", &strangers.cert);
    wait_for("the new authority counts", || secure.serves(Some(&strangers.client("deploy"))));
    assert!(!secure.serves(Some(&clients.client("deploy"))));
}

#[test]
fn a_client_may_come_without_a_certificate_where_one_is_optional_but_not_with_a_bad_one() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let (good, revoked) = (clients.client("good"), clients.client("revoked"));
    let keys = [
        "tls.client_certificates = 'optional'",
        "tls.client_ca_file = '{}clients.pem'",
        "tls.client_crl_file = '{}revoked.pem'",
    ];
    let secure = secure(
        |files| {
            files.write("clients.pem", &clients.cert);
            files.write("revoked.pem", &clients.revoke(&[&revoked]));
        },
        &keys,
    );
    assert!(secure.serves(None));
    assert!(secure.serves(Some(&good)));
    assert!(!secure.serves(Some(&strangers.client("good"))));
    assert!(!secure.serves(Some(&revoked)));
    secure.files.write("revoked.pem", &clients.revoke(&[&revoked, &good]));
    wait_for("the new list counts", || !secure.serves(Some(&good)));
    assert!(secure.serves(None));
}

#[test]
fn a_client_that_speaks_no_tls_is_told_so() {
    let secure = secure(|_| (), &[]);
    let answer = secure.gateway.ask(&modern_call("1", "echo"));
    assert_eq!((answer.status, answer.json()["error"]["data"]["reason"].as_str()), (400, Some("no_tls")));
    assert!(secure.backend.received().is_empty());
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let secure = secure(|_| (), &["bounds.header_timeout = '300ms'", "tls.max_handshakes = 1"]);
    let mut silent = secure.gateway.connect();
    let mut slow = secure.gateway.connect();
    // The beginning of a handshake record, which says that more follows.
    slow.send(&[22, 3, 1, 0, 200, 1, 0]);
    assert!(silent.is_closed() && slow.is_closed());
    secure.gateway.log.wait("not set up in time", 2);
    // Their place is free again.
    assert!(secure.serves(None));
}

#[test]
fn only_so_many_handshakes_are_under_way() {
    let secure = secure(|_| (), &["tls.max_handshakes = 1", "threads = 1"]);
    let config = secure.authority.trusted_by(None);
    let first = Connection::hello(secure.gateway.addr, "localhost", &config);
    first.await_bytes();
    // The second one's turn comes when the first one is gone.
    let mut second = Connection::hello(secure.gateway.addr, "localhost", &config);
    assert!(second.is_quiet_for(Duration::from_millis(300)));
    drop(first);
    second.await_bytes();
    drop(second);
    assert!(secure.serves(None));
}

#[test]
fn sessions_are_taken_up_again_unless_clients_show_certificates() {
    let again = |secure: &Secure, own: Option<&Issued>| {
        let config = secure.authority.trusted_by(own);
        let connect = || {
            let mut connection = Connection::secure(secure.gateway.addr, "localhost", &config).unwrap();
            connection.send(&modern_call("1", "echo"));
            assert_eq!(connection.answer().status, 200);
            connection.was_resumed()
        };
        (connect(), connect())
    };
    assert_eq!(again(&secure(|_| (), &[]), None), (false, true));
    let clients = Authority::new("clients");
    let keys = ["tls.client_certificates = 'optional'", "tls.client_ca_file = '{}clients.pem'"];
    let asking = secure(|files| drop(files.write("clients.pem", &clients.cert)), &keys);
    assert_eq!(again(&asking, Some(&clients.client("a"))), (false, false));
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let large = Backend::new("a", Kind::Modern, |request, stream| {
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"content\":[],\"more\":\"{}\"}}}}",
            "x".repeat(16 << 20)
        );
        (request.call() == "tools/call").then(|| respond(stream, 200, &[], "application/json", body.as_bytes()))
    });
    let (authority, files) = (Authority::new("servers"), Files::new());
    let [cert, key] = files.pair("server", &authority.server(&["localhost"]));
    let setup = Setup::of(&[large.url()]).key(&format!("tls = {{ cert_file = '{cert}', key_file = '{key}' }}"));
    let gateway = setup.key("bounds.write_timeout = '500ms'").start();
    let mut client = Connection::secure(gateway.addr, "localhost", &authority.trusted_by(None)).unwrap();
    client.send(&modern_call("1", "echo"));
    client.await_bytes();
    wait_for("the connection is closed", || gateway.instance()["connections"] == 0);
    // One that takes it gets it all.
    let mut client = Connection::secure(gateway.addr, "localhost", &authority.trusted_by(None)).unwrap();
    client.send(&modern_call("1", "echo"));
    assert!(client.answer().body.len() > 16 << 20);
}

#[test]
fn header_fields_that_do_not_end_are_refused_over_tls() {
    let secure = secure(|_| (), &["bounds.header_timeout = '300ms'"]);
    let mut slow = secure.connect();
    slow.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
    assert_eq!(slow.answer().status, 408);
}

#[test]
fn listeners_may_differ() {
    let listen = "listen = ['127.0.0.1:0', { addr = '127.0.0.1:0', tls = false }]";
    let secure = secure(|_| (), &[listen]);
    assert!(secure.serves(None));
    let line = secure.gateway.log.wait(" serving ", 1);
    let plain = line.split("127.0.0.1:").nth(2).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let plain = format!("127.0.0.1:{plain}").parse().unwrap();
    assert_eq!(support::ask(plain, &modern_call("1", "echo")).status, 200);
}

#[test]
fn a_certificate_says_who_calls() {
    let clients = Authority::new("clients");
    let keys = [
        "tls.client_certificates = 'optional'",
        "tls.client_ca_file = '{}clients.pem'",
        "auth.mode = 'mtls'",
        "auth.certificate = 'common_name'",
        "auth.identity = 'headers'",
        "limit = [{ name = 'each', rate = '2/h' }]",
        "allow = [{ tools = ['deploy'], callers = ['alice'] }]",
    ];
    let secure = secure(|files| drop(files.write("clients.pem", &clients.cert)), &keys);
    let (alice, bob) = (clients.client("alice"), clients.client("bob"));
    let status = |own: Option<&Issued>, tool: &str| {
        let mut connection = secure.connect_as("localhost", own).unwrap();
        connection.send(&modern_call("1", tool));
        connection.answer().status
    };
    assert_eq!(status(None, "echo"), 403, "HTTP has no challenge for a certificate");
    assert_eq!([status(Some(&alice), "deploy"), status(Some(&bob), "deploy")], [200, 403]);
    assert_eq!(secure.backend.received().len(), 1);
    assert_eq!(secure.backend.received()[0].header("moorline-caller"), Some("alice"));
    // Each has an account of its own, whatever the connection.
    assert_eq!([1, 2].map(|_| status(Some(&alice), "echo")), [200, 429]);
    assert_eq!([1, 2, 3].map(|_| status(Some(&bob), "echo")), [200, 200, 429]);
}
