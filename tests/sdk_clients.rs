//! The official SDK clients, TypeScript and Python, both generations and both eras, through the real Moorline with three
//! replicas behind it: whole sessions, and what each refusal of Moorline's own does to them (see `tests/sdk/README.md`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

mod support_sdk;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support_sdk::{
    Backends, Client, Kind, Message, Moorline, Next, Proxy, Server, each_client, free_addr, program, replicas,
};

const UPDATED: &str = "notifications/resources/updated";
const PROGRESS: &str = "notifications/progress";
const COUNTER: &str = "demo://counter";

/// Finds the dead and the frozen quickly, and believes the living soon.
const WATCHFUL: &str = "response_timeout = \"2s\"\n[pool.health]\nkind = \"mcp\"\nevery = \"250ms\"\ntimeout = \"1s\"\n\
    eject_after = 2\neject_for = \"100ms\"\neject_max = \"500ms\"\nrecover_after = 1";

// ---- whole sessions --------------------------------------------------------------------------------------------------

/// The session drivers, and how many checks each of them makes.
const SESSIONS: [(&str, &[&str], usize); 8] = [
    ("node", &["session-ts1.mjs"], 18),
    ("node", &["session-ts2.mjs", "--era", "legacy"], 18),
    ("node", &["session-ts2.mjs", "--era", "modern"], 13),
    ("node", &["session-ts2.mjs", "--era", "auto"], 13),
    (".venv-v1/bin/python", &["session-py.py"], 18),
    (".venv-v2/bin/python", &["session-py.py", "--era", "legacy"], 18),
    (".venv-v2/bin/python", &["session-py.py", "--era", "modern"], 13),
    (".venv-v2/bin/python", &["session-py.py", "--era", "auto"], 13),
];

/// What a session of each era must have shown, by the names of the checks.
const SHOWN: &str =
    "connect tools_list tool progress elicitation sampling log_level resource subscription cancellation";
const SHOWN_LEGACY: &str = "stream session_state resume_call resume_stream unsubscribe delete";

#[test]
fn every_official_client_runs_a_whole_session() {
    let servers = replicas();
    let moorline = Moorline::start(&Backends::of(&servers), "", "");
    for pair in SESSIONS.chunks(2) {
        each_client(&mut pair.to_vec(), |(interpreter, driver, checks)| {
            let mut command = program(interpreter, driver);
            session(command.args(["--url", &moorline.url()]), driver, *checks)
        });
    }
    let sessions: Vec<u64> = servers.iter().map(|server| server.stats()["initialize"].as_u64().unwrap()).collect();
    assert_eq!(sessions.iter().sum::<u64>(), 4, "one legacy session each: {sessions:?}");
}

fn session(command: &mut Command, driver: &[&str], expected: usize) -> Result<(), String> {
    let report = report(command);
    let checks = report["checks"].as_array().ok_or_else(|| format!("{driver:?}: {report}"))?;
    let failed: Vec<_> = checks.iter().filter(|check| check["ok"] != true).map(Value::to_string).collect();
    if !failed.is_empty() {
        return Err(format!("{driver:?}: {}\nerrors: {}", failed.join("\n"), report["errors"]));
    }
    let legacy = if expected == 18 { SHOWN_LEGACY } else { "listen_close no_session" };
    let mut wanted = SHOWN.split(' ').chain(legacy.split(' '));
    match wanted.find(|wanted| !checks.iter().any(|check| check["name"] == *wanted)) {
        Some(missing) => Err(format!("{driver:?}: no check named {missing}")),
        None if checks.len() < expected => Err(format!("{driver:?}: {} checks of {expected}", checks.len())),
        None => Ok(()),
    }
}

