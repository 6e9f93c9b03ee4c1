//! Streams on which nobody says anything for 90 seconds: longer than any proxy's own default (60 s in nginx, and in HAProxy's
//! usual configuration). Moorline's heartbeats are off here, and the servers send none: what is held open is held by the
//! shipped timeouts alone.

use std::time::Duration;

use serde_json::json;

use crate::fleet::{Client, Stream, last_for};
use crate::front::{Front, Program};
use crate::installation::{Installation, as_shipped};
use crate::shipped::Shipped;
use crate::support_sdk::{eventually, replicas};

const SILENCE: Duration = Duration::from_secs(90);

/// Nobody says anything of itself.
const NO_HEARTBEAT: &str = "\n[stream]\nheartbeat = \"off\"\n";

const UPDATED: &str = "notifications/resources/updated";

/// A client with a quiet notification stream, and a call that takes as long before it says anything.
struct Quiet {
    who: String,
    client: Client,
    stream: Stream,
    call: Stream,
}

impl Quiet {
    fn open(who: &str, front: &Front) -> Self {
        let mut client = Client::open(front.plain);
        client.ask("resources/subscribe", &json!({ "uri": "demo://counter" })).unwrap();
        let stream = Stream::open(&client, None);
        assert_eq!(stream.status(), Some(200), "{who}");
        let arguments = json!({ "steps": 1, "ms": SILENCE.as_millis() + 1000, "label": who });
        let params = json!({ "name": "slow", "arguments": arguments });
        // What comes first is its head: a server says at once that there will be a stream.
        let call =
            Stream::post(&client, &json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }));
        Self { who: who.to_owned(), client, stream, call }
    }

    fn is_still_open(&self) {
        assert!(self.stream.is_open(), "{}: the notification stream was cut", self.who);
        assert_eq!(self.stream.count(UPDATED), 0, "{}: it was not quiet", self.who);
    }

    fn speaks_again(mut self) {
        let before = self.stream.count(UPDATED);
        assert!(self.client.call("touch", &json!({})).is_done(), "{}: the session is lost", self.who);
        eventually(&format!("{}: news", self.who), || (self.stream.count(UPDATED) > before).then_some(()));
        let answer = self.call.wait_for(&format!("{}: the answer", self.who), |event| event.data["id"] == 7);
        assert!(answer.data["result"].is_object(), "{}: {}", self.who, answer.data);
    }
}

#[test]
fn streams_that_are_silent_for_90_seconds_live_on_behind_each_front() {
    let servers = replicas();
    let addrs = [servers[0].addr, servers[1].addr, servers[2].addr];
    let installation = Installation::start(&addrs, NO_HEARTBEAT);
    let alone = |program, file| Front::nginx(program, Shipped::read(file), &as_shipped(&addrs));
    let fronts = [
        ("nginx before Moorline", installation.nginx(Program::Nginx)),
        ("HAProxy before Moorline", installation.haproxy()),
        ("nginx alone with ip_hash", alone(Program::Nginx, "nginx-alone/nginx.conf")),
        ("nginx alone with sticky", alone(Program::NewNginx, "nginx-alone/nginx-sticky.conf")),
    ];
    let quiet: Vec<Quiet> = fronts.iter().map(|(who, front)| Quiet::open(who, front)).collect();
    last_for(SILENCE);
    quiet.iter().for_each(Quiet::is_still_open);
    quiet.into_iter().for_each(Quiet::speaks_again);
}
