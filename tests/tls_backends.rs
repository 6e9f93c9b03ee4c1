//! TLS towards backends, with the real binary and servers behind a real handshake: whom it trusts, what it shows, and that
//! nothing is sent to a server that is not who it should be.

mod support;

use support::backend::{After, Kind, Received, open_stream, respond};
use support::session::{Session, modern_call};
use support::tls::{Authority, Files, Front, Issued, Wanted};
use support::{Backend, Gateway, Setup, wait_for};

/// `https://localhost:PORT/mcp`.
fn url(front: &Front) -> String {
    format!("https://localhost:{}/mcp", front.addr.port())
}

/// One server behind TLS, and a gateway that trusts the authority in `ca.pem`.
struct World {
    authority: Authority,
    files: Files,
    backend: Backend,
    front: Front,
    gateway: Gateway,
}

fn world(shows: impl FnOnce(&Authority) -> Issued, keys: &[&str]) -> World {
    world_of(shows, None, keys)
}

/// The same where the server asks for certificates.
fn world_of(shows: impl FnOnce(&Authority) -> Issued, clients: Option<&Authority>, keys: &[&str]) -> World {
    let (authority, files, backend) = (Authority::new("backends"), Files::new(), Backend::modern("a"));
    let front = Front::of(backend.addr(), &shows(&authority), clients);
    let ca = files.write("ca.pem", &authority.cert);
    let mut setup = Setup::of(&[url(&front)]).key("threads = 1").pool_key(&format!("tls.ca_file = '{ca}'"));
    // Probes go on only where a test asks for them.
    let probed = keys.iter().any(|key| key.starts_with("health"));
    for line in keys.iter().copied().chain((!probed).then_some("health.every = '1h'")) {
        setup = setup.pool_key(line);
    }
    World { gateway: setup.start(), authority, files, backend, front }
}

impl World {
    fn call(&self) -> u16 {
        self.gateway.ask(&modern_call("1", "echo")).status
    }

    /// The call is refused, the log says why, and the server has seen none of it.
    fn refuses(&self, why: &str) {
        let before = self.backend.received().len();
        let answer = self.gateway.ask(&modern_call("1", "echo"));
        assert_eq!((answer.status, answer.json()["error"]["code"].as_i64()), (503, Some(503)), "{}", answer.text());
        let line = self.gateway.log.wait("nothing was sent", 1);
        assert!(line.contains(why), "{line}");
        assert_eq!(self.backend.received().len(), before);
    }
}

#[test]
fn requests_share_a_connection_over_tls() {
    let world = world(|authority| authority.server(&["localhost"]), &[]);
    for _ in 0..3 {
        assert_eq!(world.call(), 200);
    }
    let received = world.backend.received();
    assert_eq!(received.iter().map(|request| request.connection).collect::<Vec<_>>(), vec![received[0].connection; 3]);
    assert_eq!(received[0].header("host"), Some(format!("localhost:{}", world.front.addr.port()).as_str()));
}

#[test]
fn large_bodies_pass_both_ways() {
    let echo = |request: &Received, stream: &mut std::net::TcpStream| {
        (request.call() == "tools/call").then(|| {
            let id = request.json()["id"].clone();
            let body = serde_json::json!({"jsonrpc": "2.0", "id": id, "result": {"content": [], "_meta": {"all": request.json()["params"]["arguments"]}}});
            respond(stream, 200, &[], "application/json", body.to_string().as_bytes())
        })
    };
    let (authority, files, backend) = (Authority::new("backends"), Files::new(), Backend::new("a", Kind::Modern, echo));
    let front = Front::of(backend.addr(), &authority.server(&["localhost"]), None);
    let ca = files.write("ca.pem", &authority.cert);
    let gateway = Setup::of(&[url(&front)]).pool_key(&format!("tls.ca_file = '{ca}'")).start();
    let text = "x".repeat(3 << 20);
    for id in ["1", "2"] {
        let params = format!("\"name\":\"echo\",\"arguments\":{{\"text\":\"{text}\"}}");
        let answer = gateway.ask(&support::session::modern("/mcp", &[], (id, "tools/call"), &params));
        assert_eq!(answer.json()["result"]["_meta"]["all"]["text"].as_str().map(str::len), Some(text.len()));
    }
}

