//! What the integration tests stand on: the real binary on real sockets ([`gateway`]), servers that behave or misbehave on
//! demand ([`backend`]), and a client that sends exactly the bytes it is told to ([`http`]). Everything waits for an event, with a deadline.
#![allow(dead_code, unused_imports, reason = "each test takes the part that it needs")]

pub mod backend;
pub mod gateway;
pub mod http;
pub mod session;
pub mod tls;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use backend::{After, Backend, Received};
pub use gateway::{Gateway, Setup};
pub use http::{Answer, Connection, ask};
pub use session::Session;

/// Whatever takes longer than this never comes.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// The time, for tests: they measure the program from outside and have no clock of its.
#[expect(clippy::disallowed_methods, reason = "a test measures from outside")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until `happened` gives something, and fails when that takes too long.
pub fn until<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(found) = happened() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `is_so`.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || is_so().then_some(()));
}

/// Where the tests' own files lie.
pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Compares with a golden file; `UPDATE=1` writes it anew.
pub fn golden(name: &str, actual: &str) {
    let path = golden_dir().join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a golden file lies in a folder"))
            .expect("the folder can be made");
        std::fs::write(&path, actual).expect("the golden file can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{} differs; UPDATE=1 writes it anew. Now:\n{actual}", path.display());
}
