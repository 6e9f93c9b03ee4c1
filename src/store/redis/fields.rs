//! How a session is written down: a hash with a field for each thing, so that scripts can change one of them and people
//! can read them. A live session has an `epoch`, a tombstone only its `until`. Fields of a later version are passed over.

use std::sync::Arc;

use redis::Value;

use super::trouble::Trouble;
use crate::names::{BackendId, CallerDigest, Epoch, PoolId};
use crate::store::{Berth, Journal, KeyRing, Lookup, Record, SealingKey};

/// What a subscription's field begins with; the rest is its URI.
const SUBSCRIPTION: &str = "s:";

/// The field of a subscription.
pub(super) fn subscription(uri: &str) -> String {
    format!("{SUBSCRIPTION}{uri}")
}

/// Fields and values in turn, subscriptions last and in order.
pub(super) fn write(record: &Record) -> Vec<Vec<u8>> {
    let Record { pool, journal, berth, created, last_seen } = record;
    let mut fields = vec![
        ("pool", pool.0.to_string()),
        ("created", created.to_string()),
        ("last_seen", last_seen.to_string()),
        ("caller", format!("{:032x}", u128::from_be_bytes(journal.caller.0))),
        ("backend", berth.backend.to_string()),
        ("backend_session", berth.backend_session.to_string()),
        ("epoch", berth.epoch.0.to_string()),
        ("initialize", journal.initialize.to_string()),
    ];
    let optional = [
        ("result", &journal.result),
        ("protocol_version", &journal.protocol_version),
        ("log_level", &journal.log_level),
    ];
    fields.extend(optional.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?.to_owned()))));
    let flags = [("initialized", journal.initialized), ("open", journal.open)];
    fields.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name, "1".to_owned())));
    if !journal.subscriptions.is_empty() {
        fields.push(("subscriptions", journal.subscriptions.len().to_string()));
    }
    let mut flat: Vec<Vec<u8>> = Vec::with_capacity(2 * (fields.len() + journal.subscriptions.len()));
    for (name, value) in fields {
        flat.extend([name.into(), value.into_bytes()]);
    }
    for uri in &journal.subscriptions {
        flat.extend([subscription(uri).into_bytes(), Vec::new()]);
    }
    flat
}

/// What all fields of a key say.
pub(super) fn read(value: Value) -> Result<Lookup, Trouble> {
    let fields = pairs(value)?;
    if fields.is_empty() {
        return Ok(Lookup::Unknown);
    }
    if fields.iter().any(|(name, _)| name == "until") {
        return Ok(Lookup::Ended);
    }
    Ok(Lookup::Live(Arc::new(record(fields)?)))
}

/// The record that a script hands out, if it hands one out.
pub(super) fn read_record(value: Value) -> Result<Option<Arc<Record>>, Trouble> {
    Ok(match read(value)? {
        Lookup::Live(record) => Some(record),
        Lookup::Ended | Lookup::Unknown => None,
    })
}

/// A berth as scripts answer it: epoch, backend and the backend's session.
pub(super) fn berth(epoch: Value, backend: Value, session: Value) -> Result<Berth, Trouble> {
    Ok(Berth {
        backend: backend_id(&text(backend)?)?,
        backend_session: text(session)?.into(),
        epoch: Epoch(number(&text(epoch)?)?),
    })
}

/// A list of values.
pub(super) fn list(value: Value) -> Result<Vec<Value>, Trouble> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Trouble::Odd("not a list")),
    }
}

/// A value as text.
pub(super) fn text(value: Value) -> Result<String, Trouble> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| Trouble::Odd("not UTF-8")),
        Value::SimpleString(text) => Ok(text),
        _ => Err(Trouble::Odd("not a text")),
    }
}

/// A value as a number.
pub(super) fn integer(value: &Value) -> Result<i64, Trouble> {
    match value {
        Value::Int(number) => Ok(*number),
        _ => Err(Trouble::Odd("not a number")),
    }
}

/// A sealing key as it hangs on the ring: its name, and when it was made with its secret. Padded, to compare as text.
pub(super) fn write_key(key: &SealingKey) -> [Vec<u8>; 2] {
    let secret: String = key.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    [format!("{:010}", key.id).into_bytes(), format!("{:020} {secret}", key.made).into_bytes()]
}

/// The whole ring.
pub(super) fn read_ring(value: Value) -> Result<KeyRing, Trouble> {
    pairs(value)?.iter().map(|(id, value)| sealing_key(id, value)).collect()
}

fn sealing_key(id: &str, value: &str) -> Result<SealingKey, Trouble> {
    let (made, secret) = value.split_once(' ').ok_or(Trouble::Odd("sealing key"))?;
    let digits = |n: usize| secret.get(2 * n..2 * n + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let mut bytes = [0; 32];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = digits(n).ok_or(Trouble::Odd("sealing key"))?;
    }
    Ok(SealingKey { id: number(id)?, secret: bytes, made: number(made)? })
}

fn record(fields: Vec<(String, String)>) -> Result<Record, Trouble> {
    let mut record = Record {
        pool: PoolId(0),
        journal: Journal::new("".into(), CallerDigest::ANYBODY),
        berth: Berth { backend: BackendId(0), backend_session: "".into(), epoch: Epoch(0) },
        created: 0,
        last_seen: 0,
    };
    let mut found = 0;
    for (name, value) in fields {
        found += u8::from(take(&mut record, &name, value)?);
    }
    // Those that no session lacks.
    if found == 8 { Ok(record) } else { Err(Trouble::Odd("session with fields missing")) }
}

/// Takes one field over; whether it is one that no session lacks.
fn take(record: &mut Record, name: &str, value: String) -> Result<bool, Trouble> {
    let Record { pool, journal, berth, created, last_seen } = record;
    match name {
        "pool" => pool.0 = number(&value)?,
        "created" => *created = number(&value)?,
        "last_seen" => *last_seen = number(&value)?,
        "caller" => {
            let digest = u128::from_str_radix(&value, 16).map_err(|_| Trouble::Odd("caller"))?;
            journal.caller = CallerDigest(digest.to_be_bytes());
        }
        "backend" => berth.backend = backend_id(&value)?,
        "backend_session" => berth.backend_session = value.into(),
        "epoch" => berth.epoch.0 = number(&value)?,
        "initialize" => journal.initialize = value.into(),
        _ => {
            take_optional(journal, name, value);
            return Ok(false);
        }
    }
    Ok(true)
}

fn take_optional(journal: &mut Journal, name: &str, value: String) {
    match name {
        "result" => journal.result = Some(value.into()),
        "protocol_version" => journal.protocol_version = Some(value.into()),
        "log_level" => journal.log_level = Some(value.into()),
        "initialized" => journal.initialized = true,
        "open" => journal.open = true,
        _ => {
            if let Some(uri) = name.strip_prefix(SUBSCRIPTION) {
                journal.subscriptions.insert(uri.into());
            }
        }
    }
}

fn backend_id(text: &str) -> Result<BackendId, Trouble> {
    u64::from_str_radix(text, 16).map(BackendId).map_err(|_| Trouble::Odd("backend"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Trouble> {
    text.parse().map_err(|_| Trouble::Odd("number"))
}

/// Names and values, from a list of both in turn.
pub(super) fn pairs(value: Value) -> Result<Vec<(String, String)>, Trouble> {
    let mut values = list(value)?.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(name) = values.next() {
        let value = values.next().ok_or(Trouble::Odd("field without value"))?;
        pairs.push((text(name)?, text(value)?));
    }
    Ok(pairs)
}
