//! What is forgotten, and when: by a call that has changed something, by what a server says of its own changes, and by
//! whoever asks for it. Each order is a list of tags; how it is carried out is the store's business.

use std::sync::Arc;

use super::lists::cursor_of;
use super::{Cache, tags};
use crate::exchange::{Act, Answer, Ask, Call, Exchange, Lesson, Moored};
use crate::mcp::frame::{Frame, Outcome, peek_frame};
use crate::mcp::needle::needle;
use crate::mcp::{raw, sse};
use crate::names::{PoolId, SessionId};
use crate::store::StoreError;
use crate::store::results::Tag;

needle!(
    /// What stands in a notification by which a server says that something of it has changed.
    CHANGED = b"list_changed";
    UPDATED = b"updated";
);

/// What somebody wants forgotten: all that hangs on any of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Everything.
    pub all: bool,
    /// Everything of these pools, or, where tools are named, only theirs.
    pub pools: Vec<PoolId>,
    /// Tools by name, or patterns that a rule's `invalidates` has.
    pub tools: Vec<Box<str>>,
    /// Callers, by name or address.
    pub callers: Vec<Box<str>>,
    /// Sessions.
    pub sessions: Vec<SessionId>,
    /// Tags that rules have given.
    pub tags: Vec<Box<str>>,
}

/// A pattern that no rule has: what hangs on it was not noted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no rule has `{0}` among what it invalidates; name a tool, or a tag")]
pub struct UnknownPattern(pub Box<str>);

impl Cache {
    /// Forgets what somebody wants forgotten, everywhere. `pools` are all that there are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it is forgotten here, and elsewhere as soon as the store is back.
    pub async fn purge(&self, tags: &[Tag]) -> Result<(), StoreError> {
        self.counts.orders.increment();
        self.results.forget_everywhere(tags).await
    }

    /// Forgets here at once, and elsewhere soon.
    pub(super) fn forget(&self, tags: &[Tag]) {
        self.counts.orders.increment();
        self.results.forget(tags);
    }

    /// The tags of what somebody wants forgotten; `pools` are all that there are.
    ///
    /// # Errors
    /// [`UnknownPattern`].
    pub fn tags_of(&self, purge: &Purge, pools: &[PoolId]) -> Result<Vec<Tag>, UnknownPattern> {
        let mut tags: Vec<Tag> = Vec::new();
        tags.extend(purge.all.then(tags::all));
        let pools = if purge.pools.is_empty() { pools } else { &purge.pools };
        if purge.tools.is_empty() {
            tags.extend(purge.pools.iter().map(|pool| tags::pool(*pool)));
        }
        for tool in &purge.tools {
            let is_pattern = tool.contains('*');
            if is_pattern && !self.rules.load().has_glob(tool) {
                return Err(UnknownPattern(tool.clone()));
            }
            let tag = |pool: &PoolId| if is_pattern { tags::glob(*pool, tool) } else { tags::tool(*pool, tool) };
            tags.extend(pools.iter().map(tag));
            tags.extend(pools.iter().filter(|_| is_pattern).map(|pool| tags::any_glob(*pool)));
        }
        tags.extend(purge.callers.iter().map(|caller| tags::caller(caller)));
        tags.extend(purge.sessions.iter().map(|id| tags::session(*id)));
        tags.extend(purge.tags.iter().map(|tag| tags::named(tag)));
        Ok(tags)
    }

    /// Whether the request may make others forget something.
    #[must_use]
    pub fn may_change(&self, exchange: &Exchange) -> bool {
        !self.rules.load().forgotten_by(exchange).is_empty()
    }

    /// What a request changes, before it is sent: it is forgotten once the request has succeeded, or may have.
    #[must_use]
    pub fn change(self: &Arc<Self>, exchange: &Exchange) -> Option<Change> {
        let tags = self.rules.load().forgotten_by(exchange);
        let id = match &exchange.ask {
            Ask::Call(call) => Some(call.id.clone()),
            // Which of its answers is whose is not looked into.
            _ => None,
        };
        (!tags.is_empty()).then(|| Change { cache: Arc::clone(self), tags, id })
    }

    /// Learns from an answer, now or when the result passes; `others` is what the rest of the program still wants to learn of it.
    #[must_use]
    pub fn learn(self: &Arc<Self>, exchange: &Exchange, answer: &Answer, others: Option<Lesson>) -> Option<Lesson> {
        match &exchange.ask {
            Ask::Call(Call { act: Act::ListTools, .. }) if self.results.is_shared() => {
                self.learn_list(exchange, answer, others)
            }
            _ => others,
        }
    }

