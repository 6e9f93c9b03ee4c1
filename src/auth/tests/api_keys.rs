//! Keys from a file: found, changed, revoked; and files that cannot be used.

use http::HeaderName;

use super::*;
use crate::config::ApiKeysSettings;

const KEY: &str = "moor_test";

fn hash(key: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    digest.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn entry(name: &str, key: &str, more: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\nhash = \"{}\"\n{more}\n", hash(key))
}

struct Door {
    clock: Clock,
    path: std::path::PathBuf,
    gate: Arc<Gate>,
    _gates: Gates,
    _folder: tempfile::TempDir,
}

fn door(text: &str, header: Option<HeaderName>) -> Door {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, text).unwrap();
    let clock = Clock::manual();
    let settings = settings(AuthMode::ApiKeys(ApiKeysSettings { file: path.clone(), header }));
    let (gates, gate) = gates(&clock, hurried(), &settings);
    Door { clock, path, gate, _gates: gates, _folder: folder }
}

#[tokio::test]
async fn a_key_says_whose_it_is() {
    let text = entry("ci", KEY, "scopes = [\"read\"]\nclaims = { org = \"acme\", level = 3, teams = [\"a\", \"b\"] }");
    let door = door(&text, None);
    let principal = ask(&door.gate, KEY).await.unwrap();
    assert_eq!((&*principal.name, &*principal.subject), ("ci", "ci"));
    assert!(
        principal.has("read") && principal.claim("level").unwrap().is("3") && principal.claim("teams").unwrap().is("b")
    );
    assert_eq!(ask(&door.gate, "moor_other").await.err(), Some(Denied::UnknownKey));
    assert_eq!(ask(&door.gate, &hash(KEY)[7..]).await.err(), Some(Denied::UnknownKey));
    assert_eq!(door.gate.check(&HeaderMap::new(), None).await.err(), Some(Denied::Missing));
    assert_eq!(door.gate.challenge(&Denied::Missing, "x").unwrap(), "Bearer");
    let challenge = door.gate.challenge(&Denied::UnknownKey, "x").unwrap();
    assert_eq!(challenge, "Bearer error=\"invalid_token\", error_description=\"the key is unknown\"");
    assert_eq!(door.gate.metadata("x"), None);
}

#[tokio::test]
async fn a_key_may_stand_in_a_field_of_its_own() {
    let door = door(&entry("ci", KEY, ""), Some(HeaderName::from_static("x-api-key")));
    let with = |name: &'static str, value: &str| {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    };
    assert!(door.gate.check(&with("x-api-key", KEY), None).await.is_ok());
    assert_eq!(door.gate.check(&bearer(KEY), None).await.err(), Some(Denied::Missing));
    assert_eq!(door.gate.field().map(HeaderName::as_str), Some("x-api-key"));
}

#[tokio::test]
async fn expired_key_is_refused_and_its_streams_end() {
    // The manual clock begins at 1 800 000 000, 2027-01-15T08:00:00Z.
    let door = door(&entry("ci", KEY, "expires = 2027-01-15T10:00:05+02:00"), None);
    let principal = ask(&door.gate, KEY).await.unwrap();
    door.clock.advance(Duration::from_secs(4));
    assert!(ask(&door.gate, KEY).await.is_ok());
    door.clock.advance(Duration::from_secs(1));
    assert!(principal.validity.ended(door.clock.now()));
    assert_eq!(ask(&door.gate, KEY).await.err(), Some(Denied::RevokedKey(KeyEnd::Expired)));
}

#[tokio::test]
async fn revoked_key_is_refused_at_once_and_others_stay() {
    let door = door(&format!("{}{}", entry("ci", KEY, ""), entry("ops", "moor_ops", "")), None);
    let (gone, stays) = (ask(&door.gate, KEY).await.unwrap(), ask(&door.gate, "moor_ops").await.unwrap());
    replace(&door.path, &entry("ops", "moor_ops", ""));
    until(|| gone.validity.is_revoked()).await;
    assert_eq!(ask(&door.gate, KEY).await.err(), Some(Denied::UnknownKey));
    assert!(!stays.validity.is_revoked());
    assert!(Arc::ptr_eq(&stays, &ask(&door.gate, "moor_ops").await.unwrap()));
    replace(&door.path, &entry("ops", "moor_ops", "disabled = true"));
    until(|| stays.validity.is_revoked()).await;
    assert_eq!(ask(&door.gate, "moor_ops").await.err(), Some(Denied::RevokedKey(KeyEnd::Disabled)));
}

