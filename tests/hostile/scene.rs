//! One instance, one backend that writes down all that reaches it, and what a case of the table is.
#![allow(dead_code, reason = "each test takes the part that it needs")]

use std::time::Duration;

use crate::support::backend::Kind;
use crate::support::http::post;
use crate::support::session::call;
use crate::support::{Backend, Connection, Gateway, Received, Setup, wait_for};

/// One hostile request, or a conversation of them.
pub struct Case {
    pub name: &'static str,
    /// How many requests reach the backend.
    pub reaches: usize,
    pub run: Box<dyn Fn(&Scene) + Send + Sync>,
}

impl Case {
    pub fn new(name: &'static str, reaches: usize, run: impl Fn(&Scene) + Send + Sync + 'static) -> Self {
        Self { name, reaches, run: Box::new(run) }
    }

    /// Bytes on an HTTP/1 connection, the statuses that answer them, and what becomes of the connection.
    pub fn raw(name: &'static str, bytes: Vec<u8>, statuses: &'static [u16], end: End, reaches: usize) -> Self {
        let reaches = reaches + usize::from(end == End::Kept);
        Self::new(name, reaches, move |scene| {
            let mut connection = scene.gateway.connect();
            connection.offer(&bytes);
            for status in statuses {
                let answer = connection.answer();
                assert_eq!(answer.status, *status, "{name}: {}", answer.text());
            }
            match end {
                End::Closed => assert!(connection.is_closed(), "{name}: the connection goes on"),
                End::Kept => {
                    connection.send(&honest());
                    assert_eq!(connection.answer().status, 200, "{name}: the connection is spoilt");
                }
            }
        })
    }
}

/// Bounds that end within the patience of a test.
const HURRIED: [&str; 5] = [
    "bounds.first_byte_timeout = \"700ms\"",
    "bounds.header_timeout = \"700ms\"",
    "bounds.body_timeout = \"700ms\"",
    "bounds.idle_timeout = \"1s\"",
    "bounds.write_timeout = \"1s\"",
];

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    /// An honest request on it is served as if nothing had been.
    Kept,
}

/// A request that is served.
pub fn honest() -> Vec<u8> {
    post(&[], call("1", "name"))
}

pub struct Scene {
    pub gateway: Gateway,
    pub backend: Backend,
}

impl Scene {
    /// With the usual bounds.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With bounds that end within the patience of a test.
    pub fn hurried() -> Self {
        Self::with(&HURRIED)
    }

    /// The same, with a pool of its own for another server at `/legacy`, and with sessions that live for two minutes: their tombstones
    /// come and go.
    pub fn lasting(other: &Backend) -> Self {
        let keys = [&HURRIED[..], &["session.lifetime = \"2m\"", "session.idle = \"1m\""]].concat();
        Self::start(&keys, |setup| setup.pool("/legacy", &[other.url()]))
    }

    fn with(keys: &[&str]) -> Self {
        Self::start(keys, |setup| setup)
    }

    fn start(keys: &[&str], more: impl Fn(Setup) -> Setup) -> Self {
        let backend = Backend::new("a", Kind::Stateless, crate::responses::answer);
        let setup = Setup::of(&[backend.url()]).key("bounds.max_body = \"256KiB\"").key("log.level = \"info\"");
        let setup = keys.iter().fold(setup, |setup, key| setup.key(key));
        Self { gateway: more(setup).start(), backend }
    }

    pub fn run(&self, case: &Case) {
        let before = self.reached();
        (case.run)(self);
        let reached = self.backend.received().split_off(before);
        assert_eq!(reached.len(), case.reaches, "{}: {reached:?}", case.name);
        assert!(!reached.iter().any(is_smuggled), "{}: {reached:?}", case.name);
    }

    /// Whether a case goes as its row says; why not is printed.
    pub fn holds(&self, case: &Case) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run(case))).is_ok()
    }

    /// How many requests have reached the backend.
    pub fn reached(&self) -> usize {
        self.backend.received().len()
    }

    pub fn serves_normally(&self) {
        let answer = self.gateway.ask(&honest());
        assert_eq!((answer.status, answer.said().as_str()), (200, "a"));
    }

    /// Waits until no client's connection is left.
    pub fn is_at_rest(&self) {
        wait_for("all connections are closed", || self.gateway.instance()["connections"] == 0);
        // Those to the backend are kept for a while too.
        let mut last = 0;
        wait_for("the descriptors stay the same", || {
            let now = self.gateway.descriptors();
            std::thread::sleep(Duration::from_millis(250));
            std::mem::replace(&mut last, now) == now
        });
    }

    /// Waits until no more descriptors are open than there were.
    pub fn has_given_back(&self, descriptors: usize) {
        wait_for("all descriptors are given back", || self.gateway.descriptors() <= descriptors);
    }

    pub fn connect(&self) -> Connection {
        self.gateway.connect()
    }
}

fn is_smuggled(request: &Received) -> bool {
    let named = request.headers.iter().any(|(name, _)| name.to_ascii_lowercase().contains("smuggled"));
    named || request.target != "/mcp" || request.method != "POST" || request.tool() == "smuggled"
}
