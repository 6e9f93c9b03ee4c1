//! The few parameters of a client's message that Moorline reads, in one strict pass. The arguments of a tool
//! are found but never parsed; a value of the wrong type counts as absent, for the backend to judge.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::PeekError;
use super::version::META_PROTOCOL_VERSION;

/// What a message's `params` say, as far as Moorline cares. All of it borrowed from the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params<'a> {
    /// `name`: the tool or prompt.
    pub name: Option<Cow<'a, str>>,
    /// `uri`: the resource.
    pub uri: Option<Cow<'a, str>>,
    /// `arguments`, raw and unparsed.
    pub arguments: Option<&'a str>,
    /// `requestState`, a raw JSON string with its quotes; see [`Message::state_span`](super::envelope::Message::state_span).
    pub request_state: Option<&'a str>,
    /// `level` of `logging/setLevel`.
    pub level: Option<Cow<'a, str>>,
    /// `notifications`, the raw filter of `subscriptions/listen`.
    pub filter: Option<&'a str>,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<Cow<'a, str>>,
    /// The protocol version in `_meta` (modern era).
    pub meta_version: Option<Cow<'a, str>>,
    /// The raw `progressToken` in `_meta`.
    pub progress_token: Option<&'a str>,
    /// The raw `traceparent` in `_meta`; none where it stands there twice.
    pub trace_parent: Option<&'a str>,
    /// The raw `tracestate` in `_meta`.
    pub trace_state: Option<&'a str>,
    /// Bit `n` is set where key `n` of [`KEYS`] stands there in another case.
    miscased: u16,
}

const KEYS: [&str; 8] =
    ["name", "arguments", "uri", "_meta", "requestState", "level", "notifications", "protocolVersion"];
const META_KEYS: [&str; 4] = [META_PROTOCOL_VERSION, "progressToken", "traceparent", "tracestate"];

/// Of the keys in `_meta`, so many must not stand there twice. The others decide nothing: what is odd about them is passed over.
const META_ONCE: usize = 2;

impl Params<'_> {
    /// The first key that `method` is decided by and that is spelled in another case.
    pub(super) fn miscased(&self, method: &str) -> Option<&'static str> {
        if self.miscased == 0 {
            return None;
        }
        let read = match method {
            "tools/call" | "prompts/get" => 0b0001_1011,
            "resources/read" => 0b0001_1100,
            "resources/subscribe" | "resources/unsubscribe" => 0b0000_1100,
            "logging/setLevel" => 0b0010_1000,
            "subscriptions/listen" => 0b0100_1000,
            "initialize" => 0b1000_0000,
            _ => 0,
        };
        KEYS.iter().enumerate().find(|(at, _)| self.miscased & read & (1 << at) != 0).map(|(_, key)| *key)
    }
}

/// A key of an object, looked up in a table.
pub(super) enum Key {
    Known(usize),
    Miscased(usize),
    Other,
}

pub(super) struct Table(pub(super) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Table {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Key, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Table {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        if let Some(at) = self.0.iter().position(|known| *known == key) {
            return Ok(Key::Known(at));
        }
        Ok(self.0.iter().position(|known| folds_to(key, known)).map_or(Key::Other, Key::Miscased))
    }
}

/// Whether a reader that ignores case takes `key` for `known`: ASCII, and the two letters that Unicode folds to ASCII.
fn folds_to(key: &str, known: &str) -> bool {
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(known);
    }
    let folded = key.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(known.chars().map(|letter| letter.to_ascii_lowercase()))
}

/// Notes `at` as seen; an error, left in `trouble`, if it was seen before.
pub(super) fn once<E: Error>(
    seen: &mut u16,
    at: usize,
    keys: &[&'static str],
    trouble: &mut Option<PeekError>,
) -> Result<(), E> {
    if *seen & (1 << at) != 0 {
        *trouble = Some(PeekError::DuplicateKey { key: keys[at] });
        return Err(E::custom("duplicate key"));
    }
    *seen |= 1 << at;
    Ok(())
}

/// A string, or `None` for a value of any other type.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(OrElse { of: self, none: PhantomData })
    }
}

impl<'de> Read<'de> for Text {
    type Out = Option<Cow<'de, str>>;

