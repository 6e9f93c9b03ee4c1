//! What balancers and orchestrators ask for: `/livez` (is the process alive), `/readyz` (should traffic come here), `/health`
//! (the same for people, always 200 while alive). Served on the main and on the admin listener.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::drain::{Drain, Phase};
use crate::fleet::Fleet;

/// The answer for this path, if it is one of these.
#[must_use]
pub fn answer(path: &str, fleet: &Fleet, drain: &Drain) -> Option<Response<Bytes>> {
    let ready = is_ready(fleet, drain);
    let (status, body) = match path {
        "/livez" => (StatusCode::OK, Bytes::from_static(b"{\"status\":\"alive\"}\n")),
        "/readyz" => {
            (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, report(fleet, drain, ready))
        }
        "/health" => (StatusCode::OK, report(fleet, drain, ready)),
        _ => return None,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// Ready while not going away and while any pool has anybody to serve it.
fn is_ready(fleet: &Fleet, drain: &Drain) -> bool {
    drain.phase() == Phase::Serving && fleet.pools().iter().any(|pool| pool.is_up())
}

fn report(fleet: &Fleet, drain: &Drain, ready: bool) -> Bytes {
    let all_up = fleet.pools().iter().all(|pool| pool.is_up());
    let status = match (drain.phase(), ready, all_up) {
        (Phase::Serving, true, true) => "ready",
        (Phase::Serving, true, false) => "degraded",
        (Phase::Serving, false, _) => "no backend",
        _ => "draining",
    };
    let mut text = format!("{{\"status\":\"{status}\",\"pools\":[");
    for (at, pool) in fleet.pools().iter().enumerate() {
        let backends = pool.backends();
        let up = backends.iter().filter(|backend| backend.takes_requests()).count();
        let comma = if at == 0 { "" } else { "," };
        let name = serde_json::Value::from(pool.settings().name.as_str());
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{{\"name\":{name},\"backends\":{},\"up\":{up}}}", backends.len());
    }
    text.push_str("]}\n");
    text.into()
}
