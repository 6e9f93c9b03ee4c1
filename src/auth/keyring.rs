//! The file of API keys: who has the key of a hash. A key itself is never kept; what is found under its hash was found
//! without comparing it to anything (the look-up is by SHA-256 of what was shown).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest as hash_of};
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::date;
use super::denied::{Denied, KeyEnd};
use super::follow::follow;
use super::principal::{ClaimValue, KEYS, MAX_CLAIM, MAX_CLAIMS, MAX_SCOPES, MAX_VALUES, Principal, Validity};
use crate::clock::Clock;

/// A key is never longer, in bytes.
pub(super) const LONGEST: usize = 1024;

/// Keys in one file at most.
const MAX_KEYS: usize = 100_000;

/// SHA-256 of a key.
type Hash = [u8; 32];

/// Why a file of keys is not used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct KeyFileError {
    /// Where, from 1.
    pub line: usize,
    /// Where, from 1.
    pub column: usize,
    /// What is wrong; never what stands there.
    pub message: String,
}

/// One key as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// What the key is called.
    pub name: Box<str>,
    /// What its holder may do.
    pub scopes: Vec<Box<str>>,
    /// What else is said of its holder.
    pub claims: BTreeMap<Box<str>, ClaimValue>,
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
    /// Whether it is turned off.
    pub disabled: bool,
    hash: Hash,
}

/// What is known under one hash.
struct Held {
    entry: KeyEntry,
    principal: Arc<Principal>,
    revoked: Arc<AtomicBool>,
}

/// The keys of one file.
pub(super) struct Keyring {
    path: PathBuf,
    clock: Clock,
    keys: ArcSwap<HashMap<Hash, Held>>,
}

impl Keyring {
    /// A ring without keys.
    pub fn new(path: PathBuf, clock: Clock) -> Self {
        Self { path, clock, keys: ArcSwap::default() }
    }

    /// Whose the key is.
    pub fn find(&self, key: &str) -> Result<Arc<Principal>, Denied> {
        let keys = self.keys.load();
        let held = keys.get(hash_of(&SHA256, key.as_bytes()).as_ref()).ok_or(Denied::UnknownKey)?;
        if held.entry.disabled {
            return Err(Denied::RevokedKey(KeyEnd::Disabled));
        }
        if held.principal.validity.ended(self.clock.now()) {
            return Err(Denied::RevokedKey(KeyEnd::Expired));
        }
        Ok(Arc::clone(&held.principal))
    }

    /// Reads the file again and again, for ever. One task does.
    pub async fn keep(self: Arc<Self>, look: Duration) {
        follow(&self.path, look, |text| match text {
            Ok(text) => self.take_or_log(&text),
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "cannot read the keys, those that are known go on");
            }
        })
        .await;
    }

    fn take_or_log(&self, text: &[u8]) {
        match self.take(text) {
            Ok(count) => tracing::info!(file = %self.path.display(), keys = count, "keys read"),
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "the file of keys is refused, those that are known go on");
            }
        }
    }

    /// Takes the content of the file. Whoever has no key in it any more, or another one of the same hash, is known no more.
    ///
    /// # Errors
    /// The first thing that is wrong with it; then everything stays as it is.
    pub fn take(&self, text: &[u8]) -> Result<usize, KeyFileError> {
        let entries = parse(text)?;
        let former = self.keys.load_full();
        let mut keys = HashMap::with_capacity(entries.len());
        for entry in entries {
            let held = match former.get(&entry.hash) {
                Some(held) if held.entry == entry => held.again(),
                _ => Held::new(entry, &self.clock),
            };
            keys.insert(held.entry.hash, held);
        }
        let gone = former
            .iter()
            .filter(|(hash, old)| keys.get(*hash).is_none_or(|new| !Arc::ptr_eq(&new.revoked, &old.revoked)));
        let gone: Vec<Arc<AtomicBool>> = gone.map(|(_, old)| Arc::clone(&old.revoked)).collect();
        let count = keys.len();
        self.keys.store(Arc::new(keys));
        gone.iter().for_each(|revoked| revoked.store(true, Ordering::Release));
        Ok(count)
    }

    /// The file is no longer believed, and nobody who was known by it.
    pub fn retire(&self) {
        let former = self.keys.swap(Arc::default());
        former.values().for_each(|held| held.revoked.store(true, Ordering::Release));
    }
}

impl Held {
    fn new(entry: KeyEntry, clock: &Clock) -> Self {
        let revoked = Arc::new(AtomicBool::new(entry.disabled));
        let left = entry.expires.map(|end| Duration::from_secs(end.saturating_sub(clock.unix())));
        let ends = left.and_then(|left| clock.now().checked_add(left));
        let mut principal = Principal::new(KEYS, &entry.name, Arc::new(Validity::new(ends, Arc::clone(&revoked))));
        principal.scopes = entry.scopes.iter().cloned().collect();
        principal.claims = entry.claims.clone();
        Self { entry, principal: Arc::new(principal), revoked }
    }

