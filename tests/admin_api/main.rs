//! The admin API as an operator uses it: what each endpoint answers, and how each says no. Instances that share a Redis are in
//! `survival`.

mod commands;
mod document;
mod errors;
mod instance;
mod orders;
mod sessions;
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;

use support::http::{ask, request};
use support::{Answer, Gateway};

/// A request to the admin API with a JSON body, or none.
pub fn send(gateway: &Gateway, line: &str, body: &str) -> Answer {
    ask(gateway.admin, &request(line, &["Content-Type: application/json"], body.as_bytes()))
}

/// What a refusal says to programs; it must be a problem document as RFC 9457 wants it.
pub fn problem(answer: &Answer) -> (u16, String) {
    let said = answer.json();
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{} {}", answer.status, answer.text());
    assert_eq!(said["status"], answer.status, "{said}");
    for member in ["type", "title", "detail", "reason"] {
        assert!(said[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {said}");
    }
    (answer.status, said["reason"].as_str().unwrap_or_default().to_owned())
}

/// The only element of a list.
pub fn only(list: &Value) -> Value {
    let all = list.as_array().expect("it is a list");
    assert_eq!(all.len(), 1, "{list}");
    all[0].clone()
}