#[tokio::test]
async fn changed_rights_are_another_principal() {
    let door = door(&entry("ci", KEY, "scopes = [\"read\", \"write\"]"), None);
    let before = ask(&door.gate, KEY).await.unwrap();
    replace(&door.path, &entry("ci", KEY, "scopes = [\"read\"]"));
    until(|| before.validity.is_revoked()).await;
    let after = ask(&door.gate, KEY).await.unwrap();
    assert!(!after.has("write") && !after.validity.is_revoked());
    assert_eq!(before.digest, after.digest, "the caller is the same");
}

#[tokio::test]
async fn a_swapped_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let volume = |name: &str, text: &str| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("keys.toml"), text).unwrap();
        std::os::unix::fs::symlink(name, folder.path().join("..next")).unwrap();
        std::fs::rename(folder.path().join("..next"), folder.path().join("..data")).unwrap();
    };
    volume("1", &entry("ci", KEY, ""));
    let path = folder.path().join("keys.toml");
    std::os::unix::fs::symlink("..data/keys.toml", &path).unwrap();
    let clock = Clock::manual();
    let settings = settings(AuthMode::ApiKeys(ApiKeysSettings { file: path, header: None }));
    let (_gates, gate) = gates(&clock, hurried(), &settings);
    let principal = ask(&gate, KEY).await.unwrap();
    volume("2", &entry("ops", "moor_ops", ""));
    until(|| principal.validity.is_revoked()).await;
    assert!(ask(&gate, "moor_ops").await.is_ok());
}

#[tokio::test]
async fn a_bad_file_changes_nothing() {
    let door = door(&entry("ci", KEY, ""), None);
    let principal = ask(&door.gate, KEY).await.unwrap();
    for bad in ["", "[[key]]\nname = 1\n", "nonsense"] {
        replace(&door.path, bad);
    }
    std::fs::remove_file(&door.path).unwrap();
    // What comes after them is read after them.
    std::fs::write(&door.path, entry("ci", KEY, "") + &entry("ops", "moor_ops", "")).unwrap();
    let arrived = async {
        while ask(&door.gate, "moor_ops").await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, arrived).await.unwrap();
    assert!(!principal.validity.is_revoked());
}

#[test]
fn faults_name_their_place_and_not_the_key() {
    let secret = "moor_verysecretkeyindeed";
    let good = entry("ci", KEY, "");
    let cases = [
        (format!("[[key]]\nname = \"ci\"\nhash = \"{secret}\"\n"), 3, 8),
        (format!("[[key]]\nname = \"ci\"\nhash = \"{}\"\n", &hash(KEY)[..70]), 3, 8),
        (format!("{good}{}", entry("ci", "other", "")), 6, 8),
        (format!("{good}{}", entry("other", KEY, "")), 7, 8),
        (entry("a b", KEY, ""), 2, 8),
        (entry("ci", KEY, "expires = 2027-01-15"), 4, 11),
        (entry("ci", KEY, "scopes = [\"a\", \"b c\"]"), 4, 16),
        (entry("ci", KEY, "claims = { a = 1.5 }"), 4, 16),
        (entry("ci", KEY, &format!("secret = \"{secret}\"")), 4, 1),
        (format!("[[key]]\nname = \"ci\"\nhash = [\"{secret}\"]\n"), 3, 8),
        (format!("[[key]]\nname = \"ci\"\ndisabled = \"{secret}\"\nhash = \"{}\"\n", hash(KEY)), 3, 12),
        (format!("[[key]]\nname = \"ci\"\nexpires = \"{secret}\"\nhash = \"{}\"\n", hash(KEY)), 3, 11),
        ("key = 1\n".into(), 1, 7),
        ("  \n".into(), 1, 1),
    ];
    for (text, line, column) in cases {
        let error = keyring::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{text}{error}");
        assert!(!format!("{error} {error:?}").contains("verysecret"), "{error}");
    }
    assert_eq!(keyring::parse(&[b'a', 0xff]).unwrap_err().column, 2);
    assert_eq!(keyring::parse(b"# none\n").unwrap(), []);
}

#[test]
fn a_missing_or_bad_file_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let gates = Gates::new(Clock::manual());
    let settings = settings(AuthMode::ApiKeys(ApiKeysSettings { file: path.clone(), header: None }));
    assert!(matches!(gates.reconfigure(&[(POOL, &settings)]), Err(OpenError::Read { .. })));
    std::fs::write(&path, "[[key]]\n").unwrap();
    assert!(matches!(gates.reconfigure(&[(POOL, &settings)]), Err(OpenError::Keys { .. })));
    assert!(gates.of(POOL).is_none());
}