    fn again(&self) -> Self {
        Self { entry: self.entry.clone(), principal: Arc::clone(&self.principal), revoked: Arc::clone(&self.revoked) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    key: Vec<RawKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    name: Spanned<String>,
    hash: Spanned<String>,
    #[serde(default)]
    scopes: Vec<Spanned<String>>,
    #[serde(default)]
    claims: BTreeMap<String, Spanned<toml::Value>>,
    expires: Option<Spanned<Datetime>>,
    #[serde(default)]
    disabled: bool,
}

/// A fault and where it is, in bytes.
struct Fault {
    at: Range<usize>,
    message: String,
}

/// The keys in the text of a file.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(text: &[u8]) -> Result<Vec<KeyEntry>, KeyFileError> {
    let text = std::str::from_utf8(text).map_err(|bad| {
        let before = String::from_utf8_lossy(&text[..bad.valid_up_to()]);
        placed(&before, before.len(), "this is not UTF-8".to_owned())
    })?;
    // A file that is being written is empty for a moment; that must not turn everybody away.
    if text.trim().is_empty() {
        return Err(placed(text, 0, "the file is empty; write a comment into it if it is to hold no key".to_owned()));
    }
    let document: Document = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        placed(text, at, without_values(error.message()))
    })?;
    entries(document).map_err(|fault| placed(text, fault.at.start, fault.message))
}

/// Messages of the parser may quote what stands in the file, which may be a key in the wrong place.
fn without_values(message: &str) -> String {
    match message.split_once("invalid value: ").or_else(|| message.split_once("invalid type: ")) {
        Some((before, after)) => {
            let expected = after.rsplit_once("expected ").map_or("something else", |(_, expected)| expected);
            format!("{before}this is not what it must be: expected {expected}")
        }
        None => message.lines().next().unwrap_or_default().to_owned(),
    }
}

fn placed(text: &str, at: usize, message: String) -> KeyFileError {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    KeyFileError { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1, message }
}

fn entries(document: Document) -> Result<Vec<KeyEntry>, Fault> {
    if document.key.len() > MAX_KEYS {
        return Err(Fault { at: 0..0, message: format!("more than {MAX_KEYS} keys") });
    }
    let mut names = HashMap::new();
    let mut hashes = HashMap::new();
    let mut entries = Vec::with_capacity(document.key.len());
    for raw in document.key {
        let (name_at, hash_at) = (raw.name.span(), raw.hash.span());
        let entry = entry(raw)?;
        if names.insert(entry.name.clone(), ()).is_some() {
            let message = format!("two keys are called `{}`: give each a name of its own", entry.name);
            return Err(Fault { at: name_at, message });
        }
        if hashes.insert(entry.hash, ()).is_some() {
            return Err(Fault { at: hash_at, message: "this is the hash of another key above".to_owned() });
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(raw: RawKey) -> Result<KeyEntry, Fault> {
    let fault = |at: Range<usize>, message: &str| Fault { at, message: message.to_owned() };
    if !is_name(raw.name.get_ref()) {
        return Err(fault(raw.name.span(), "a name has 1 to 64 letters, digits, `-`, `_` and `.`"));
    }
    let hash = unhex(raw.hash.get_ref()).ok_or_else(|| {
        fault(raw.hash.span(), "a hash is `sha256:` and 64 hexadecimal digits; the key itself never stands here")
    })?;
    if raw.scopes.len() > MAX_SCOPES || raw.claims.len() > MAX_CLAIMS {
        let message = format!("a key has at most {MAX_SCOPES} scopes and {MAX_CLAIMS} claims");
        return Err(Fault { at: raw.name.span(), message });
    }
    for scope in &raw.scopes {
        if !is_scope(scope.get_ref()) {
            return Err(fault(
                scope.span(),
                "a scope has no spaces and no quotes, and 1 to 1024 bytes; write each by itself",
            ));
        }
    }
    let mut claims = BTreeMap::new();
    for (name, value) in &raw.claims {
        let read = claim(value.get_ref());
        let read = read.ok_or_else(|| {
            fault(
                value.span(),
                "a claim is a string, a number, true or false, or a list of these, of 1024 bytes at most each",
            )
        })?;
        claims.insert(name.as_str().into(), read);
    }
    let expires = match &raw.expires {
        Some(date) => Some(
            date::unix(date.get_ref())
                .ok_or_else(|| fault(date.span(), "a date has its time and its zone, as in 2027-01-31T00:00:00Z"))?,
        ),
        None => None,
    };
    let scopes = raw.scopes.into_iter().map(|scope| scope.into_inner().into()).collect();
    Ok(KeyEntry { name: raw.name.into_inner().into(), scopes, claims, expires, disabled: raw.disabled, hash })
}

/// The hash of a key as its file has it.
pub(super) fn written_hash(key: &str) -> String {
    hash_of(&SHA256, key.as_bytes()).as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a key may be called.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// What a scope may look like (RFC 6749 §3.3).
pub(super) fn is_scope(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    (1..=MAX_CLAIM).contains(&text.len()) && text.bytes().all(plain)
}

fn unhex(text: &str) -> Option<Hash> {
    let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && digits.is_ascii())?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(hash)
}

fn claim(value: &toml::Value) -> Option<ClaimValue> {
    match value {
        toml::Value::Array(values) if values.len() <= MAX_VALUES => {
            values.iter().map(text).collect::<Option<_>>().map(ClaimValue::List)
        }
        one => text(one).map(ClaimValue::Text),
    }
}

fn text(value: &toml::Value) -> Option<Box<str>> {
    let text: Box<str> = match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => number.to_string().into(),
        toml::Value::Boolean(flag) => flag.to_string().into(),
        _ => return None,
    };
    (text.len() <= MAX_CLAIM).then_some(text)
}
