//! What belongs to one berth and what belongs to the session: notification streams stay open over a move, while replies and event
//! ids of the old berth never reach the new one.

use serde_json::{Value, json};

use crate::fleet::{Client, Event, Fleet, NAMES, Outcome, Redis, Stream};
use crate::support_sdk::{self, each_client, eventually};

const UPDATED: &str = "notifications/resources/updated";
const COUNTER: &str = "demo://counter";

// ---- a stream over the death of every backend ------------------------------------------------------------------------

#[test]
fn a_notification_stream_stays_open_while_every_backend_dies_in_turn() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    let mut official = support_sdk::Client::some(&fleet.nginx.url(), |kind| kind.legacy);
    each_client(&mut official, |client| {
        client.expect(&json!({ "open_stream": true }))?;
        client.expect(&json!({ "subscribe": COUNTER })).map(drop)
    });
    let mut plain: Vec<(Client, Stream)> = (0..4).map(|_| listening(&fleet)).collect();
    for (at, name) in NAMES.iter().enumerate() {
        let alive: Vec<usize> = (0..NAMES.len()).filter(|other| *other != at).collect();
        let moved = fleet.lie(&[at]).len();
        fleet.kill_server(at);
        // None of them asks for anything meanwhile: their open streams are reason enough to move.
        eventually("all sessions on the servers that are alive", || (fleet.lie(&alive).len() == 8).then_some(()));
        let touches = hear_all(&fleet, &alive, &mut official, &plain);
        println!("{name} died: {moved} of 8 sessions moved, all heard the change after {touches} touches");
        fleet.servers[at].restart();
        fleet.wait_for_sight(at, true);
    }
    each_client(&mut official, |client| {
        client.call("whoami")?;
        opened_once(client)
    });
    for (client, stream) in &mut plain {
        assert!(stream.is_open(), "the connection that was opened first is still the one");
        assert!(client.call("look", &json!({})).is_done());
    }
}

/// A plain client that asks for the counter's changes.
fn listening(fleet: &Fleet) -> (Client, Stream) {
    let mut client = Client::open(fleet.nginx.addr);
    let stream = Stream::open(&client, None);
    assert_eq!(stream.status(), Some(200));
    client.ask("resources/subscribe", &json!({ "uri": COUNTER })).expect("the server takes subscriptions");
    (client, stream)
}

/// Changes the resource at each of these servers, past Moorline, until everybody has heard of a change. How often that took.
fn hear_all(fleet: &Fleet, alive: &[usize], official: &mut [support_sdk::Client], plain: &[(Client, Stream)]) -> usize {
    let heard = |official: &mut [support_sdk::Client]| {
        let counts = official.iter_mut().map(seen).collect::<Vec<_>>();
        counts.into_iter().chain(plain.iter().map(|(_, stream)| stream.count(UPDATED))).collect::<Vec<usize>>()
    };
    let before = heard(official);
    let mut touches = 0;
    eventually("everybody hears of a change", || {
        touches += 1;
        alive.iter().for_each(|&at| touch(fleet, at));
        let now = heard(official);
        now.iter().zip(&before).all(|(now, before)| now > before).then_some(touches)
    })
}

/// Changes the resource at one server, in a session of the server's own.
fn touch(fleet: &Fleet, at: usize) {
    let mut client = Client::open(fleet.servers[at].addr);
    client.call("touch", &json!({})).text();
    client.end().expect("it ends");
}