    /// Keeps a list of tools for the other instances.
    fn learn_list(self: &Arc<Self>, exchange: &Exchange, answer: &Answer, others: Option<Lesson>) -> Option<Lesson> {
        let Ask::Call(Call { id, .. }) = &exchange.ask else { return others };
        let (cache, pool, id, mut others) = (Arc::clone(self), exchange.pool.id, id.clone(), others);
        let cursor = cursor_of(exchange);
        let keep = move |message: &[u8]| {
            let frame = peek_frame(message).filter(|frame| frame.answers(&id));
            if let Some(result) = frame.as_ref().and_then(Frame::result) {
                cache.keep_list(pool, &cursor, result);
            }
        };
        if let Some(whole) = &answer.whole {
            keep(whole);
            return others;
        }
        Some(Box::new(move |message| {
            keep(message);
            others.as_mut().and_then(|others| others(message))
        }))
    }

    /// Hears what a server of a pool says: events, or a message.
    pub fn hear(&self, pool: PoolId, said: &[u8]) {
        if !CHANGED.is_in(said) && !UPDATED.is_in(said) {
            return;
        }
        let tags: Vec<Tag> = if said.starts_with(b"{") {
            changed(pool, said).unwrap_or_default()
        } else {
            let events = sse::events(said);
            events.filter_map(|event| event.data.as_deref().and_then(|data| changed(pool, data))).flatten().collect()
        };
        if !tags.is_empty() {
            self.forget(&tags);
        }
    }

    /// Whether a client's message is to be kept from its server: it cancels a call that others wait for.
    #[must_use]
    pub fn holds_back(&self, exchange: &Exchange, moored: Option<&Arc<Moored>>) -> bool {
        let Ask::Note(said) = &exchange.ask else { return false };
        if self.led.is_empty() || said.method.as_deref() != Some("notifications/cancelled") {
            return false;
        }
        let id = raw::utf8(&exchange.body).and_then(|body| raw::at(body, &["params", "requestId"]));
        let (Some(id), Some(moored)) = (id, moored) else { return false };
        let led = self.led.get(&(moored.id, id.into())).and_then(|led| led.upgrade());
        match led {
            Some(fetch) if fetch.is_followed() => true,
            Some(fetch) => {
                fetch.takes_nobody();
                false
            }
            None => false,
        }
    }
}

/// What a notification says has changed.
fn changed(pool: PoolId, message: &[u8]) -> Option<Vec<Tag>> {
    let Frame::Notification { method, params } = peek_frame(message)? else { return None };
    let lists = |names: &[&str]| Some(names.iter().map(|name| tags::method(pool, name)).collect());
    match &*method {
        "notifications/tools/list_changed" => lists(&["tools/list"]),
        "notifications/prompts/list_changed" => lists(&["prompts/list", "prompts/get"]),
        "notifications/resources/list_changed" => lists(&["resources/list", "resources/templates/list"]),
        "notifications/resources/updated" => {
            let [uri] = raw::pick(params?, ["uri"])?;
            Some(vec![tags::resource(pool, &raw::text(uri?)?)])
        }
        _ => None,
    }
}

/// What one request changes.
pub struct Change {
    cache: Arc<Cache>,
    tags: Vec<Tag>,
    id: Option<Box<str>>,
}

impl Change {
    /// Takes in the answer, now or when the result passes; `others` is what the rest of the program still wants to learn of it.
    #[must_use]
    pub fn learn(mut self, answer: &Answer, others: Option<Lesson>) -> Option<Lesson> {
        if answer.status.is_client_error() {
            self.did_not_happen();
            return others;
        }
        if let Some(whole) = &answer.whole {
            self.heed(whole);
            return others;
        }
        let mut others = others;
        Some(Box::new(move |message| {
            self.heed(message);
            others.as_mut().and_then(|others| others(message))
        }))
    }

    /// The request provably was not executed, or has failed.
    pub fn did_not_happen(&mut self) {
        self.tags.clear();
    }

    /// Looks at a message of the server's.
    fn heed(&mut self, message: &[u8]) {
        let Some(id) = &self.id else { return };
        let Some(frame) = peek_frame(message).filter(|frame| frame.answers(id)) else { return };
        let Frame::Response { outcome, .. } = frame else { return };
        let failed = match outcome {
            Outcome::Error(_) => true,
            Outcome::Result(result) => raw::at(result, &["isError"]).and_then(raw::boolean) == Some(true),
        };
        if failed {
            self.did_not_happen();
        } else {
            // Before the client hears of it.
            self.cache.forget(&std::mem::take(&mut self.tags));
        }
    }
}

impl Drop for Change {
    /// Nobody knows what became of the request: it may have changed something.
    fn drop(&mut self) {
        if !self.tags.is_empty() {
            self.cache.forget(&self.tags);
        }
    }
}
