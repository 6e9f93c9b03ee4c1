//! How one session is shown: what is said of it in a list, and what more where it is asked for alone. Of its journal only what is
//! nobody's secret: how many subscriptions, not to what.

use serde::Serialize;

use super::Admin;
use super::sessions::reason;
use crate::exchange::{Moored, Opened};
use crate::fleet::Pool;
use crate::mcp::raw;
use crate::names::{BackendId, SessionId};
use crate::store::{Journal, Record};

/// What a client calls itself is cut to so many characters.
const LONGEST_NAME: usize = 128;

/// Capabilities that are named at most.
const MOST_CAPABILITIES: usize = 32;

/// A backend, and what it is called where that is known.
#[derive(Debug, Serialize)]
pub struct Place {
    id: String,
    /// Its id once more where it has left its pool.
    pub name: String,
}

#[derive(Serialize)]
pub struct Summary {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    backend: Place,
    epoch: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    created_at: u64,
    last_seen_at: u64,
    in_flight: u32,
    open_streams: u32,
}

#[derive(Serialize)]
pub struct Detail {
    #[serde(flatten)]
    summary: Summary,
    era: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<String>,
    known_here: bool,
    opened: &'static str,
    asked_of_client: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    immovable: Option<Immovable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<JournalView>,
}

/// Why it could not be moved now.
#[derive(Serialize)]
struct Immovable {
    reason: &'static str,
    detail: String,
}

/// What it would be rebuilt from.
#[derive(Serialize)]
struct JournalView {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Client>,
    capabilities: Vec<String>,
    initialized: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_level: Option<String>,
    subscriptions: usize,
    bytes: usize,
}

/// What a client calls itself.
#[derive(Serialize)]
struct Client {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl Place {
    /// A backend of this pool.
    pub fn of(pool: Option<&std::sync::Arc<Pool>>, backend: BackendId) -> Self {
        let known = pool.and_then(|pool| pool.everybody().into_iter().find(|one| one.id == backend));
        Self {
            id: backend.to_string(),
            name: known.map_or_else(|| backend.to_string(), |known| known.name.to_string()),
        }
    }
}

/// What is said of a session in a list.
pub fn summary(admin: &Admin, moored: &Moored) -> Summary {
    let pool = admin.fleet.pool(moored.pool);
    let berth = moored.berth();
    Summary {
        id: moored.id.to_string(),
        backend: Place::of(pool.as_ref(), berth.backend),
        pool: pool.map(|pool| pool.settings().name.clone()),
        epoch: berth.epoch.0,
        caller: moored.called().map(str::to_owned),
        created_at: moored.issued * 1000,
        last_seen_at: moored.last_used(admin.clock.unix()) * 1000,
        in_flight: moored.flying(),
        open_streams: moored.standing(),
    }
}

/// What is said of a session that is asked for alone; with what the store holds of it, where that could be asked.
pub fn detail(admin: &Admin, moored: &Moored, record: Option<&Record>) -> Detail {
    let pool = admin.fleet.pool(moored.pool);
    let immovable = pool.and_then(|pool| admin.rehome.movable(&pool, moored).err());
    Detail {
        summary: summary(admin, moored),
        era: "legacy",
        protocol_version: record.and_then(|record| record.journal.protocol_version.as_deref().map(cut)),
        known_here: true,
        opened: match moored.opened() {
            Opened::Openly => "openly",
            Opened::WithCredentials => "with_credentials",
            Opened::Unknown => "unknown",
        },
        asked_of_client: moored.times_asked(),
        immovable: immovable.map(|why| Immovable { reason: reason(why), detail: why.to_string() }),
        journal: record.map(|record| journal(&record.journal)),
    }
}

/// What the store holds of a session that no request has brought here.
pub fn elsewhere(admin: &Admin, id: SessionId, record: &Record) -> Detail {
    let times = (record.created, record.last_seen);
    let berth = std::sync::Arc::new(record.berth.clone());
    let moored = Moored::new(id, record.pool, record.journal.caller, times, berth);
    moored.was_opened(record.journal.open);
    Detail { known_here: false, ..detail(admin, &moored, Some(record)) }
}

fn journal(journal: &Journal) -> JournalView {
    JournalView {
        client: client(&journal.initialize),
        capabilities: capabilities(&journal.initialize),
        initialized: journal.initialized,
        log_level: journal.log_level.as_deref().map(cut),
        subscriptions: journal.subscriptions.len(),
        bytes: journal.initialize.len() + journal.result.as_deref().map_or(0, str::len),
    }
}

fn client(initialize: &str) -> Option<Client> {
    let [info] = raw::pick(initialize, ["clientInfo"])?;
    let [name, version] = raw::pick(info?, ["name", "version"])?;
    let text = |raw: &str| raw::text(raw).map(|text| cut(&text));
    Some(Client { name: text(name?)?, version: version.and_then(text) })
}

fn capabilities(initialize: &str) -> Vec<String> {
    let Some([Some(all)]) = raw::pick(initialize, ["capabilities"]) else { return Vec::new() };
    let named = raw::entries(all).unwrap_or_default();
    named.iter().take(MOST_CAPABILITIES).map(|(name, _)| cut(name)).collect()
}

/// Clients choose what they are called.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::CallerDigest;

    #[test]
    fn of_a_journal_only_what_is_nobodys_secret_is_shown() {
        let initialize = format!(
            r#"{{"clientInfo":{{"name":"a\nb{}","version":"1"}},"capabilities":{{"roots":{{"x":1}},"sampling":{{}}}},"_meta":{{"token":"s3cret"}}}}"#,
            "x".repeat(200)
        );
        let mut kept = Journal::new(initialize.into(), CallerDigest::ANYBODY);
        kept.subscriptions.insert("file:///home/alice".into());
        let shown = serde_json::to_value(journal(&kept)).unwrap();
        assert_eq!(shown["client"]["name"].as_str().unwrap().len(), LONGEST_NAME);
        assert_eq!((&shown["client"]["version"], &shown["subscriptions"]), (&"1".into(), &1.into()));
        assert_eq!(shown["capabilities"], serde_json::json!(["roots", "sampling"]));
        let text = shown.to_string();
        assert!(!text.contains("s3cret") && !text.contains("alice"), "{text}");
    }

    #[test]
    fn what_is_no_initialize_has_no_client() {
        for odd in ["{}", r#"{"clientInfo":1}"#, r#"{"clientInfo":{"name":{}},"capabilities":[]}"#] {
            let shown = journal(&Journal::new(odd.into(), CallerDigest::ANYBODY));
            assert!(shown.client.is_none() && shown.capabilities.is_empty(), "{odd}");
        }
    }
}
