//! What a backend's answer means for its session: one begins, changes, or is gone. The backend's own session id
//! never gets past this file.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::token::Packed;
use super::{Claim, Ending, Event, Sessions, rounds};
use crate::exchange::{Act, Answer, Ask, Call, Exchange, Heading, Lesson, Moored, Said};
use crate::mcp::dialect::is_unknown_session;
use crate::mcp::frame::peek_frame;
use crate::mcp::needle::needle;
use crate::mcp::sse;
use crate::mcp::version::{Era, MCP_SESSION_ID};
use crate::names::{Epoch, SessionId};
use crate::reject::Cause;
use crate::seal::random;
use crate::store::{Berth, Created, Journal, JournalEdit, Record, StoreError};
use crate::tasks;

/// How long a note to the journal may take that nobody waits for.
const NOTE_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// A note that the store does not take now is told again after this time, for so long.
const NOTE_REST: std::time::Duration = std::time::Duration::from_millis(500);
const NOTE_AGAIN: std::time::Duration = std::time::Duration::from_secs(600);

needle!(ERROR = b"\"error\""; SESSION = b"ession");

/// A body beyond this many bytes is no refusal by a transport.
const LONGEST_REFUSAL: usize = 4096;

/// A longer id from a backend is refused: it could not be sent back in a header by every client.
const LONGEST_BACKEND_ID: usize = 256;

impl Sessions {
    /// Takes in a backend's answer: replaces its session id by ours, notes what has changed, and says what is still to be
    /// learnt from an answer that is streamed.
    ///
    /// # Errors
    /// [`Cause::SessionLost`] where the backend has forgotten the session (which goes on, if it is rebuilt), [`Cause::StoreAway`] and [`Cause::Full`] where a
    /// new one cannot be kept.
    pub async fn settle(
        self: &Arc<Self>,
        exchange: &Exchange,
        moored: Option<&Arc<Moored>>,
        heading: &Heading,
        answer: &mut Answer,
    ) -> Result<Option<Lesson>, Cause> {
        if let (Some(moored), Era::Legacy) = (moored, exchange.era) {
            return self.settle_known(exchange, moored, answer).await;
        }
        let issued = answer.headers.remove(MCP_SESSION_ID);
        if exchange.era == Era::Modern {
            let lesson = rounds::settle(exchange, heading, answer, &self.ring.load_full());
            return Ok(lesson.or_else(|| self.teach(exchange, None, answer)));
        }
        if let (Some(issued), true) = (issued, exchange.opens_session() && answer.status.is_success()) {
            return Box::pin(self.settle_new(exchange, heading, &issued, answer)).await;
        }
        Ok(self.teach(exchange, None, answer))
    }

    async fn settle_known(
        self: &Arc<Self>,
        exchange: &Exchange,
        moored: &Arc<Moored>,
        answer: &mut Answer,
    ) -> Result<Option<Lesson>, Cause> {
        // Before anything else, for the backend's own id goes whatever becomes of the answer; to replace it where it stands costs least.
        match &exchange.claim {
            Some(ours) => drop(answer.headers.insert(MCP_SESSION_ID, ours.clone())),
            None => drop(answer.headers.remove(MCP_SESSION_ID)),
        }
        let body = answer.whole.as_deref().unwrap_or_default();
        let gone = (!answer.status.is_success() || may_speak_of_sessions(body))
            && is_unknown_session(answer.status.as_u16(), body);
        if matches!(exchange.ask, Ask::Goodbye) && (gone || answer.status.is_success()) {
            answer.headers.remove(MCP_SESSION_ID);
            Box::pin(self.end(moored, Ending::Deleted)).await;
            return Ok(None);
        }
        if gone {
            // Whether the session ends with it, or is rebuilt, is not decided here.
            return Err(Cause::SessionLost);
        }
        if answer.status == StatusCode::ACCEPTED {
            Box::pin(self.note_all(moored, exchange)).await;
            return Ok(None);
        }
        if let (Ask::Call(call), Some(whole)) = (&exchange.ask, &answer.whole) {
            // What the client is told has happened is in the journal: whoever rebuilds the session does it too.
            if let Some(edit) = edit_of(&call.act).filter(|_| answer.status.is_success() && succeeded(whole)) {
                Box::pin(self.note(moored, edit)).await;
                return Ok(None);
            }
        }
        Ok(self.teach(exchange, Some(moored), answer))
    }

