//! The dashboard in a real browser, before real Moorline processes: what an operator sees and does there. Chromium is driven by
//! `driver.mjs`, which answers JSON lines; what is expected stands here.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "../survival/fleet/mod.rs"]
mod fleet;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support_sdk/mod.rs"]
mod support_sdk;

mod actions;
mod browser;
mod crowd;
mod live;
mod operator;
mod people;
mod views;
