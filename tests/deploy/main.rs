//! What lies in `deploy/` works: each file is checked by the program that reads it, and real nginx, HAProxy, Redis and official
//! clients run with the shipped files, in which nothing but addresses and paths is replaced.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "../survival/fleet/mod.rs"]
mod fleet;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support_sdk/mod.rs"]
mod support_sdk;

mod addresses;
mod checked;
mod front;
mod installation;
mod rolling;
mod sessions;
mod shipped;
mod silence;
mod stickiness;
mod tiers;
