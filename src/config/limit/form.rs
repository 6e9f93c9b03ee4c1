//! The forms of values that only limits have: keys, patterns, rates, costs, pointers. Knows no particular row.

use http::HeaderName;
use regex::{Regex, RegexBuilder};
use toml::Spanned;
use toml::de::DeValue;

use super::{BackendMost, Glob, LimitKey, Rate, RateError, rate};
use crate::config::fault::{Code, Span};
use crate::config::form::{Complaint, Form};
use crate::config::nearest::nearest;
use crate::config::quantity::Count;
use crate::config::tree::Slot;
use crate::config::values;

/// The keys that are one word.
const KEYS: [(&str, LimitKey); 6] = [
    ("caller", LimitKey::Caller),
    ("address", LimitKey::Address),
    ("session", LimitKey::Session),
    ("tool", LimitKey::Tool),
    ("caller+tool", LimitKey::CallerTool),
    ("global", LimitKey::Global),
];

/// Patterns longer than this are not compiled, in bytes.
const LONGEST_PATTERN: usize = 1024;
/// What a compiled pattern may take of memory, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;
/// Bytes of a claim's name at most.
const LONGEST_CLAIM: usize = 128;
/// Segments of a pointer at most.
const DEEPEST: usize = 16;

/// A limit's or an upstream's name.
pub(in crate::config) fn name(text: &str) -> Result<Box<str>, Complaint> {
    values::name(text).map(String::into_boxed_str)
}

/// A pattern for names.
pub(in crate::config) fn glob(text: &str) -> Result<Glob, Complaint> {
    text.parse().map_err(|source: super::GlobError| Complaint::bad(source.to_string()))
}

/// How much in how long.
pub(in crate::config) fn rate(text: &str) -> Result<Rate, Complaint> {
    text.parse().map_err(|source: RateError| {
        let complaint = Complaint::bad(source.to_string());
        match source {
            RateError::Form(text) => match rate::corrected(&text) {
                Some(meant) => complaint.help(format!("write \"{meant}\"")),
                None => complaint,
            },
            RateError::Nothing(_) | RateError::Fast(_) | RateError::Time(_) => {
                Complaint { code: Code::OutOfRange, ..complaint }.help("accepted: from 1/30d to 1000000/s")
            }
        }
    })
}

/// Who has an account of its own.
pub(in crate::config) fn key(text: &str) -> Result<LimitKey, Complaint> {
    if let Some((_, key)) = KEYS.iter().find(|(word, _)| *word == text) {
        return Ok(key.clone());
    }
    match text.split_once(':') {
        Some(("header", name)) => header(text, name).map(LimitKey::Header),
        Some(("claim", name)) => claim(text, name).map(LimitKey::Claim),
        _ => {
            let unknown = Complaint::bad(format!("`{text}` is none of the accepted keys"));
            Err(match nearest(text, KEYS.iter().map(|(word, _)| *word)) {
                Some(near) => unknown.help(format!("did you mean \"{near}\"?")),
                None => unknown,
            })
        }
    }
}

/// The header that a text names.
pub(in crate::config) fn header(text: &str, name: &str) -> Result<HeaderName, Complaint> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| name.as_str().len() <= 64);
    let wrong = || Complaint::bad(format!("`{text}` names no header")).help("write for instance \"header:x-tenant\"");
    name.ok_or_else(wrong)
}

/// The claim that a text names.
pub(in crate::config) fn claim(text: &str, name: &str) -> Result<Box<str>, Complaint> {
    if name.is_empty() || name.len() > LONGEST_CLAIM || name.chars().any(char::is_control) {
        return Err(Complaint::bad(format!("`{text}` names no claim")).help("write for instance \"claim:org\""));
    }
    Ok(name.into())
}

/// The segments of a JSON pointer (RFC 6901), decoded.
pub(in crate::config) fn pointer(text: &str) -> Result<Vec<String>, Complaint> {
    let Some(rest) = text.strip_prefix('/') else {
        let complaint = Complaint::bad(format!("`{text}` does not start with a slash"));
        return Err(if text.is_empty() {
            complaint
        } else {
            complaint.help(format!("write \"/{}\"", text.replace('.', "/")))
        });
    };
    let segments = rest.split('/').map(|segment| {
        let stray = segment.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
        // In this order, so that `~01` is `~1` (RFC 6901 §4).
        (!stray).then(|| segment.replace("~1", "/").replace("~0", "~"))
    });
    match segments.collect::<Option<Vec<_>>>() {
        None => Err(Complaint::bad("`~` stands in a pointer only as `~0` (for `~`) or `~1` (for `/`)")),
        Some(segments) if segments.len() > DEEPEST => Err(Complaint::bad(format!("more than {DEEPEST} segments"))),
        Some(segments) => Ok(segments),
    }
}