    fn borrowed(self, text: &'de str) -> Self::Out {
        Some(Cow::Borrowed(text))
    }

    fn owned(self, text: &str) -> Self::Out {
        Some(Cow::Owned(text.to_owned()))
    }
}

/// What is read from a value of the wanted type; any other type is drained and gives the default.
trait Read<'de>: Sized {
    type Out: Default;

    fn borrowed(self, _: &'de str) -> Self::Out {
        Self::Out::default()
    }

    fn owned(self, _: &str) -> Self::Out {
        Self::Out::default()
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::Out::default())
    }
}

struct OrElse<'de, R> {
    of: R,
    none: PhantomData<&'de ()>,
}

impl<'de, R: Read<'de>> Visitor<'de> for OrElse<'de, R> {
    type Value = R::Out;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(self.of.borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.of.owned(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.of.object(map)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(R::Out::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(R::Out::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(R::Out::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(R::Out::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(R::Out::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(R::Out::default())
    }
}

/// Reads `params`; anything but an object reads as empty.
pub(super) struct ParamsSeed<'t> {
    pub(super) trouble: &'t mut Option<PeekError>,
}

impl<'de> DeserializeSeed<'de> for ParamsSeed<'_> {
    type Value = Params<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(OrElse { of: self, none: PhantomData })
    }
}

impl<'de> Read<'de> for ParamsSeed<'_> {
    type Out = Params<'de>;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        let mut params = Params::default();
        let mut seen = 0;
        while let Some(key) = map.next_key_seed(Table(&KEYS))? {
            match key {
                Key::Known(at) => {
                    once(&mut seen, at, &KEYS, self.trouble)?;
                    params.read(at, &mut map, self.trouble)?;
                }
                Key::Miscased(at) => {
                    params.miscased |= 1 << at;
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(params)
    }
}

impl<'a> Params<'a> {
    fn read<A: MapAccess<'a>>(
        &mut self,
        at: usize,
        map: &mut A,
        trouble: &mut Option<PeekError>,
    ) -> Result<(), A::Error> {
        match at {
            0 => self.name = map.next_value_seed(Text)?,
            1 => self.arguments = Some(raw(map)?),
            2 => self.uri = map.next_value_seed(Text)?,
            3 => map.next_value_seed(MetaSeed { params: self, trouble })?,
            4 => self.request_state = Some(raw(map)?).filter(|state| state.starts_with('"')),
            5 => self.level = map.next_value_seed(Text)?,
            6 => self.filter = Some(raw(map)?),
            _ => self.protocol_version = map.next_value_seed(Text)?,
        }
        Ok(())
    }
}

fn raw<'a, A: MapAccess<'a>>(map: &mut A) -> Result<&'a str, A::Error> {
    Ok(map.next_value::<&RawValue>()?.get())
}

/// Reads `_meta` into the params it stands in.
struct MetaSeed<'p, 't, 'a> {
    params: &'p mut Params<'a>,
    trouble: &'t mut Option<PeekError>,
}

impl<'de> DeserializeSeed<'de> for MetaSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(OrElse { of: self, none: PhantomData })
    }
}

impl<'de> Read<'de> for MetaSeed<'_, '_, 'de> {
    type Out = ();

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0;
        while let Some(key) = map.next_key_seed(Table(&META_KEYS))? {
            let Key::Known(at) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let twice = seen & (1 << at) != 0;
            if at < META_ONCE {
                once(&mut seen, at, &META_KEYS, self.trouble)?;
            }
            seen |= 1 << at;
            match at {
                0 => self.params.meta_version = map.next_value_seed(Text)?,
                1 => self.params.progress_token = Some(raw(&mut map)?),
                2 => self.params.trace_parent = Some(raw(&mut map)?).filter(|_| !twice),
                _ => self.params.trace_state = Some(raw(&mut map)?).filter(|_| !twice),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_knows_the_two_letters_that_unicode_folds_to_ascii() {
        assert!(folds_to("Name", "name"));
        assert!(folds_to("argument\u{17f}", "arguments"));
        assert!(folds_to("progressTo\u{212a}en", "progressToken"));
        assert!(!folds_to("naïve", "naive"));
        assert!(!folds_to("names", "name"));
    }
}
