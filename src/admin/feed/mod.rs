//! The live feed of the dashboard: a snapshot for whoever comes, then once a second what has changed, and moves and events as they
//! happen (server-sent events). One producer makes each word once for all viewers; where nobody looks, it keeps the history and
//! does nothing else. It orders nothing, and asks no store for the sake of a viewer.

mod history;
mod moves;
mod others;
mod producer;
mod seats;
mod views;

use std::convert::Infallible;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use tokio::sync::broadcast::{self, Receiver, error::RecvError};
use tokio::time::timeout;

use super::Admin;
use super::problem::Problem;
use history::History;
use seats::{Seat, Seats};

pub use moves::{Moves, Noter, moves};

/// Whoever comes waits so long at most for what takes time to find out, and is told it later if it takes longer.
const PATIENCE: Duration = Duration::from_millis(200);

/// Words that a viewer may lag behind. One that lags further is told everything anew instead.
const BEHIND: usize = 64;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/feed", get(feed))
}

/// What the feed keeps between its words.
#[derive(Debug)]
pub struct Feed {
    news: broadcast::Sender<Bytes>,
    seats: Seats,
    /// Held for one look or one more sample; by the producer once in five seconds, and by each viewer that comes.
    history: Mutex<History>,
    /// What takes time to find out, as it was found out last: for viewers that come. Held as briefly.
    slow: Mutex<views::Slow>,
    /// When the store was found away, in milliseconds since 1970; 0 while it answers.
    away_since: AtomicU64,
}

impl Default for Feed {
    fn default() -> Self {
        let news = broadcast::Sender::new(BEHIND);
        Self {
            news,
            seats: Seats::default(),
            history: Mutex::default(),
            slow: Mutex::default(),
            away_since: AtomicU64::new(0),
        }
    }
}

impl Feed {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slow(&self) -> MutexGuard<'_, views::Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all viewers.
    fn tell(&self, kind: &str, data: &impl Serialize) {
        // That nobody listens is no failure.
        let _ = self.news.send(event(kind, data));
    }
}

/// One server-sent event. JSON has no line breaks of its own, so its data is one line.
fn event(kind: &str, data: &impl Serialize) -> Bytes {
    // Texts and numbers can always be written.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {kind}\ndata: {data}\n\n").into()
}

/// Somebody who looks.
struct Viewer {
    admin: Arc<Admin>,
    seat: Arc<Seat>,
    news: Receiver<Bytes>,
    is_new: bool,
}

async fn feed(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let seat = admin.feed.seats.take(admin.clock.micros());
    let seat =
        seat.ok_or_else(|| Problem::away("many_viewers", "as many look at the feed as may; close a dashboard"))?;
    let viewer = Viewer { news: admin.feed.news.subscribe(), admin, seat, is_new: true };
    let words = stream::unfold(viewer, |mut viewer| async {
        let word = viewer.next().await?;
        Some((Ok::<_, Infallible>(word), viewer))
    });
    let mut response = Response::new(Body::from_stream(words));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies before us shall hold nothing back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Viewer {
    /// The next word; none where the seat was given to somebody else.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.seat.keep(self.admin.clock.micros()) {
            return None;
        }
        if std::mem::take(&mut self.is_new) {
            // Nobody may have looked for long.
            if self.admin.feed.slow().tools.is_none() {
                drop(timeout(PATIENCE, views::look_closer(&self.admin)).await);
            }
            return Some(self.snapshot());
        }
        match self.news.recv().await {
            Ok(word) => Some(word),
            Err(RecvError::Lagged(_)) => {
                self.news = self.news.resubscribe();
                Some(self.snapshot())
            }
            Err(RecvError::Closed) => None,
        }
    }

    /// All there is. What changes while it is made is told again by the next tick: ticks say how things are, not by how much they
    /// have changed.
    fn snapshot(&self) -> Bytes {
        event("snapshot", &views::snapshot(&self.admin))
    }
}
