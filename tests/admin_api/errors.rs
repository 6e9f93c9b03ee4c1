//! How the API says no.

use crate::support::http::{ask, get, request};
use crate::support::{Backend, Connection, Gateway, Setup};
use crate::{problem, send};

fn gateway() -> (Backend, Gateway) {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).start();
    (backend, gateway)
}

#[test]
fn what_is_not_there_is_404() {
    let (_backend, gateway) = gateway();
    for path in
        ["/backends", "/api", "/api/v1", "/api/v1/", "/api/v2/instance", "/api/v1/instance/", "/api/v1/limits/a/b"]
    {
        assert_eq!(problem(&gateway.admin(path)), (404, "unknown_path".into()), "{path}");
    }
    for (line, reason) in [
        ("GET /api/v1/backends/0123456789abcdef", "unknown_backend"),
        ("GET /api/v1/backends/x", "unknown_backend"),
        ("POST /api/v1/backends/x/drain", "unknown_backend"),
        ("GET /api/v1/backends?pool=none", "unknown_pool"),
        ("GET /api/v1/sessions?pool=none", "unknown_pool"),
        ("GET /api/v1/sessions/0123456789abcdef0123456789abcdef", "unknown_session"),
        ("DELETE /api/v1/sessions/0123456789abcdef0123456789abcdef", "unknown_session"),
        ("POST /api/v1/sessions/0123456789abcdef0123456789abcdef/move", "unknown_session"),
        ("POST /api/v1/limits/none/lift", "unknown_limit"),
    ] {
        assert_eq!(problem(&send(&gateway, line, "")), (404, reason.into()), "{line}");
    }
}

#[test]
fn a_method_that_a_path_does_not_take_is_405_with_those_that_it_does() {
    let (_backend, gateway) = gateway();
    for (line, allowed) in [
        ("DELETE /api/v1/instance", "GET,HEAD"),
        ("POST /api/v1/sessions/x", "GET,HEAD,DELETE"),
        ("GET /api/v1/cache/purge", "POST"),
        ("PUT /api/v1/backends/x/drain", "POST"),
        ("OPTIONS /metrics", "GET,HEAD"),
        ("TRACE /livez", "GET,HEAD"),
        ("PROPFIND /readyz", "GET,HEAD"),
    ] {
        let answer = send(&gateway, line, "");
        assert_eq!(problem(&answer), (405, "unknown_method".into()), "{line}");
        assert_eq!(answer.header("allow"), Some(allowed), "{line}");
    }
}

#[test]
fn what_cannot_be_understood_is_400() {
    let (_backend, gateway) = gateway();
    for line in [
        "GET /api/v1/sessions?most=0",
        "GET /api/v1/sessions?most=501",
        "GET /api/v1/sessions?most=-1",
        "GET /api/v1/sessions?most=ten",
        "GET /api/v1/sessions?most=1&most=2",
        "GET /api/v1/sessions?mots=1",
        "GET /api/v1/sessions?after=x",
        "GET /api/v1/sessions?backend=x",
        "GET /api/v1/sessions?backend=+123456789abcdef",
        "GET /api/v1/sessions/x",
        "DELETE /api/v1/sessions/+123456789abcdef0123456789abcdef",
        "GET /api/v1/limits?top=65",
        "GET /api/v1/limits?subject=%zz",
        "GET /api/v1/limits?subject=%ff",
        "GET /api/v1/tools?most=0",
        "GET /api/v1/callers?most=1000",
        "GET /api/v1/backends/%ff",
    ] {
        assert_eq!(problem(&send(&gateway, line, "")), (400, "malformed".into()), "{line}");
    }
    let id = "0123456789abcdef0123456789abcdef";
    for (path, body) in [
        ("/api/v1/cache/purge".to_owned(), "[]"),
        ("/api/v1/cache/purge".to_owned(), "{\"all\":1}"),
        ("/api/v1/cache/purge".to_owned(), "{\"all\":true,\"all\":true}"),
        ("/api/v1/cache/purge".to_owned(), "{\"sessions\":[\"x\"]}"),
        ("/api/v1/cache/purge".to_owned(), "\u{0}"),
        ("/api/v1/limits/a/lift".to_owned(), "{\"subject\":1}"),
        (format!("/api/v1/sessions/{id}/move"), "{\"backend\":\"x\"}"),
        (format!("/api/v1/sessions/{id}/move"), "{\"to\":\"x\"}"),
        (format!("/api/v1/sessions/{id}/move"), "{\"backend\":null}"),
    ] {
        assert_eq!(problem(&gateway.order(&path, body)), (400, "malformed".into()), "{path} {body}");
    }
    let many: Vec<String> = (0..257).map(|number| format!("\"{number}\"")).collect();
    let many = gateway.order("/api/v1/cache/purge", &format!("{{\"tags\":[{}]}}", many.join(",")));
    assert_eq!(problem(&many), (400, "malformed".into()));
}

#[test]
fn a_body_is_json_and_not_endless() {
    let (_backend, gateway) = gateway();
    let purge = |kind: &[&str], body: &[u8]| ask(gateway.admin, &request("POST /api/v1/cache/purge", kind, body));
    let all = b"{\"all\":true}";
    assert_eq!(problem(&purge(&["Content-Type: text/plain"], all)), (415, "not_json".into()));
    assert_eq!(problem(&purge(&[], all)), (415, "not_json".into()));
    assert_eq!(purge(&["Content-Type: application/json; charset=utf-8"], all).status, 204);
    let large = format!("{{\"tags\":[\"{}\"]}}", "x".repeat(64 * 1024));
    assert_eq!(problem(&purge(&["Content-Type: application/json"], large.as_bytes())), (413, "body_too_large".into()));
    // Declared, or in chunks, or of no declared end.
    let mut connection = Connection::to(gateway.admin);
    connection.send(b"POST /api/v1/cache/purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    (0..5).for_each(|_| {
        connection.offer(chunk.as_bytes());
    });
    assert_eq!(problem(&connection.answer()), (413, "body_too_large".into()));
}

#[test]
fn every_answer_tells_browsers_to_run_nothing_of_it() {
    let (_backend, gateway) = gateway();
    for path in ["/api/v1/instance", "/none", "/metrics", "/livez"] {
        let answer = ask(gateway.admin, &get(path, &[]));
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
}
