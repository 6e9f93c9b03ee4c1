//! How the admin API says no: `application/problem+json` (RFC 9457) with a reason that programs can go by. Clients of the main
//! listener never see one; theirs stand in `reject.rs`.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;

/// The media type of a problem (RFC 9457 §3).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// When it is worth to ask again what could not be answered now, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Why a request to the admin API was not done as asked.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    /// In the program's own words, always the same for the same problem.
    reason: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<Flaw>,
}

/// One of several things that are wrong with the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// What kind it is.
    pub code: &'static str,
    /// What is wrong.
    pub detail: String,
    /// In which line it stands, from 1.
    pub line: usize,
    /// At which character of that line, from 1.
    pub column: usize,
    /// What would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

#[derive(Serialize)]
struct Words<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "<[Flaw]>::is_empty")]
    errors: &'a [Flaw],
}

impl Problem {
    /// Of this status; `reason` for programs, `detail` for people.
    pub fn new(status: StatusCode, reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason, detail: detail.into(), errors: Vec::new() }
    }

    /// 400: what was sent cannot be understood.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 404: there is no such thing.
    pub fn unknown(reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason, detail)
    }

    /// 503: what would have to be asked does not answer, or not in time.
    pub fn away(reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, detail)
    }

    /// With all that is wrong, one by one.
    pub fn with(self, errors: Vec<Flaw>) -> Self {
        Self { errors, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let words = Words {
            // The title says no more than the status does (RFC 9457 §4.2.1).
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Unknown"),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: self.reason,
            errors: &self.errors,
        };
        // Texts and numbers can always be written.
        let mut response = Response::new(Body::from(serde_json::to_vec_pretty(&words).unwrap_or_default()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, AGAIN);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_problem_says_the_same_to_people_and_programs() {
        let flaw = Flaw { code: "missing", detail: "no such key".into(), line: 3, column: 1, help: None };
        let response = Problem::away("store_away", "try again").with(vec![flaw]).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "1");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "try again",
            "reason": "store_away", "errors": [{"code": "missing", "detail": "no such key", "line": 3, "column": 1}],
        });
        assert_eq!(said, expected);
    }
}
