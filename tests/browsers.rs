//! Pages in browsers: who may ask (`Host`, `Origin`), what Moorline says of it (CORS), and what is left to the backends.

mod support;

use support::backend::{Backend, Kind, respond};
use support::http::{post, request};
use support::session::{call, initialize};
use support::{Answer, Setup};

const APP: &str = "Origin: https://app.example";

fn preflight(more: &[&str]) -> Vec<u8> {
    request("OPTIONS /mcp", &[&["Access-Control-Request-Method: POST"], more].concat(), b"")
}

fn lists(answer: &Answer, field: &str, names: &[&str]) {
    let list = answer.header(field).unwrap_or_default().to_ascii_lowercase();
    let missing: Vec<_> = names.iter().filter(|name| !list.split(", ").any(|one| one == **name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {list}");
}

#[test]
fn a_preflight_is_answered_for_allowed_origins_and_reaches_nobody() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("allowed_origins = [\"https://app.example\"]").start();
    let answer = gateway.ask(&preflight(&[APP, "Access-Control-Request-Headers: content-type,mcp-param-region,x y"]));
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(answer.header("access-control-max-age").is_some());
    lists(&answer, "access-control-allow-methods", &["get", "post", "delete", "options"]);
    let sent = ["authorization", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"];
    lists(&answer, "access-control-allow-headers", &sent);
    lists(&answer, "access-control-allow-headers", &["last-event-id", "traceparent", "mcp-param-region"]);
    let foreign = gateway.ask(&preflight(&["Origin: https://evil.example"]));
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (403, None));
    assert!(backend.received().is_empty());
}

#[test]
fn answers_and_refusals_can_be_read_by_pages_of_allowed_origins() {
    let backend = Backend::new("a", Kind::Legacy, |request, stream| {
        // What the backend thinks of it does not count.
        let own = [
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Mcp-Session-Id", "x"),
        ];
        let result = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"serverInfo\":{\"name\":\"a\",\"version\":\"1\"}}}";
        (request.call() == "initialize").then(|| respond(stream, 200, &own, "application/json", result.as_bytes()))
    });
    let gateway = Setup::of(&[backend.url()]).key("allowed_origins = [\"https://app.example\"]").start();
    for (body, status) in [(initialize("1"), 200), (call("1", "name"), 400), ("{".to_owned(), 400)] {
        let answer = gateway.ask(&post(&[APP], body));
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        lists(
            &answer,
            "access-control-expose-headers",
            &["mcp-session-id", "www-authenticate", "moorline-cache", "retry-after", "ratelimit"],
        );
    }
    let nobody = gateway.ask(&post(&[], initialize("1")));
    assert_eq!((nobody.status, nobody.header("access-control-allow-origin")), (200, None));
    assert_eq!(nobody.header("vary"), Some("Origin"));
}

#[test]
fn where_no_origin_is_configured_the_backend_judges_preflights() {
    let backend = Backend::new("a", Kind::Legacy, |request, stream| {
        let own = [("Access-Control-Allow-Origin", "http://localhost:5173")];
        (request.method == "OPTIONS").then(|| respond(stream, 204, &own, "text/plain", b""))
    });
    let gateway = Setup::of(&[backend.url()]).start();
    let answer = gateway.ask(&preflight(&["Origin: http://localhost:5173"]));
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some("http://localhost:5173")));
    assert_eq!(backend.received().len(), 1);
}

#[test]
fn beyond_loopback_an_origin_is_the_requests_own_host_or_configured() {
    let backend = Backend::stateless("a");
    let gateway = Setup::of(&[backend.url()]).key("listen = \"0.0.0.0:0\"").start();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.addr.port()));
    let ask = |host: &str, origin: &str| support::ask(addr, &post(&[host, origin], call("1", "name"))).status;
    assert_eq!(ask("Host: mcp.example", "Origin: https://mcp.example"), 200);
    assert_eq!(ask("Host: mcp.example", "Origin: https://evil.example"), 403);
    assert_eq!(backend.received().len(), 1);
}

#[test]
fn hosts_are_held_to_what_is_configured_on_every_listener() {
    let backend = Backend::stateless("a");
    let setup = Setup::of(&[backend.url()]).key("listen = \"0.0.0.0:0\"");
    let gateway = setup.key("allowed_hosts = [\"mcp.example\"]").start();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.addr.port()));
    let ask = |host: &str| support::ask(addr, &post(&[host], call("1", "name"))).status;
    assert_eq!((ask("Host: mcp.example:8080"), ask("Host: evil.example"), ask("Host: localhost")), (200, 403, 403));
}