#[test]
fn a_server_may_refuse_a_large_body_before_it_has_read_it() {
    let (authority, files) = (Authority::new("backends"), Files::new());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let front = Front::of(listener.local_addr().unwrap(), &authority.server(&["localhost"]), None);
    let hold = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        // The first connection is a probe's, on which nothing is said.
        let mut accepted = listener.incoming().map(Result::unwrap);
        let mut stream =
            accepted.find_map(|mut stream| stream.read_exact(&mut [0; 100]).is_ok().then_some(stream)).unwrap();
        stream
            .write_all(
                b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}",
            )
            .unwrap();
        // It reads no further, and stays.
        std::thread::park_timeout(support::DEADLINE);
    });
    let ca = files.write("ca.pem", &authority.cert);
    let setup = Setup::of(&[url(&front)]).pool_key(&format!("tls.ca_file = '{ca}'")).pool_key("health.every = '1h'");
    let gateway = setup.key("bounds.max_body = '64MiB'").pool_key("response_timeout = '10s'").start();
    let params = format!("\"name\":\"echo\",\"arguments\":{{\"text\":\"{}\"}}", "x".repeat(32 << 20));
    let answer = gateway.ask(&support::session::modern("/mcp", &[], ("1", "tools/call"), &params));
    assert_eq!(answer.status, 413, "{}", answer.text());
    hold.thread().unpark();
}

#[test]
fn events_pass_as_they_come() {
    let hook = |request: &Received, stream: &mut std::net::TcpStream| {
        (request.call() == "tools/call").then(|| {
            use std::io::Write as _;
            open_stream(stream, &[]);
            let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}}\n\n";
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).unwrap();
            After::AwaitHangup
        })
    };
    let (authority, files, backend) = (Authority::new("backends"), Files::new(), Backend::new("a", Kind::Modern, hook));
    let front = Front::of(backend.addr(), &authority.server(&["localhost"]), None);
    let ca = files.write("ca.pem", &authority.cert);
    let gateway = Setup::of(&[url(&front)]).pool_key(&format!("tls.ca_file = '{ca}'")).start();
    let mut client = gateway.connect();
    client.send(&modern_call("1", "echo"));
    assert_eq!(client.head().status, 200);
    assert!(client.event().unwrap().contains("notifications/message"));
    drop(client);
    backend.hangup();
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let world = world(|authority| authority.server(&["other.example"]), &[]);
    world.refuses("not valid for name");
}

#[test]
fn a_certificate_may_bear_the_name_that_the_configuration_says() {
    let world = world(|authority| authority.server(&["mcp.internal"]), &["tls.server_name = 'mcp.internal'"]);
    assert_eq!(world.call(), 200);
}

#[test]
fn a_certificate_that_has_run_out_is_refused() {
    let old = |authority: &Authority| {
        authority.sign(&Wanted { names: &["localhost"], has_run_out: true, ..Wanted::default() })
    };
    world(old, &[]).refuses("expired");
}

#[test]
fn a_certificate_of_a_strange_authority_is_refused_until_the_file_names_it() {
    let stranger = Authority::new("strangers");
    let world = world(|_| stranger.server(&["localhost"]), &[]);
    world.refuses("UnknownIssuer");
    world.files.write("ca.pem", &stranger.cert);
    world.gateway.log.wait("were read again", 1);
    wait_for("the server is used", || world.call() == 200);
}

