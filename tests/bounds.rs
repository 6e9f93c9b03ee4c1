//! What one client may cost: each bound ends in its refusal, is counted, and is free again when its holder goes.

mod support;

use support::backend::Backend;
use support::http::{get, post};
use support::session::call;
use support::{Answer, Gateway, Session, Setup, golden, wait_for};

fn count(gateway: &Gateway, line: &str) -> u64 {
    let text = gateway.admin("/metrics").text();
    let found = text.lines().find_map(|one| one.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or(0)
}

fn golden_refusal(name: &str, answer: &Answer) {
    let kept = ["content-type", "retry-after", "allow"];
    let headers = kept.iter().filter_map(|name| Some(format!("{name}: {}\n", answer.header(name)?)));
    let text = format!("{}\n{}\n{}\n", answer.status, headers.collect::<String>(), answer.text().trim_end());
    golden(&format!("refusals/{name}.txt"), &text);
}

#[test]
fn more_connections_than_an_address_may_have() {
    let backend = Backend::stateless("a");
    let gateway = Setup::of(&[backend.url()]).key("bounds.max_connections_per_address = 2").start();
    let held: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    wait_for("both are counted", || gateway.instance()["connections"] == 2);
    let mut third = gateway.connect();
    golden_refusal("too_many_of_address", &third.answer());
    assert!(third.is_closed());
    assert_eq!(count(&gateway, "moorline_connections_refused_total{reason=\"too_many_of_address\"}"), 1);
    drop(held);
    wait_for("somebody has gone", || gateway.instance()["connections"] == 0);
    assert_eq!(gateway.ask(&post(&[], call("1", "name"))).status, 200);
}

#[test]
fn a_trusted_proxy_may_have_any_number_of_connections() {
    let backend = Backend::stateless("a");
    let setup = Setup::of(&[backend.url()]).key("bounds.max_connections_per_address = 1");
    let gateway = setup.key("trusted_proxies = [\"127.0.0.1\"]").start();
    let _held: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    wait_for("all are counted", || gateway.instance()["connections"] == 3);
    assert_eq!(gateway.ask(&post(&[], call("1", "name"))).status, 200);
}

#[test]
fn the_last_request_of_a_connection() {
    let backend = Backend::stateless("a");
    let gateway = Setup::of(&[backend.url()]).key("bounds.max_requests_per_connection = 2").start();
    let mut connection = gateway.connect();
    connection.send(&post(&[], call("1", "name")));
    assert_eq!(connection.answer().header("connection"), None);
    connection.send(&post(&[], call("2", "name")));
    let answer = connection.answer();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(connection.is_closed());
}

#[test]
fn more_streams_than_a_caller_may_have() {
    let backend = Backend::legacy("a");
    let gateway = Setup::of(&[backend.url()]).key("bounds.max_listen_streams_per_caller = 1").start();
    let [one, other] = [(); 2].map(|()| Session::open(gateway.addr));
    let mut first = gateway.connect();
    first.send(&one.listen(&[]));
    assert_eq!(first.head().status, 200);
    golden_refusal("too_many_streams", &gateway.ask(&other.listen(&[])));
    assert_eq!(count(&gateway, "moorline_refusals_total{reason=\"too_many_streams\"}"), 1);
    drop(first);
    wait_for("the stream has ended", || {
        let mut second = gateway.connect();
        second.send(&other.listen(&[]));
        second.head().status == 200
    });
}

#[test]
fn what_is_refused_is_counted() {
    let backend = Backend::stateless("a");
    let gateway = Setup::of(&[backend.url()]).start();
    gateway.ask(&post(&[], "{"));
    gateway.ask(&post(&[], "{"));
    gateway.ask(&get("/mcp", &["Accept: application/json"]));
    let mut garbage = gateway.connect();
    garbage.send(b"\x16\x03\x01\r\n\r\n");
    assert_eq!(garbage.answer().status, 400);
    assert_eq!(count(&gateway, "moorline_refusals_total{reason=\"not_json\"}"), 2);
    assert_eq!(count(&gateway, "moorline_refusals_total{reason=\"not_acceptable\"}"), 1);
    wait_for("hyper's own refusal is counted", || {
        count(&gateway, "moorline_connections_refused_total{reason=\"bad_http\"}") == 1
    });
    let metrics = gateway.admin("/metrics");
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
}
