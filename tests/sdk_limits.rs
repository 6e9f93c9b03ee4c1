//! The forms of a limit's refusal, as the official SDK clients see them: what they raise, and that they go on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support_sdk;

use std::fmt::Write as _;

use serde_json::{Value, json};

use support_sdk::{Backends, Client, Moorline, Server};

/// One call of each tool is admitted, and then none.
const LIMITS: &str = r#"
[[limit]]
name = "whoami"
tools = ["whoami"]
key = "tool"
rate = "1/d"
on_limit = "http"

[[limit]]
name = "count"
tools = ["count"]
key = "tool"
rate = "1/d"
on_limit = "jsonrpc"

[[limit]]
name = "look"
tools = ["look"]
key = "tool"
rate = "1/d"
on_limit = "tool_error"

[[limit]]
name = "log"
tools = ["log"]
key = "tool"
rate = "1/d"
"#;

/// What a client makes of a refusal, in a line.
fn seen(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if answer["ok"] == true {
        let content = text(&answer["result"]["content"][0]["text"]);
        return format!("a result with isError {}: {}", answer["result"]["isError"], timeless(&content));
    }
    match text(&answer["outcome"]).as_str() {
        "rpc_error" => format!("JSON-RPC error {}: {}", answer["code"], timeless(&text(&answer["message"]))),
        "http_error" => format!("HTTP error {}", answer["status"]),
        "died" => "dies".to_owned(),
        _ => answer.to_string(),
    }
}

/// The same without the seconds.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    if let Some(at) = words.windows(2).position(|pair| pair == ["again", "in"]) {
        words[at + 2] = "N";
    }
    words.join(" ")
}

#[test]
fn each_client_survives_each_form_of_a_refusal_and_says_which_it_was() {
    let servers: Vec<Server> = ["a", "b"].map(|name| Server::start("server.mjs", &["--name", name])).into();
    let moorline = Moorline::start(&Backends::of(&servers), LIMITS, "");
    let mut clients = Client::all(&moorline.url());
    for tool in ["whoami", "count", "look", "log"] {
        clients[0].ask(&json!({ "call": tool }));
    }
    let mut table = String::new();
    for client in &mut clients {
        for (tool, form) in [("count", "jsonrpc"), ("look", "tool_error"), ("log", "auto")] {
            let answer = client.ask(&json!({ "call": tool }));
            writeln!(table, "{:<11} {form:<10} {}", client.kind.name, seen(&answer)).expect("a String takes all");
        }
        // It lost nothing.
        client.expect(&json!({ "call": "record" })).unwrap_or_else(|error| panic!("{error}\n{table}"));
        let answer = client.ask(&json!({ "call": "whoami" }));
        writeln!(table, "{:<11} {:<10} {}", client.kind.name, "http", seen(&answer)).expect("a String takes all");
    }
    println!("{table}");
    let expected = include_str!("golden/limits_seen_by_sdks.txt");
    assert_eq!(table, expected, "what the SDK clients say of a refusal has changed");
}
