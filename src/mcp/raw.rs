//! Picks single values out of JSON text without building a document. Lenient, as `JSON.parse` is: of a repeated
//! key the last one counts. What must be strict (a client's envelope) is read in `envelope`, not here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The raw texts of `keys` in the JSON object `text`; `None` where `text` is no JSON object.
#[must_use]
pub fn pick<'a, const N: usize>(text: &'a str, keys: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(Pick { keys: &keys }).ok()?;
    json.end().ok()?;
    Some(found)
}

/// Follows a path of object keys and gives the raw text at its end.
#[must_use]
pub fn at<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(text, |inside, key| pick(inside, [*key])?[0])
}

/// The raw texts of a JSON array's elements, in order; `None` where `text` is no JSON array.
#[must_use]
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(raw.into_iter().map(RawValue::get).collect())
}

/// Every key and raw value of a JSON object, in order, repeated keys included.
#[must_use]
pub fn entries(text: &str) -> Option<Vec<(String, &str)>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(Entries).ok()?;
    json.end().ok()?;
    Some(found)
}

/// The value of a raw JSON string; `None` where it is none. Borrowed where nothing is escaped.
#[must_use]
pub fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr2(b'\\', b'"', inner.as_bytes()).is_none() && !inner.bytes().any(|byte| byte < 0x20) {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// The raw JSON string of a value.
#[must_use]
pub fn quote(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// The boolean of a raw JSON value; `None` where it is none.
#[must_use]
pub fn boolean(raw: &str) -> Option<bool> {
    match raw {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Whether `raw` is exactly one JSON number.
#[must_use]
pub fn is_number(raw: &str) -> bool {
    raw.bytes().next().is_some_and(|byte| byte == b'-' || byte.is_ascii_digit())
        && raw.bytes().next_back().is_some_and(|byte| byte.is_ascii_digit())
        && serde_json::from_str::<IgnoredAny>(raw).is_ok()
}

/// Whether two raw ids are the same JSON-RPC id: the same text, or strings that are equal once decoded.
#[must_use]
pub fn same_id(left: &str, right: &str) -> bool {
    left == right || matches!((text(left), text(right)), (Some(left), Some(right)) if left == right)
}

struct Pick<'k, const N: usize> {
    keys: &'k [&'k str; N],
}

impl<'de, const N: usize> Visitor<'de> for Pick<'_, N> {
    type Value = [Option<&'de str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(at) = map.next_key_seed(Position { keys: self.keys })? {
            match at {
                Some(at) => found[at] = Some(map.next_value::<&RawValue>()?.get()),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Where a key stands in a list of keys.
struct Position<'k> {
    keys: &'k [&'k str],
}

impl<'de> DeserializeSeed<'de> for Position<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Position<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.keys.iter().position(|known| *known == key))
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            found.push((key, map.next_value::<&RawValue>()?.get()));
        }
        Ok(found)
    }
}

/// Bytes as text; `None` where they are not UTF-8.
#[must_use]
pub fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_raw_texts_and_the_last_of_repeated_keys() {
        let [a, b, none] = pick(r#"{"a": [1, {"b":2}] ,"b":1,"\u0062":"x"}"#, ["a", "b", "c"]).unwrap();
        assert_eq!((a, b, none), (Some(r#"[1, {"b":2}]"#), Some(r#""x""#), None));
        assert!(pick("[]", ["a"]).is_none());
        assert!(pick("{} {}", ["a"]).is_none());
    }

    #[test]
    fn follows_paths() {
        assert_eq!(at(r#"{"a":{"b":{"c": 7 }}}"#, &["a", "b", "c"]), Some("7"));
        assert_eq!(at(r#"{"a":5}"#, &["a", "b"]), None);
    }

    #[test]
    fn decodes_strings_and_borrows_where_it_can() {
        assert!(matches!(text(r#""plain""#), Some(Cow::Borrowed("plain"))));
        assert_eq!(text(r#""a\u0062\"""#).unwrap(), "ab\"");
        assert_eq!(text("5"), None);
        assert_eq!(text("\"a\"b\""), None);
        assert_eq!(text("\""), None);
    }

    #[test]
    fn knows_numbers() {
        for number in ["0", "-1", "1.5e+3", "18446744073709551616"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["", "01", "1 ", " 1", "\"1\"", "1,2", "{}", "-", "NaN", "1}"] {
            assert!(!is_number(other), "{other}");
        }
    }

    #[test]
    fn ids_are_the_same_however_they_are_escaped() {
        assert!(same_id(r#""a""#, r#""\u0061""#));
        assert!(same_id("1", "1"));
        assert!(!same_id("1", r#""1""#));
    }
}
