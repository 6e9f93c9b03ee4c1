//! What a session takes in a real Redis: the constants of the arithmetic are what is measured here.

use std::process::Command;

use crate::fleet::Redis;
use crate::support::session::Session;
use crate::support::{Backend, Setup};

use moorline::plan::costs::{GRAVE_STORED, SESSION_SCRIPTS, SESSION_STORED};

const SESSIONS: u32 = 400;

fn info(redis: &Redis, begin: &str) -> f64 {
    let output =
        Command::new("redis-cli").args(["-p", &redis.addr.port().to_string(), "info", "everything"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().find_map(|line| line.strip_prefix(begin));
    found.unwrap_or_else(|| panic!("no {begin:?}")).split([',', '\r']).next().unwrap().parse().unwrap()
}

/// What all keys of sessions take, each by itself: what the server's buffers hold changes from moment to moment.
fn memory(redis: &Redis) -> f64 {
    let script = "local all = 0 for _, kind in ipairs({'s:*', 'seen', 'graves'}) do \
        for _, key in ipairs(redis.call('KEYS', 'moorline:*:' .. kind)) do all = all + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0') end \
        end return all";
    let output =
        Command::new("redis-cli").args(["-p", &redis.addr.port().to_string(), "eval", script, "0"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn is_about(what: &str, measured: f64, constant: f64) {
    // The constant is an upper bound: what clients and servers say of themselves is part of it, and differs.
    assert!(
        measured <= constant * 1.15 && measured >= constant / 2.5,
        "{what}: {measured} measured, {constant} in the arithmetic"
    );
}

#[test]
fn sessions_take_in_redis_what_the_arithmetic_says() {
    let (redis, backend) = (Redis::start(), Backend::legacy("a"));
    let gateway = Setup::of(&[backend.url()])
        .key(&format!("store.url = \"{}\"", redis.url()))
        .key("store.timeout = \"1s\"")
        .start();
    let open = |count: u32| (0..count).map(|_| Session::open(gateway.addr)).collect::<Vec<_>>();
    // What does not depend on sessions is there by then.
    drop(open(100));
    let (before, scripts) = (memory(&redis), info(&redis, "cmdstat_evalsha:calls="));
    let sessions = open(SESSIONS);
    let each = (memory(&redis) - before) / f64::from(SESSIONS);
    is_about("a live session", each, SESSION_STORED.get());
    let scripts = (info(&redis, "cmdstat_evalsha:calls=") - scripts) / f64::from(SESSIONS);
    for session in &sessions {
        assert!(session.end().status < 300);
    }
    let ended = (memory(&redis) - before) / f64::from(SESSIONS);
    is_about("a session that has ended", ended, GRAVE_STORED.get());
    assert!(ended < each, "what has ended takes no less: {ended}, {each}");
    // Its end is one more; there is no stream, and a few are the instance's own.
    is_about("scripts of a session", scripts + 1.0, SESSION_SCRIPTS.get() + 0.5);
}
