//! `moorline plan`, the real binary: what it says, the files that it writes as the programs judge them that read them, and its
//! arithmetic against what was measured.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "../survival/fleet/mod.rs"]
mod fleet;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support_sdk/mod.rs"]
mod support_sdk;

mod asked;
mod bad_input;
mod measured;
mod reports;
mod said;
mod stored;
mod written;