    async fn settle_new(
        self: &Arc<Self>,
        exchange: &Exchange,
        heading: &Heading,
        issued: &HeaderValue,
        answer: &mut Answer,
    ) -> Result<Option<Lesson>, Cause> {
        let issued = issued.to_str().ok().filter(|id| !id.is_empty() && id.len() <= LONGEST_BACKEND_ID);
        let issued = issued.ok_or_else(|| Cause::BadGateway("its session id cannot be used in a header".into()))?;
        self.has_room(exchange.caller.digest())?;
        let (moored, claim) = self.found(exchange, heading, issued)?;
        let id = claim.seal(&self.ring.load()).map_err(|_| Cause::StoreAway)?;
        let record = self.first_record(exchange, &moored, answer);
        if self.store.create(moored.id, record).await.map_err(|error| refuse(&error))? == Created::AlreadyExists {
            return Err(Cause::StoreAway);
        }
        exchange.pool.learn_that_it_keeps_sessions();
        self.counts.opened.of(moored.pool).increment();
        moored.is_called(|| exchange.caller.label().into());
        let moored = self.remember(moored);
        let value = HeaderValue::from_str(&id).map_err(|_| Cause::StoreAway)?;
        answer.headers.insert(MCP_SESSION_ID, value);
        (self.watcher)(&Event::Opened {
            session: moored.id,
            backend: heading.backend.name.clone(),
            client: client_name(exchange).into(),
        });
        Ok(if answer.whole.is_some() { None } else { self.result_lesson(moored) })
    }

    /// Names a new session.
    fn found(&self, exchange: &Exchange, heading: &Heading, issued: &str) -> Result<(Arc<Moored>, Claim), Cause> {
        let id = SessionId(u128::from_be_bytes(random().map_err(|_| Cause::StoreAway)?));
        let now = self.clock.unix();
        let berth = Berth { backend: heading.backend.id, backend_session: issued.into(), epoch: Epoch(0) };
        let caller = exchange.caller.digest();
        let moored = Moored::new(id, exchange.pool.id, caller, (now, now), Arc::new(berth));
        let claim = Claim {
            session: id,
            caller,
            pool: exchange.pool.id,
            issued: now,
            backend: heading.backend.id,
            backend_session: Packed::new(issued),
        };
        Ok((Arc::new(moored), claim))
    }

    fn first_record(&self, exchange: &Exchange, moored: &Moored, answer: &Answer) -> Record {
        let params = match &exchange.ask {
            Ask::Call(call) => match &call.act {
                Act::Initialize(params) => params.clone(),
                _ => "{}".into(),
            },
            _ => "{}".into(),
        };
        let mut journal = Journal::new(params, moored.caller);
        journal.open = exchange.openly;
        moored.was_opened(exchange.openly);
        moored.is_spoken(&journal.initialize);
        if let Some(JournalEdit::Result { result, protocol_version }) = answer.whole.as_deref().and_then(read_result) {
            journal.result = Some(result);
            journal.protocol_version = protocol_version;
        }
        Record {
            pool: moored.pool,
            journal,
            berth: (*moored.berth()).clone(),
            created: moored.issued,
            last_seen: moored.issued,
        }
    }

    /// The result of `initialize` comes in a stream: it is noted when it passes.
    fn result_lesson(self: &Arc<Self>, moored: Arc<Moored>) -> Option<Lesson> {
        let sessions = Arc::clone(self);
        Some(Box::new(move |message| {
            if let Some(edit) = read_result(message) {
                sessions.note_soon(&moored, edit);
            }
            None
        }))
    }

    /// Learns the tools from a list that no server was asked for, where none are known yet.
    pub fn overhear(&self, exchange: &Exchange, answer: &Answer) {
        let Ask::Call(Call { act: Act::ListTools, id, .. }) = &exchange.ask else { return };
        let Some(whole) = answer.whole.as_deref().filter(|_| self.catalogue.is_empty(exchange.pool.id)) else { return };
        let event = sse::events(whole).find_map(|event| event.data);
        self.catalogue.learn(exchange.pool.id, event.as_deref().unwrap_or(whole), id);
    }

    /// Learns the tools from a list that another instance has heard, and what it says of the tool that is called.
    pub fn learn_list(&self, exchange: &mut Exchange, message: &[u8]) {
        self.catalogue.learn(exchange.pool.id, message, "0");
        exchange.facts = exchange.tool().and_then(|name| self.catalogue.tool(exchange.pool.id, name));
    }