/// A pattern for an upstream's refusals.
pub(in crate::config) fn pattern(text: &str) -> Result<Regex, Complaint> {
    if text.len() > LONGEST_PATTERN {
        return Err(Complaint::bad(format!("a pattern has at most {LONGEST_PATTERN} bytes")));
    }
    let pattern = RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build().map_err(|source| match source {
        regex::Error::CompiledTooBig(_) => Complaint::bad("it takes too much memory").help("repeat less in it"),
        _ => {
            // The message draws the pattern over several lines; the last says what is wrong.
            let drawn = source.to_string();
            let last = drawn.lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.');
            Complaint::bad(format!("it is no regular expression: {last}"))
        }
    })?;
    if pattern.is_match("") {
        return Err(Complaint::bad("it is found in every text").help("every error would pause the upstream"));
    }
    Ok(pattern)
}

/// What calls of particular tools cost, in the order in which they are written.
pub(in crate::config) struct Costs {
    pub cost: Count<u64>,
    /// More entries are a fault.
    pub max: usize,
}

impl Form for Costs {
    type Value = Vec<(Span, (Glob, u64))>;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Self::Value> {
        let table = slot.table(value, (self.max, "entries"), &self.accepted())?;
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(tool, _)| tool.span().start);
        let read: Vec<_> = entries.into_iter().map(|(tool, cost)| self.entry(tool, cost, slot)).collect();
        read.into_iter().collect()
    }

    fn accepted(&self) -> String {
        format!("a table such as {{ summarize = 10, \"ask_*\" = 5 }}, with {}", self.cost.accepted())
    }
}

impl Costs {
    fn entry(
        &self,
        tool: &Spanned<impl AsRef<str>>,
        cost: &Spanned<DeValue<'_>>,
        slot: &mut Slot<'_>,
    ) -> Option<(Span, (Glob, u64))> {
        let tools = glob(tool.get_ref().as_ref());
        if cost.get_ref().is_table() {
            slot.wrong_type(
                cost,
                "a whole number for each tool",
                "a name with a dot in it in quotes, as in \"ask.all\" = 5",
            );
            return None;
        }
        let number = self.cost.read(cost, slot);
        let tools = tools
            .map_err(|complaint| slot.complain(tool.span(), complaint, "a name, with `*` for any number of characters"))
            .ok();
        Some((cost.span(), (tools?, number?)))
    }
}

/// `"adaptive"`, or a number.
pub(in crate::config) struct Most {
    pub fixed: Count<u32>,
    /// The most that is found out, where nothing else is said.
    pub adaptive: u32,
}

impl Form for Most {
    type Value = BackendMost;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<BackendMost> {
        match value.get_ref().as_str() {
            Some("adaptive") => Some(BackendMost::Adaptive(self.adaptive)),
            Some(text) => {
                let complaint = Complaint::bad(format!("`{text}` is none of the accepted values"));
                slot.complain(value.span(), complaint, &self.accepted());
                None
            }
            None => {
                let before = slot.sink.faults.len();
                let fixed = self.fixed.read(value, slot);
                let helps = slot.sink.faults[before..].iter_mut().filter_map(|fault| fault.help.as_mut());
                helps.for_each(|help| help.push_str(", \"adaptive\""));
                fixed.map(BackendMost::Fixed)
            }
        }
    }

    fn accepted(&self) -> String {
        format!("{}, \"adaptive\"", self.fixed.accepted())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn keys_have_names() {
        assert_eq!(key("caller+tool").ok(), Some(LimitKey::CallerTool));
        assert_eq!(key("header:X-Tenant").ok(), Some(LimitKey::Header(HeaderName::from_static("x-tenant"))));
        assert_eq!(key("claim:https://example.com/org").ok(), Some(LimitKey::Claim("https://example.com/org".into())));
        for text in ["", "Caller", "header", "header:", "header:a b", "claim:", "tool+caller"] {
            assert!(key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pointer_is_decoded() {
        assert_eq!(
            pointer("/_meta/usage/totalTokens").ok(),
            Some(vec!["_meta".into(), "usage".into(), "totalTokens".into()])
        );
        assert_eq!(pointer("/a~1b/m~0n/~01/").ok(), Some(vec!["a/b".into(), "m~n".into(), "~1".into(), String::new()]));
        for text in ["", "a", "/~", "/~2", "/a~"] {
            assert!(pointer(text).is_err(), "{text}");
        }
        assert!(pointer(&"/a".repeat(DEEPEST)).is_ok() && pointer(&"/a".repeat(DEEPEST + 1)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(segments in proptest::collection::vec("[ab~/01]{0,4}", 1..5)) {
            let encode = |segment: &String| format!("/{}", segment.replace('~', "~0").replace('/', "~1"));
            let text: String = segments.iter().map(encode).collect();
            prop_assert_eq!(pointer(&text).ok(), Some(segments));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}", scheme in "(header:|claim:|/)?") {
            let text = format!("{scheme}{text}");
            let _ = (name(&text), glob(&text), rate(&text), key(&text), pointer(&text), pattern(&text));
        }
    }
}
