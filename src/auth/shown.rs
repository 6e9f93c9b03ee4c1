//! The credential that a request shows, as text. Judges its form alone.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::denied::{Denied, Oddity};

/// The token in `Authorization: Bearer` (RFC 6750 §2.1), of `longest` bytes at most. Another scheme, or nothing after its
/// name, is no credential of ours.
pub(super) fn bearer(headers: &HeaderMap, longest: usize) -> Result<&str, Denied> {
    let text = only(headers, &AUTHORIZATION)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Denied::Missing);
    }
    checked(token, longest)
}

/// All that a header field holds.
pub(super) fn field<'a>(headers: &'a HeaderMap, name: &HeaderName, longest: usize) -> Result<&'a str, Denied> {
    let text = only(headers, name)?.trim();
    if text.is_empty() { Err(Denied::Missing) } else { checked(text, longest) }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Denied> {
    let mut values = headers.get_all(name).iter();
    let value: &HeaderValue = values.next().ok_or(Denied::Missing)?;
    if values.next().is_some() {
        return Err(Denied::Malformed(Oddity::Twice));
    }
    value.to_str().map_err(|_| Denied::Malformed(Oddity::NoToken))
}

/// `b64token` (RFC 6750 §2.1).
fn checked(token: &str, longest: usize) -> Result<&str, Denied> {
    if token.len() > longest {
        return Err(Denied::Malformed(Oddity::TooLong));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.bytes().all(plain) { Ok(token) } else { Err(Denied::Malformed(Oddity::NoToken)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Denied> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers, 8).map(str::to_owned)
    }

    #[test]
    fn a_bearer_token_stands_alone() {
        assert_eq!(read(&["Bearer abc"]).as_deref(), Ok("abc"));
        assert_eq!(read(&["bEARER   a.b-c=="]).as_deref(), Ok("a.b-c=="));
        for nothing in [&[][..], &["Basic YTpi"], &["Bearer"], &["Bearer "], &["Bearerabc"]] {
            assert_eq!(read(nothing), Err(Denied::Missing), "{nothing:?}");
        }
        assert_eq!(read(&["Bearer a", "Bearer b"]), Err(Denied::Malformed(Oddity::Twice)));
        assert_eq!(read(&["Bearer a b"]), Err(Denied::Malformed(Oddity::NoToken)));
        assert_eq!(read(&["Bearer \u{e9}"]), Err(Denied::Malformed(Oddity::NoToken)));
        assert_eq!(read(&["Bearer 123456789"]), Err(Denied::Malformed(Oddity::TooLong)));
    }
}
