//! What balancers and orchestrators ask for: `/livez` (is the process alive), `/readyz` (should traffic come here), `/health`
//! (the same for people, always 200 while alive). Served on the main and on the admin listener.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::drain::{Drain, Phase};
use crate::fleet::Fleet;
use crate::session::Sessions;

/// The answer for this path, if it is one of these.
#[must_use]
pub fn answer(path: &str, fleet: &Fleet, drain: &Drain, sessions: &Sessions) -> Option<Response<Bytes>> {
    let (status, body) = match path {
        "/livez" => (StatusCode::OK, Bytes::from_static(b"{\"status\":\"alive\"}\n")),
        "/readyz" if !is_ready(fleet, drain) => (StatusCode::SERVICE_UNAVAILABLE, report(fleet, drain, sessions)),
        "/readyz" | "/health" => (StatusCode::OK, report(fleet, drain, sessions)),
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

fn report(fleet: &Fleet, drain: &Drain, sessions: &Sessions) -> Bytes {
    let away = sessions.store_is_away();
    let all_well = !away && fleet.pools().iter().all(|pool| pool.is_up());
    let status = match (drain.phase(), is_ready(fleet, drain), all_well) {
        (Phase::Serving, true, true) => "ready",
        (Phase::Serving, true, false) => "degraded",
        (Phase::Serving, false, _) => "no backend",
        _ => "draining",
    };
    let store = if away { "away" } else { "well" };
    let mut text = format!("{{\"status\":\"{status}\",\"store\":\"{store}\",\"pools\":[");
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
