//! Servers that demand credentials with every request: a session moves with those of its own caller, and never with another's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::fleet::{Client, Fleet, PATIENT, Plan, Redis, Stream};
use crate::support_sdk::eventually;

/// Users, each with one session; every third one listens and does nothing else.
const USERS: usize = 24;

#[test]
fn sessions_move_with_their_own_callers_credentials() {
    let redis = Redis::start();
    let plan = Plan { stores: vec![redis.url(); 2], keys: PATIENT, probe: "tcp", arguments: &["--require-auth"] };
    let mut fleet = Fleet::of(&plan);
    let mut clients: Vec<Client> = (0..USERS).map(|number| user(&fleet, number)).collect();
    let streams: Vec<Stream> = clients.iter().step_by(3).map(|client| Stream::open(client, None)).collect();
    assert!(streams.iter().all(|stream| stream.status() == Some(200)));
    for client in &mut clients {
        client.call("look", &json!({})).text();
    }
    let resting = clients.iter().enumerate().filter(|(number, _)| number % 3 != 0);
    let strangers: Vec<Client> = resting.map(|(_, client)| without_credentials(client)).collect();
    let begun = fleet.ledger.entries("initialize").len();
    let lay_there = fleet.lie(&[0]);
    fleet.kill_server(0);
    // Whoever knows an id but has no credentials moves nothing, and is told what the server says.
    refused_unmoved(&fleet, strangers, begun, &lay_there);
    // Tokens are renewed: what moves a session are the credentials of the request that needs it, not older ones.
    for (number, client) in clients.iter_mut().enumerate().filter(|(number, _)| number % 3 != 0) {
        client.fields = vec![credentials(number, "renewed")];
        client.call("look", &json!({})).text();
    }
    eventually("all sessions on living servers", || (fleet.lie(&[1, 2]).len() == USERS).then_some(()));
    assert!(streams.iter().all(Stream::is_open));
    let moved = fleet.ledger.entries("initialize").split_off(begun);
    println!("{} sessions of {USERS} users moved, each with its own user's credentials", moved.len());
    assert_eq!(moved.len(), lay_there.len());
    assert_own_credentials(&fleet.ledger.entries("request"));
    assert_moved_for_their_owners(&moved, &fleet.ledger.entries("request"));
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.call("look", &json!({}));
        assert!(answer.is_done(), "user {number}: {answer:?}");
    }
}

fn credentials(number: usize, token: &str) -> String {
    format!("Authorization: Bearer user{number}.{token}")
}

fn user(fleet: &Fleet, number: usize) -> Client {
    let mut client = Client::new(fleet.nginx.addr, None, &[&credentials(number, "first")]);
    client.begin().unwrap_or_else(|refused| panic!("user {number}: {refused:?}"));
    client
}

fn without_credentials(client: &Client) -> Client {
    let mut stranger = client.at(client.addr);
    stranger.fields.clear();
    stranger
}

fn refused_unmoved(fleet: &Fleet, strangers: Vec<Client>, begun: usize, lay_there: &BTreeMap<String, usize>) {
    for mut stranger in strangers {
        let id = stranger.next_id();
        let params = json!({ "name": "look", "arguments": {} });
        let answer =
            stranger.exchange(&stranger.message("tools/call", Some(id), &params)).expect("a refusal is an answer");
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    }
    // Those with a stream may have moved by now; nobody else.
    let streaming: BTreeSet<String> = users_of(&fleet.ledger.entries("request"), "GET");
    let moved = fleet.ledger.entries("initialize").split_off(begun);
    let without = moved.iter().filter(|entry| !streaming.contains(entry["user"].as_str().unwrap_or_default()));
    assert_eq!(without.count(), 0, "moved for a stranger: {moved:?}, of {lay_there:?}");
}

/// Who sent requests of this HTTP method.
fn users_of(requests: &[Value], http: &str) -> BTreeSet<String> {
    let of_kind = requests.iter().filter(|entry| entry["http"] == *http);
    of_kind.filter_map(|entry| entry["user"].as_str().map(str::to_owned)).collect()
}

/// Under each session's stable name every server saw the credentials of one user only, and no request came to the session of another.
fn assert_own_credentials(requests: &[Value]) {
    let foreign: Vec<&Value> = requests.iter().filter(|entry| entry["foreign"] == true).collect();
    assert!(foreign.is_empty(), "requests with another's credentials: {foreign:?}");
    let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in requests {
        if let (Some(moored), Some(user)) = (entry["moored"].as_str(), entry["user"].as_str()) {
            users.entry(moored).or_default().insert(user);
        }
    }
    assert_eq!(users.len(), USERS);
    assert!(users.values().all(|users| users.len() == 1), "{users:?}");
}

/// Each session was rebuilt with its own user's credentials: with those of the request that needed it, or of the stream.
fn assert_moved_for_their_owners(moved: &[Value], requests: &[Value]) {
    for entry in moved {
        let rebuilt = requests.iter().find(|request| {
            request["method"] == "initialize"
                && request["moored"] == entry["moored"]
                && request["user"] == entry["user"]
        });
        let credentials = rebuilt.map(|request| request["credentials"].to_string()).unwrap_or_default();
        let number: usize =
            entry["user"].as_str().and_then(|user| user.strip_prefix("user")?.parse().ok()).expect("a user");
        let token = if number.is_multiple_of(3) { "first" } else { "renewed" };
        assert!(credentials.contains(token), "moved with {credentials}, which is not the {token} token: {entry}");
    }
}