/// The JSON object that a program prints at its end.
fn report(command: &mut Command) -> Value {
    let output = command.stderr(std::process::Stdio::piped()).output().expect("it can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

// ---- OAuth -----------------------------------------------------------------------------------------------------------

#[test]
fn the_typescript_clients_log_in_to_a_backend_that_asks_for_oauth() {
    let login = |moorline: &Moorline| {
        let modes =
            [["--sdk", "1", "--era", "legacy"], ["--sdk", "2", "--era", "legacy"], ["--sdk", "2", "--era", "modern"]];
        each_client(&mut modes.to_vec(), |mode| {
            let report = report(program("node", &["oauth-login.mjs", "--url", &moorline.url()]).args(*mode));
            through(moorline, &report).ok_or_else(|| format!("{mode:?}: {report:#}"))
        });
    };
    // One that names its own address: Moorline puts its own in the place.
    let server = [Server::start("oauth-server.mjs", &[])];
    login(&Moorline::start(&Backends::of(&server), "", ""));
    // One that knows the address that clients use, and insists that tokens are for it.
    let public = free_addr();
    let server = [Server::start("oauth-server.mjs", &["--strict", "--public", &format!("http://{public}/mcp")])];
    login(&Moorline::start_at(&public.to_string(), &Backends::of(&server), "", ""));
    assert_eq!(server[0].stats()["wrong_audience"], 0);
}

/// Whether the login succeeded, and all that the client asked the server came to Moorline.
fn through(moorline: &Moorline, report: &Value) -> Option<()> {
    let ours = format!("http://{}", moorline.addr);
    let wire = report["wire"].as_array()?;
    let saw = |path: &str, status: u64| {
        wire.iter().any(|one| one["origin"] == *ours && one["path"] == *path && one["status"] == status)
    };
    let well = report["ok"] == true
        && saw("/mcp", 401)
        && saw("/.well-known/oauth-protected-resource/mcp", 200)
        && wire.iter().filter(|one| one["path"] == "/mcp").all(|one| one["origin"] == *ours);
    well.then_some(())
}

// ---- the modern era across replicas ----------------------------------------------------------------------------------

#[test]
fn rounds_and_change_notifications_of_the_modern_era_find_every_replica() {
    let servers = replicas();
    let moorline = Moorline::start(&Backends::of(&servers), "", "");
    let mut clients = Client::some(&moorline.url(), |kind| !kind.legacy);
    each_client(&mut clients, |client| {
        for round in 1..=50 {
            let answer = client.call("elicit").map_err(|error| format!("elicitation {round} of 50: {error}"))?;
            if !answer.contains("Moor") {
                return Err(format!("{}: elicitation {round} of 50: {answer}", client.kind.name));
            }
        }
        Ok(())
    });
    // One after the other: each client hears what any client changes.
    for client in &mut clients {
        each_client(&mut [client], |client| {
            client.expect(&json!({ "subscribe": COUNTER }))?;
            (0..30).try_for_each(|_| client.call("touch").map(drop))?;
            let heard = client.expect(&json!({ "wait": { "method": UPDATED, "count": 30 } }))?;
            let counts = client.expect(&json!({ "seen": true }))?["counts"][UPDATED].clone();
            client.expect(&json!({ "unsubscribe": COUNTER }))?;
            if counts == 30 { Ok(()) } else { Err(format!("{}: {heard}, then {counts}", client.kind.name)) }
        });
    }
    for server in &servers {
        let methods = &server.stats()["methods"];
        assert!(methods["tools/call"].as_u64() > Some(10), "not spread: {methods}");
    }
}

// ---- notification streams --------------------------------------------------------------------------------------------

/// What lies between clients and servers cuts streams that are quiet for long; three seconds here, for a minute elsewhere.
const IDLE: Duration = Duration::from_secs(3);

#[test]
fn quiet_notification_streams_stay_open() {
    let servers = replicas();
    let moorline = Moorline::start(&Backends::of(&servers), "[stream]\nheartbeat = \"1s\"", "");
    let between = Proxy::before(moorline.addr, Some(IDLE), |_| Next::Pass);
    let mut clients = Client::all(&between.url());
    each_client(&mut clients, listen);
    each_client(&mut clients, |client| {
        let quiet = client.ask(&json!({ "wait": { "method": UPDATED }, "timeout_ms": 20_500 }));
        let well = quiet["outcome"] == "hang" && quiet["ms"].as_u64() > Some(20_000);
        if well { Ok(()) } else { Err(format!("{}: it was not quiet: {quiet}", client.kind.name)) }
    });
    each_client(&mut clients, |client| {
        client.call("touch")?;
        client.expect(&json!({ "wait": { "method": UPDATED, "count": 1 } }))?;
        opened_once(client)
    });
}

/// Opens the client's notification stream, and asks for the changes of the counter.
fn listen(client: &mut Client) -> Result<(), String> {
    if client.kind.legacy {
        client.expect(&json!({ "open_stream": true }))?;
    }
    client.expect(&json!({ "subscribe": COUNTER })).map(drop)
}

/// The stream that was opened first is still the one.
fn opened_once(client: &mut Client) -> Result<(), String> {
    let exchanges = client.expect(&json!({ "http": true }))?;
    let opens = |one: &&Value| one["http"] == "GET" || one["rpc"] == "subscriptions/listen";
    let opened: Vec<&Value> = exchanges.as_array().into_iter().flatten().filter(opens).collect();
    if opened.len() == 1 { Ok(()) } else { Err(format!("{}: opened again: {opened:?}", client.kind.name)) }
}

// ---- refusals: what is wrong with one request or one answer ----------------------------------------------------------

/// A refusal, and how it is provoked.
struct Row {
    what: &'static str,
    /// The arguments of the call: `front` and `back` tell the proxies what to do.
    arguments: fn() -> Value,
    concerns: fn(&Kind) -> bool,
    /// As HTTP status or JSON-RPC code, as the client tells it.
    numbers: &'static [i64],
}

fn all(_: &Kind) -> bool {
    true
}

/// Python 1.x dies on a 4xx, and what has come of its body does not say yet which request it is.
fn is_heard_of_an_unfinished_body(kind: &Kind) -> bool {
    kind.name != "py1 legacy"
}

#[rustfmt::skip]
const ROWS: [Row; 20] = [
    Row { what: "body over the bound", arguments: || json!({ "blob": "x".repeat(300_000) }), concerns: all, numbers: &[413] },
    Row { what: "body far over the bound", arguments: || json!({ "blob": "x".repeat(3_000_000) }), concerns: all, numbers: &[413] },
    Row { what: "body that is still being sent", arguments: || json!({ "front": "slow_body" }), concerns: is_heard_of_an_unfinished_body, numbers: &[408] },
    Row { what: "unfinished JSON", arguments: || json!({ "front": "cut_body" }), concerns: all, numbers: &[400, -32700] },
    Row { what: "header mismatch", arguments: || json!({ "front": "header_mismatch" }), concerns: |kind| !kind.legacy, numbers: &[400, -32020] },
    Row { what: "unknown session", arguments: || json!({ "front": "session_unknown" }), concerns: |kind| kind.legacy, numbers: &[404, 32600] },
    Row { what: "wrong media type", arguments: || json!({ "front": "media_type" }), concerns: all, numbers: &[415] },
    Row { what: "nothing acceptable", arguments: || json!({ "front": "not_acceptable" }), concerns: all, numbers: &[406] },
    Row { what: "answer in HTML", arguments: || json!({ "back": "html" }), concerns: all, numbers: &[502] },
    Row { what: "empty answer", arguments: || json!({ "back": "empty" }), concerns: all, numbers: &[502] },
    Row { what: "202 to a request", arguments: || json!({ "back": "accepted" }), concerns: all, numbers: &[502] },
    Row { what: "not HTTP", arguments: || json!({ "back": "not_http" }), concerns: all, numbers: &[502] },
    Row { what: "not JSON", arguments: || json!({ "back": "not_json" }), concerns: all, numbers: &[502] },
    Row { what: "half of the JSON", arguments: || json!({ "back": "half_json" }), concerns: all, numbers: &[502] },
    Row { what: "body cut", arguments: || json!({ "back": "cut" }), concerns: all, numbers: &[502] },
    Row { what: "hang-up before headers", arguments: || json!({ "back": "hangup" }), concerns: all, numbers: &[502] },
    Row { what: "never an answer", arguments: || json!({ "back": "never" }), concerns: all, numbers: &[504] },
    Row { what: "body stalled", arguments: || json!({ "back": "stalled" }), concerns: all, numbers: &[504] },
    Row { what: "stream without ids cut", arguments: || json!({ "back": "sse_cut" }), concerns: all, numbers: &[502] },
    Row { what: "stream without ids ended", arguments: || json!({ "back": "sse_end" }), concerns: all, numbers: &[502] },
];

/// In place of a client, or of somebody on the way to Moorline, that spoils requests.
fn spoiled_request(message: &mut Message) -> Next {
    match message.word("front").as_deref() {
        Some("cut_body") => drop(message.body.pop()),
        Some("header_mismatch") => message.set("mcp-name", "another"),
        Some("session_unknown") => message.set("mcp-session-id", "forged"),
        Some("media_type") => message.set("content-type", "text/plain"),
        Some("not_acceptable") => message.set("accept", "text/html"),
        Some("slow_body") => return Next::Stall(message.body.len() / 2),
        _ => {}
    }
    Next::Pass
}

/// In place of a server that breaks the rules.
fn spoiled_answer(message: &mut Message) -> Next {
    const EVENT: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n";
    let whole = |status: &str, media: &str, body: &str, length: usize| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let stream = |end: &str| {
        let size = EVENT.len();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{size:x}\r\n{EVENT}\r\n{end}"
        )
    };
    let half = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[";
    let json = "application/json";
    Next::Answer(match message.word("back").as_deref() {
        Some("html") => whole("200 OK", "text/html", "<h1>Welcome</h1>", 16),
        Some("empty") => whole("200 OK", json, "", 0),
        Some("accepted") => whole("202 Accepted", json, "", 0),
        Some("not_http") => "220 mail.example.com ESMTP\r\n\r\n".into(),
        Some("not_json") => whole("200 OK", json, "Welcome", 7),
        Some("half_json") => whole("200 OK", json, half, half.len()),
        Some("cut") => whole("200 OK", json, half, 2 * half.len()),
        Some("hangup") => String::new(),
        Some("never") => return Next::Silence(String::new()),
        Some("stalled") => return Next::Silence(whole("200 OK", json, half, 2 * half.len())),
        Some("sse_cut") => stream(""),
        Some("sse_end") => stream("0\r\n\r\n"),
        _ => return Next::Pass,
    })
}

#[test]
fn no_refusal_of_one_request_harms_a_client() {
    let servers = replicas();
    let behind = servers.each_ref().map(|server| Proxy::before(server.addr, None, spoiled_answer).addr);
    let bounds = "[bounds]\nmax_body = \"256KiB\"\nbody_timeout = \"1s\"";
    // What is provoked here must not eject a backend.
    let pool = "response_timeout = \"2s\"\n[pool.health]\neject_after = 1000";
    let moorline = Moorline::start(&Backends::at(&behind), bounds, pool);
    let front = Proxy::before(moorline.addr, None, spoiled_request);
    let mut clients = Client::all(&front.url());
    each_client(&mut clients, |client| {
        let mut wrong = Vec::new();
        let kind = client.kind;
        for row in ROWS.iter().filter(|row| (row.concerns)(&kind)) {
            wrong.extend(refused_and_unharmed(client, row).err());
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    });
}

fn refused_and_unharmed(client: &mut Client, row: &Row) -> Result<(), String> {
    let refusal = client.refused(row.what, &json!({ "call": "whoami", "arguments": (row.arguments)() }))?;
    refusal.is(row.what, row.numbers)?;
    client.call("whoami").map(drop).map_err(|error| format!("after {}: {error}", row.what))
}

// ---- refusals: what is wrong with the backends -----------------------------------------------------------------------

/// Each listens, and has made one call in its session.
fn settle(clients: &mut [Client]) {
    each_client(clients, |client| {
        listen(client)?;
        client.call("count").map(drop)
    });
}

/// A change made now reaches the client; what was changed while its stream was away need not have.
fn hears(client: &mut Client) -> Result<(), String> {
    let seen = client.expect(&json!({ "seen": true }))?["counts"][UPDATED].as_u64().unwrap_or(0);
    for _ in 0..10 {
        client.call("touch")?;
        let wait = json!({ "wait": { "method": UPDATED, "count": seen + 1 }, "timeout_ms": 1000 });
        if client.ask(&wait)["ok"] == true {
            return Ok(());
        }
    }
    let http = client.expect(&json!({ "http": true }))?;
    let opens: Vec<_> = http.as_array().into_iter().flatten().filter(|one| one["http"] == "GET").collect();
    Err(format!("{}: its notification stream is gone for good: {opens:?}", client.kind.name))
}

#[test]
fn a_frozen_pool_costs_no_session() {
    let servers = replicas();
    // A session that moved while its server was frozen would count anew: here they wait.
    let stays = format!("rehome = \"never\"\n{WATCHFUL}");
    let moorline = Moorline::start(&Backends::of(&servers), "", &stays);
    let mut clients = Client::all(&moorline.url());
    settle(&mut clients);
    each_client(&mut clients, |client| {
        client
            .ask(&json!({ "call": "slow", "arguments": { "steps": 600, "ms": 100 }, "progress": true, "id": "slow" }));
        client.expect(&json!({ "wait": { "method": PROGRESS, "count": 1 } })).map(drop)
    });
    servers.iter().for_each(Server::freeze);
    each_client(&mut clients, |client| {
        // The notification that this sends is refused too, and harms nobody.
        client.expect(&json!({ "cancel": "slow" }))?;
        client.refused("not found out yet", &json!({ "call": "count" })).map(drop)
    });
    moorline.sees_all(false);
    each_client(&mut clients, |client| {
        client.refused("nobody there", &json!({ "call": "count" }))?.is("nobody there", &[503])
    });
    servers.iter().for_each(Server::thaw);
    moorline.sees_all(true);
    each_client(&mut clients, |client| {
        let count: u32 = client.call("count")?.parse().map_err(|_| "count gives a number")?;
        if client.kind.legacy && !(2..=3).contains(&count) {
            return Err(format!("{}: a session begun anew: {count}", client.kind.name));
        }
        hears(client)
    });
}

#[test]
fn a_backend_killed_in_the_middle_of_a_call() {
    let mut servers = replicas();
    let all_at_the_first = Backends::draining_but_the_first(&servers);
    let moorline = Moorline::start(&all_at_the_first, "", WATCHFUL);
    let mut clients = Client::all(&moorline.url());
    each_client(&mut clients, |client| {
        client.expect(&json!({ "open_stream": true })).map(drop)?;
        let slow = json!({ "call": "slow", "arguments": { "steps": 600, "ms": 100 }, "progress": true, "id": "slow", "timeout_ms": 20_000 });
        client.ask(&slow);
        client.expect(&json!({ "wait": { "method": PROGRESS, "count": 1 } })).map(drop)
    });
    moorline.reload(&all_at_the_first, &Backends::of(&servers));
    servers[0].kill();
    each_client(&mut clients, |client| {
        let lost = client.ask(&json!({ "await": "slow" }));
        if lost["outcome"] != "rpc_error" || lost["code"] != 502 || lost["data"]["reason"] != "outcome_unknown" {
            return Err(format!("{}: the lost call: {lost}", client.kind.name));
        }
        // The call is lost; its session lives on, on another server, and the stream with it.
        client.call("whoami")?;
        opened_once(client)
    });
}

#[test]
fn a_pool_that_is_killed_and_started_anew() {
    let mut servers = replicas();
    let moorline = Moorline::start(&Backends::of(&servers), "", WATCHFUL);
    let mut clients = Client::all(&moorline.url());
    settle(&mut clients);
    servers.iter_mut().for_each(Server::kill);
    moorline.sees_all(false);
    each_client(&mut clients, |client| {
        client.refused("nobody there", &json!({ "call": "whoami" }))?.is("nobody there", &[503])
    });
    servers.iter_mut().for_each(Server::restart);
    moorline.sees_all(true);
    each_client(&mut clients, |client| {
        // Its server's memory is gone, and its session is rebuilt.
        client.call("whoami")?;
        hears(client)
    });
}

#[test]
fn a_pool_that_is_killed_and_started_anew_where_sessions_do_not_move() {
    let mut servers = replicas();
    let moorline = Moorline::start(&Backends::of(&servers), "", &format!("rehome = \"never\"\n{WATCHFUL}"));
    let mut clients = Client::all(&moorline.url());
    settle(&mut clients);
    servers.iter_mut().for_each(Server::kill);
    moorline.sees_all(false);
    each_client(&mut clients, |client| {
        client.refused("nobody there", &json!({ "call": "whoami" }))?.is("nobody there", &[503])
    });
    servers.iter_mut().for_each(Server::restart);
    moorline.sees_all(true);
    each_client(&mut clients, |client| {
        if client.kind.legacy {
            // Its server's memory is gone: it hears so at once, and only then has to start over.
            client.refused("session gone", &json!({ "call": "whoami" }))?.is("session gone", &[404, 32600])?;
            client.expect(&json!({ "connect": true }))?;
        }
        client.call("whoami").map(drop)
    });
}

// ---- a draining instance ---------------------------------------------------------------------------------------------

#[test]
fn an_instance_that_goes_and_the_next_one() {
    let servers = replicas();
    let top = "[store]\nurl = \"disk:DIRECTORY\"\n[drain]\ndeadline = \"3s\"\n[stream]\nretry = \"5s\"";
    let mut moorline = Moorline::start(&Backends::of(&servers), top, WATCHFUL);
    let mut clients = Client::all(&moorline.url());
    settle(&mut clients);
    each_client(&mut clients, |client| {
        for (id, steps) in [("short", 10), ("long", 600)] {
            let arguments = json!({ "steps": steps, "ms": 100 });
            client.ask(
                &json!({ "call": "slow", "arguments": arguments, "progress": true, "id": id, "timeout_ms": 20_000 }),
            );
        }
        client.expect(&json!({ "wait": { "method": PROGRESS, "count": 2 } })).map(drop)
    });
    moorline.terminate();
    each_client(&mut clients, |client| {
        client.expect(&json!({ "await": "short" }))?;
        let lost = client.ask(&json!({ "await": "long" }));
        if lost["outcome"] != "rpc_error" || lost["code"] != 502 {
            return Err(format!("{}: the call that the deadline cut: {lost}", client.kind.name));
        }
        let streams = client.expect(&json!({ "seen": true }))?["streams"].clone();
        let well = client.kind.legacy || streams == json!(["graceful"]);
        if well { Ok(()) } else { Err(format!("{}: subscriptions/listen ended: {streams}", client.kind.name)) }
    });
    assert!(moorline.ended_well(), "it ends by itself, and well");
    moorline.start_again();
    each_client(&mut clients, |client| {
        let count: u32 = client.call("count")?.parse().map_err(|_| "count gives a number")?;
        if client.kind.legacy && count != 2 {
            return Err(format!("{}: a session begun anew: {count}", client.kind.name));
        }
        if client.kind.legacy { hears(client) } else { Ok(()) }
    });
}
