//! What a request to the admin API carries: names in its path, parameters in its query, an object in its body. Bounded in size and
//! time, and refused where it is not understood to the last word.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::problem::Problem;

/// The largest body that is read, in bytes.
pub const LARGEST: usize = 64 * 1024;

/// Characters of a caller, a subject, or anything else that is named in a query or a body, at most.
pub const LONGEST_TEXT: usize = 1024;

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The object in a request's body.
#[derive(Debug)]
pub struct Told<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Told<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        // Who says nothing means an object without members.
        if request.body().is_end_stream() {
            return read(b"{}");
        }
        if !request.headers().get(CONTENT_TYPE).is_some_and(is_json) {
            let words = "send a JSON object: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", words));
        }
        let body = Limited::new(request.into_body(), LARGEST);
        let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body did not come in time");
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.map_err(late)?;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => {
                let words = format!("the body is larger than {LARGEST} bytes");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", words)
            }
            None => Problem::malformed("the body broke off"),
        })?;
        read(&body.to_bytes())
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Told<T>, Problem> {
    let told = serde_json::from_slice(body);
    told.map(Told).map_err(|error| Problem::malformed(format!("the body is not understood: {error}")))
}

/// A name in the path.
#[derive(Debug)]
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        named.map(|Path(name)| Self(name)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

/// The parameters in the query.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        if !parts.uri.query().is_none_or(is_well_escaped) {
            return Err(Problem::malformed("the query is not well escaped"));
        }
        let params = Query::<T>::try_from_uri(&parts.uri);
        params.map(|Query(params)| Self(params)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

/// Whether a text that was sent is as long as it may be.
pub fn within(most: usize, (name, text): (&str, Option<&str>)) -> Result<(), Problem> {
    if text.is_none_or(|text| text.chars().take(most + 1).count() <= most) {
        return Ok(());
    }
    Err(Problem::malformed(format!("{name} is longer than {most} characters")))
}

/// Reads a member that may be left out, but not be null.
///
/// # Errors
/// Where its value is not what it should be.
pub fn unless_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

fn is_json(kind: &HeaderValue) -> bool {
    let Ok(kind) = kind.to_str() else { return false };
    kind.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether each `%` begins an escape, and what they say is UTF-8. Whoever reads a query leniently takes the escape for the name.
fn is_well_escaped(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let read =
            if byte == b'%' { hex(rest.next()).zip(hex(rest.next())).map(|(a, b)| a * 16 + b) } else { Some(byte) };
        let Some(read) = read else { return false };
        bytes.push(read);
    }
    std::str::from_utf8(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_badly_escaped_is_told_from_what_is_not() {
        for good in ["", "a=1&subject=10.0.0.1%20search+x", "subject=%C3%A4", "a=ä"] {
            assert!(is_well_escaped(good), "{good}");
        }
        for bad in ["subject=%g1", "subject=%ff", "subject=%4", "a=%", "a=%zz&b=1"] {
            assert!(!is_well_escaped(bad), "{bad}");
        }
    }

    #[test]
    fn parameters_of_the_media_type_do_not_matter() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
            assert!(is_json(&HeaderValue::from_static(good)), "{good}");
        }
        for bad in ["text/json", "application/jsonp", "application/problem+json", ""] {
            assert!(!is_json(&HeaderValue::from_static(bad)), "{bad}");
        }
    }
}
