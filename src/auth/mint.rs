//! Makes API keys, and writes their hashes into a file. A key is seen once, by whoever asked for it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::date;
use super::keyring::{self, KeyFileError};
use crate::seal::{NoRandomness, random};

/// What keys begin with, so that people and scanners of repositories know one when they see it.
const PREFIX: &str = "moor_";

/// Characters of the check at a key's end.
const CHECK: usize = 6;

/// RFC 4648 §6, in lower case: nothing in it ends a word.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What a new key is to be.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// What it is called: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What its holder may do.
    pub scopes: Vec<String>,
    /// What else is said of its holder; a name that is there more than once is a list.
    pub claims: Vec<(String, String)>,
    /// After what time it ends.
    pub expires: Option<Duration>,
}

/// A key that was made. Prints without itself.
pub struct Minted {
    key: String,
    /// What a file needs to know the key by.
    pub entry: String,
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The name cannot be one.
    #[error("`{0}` is not a name: it has 1 to 64 letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// A scope cannot be one.
    #[error("`{0}` is not a scope: it has no spaces and no quotes")]
    Scope(String),
    /// A claim cannot be one.
    #[error("the claim `{0}` has control characters, or is longer than 1024 bytes")]
    Claim(String),
    /// The file has a key of that name.
    #[error("there is a key `{0}` already: take another name, or remove that one from the file first")]
    Duplicate(String),
    /// The file cannot be read by who would have to use it.
    #[error("the file of keys has a fault")]
    File(#[from] KeyFileError),
    /// The file cannot be read or written.
    #[error("cannot write the file of keys")]
    Io(#[from] io::Error),
    /// The system gave no secret.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl NewKey {
    /// Makes the key: 256 random bits. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Where what is asked for cannot stand in a file, or there is no randomness.
    pub fn mint(&self, now: u64) -> Result<Minted, MintError> {
        if !keyring::is_name(&self.name) {
            return Err(MintError::Name(self.name.clone()));
        }
        if let Some(bad) = self.scopes.iter().find(|scope| !keyring::is_scope(scope)) {
            return Err(MintError::Scope(bad.clone()));
        }
        let secret: [u8; 32] = random()?;
        let body = format!("{PREFIX}{}", base32(&secret));
        let key = format!("{body}{}", check(&body));
        let mut entry = format!("[[key]]\nname = \"{}\"\nhash = \"{}\"\n", self.name, keyring::written_hash(&key));
        if !self.scopes.is_empty() {
            let scopes: Vec<String> = self.scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
            entry.push_str(&format!("scopes = [{}]\n", scopes.join(", ")));
        }
        if !self.claims.is_empty() {
            entry.push_str(&format!("claims = {{ {} }}\n", self.written_claims()?));
        }
        if let Some(after) = self.expires {
            entry.push_str(&format!("expires = {}\n", date::text(now.saturating_add(after.as_secs()))));
        }
        keyring::parse(entry.as_bytes())?;
        Ok(Minted { key, entry })
    }

    fn written_claims(&self) -> Result<String, MintError> {
        let mut claims = BTreeMap::<&str, Vec<String>>::new();
        for (name, value) in &self.claims {
            if name.is_empty()
                || [name, value].into_iter().any(|text| text.contains(char::is_control) || text.len() > 1024)
            {
                return Err(MintError::Claim(name.escape_debug().to_string()));
            }
            claims.entry(name).or_default().push(quoted(value));
        }
        let written = claims.into_iter().map(|(name, values)| match values.as_slice() {
            [one] => format!("{} = {one}", quoted(name)),
            several => format!("{} = [{}]", quoted(name), several.join(", ")),
        });
        Ok(written.collect::<Vec<_>>().join(", "))
    }
}

impl Minted {
    /// The key itself, for its holder alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("key", &format_args!("***")).field("entry", &self.entry).finish()
    }
}

/// Writes an entry at the end of a file of keys. A file that is not there is made, for its owner alone.
///
/// # Errors
/// Where the file has a fault, or a key of that name, or cannot be written; it is as it was then.
pub fn append(path: &Path, name: &str, entry: &str) -> Result<(), MintError> {
    let old = match super::follow::read(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let is_new = old.trim_ascii().is_empty();
    let known = if is_new { Vec::new() } else { keyring::parse(&old)? };
    if known.iter().any(|key| &*key.name == name) {
        return Err(MintError::Duplicate(name.to_owned()));
    }
    let mut added = String::new();
    if !is_new {
        added.push_str(if old.ends_with(b"\n") { "\n" } else { "\n\n" });
    }
    added.push_str(entry);
    keyring::parse(&[&old, added.as_bytes()].concat())?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(added.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// A TOML string (a JSON string is one, where it has no control characters).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Tells a mistyped or invented key from one that was made, without asking anybody.
fn check(body: &str) -> String {
    base32(digest(&SHA256, body.as_bytes()).as_ref())[..CHECK].to_owned()
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(5) {
        let mut padded = [0; 8];
        padded[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(padded);
        for index in 0..(group.len() * 8).div_ceil(5) {
            let five = bits >> (35 - 5 * index) & 31;
            // Writing to a string cannot fail.
            let _ = text.write_char(char::from(ALPHABET[usize::try_from(five).unwrap_or_default()]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn new(name: &str) -> NewKey {
        NewKey { name: name.into(), ..NewKey::default() }
    }

    #[test]
    fn base32_is_what_the_rfc_says() {
        let cases =
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb")];
        for (plain, expected) in cases {
            assert_eq!(base32(plain.as_bytes()), expected);
        }
    }

    #[test]
    fn a_key_is_long_its_own_and_unseen() {
        let (one, other) = (new("a").mint(0).unwrap(), new("a").mint(0).unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), PREFIX.len() + 52 + CHECK);
        let (body, check) = one.reveal().split_at(one.reveal().len() - CHECK);
        assert_eq!(super::check(body), check);
        assert!(!format!("{one:?}").contains(&body[PREFIX.len()..]) && !one.entry.contains(body));
    }

    #[test]
    fn what_is_asked_for_is_what_is_written() {
        let key = NewKey {
            name: "ci".into(),
            scopes: vec!["read".into(), "mcp:tools".into()],
            claims: vec![
                ("org".into(), "a \"b\" \\ ä".into()),
                ("team.x".into(), "1".into()),
                ("team.x".into(), "2".into()),
            ],
            expires: Some(Duration::from_secs(86_400)),
        };
        let minted = key.mint(1_800_000_000).unwrap();
        let read = keyring::parse(minted.entry.as_bytes()).unwrap();
        assert_eq!((&*read[0].name, read[0].expires), ("ci", Some(1_800_086_400)));
        assert_eq!(read[0].scopes.join(" "), "read mcp:tools");
        assert!(read[0].claims["org"].is("a \"b\" \\ ä") && read[0].claims["team.x"].is("2"));
        assert!(minted.entry.contains("expires = 2027-01-16T08:00:00Z"));
    }

    #[test]
    fn what_cannot_stand_in_a_file_is_refused() {
        assert!(matches!(new("a b").mint(0), Err(MintError::Name(_))));
        assert!(matches!(NewKey { scopes: vec!["a b".into()], ..new("a") }.mint(0), Err(MintError::Scope(_))));
        let claims = vec![("a".into(), "b\n[[key]]".into())];
        assert!(matches!(NewKey { claims, ..new("a") }.mint(0), Err(MintError::Claim(_))));
    }

    #[test]
    fn keys_are_appended_and_names_stay_single() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        for name in ["a", "b"] {
            append(&path, name, &new(name).mint(0).unwrap().entry).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&path).unwrap();
        assert_eq!(keyring::parse(&before).unwrap().len(), 2);
        let again = append(&path, "b", &new("b").mint(0).unwrap().entry);
        assert!(matches!(again, Err(MintError::Duplicate(_))));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "# mine").unwrap();
        append(&path, "c", &new("c").mint(0).unwrap().entry).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("# mine\n\n[[key]]\n"));
        std::fs::write(&path, "broken").unwrap();
        assert!(matches!(append(&path, "d", &new("d").mint(0).unwrap().entry), Err(MintError::File(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"broken");
    }
}