    /// What a plain success teaches: the journal's edits and the catalogue.
    fn teach(self: &Arc<Self>, exchange: &Exchange, moored: Option<&Arc<Moored>>, answer: &Answer) -> Option<Lesson> {
        let Ask::Call(call) = &exchange.ask else { return None };
        if !answer.status.is_success() {
            return None;
        }
        let mut lesson: Lesson = match (&call.act, moored) {
            (Act::ListTools, _) => {
                let (sessions, pool, id) = (Arc::clone(self), exchange.pool.id, call.id.clone());
                Box::new(move |message| {
                    sessions.catalogue.learn(pool, message, &id);
                    None
                })
            }
            (act, Some(moored)) => {
                let edit = edit_of(act)?;
                let (sessions, moored) = (Arc::clone(self), Arc::clone(moored));
                Box::new(move |message| {
                    if succeeded(message) {
                        sessions.note_soon(&moored, edit.clone());
                    }
                    None
                })
            }
            _ => return None,
        };
        match &answer.whole {
            Some(whole) => {
                lesson(whole);
                None
            }
            None => Some(lesson),
        }
    }

    /// Notes what accepted notifications and batches have changed, before the client hears that they were accepted.
    async fn note_all(self: &Arc<Self>, moored: &Arc<Moored>, exchange: &Exchange) {
        let said: &[Said] = match &exchange.ask {
            Ask::Note(said) => std::slice::from_ref(said),
            Ask::Batch(said) => said,
            _ => &[],
        };
        for edit in said.iter().filter_map(|said| edit_of(&said.act)) {
            self.note(moored, edit).await;
        }
    }

    /// Notes an edit. What the store does not take now it is told again, while the client goes on.
    async fn note(self: &Arc<Self>, moored: &Arc<Moored>, edit: JournalEdit) {
        match self.store.note(moored.id, edit.clone()).await {
            Ok(_) => {}
            Err(StoreError::Unavailable { .. }) => {
                let (sessions, moored) = (Arc::clone(self), Arc::clone(moored));
                tasks::detach("journal note", NOTE_AGAIN, async move { sessions.note_again(&moored, edit).await });
            }
            Err(error) => tracing::warn!(session = %moored.id, %error, "the journal did not take a note"),
        }
    }

    async fn note_again(&self, moored: &Moored, edit: JournalEdit) {
        while !moored.has_ended() {
            tokio::time::sleep(NOTE_REST).await;
            match self.store.note(moored.id, edit.clone()).await {
                Err(StoreError::Unavailable { .. }) => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!(session = %moored.id, %error, "the journal did not take a note"),
            }
        }
    }

    fn note_soon(self: &Arc<Self>, moored: &Arc<Moored>, edit: JournalEdit) {
        let (sessions, moored) = (Arc::clone(self), Arc::clone(moored));
        tasks::detach("journal note", NOTE_LIMIT, async move { sessions.note(&moored, edit).await });
    }
}

fn edit_of(act: &Act) -> Option<JournalEdit> {
    Some(match act {
        Act::Initialized => JournalEdit::Initialized,
        Act::SetLevel(level) => JournalEdit::LogLevel(level.clone()),
        Act::Subscribe(uri) => JournalEdit::Subscribe(uri.clone()),
        Act::Unsubscribe(uri) => JournalEdit::Unsubscribe(uri.clone()),
        _ => return None,
    })
}

fn refuse(error: &StoreError) -> Cause {
    tracing::warn!(%error, "a new session could not be stored");
    match error {
        StoreError::Full { .. } => Cause::Full("sessions"),
        _ => Cause::StoreAway,
    }
}

/// Whether a short answer to a request might be a refusal by the transport in a 200.
fn may_speak_of_sessions(body: &[u8]) -> bool {
    body.len() <= LONGEST_REFUSAL && ERROR.is_in(body) && SESSION.is_in(body)
}

fn succeeded(message: &[u8]) -> bool {
    peek_frame(message).is_some_and(|frame| frame.result().is_some())
}

/// The result of `initialize`, and the protocol version in it.
fn read_result(message: &[u8]) -> Option<JournalEdit> {
    #[derive(serde::Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        result: &'a serde_json::value::RawValue,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized {
        protocol_version: Box<str>,
    }
    let response: Response<'_> = serde_json::from_slice(message).ok()?;
    let text = response.result.get();
    let protocol_version = serde_json::from_str(text).ok().map(|initialized: Initialized| initialized.protocol_version);
    Some(JournalEdit::Result { result: text.into(), protocol_version })
}

/// What the client calls itself, for people to read.
fn client_name(exchange: &Exchange) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        client_info: Info,
    }
    #[derive(serde::Deserialize)]
    struct Info {
        name: String,
    }
    let Ask::Call(call) = &exchange.ask else { return String::new() };
    let Act::Initialize(params) = &call.act else { return String::new() };
    let name = serde_json::from_str(params).map(|params: Params| params.client_info.name).unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
