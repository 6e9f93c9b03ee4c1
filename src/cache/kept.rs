//! A result in the form in which it is kept, and how an answer is made of it. Owns where in the text things stand, so that an
//! answer is put together without reading it again. Knows nothing of when.
//!
//! The kept form is the result with its `_meta` first, there even where it is empty, and without `ttlMs`: what must be
//! written anew for each answer stands at a place that is known.

use std::io::Write as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::mcp::raw;

/// Where an answer came from, in every answer that the cache has to do with.
pub const MOORLINE_CACHE: HeaderName = HeaderName::from_static("moorline-cache");

/// The same in the result's `_meta`.
pub const META_KEY: &str = "moorline/cache";

/// How the kept form begins; what is written anew follows.
const OPENING: &[u8] = b"{\"_meta\":{";

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was kept, and is fresh.
    Hit,
    /// It was kept, and is fresh no more: it is fetched anew meanwhile, or cannot be.
    Stale,
    /// A server was asked.
    Miss,
    /// A server was asked, as the client wanted it, or because the result may not be kept.
    Bypass,
}

/// What is said of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Where it came from.
    pub source: Source,
    /// How old it is.
    pub age: Duration,
    /// For how long it is still fresh.
    pub ttl: Duration,
    /// What the protocol's own `ttlMs` shall say, where the result has one.
    pub ttl_ms: Option<u64>,
}

impl Source {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }

    /// The header field of an answer that a server gave just now.
    #[must_use]
    pub fn header(self) -> HeaderValue {
        Word::of(self).header()
    }

    const fn was_kept(self) -> bool {
        matches!(self, Self::Hit | Self::Stale)
    }
}

impl Word {
    /// What is said of an answer that a server gave just now.
    #[must_use]
    pub const fn of(source: Source) -> Self {
        Self { source, age: Duration::ZERO, ttl: Duration::ZERO, ttl_ms: None }
    }

    /// The header field.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let name = self.source.name();
        if !self.source.was_kept() {
            return HeaderValue::from_static(name);
        }
        let text = format!("{name}; age={}; ttl={}", self.age.as_secs(), self.ttl.as_secs());
        HeaderValue::try_from(text).expect("letters and digits may stand in a header field")
    }

    fn write(&self, out: &mut Vec<u8>) {
        let name = self.source.name();
        // Writing to a Vec cannot fail.
        let _ = if self.source.was_kept() {
            let (age, ttl) = (self.age.as_secs(), self.ttl.as_secs());
            write!(out, "\"{META_KEY}\":{{\"status\":\"{name}\",\"age\":{age},\"ttl\":{ttl}}}")
        } else {
            write!(out, "\"{META_KEY}\":{{\"status\":\"{name}\"}}")
        };
    }
}

/// The kept form of a raw result; `None` where it is no object. A word that another gateway has said of it is not kept.
#[must_use]
pub fn keep(result: &str) -> Option<Vec<u8>> {
    let members = raw::entries(result)?;
    let mut out = Vec::with_capacity(result.len() + OPENING.len());
    out.extend_from_slice(OPENING);
    let last = |wanted: &str| members.iter().rev().find(|(key, _)| key == wanted).map(|(_, value)| *value);
    let meta = last("_meta").map_or(Some(Vec::new()), raw::entries)?;
    let mut meta = meta.into_iter().filter(|(key, _)| key != META_KEY).peekable();
    while let Some((key, value)) = meta.next() {
        member(&key, value, &mut out);
        if meta.peek().is_some() {
            out.push(b',');
        }
    }
    out.push(b'}');
    for (key, value) in members.iter().filter(|(key, _)| key != "_meta" && key != "ttlMs") {
        out.push(b',');
        member(key, value, &mut out);
    }
    out.push(b'}');
    Some(out)
}

/// The response to a request with that raw id, of a result in its kept form.
#[must_use]
pub fn response(id: &str, kept: &[u8], word: &Word) -> Vec<u8> {
    let rest = kept.strip_prefix(OPENING).unwrap_or(b"}}");
    let mut out = Vec::with_capacity(kept.len() + id.len() + 160);
    let _ = write!(out, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{");
    if let Some(ttl_ms) = word.ttl_ms {
        let _ = write!(out, "\"ttlMs\":{ttl_ms},");
    }
    out.extend_from_slice(&OPENING[1..]);
    word.write(&mut out);
    if !rest.starts_with(b"}") {
        out.push(b',');
    }
    out.extend_from_slice(rest);
    out.push(b'}');
    out
}

fn member(key: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(raw::quote(key).as_bytes());
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answered(result: &str, word: &Word) -> Value {
        let kept = keep(result).unwrap();
        serde_json::from_slice(&response("\"a\"", &kept, word)).unwrap()
    }

    #[test]
    fn an_answer_has_the_requests_own_id_and_says_where_it_came_from() {
        let hit =
            Word { source: Source::Hit, age: Duration::from_secs(12), ttl: Duration::from_secs(288), ttl_ms: None };
        assert_eq!(hit.header(), "hit; age=12; ttl=288");
        let said = json!({ "status": "hit", "age": 12, "ttl": 288 });
        for (result, wanted) in [
            (r"{}", json!({ "_meta": { META_KEY: said } })),
            (r#"{"content":[1]}"#, json!({ "_meta": { META_KEY: said }, "content": [1] })),
            (
                r#"{"a":1, "_meta":{"x/y":{"z":"\u00e9"}},"b":"\"" }"#,
                json!({ "_meta": { META_KEY: said, "x/y": { "z": "é" } }, "a": 1, "b": "\"" }),
            ),
            (
                r#"{"_meta":{"moorline/cache":{"status":"miss"}},"a":[]}"#,
                json!({ "_meta": { META_KEY: said }, "a": [] }),
            ),
            (r#"{"ttlMs":5,"a":[]}"#, json!({ "_meta": { META_KEY: said }, "a": [] })),
        ] {
            assert_eq!(answered(result, &hit), json!({ "jsonrpc": "2.0", "id": "a", "result": wanted }), "{result}");
        }
    }

    #[test]
    fn what_is_left_of_the_protocols_own_time_is_said() {
        let word = Word { ttl_ms: Some(700), ..Word::of(Source::Hit) };
        let answer = answered(r#"{"tools":[],"ttlMs":1000,"cacheScope":"public"}"#, &word);
        assert_eq!((&answer["result"]["ttlMs"], &answer["result"]["cacheScope"]), (&json!(700), &json!("public")));
    }

    #[test]
    fn other_sources_have_no_age() {
        assert_eq!(Word::of(Source::Miss).header(), "miss");
        let answer = answered("{}", &Word::of(Source::Bypass));
        assert_eq!(answer["result"]["_meta"], json!({ META_KEY: { "status": "bypass" } }));
    }

    #[test]
    fn what_is_no_object_is_not_kept() {
        for result in ["", "1", "[]", "{", r#"{"_meta":1}"#] {
            assert_eq!(keep(result), None, "{result}");
        }
    }
}
