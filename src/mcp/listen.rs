//! Joining `subscriptions/listen` streams (2026-07-28, Subscriptions): filters in a form that compares, frames
//! stamped with a client's own subscription id, and the frames that Moorline itself sends. It holds no stream.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::raw;
use super::splice::{span_of, splice};
use super::version::META_SUBSCRIPTION_ID;

/// What a client wants to hear, in canonical form: two filters are equal if they ask for the same. Fields that are
/// not known are kept as raw JSON, so that streams with different ones are never joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
    /// `resourceSubscriptions`, as many as the body's bound allows.
    pub uris: BTreeSet<String>,
    /// Unknown fields, and known ones of an unknown type.
    pub others: BTreeMap<String, String>,
}

impl Filter {
    /// Reads the raw `params.notifications`; `None` where it is no object. Leaving a field out, `false` and `[]`
    /// are the same.
    #[must_use]
    pub fn parse(notifications: &str) -> Option<Self> {
        let mut filter = Self::default();
        for (key, value) in raw::entries(notifications)? {
            match (key.as_str(), raw::boolean(value), strings(value)) {
                ("toolsListChanged", Some(wanted), _) => filter.tools = wanted,
                ("promptsListChanged", Some(wanted), _) => filter.prompts = wanted,
                ("resourcesListChanged", Some(wanted), _) => filter.resources = wanted,
                ("resourceSubscriptions", _, Some(uris)) => filter.uris = uris,
                _ => drop(filter.others.insert(key, value.to_owned())),
            }
        }
        Some(filter)
    }

    /// The filter as canonical JSON, for a request of Moorline's own.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut fields = Vec::new();
        for (key, wanted) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if wanted {
                fields.push(format!("\"{key}\":true"));
            }
        }
        if !self.uris.is_empty() {
            let uris: Vec<String> = self.uris.iter().map(|uri| raw::quote(uri)).collect();
            fields.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
        }
        fields.extend(self.others.iter().map(|(key, value)| format!("{}:{value}", raw::quote(key))));
        format!("{{{}}}", fields.join(","))
    }
}

fn strings(value: &str) -> Option<BTreeSet<String>> {
    raw::elements(value)?.into_iter().map(|item| raw::text(item).map(Into::into)).collect()
}

/// The notification with `params._meta`'s subscription id set to the raw JSON id; `_meta` and `params` are made where
/// they are missing, all else stays byte for byte. What is no JSON object, or has `params` or `_meta` that are none,
/// stays as it is.
#[must_use]
pub fn stamp(frame: &[u8], subscription_id: &str) -> Vec<u8> {
    let edit = raw::utf8(frame).and_then(|text| stamping(text, subscription_id));
    edit.map_or_else(|| frame.to_vec(), |(range, new)| splice(frame, &range, new.as_bytes()))
}

fn stamping(frame: &str, id: &str) -> Option<(Range<usize>, String)> {
    let member = format!("\"{META_SUBSCRIPTION_ID}\":{id}");
    let [params] = raw::pick(frame, ["params"])?;
    let Some(params) = params else {
        return insertion(frame, frame, &format!("\"params\":{{\"_meta\":{{{member}}}}}"));
    };
    if params == "null" {
        return Some((span_of(frame.as_bytes(), params.as_bytes())?, format!("{{\"_meta\":{{{member}}}}}")));
    }
    let [meta] = raw::pick(params, ["_meta"])?;
    let Some(meta) = meta else { return insertion(frame, params, &format!("\"_meta\":{{{member}}}")) };
    if meta == "null" {
        return Some((span_of(frame.as_bytes(), meta.as_bytes())?, format!("{{{member}}}")));
    }
    let [old] = raw::pick(meta, [META_SUBSCRIPTION_ID])?;
    match old {
        Some(old) => Some((span_of(frame.as_bytes(), old.as_bytes())?, id.to_owned())),
        None => insertion(frame, meta, &member),
    }
}

/// Puts a member first into `object`, a part of `frame` that is known to be a JSON object.
fn insertion(frame: &str, object: &str, member: &str) -> Option<(Range<usize>, String)> {
    let inside = object.trim_ascii_start().strip_prefix('{')?;
    let comma = if inside.trim_ascii_start().starts_with('}') { "" } else { "," };
    let at = span_of(frame.as_bytes(), inside.as_bytes())?.start;
    Some((at..at, format!("{member}{comma}")))
}

/// The first frame of a stream: the filter (raw JSON) that the server honours.
#[must_use]
pub fn acknowledged(filter: &str, subscription_id: &str) -> Vec<u8> {
    let rest = format!(",\"notifications\":{filter}");
    notification("subscriptions/acknowledged", &rest, subscription_id)
}

/// The raw filter that a server's `notifications/subscriptions/acknowledged` says it honours; `None` for any other
/// frame.
#[must_use]
pub fn acknowledged_filter(frame: &[u8]) -> Option<&str> {
    let [method, params] = raw::pick(raw::utf8(frame)?, ["method", "params"])?;
    if raw::text(method?)? != "notifications/subscriptions/acknowledged" {
        return None;
    }
    raw::at(params?, &["notifications"])
}

/// The response that ends a stream gracefully.
#[must_use]
pub fn complete_result(id: &str) -> Vec<u8> {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\":\"complete\",\
         \"_meta\":{{\"{META_SUBSCRIPTION_ID}\":{id}}}}}}}"
    )
    .into()
}

