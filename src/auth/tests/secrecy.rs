//! Nothing of a token reaches what people read: not what is printed of outcomes, and no line of the log.

use std::io::Write;
use std::sync::Mutex;

use proptest::prelude::{ProptestConfig, any, proptest};
use tracing_subscriber::fmt::MakeWriter;

use super::forge::{Key, key_set};
use super::*;

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// All that people could read of the outcome of a token, the log included.
fn read_of(token: &str, key: &Key, clock: &Clock) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut shown = tracing::subscriber::with_default(subscriber, || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, key_set(&[key])).unwrap();
        runtime.block_on(async {
            let mut settings = jwt(vec![issuer(ISSUER, JwksSource::File(file))]);
            settings.scopes = vec!["mcp".into()];
            let (gates, gate) = gates(clock, hurried(), &settings);
            let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) else { return String::new() };
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let outcome = gate.check(&headers, None).await;
            let challenge = outcome.as_ref().err().and_then(|denied| gate.challenge(denied, "https://m/x"));
            let denied = outcome.as_ref().err().map(|denied| format!("{denied} {}", denied.word()));
            format!("{outcome:?} {denied:?} {challenge:?} {gates:?}")
        })
    });
    shown.push_str(&String::from_utf8_lossy(&log.0.lock().unwrap()));
    shown
}

/// Whether twelve characters in a row of the secret stand in the text.
fn leaks(text: &str, secret: &str) -> bool {
    let characters: Vec<char> = secret.chars().collect();
    characters.windows(12).any(|part| text.contains(&part.iter().collect::<String>()))
}

#[test]
fn the_reader_of_secrets_sees_them() {
    assert!(leaks("xx abcdefghijkl yy", "0abcdefghijkl0"));
    assert!(!leaks("xx abcdefghijk yy", "0abcdefghijk0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_part_of_a_token_is_shown(at in any::<proptest::sample::Index>(), by in "[ -~]{0,3}", cut in any::<bool>(), scope in "mcp|[a-z]{14}") {
        let (clock, key) = (Clock::manual(), Key::ed25519("a"));
        let said = json!({"scope": scope, "secret": "tell-nobody-of-this", "exp": clock.unix() + 60});
        let token = key.token(&claims(&clock, &said));
        let mut changed = token.clone();
        let at = at.index(token.len());
        if cut {
            changed.truncate(at);
        }
        changed.insert_str(at.min(changed.len()), &by);
        for token in [token, changed] {
            let shown = read_of(&token, &key, &clock);
            for part in token.split('.').chain(["tell-nobody-of-this"]) {
                assert!(!leaks(&shown, part), "{part} in {shown}");
            }
            assert!(scope == "mcp" || !leaks(&shown, &scope), "{scope} in {shown}");
        }
    }
}
