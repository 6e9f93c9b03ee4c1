//! Sessions outlive servers, gateways and Redis: whole installations of real programs, in which something dies while clients call.
//! Every scenario counts every call, asserts the figures and prints them (`--nocapture`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support_sdk/mod.rs"]
mod support_sdk;

mod admin;
mod backends;
mod cache;
mod credentials;
mod cut_off;
mod fleet;
mod instances;
mod limits;
mod redis;
mod streams;