/// After a gap: one notification for everything in the filter that may have changed unheard. Of unknown fields
/// nothing is known.
#[must_use]
pub fn resync_frames(filter: &Filter, subscription_id: &str) -> Vec<Vec<u8>> {
    let lists = [("tools", filter.tools), ("prompts", filter.prompts), ("resources", filter.resources)];
    let changed = lists.iter().filter(|(_, wanted)| *wanted);
    let changed = changed.map(|(list, _)| notification(&format!("{list}/list_changed"), "", subscription_id));
    let updated = filter.uris.iter().map(|uri| {
        let rest = format!(",\"uri\":{}", raw::quote(uri));
        notification("resources/updated", &rest, subscription_id)
    });
    changed.chain(updated).collect()
}

fn notification(method: &str, rest: &str, id: &str) -> Vec<u8> {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{method}\",\
         \"params\":{{\"_meta\":{{\"{META_SUBSCRIPTION_ID}\":{id}}}{rest}}}}}"
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(frame: &str) -> String {
        String::from_utf8(stamp(frame.as_bytes(), "\"c1\"")).unwrap()
    }

    #[test]
    fn equal_wishes_are_equal_filters() {
        let a = Filter::parse(r#"{"resourceSubscriptions":["b","a","b"],"toolsListChanged":true}"#).unwrap();
        let b = Filter::parse(
            r#"{ "toolsListChanged" : true, "promptsListChanged":false, "resourceSubscriptions":["\u0061","b"] }"#,
        );
        assert_eq!(Some(&a), b.as_ref());
        assert_eq!(a.to_json(), r#"{"toolsListChanged":true,"resourceSubscriptions":["a","b"]}"#);
        assert_eq!(Filter::parse(&a.to_json()), Some(a));
        assert_eq!(Filter::parse("{}"), Filter::parse(r#"{"resourceSubscriptions":[]}"#));
        assert_eq!(Filter::parse("[]"), None);
    }

    #[test]
    fn unknown_fields_keep_filters_apart() {
        let plain = Filter::parse(r#"{"toolsListChanged":true}"#).unwrap();
        for other in [
            r#"{"toolsListChanged":true,"x":1}"#,
            r#"{"toolsListChanged":"true"}"#,
            r#"{"toolsListChanged":true,"resourceSubscriptions":[1]}"#,
        ] {
            let other = Filter::parse(other).unwrap();
            assert_ne!(other, plain);
            assert_eq!(Filter::parse(&other.to_json()), Some(other));
        }
    }

    #[test]
    fn stamps_wherever_the_id_belongs() {
        let key = META_SUBSCRIPTION_ID;
        for (frame, want) in [
            (r#"{"method":"x"}"#, format!(r#"{{"params":{{"_meta":{{"{key}":"c1"}}}},"method":"x"}}"#)),
            (r#"{"params":null}"#, format!(r#"{{"params":{{"_meta":{{"{key}":"c1"}}}}}}"#)),
            (r#"{"params": { }}"#, format!(r#"{{"params": {{"_meta":{{"{key}":"c1"}} }}}}"#)),
            (r#"{"params":{"_meta":{"a":1}}}"#, format!(r#"{{"params":{{"_meta":{{"{key}":"c1","a":1}}}}}}"#)),
            (r#"{"params":{"_meta":null}}"#, format!(r#"{{"params":{{"_meta":{{"{key}":"c1"}}}}}}"#)),
        ] {
            assert_eq!(stamped(frame), want);
        }
        let old = format!(r#"{{"params":{{"_meta":{{"a":1, "{key}": 77 ,"b":2}},"uri":"u"}}}}"#);
        assert_eq!(stamped(&old), old.replace("77", "\"c1\""));
        for odd in ["", "7", "[]", r#"{"params":[]}"#, r#"{"params":{"_meta":5}}"#, "{\"params\":"] {
            assert_eq!(stamped(odd), odd);
        }
    }

    #[test]
    fn frames_of_our_own_are_what_the_specification_shows() {
        let ack = acknowledged(r#"{"toolsListChanged":true}"#, "1");
        assert_eq!(
            String::from_utf8_lossy(&ack),
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"notifications":{"toolsListChanged":true}}}"#
        );
        assert_eq!(acknowledged_filter(&ack), Some(r#"{"toolsListChanged":true}"#));
        assert_eq!(acknowledged_filter(&complete_result("1")), None);
        assert_eq!(
            String::from_utf8_lossy(&complete_result("\"a\"")),
            r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"a"}}}"#
        );
    }

    #[test]
    fn a_gap_is_covered_by_one_frame_for_each_wish() {
        let filter = Filter::parse(r#"{"promptsListChanged":true,"resourceSubscriptions":["f:\"1"]}"#).unwrap();
        let frames: Vec<String> =
            resync_frames(&filter, "5").into_iter().map(|frame| String::from_utf8(frame).unwrap()).collect();
        assert_eq!(frames.len(), 2);
        assert!(frames[0].contains("notifications/prompts/list_changed"));
        assert!(frames[1].contains(r#""uri":"f:\"1""#) && frames[1].contains("subscriptionId\":5"));
        for frame in frames {
            assert_eq!(stamp(frame.as_bytes(), "5"), frame.as_bytes(), "stamped already");
        }
    }
}
