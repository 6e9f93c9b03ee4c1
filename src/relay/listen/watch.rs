//! A stream of change notifications of Moorline's own: what servers say of their lists is heard where no client listens. Opens and
//! hears as clients' streams do; when it is due, and how often it is tried again, is not known here.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};

use super::joined::{Joined, Next, Opening, Outlet};
use super::{Hub, Settings, upstream};
use crate::fleet::Pool;
use crate::mcp::listen::{Filter, resync_frames};
use crate::mcp::version::{
    MCP_METHOD, MCP_PROTOCOL_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROTOCOL_VERSION, V2026_07_28,
};
use crate::wire::{Outgoing, Wire};

/// Under which id it listens.
const ID: &str = "\"moorline-watch\"";

impl Hub {
    /// Listens to what all servers of a pool say of their lists, for as long as they can be heard. Those who hear it learn when
    /// something may have been missed. Returns when nobody can be heard.
    pub(in super::super) async fn watch(
        &self,
        pool: &Arc<Pool>,
        credentials: HeaderMap,
        wire: &Wire,
        settings: &Settings,
    ) {
        let filter = Filter { tools: true, prompts: true, resources: true, ..Filter::default() };
        let missed = resync_frames(&filter, ID);
        let joined = Joined::start(upstream::Source {
            pool: Arc::clone(pool),
            wire: wire.clone(),
            request: request(&filter, credentials),
            introduce: None,
            query: None,
            host: None,
            filter,
            clock: self.clock.clone(),
            max_event: settings.inspect,
            ear: Arc::clone(&self.ear),
        });
        let outlet = joined.enter();
        match joined.opened().await {
            Opening::Open(_) => tracing::debug!(pool = %pool.settings().name, "changes are watched for"),
            Opening::Refused(answer) => {
                return tracing::debug!(pool = %pool.settings().name, status = answer.status.as_u16(), "changes cannot be watched for");
            }
            Opening::Nobody => return,
        }
        while something_was_missed(&joined, &outlet).await {
            missed.iter().for_each(|frame| (self.ear)(pool.id, frame));
        }
    }
}

/// Resolves to true when notifications may have been lost, to false when there is nobody to hear any more. What comes is heard by
/// the stream itself.
async fn something_was_missed(joined: &Joined, outlet: &Outlet) -> bool {
    poll_fn(|context| {
        outlet.waker.register(context.waker());
        loop {
            match outlet.pop() {
                Some(Next::Frame(_)) => {}
                Some(Next::Resync) => return Poll::Ready(true),
                None if !joined.is_alive() => return Poll::Ready(false),
                None => return Poll::Pending,
            }
        }
    })
    .await
}

fn request(filter: &Filter, mut headers: HeaderMap) -> Outgoing {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(V2026_07_28));
    headers.insert(MCP_METHOD, HeaderValue::from_static("subscriptions/listen"));
    let meta = format!(
        "{{\"{META_PROTOCOL_VERSION}\":\"{V2026_07_28}\",\"{META_CLIENT_INFO}\":{{\"name\":\"moorline\",\"version\":\"{}\"}},\"{META_CLIENT_CAPABILITIES}\":{{}}}}",
        env!("CARGO_PKG_VERSION")
    );
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{ID},\"method\":\"subscriptions/listen\",\"params\":{{\"_meta\":{meta},\"notifications\":{}}}}}",
        filter.to_json()
    );
    let path_and_query = http::uri::PathAndQuery::from_static("/");
    Outgoing { method: Method::POST, path_and_query, headers, body: Bytes::from(body), replayable: true }
}