fn seen(client: &mut support_sdk::Client) -> usize {
    let seen = client.expect(&json!({ "seen": true })).expect("the driver tells what it saw");
    seen["counts"][UPDATED].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

fn opened_once(client: &mut support_sdk::Client) -> Result<(), String> {
    let exchanges = client.expect(&json!({ "http": true }))?;
    let opened: Vec<&Value> = exchanges.as_array().into_iter().flatten().filter(|one| one["http"] == "GET").collect();
    if opened.len() == 1 { Ok(()) } else { Err(format!("{}: opened again: {opened:?}", client.kind.name)) }
}

// ---- what is late ----------------------------------------------------------------------------------------------------

#[test]
fn a_late_elicitation_reply_never_answers_the_question_of_another_backend() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    for round in 0..3 {
        let mut client = Client::open(fleet.nginx.addr);
        // The server asks on the notification stream, which stays open over the move.
        let questions = Stream::open(&client, None);
        let at = lies_at(&mut client);
        let (old_call, old_question) = ask_the_user(&mut client, &questions, &format!("old {round}"));
        fleet.kill_server(at);
        let failed = old_call.wait_for("the end of the old call", |event| event.data.get("error").is_some());
        assert_eq!(failed.data["error"]["data"]["reason"], "outcome_unknown", "{failed:?}");
        let (new_call, new_question) = ask_the_user(&mut client, &questions, &format!("new {round}"));
        assert_ne!(old_question, new_question, "the client cannot tell the questions apart");
        assert_eq!(reply(&mut client, &old_question, "LATE"), 202);
        assert_eq!(reply(&mut client, &new_question, "IN TIME"), 202);
        let answer = new_call.wait_for("the answer", |event| event.data.get("result").is_some());
        let text = answer.data["result"]["content"][0]["text"].to_string();
        assert!(text.contains("IN TIME") && !text.contains("LATE"), "{text}");
        // And once more, now that the server has nothing to ask any more.
        assert_eq!(reply(&mut client, &old_question, "LATER"), 202);
        assert!(client.call("look", &json!({})).is_done());
        assert!(questions.is_open());
        fleet.servers[at].restart();
        fleet.wait_for_sight(at, true);
    }
    let answered = fleet.ledger.entries("answered");
    let rightly = answered.iter().filter(|entry| entry["content"]["name"] == "IN TIME").count();
    println!(
        "late elicitation replies: {} answers reached a question, {rightly} of them the right one",
        answered.len()
    );
    assert_eq!((answered.len(), rightly), (3, 3), "{answered:?}");
}

/// Where the session lies, as a place among the servers.
fn lies_at(client: &mut Client) -> usize {
    let outcome = client.call("look", &json!({}));
    let name = outcome.server().unwrap_or_else(|| panic!("{outcome:?}"));
    NAMES.iter().position(|other| *other == name).expect("it is one of ours")
}

/// Calls the tool that asks the user, and waits for its question: the call, and the question's id.
fn ask_the_user(client: &mut Client, questions: &Stream, label: &str) -> (Stream, Value) {
    let params = json!({ "name": "elicit", "arguments": { "label": label } });
    let id = client.next_id();
    let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let call = Stream::post(client, &call);
    let question = questions.wait_for("the question", |event| event.data["params"]["message"] == *label);
    assert_eq!(question.data["method"], "elicitation/create");
    (call, question.data["id"].clone())
}

/// Answers a question; the status that it is taken with.
fn reply(client: &mut Client, question: &Value, name: &str) -> u16 {
    let result = json!({ "action": "accept", "content": { "name": name } });
    let message = client.posting(&json!({ "jsonrpc": "2.0", "id": question, "result": result }));
    client.exchange(&message).expect("a reply is taken").status
}

#[test]
fn an_old_last_event_id_begins_the_stream_anew() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(&redis.url(), 2);
    let (mut client, stream) = listening(&fleet);
    let at = lies_at(&mut client);
    touch(&fleet, at);
    let old = stream.wait_for("an update", |event| event.data["method"] == UPDATED);
    let old_id = old.id.expect("the server gives event ids");
    drop(stream);
    fleet.kill_server(at);
    // The stream alone moves the session; the id that it names was another server's.
    let stream = Stream::open(&client, Some(&old_id));
    assert_eq!(stream.status(), Some(200));
    let now_at = lies_at(&mut client);
    assert_ne!(now_at, at);
    let update = eventually("an update on the new stream", || {
        touch(&fleet, now_at);
        stream.events().into_iter().find(|event| event.data["method"] == UPDATED)
    });
    let foreign = |event: &&Event| !event.data.is_null() && event.data["method"] != UPDATED;
    let events = stream.events();
    let foreign: Vec<&Event> = events.iter().filter(foreign).collect();
    assert!(foreign.is_empty(), "events of other streams: {foreign:?}");
    assert_eq!(fleet.servers[now_at].stats()["resumed"], 0, "the new server was asked to resume what it never sent");
    // An id of the present berth does resume.
    drop(stream);
    let resumed = Stream::open(&client, update.id.as_deref());
    assert_eq!(resumed.status(), Some(200));
    assert_eq!(fleet.servers[now_at].stats()["resumed"], 1);
    assert!(matches!(client.call("look", &json!({})), Outcome::Done(_)));
}
