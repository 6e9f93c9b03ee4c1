//! Clients that take their time: over a head, over a body, over an answer, over nothing at all.

use std::time::Duration;

use crate::frames::{DATA, END_HEADERS, HEADERS, Http2, Outcome, head};
use crate::scene::{Case, Scene};
use crate::support::http::post;
use crate::support::session::call;
use crate::support::{Connection, now, wait_for};

/// With bounds of a second and less, whoever is still there after this has not been noticed.
const LONG: Duration = Duration::from_secs(8);

/// Sends a byte now and then until the other end has had enough, and says what it was told.
fn dribble(connection: &mut Connection, bytes: &[u8]) {
    let begun = now();
    let taken = bytes.iter().cycle().take_while(|byte| {
        std::thread::sleep(Duration::from_millis(50));
        connection.offer(&[**byte]) && begun.elapsed() < LONG
    });
    let _ = taken.count();
    assert!(begun.elapsed() < LONG, "the connection is still taken");
}

fn closes(mut is_closed: impl FnMut() -> bool) {
    let begun = now();
    wait_for("the connection is closed", &mut is_closed);
    assert!(begun.elapsed() < LONG, "closed too late");
}

pub fn cases() -> Vec<Case> {
    [heads(), bodies(), readers(), frames()].into_iter().flatten().collect()
}

fn heads() -> Vec<Case> {
    vec![
        Case::new("a client that says nothing", 0, |scene| {
            let mut connection = scene.connect();
            closes(|| connection.is_closed());
        }),
        Case::new("a head that dribbles", 0, |scene| {
            let mut connection = scene.connect();
            connection.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
            dribble(&mut connection, b"X: y\r\n");
        }),
        Case::new("a head that stops", 0, |scene| {
            let mut connection = scene.connect();
            connection.send(b"POST /mcp HTTP/1.1\r\nHost: loc");
            assert_eq!(connection.answer().status, 408);
            assert!(connection.is_closed());
        }),
        Case::new("empty lines that dribble", 0, |scene| {
            let mut connection = scene.connect();
            dribble(&mut connection, b"\r\n");
        }),
        Case::new("half a preface that stops", 0, |scene| {
            let mut connection = scene.connect();
            connection.send(b"PR");
            closes(|| connection.is_closed());
        }),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        Case::new("a body that stops", 0, |scene| {
            let mut connection = scene.connect();
            let whole = post(&[], call("1", "name"));
            connection.send(&whole[..whole.len() - 5]);
            assert_eq!(connection.answer().status, 408);
        }),
        Case::new("a body that dribbles in chunks", 0, |scene| {
            let mut connection = scene.connect();
            connection.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
            dribble(&mut connection, b"1\r\n \r\n");
        }),
        Case::new("a chunk of 2⁶⁴−1 bytes", 0, |scene| {
            let mut connection = scene.connect();
            connection.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}");
            assert_eq!(connection.answer().status, 408);
        }),
    ]
}

fn readers() -> Vec<Case> {
    vec![
        Case::new("a connection that is kept for nothing", 1, |scene| {
            let mut connection = scene.connect();
            connection.send(&post(&[], call("1", "name")));
            assert_eq!(connection.answer().status, 200);
            closes(|| connection.is_closed());
        }),
        Case::new("a reader who takes nothing", 1, |scene| {
            let mut connection = scene.connect();
            connection.send(&post(&[], call("1", "large")));
            assert_eq!(connection.head().status, 200);
            std::thread::sleep(Duration::from_secs(4));
            assert!(!connection.ended_well(), "sixteen megabytes were kept for it");
        }),
        Case::new("a reader in HTTP/2 who opens no window", 1, |scene| no_window(scene, 0)),
        Case::new("a reader in HTTP/2 who takes a byte", 1, |scene| no_window(scene, 1)),
    ]
}

fn frames() -> Vec<Case> {
    vec![
        Case::new("an HTTP/2 client that says nothing", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            let begun = now();
            http.end();
            assert!(begun.elapsed() < LONG);
        }),
        Case::new("a head in HTTP/2 that stops", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.put(HEADERS, 0, 1, &head(&[]));
            let begun = now();
            http.end();
            assert!(begun.elapsed() < LONG);
        }),
        Case::new("a body in HTTP/2 that stops", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.put(HEADERS, END_HEADERS, 1, &head(&[]));
            http.put(DATA, 0, 1, b"{");
            assert_eq!(http.outcome(1), Outcome::Status(408));
        }),
        Case::new("an HTTP/2 client that only pings", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            let begun = now();
            while http.put(crate::frames::PING, 0, 0, &[1; 8]) && begun.elapsed() < LONG {
                std::thread::sleep(Duration::from_millis(50));
            }
            assert!(begun.elapsed() < LONG, "pings keep it open");
        }),
    ]
}

/// `SETTINGS_INITIAL_WINDOW_SIZE` says how much of an answer may come.
fn no_window(scene: &Scene, window: u32) {
    let mut http = Http2::open_with(scene.gateway.addr, &[(4, window)]);
    http.ask(1, &[], &call("1", "large"));
    assert_eq!(http.outcome(1), Outcome::Status(200));
    let begun = now();
    http.end();
    assert!(begun.elapsed() < LONG, "the answer is kept for ever");
}
