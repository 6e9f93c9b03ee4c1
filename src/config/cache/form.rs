//! The forms of values that only the cache has: scopes, arguments, header fields. Knows no particular row.

use http::HeaderName;

use super::{CacheScope, Pointer};
use crate::config::form::Complaint;
use crate::config::limit::form as limit;
use crate::config::nearest::nearest;
use crate::config::values;

/// The scopes that are one word.
const SCOPES: [(&str, CacheScope); 3] =
    [("caller", CacheScope::Caller), ("session", CacheScope::Session), ("public", CacheScope::Public)];

/// Bytes of an argument's name at most.
const LONGEST_NAME: usize = 256;

/// Who shares a result.
pub(in crate::config) fn scope(text: &str) -> Result<CacheScope, Complaint> {
    if let Some((_, scope)) = SCOPES.iter().find(|(word, _)| *word == text) {
        return Ok(scope.clone());
    }
    match text.split_once(':') {
        Some(("header", name)) => limit::header(text, name).map(CacheScope::Header),
        Some(("claim", name)) => limit::claim(text, name).map(CacheScope::Claim),
        _ => {
            let unknown = Complaint::bad(format!("`{text}` is none of the accepted scopes"));
            Err(match nearest(text, SCOPES.iter().map(|(word, _)| *word)) {
                Some(near) => unknown.help(format!("did you mean \"{near}\"?")),
                None => unknown,
            })
        }
    }
}

/// A header field.
pub(in crate::config) fn header(text: &str) -> Result<HeaderName, Complaint> {
    limit::header(text, text).map_err(|complaint| complaint.help("write for instance \"accept-language\""))
}

/// A tag.
pub(in crate::config) fn tag(text: &str) -> Result<Box<str>, Complaint> {
    values::name(text).map(String::into_boxed_str)
}

/// An argument: its name, or a JSON pointer to it.
pub(in crate::config) fn argument(text: &str) -> Result<Pointer, Complaint> {
    if text.starts_with('/') {
        return limit::pointer(text).map(|segments| segments.into_iter().map(String::into_boxed_str).collect());
    }
    if text.contains('/') {
        let complaint = Complaint::bad(format!("`{text}` is neither a name nor a JSON pointer"));
        return Err(complaint.help(format!("write \"/{text}\"")));
    }
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err(Complaint::bad(format!("a name has 1 to {LONGEST_NAME} bytes")));
    }
    Ok(vec![text.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_names() {
        assert_eq!(scope("public").ok(), Some(CacheScope::Public));
        assert_eq!(scope("header:X-Tenant").ok(), Some(CacheScope::Header(HeaderName::from_static("x-tenant"))));
        assert_eq!(scope("claim:org").ok(), Some(CacheScope::Claim("org".into())));
        for text in ["", "Caller", "private", "header", "header:", "header:a b", "claim:", "global"] {
            assert!(scope(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_argument_is_a_name_or_a_pointer() {
        let segments = |text| argument(text).ok().map(|segments| segments.join("|"));
        assert_eq!(segments("query").as_deref(), Some("query"));
        assert_eq!(segments("a.b~c").as_deref(), Some("a.b~c"));
        assert_eq!(segments("/filter/a~1b/0").as_deref(), Some("filter|a/b|0"));
        for text in ["", "a/b", "/a~", &"a".repeat(LONGEST_NAME + 1)] {
            assert!(argument(text).is_err(), "{text}");
        }
    }
}
