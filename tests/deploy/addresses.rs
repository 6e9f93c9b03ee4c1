//! TLS ends at the proxy, and the client's address arrives: what counts by address counts the client, not the proxy, and no client
//! can say that it is another.

use std::net::IpAddr;

use crate::fleet::{Client, Outcome};
use crate::front::{Front, Program};
use crate::installation::Installation;
use crate::support::session::{call, initialize};
use crate::support::{Backend, Connection, Received, http, until};

/// Each address may open three sessions.
const LIMIT: &str = "\n[[limit]]\nname = \"each\"\nkey = \"address\"\nrate = \"3/h\"\nmethods = [\"initialize\"]\n";

/// A client that says of itself that it is others.
const LIES: [&str; 2] = ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"];

/// Three servers, and Moorline before them.
fn behind(more: &str) -> ([Backend; 3], Installation) {
    let backends = ["a", "b", "c"].map(Backend::legacy);
    let installation = Installation::start(&backends.each_ref().map(Backend::addr), more);
    (backends, installation)
}

/// The call of a tool, and which server was sent it.
fn sent<'b>(backends: &'b [Backend], tool: &str) -> (&'b Backend, Received) {
    until("the call", || {
        let find =
            |backend: &'b Backend| Some((backend, backend.received().into_iter().find(|one| one.tool() == tool)?));
        backends.iter().find_map(find)
    })
}

fn opens(front: &Front, from: &str) -> Result<(), Outcome> {
    let from: IpAddr = from.parse().unwrap();
    Client::new(front.plain, Some(from), &LIES).begin()
}

#[test]
fn limits_by_address_count_the_client_behind_the_proxy() {
    let (_backends, installation) = behind(LIMIT);
    for (front, network) in [(installation.nginx(Program::Nginx), "127.0.8"), (installation.haproxy(), "127.0.9")] {
        for client in ["1", "2"] {
            let from = format!("{network}.{client}");
            // The limit holds over all instances: each request goes to another one.
            assert_eq!(
                [(); 3].map(|()| opens(&front, &from)),
                [Ok(()), Ok(()), Ok(())],
                "{from} by {:?}",
                front.program
            );
            let refused = opens(&front, &from);
            assert!(format!("{refused:?}").contains("429"), "{from} by {:?}: {refused:?}", front.program);
        }
    }
    let instances = &installation.instances;
    assert!(instances.iter().all(|instance| instance.gateway().access.count("203.0.113.9") == 0));
}

#[test]
fn tls_ends_at_the_proxy_and_servers_hear_of_it() {
    let (backends, installation) = behind("");
    for front in [installation.nginx(Program::Nginx), installation.haproxy()] {
        let mut connection =
            Connection::secure(front.secure, "mcp.example.com", &front.authority.trusted_by(None)).unwrap();
        connection.send(&http::post(&["Host: mcp.example.com", LIES[0], LIES[1]], initialize("1")));
        let answer = connection.answer();
        assert_eq!(answer.status, 200, "{:?}: {}", front.program, answer.text());
        let session = format!("Mcp-Session-Id: {}", answer.header("mcp-session-id").unwrap());
        connection.send(&http::post(&["Host: mcp.example.com", &session], call("2", "who")));
        assert_eq!(connection.answer().status, 200);
        let (backend, seen) = sent(&backends, "who");
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.header("x-forwarded-host"), Some("mcp.example.com"));
        // The client, and the proxy, which is there too.
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1, 127.0.0.1"));
        assert!(!seen.headers.iter().any(|(_, value)| value.contains("203.0.113.9")), "{:?}", seen.headers);
        backend.forget_received();
    }
}

#[test]
fn a_client_that_hangs_up_is_gone_for_the_server_too() {
    let (backends, installation) = behind("\n[stream]\nheartbeat = \"off\"\n");
    for front in [installation.nginx(Program::Nginx), installation.haproxy()] {
        let mut connection =
            Connection::secure(front.secure, "mcp.example.com", &front.authority.trusted_by(None)).unwrap();
        connection.send(&http::post(&["Host: mcp.example.com"], initialize("1")));
        let session = format!("Mcp-Session-Id: {}", connection.answer().header("mcp-session-id").unwrap());
        // The server never answers this.
        connection.send(&http::post(&["Host: mcp.example.com", &session], call("2", "hang")));
        let (backend, _) = sent(&backends, "hang");
        drop(connection);
        // The server sees its own connection end, within the deadline.
        backend.hangup();
        backend.forget_received();
    }
}
