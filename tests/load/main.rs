//! `moorline load`, the real binary, against servers that do what the test says: each kind of error is counted as what it is, a stall shows in full,
//! and another load generator finds the same.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[expect(dead_code, reason = "the page needs fewer of its orders than the dashboard")]
#[path = "../dashboard/browser.rs"]
mod browser;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support_sdk/mod.rs"]
mod support_sdk;

mod agreement;
mod chaos;
mod command_line;
mod faults;
mod loaded;
mod page;
mod stalls;
mod streams;