#[test]
fn a_server_that_speaks_no_tls_is_refused() {
    let (authority, files) = (Authority::new("backends"), Files::new());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        for stream in listener.incoming() {
            // The other end may have hung up.
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let ca = files.write("ca.pem", &authority.cert);
    let setup = Setup::of(&[format!("https://localhost:{port}/mcp")]);
    let gateway = setup.pool_key(&format!("tls.ca_file = '{ca}'")).start();
    assert_eq!(gateway.ask(&modern_call("1", "echo")).status, 503);
    gateway.log.wait("TLS handshake failed", 1);
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_ours_and_its_renewal() {
    let clients = Authority::new("clients");
    let keys = ["tls.client_cert_file = '{}own.crt'", "tls.client_key_file = '{}own.key'"];
    let files = Files::new();
    files.pair("own", &clients.client("moorline"));
    let folder = files.path("").display().to_string();
    let keys = keys.map(|key| key.replace("{}", &folder));
    let keys = keys.each_ref().map(String::as_str);
    let shows = |authority: &Authority| authority.server(&["localhost"]);
    let world = world_of(shows, Some(&clients), &keys);
    assert_eq!(world.call(), 200);
    // The server trusts others now: whoever has a connection keeps it, whoever comes anew must show the new one.
    let others = Authority::new("others");
    world.front.show(&world.authority.server(&["localhost"]), Some(&others));
    files.pair("own", &others.client("moorline"));
    world.gateway.log.wait("were read again", 1);
    wait_for("the new certificate is shown", || world.call() == 200);
}

#[test]
fn a_server_that_refuses_our_certificate_has_executed_nothing() {
    // Over TLS 1.3 the refusal comes after our side of the handshake, when the request is out already.
    let clients = Authority::new("clients");
    let shows = |authority: &Authority| authority.server(&["localhost"]);
    let world = world_of(shows, Some(&clients), &[]);
    world.refuses("CertificateRequired");
}

#[test]
fn a_server_may_change_its_certificate_at_any_time() {
    let world = world(|authority| authority.server(&["localhost"]), &["idle_timeout = '0s'"]);
    assert_eq!(world.call(), 200);
    world.front.show(&world.authority.server(&["localhost"]), None);
    assert_eq!(world.call(), 200);
    let used = world.backend.received();
    assert_ne!(used[0].connection, used[1].connection);
}

#[test]
fn probes_of_every_kind_shake_hands() {
    let up = |gateway: &Gateway| gateway.backends()[0]["state"] == "up";
    for kind in ["tcp", "http", "mcp"] {
        let keys = [format!("health.kind = '{kind}'"), "health.path = '/mcp'".to_owned()];
        let fast = [
            "health.every = '20ms'",
            "health.eject_after = 2",
            "health.eject_for = '20ms'",
            "health.recover_after = 1",
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).chain(fast).collect();
        let world = world(|authority| authority.server(&["localhost"]), &keys);
        assert!(up(&world.gateway), "{kind}");
        world.front.show(&world.authority.server(&["other.example"]), None);
        wait_for("the probes find it", || !up(&world.gateway));
        let line = world.gateway.log.wait("nothing was sent", 1);
        assert!(line.contains("https://localhost") && line.contains("not valid for name"), "{line}");
        world.front.show(&world.authority.server(&["localhost"]), None);
        wait_for("it is used again", || up(&world.gateway));
    }
}

#[test]
fn http2_is_agreed_upon_over_tls() {
    let world = world(|authority| authority.server(&["localhost"]), &[]);
    // A second gateway as the server: it speaks HTTP/2 over TLS with the first one.
    let [cert, key] = world.files.pair("inner", &world.authority.server(&["localhost"]));
    let inner =
        Setup::of(&[world.backend.url()]).key(&format!("tls = {{ cert_file = '{cert}', key_file = '{key}' }}")).start();
    let ca = world.files.path("ca.pem").display().to_string();
    let outer = |port: u16| {
        let setup = Setup::of(&[format!("https://localhost:{port}/mcp")]).pool_key(&format!("tls.ca_file = '{ca}'"));
        setup.pool_key("http_version = '2'").start()
    };
    let two = outer(inner.addr.port());
    for _ in 0..2 {
        let answer = two.ask(&modern_call("1", "echo"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(world.backend.received()[0].header("x-forwarded-proto"), Some("https"));
    // The front speaks HTTP/1.1 alone.
    let one = outer(world.front.addr.port());
    assert_eq!(one.ask(&modern_call("1", "echo")).status, 503);
    one.log.wait("TLS handshake failed", 1);
}

#[test]
fn a_session_moves_to_another_server_over_tls() {
    let (authority, files) = (Authority::new("backends"), Files::new());
    let backends = ["a", "b"].map(Backend::legacy);
    let mut fronts =
        backends.each_ref().map(|backend| Some(Front::of(backend.addr(), &authority.server(&["localhost"]), None)));
    let ca = files.write("ca.pem", &authority.cert);
    let urls = fronts.each_ref().map(|front| url(front.as_ref().unwrap()));
    let gateway = Setup::of(&urls).pool_key(&format!("tls.ca_file = '{ca}'")).start();
    let session = Session::open(gateway.addr);
    let first = session.call("name").said();
    let lost = usize::from(first == "b");
    backends[lost].kill();
    fronts[lost] = None;
    let second = session.call("name").said();
    assert_ne!(first, second);
}
